/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed data of an image's file; see image-internal.h. */
#include <errno.h>
#include <stdlib.h>

#include "board/boot/image-internal.h"
#include "board/text/errors.h"

struct packed {
	const struct image *image;
	uint64_t offset, left; /* what is still to be read of the file */
	bool ended;
	struct unpack *unpack;
	struct unpack_piece piece;
	uint8_t in[IMAGE_CHUNK];
};

int packed_begin(const struct image *image, uint64_t offset, uint64_t size, struct errors *errors,
	struct packed **ret)
{
	struct packed *packed = calloc(1, sizeof(*packed));
	int err = packed ? unpack_begin(image->packing, &packed->unpack) : -ENOMEM;

	if (err) {
		free(packed);
		if (err != -ENOENT)
			return image_refuse(image, errors, "out of memory");
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
	unsigned n = packed->left < IMAGE_CHUNK ? packed->left : IMAGE_CHUNK;

	if (image_read(packed->image, packed->offset, packed->in, n, errors))
		return -EINVAL;
	packed->offset += n;
	packed->left -= n;
	packed->piece.in = packed->in;
	packed->piece.in_len = n;
	packed->piece.last = !packed->left;
	return 0;
}

int packed_step(struct packed *packed, uint8_t *out, unsigned room, uint64_t *ret_size,
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

bool packed_ended(const struct packed *packed)
{
	return packed->ended;
}

void packed_end(struct packed *packed)
{
	if (packed)
		unpack_end(packed->unpack);
	free(packed);
}
