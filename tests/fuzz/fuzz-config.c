/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of machines with blobs, and the guest's tree with what it takes for good:
 *
 *	fuzz-config -max_len=65536 CORPUS     (dtc -@ -I dts -O dtb makes a first blob)
 */
#include "tests/fuzz/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_tree_read(data, size);
	return 0;
}
