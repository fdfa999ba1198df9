/* SPDX-License-Identifier: Apache-2.0 */
/* Files of kernels and how they are loaded; see image.h. If a file has another, known format, the error names it. */
#include "board/boot/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/boot/image-digest.h"
#include "board/boot/image-internal.h"
#include "board/text/errors.h"
#include "hyp/base/host-path.h"
#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"

int image_refuse(const struct image *image, struct errors *errors, const char *what)
{
	error_add(errors, image->path, NULL, "%s", what);
	return -EINVAL;
}

int image_refuse_short(
	const struct image *image, struct errors *errors, uint64_t need, uint64_t has)
{
	error_add(errors, image->path, NULL,
		"is truncated: its header says %llu bytes, the file has %llu",
		(unsigned long long)need, (unsigned long long)has);
	return -EINVAL;
}

int image_open(struct image *image, const struct host_path *path, struct errors *errors)
{
	struct stat st;

	*image = (struct image){ .path = path->name };
	/* O_NONBLOCK: a FIFO without a writer would wait for ever. */
	image->fd = host_path_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (image->fd < 0 || fstat(image->fd, &st) < 0) {
		error_add(errors, path->name, NULL, "cannot be opened: %s",
			strerror(image->fd < 0 ? -image->fd : errno));
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		image_refuse(
			image, errors, "is not a regular file; it is read again at each reset");
		goto fail;
	}
	if (!st.st_size) {
		image_refuse(image, errors, "is empty");
		goto fail;
	}
	image->data.size = (uint64_t)st.st_size;
	return 0;
fail:
	image_close(image);
	return -EINVAL;
}

void image_close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}

int image_read(const struct image *image, uint64_t offset, void *ret_buf, uint64_t len,
	struct errors *errors)
{
	const struct image_extent whole = { offset, len };
	uint8_t *buf = ret_buf;

	while (len) {
		ssize_t n = RETRY_EINTR(pread(image->fd, buf, len, offset));

		if (n < 0)
			error_add(errors, image->path, NULL, "cannot be read: %s", strerror(errno));
		if (n == 0)
			error_add(errors, image->path, NULL,
				"is truncated: it ends at byte %llu, %llu more are needed",
				(unsigned long long)offset, (unsigned long long)len);
		if (n <= 0)
			return -EINVAL;
		buf += n;
		offset += n;
		len -= n;
	}
	if (image->digest)
		image_digest_read(image->digest, whole.offset, ret_buf, whole.size);
	return 0;
}

/* ---- Formats ---- */

bool image_has(const uint8_t *head, size_t len, size_t at, const char *magic, size_t magic_len)
{
	return at + magic_len <= len && !memcmp(head + at, magic, magic_len);
}

