/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of compressed data, each by its library; see unpack.h. */
#include "board/boot/unpack.h"

#include <errno.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "board/host/libraries.h"
#include "hyp/base/util.h"

/* Blocks of the older lz4 format are of so many bytes, the last one may be shorter. */
#define LZ4_BLOCK	(8 * MiB)
#define LZ4_PACKED	((size_t)LZ4_COMPRESSBOUND(LZ4_BLOCK))
#define ZSTD_WINDOW_LOG 27

/* The older lz4 format: its magic, then each block after its size. */
struct lz4_blocks {
	bool in_block;		 /* what is read next is a block; else a size, or the magic */
	size_t have, need;	 /* bytes of that in `in` */
	size_t given, given_end; /* of `out` */
	uint32_t all;		 /* bytes of all blocks, as far as they were unpacked */
	uint8_t in[LZ4_PACKED];
	uint8_t out[LZ4_BLOCK];
};

struct unpack {
	const struct kind *kind;
	z_stream z;
	ZSTD_DCtx *zstd;
	lzma_stream lzma;
	LZ4F_dctx *lz4;		       /* a frame of today's format ... */
	struct lz4_blocks *lz4_blocks; /* ... or one of the older one; which, the first byte says */
};

/* ---- gzip ---- */

static int gzip_begin(struct unpack *unpack)
{
	return inflateInit2(&unpack->z, 15 + 16) == Z_OK ? 0 : -ENOMEM; /* with gzip's header */
}

static void gzip_end(struct unpack *unpack)
{
	inflateEnd(&unpack->z);
}

static int gzip_some(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why)
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
	*ret_why = z->msg ? z->msg : status == Z_MEM_ERROR ? "out of memory" : "not gzip";
	return -EINVAL;
}

/* ---- zstd ---- */

