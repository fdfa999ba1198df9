/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of an image, against its digest; see image-digest.h. */
#include "board/boot/image-digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board/text/errors.h"
#include "hyp/base/util.h"

void image_digest_clear(struct image_digest *digest)
{
	fit_digest_destroy(digest->digest);
	for (size_t i = 0; i < digest->seen_count; i++)
		free(digest->seen[i].data);
	free(digest->seen);
	*digest = (struct image_digest){ 0 };
}

int image_digest_begin(struct image_digest *digest, struct fit_trust *trust,
	const struct fit_image *image, uint64_t offset, struct errors *errors)
{
	fit_digest_destroy(digest->digest);
	digest->digest = NULL;
	digest->at = offset;
	digest->differs = false;
	return fit_digest_begin(trust, image, errors, &digest->digest);
}

/* Pieces of data that is unpacked to be described follow each other: they become one. */
static void keep(struct image_digest *digest, uint64_t offset, const void *data, size_t len)
{
	struct image_seen *last = digest->seen_count ? &digest->seen[digest->seen_count - 1] : NULL;
	uint8_t *grown;

	if (!last || last->offset + last->len != offset) {
		struct image_seen *more = reallocarray(
			digest->seen, digest->seen_count + 1, sizeof(*more));

		if (!more) {
			digest->failed = true;
			return;
		}
		digest->seen = more;
		last = &digest->seen[digest->seen_count++];
		*last = (struct image_seen){ .offset = offset };
	}
	grown = realloc(last->data, last->len + len);
	if (!grown) {
		digest->failed = true;
		return;
	}
	memcpy(grown + last->len, data, len);
	last->data = grown;
	last->len += len;
}

static void compare(struct image_digest *digest, uint64_t offset, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < digest->seen_count; i++) {
		const struct image_seen *seen = &digest->seen[i];
		uint64_t from = seen->offset > offset ? seen->offset : offset;
		uint64_t to = seen->offset + seen->len < offset + len ? seen->offset + seen->len
								      : offset + len;

		if (from < to && memcmp(seen->data + (from - seen->offset), data + (from - offset),
					 to - from))
			digest->differs = true;
	}
}

void image_digest_read(struct image_digest *digest, uint64_t offset, const void *data, size_t len)
{
	if (!len)
		return;
	if (!digest->digest) {
		keep(digest, offset, data, len);
		return;
	}
	CHECK(offset == digest->at);
	digest->at += len;
	compare(digest, offset, data, len);
	fit_digest_update(digest->digest, data, len);
}

int image_digest_end(struct image_digest *digest, const char *path, struct errors *errors)
{
	int err = digest->failed ? -ENOMEM : fit_digest_end(digest->digest, errors);

	if (err || !digest->differs)
		return err;
	error_add(errors, path, NULL, "has changed while it was loaded: try again");
	return -EINVAL;
}
