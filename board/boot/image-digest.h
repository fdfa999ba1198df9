/* SPDX-License-Identifier: Apache-2.0 */
/*
 * That the bytes of an image that are used are those that its digest is of, though its file may change between any two
 * reads. An image is described before it has a place in memory, so some of its bytes are read twice. What describing it
 * reads is stored here, and compared when the load reads it again. The load reads every byte of the image once, in order,
 * those that nobody needs too, and passes them to the digest.
 */
#ifndef SLUICE_BOARD_BOOT_IMAGE_DIGEST_H
#define SLUICE_BOARD_BOOT_IMAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board/fit/fit-digest.h"

struct errors;

struct image_seen {
	uint64_t offset; /* in the file */
	size_t len;
	uint8_t *data;
};

struct image_digest {
	struct image_seen *seen;
	size_t seen_count;
	struct fit_digest *
		digest; /* of the load under way, or of the last one; NULL: the image is described */
	uint64_t at;	/* what the load reads next */
	bool failed;	/* no memory to keep what was read */
	bool differs;	/* the load read other bytes than describing did */
};

/* Before an image is described: forgets all. */
void image_digest_clear(struct image_digest *digest);
/* Before it is loaded, from its first byte at `offset` on. As fit_digest_begin(). */
int image_digest_begin(struct image_digest *digest, struct fit_trust *trust,
	const struct fit_image *image, uint64_t offset, struct errors *errors);
/* So many bytes were read at `offset`; in a load that is where the last ones ended. */
void image_digest_read(struct image_digest *digest, uint64_t offset, const void *data, size_t len);
/* All were. `path` is for messages. -EINVAL after an error was added, -ENOMEM. */
int image_digest_end(struct image_digest *digest, const char *path, struct errors *errors);

#endif
