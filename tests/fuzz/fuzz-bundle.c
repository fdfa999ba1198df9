/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PE bundle of any bytes, as the machine's first file: its tree is taken out of it, and what is in the tree becomes a
 * machine, or is refused with an error.
 */
#include <libfdt.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/tree-file.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"
#include "tests/fuzz/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("bundle", MFD_CLOEXEC), err;
	struct errors errors = { 0 };
	struct stat st;
	void *fdt;

	CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size && !fstat(fd, &st));
	err = tree_bundle_open(fd, &st, "x.efi", &errors, &fdt);
	CHECK((err < 0) == errors_any(&errors));
	if (!err) {
		CHECK(!fdt_check_full(fdt, fdt_totalsize(fdt)));
		fuzz_tree_read(fdt, fdt_totalsize(fdt));
		free(fdt);
	}
	errors_finish(&errors);
	close(fd);
	return 0;
}
