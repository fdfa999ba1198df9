/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel file formats; see image.h. If a file has another, known format, the error names it. */
#include "board/boot/image.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/boot/unpack.h"
#include "board/text/errors.h"
#include "hyp/base/host-path.h"
#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"

#define HEADER_BYTES 1024 /* of a file, or of data compressed in it, that identify its format */
#define CHUNK_BYTES  (64 * KiB) /* that are read or unpacked at once */

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

static int refuse(const struct image *image, struct errors *errors, const char *what)
{
	error_add(errors, image->path, NULL, "%s", what);
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
		refuse(image, errors, "is not a regular file; it is read again at each reset");
		goto fail;
	}
	if (!st.st_size) {
		refuse(image, errors, "is empty");
		goto fail;
	}
	image->file_size = st.st_size;
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

static int read_bytes(const struct image *image, uint64_t offset, void *ret_buf, uint64_t len,
	struct errors *errors)
{
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
	return 0;
}

/* ---- Compressed data ---- */

/* What a part of a file holds, compressed. */
struct packed {
	const struct image *image;
	uint64_t offset, left; /* what is still to be read of the file */
	bool ended;
	struct unpack *unpack;
	struct unpack_piece piece;
	uint8_t in[CHUNK_BYTES];
};

static int packed_begin(const struct image *image, uint64_t offset, uint64_t size,
	struct errors *errors, struct packed **ret)
{
	struct packed *packed = calloc(1, sizeof(*packed));
	int err = packed ? unpack_begin(image->packing, &packed->unpack) : -ENOMEM;

	if (err) {
		free(packed);
		if (err != -ENOENT)
			return refuse(image, errors, "out of memory");
		error_add(errors, image->path, NULL,
			"is compressed with %s, which needs %s: install it",
			unpack_name(image->packing), unpack_library(image->packing));
		return -EINVAL;
	}
	packed->image = image;
	packed->offset = offset;
	packed->left = size;
	*ret = packed;
	return 0;
}

static int packed_refill(struct packed *packed, struct errors *errors)
{
	unsigned n = packed->left < CHUNK_BYTES ? packed->left : CHUNK_BYTES;

	if (read_bytes(packed->image, packed->offset, packed->in, n, errors))
		return -EINVAL;
	packed->offset += n;
	packed->left -= n;
	packed->piece.in = packed->in;
	packed->piece.in_len = n;
	packed->piece.last = !packed->left;
	return 0;
}

/* Unpacks at most `room` bytes, from at most CHUNK_BYTES more of the file: such data may hold nothing. */
static int packed_step(struct packed *packed, uint8_t *out, unsigned room, uint64_t *ret_size,
	struct errors *errors)
{
	const char *name = unpack_name(packed->image->packing), *why;
	struct unpack_piece *piece = &packed->piece;
	bool filled = false;

	piece->out = out;
	piece->out_len = room;
	while (!packed->ended && piece->out_len) {
		size_t in_len, out_len = piece->out_len;
		int got;

		if (!piece->in_len && packed->left) {
			if (filled)
				break;
			filled = true;
			if (packed_refill(packed, errors))
				return -EINVAL;
		}
		in_len = piece->in_len;
		got = unpack_some(packed->unpack, piece, &why);
		if (got < 0) {
			error_add(errors, packed->image->path, NULL,
				"cannot be unpacked from %s: %s", name, why);
			return got;
		}
		packed->ended = got;
		if (got && unpack_kind(piece->in, piece->in_len) == packed->image->packing) {
			error_add(errors, packed->image->path, NULL,
				"holds several parts in %s: pack all of it in one", name);
			return -EINVAL;
		}
		if (!got && piece->in_len == in_len && piece->out_len == out_len) {
			error_add(errors, packed->image->path, NULL,
				"is truncated: its %s data has no end", name);
			return -EINVAL;
		}
	}
	*ret_size = room - piece->out_len;
	return 0;
}

static void packed_end(struct packed *packed)
{
	if (packed)
		unpack_end(packed->unpack);
	free(packed);
}

/* ---- Formats ---- */

