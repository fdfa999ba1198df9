/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by image.c (files, what is known of formats, loading) and by the readers of single formats. */
#ifndef SLUICE_BOARD_BOOT_IMAGE_INTERNAL_H
#define SLUICE_BOARD_BOOT_IMAGE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board/boot/image.h"
#include "hyp/base/util.h"

#define IMAGE_HEAD  1024 /* bytes of a file, or of data compressed in it, that identify its format */
#define IMAGE_CHUNK (64 * KiB) /* that are read or unpacked at once */

/* A part of the file, all of which is in it, and its first bytes. */
struct image_part {
	uint64_t offset, size;
	uint8_t head[IMAGE_HEAD];
	size_t len; /* of the head */
};

/* Adds an error. Returns -EINVAL. */
int image_refuse(const struct image *image, struct errors *errors, const char *what);
/* The same, for what is cut short: `need` bytes, of `has`. */
int image_refuse_short(
	const struct image *image, struct errors *errors, uint64_t need, uint64_t has);
/* Reads all `len` bytes. -EINVAL after an error was added. */
int image_read(const struct image *image, uint64_t offset, void *ret_buf, uint64_t len,
	struct errors *errors);

/* `head` has the `magic_len` bytes of `magic` at `at`. */
bool image_has(const uint8_t *head, size_t len, size_t at, const char *magic, size_t magic_len);
#define IMAGE_HAS(part, at, magic)                                                                 \
	image_has((part)->head, (part)->len, at, magic, sizeof(magic) - 1)

/* Adds an error that names the format, which Sluice cannot start, of data that begins so. Returns -EINVAL. */
int image_refuse_foreign(
	const struct image *image, const uint8_t *head, size_t len, struct errors *errors);

/* Readers of formats: describe the part. -EINVAL after an error was added. */
/* Whichever of Linux's formats the part has. 1: none of them. Sets image->kind. */
int image_describe_any_linux(
	struct image *image, const struct image_part *part, struct errors *errors);
/* An arm64 Image that is packed so, whatever it begins with. */
int image_describe_packed(struct image *image, enum unpack_kind kind, const struct image_part *part,
	struct errors *errors);
int image_describe_elf(struct image *image, const struct image_part *part, struct errors *errors);
/* The part is a PE file for arm64 with a section .linux. */
bool image_is_bundle(const struct image *image, const struct image_part *part);
int image_describe_bundle(
	struct image *image, const struct image_part *part, struct errors *errors);

/* Compressed data in a part of the file, unpacked in steps of bounded length (image-packed.c). */
struct packed;
/* Begins with `size` bytes at `offset`, which are packed as image->packing says. -EINVAL after an error was added. */
int packed_begin(const struct image *image, uint64_t offset, uint64_t size, struct errors *errors,
	struct packed **ret);
/*
 * Unpacks at most `room` bytes, from at most IMAGE_CHUNK more of the file: such data may hold nothing. -EINVAL after
 * an error was added.
 */
int packed_step(struct packed *packed, uint8_t *out, unsigned room, uint64_t *ret_size,
	struct errors *errors);
/* All of it has been unpacked. */
bool packed_ended(const struct packed *packed);
/* Takes NULL. */
void packed_end(struct packed *packed);

#endif
