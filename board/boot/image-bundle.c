/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PE bundles: a kernel, its initrd and its command line as sections of an EFI program. Sources: the UAPI Group's
 * Unified Kernel Image (UAPI.5) and Microsoft's PE Format.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board/boot/image-internal.h"
#include "board/config/config.h"
#include "board/text/errors.h"

#define PE_SECTIONS  96 /* the most that Windows loads; a bundle has some ten */
#define PE_OFFSET_AT 0x3c
#define PE_MACHINE   0xaa64 /* arm64 */
#define SECTION_NAME 8
#define CMDLINE_ROOM (BOOTARGS_MAX + 512) /* with white space at its ends */

struct pe_header {
	char magic[4];
	uint16_t machine, sections;
	uint32_t time, symbols, symbol_count;
	uint16_t optional, characteristics;
};

struct pe_section {
	char name[SECTION_NAME]; /* padded with zeros */
	uint32_t size, address;	 /* in memory */
	uint32_t file_size, file_offset;
	uint32_t unused[4];
};

/* Reads its headers; how many sections go to `ret_count`. False: this is no PE file for arm64. */
static bool read_sections(const struct image *image, const struct image_part *part,
	struct pe_section *ret, unsigned *ret_count)
{
	struct errors ignored = { 0 };
	struct pe_header header;
	uint64_t at, table;
	uint32_t offset;
	bool whole;

	if (!IMAGE_HAS(part, 0, "MZ") || part->len < PE_OFFSET_AT + sizeof(offset))
		return false;
	memcpy(&offset, part->head + PE_OFFSET_AT, sizeof(offset));
	at = le32toh(offset);
	if (at > part->size || sizeof(header) > part->size - at)
		return false;
	whole = !image_read(image, part->offset + at, &header, sizeof(header), &ignored);
	if (whole && !memcmp(header.magic, "PE\0", 4) && le16toh(header.machine) == PE_MACHINE &&
		le16toh(header.sections) <= PE_SECTIONS) {
		*ret_count = le16toh(header.sections);
		table = at + sizeof(header) + le16toh(header.optional);
		whole = table <= part->size && *ret_count * sizeof(*ret) <= part->size - table &&
			!image_read(image, part->offset + table, ret, *ret_count * sizeof(*ret),
				&ignored);
	} else {
		whole = false;
	}
	errors_finish(&ignored);
	return whole;
}

/* The first section of that name; false: there is none. It may lie outside the file. */
static bool find(const struct pe_section *sections, unsigned count, const char *name,
	struct image_extent *ret)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t size = le32toh(sections[i].size);

		if (strncmp(sections[i].name, name, SECTION_NAME) != 0)
			continue;
		/* What the file has is padded; what memory has beyond that is zeros, of which nobody has a use. */
		if (!size || size > le32toh(sections[i].file_size))
			size = le32toh(sections[i].file_size);
		*ret = (struct image_extent){ le32toh(sections[i].file_offset), size };
		return true;
	}
	return false;
}

bool image_is_bundle(const struct image *image, const struct image_part *part)
{
	struct pe_section sections[PE_SECTIONS];
	struct image_extent linux_section;
	unsigned count;

	return read_sections(image, part, sections, &count) &&
	       find(sections, count, ".linux", &linux_section);
}

int image_describe_bundle(struct image *image, const struct image_part *part, struct errors *errors)
{
	static const char *const names[] = { ".linux", ".initrd", ".cmdline" };
	struct image_extent found[ARRAY_SIZE(names)] = { 0 };
	struct pe_section sections[PE_SECTIONS];
	struct image_part kernel = { 0 };
	unsigned count = 0;
	int err;

	if (!read_sections(image, part, sections, &count))
		count = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (find(sections, count, names[i], &found[i]) &&
			(found[i].offset > part->size ||
				found[i].size > part->size - found[i].offset)) {
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
