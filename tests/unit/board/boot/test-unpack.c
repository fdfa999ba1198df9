/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed data of each kind, whole, in pieces, cut off, damaged, and asking for too much memory. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "board/boot/unpack.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/packing.h"

#define LEN  (100 * KiB)
#define ROOM (20 * MiB)

static uint8_t *data, *packed, *got;
static size_t packed_len;

static int make(void **state)
{
	data = malloc(ROOM);
	packed = malloc(ROOM);
	got = malloc(ROOM);
	assert_true(data && packed && got);
	srandom(1);
	/* Half of it is hard to pack. */
	for (size_t i = 0; i < ROOM; i++)
		data[i] = (uint8_t)(i >> 14 & 1 ? random() : i >> 6);
	return 0;
}

static int drop(void **state)
{
	free(data);
	free(packed);
	free(got);
	return 0;
}

/* Unpacks what is at `packed`, at most so many bytes in and out a call. What unpack_some() said last; 0: no end came. */
static int run(size_t in, size_t out, size_t *ret_len, const char **ret_why)
{
	enum unpack_kind kind = unpack_kind(packed, packed_len);
	struct unpack_piece piece = { .in = packed };
	struct unpack *unpack;
	size_t left = packed_len;
	int status;

	*ret_len = 0;
	if (kind == UNPACK_KINDS)
		return 0;
	assert_int_equal(unpack_begin(kind, &unpack), 0);
	for (;;) {
		size_t more = left < in - piece.in_len ? left : in - piece.in_len;
		size_t room = ROOM - *ret_len < out ? ROOM - *ret_len : out, had;

		left -= more;
		piece.in_len += more;
		piece.last = !left;
		piece.out = got + *ret_len;
		piece.out_len = room;
		had = piece.in_len;
		status = unpack_some(unpack, &piece, ret_why);
		assert_true(status == 0 || status == 1 || status == -EINVAL);
		assert_in_range(piece.out_len, 0, room);
		assert_in_range(piece.in_len, 0, had);
		assert_ptr_equal(piece.out + piece.out_len, got + *ret_len + room);
		*ret_len += room - piece.out_len;
		if (status || (had == piece.in_len && room == piece.out_len && !left))
			break;
	}
	unpack_end(unpack);
	return status;
}

static void all_pieces(void **state)
{
	static const size_t sizes[] = { 1, 3, 1000, 64 * KiB, ROOM };
	const char *why;
	size_t len;

	for (unsigned i = 0; i < PACKINGS; i++) {
		packed_len = pack(i, data, LEN, packed, ROOM);
		for (size_t in = 0; in < ARRAY_SIZE(sizes); in++)
			for (size_t out = 0; out < ARRAY_SIZE(sizes); out++) {
				memset(got, 0, LEN);
				assert_int_equal(run(sizes[in], sizes[out], &len, &why), 1);
				assert_int_equal(len, LEN);
				assert_memory_equal(got, data, LEN);
			}
	}
}

/* Blocks of the older lz4 are 8 MiB; Linux's build may put the size of what is packed behind the last one. */
static void old_lz4_blocks(void **state)
{
	static const size_t lens[] = { 1, 8 * MiB - 1, 8 * MiB, 8 * MiB + 1, 16 * MiB };
	const char *why;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		for (unsigned appended = 0; appended <= 4; appended += 4) {
			packed_len = pack(PACK_LZ4_OLD, data, lens[i], packed, ROOM);
			memcpy(packed + packed_len, &lens[i], appended);
			packed_len += appended;
			assert_int_equal(run(64 * KiB, 64 * KiB, &len, &why), 1);
			assert_int_equal(len, lens[i]);
			assert_memory_equal(got, data, len);
		}
	/* It may be padded with zeros. Another size than it has is none of its own. */
	packed_len = pack(PACK_LZ4_OLD, data, 1000, packed, ROOM);
	memset(packed + packed_len, 0, 512);
	packed_len += 512;
	assert_int_equal(run(64 * KiB, 64 * KiB, &len, &why), 1);
	assert_int_equal(len, 1000);
	packed_len -= 508;
	packed[packed_len - 4] = 77;
	assert_int_equal(run(64 * KiB, 64 * KiB, &len, &why), 0);
	/* More than a block packs to. */
	packed_len -= 4;
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t size = 8 * MiB + 8 * MiB / 255 + 16 + i;

		memcpy(packed + 4, &size, 4);
		assert_int_equal(run(ROOM, ROOM, &len, &why), i ? -EINVAL : 0);
	}
	assert_string_equal(why, "a block has no size that lz4 writes");
	/* Two files in one, as cat makes them. */
	packed_len = pack(PACK_LZ4_OLD, data, 1000, packed, ROOM);
	packed_len += pack(PACK_LZ4_OLD, data + 1000, 1000, packed + packed_len, ROOM - packed_len);
	assert_int_equal(run(ROOM, ROOM, &len, &why), 1);
	assert_int_equal(len, 2000);
	assert_memory_equal(got, data, 2000);
}

