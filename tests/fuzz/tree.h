/* SPDX-License-Identifier: Apache-2.0 */
/* What the targets that read trees share. */
#ifndef SLUICE_TESTS_FUZZ_TREE_H
#define SLUICE_TESTS_FUZZ_TREE_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads a machine from the blob as `sluice check` does, and makes the guest's tree of it. */
void fuzz_tree_read(const void *blob, size_t size);

#endif