/* What data that begins so is, if Sluice knows it and cannot start it; else NULL. */
static const char *foreign_format(const uint8_t *head, size_t len)
{
	static const struct {
		size_t at;
		const char *magic;
		size_t magic_len;
		const char *what;
	} known[] = {
#define KNOWN(at, magic, what) { at, magic, sizeof(magic) - 1, what }
		KNOWN(0x202, "HdrS", "is an x86 kernel (bzImage)"),
		KNOWN(0x24, "\x18\x28\x6f\x01", "is a 32-bit ARM kernel (zImage)"),
		KNOWN(0x38, "RSC\x05", "is a RISC-V kernel (Image)"),
		KNOWN(0, "\x27\x05\x19\x56",
			"is a U-Boot legacy image (uImage): take the kernel in it"),
		KNOWN(0, "\xd0\x0d\xfe\xed", "is a device tree or FIT image, not a kernel"),
		KNOWN(1, "\x2a\x4d\x18",
			"is compressed with pzstd, in parts: pack all of it in one"),
		KNOWN(0, "BZh", "is compressed with bzip2: unpack it first"),
		KNOWN(0, "\x89LZO", "is compressed with lzop: unpack it first"),
		KNOWN(0, "070701", "is an initramfs (cpio), not a kernel"),
		KNOWN(0, "!<arch>", "is a Debian package or an archive, not a kernel"),
		KNOWN(0, "PK\x03\x04", "is a zip archive, not a kernel"),
		KNOWN(0, "hsqs", "is a file system (squashfs), not a kernel"),
		KNOWN(0, "/dts-v1/", "is the source of a device tree, not a kernel"),
		KNOWN(0, "QFI\xfb", "is a disk (qcow2), not a kernel"),
		KNOWN(510, "\x55\xaa", "is a disk with partitions, not a kernel"),
		KNOWN(0, "#!", "is a script, not a kernel"),
		KNOWN(0, "MZ", "is an EFI program, but not an arm64 Linux kernel"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (image_has(head, len, known[i].at, known[i].magic, known[i].magic_len))
			return known[i].what;
	return NULL;
}

int image_refuse_foreign(
	const struct image *image, const uint8_t *head, size_t len, struct errors *errors)
{
	const char *what = foreign_format(head, len) ?: "is not a kernel that Sluice knows";

	error_add(errors, image->path, NULL,
		"%s%s%s%s; needed is an arm64 kernel: an Image, also compressed, in an EFI zboot or in a PE bundle, or a 64-bit AArch64 ELF",
		image->compressed ? "what it holds in " : "",
		image->compressed ? unpack_name(image->packing) : "", image->compressed ? " " : "",
		what);
	return -EINVAL;
}

/* All of it, as it is. */
static int describe_raw(struct image *image)
{
	image->raw = true;
	image->kind = "raw binary";
	image->segments[0] = (struct image_segment){ .file_offset = image->data.offset,
		.file_size = image->data.size,
		.mem_size = image->data.size };
	image->segment_count = 1;
	return 0;
}

int image_describe(struct image *image, bool raw, struct errors *errors)
{
	struct image_part part = { .offset = image->data.offset, .size = image->data.size };
	int err;

	image->compressed = image->raw = image->placed = image->movable = false;
	image->segment_count = 0;
	image->page_bytes = 0;
	image->entry = image->text_offset = 0;
	image->initrd = image->cmdline = (struct image_extent){ 0 };
	/* A program that writes the file anew leaves it so for a moment. */
	if (!image->data.size)
		return image_refuse(image, errors, "is empty");
	if (raw && image->said_packed)
		return image_refuse(image, errors,
			"is compressed, and a raw binary (sluice,kernel-address) is loaded as it is: unpack it first");
	if (raw)
		return describe_raw(image);
	if (image->said_packed)
		return image_describe_packed(image, image->packing, &part, errors);
	part.len = part.size < IMAGE_HEAD ? part.size : IMAGE_HEAD;
	err = image_read(image, part.offset, part.head, part.len, errors);
	if (err < 0)
		return err;
	if (IMAGE_HAS(&part, 0, ELFMAG)) {
		image->kind = "AArch64 ELF";
		return image_describe_elf(image, &part, errors);
	}
	err = image_describe_any_linux(image, &part, errors);
	if (err <= 0)
		return err;
	if (image_is_bundle(image, &part)) {
		image->kind = "PE bundle";
		return image_describe_bundle(image, &part, errors);
	}
	if (foreign_format(part.head, part.len))
		return image_refuse_foreign(image, part.head, part.len, errors);
	return describe_raw(image);
}

/* ---- Loading ---- */

struct image_load {
	const struct image *image;
	const struct guestmem *mem;
	unsigned segment;
	uint64_t done; /* bytes of it */
	bool digested; /* its digest has ended */
	struct packed *packed;
	char version[IMAGE_VERSION]; /* what its data says, or "" */
};

/*
 * A scratch buffer for bytes that are only checked or hashed, and for the byte beyond the last one. Few loads
 * write here.
 */
static uint8_t nowhere[IMAGE_CHUNK];

int image_load_begin(const struct image *image, const struct guestmem *mem, struct image_load **ret)
{
	struct image_load *load = calloc(1, sizeof(*load));

	if (!load)
		return -ENOMEM;
	load->image = image;
	load->mem = mem;
	*ret = load;
	return 0;
}

void image_load_end(struct image_load *load)
{
	if (load)
		packed_end(load->packed);
	free(load);
}

/* Where the next bytes go, at most `most`; its number of bytes to `ret_room`. */
static uint8_t *place(struct image_load *load, uint64_t most, uint64_t *ret_room)
{
	const struct image_segment *segment = &load->image->segments[load->segment];
	uint64_t left = most - load->done;

	*ret_room = left < IMAGE_CHUNK ? left : IMAGE_CHUNK;
	if (!load->mem || !left)
		return nowhere;
	return guestmem_write_at(load->mem, segment->gpa + load->done, *ret_room);
}

/*
 * Linux says its version in its data. Whether that is in one chunk depends on the file alone: a kernel has it always or
 * never.
 */
static void look_for_version(struct image_load *load, const uint8_t *chunk, uint64_t size)
{
	static const char banner[] = "Linux version ";
	const char *at = *load->version ? NULL : memmem(chunk, size, banner, sizeof(banner) - 1);
	size_t left, len = 0;

	if (!at)
		return;
	at += sizeof(banner) - 1;
	left = (size_t)(chunk + size - (const uint8_t *)at);
	while (len < left && len < sizeof(load->version) - 1 && at[len] > ' ' && at[len] < 0x7f)
		len++;
	memcpy(load->version, at, len);
	load->version[len] = 0;
}

const char *image_load_version(const struct image_load *load)
{
	return load->version;
}

/* True in `ret_ended` at the end of the data, which must not be beyond mem_size. */
static int unpack_chunk(struct image_load *load, bool *ret_ended, struct errors *errors)
{
	const struct image_segment *segment = &load->image->segments[load->segment];
	uint64_t room, size;
	uint8_t *out = place(load, segment->mem_size, &room);
	int err = 0;

	if (!load->packed)
		err = packed_begin(load->image, segment->file_offset, segment->file_size, errors,
			&load->packed);
	/* A byte more than there is room for: there is none if the data ends here. */
	if (!err)
		err = packed_step(load->packed, out, room ? room : 1, &size, errors);
	if (err)
		return err;
	if (!room && size) {
		error_add(errors, load->image->path, NULL,
			"unpacks to more than the %llu bytes that its header asks for",
			(unsigned long long)segment->mem_size);
		return -EINVAL;
	}
	if (!load->mem)
		look_for_version(load, out, size);
	load->done += size;
	*ret_ended = packed_ended(load->packed);
	return 0;
}

static int read_chunk(struct image_load *load, bool *ret_ended, struct errors *errors)
{
	const struct image_segment *segment = &load->image->segments[load->segment];
	uint64_t room;
	uint8_t *out = place(load, segment->file_size, &room);
	int err = image_read(load->image, segment->file_offset + load->done, out, room, errors);

	if (!err && !load->mem)
		look_for_version(load, out, room);
	load->done += room;
	*ret_ended = load->done == segment->file_size;
	return err;
}

/* Reads for the digest what no segment has: headers, what is between segments and behind them. */
static int pass_over(struct image_load *load, uint64_t end, struct errors *errors)
{
	uint64_t at = load->image->digest->at;

	return image_read(
		load->image, at, nowhere, end - at < IMAGE_CHUNK ? end - at : IMAGE_CHUNK, errors);
}

/* 1: something was read, or is to be loaded; 0: all was, and is right. */
static int digest_rest(struct image_load *load, struct errors *errors)
{
	const struct image *image = load->image;
	uint64_t end = image->data.offset + image->data.size;
	int err = 0;

	if (load->digested)
		return 0;
	if (image->digest->at < end)
		return pass_over(load, end, errors) ?: 1;
	err = image_digest_end(image->digest, image->path, errors);
	load->digested = !err;
	return err;
}

int image_load_step(struct image_load *load, struct errors *errors)
{
	const struct image *image = load->image;
	const struct image_segment *segment = &image->segments[load->segment];
	bool ended = false;
	int err;

	if (load->segment == image->segment_count)
		return image->digest ? digest_rest(load, errors) : 0;
	if (!load->done && load->mem &&
		!guestmem_write_at(load->mem, segment->gpa, segment->mem_size)) {
		error_add(errors, image->path, NULL,
			"%llu bytes at 0x%llx are not in the machine's memory",
			(unsigned long long)segment->mem_size, (unsigned long long)segment->gpa);
		return -EINVAL;
	}
	if (image->digest && !load->done && !load->packed && segment->file_size) {
		if (image->digest->at > segment->file_offset)
			return image_refuse(image, errors,
				"has segments that are not in the order of its data, or overlap there: an ELF in a FIT has them one after the other");
		if (image->digest->at < segment->file_offset)
			return pass_over(load, segment->file_offset, errors) ?: 1;
	}
	err = image->compressed ? unpack_chunk(load, &ended, errors)
				: read_chunk(load, &ended, errors);
	if (err)
		return err;
	if (ended) {
		packed_end(load->packed);
		load->packed = NULL;
		load->segment++;
		load->done = 0;
	}
	return load->segment < image->segment_count || image->digest;
}
