/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PE bundles: a kernel, its initrd and its command line as sections of an EFI program (the UAPI Group's Unified Kernel
 * Image, UAPI.5).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board/boot/image-internal.h"
#include "board/config/config.h"
#include "board/config/pe.h"
#include "board/text/errors.h"

#define CMDLINE_ROOM (BOOTARGS_MAX + 512) /* with white space at its ends */

/* A part of an image's file. */
struct part_source {
	struct pe_source source;
	const struct image *image;
	const struct image_part *part;
};

static bool read_part(const struct pe_source *source, uint64_t offset, void *ret_buf, size_t len)
{
	const struct part_source *of = container_of(source, struct part_source, source);
	struct errors ignored = { 0 };
	int err = image_read(of->image, of->part->offset + offset, ret_buf, len, &ignored);

	errors_finish(&ignored);
	return !err;
}

static bool read_sections(const struct image *image, const struct image_part *part, struct pe *ret)
{
	const struct part_source of = { { part->size, read_part }, image, part };

	return IMAGE_HAS(part, 0, "MZ") && pe_read(&of.source, ret);
}

bool image_is_bundle(const struct image *image, const struct image_part *part)
{
	struct pe pe;

	return read_sections(image, part, &pe) && pe_find(&pe, ".linux");
}

int image_describe_bundle(struct image *image, const struct image_part *part, struct errors *errors)
{
	static const char *const names[] = { ".linux", ".initrd", ".cmdline" };
	struct image_extent found[ARRAY_SIZE(names)] = { 0 };
	struct image_part kernel = { 0 };
	struct pe pe = { 0 };
	int err;

	if (!read_sections(image, part, &pe))
		pe.count = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const struct pe_section *section = pe_find(&pe, names[i]);

		if (!section)
			continue;
		found[i] = (struct image_extent){ section->offset, section->size };
		if (found[i].offset <= part->size && found[i].size <= part->size - found[i].offset)
			continue;
		error_add(errors, image->path, NULL,
			"is truncated: its section %s ends at byte %llu, the file has %llu",
			names[i], (unsigned long long)(found[i].offset + found[i].size),
			(unsigned long long)part->size);
		return -EINVAL;
	}
	kernel.offset = part->offset + found[0].offset;
	kernel.size = found[0].size;
	kernel.len = kernel.size < IMAGE_HEAD ? kernel.size : IMAGE_HEAD;
	err = image_read(image, kernel.offset, kernel.head, kernel.len, errors);
	if (!err)
		err = image_describe_any_linux(image, &kernel, errors);
	if (err > 0)
		return image_refuse(image, errors,
			"is a PE bundle whose section .linux is not an arm64 kernel: needed is an Image, also compressed or in an EFI zboot");
	image->kind = "PE bundle";
	image->initrd = (struct image_extent){ part->offset + found[1].offset, found[1].size };
	image->cmdline = (struct image_extent){ part->offset + found[2].offset, found[2].size };
	return err;
}

int image_read_cmdline(const struct image *image, struct errors *errors, char **ret)
{
	uint64_t size = image->cmdline.size;
	char *text;

	if (size > CMDLINE_ROOM) {
		error_add(errors, image->path, NULL,
			"has a section .cmdline of %llu bytes, and Linux takes at most %d",
			(unsigned long long)size, BOOTARGS_MAX);
		return -EINVAL;
	}
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	if (image_read(image, image->cmdline.offset, text, size, errors)) {
		free(text);
		return -EINVAL;
	}
	text[size] = 0;
	/* A line end, as of a text file, is no part of it. */
	for (size_t n = strlen(text); n && strchr(" \t\r\n", text[n - 1]); n--)
		text[n - 1] = 0;
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = ' ';
	if (strlen(text) > BOOTARGS_MAX) {
		error_add(errors, image->path, NULL,
			"has a command line of %zu bytes in its section .cmdline, and Linux takes at most %d",
			strlen(text), BOOTARGS_MAX);
		free(text);
		return -EINVAL;
	}
	*ret = text;
	return 0;
}
