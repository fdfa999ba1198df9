/* SPDX-License-Identifier: Apache-2.0 */
/* Data against its hashes, while it is read: each kind of hash, wrong ones, and a file that changes meanwhile. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-maker.h"

static struct builder b;

/* Of the 43 bytes below, by coreutils' and zlib's tools. */
static const char data[] = "The quick brown fox jumps over the lazy dog";
static const struct {
	const char *name, *value;
} known[] = {
	{ "crc32", "414fa339" },
	{ "md5", "9e107d9d372bb6826bd81d3542a419d6" },
	{ "sha1", "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12" },
	{ "sha256", "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592" },
	{ "sha384",
		"ca737f1014a48f4c0b6dd43cb177b0afd9e5169367544c494011e3317dbf9a509cb1e5dc1e85a941bbee3d7f2afbc9b1" },
	{ "sha512",
		"07e547d9586f6a73f73fbac0435ed76951218fb7d0c8d788a309d785436bbb642e93a252a954f23912547d1e8a3b5ed6e1bfd7097821233fa0538f3db854fee6" },
};

static void put_hash(const char *node, const char *algorithm, const char *hex, int change)
{
	uint8_t value[64];
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1] };

		value[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	if (change >= 0)
		value[(size_t)change / 8] ^= (uint8_t)(1 << change % 8);
	builder_begin(&b, node);
	builder_string(&b, "algo", algorithm);
	if (len)
		builder_property(&b, "value", value, len);
	builder_end(&b);
}

static void begin_image(void)
{
	builder_begin(&b, "");
	builder_begin(&b, "images");
	builder_begin(&b, "k");
	builder_string(&b, "type", "kernel");
	builder_string(&b, "arch", "arm64");
	builder_property(&b, "data", data, sizeof(data) - 1);
}

static struct blob end_image(void)
{
	builder_end(&b);
	builder_end(&b);
	builder_begin(&b, "configurations");
	builder_begin(&b, "c");
	builder_string(&b, "kernel", "k");
	builder_end(&b);
	builder_end(&b);
	builder_end(&b);
	return builder_finish(&b);
}

static void each_hash(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct blob blob;
		char what[200];

		begin_image();
		put_hash("hash-1", known[i].name, known[i].value, -1);
		blob = end_image();
		takes(&blob, NULL, NULL, "c signed by []: k: type 0,");
		blob_free(&blob);
		/* Its first and last bit. */
		for (int bit = 0; bit < (int)strlen(known[i].value) * 4;
			bit += (int)strlen(known[i].value) * 4 - 1) {
			begin_image();
			put_hash("hash-1", known[i].name, known[i].value, bit);
			blob = end_image();
			snprintf(what, sizeof(what),
				"x.itb: /images/k/hash-1: value: the image's data has another %s",
				known[i].name);
			refuses(&blob, NULL, NULL, what);
			blob_free(&blob);
		}
	}
}

/* All of them in one image, and each one wrong in its turn. */
static void all_hashes(void **state)
{
	for (size_t wrong = 0; wrong <= ARRAY_SIZE(known); wrong++) {
		struct blob blob;
		char what[100];

		begin_image();
		for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
			snprintf(what, sizeof(what), "hash-%zu", i);
			put_hash(what, known[i].name, known[i].value, i == wrong ? 7 : -1);
		}
		blob = end_image();
		snprintf(what, sizeof(what),
			"/images/k/hash-%zu: value: the image's data has another", wrong);
		if (wrong == ARRAY_SIZE(known))
			takes(&blob, NULL, NULL, "c signed by []: k:");
		else
			refuses(&blob, NULL, NULL, what);
		blob_free(&blob);
	}
}