static bool has(const uint8_t *head, size_t len, size_t at, const char *magic, size_t magic_len)
{
	return at + magic_len <= len && !memcmp(head + at, magic, magic_len);
}

#define HAS(at, magic) has(head, len, at, magic, sizeof(magic) - 1)

/* Adds an error that names the file's format, which Sluice cannot start. */
static int refuse_foreign(
	const struct image *image, const uint8_t *head, size_t len, struct errors *errors)
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
		KNOWN(0, "#!", "is a script, not a kernel"),
		KNOWN(0, "MZ", "is an EFI program, but not an arm64 Linux kernel"),
	};
	const char *what = "is not a kernel that Sluice knows";

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (has(head, len, known[i].at, known[i].magic, known[i].magic_len)) {
			what = known[i].what;
			break;
		}
	}
	error_add(errors, image->path, NULL,
		"%s%s%s%s; needed is an arm64 kernel: an Image, also compressed or in an EFI zboot, or a 64-bit AArch64 ELF",
		image->compressed ? "what it holds in " : "",
		image->compressed ? unpack_name(image->packing) : "", image->compressed ? " " : "",
		what);
	return -EINVAL;
}

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

/* An arm64 Image whose first bytes are `head`; the data is at [offset, offset+size) of the file. */
static int describe_image(struct image *image, const uint8_t *head, size_t len, uint64_t offset,
	uint64_t size, struct errors *errors)
{
	struct image_header header;
	uint64_t image_size, whole;

	memcpy(&header, head, sizeof(header));
	image_size = le64toh(header.image_size);
	image->text_offset = le64toh(header.text_offset);
	if (!image_size) {
		image->text_offset = OLD_IMAGE_TEXT_OFFSET;
		image_size = OLD_IMAGE_SIZE;
	} else if (le64toh(header.flags) & IMAGE_FLAG_BE) {
		return refuse(
			image, errors, "is a big-endian kernel; needed is a little-endian one");
	}
	if (!image->compressed) {
		whole = pe_end(head, len, le32toh(header.pe_offset));
		if (whole > size) {
			error_add(errors, image->path, NULL,
				"is truncated: its header says %llu bytes, the file has %llu",
				(unsigned long long)whole, (unsigned long long)size);
			return -EINVAL;
		}
		if (image_size < size)
			image_size = size;
	}
	if (IMAGE_PAGE(le64toh(header.flags)))
		image->page_bytes = KiB << 2 * IMAGE_PAGE(le64toh(header.flags));
	image->segments[0] = (struct image_segment){
		.file_offset = offset,
		.file_size = size,
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

/* Compressed data at [offset, offset+size) of the file. */
static int describe_packed(struct image *image, enum unpack_kind kind, uint64_t offset,
	uint64_t size, struct errors *errors)
{
	unsigned chunks = unpack_lead(kind) / CHUNK_BYTES;
	uint8_t head[HEADER_BYTES];
	struct packed *packed;
	uint64_t len = 0, more;
	bool ended = false;
	int err;

	image->compressed = true;
	image->packing = kind;
	err = packed_begin(image, offset, size, errors, &packed);
	if (err)
		return err;
	for (unsigned i = 0; i < chunks && len < sizeof(head) && !ended && !err; i++) {
		err = packed_step(packed, head + len, sizeof(head) - len, &more, errors);
		len += err ? 0 : more;
		ended = packed->ended;
	}
	packed_end(packed);
	if (err)
		return err;
	if (len < sizeof(head) && !ended) {
		error_add(errors, image->path, NULL,
			"has damaged %s data: its first %u MiB unpack to less than a header",
			unpack_name(kind), (unsigned)(unpack_lead(kind) / MiB));
		return -EINVAL;
	}
	if (!is_image(head, len))
		return refuse_foreign(image, head, len, errors);
	return describe_image(image, head, len, offset, size, errors);
}

static int describe_zboot(struct image *image, const uint8_t *head, struct errors *errors)
{
	struct zboot_header zboot;
	uint64_t offset, size;
	uint8_t begin[16];
	enum unpack_kind kind;

	memcpy(&zboot, head, sizeof(zboot));
	zboot.compression[sizeof(zboot.compression) - 1] = 0;
	offset = le32toh(zboot.offset);
	size = le32toh(zboot.size);
	if (offset > image->file_size || size > image->file_size - offset) {
		error_add(errors, image->path, NULL,
			"is truncated: its header says %llu bytes, the file has %llu",
			(unsigned long long)(offset + size), (unsigned long long)image->file_size);
		return -EINVAL;
	}
	if (size < sizeof(begin))
		return refuse(image, errors, "is an EFI zboot kernel that holds nothing");
	if (read_bytes(image, offset, begin, sizeof(begin), errors))
		return -EINVAL;
	/* The header's word for it is the name of a recipe of Linux's build, such as "zstd22". */
	kind = unpack_kind(begin, sizeof(begin));
	if (kind == UNPACK_KINDS) {
		error_add(errors, image->path, NULL,
			"is an EFI zboot kernel compressed with %.8s; needed is one with gzip, zstd, xz, lzma or lz4",
			zboot.compression);
		return -EINVAL;
	}
	return describe_packed(image, kind, offset, size, errors);
}

static const char *elf_machine(unsigned machine)
{
	switch (machine) {
	case EM_386:
	case EM_X86_64:
		return "x86";
	case EM_ARM:
		return "32-bit ARM";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC64:
		return "PowerPC";
	case EM_S390:
		return "s390";
	}
	return "another machine";
}

static int describe_elf(struct image *image, const uint8_t *head, size_t len, struct errors *errors)
{
	Elf64_Phdr phdrs[IMAGE_SEGMENTS];
	bool entered = false;
	Elf64_Ehdr elf;
	int err;

	if (len < sizeof(elf))
		return refuse(image, errors, "is truncated within its ELF header");
	memcpy(&elf, head, sizeof(elf));
	if (elf.e_ident[EI_DATA] != ELFDATA2LSB)
		return refuse(
			image, errors, "is a big-endian ELF; needed is little-endian AArch64");
	if (le16toh(elf.e_machine) != EM_AARCH64) {
		error_add(errors, image->path, NULL,
			"is an ELF for %s (machine %u); needed is AArch64",
			elf_machine(le16toh(elf.e_machine)), le16toh(elf.e_machine));
		return -EINVAL;
	}
	if (elf.e_ident[EI_CLASS] != ELFCLASS64)
		return refuse(image, errors, "is a 32-bit ELF; needed is a 64-bit one");
	if (le16toh(elf.e_type) != ET_EXEC && le16toh(elf.e_type) != ET_DYN)
		return refuse(
			image, errors, "is an ELF that is not linked to run (an object or a core)");
	if (le16toh(elf.e_phentsize) != sizeof(phdrs[0]) || !le16toh(elf.e_phnum) ||
		le16toh(elf.e_phnum) > IMAGE_SEGMENTS) {
		error_add(errors, image->path, NULL,
			"has %u ELF program headers of %u bytes; needed are 1 to %u of %zu",
			le16toh(elf.e_phnum), le16toh(elf.e_phentsize), IMAGE_SEGMENTS,
			sizeof(phdrs[0]));
		return -EINVAL;
	}
	if (le64toh(elf.e_phoff) > image->file_size)
		return refuse(
			image, errors, "is truncated: its ELF program headers are beyond its end");
	err = read_bytes(image, le64toh(elf.e_phoff), phdrs,
		sizeof(phdrs[0]) * le16toh(elf.e_phnum), errors);
	if (err < 0)
		return err;

	for (unsigned i = 0; i < le16toh(elf.e_phnum); i++) {
		struct image_segment *segment = &image->segments[image->segment_count];
		uint64_t from_start = le64toh(elf.e_entry) - le64toh(phdrs[i].p_vaddr);

		if (le32toh(phdrs[i].p_type) != PT_LOAD || !phdrs[i].p_memsz)
			continue;
		*segment = (struct image_segment){
			.gpa = le64toh(phdrs[i].p_paddr),
			.file_offset = le64toh(phdrs[i].p_offset),
			.file_size = le64toh(phdrs[i].p_filesz),
			.mem_size = le64toh(phdrs[i].p_memsz),
		};
		if (segment->file_size > segment->mem_size ||
			segment->file_offset > image->file_size ||
			segment->file_size > image->file_size - segment->file_offset) {
			error_add(errors, image->path, NULL,
				"is truncated or damaged: ELF segment %u is not within the file",
				i);
			return -EINVAL;
		}
		if (segment->gpa + (segment->mem_size - 1) < segment->gpa) {
			error_add(errors, image->path, NULL,
				"is damaged: ELF segment %u passes the end of the address space",
				i);
			return -EINVAL;
		}
		if (from_start < segment->mem_size) {
			image->entry = segment->gpa + from_start;
			entered = true;
		}
		image->segment_count++;
	}
	if (!entered)
		return refuse(
			image, errors, "has no ELF segment to load that holds its entry point");
	image->placed = true;
	return 0;
}

int image_describe(struct image *image, struct errors *errors)
{
	uint8_t head[HEADER_BYTES] = { 0 };
	size_t len = image->file_size < sizeof(head) ? image->file_size : sizeof(head);
	int err = read_bytes(image, 0, head, len, errors);
	enum unpack_kind kind;

	if (err < 0)
		return err;
	image->compressed = image->placed = false;
	image->segment_count = 0;
	image->page_bytes = 0;
	image->entry = image->text_offset = 0;
	if (HAS(0, "MZ") && HAS(4, "zimg") && len >= sizeof(struct zboot_header)) {
		image->kind = "EFI zboot kernel";
		return describe_zboot(image, head, errors);
	}
	if (HAS(0, "\x7f"
		   "ELF")) {
		image->kind = "AArch64 ELF";
		return describe_elf(image, head, len, errors);
	}
	if (is_image(head, len)) {
		image->kind = "arm64 Image";
		return describe_image(image, head, len, 0, image->file_size, errors);
	}
	kind = unpack_kind(head, len);
	if (kind != UNPACK_KINDS) {
		image->kind = "compressed arm64 Image";
		return describe_packed(image, kind, 0, image->file_size, errors);
	}
	return refuse_foreign(image, head, len, errors);
}

/* ---- Loading ---- */

struct image_load {
	const struct image *image;
	const struct guestmem *mem;
	unsigned segment;
	uint64_t done; /* bytes of it */
	struct packed *packed;
};

/* For what is only checked, and the byte beyond the last one; never read. Few loads write here. */
static uint8_t nowhere[CHUNK_BYTES];

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

	*ret_room = left < CHUNK_BYTES ? left : CHUNK_BYTES;
	if (!load->mem || !left)
		return nowhere;
	return guestmem_write_at(load->mem, segment->gpa + load->done, *ret_room);
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
	load->done += size;
	*ret_ended = load->packed->ended;
	return 0;
}

static int read_chunk(struct image_load *load, bool *ret_ended, struct errors *errors)
{
	const struct image_segment *segment = &load->image->segments[load->segment];
	uint64_t room;
	uint8_t *out = place(load, segment->file_size, &room);
	int err = 0;

	if (load->mem)
		err = read_bytes(load->image, segment->file_offset + load->done, out, room, errors);
	load->done += room;
	*ret_ended = load->done == segment->file_size || !load->mem;
	return err;
}

int image_load_step(struct image_load *load, struct errors *errors)
{
	const struct image *image = load->image;
	const struct image_segment *segment = &image->segments[load->segment];
	bool ended = false;
	int err;

	if (load->segment == image->segment_count)
		return 0;
	if (!load->done && load->mem &&
		!guestmem_write_at(load->mem, segment->gpa, segment->mem_size)) {
		error_add(errors, image->path, NULL,
			"%llu bytes at 0x%llx are not in the machine's memory",
			(unsigned long long)segment->mem_size, (unsigned long long)segment->gpa);
		return -EINVAL;
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
	return load->segment < image->segment_count;
}
