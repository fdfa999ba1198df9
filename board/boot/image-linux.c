/* SPDX-License-Identifier: Apache-2.0 */
/* Linux's own formats: the arm64 Image, an EFI zboot, and an Image that is compressed; see image.h. */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "board/boot/image-internal.h"
#include "board/text/errors.h"

struct image_header {
	uint32_t code[2];
	uint64_t text_offset, image_size, flags, reserved[3];
	uint32_t magic;
	uint32_t pe_offset;
};

#define IMAGE_MAGIC   0x644d5241 /* "ARM\x64" */
#define IMAGE_FLAG_BE 1
/* Bits 1 and 2 of the flags (booting.rst in Linux): 0 not given, then 4K, 16K, 64K. */
#define IMAGE_PAGE(flags) ((flags) >> 1 & 3)

/* Compressed Image without a size in its header (before Linux 3.17): assume this much. */
#define OLD_IMAGE_TEXT_OFFSET 0x80000
#define OLD_IMAGE_SIZE	      (64 * MiB)

struct zboot_header {
	char mz[4], zimg[4];
	uint32_t offset, size, reserved[2];
	char compression[32];
};

/* The end of the file by its PE sections, or 0. A shorter file was truncated. */
static uint64_t pe_end(const uint8_t *head, size_t len, uint32_t at)
{
	uint64_t end = 0, section;
	unsigned count, optional;

	if ((uint64_t)at + 24 > len || memcmp(head + at, "PE\0", 4))
		return 0;
	count = head[at + 6] | head[at + 7] << 8;
	optional = head[at + 20] | head[at + 21] << 8;
	section = (uint64_t)at + 24 + optional;
	for (unsigned i = 0; i < count && section + 40 <= len; i++, section += 40) {
		uint32_t size, offset;

		memcpy(&size, head + section + 16, 4);
		memcpy(&offset, head + section + 20, 4);
		if ((uint64_t)le32toh(size) + le32toh(offset) > end)
			end = (uint64_t)le32toh(size) + le32toh(offset);
	}
	return end;
}

static int describe_image(struct image *image, const struct image_part *part, struct errors *errors)
{
	struct image_header header;
	uint64_t image_size, whole;

	memcpy(&header, part->head, sizeof(header));
	image_size = le64toh(header.image_size);
	image->text_offset = le64toh(header.text_offset);
	if (!image_size) {
		image->text_offset = OLD_IMAGE_TEXT_OFFSET;
		image_size = OLD_IMAGE_SIZE;
	} else if (le64toh(header.flags) & IMAGE_FLAG_BE) {
		return image_refuse(
			image, errors, "is a big-endian kernel; needed is a little-endian one");
	}
	if (image->text_offset % 4)
		return image_refuse(image, errors,
			"is damaged: its header asks for an address that is no multiple of 4");
	if (!image->compressed) {
		whole = pe_end(part->head, part->len, le32toh(header.pe_offset));
		if (whole > part->size)
			return image_refuse_short(image, errors, whole, part->size);
		if (image_size < part->size)
			image_size = part->size;
	}
	if (IMAGE_PAGE(le64toh(header.flags)))
		image->page_bytes = KiB << 2 * IMAGE_PAGE(le64toh(header.flags));
	image->segments[0] = (struct image_segment){
		.file_offset = part->offset,
		.file_size = part->size,
		.mem_size = image_size,
	};
	image->segment_count = 1;
	return 0;
}

static bool is_image(const uint8_t *head, size_t len)
{
	struct image_header header;

	if (len < sizeof(header))
		return false;
	memcpy(&header, head, sizeof(header));
	return le32toh(header.magic) == IMAGE_MAGIC;
}

static int describe_packed(struct image *image, enum unpack_kind kind, uint64_t offset,
	uint64_t size, struct errors *errors)
{
	unsigned chunks = unpack_lead(kind) / IMAGE_CHUNK;
	struct image_part part = { .offset = offset, .size = size };
	struct packed *packed;
	uint64_t more;
	bool ended = false;
	int err;

	image->compressed = true;
	image->packing = kind;
	err = packed_begin(image, offset, size, errors, &packed);
	if (err)
		return err;
	for (unsigned i = 0; i < chunks && part.len < IMAGE_HEAD && !ended && !err; i++) {
		err = packed_step(
			packed, part.head + part.len, IMAGE_HEAD - part.len, &more, errors);
		part.len += err ? 0 : more;
		ended = packed_ended(packed);
	}
	packed_end(packed);
	if (err)
		return err;
	if (part.len < IMAGE_HEAD && !ended) {
		error_add(errors, image->path, NULL,
			"has damaged %s data: its first %u MiB unpack to less than a header",
			unpack_name(kind), (unsigned)(unpack_lead(kind) / MiB));
		return -EINVAL;
	}
	if (!is_image(part.head, part.len))
		return image_refuse_foreign(image, part.head, part.len, errors);
	return describe_image(image, &part, errors);
}

static int describe_zboot(struct image *image, const struct image_part *part, struct errors *errors)
{
	struct zboot_header zboot;
	uint64_t offset, size;
	uint8_t begin[16];
	enum unpack_kind kind;

	memcpy(&zboot, part->head, sizeof(zboot));
	zboot.compression[sizeof(zboot.compression) - 1] = 0;
	offset = le32toh(zboot.offset);
	size = le32toh(zboot.size);
	if (offset > part->size || size > part->size - offset)
		return image_refuse_short(image, errors, offset + size, part->size);
	if (size < sizeof(begin))
		return image_refuse(image, errors, "is an EFI zboot kernel that holds nothing");
	if (image_read(image, part->offset + offset, begin, sizeof(begin), errors))
		return -EINVAL;
	/* The header's name of the compression is that of a recipe of Linux's build, such as "zstd22". */
	kind = unpack_kind(begin, sizeof(begin));
	if (kind == UNPACK_KINDS) {
		error_add(errors, image->path, NULL,
			"is an EFI zboot kernel compressed with %.8s; needed is one with gzip, zstd, xz, lzma or lz4",
			zboot.compression);
		return -EINVAL;
	}
	return describe_packed(image, kind, part->offset + offset, size, errors);
}

int image_describe_packed(struct image *image, enum unpack_kind kind, const struct image_part *part,
	struct errors *errors)
{
	image->kind = "compressed arm64 Image";
	return describe_packed(image, kind, part->offset, part->size, errors);
}

int image_describe_any_linux(
	struct image *image, const struct image_part *part, struct errors *errors)
{
	enum unpack_kind kind;

	if (IMAGE_HAS(part, 0, "MZ") && IMAGE_HAS(part, 4, "zimg") &&
		part->len >= sizeof(struct zboot_header)) {
		image->kind = "EFI zboot kernel";
		return describe_zboot(image, part, errors);
	}
	if (is_image(part->head, part->len)) {
		image->kind = "arm64 Image";
		return describe_image(image, part, errors);
	}
	kind = unpack_kind(part->head, part->len);
	if (kind != UNPACK_KINDS)
		return image_describe_packed(image, kind, part, errors);
	return 1;
}