static int zstd_begin(struct unpack *unpack)
{
	unpack->zstd = ZSTD_createDCtx();
	if (!unpack->zstd)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(unpack->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	return 0;
}

static void zstd_end(struct unpack *unpack)
{
	ZSTD_freeDCtx(unpack->zstd);
}

static int zstd_some(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why)
{
	ZSTD_inBuffer in = { piece->in, piece->in_len, 0 };
	ZSTD_outBuffer out = { piece->out, piece->out_len, 0 };
	size_t status = ZSTD_decompressStream(unpack->zstd, &out, &in);

	piece->in += in.pos;
	piece->in_len -= in.pos;
	piece->out += out.pos;
	piece->out_len -= out.pos;
	if (!ZSTD_isError(status))
		return !status;
	*ret_why = ZSTD_getErrorName(status);
	return -EINVAL;
}

/* ---- xz, lzma ---- */

static int xz_begin(struct unpack *unpack)
{
	return lzma_stream_decoder(&unpack->lzma, UNPACK_MEMORY, 0) == LZMA_OK ? 0 : -ENOMEM;
}

static int lzma_begin(struct unpack *unpack)
{
	return lzma_alone_decoder(&unpack->lzma, UNPACK_MEMORY) == LZMA_OK ? 0 : -ENOMEM;
}

static void xz_end(struct unpack *unpack)
{
	lzma_end(&unpack->lzma);
}

static int xz_some(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why)
{
	lzma_stream *lzma = &unpack->lzma;
	lzma_ret status;

	lzma->next_in = piece->in;
	lzma->avail_in = piece->in_len;
	lzma->next_out = piece->out;
	lzma->avail_out = piece->out_len;
	status = lzma_code(lzma, LZMA_RUN);
	piece->in = lzma->next_in;
	piece->in_len = lzma->avail_in;
	piece->out = lzma->next_out;
	piece->out_len = lzma->avail_out;
	if (status == LZMA_STREAM_END)
		return 1;
	if (status == LZMA_OK || status == LZMA_BUF_ERROR)
		return 0;
	*ret_why = status == LZMA_MEMLIMIT_ERROR ? "to unpack it takes more than 160 MiB"
		   : status == LZMA_MEM_ERROR	 ? "out of memory"
		   : status == LZMA_OPTIONS_ERROR
			   ? "it has what this liblzma does not know: install a newer one"
			   : "the data is corrupt";
	return -EINVAL;
}

/* ---- lz4 ---- */

static const uint8_t lz4_magic[] = { 0x04, 0x22, 0x4d, 0x18 };
static const uint8_t lz4_blocks_magic[] = { 0x02, 0x21, 0x4c, 0x18 };

static int lz4_begin(struct unpack *unpack)
{
	return 0;
}

static void lz4_end(struct unpack *unpack)
{
	LZ4F_freeDecompressionContext(unpack->lz4);
	free(unpack->lz4_blocks);
}

static int lz4_frame(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why)
{
	size_t in = piece->in_len, out = piece->out_len;
	size_t status = LZ4F_decompress(unpack->lz4, piece->out, &out, piece->in, &in, NULL);

	if (LZ4F_isError(status)) {
		*ret_why = LZ4F_getErrorName(status);
		return -EINVAL;
	}
	piece->in += in;
	piece->in_len -= in;
	piece->out += out;
	piece->out_len -= out;
	return !status;
}

/* What `in` has come to: a size, a magic, or a block. 1: the end. */
static int take_lz4_part(struct lz4_blocks *blocks, bool last, const char **ret_why)
{
	uint32_t size;
	int got;

	blocks->have = 0;
	if (blocks->in_block) {
		got = LZ4_decompress_safe((const char *)blocks->in, (char *)blocks->out,
			(int)blocks->need, LZ4_BLOCK);
		*ret_why = "the data is corrupt";
		if (got <= 0)
			return -EINVAL;
		blocks->given = 0;
		blocks->given_end = (size_t)got;
		blocks->all += (uint32_t)got;
		blocks->in_block = false;
		blocks->need = sizeof(size);
		return 0;
	}
	if (!memcmp(blocks->in, lz4_blocks_magic, sizeof(lz4_blocks_magic)))
		return 0;
	memcpy(&size, blocks->in, sizeof(size));
	size = le32toh(size);
	/* Linux's build may append the size of all that is packed; others pad with zeros. */
	if (!size || (last && size == blocks->all))
		return 1;
	blocks->need = size;
	blocks->in_block = true;
	*ret_why = "a block has no size that lz4 writes";
	return size <= LZ4_PACKED ? 0 : -EINVAL;
}

static int lz4_old(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why)
{
	struct lz4_blocks *blocks = unpack->lz4_blocks;

	for (;;) {
		size_t left = blocks->given_end - blocks->given, n;
		int status;

		if (left) {
			n = left < piece->out_len ? left : piece->out_len;
			memcpy(piece->out, blocks->out + blocks->given, n);
			blocks->given += n;
			piece->out += n;
			piece->out_len -= n;
			if (!piece->out_len)
				return 0;
		}
		/* It has no end of its own. */
		if (piece->last && !piece->in_len && !blocks->have && !blocks->in_block)
			return 1;
		n = blocks->need - blocks->have;
		n = n < piece->in_len ? n : piece->in_len;
		memcpy(blocks->in + blocks->have, piece->in, n);
		blocks->have += n;
		piece->in += n;
		piece->in_len -= n;
		if (blocks->have < blocks->need)
			return 0;
		status = take_lz4_part(blocks, piece->last && !piece->in_len, ret_why);
		if (status)
			return status;
	}
}

static int lz4_some(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why)
{
	if (!unpack->lz4 && !unpack->lz4_blocks) {
		if (!piece->in_len)
			return 0;
		*ret_why = "out of memory";
		if (piece->in[0] == lz4_magic[0]) {
			if (LZ4F_isError(
				    LZ4F_createDecompressionContext(&unpack->lz4, LZ4F_VERSION)))
				return -EINVAL;
		} else {
			unpack->lz4_blocks = calloc(1, sizeof(*unpack->lz4_blocks));
			if (!unpack->lz4_blocks)
				return -EINVAL;
			unpack->lz4_blocks->need = sizeof(lz4_blocks_magic);
		}
	}
	return unpack->lz4 ? lz4_frame(unpack, piece, ret_why) : lz4_old(unpack, piece, ret_why);
}

/* ---- All of them ---- */

static const struct kind {
	const char *name, *library;
	enum library load;
	size_t lead;
	int (*begin)(struct unpack *unpack);
	void (*end)(struct unpack *unpack);
	int (*some)(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why);
} kinds[UNPACK_KINDS] = {
	[UNPACK_GZIP] = { "gzip", "zlib (libz.so.1)", LIBRARY_ZLIB, MiB, gzip_begin, gzip_end,
		gzip_some },
	[UNPACK_ZSTD] = { "zstd", "libzstd.so.1", LIBRARY_ZSTD, MiB, zstd_begin, zstd_end,
		zstd_some },
	[UNPACK_XZ] = { "xz", "liblzma.so.5", LIBRARY_LZMA, MiB, xz_begin, xz_end, xz_some },
	[UNPACK_LZMA] = { "lzma", "liblzma.so.5", LIBRARY_LZMA, MiB, lzma_begin, xz_end, xz_some },
	[UNPACK_LZ4] = { "lz4", "liblz4.so.1", LIBRARY_LZ4, LZ4_PACKED + MiB, lz4_begin, lz4_end,
		lz4_some },
};

enum unpack_kind unpack_kind(const uint8_t *head, size_t len)
{
	static const struct {
		enum unpack_kind kind;
		const char *magic;
		size_t len;
	} magics[] = {
#define MAGIC(kind, bytes) { kind, bytes, sizeof(bytes) - 1 }
		MAGIC(UNPACK_GZIP, "\x1f\x8b"),
		MAGIC(UNPACK_ZSTD, "\x28\xb5\x2f\xfd"),
		MAGIC(UNPACK_XZ, "\xfd\x37\x7a\x58\x5a"),
		MAGIC(UNPACK_LZMA, "\x5d\x00\x00"), /* what all compressors write: no magic */
		MAGIC(UNPACK_LZ4, "\x04\x22\x4d\x18"),
		MAGIC(UNPACK_LZ4, "\x02\x21\x4c\x18"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if (len >= magics[i].len && !memcmp(head, magics[i].magic, magics[i].len))
			return magics[i].kind;
	return UNPACK_KINDS;
}

const char *unpack_name(enum unpack_kind kind)
{
	return kinds[kind].name;
}

const char *unpack_library(enum unpack_kind kind)
{
	return kinds[kind].library;
}

size_t unpack_lead(enum unpack_kind kind)
{
	return kinds[kind].lead;
}

int unpack_begin(enum unpack_kind kind, struct unpack **ret)
{
	struct unpack *unpack;
	int err;

	if (!library_load(kinds[kind].load))
		return -ENOENT;
	unpack = calloc(1, sizeof(*unpack));
	if (!unpack)
		return -ENOMEM;
	unpack->kind = &kinds[kind];
	err = unpack->kind->begin(unpack);
	if (err) {
		free(unpack);
		return err;
	}
	*ret = unpack;
	return 0;
}

void unpack_end(struct unpack *unpack)
{
	if (unpack)
		unpack->kind->end(unpack);
	free(unpack);
}

int unpack_some(struct unpack *unpack, struct unpack_piece *piece, const char **ret_why)
{
	return unpack->kind->some(unpack, piece, ret_why);
}
