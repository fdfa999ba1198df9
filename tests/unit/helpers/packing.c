/* SPDX-License-Identifier: Apache-2.0 */
/* See packing.h. */
#include "tests/unit/helpers/packing.h"

#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "hyp/base/util.h"

#define LZ4_BLOCK (8 * MiB)

const char *const packing_names[PACKINGS] = { "gzip", "zstd22", "xzkern", "lzma", "lz4", "lz4" };

static size_t pack_gzip(const void *data, size_t len, void *out, size_t room)
{
	z_stream z = { .next_in = (uint8_t *)data,
		.avail_in = (unsigned)len,
		.next_out = out,
		.avail_out = (unsigned)room };

	CHECK(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static size_t pack_lzma(const void *data, size_t len, void *out, size_t room)
{
	lzma_stream lzma = LZMA_STREAM_INIT;
	lzma_options_lzma options;
	size_t packed;

	lzma_lzma_preset(&options, 0);
	CHECK(lzma_alone_encoder(&lzma, &options) == LZMA_OK);
	lzma.next_in = data;
	lzma.avail_in = len;
	lzma.next_out = out;
	lzma.avail_out = room;
	CHECK(lzma_code(&lzma, LZMA_FINISH) == LZMA_STREAM_END);
	packed = room - lzma.avail_out;
	lzma_end(&lzma);
	return packed;
}

static size_t pack_lz4_old(const uint8_t *data, size_t len, uint8_t *out, size_t room)
{
	size_t at = 4;

	memcpy(out, "\x02\x21\x4c\x18", 4);
	for (size_t from = 0; from < len; from += LZ4_BLOCK) {
		size_t block = len - from < LZ4_BLOCK ? len - from : LZ4_BLOCK;
		int packed;

		CHECK(at + 4 < room);
		packed = LZ4_compress_default((const char *)data + from, (char *)out + at + 4,
			(int)block, (int)(room - at - 4));
		CHECK(packed > 0);
		memcpy(out + at, &packed, 4);
		at += 4 + (size_t)packed;
	}
	return at;
}

size_t pack(enum packing packing, const void *data, size_t len, void *out, size_t room)
{
	size_t packed = 0;

	switch (packing) {
	case PACK_GZIP:
		return pack_gzip(data, len, out, room);
	case PACK_ZSTD:
		packed = ZSTD_compress(out, room, data, len, 1);
		CHECK(!ZSTD_isError(packed));
		return packed;
	case PACK_XZ:
		CHECK(lzma_easy_buffer_encode(
			      0, LZMA_CHECK_CRC32, NULL, data, len, out, &packed, room) == LZMA_OK);
		return packed;
	case PACK_LZMA:
		return pack_lzma(data, len, out, room);
	case PACK_LZ4:
		packed = LZ4F_compressFrame(out, room, data, len, NULL);
		CHECK(!LZ4F_isError(packed));
		return packed;
	case PACK_LZ4_OLD:
		return pack_lz4_old(data, len, out, room);
	case PACKINGS:
		break;
	}
	CHECK(false);
	return 0;
}
