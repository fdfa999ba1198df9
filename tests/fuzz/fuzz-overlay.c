/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes all that becomes of a tree and overlays, as `sluice check` does it: the overlays one after
 * the other, then the machine and the guest's tree. An input is the blobs one after the other, each with
 * its own size in its header; tests/fuzz/run makes the first of them.
 */
#include "tests/fuzz/tree.h"

#include <libfdt.h>
#include <stdlib.h>

#include "board/config/tree-file.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"

/* The next blob: as much as its header says, where there is as much. */
static void *take(const uint8_t **data, size_t *left, struct errors *errors)
{
	size_t size = *left < FDT_V17_SIZE ? *left : fdt32_ld((const fdt32_t *)*data + 1);
	void *fdt = NULL;

	if (size < FDT_V17_SIZE || size > *left)
		size = *left;
	CHECK(!tree_blob_open(*data, size, "fuzz", errors, &fdt) || errors_any(errors));
	*data += size;
	*left -= size;
	return fdt;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errors errors = { 0 };
	void *fdt = take(&data, &size, &errors);

	while (fdt && size) {
		void *overlay = take(&data, &size, &errors);

		if (overlay && !tree_overlay_apply(&fdt, overlay, "overlay", &errors))
			CHECK(!fdt_check_full(fdt, fdt_totalsize(fdt)));
		free(overlay);
	}
	if (fdt && !errors_any(&errors))
		fuzz_tree_read(fdt, fdt_totalsize(fdt));
	errors_finish(&errors);
	free(fdt);
	return 0;
}
