/* SPDX-License-Identifier: Apache-2.0 */
/* gzip, by zlib; see unpack.h. */
#include "board/boot/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

struct unpack {
	z_stream z;
};

int unpack_begin(struct unpack **ret)
{
	struct unpack *unpack = calloc(1, sizeof(*unpack));
	int status = unpack ? inflateInit2(&unpack->z, 15 + 16) : Z_MEM_ERROR; /* gzip's header */

	if (status != Z_OK) {
		free(unpack);
		return status == Z_VERSION_ERROR ? -ENOENT : -ENOMEM;
	}
	*ret = unpack;
	return 0;
}

void unpack_end(struct unpack *unpack)
{
	if (unpack)
		inflateEnd(&unpack->z);
	free(unpack);
}

int unpack_some(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why)
{
	z_stream *z = &unpack->z;
	int status;

	z->next_in = (uint8_t *)piece->in;
	z->avail_in = (unsigned)piece->in_len;
	z->next_out = piece->out;
	z->avail_out = (unsigned)piece->out_len;
	status = inflate(z, Z_NO_FLUSH);
	piece->in = z->next_in;
	piece->in_len = z->avail_in;
	piece->out = z->next_out;
	piece->out_len = z->avail_out;
	if (status == Z_STREAM_END)
		return 1;
	if (status == Z_OK || status == Z_BUF_ERROR)
		return 0;
	*ret_why = z->msg ? z->msg : "not gzip";
	return -EINVAL;
}
