/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's file of any bytes: it is described and loaded, or refused with an error. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/boot/image.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"
#include "tests/fuzz/fuzz.h"

#define KERNEL_RAM (4 * MiB)
#define STEPS	  (64 * 1024) /* far more than any input here takes */

static uint8_t ram[KERNEL_RAM];

/* Where loader.c would put a kernel, if it fits there. */
static bool place(struct image *image, struct guestmem *mem)
{
	struct guestmem_range range = { .gpa = 0x40000000, .size = KERNEL_RAM, .hva = ram };

	CHECK(image->initrd.offset <= image->data.size &&
		image->initrd.size <= image->data.size - image->initrd.offset);
	CHECK(image->segment_count && image->segment_count <= IMAGE_SEGMENTS);
	for (unsigned i = 0; i < image->segment_count; i++)
		CHECK(image->segments[i].mem_size);
	if (image->placed)
		range.gpa = align_down(image->segments[0].gpa, 4096);
	else
		image->segments[0].gpa = range.gpa;
	return !guestmem_add(mem, &range);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image = { .path = "kernel", .data = { 0, size } };
	struct guestmem mem = { 0 };
	struct errors errors = { 0 };
	struct image_load *load;
	int err = -1;

	image.fd = memfd_create("kernel", MFD_CLOEXEC);
	CHECK(image.fd >= 0 && write(image.fd, data, size) == (ssize_t)size);
	if (size)
		err = image_describe(&image, false, &errors);
	CHECK(!size || (err < 0) == errors_any(&errors));
	if (!err && image.cmdline.size) {
		char *cmdline = NULL;

		err = image_read_cmdline(&image, &errors, &cmdline);
		CHECK((err < 0) == errors_any(&errors));
		free(cmdline);
	}
	if (!err && place(&image, &mem)) {
		CHECK(!image_load_begin(&image, &mem, &load));
		for (unsigned i = 0; (err = image_load_step(load, &errors)) > 0; i++)
			CHECK(i < STEPS);
		image_load_end(load);
		CHECK((err < 0) == errors_any(&errors));
	}
	image_close(&image);
	errors_finish(&errors);
	return 0;
}