static void hashes_that_cannot_be(void **state)
{
	static const struct {
		const char *node, *algorithm, *value, *what;
	} wrong[] = {
		{ "hash-1", "crc16-ccitt", "1234",
			"/images/k/hash-1: algo: \"crc16-ccitt\" is none of crc32, md5, sha1, sha256, sha384 and sha512" },
		{ "hash-1", "sha25", "1234", "\"sha25\" is none of" },
		{ "hash-1", "sha2567", "1234", "\"sha2567\" is none of" },
		{ "hash", "sha256", "",
			"/images/k/hash: value: 0 bytes where the 32 of sha256 belong" },
		{ "hash-1", "crc32", "414fa3", "value: 3 bytes where the 4 of crc32 belong" },
		{ "hash-1", "crc32", "414fa33900", "value: 5 bytes where the 4 of crc32 belong" },
		{ "hashes", "md5", "00", "/images/k/hashes: value: 1 bytes where" },
	};
	struct blob blob;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		begin_image();
		put_hash(wrong[i].node, wrong[i].algorithm, wrong[i].value, -1);
		blob = end_image();
		refuses(&blob, NULL, NULL, wrong[i].what);
		blob_free(&blob);
	}
	/* What is named otherwise is no hash. */
	begin_image();
	put_hash("has-1", "crc32", "00000000", -1);
	blob = end_image();
	takes(&blob, NULL, NULL, "k:");
	blob_free(&blob);
	begin_image();
	builder_begin(&b, "hash-1");
	builder_property(&b, "algo", "crc32", 5);
	builder_end(&b);
	blob = end_image();
	refuses(&blob, NULL, NULL, "/images/k/hash-1: algo: one string of at most");
	blob_free(&blob);
	for (unsigned count = FIT_HASHES; count <= FIT_HASHES + 1; count++) {
		begin_image();
		for (unsigned i = 0; i < count; i++) {
			char name[20];

			snprintf(name, sizeof(name), "hash-%u", i);
			put_hash(name, "crc32", "414fa339", -1);
		}
		blob = end_image();
		if (count == FIT_HASHES)
			takes(&blob, NULL, NULL, "k:");
		else
			refuses(&blob, NULL, NULL, "/images/k: it has more than 16 hashes");
		blob_free(&blob);
	}
}

/* U-Boot skips a hash that says so. */
static void a_hash_that_wants_to_be_ignored(void **state)
{
	struct blob blob;

	begin_image();
	builder_begin(&b, "hash-1");
	builder_string(&b, "algo", "crc32");
	builder_cell(&b, "value", 0);
	builder_cell(&b, "uboot-ignore", 1);
	builder_end(&b);
	blob = end_image();
	refuses(&blob, NULL, NULL, "/images/k/hash-1: value: the image's data has another crc32");
	blob_free(&blob);
}

/* ---- Bytes as they come ---- */

static struct fit *fit;
static struct fit_trust *trust;
static struct fit_configuration found;
static int fd;

static int open_one(void **state)
{
	struct blob blob;

	begin_image();
	put_hash("hash-1", "sha256", known[3].value, -1);
	put_hash("hash-2", "crc32", known[0].value, -1);
	blob = end_image();
	fd = blob_fd(&blob);
	errors_finish(&maker_errors);
	assert_int_equal(fit_open(fd, "x.itb", &maker_errors, &fit), 0);
	assert_int_equal(fit_configuration(fit, NULL, &maker_errors, &found), 0);
	assert_int_equal(fit_verify(fit, &found, NULL, &maker_errors, &trust), 0);
	assert_ptr_equal(fit_trust_fit(trust), fit);
	assert_string_equal(fit_trust_configuration(trust)->name, "c");
	assert_null(fit_trust_keys(trust));
	blob_free(&blob);
	return 0;
}

static int close_one(void **state)
{
	fit_trust_destroy(trust);
	fit_close(fit);
	close(fd);
	errors_finish(&maker_errors);
	return 0;
}

static int feed(const char *bytes, size_t len, size_t piece, const char *checked)
{
	struct fit_digest *digest;
	int err;

	errors_finish(&maker_errors);
	assert_int_equal(fit_digest_begin(trust, &found.kernel, &maker_errors, &digest), 0);
	for (size_t at = 0; at < len; at += piece)
		fit_digest_update(digest, bytes + at, len - at < piece ? len - at : piece);
	err = fit_digest_end(digest, &maker_errors);
	assert_string_equal(fit_digest_checked(digest), checked);
	fit_digest_destroy(digest);
	assert_int_equal(err < 0, errors_any(&maker_errors));
	return err;
}

/* In pieces of any size; more or fewer bytes than there are; and none. */
static void pieces(void **state)
{
	char more[sizeof(data) + 4] = "";
	struct fit_digest *digest;

	memcpy(more, data, sizeof(data));
	for (size_t piece = 1; piece < sizeof(data); piece++)
		assert_int_equal(feed(data, sizeof(data) - 1, piece, "sha256, crc32"), 0);
	assert_int_equal(feed(data, sizeof(data) - 2, 10, ""), -EINVAL);
	assert_string_equal(maker_errors.lines[0],
		"x.itb: /images/k: 42 bytes of its data were read where there are 43: the file has changed");
	assert_int_equal(feed(more, sizeof(data), 10, ""), -EINVAL);
	assert_int_equal(feed(data, 0, 1, ""), -EINVAL);
	more[20] ^= 1;
	assert_int_equal(feed(more, sizeof(data) - 1, 7, ""), -EINVAL);
	assert_int_equal(maker_errors.count, 2); /* both hashes are wrong */
	/* One that is given up. */
	assert_int_equal(fit_digest_begin(trust, &found.kernel, &maker_errors, &digest), 0);
	fit_digest_update(digest, data, 10);
	fit_digest_destroy(digest);
	fit_digest_destroy(NULL);
}