/* The older lz4 has no end of its own: cut between two blocks it is a shorter file. */
static void cut_off_anywhere(void **state)
{
	const char *why;
	size_t len, whole;

	for (unsigned i = 0; i < PACKINGS; i++) {
		whole = pack(i, data, 20000, packed, ROOM);
		for (size_t at = 1; at < whole; at += at < 64 || at > whole - 64 ? 1 : 61) {
			packed_len = at;
			if (i == PACK_LZ4_OLD && at == 4) {
				assert_int_equal(run(ROOM, ROOM, &len, &why), 1);
				assert_int_equal(len, 0);
				continue;
			}
			assert_true(run(ROOM, ROOM, &len, &why) <= 0);
			assert_true(len <= 20000);
		}
	}
}

/* Not all have a checksum. None writes beyond its room, or goes on for ever. */
static void damaged_anywhere(void **state)
{
	const char *why;
	size_t len, whole;

	for (unsigned i = 0; i < PACKINGS; i++) {
		whole = pack(i, data, 5000, packed, ROOM);
		packed_len = whole;
		for (size_t at = 0; at < whole; at += at < 64 || at > whole - 64 ? 1 : 31)
			for (unsigned bit = 0; bit < 8; bit++) {
				packed[at] ^= (uint8_t)(1 << bit);
				run(700, 900, &len, &why);
				packed[at] ^= (uint8_t)(1 << bit);
			}
		assert_int_equal(run(700, 900, &len, &why), 1);
		assert_int_equal(len, 5000);
	}
}

/* As if it had been packed with a window of 2^log bytes: RFC 8878, 3.1.1.1.2. */
static void pack_with_window(unsigned log)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	ZSTD_inBuffer in = { data, LEN, 0 };
	ZSTD_outBuffer out = { packed, ROOM, 0 };

	/* As a stream: else the window is as large as the data. */
	assert_int_equal(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_flush), 0);
	assert_int_equal(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end), 0);
	ZSTD_freeCCtx(zstd);
	packed_len = out.pos;
	packed[5] = (uint8_t)((log - 10) << 3);
}

/* And with a dictionary of so many bytes, 2 or 3 times a power of two. */
static void pack_with_dictionary(enum packing packing, uint32_t bytes)
{
	packed_len = pack(packing, data, LEN, packed, ROOM);
	if (packing == PACK_XZ) {
		uint8_t *header = packed + 12, *filter; /* of the first block */
		size_t len = header[0] * 4u;
		uint32_t check;

		filter = memmem(header, len, "\x21\x01", 2); /* LZMA2, and a byte of properties */
		assert_non_null(filter);
		filter[2] = bytes == 128 * MiB ? 30 : 31;
		check = lzma_crc32(header, len, 0);
		memcpy(header + len, &check, sizeof(check));
	} else {
		memcpy(packed + 1, &bytes, sizeof(bytes));
	}
}

/* The widest windows of Linux's build are unpacked, wider ones are not. */
static void memory_is_bounded(void **state)
{
	const char *why;
	size_t len;

	pack_with_window(27);
	assert_int_equal(run(ROOM, ROOM, &len, &why), 1);
	pack_with_window(28);
	assert_int_equal(run(ROOM, ROOM, &len, &why), -EINVAL);
	assert_string_equal(why, "Frame requires too much memory for decoding");
	for (unsigned i = PACK_XZ; i <= PACK_LZMA; i++) {
		pack_with_dictionary(i, 128 * MiB);
		assert_int_equal(run(ROOM, ROOM, &len, &why), 1);
		pack_with_dictionary(i, 192 * MiB);
		assert_int_equal(run(ROOM, ROOM, &len, &why), -EINVAL);
		assert_string_equal(why, "to unpack it takes more than 160 MiB");
	}
}

static void what_begins_so(void **state)
{
	for (unsigned i = 0; i < PACKINGS; i++) {
		enum unpack_kind kind;

		packed_len = pack(i, data, 100, packed, ROOM);
		kind = unpack_kind(packed, packed_len);
		assert_int_equal(kind, i == PACK_LZ4_OLD ? UNPACK_LZ4 : (enum unpack_kind)i);
		assert_int_equal(strncmp(packing_names[i], unpack_name(kind), 2), 0);
		assert_non_null(strstr(unpack_library(kind), ".so."));
		assert_int_equal(unpack_kind(packed, 1), UNPACK_KINDS);
		packed[1] ^= 1;
		assert_int_equal(unpack_kind(packed, packed_len), UNPACK_KINDS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_pieces),
		cmocka_unit_test(old_lz4_blocks),
		cmocka_unit_test(cut_off_anywhere),
		cmocka_unit_test(damaged_anywhere),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(what_begins_so),
	};

	return cmocka_run_group_tests_name("unpack", tests, make, drop);
}
