/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks compressed data, a piece at a time, from memory to memory. The data is hostile: whatever it is, a call
 * ends, writes no more than it has room for, and all take at most UNPACK_MEMORY. Each kind has a library, which is
 * loaded when such data is unpacked first (board/host/libraries.h).
 */
#ifndef SLUICE_BOARD_BOOT_UNPACK_H
#define SLUICE_BOARD_BOOT_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What data may ask for to be unpacked, in bytes. The widest windows that Linux's build writes are 128 MiB (zstd -22,
 * xz). They are used as far as there is data.
 */
#define UNPACK_MEMORY (160 << 20)

enum unpack_kind {
	UNPACK_GZIP,
	UNPACK_ZSTD,
	UNPACK_XZ,
	UNPACK_LZMA,
	UNPACK_LZ4, /* frames of the format of today, and of the older one, which Linux's build writes (lz4 -l) */
	UNPACK_KINDS
};

/* What data that begins so is; UNPACK_KINDS: none of these. */
enum unpack_kind unpack_kind(const uint8_t *head, size_t len);
/* "gzip" */
const char *unpack_name(enum unpack_kind kind);
/* "zlib (libz.so.1)" */
const char *unpack_library(enum unpack_kind kind);
/* So many bytes may have to be read before the first one is unpacked, if the data is no trick. */
size_t unpack_lead(enum unpack_kind kind);

/* What a call takes and gives; it moves the pointers on, and the lengths down. */
struct unpack_piece {
	const uint8_t *in;
	size_t in_len;
	bool last; /* no input follows */
	uint8_t *out;
	size_t out_len;
};

struct unpack;
/* -ENOMEM; -ENOENT: the library cannot be loaded. */
int unpack_begin(enum unpack_kind kind, struct unpack **ret);
/* Takes NULL, and data that did not come to its end. */
void unpack_end(struct unpack *unpack);
/*
 * Unpacks until the input is used up or the room is full. 1: the data ends here; 0: it goes on. -EINVAL: it is
 * damaged, or asks for too much memory; `ret_why`, a static string, says how.
 */
int unpack_some(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why);

#endif
