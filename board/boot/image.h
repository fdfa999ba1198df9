/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel file formats: recognises a file, says what memory it needs, and loads its bytes to where loader.c has placed
 * them. No field of a file is trusted: it is checked against the file's size here, and against the machine's memory by
 * the loader. The file stays open and is read again at each reset; if it has changed, all checks included.
 *
 *   arm64 Image                  Documentation/arch/arm64/booting.rst in Linux
 *   the same, compressed         Image.gz, .zst, .xz, .lzma, .lz4
 *   EFI zboot of one of these    drivers/firmware/efi/libstub/zboot-header.S
 *   a PE bundle of one of these  UAPI.5, Unified Kernel Image: sections .linux, .initrd, .cmdline
 *   AArch64 ELF                  bare-metal guests; loaded at its physical addresses, or moved if it can be
 *   anything else                a raw binary: loaded as it is, and entered at its first byte
 *
 * An image is a file, or a part of one: a FIT holds it with other images. Nothing beyond the part is read then.
 */
#ifndef SLUICE_BOARD_BOOT_IMAGE_H
#define SLUICE_BOARD_BOOT_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "board/boot/unpack.h"

struct errors;
struct guestmem;
struct image_digest;
struct host_path;

#define IMAGE_SEGMENTS	 16
#define IMAGE_VERSION	 80		    /* bytes of a version, with its zero */
#define IMAGE_BASE_ALIGN UINT64_C(0x200000) /* of an Image, to which text_offset is added */

struct image_segment {
	uint64_t gpa;	      /* given by an ELF; else set by the loader */
	uint64_t file_offset; /* of the segment's data in the file, compressed or not */
	uint64_t file_size;   /* bytes there; memory beyond them is zero already */
	uint64_t mem_size;    /* bytes of memory to reserve, not 0; at least what is loaded */
};

/* A part of the file; size 0: there is none. */
struct image_extent {
	uint64_t offset, size; /* bytes */
};

struct image {
	const char *path;	  /* for messages; not owned */
	int fd;			  /* -1: none */
	struct image_extent data; /* of the image in its file */
	/* A FIT says how it is compressed, in `packing`. Otherwise its first bytes decide. */
	bool said_packed;
	/* Gets what is read; outlives the image. NULL: nobody checks it. */
	struct image_digest *digest;

	const char *kind;	  /* "arm64 Image"; for messages */
	bool compressed;	  /* the one segment, which grows to at most mem_size ... */
	enum unpack_kind packing; /* ... of this */
	uint64_t page_bytes;	  /* of an arm64 Image: the size of its pages; 0: not given */
	bool raw;		  /* a raw binary */
	bool placed;		  /* ELF: segments have their addresses */
	bool movable;		  /* ... or any others, all moved by a multiple of `align` */
	uint64_t align;
	uint64_t text_offset;
	struct image_segment segments[IMAGE_SEGMENTS];
	unsigned segment_count;
	uint64_t entry; /* ELF: guest-physical; else an offset into the segment */
	/* Of a bundle. */
	struct image_extent initrd, cmdline;
};

/* Opens a regular file that is not empty. -EINVAL after an error was added. */
int image_open(struct image *image, const struct host_path *path, struct errors *errors);
/*
 * Reads the headers. `raw`: the file is a raw binary, whatever it begins with. -EINVAL after an error was added.
 */
int image_describe(struct image *image, bool raw, struct errors *errors);
/* Reads a bundle's command line. -ENOMEM, or -EINVAL after an error was added; the caller frees *ret. */
int image_read_cmdline(const struct image *image, struct errors *errors, char **ret);
void image_close(struct image *image);

/*
 * Loads an image's segments from its file into memory, a step at a time: a file may be large, and compressed. A step is
 * of 64 KiB, with lz4 of a block, up to 8 MiB. `mem` NULL: only checks that all is there. Both outlive the load. If the
 * image has a digest, that was begun before; the load ends it.
 */
struct image_load;
/* -ENOMEM. */
int image_load_begin(
	const struct image *image, const struct guestmem *mem, struct image_load **ret);
/* 1: there is more; 0: all is loaded. -EINVAL after an error was added; also if the file is shorter. */
int image_load_step(struct image_load *load, struct errors *errors);
/* Takes NULL, and a load that is not finished. */
void image_load_end(struct image_load *load);
/*
 * Of a load that only checks, once it has ended: the version that Linux's data says, "6.12.74+deb13-arm64"; "" if none was
 * found. Printable characters.
 */
const char *image_load_version(const struct image_load *load);

#endif
