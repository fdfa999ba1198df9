/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signed image with each of its bits changed, one at a time: it is refused, or nothing that is used of it has changed.
 * And memory that runs out at each allocation.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-maker.h"

static bool ready;

/* ---- Allocations ---- */

static long fails_at, allocations; /* 0: none fails */

static bool fails(void)
{
	return ++allocations == fails_at;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *was, size_t size);
void *__wrap_realloc(void *was, size_t size);
void *__wrap_realloc(void *was, size_t size)
{
	return fails() ? NULL : __real_realloc(was, size);
}

void *__real_reallocarray(void *was, size_t count, size_t size);
void *__wrap_reallocarray(void *was, size_t count, size_t size);
void *__wrap_reallocarray(void *was, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(was, count, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__real_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len)
{
	return fails() ? NULL : __real_strndup(text, len);
}

/* ---- The image ---- */

/* Small, since each of its bits is tried. */
static const char small[] =
	"/dts-v1/; / { description = \"s\"; images {"
	" k { data = [00 01 02 03 04 05]; type = \"kernel\"; arch = \"arm64\"; compression = \"none\"; load = <4>; %H };"
	" r { data = [10 11 12 13]; type = \"ramdisk\"; %H };"
	" f { data = [20 21 22 23]; type = \"flat_dt\"; %H };"
	"}; configurations { default = \"c\"; c { kernel = \"k\"; ramdisk = \"r\"; fdt = \"f\"; %S }; }; };";

static int begin(void **state)
{
	ready = maker_begin();
	return 0;
}

static int end(void **state)
{
	maker_end();
	return 0;
}

static struct blob make(const char *options, struct fit_keys **keys)
{
	struct blob blob = maker_image(
		small, maker_sha256, maker_signature("sha256,ecdsa256", "ecdsa256", ""), options);

	*keys = NULL;
	maker_keys("ecdsa256.pub", keys);
	return blob;
}

static void flip_each_bit(const char *options)
{
	size_t used, outside;
	unsigned refused = 0, harmless = 0;
	struct fit_keys *keys;
	struct blob blob;
	char *before;

	if (!ready)
		skip();
	blob = make(options, &keys);
	before = judge(&blob, NULL, keys);
	assert_non_null(before);
	/* Behind the names mkimage leaves room that nobody reads: a bit of each byte there. */
	used = fdt_off_dt_strings(blob.data) + fdt_size_dt_strings(blob.data);
	outside = fdt_totalsize(blob.data);
	for (size_t i = 0; i < 8 * blob.len; i += i / 8 >= used && i / 8 < outside ? 8 : 1) {
		char *after;

		blob.data[i / 8] ^= (uint8_t)(1 << i % 8);
		after = judge(&blob, NULL, keys);
		blob.data[i / 8] ^= (uint8_t)(1 << i % 8);
		refused += !after;
		harmless += !!after;
		if (after && strcmp(before, after)) {
			print_message("# bit %zu of byte %zu: %s\n", i % 8, i / 8, after);
			fail();
		}
		free(after);
	}
	print_message("# of %zu bits %u were refused, %u made no difference\n", 8 * blob.len,
		refused, harmless);
	assert_true(refused > harmless);
	free(before);
	fit_keys_destroy(keys);
	blob_free(&blob);
}

static void each_bit(void **state)
{
	flip_each_bit("-k .");
}

static void each_bit_with_data_outside(void **state)
{
	flip_each_bit("-k . -E");
}

static bool is_in(const struct fit_image *image, uint64_t at)
{
	return at >= image->data.offset && at - image->data.offset < image->data.size;
}

/* Without keys, the hashes are checked: a bit of data is refused, one between them makes no difference. */
static void each_bit_of_data_without_keys(void **state)
{
	static struct fit_configuration found;
	struct fit_keys *keys;
	struct blob blob;
	struct fit *fit;
	int fd;

	if (!ready)
		skip();
	blob = make("-k . -E -p 0x1000", &keys);
	takes(&blob, NULL, NULL, "c signed by []");
	fd = blob_fd(&blob);
	assert_int_equal(fit_open(fd, "x.itb", &maker_errors, &fit), 0);
	close(fd);
	assert_int_equal(fit_configuration(fit, NULL, &maker_errors, &found), 0);
	for (size_t i = 8 * 0x1000; i < 8 * blob.len; i++) {
		char *after;

		blob.data[i / 8] ^= (uint8_t)(1 << i % 8);
		after = judge(&blob, NULL, NULL);
		blob.data[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(!after, is_in(&found.kernel, i / 8) ||
						 is_in(&found.ramdisk, i / 8) ||
						 is_in(&found.fdts[0], i / 8));
		free(after);
	}
	fit_close(fit);
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* ---- Out of memory ---- */

/* As judge(), in which what is not the library's allocates too: -ENOMEM, 0, or the errors say what is missing. */
static int run(int fd, const struct fit_keys *keys, struct errors *errors)
{
	static struct fit_configuration found;
	struct fit_trust *trust = NULL;
	struct fit *fit;
	int err = fit_open(fd, "x.itb", errors, &fit);

	if (err)
		return err;
	err = fit_configuration(fit, NULL, errors, &found);
	if (!err)
		err = fit_verify(fit, &found, keys, errors, &trust);
	if (!err)
		err = fit_digest_file(trust, &found.kernel, fd, 1000, errors, NULL, NULL);
	if (!err)
		err = fit_digest_file(trust, &found.fdts[0], fd, 1000, errors, NULL, NULL);
	fit_trust_destroy(trust);
	fit_close(fit);
	return err;
}

/* Each allocation fails once, while an image is checked: it is refused, or what is lost is a word of a message. */
static void out_of_memory(void **state)
{
	struct errors errors = { 0 };
	struct fit_keys *keys;
	struct blob blob;
	unsigned taken = 0, refused = 0;
	int fd, err;

	if (!ready)
		skip();
	blob = make("-k .", &keys);
	fd = blob_fd(&blob);
	assert_int_equal(run(fd, keys, &errors), 0);
	for (long at = 1;; at++) {
		allocations = 0;
		fails_at = at;
		err = run(fd, keys, &errors);
		fails_at = 0;
		if (allocations < at)
			break;
		assert_true(err == 0 || err == -ENOMEM || err == -EINVAL);
		taken += !err;
		refused += !!err;
		errors_finish(&errors);
	}
	/* Without a failure the words of whose signature it is, and of the hashes that were right, would be complete. */
	assert_in_range(taken, 0, 6);
	assert_true(refused > 10);
	assert_int_equal(err, 0);
	close(fd);
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* The same of an image that is wrong: it is never taken. */
static void out_of_memory_with_a_wrong_key(void **state)
{
	struct errors errors = { 0 };
	struct fit_keys *keys, *other = NULL;
	struct blob blob;
	int fd;

	if (!ready)
		skip();
	blob = make("-k .", &keys);
	maker_keys("other.pub", &other);
	fd = blob_fd(&blob);
	for (long at = 1;; at++) {
		allocations = 0;
		fails_at = at;
		assert_true(run(fd, other, &errors) < 0);
		fails_at = 0;
		errors_finish(&errors);
		if (allocations < at)
			break;
	}
	close(fd);
	fit_keys_destroy(keys);
	fit_keys_destroy(other);
	blob_free(&blob);
}

/* And while keys are read: they are all there, or none is. */
static void out_of_memory_with_keys(void **state)
{
	static const char *const files[] = { "control.dtb", "rsa3072.crt", "ecdsa256.pub" };

	if (!ready)
		skip();
	maker_control("control.dtb", "");
	blob_free(&(struct blob){ maker_image(small, maker_sha256,
		maker_signature("sha256,rsa2048", "rsa2048", ""), "-k . -K control.dtb -r")
					  .data });
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct blob blob = maker_read(files[i]);
		int fd = blob_fd(&blob), err;

		for (long at = 1;; at++) {
			struct errors errors = { 0 };
			struct fit_keys *keys = NULL;

			allocations = 0;
			fails_at = at;
			err = fit_keys_create(&keys);
			err = err ? err : fit_keys_add(keys, fd, files[i], &errors);
			fails_at = 0;
			assert_true(err == 0 || err == -ENOMEM || err == -EINVAL);
			assert_true(err || (keys->count == 1 && keys->keys[0].name));
			fit_keys_destroy(keys);
			errors_finish(&errors);
			if (allocations < at)
				break;
		}
		assert_int_equal(err, 0);
		close(fd);
		blob_free(&blob);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bit),
		cmocka_unit_test(each_bit_with_data_outside),
		cmocka_unit_test(each_bit_of_data_without_keys),
		cmocka_unit_test(out_of_memory),
		cmocka_unit_test(out_of_memory_with_a_wrong_key),
		cmocka_unit_test(out_of_memory_with_keys),
	};

	return cmocka_run_group_tests_name("fit-flips", tests, begin, end);
}
