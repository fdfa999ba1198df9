/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes: what is read, what is refused, and that what is printed reads back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "board/text/size.h"
#include "hyp/base/util.h"

static void forms_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "0GiB", 0 },
		{ "512MiB", 512 * MiB },
		{ "1GiB", GiB },
		{ "1G", GiB },
		{ "1g", GiB },
		{ "1gib", GiB },
		{ "1 GiB", GiB },
		{ "1.5GiB", 1536 * MiB },
		{ "0.25K", 256 },
		{ "1.000000G", GiB },
		{ "1073741824", GiB },
		{ "100 bytes", 100 },
		{ "100B", 100 },
		{ "2T", 2 * TiB },
		{ "9223372036854775807", INT64_MAX },
		{ "8388607T", 8388607 * TiB },
		{ "0.015625K", 16 }, /* six decimals */
		{ "3kib", 3 * KiB },
		{ "3B", 3 },
		{ "3 b", 3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		uint64_t bytes = 42;

		assert_int_equal(size_parse(good[i].text, &bytes), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
}

static void forms_refused(void **state)
{
	static const char *const bad[] = { "", " ", "x", "-1", "+1", "1GB", "1MB", "1 ", "G", "1.",
		".5G", "1.5", "1.0000001G", "1.0000000G", "1GiBs", "1,5G", "0x10", "1  G", "1e3",
		"1.5.5G" };
	static const char *const far[] = { "9223372036854775808", "8388608T",
		"99999999999999999999", "99999999999999999999999999999999999999999999999999",
		"9223372036854775807K", "340282366920938463463374607431768211456" /* 2^128 */ };
	uint64_t bytes = 42;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(size_parse(bad[i], &bytes), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(far); i++)
		assert_int_equal(size_parse(far[i], &bytes), -ERANGE);
	assert_int_equal(bytes, 42);
}

static void prints_exactly(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} table[] = {
		{ 0, "0" },
		{ 1, "1 bytes" },
		{ 1023, "1023 bytes" },
		{ KiB, "1 KiB" },
		{ 1536 * MiB, "1.5 GiB" },
		{ GiB + 256 * MiB, "1.25 GiB" },
		{ GiB + 128 * MiB, "1152 MiB" },
		{ 4 * GiB + 2 * MiB, "4098 MiB" },
		{ GiB - 4 * KiB, "1048572 KiB" },
		{ GiB - 1, "1073741823 bytes" },
		{ 64 * GiB, "64 GiB" },
		{ 500 * GiB, "500 GiB" },
		{ 1024 * GiB, "1 TiB" },
		{ INT64_MAX, "9223372036854775807 bytes" },
	};
	char buf[SIZE_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_string_equal(size_print(buf, table[i].bytes), table[i].text);
}

static void prints_reads_back(void **state)
{
	uint64_t bytes = 1;

	for (int i = 0; i < 100000; i++) {
		char buf[SIZE_TEXT];
		uint64_t back = 0, value;

		bytes = bytes * UINT64_C(6364136223846793005) + 1442695040888963407;
		value = bytes >> (1 + i % 63) << (i % 7 * 10) & INT64_MAX;
		if (!value)
			continue;
		assert_int_equal(size_parse(size_print(buf, value), &back), 0);
		assert_int_equal(back, value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_read),
		cmocka_unit_test(forms_refused),
		cmocka_unit_test(prints_exactly),
		cmocka_unit_test(prints_reads_back),
	};

	return cmocka_run_group_tests_name("size", tests, NULL, NULL);
}
