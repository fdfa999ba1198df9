/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks compressed data, a piece at a time, from memory to memory. The data is hostile: whatever it is, a call
 * ends, and writes no more than it has room for. The library is loaded when the first data is unpacked.
 */
#ifndef SLUICE_BOARD_BOOT_UNPACK_H
#define SLUICE_BOARD_BOOT_UNPACK_H

#include <stddef.h>
#include <stdint.h>

struct unpack;

/* What a call takes and gives; it moves the pointers on, and the lengths down. */
struct unpack_piece {
	const uint8_t *in;
	size_t in_len;
	uint8_t *out;
	size_t out_len;
};

/* -ENOMEM; -ENOENT: zlib (libz.so.1) cannot be loaded. */
int unpack_begin(struct unpack **ret);
/* Takes NULL, and data that did not come to its end. */
void unpack_end(struct unpack *unpack);
/*
 * Unpacks until the input is used up or the room is full. 1: the data ends here; 0: it goes on. -EINVAL: it is
 * damaged; `ret_why`, a static string, says how.
 */
int unpack_some(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why);

#endif
