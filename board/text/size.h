/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes as people write them. Units are powers of 1024: KiB, MiB, GiB, TiB, or their first letter.
 * What is printed is exact, and can be read back.
 */
#ifndef SLUICE_BOARD_TEXT_SIZE_H
#define SLUICE_BOARD_TEXT_SIZE_H

#include <stdint.h>

/* The forms that size_parse() accepts, for messages. */
#define SIZE_FORMS "a number of bytes, or one with K, M, G or T (KiB, MiB, ...): 0, 512MiB, 1.5GiB"

/*
 * Reads "0", "512MiB", "1 GiB", "1G", "1.5GiB", "1073741824", all of `text`. -EINVAL if it is none of these or not a
 * whole number of bytes; -ERANGE from 2^63 on, which JSON cannot carry.
 */
int size_parse(const char *text, uint64_t *ret_bytes);

#define SIZE_TEXT 32

/*
 * The size in the largest unit that shows it exactly with at most two decimals: "1.5 GiB",
 * "4098 MiB", "100 bytes". Returns `buf`.
 */
const char *size_print(char buf[SIZE_TEXT], uint64_t bytes);
/* The same in a buffer that lasts to the end of the block. */
#define SIZE(bytes) size_print((char[SIZE_TEXT]){ 0 }, bytes)

#endif