/*
 * The file is changed after it was opened and while it is read: what counts is what was copied. Its tree is not read
 * again: hashes and places stay as they were, whatever stands there now.
 */
static void the_file_changes(void **state)
{
	static const char zeros[100];
	void *got = NULL;

	assert_int_equal(fit_digest_file(trust, &found.kernel, fd, 43, &maker_errors, &got, NULL), 0);
	assert_memory_equal(got, data, 43);
	free(got);
	/* The tree, hashes and all. */
	for (uint64_t at = 0; at < found.kernel.data.offset; at += sizeof(zeros)) {
		size_t len = found.kernel.data.offset - at;

		assert_true(pwrite(fd, zeros, len < 100 ? len : 100, (off_t)at) > 0);
	}
	got = NULL;
	assert_int_equal(fit_digest_file(trust, &found.kernel, fd, 43, &maker_errors, &got, NULL), 0);
	assert_memory_equal(got, data, 43);
	free(got);
	/* A byte of the data. */
	got = NULL;
	assert_int_equal(pwrite(fd, "x", 1, (off_t)found.kernel.data.offset + 42), 1);
	assert_int_equal(
		fit_digest_file(trust, &found.kernel, fd, 43, &maker_errors, &got, NULL), -EINVAL);
	assert_null(got);
	assert_non_null(strstr(maker_errors.lines[0],
		"/images/k/hash-1: value: the image's data has another sha256"));
	/* It ends within the data. */
	errors_finish(&maker_errors);
	assert_int_equal(ftruncate(fd, (off_t)found.kernel.data.offset + 10), 0);
	assert_int_equal(
		fit_digest_file(trust, &found.kernel, fd, 43, &maker_errors, &got, NULL), -EINVAL);
	assert_null(got);
	assert_string_equal(maker_errors.lines[0],
		"x.itb: /images/k: its data cannot be read: the file has become shorter");
}

/* While it is read: the first half is what was signed, the second half is not. */
static void the_file_changes_half_way(void **state)
{
	struct fit_digest *digest;
	char bytes[43];

	assert_int_equal(fit_digest_begin(trust, &found.kernel, &maker_errors, &digest), 0);
	assert_int_equal(pread(fd, bytes, 20, (off_t)found.kernel.data.offset), 20);
	fit_digest_update(digest, bytes, 20);
	/* What was read already may change: it was copied. */
	assert_int_equal(pwrite(fd, "x", 1, (off_t)found.kernel.data.offset), 1);
	assert_int_equal(pread(fd, bytes + 20, 23, (off_t)found.kernel.data.offset + 20), 23);
	fit_digest_update(digest, bytes + 20, 23);
	assert_int_equal(fit_digest_end(digest, &maker_errors), 0);
	assert_memory_equal(bytes, data, 43);
	fit_digest_destroy(digest);

	assert_int_equal(pwrite(fd, data, 1, (off_t)found.kernel.data.offset), 1);
	assert_int_equal(fit_digest_begin(trust, &found.kernel, &maker_errors, &digest), 0);
	assert_int_equal(pread(fd, bytes, 20, (off_t)found.kernel.data.offset), 20);
	fit_digest_update(digest, bytes, 20);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)found.kernel.data.offset + 20), 1);
	assert_int_equal(pread(fd, bytes + 20, 23, (off_t)found.kernel.data.offset + 20), 23);
	fit_digest_update(digest, bytes + 20, 23);
	assert_int_equal(fit_digest_end(digest, &maker_errors), -EINVAL);
	fit_digest_destroy(digest);
}

static void too_large(void **state)
{
	assert_int_equal(
		fit_digest_file(trust, &found.kernel, fd, 42, &maker_errors, NULL, NULL), -EINVAL);
	assert_string_equal(maker_errors.lines[0],
		"x.itb: /images/k: its data is 43 bytes; at most 42 are possible");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_hash),
		cmocka_unit_test(all_hashes),
		cmocka_unit_test(hashes_that_cannot_be),
		cmocka_unit_test(a_hash_that_wants_to_be_ignored),
		cmocka_unit_test_setup_teardown(pieces, open_one, close_one),
		cmocka_unit_test_setup_teardown(the_file_changes, open_one, close_one),
		cmocka_unit_test_setup_teardown(the_file_changes_half_way, open_one, close_one),
		cmocka_unit_test_setup_teardown(too_large, open_one, close_one),
	};
	int failed = cmocka_run_group_tests_name("fit-digest", tests, NULL, NULL);

	errors_finish(&maker_errors);
	return failed;
}
