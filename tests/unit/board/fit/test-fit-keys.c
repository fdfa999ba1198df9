/* SPDX-License-Identifier: Apache-2.0 */
/* Keys from control trees and PEM files, and what is none. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-maker.h"

static struct builder b;
static bool ready;

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

#define NEEDS_TOOLS()                                                                              \
	do {                                                                                       \
		if (!ready)                                                                        \
			skip();                                                                    \
	} while (0)

/* The keys are refused, and a line of the errors contains `what`. */
static void refuses_keys(const struct blob *blob, const char *what)
{
	struct fit_keys *keys;
	int fd = blob_fd(blob);
	bool found = false;

	errors_finish(&maker_errors);
	assert_int_equal(fit_keys_create(&keys), 0);
	assert_int_equal(fit_keys_add(keys, fd, "keys", &maker_errors), -EINVAL);
	for (size_t i = 0; i < maker_errors.count; i++)
		found = found || strstr(maker_errors.lines[i], what);
	if (!found)
		print_message("# not said: %s, but: %s\n", what, maker_errors.lines[0]);
	assert_true(found);
	fit_keys_destroy(keys);
	close(fd);
}

static void refuses_file(const char *name, const char *what)
{
	struct blob blob = maker_read(name);

	refuses_keys(&blob, what);
	blob_free(&blob);
}

static void refuses_text(const char *text, const char *what)
{
	refuses_keys(&(struct blob){ (uint8_t *)(uintptr_t)text, strlen(text) }, what);
}

/* ---- PEM ---- */

static void pem_files(void **state)
{
	static const struct {
		const char *file, *name;
		enum fit_key_kind kind;
	} known[] = {
		{ "rsa2048.pub", "rsa2048", FIT_RSA2048 },
		{ "rsa3072.pub", "rsa3072", FIT_RSA3072 },
		{ "rsa4096.pub", "rsa4096", FIT_RSA4096 },
		{ "rsa2048.crt", "rsa2048", FIT_RSA2048 },
		{ "rsa3072.crt", "rsa3072", FIT_RSA3072 },
		{ "rsa4096.crt", "rsa4096", FIT_RSA4096 },
		{ "ecdsa256.pub", "ecdsa256", FIT_ECDSA256 },
		{ "ecdsa384.pub", "ecdsa384", FIT_ECDSA384 },
		{ "ec.crt", "ec", FIT_ECDSA256 },
		{ "old.crt", "old", FIT_RSA2048 },
		{ "no-ending", "no-ending", FIT_ECDSA256 },
		{ "crlf.x.pub", "crlf.x", FIT_ECDSA256 },
	};

	NEEDS_TOOLS();
	/* One of version 1, which has no field for it. */
	maker_run(
		"openssl req -batch -new -x509 -key ecdsa256.pem -subj /CN=k -out ec.crt && cp ecdsa256.pub no-ending &&"
		"openssl req -batch -new -key rsa2048.key -subj /CN=k | openssl x509 -req -signkey rsa2048.key -out old.crt &&"
		"{ echo some words; sed 's/$/\\r/' ecdsa256.pub; } >crlf.x.pub");
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct fit_keys *keys = NULL;

		maker_keys(known[i].file, &keys);
		assert_int_equal(keys->count, 1);
		assert_string_equal(keys->keys[0].name, known[i].name);
		assert_null(keys->keys[0].algorithm);
		assert_true(keys->keys[0].for_configurations && keys->for_configurations);
		assert_false(keys->keys[0].for_images || keys->for_images || keys->any);
		assert_int_equal(fit_public_key_kind(keys->keys[0].key), known[i].kind);
		fit_keys_destroy(keys);
	}
}

static void what_is_no_pem(void **state)
{
	NEEDS_TOOLS();
	refuses_text("", "it has neither BEGIN PUBLIC KEY nor BEGIN CERTIFICATE");
	refuses_text("words", "it has neither BEGIN PUBLIC KEY nor BEGIN CERTIFICATE");
	refuses_text(
		"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQ", "it has neither");
	refuses_text("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "");
	refuses_text("-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----\n", "");
	refuses_text("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n",
		"its PEM is damaged");
	refuses_text(
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "it is no RSA key");
	refuses_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"its PEM is damaged");
	refuses_text(
		"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "its PEM is damaged");
	refuses_file("rsa2048.key", "it holds a private key: give the public one alone");
	refuses_file("ecdsa256.pem", "it holds a private key");
	maker_run(
		"cat ecdsa256.pub ecdsa256.pem >both.pem; head -c 65536 /dev/zero | tr '\\0' x >large;"
		"openssl rsa -in rsa2048.key -RSAPublicKey_out -out pkcs1.pub;"
		"openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out ed.pub;"
		"openssl genrsa 1024 | openssl pkey -pubout -out rsa1024.pub;"
		"openssl ecparam -name secp256k1 -genkey -noout | openssl pkey -pubout -out k1.pub;"
		"openssl ecparam -name brainpoolP256r1 -genkey -noout | openssl pkey -pubout -out bp.pub;"
		"openssl ecparam -name secp521r1 -genkey -noout | openssl pkey -pubout -out 521.pub;"
		"openssl pkey -in ecdsa256.pem -pubout -ec_conv_form compressed -out short.pub");
	refuses_file("both.pem", "it holds a private key");
	refuses_file("large", "is larger than 64 KiB");
	refuses_file(
		"pkcs1.pub", "needed is BEGIN PUBLIC KEY (openssl rsa -RSAPublicKey_in -pubout)");
	refuses_file("ed.pub", "it is no RSA key, and no key on a curve");
	refuses_file("rsa1024.pub", "an RSA key of 2048, 3072 or 4096 bits belongs here");
	refuses_file("k1.pub", "a key on the curve prime256v1 or secp384r1 belongs here");
	refuses_file("bp.pub", "a key on the curve prime256v1 or secp384r1 belongs here");
	refuses_file("521.pub", "a key on the curve prime256v1 or secp384r1 belongs here");
	refuses_file("short.pub", "");
}

/* A certificate and a key, each of their bytes changed: a key, or refused. */
static void damaged_pem(void **state)
{
	static const char *const files[] = { "rsa2048.crt", "ecdsa256.pub", "ecdsa384.pub" };

	NEEDS_TOOLS();
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct blob blob = maker_read(files[i]);

		for (size_t at = 0; at < blob.len; at++) {
			struct fit_keys *keys;
			int fd, err;

			blob.data[at] ^= 3;
			fd = blob_fd(&blob);
			blob.data[at] ^= 3;
			errors_finish(&maker_errors);
			assert_int_equal(fit_keys_create(&keys), 0);
			err = fit_keys_add(keys, fd, "keys", &maker_errors);
			assert_true(err == -EINVAL || (!err && keys->count == 1));
			assert_int_equal(!!err, errors_any(&maker_errors));
			fit_keys_destroy(keys);
			close(fd);
		}
		blob_free(&blob);
	}
}

static void too_many_keys(void **state)
{
	struct fit_keys *keys = NULL;
	struct blob blob;
	int fd;

	NEEDS_TOOLS();
	for (unsigned i = 0; i < FIT_KEYS; i++)
		maker_keys("ecdsa256.pub", &keys);
	blob = maker_read("ecdsa256.pub");
	fd = blob_fd(&blob);
	assert_int_equal(fit_keys_add(keys, fd, "keys", &maker_errors), -EINVAL);
	assert_string_equal(maker_errors.lines[0], "keys: there are more keys than 16");
	close(fd);
	blob_free(&blob);
	fit_keys_destroy(keys);
}

/* ---- Control trees ---- */

static uint8_t point_x[48], point_y[48], modulus[512];
static size_t point_len;

/* A point of the curve prime256v1 (SEC 2, 2.4.2: its generator), and an odd number as a modulus. */
static void numbers(void)
{
	static const char x[] = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
	static const char y[] = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

	point_len = 32;
	for (size_t i = 0; i < 32; i++) {
		unsigned a, c;

		sscanf(x + 2 * i, "%2x", &a);
		sscanf(y + 2 * i, "%2x", &c);
		point_x[i] = (uint8_t)a;
		point_y[i] = (uint8_t)c;
	}
	for (size_t i = 0; i < sizeof(modulus); i++)
		modulus[i] = (uint8_t)(i * 37 | 1);
	modulus[0] = 0x80;
}

static const char *required, *algorithm, *mode, *curve;
static uint32_t bits;
static uint8_t exponent[8];
static size_t modulus_len, exponent_len;

static void again(void)
{
	numbers();
	required = "conf";
	mode = NULL;
	algorithm = "sha256,ecdsa256";
	curve = "prime256v1";
	bits = 2048;
	memcpy(exponent, "\0\0\0\0\0\1\0\1", 8);
	modulus_len = 256;
	exponent_len = 8;
}

static void put_if(const char *name, const char *value)
{
	if (value)
		builder_string(&b, name, value);
}

static void put_key(const char *name)
{
	builder_begin(&b, name);
	put_if("required", required);
	put_if("algo", algorithm);
	if (curve) {
		builder_string(&b, "ecdsa,curve", curve);
		builder_property(&b, "ecdsa,x-point", point_x, point_len);
		builder_property(&b, "ecdsa,y-point", point_y, point_len);
	} else {
		builder_property(&b, "rsa,modulus", modulus, modulus_len);
		builder_property(&b, "rsa,exponent", exponent, exponent_len);
		builder_cell(&b, "rsa,num-bits", bits);
	}
	builder_end(&b);
}

static struct blob tree_of_keys(void)
{
	struct blob blob;

	builder_begin(&b, "");
	builder_begin(&b, "soc@0"); /* a control tree has more in it */
	builder_end(&b);
	builder_begin(&b, "signature");
	put_if("required-mode", mode);
	put_key("key-a");
	builder_end(&b);
	builder_end(&b);
	blob = builder_finish(&b);
	again();
	return blob;
}

static void takes_tree(enum fit_key_kind kind, bool any, bool images)
{
	struct blob blob = tree_of_keys();
	struct fit_keys *keys = NULL;

	maker_write("keys.dtb", blob.data, blob.len);
	maker_keys("keys.dtb", &keys);
	assert_int_equal(keys->count, 1);
	assert_string_equal(keys->keys[0].name, "key-a");
	assert_int_equal(fit_public_key_kind(keys->keys[0].key), kind);
	assert_int_equal(keys->any, any);
	assert_int_equal(keys->for_images, images);
	assert_int_equal(keys->for_configurations, !images);
	fit_keys_destroy(keys);
	blob_free(&blob);
}

static void refuses_tree(const char *what)
{
	struct blob blob = tree_of_keys();

	refuses_keys(&blob, what);
	blob_free(&blob);
}

static void control_trees(void **state)
{
	NEEDS_TOOLS();
	again();
	takes_tree(FIT_ECDSA256, false, false);
	required = "image";
	takes_tree(FIT_ECDSA256, false, true);
	mode = "any";
	takes_tree(FIT_ECDSA256, true, false);
	mode = "all";
	takes_tree(FIT_ECDSA256, false, false);
	algorithm = NULL;
	takes_tree(FIT_ECDSA256, false, false);
	curve = NULL;
	algorithm = "sha512,rsa2048";
	takes_tree(FIT_RSA2048, false, false);

	mode = "some";
	refuses_tree("keys: /signature: required-mode: \"some\" is none of \"all\" and \"any\"");
	required = NULL;
	refuses_tree("keys: has no required key in /signature, so that nothing would be checked");
	required = "config";
	refuses_tree(
		"keys: /signature/key-a: required: \"config\" is none of \"conf\" and \"image\"");
	algorithm = "sha256,rsa2048";
	refuses_tree(
		"/signature/key-a: algo: \"sha256,rsa2048\" is not of this key, which is ecdsa256");
	algorithm = "ecdsa256";
	refuses_tree("algo: \"ecdsa256\" is not of this key");
	algorithm = "sha256,ecdsa256x";
	refuses_tree("is not of this key");
	curve = "secp384r1";
	refuses_tree("ecdsa,curve: its point has not the size of its curve");
	curve = "secp256k1";
	refuses_tree("ecdsa,curve: the curve is none of prime256v1 and secp384r1");
	point_len = 31;
	refuses_tree("its point has not the size of its curve");
	point_len = 0;
	refuses_tree("its point has not the size of its curve");
	point_x[31] ^= 1;
	refuses_tree("ecdsa,curve: it is no RSA key, and no key on a curve");
	memset(point_x, 0, sizeof(point_x));
	memset(point_y, 0, sizeof(point_y));
	refuses_tree("it is no RSA key, and no key on a curve");
	curve = NULL;
	algorithm = NULL;
	refuses_tree("algo: is missing: write algo = \"sha256,rsa2048\"");
	curve = NULL;
	algorithm = "sha256,rsa4096";
	refuses_tree("\"sha256,rsa4096\" is not of this key, which is rsa2048");
	curve = NULL;
	bits = 4096;
	refuses_tree("rsa,modulus: rsa,num-bits, rsa,modulus and rsa,exponent do not fit together");
	curve = NULL;
	exponent_len = 4;
	refuses_tree("do not fit together");
	curve = NULL;
	modulus_len = bits = 0;
	refuses_tree("");
	curve = NULL;
	modulus_len = 255;
	bits = 2040;
	refuses_tree("an RSA key of 2048, 3072 or 4096 bits belongs here");
	curve = NULL;
	modulus[0] = 0;
	refuses_tree("an RSA key of 2048, 3072 or 4096 bits belongs here");
	curve = NULL;
	modulus[255] = 2;
	refuses_tree("its numbers are no RSA key");
	/* 65536; and 1, with which anything is its own signature. */
	curve = NULL;
	exponent[7] = 0;
	refuses_tree("its numbers are no RSA key");
	curve = NULL;
	exponent[5] = 0;
	refuses_tree("its numbers are no RSA key");
}

static void trees_without_keys(void **state)
{
	struct blob blob;
	struct fit_keys *keys;
	int ends[2];

	again();
	builder_begin(&b, "");
	builder_end(&b);
	blob = builder_finish(&b);
	refuses_keys(&blob, "keys: has no /signature");
	blob_free(&blob);
	builder_begin(&b, "");
	builder_begin(&b, "signature");
	builder_end(&b);
	builder_end(&b);
	blob = builder_finish(&b);
	refuses_keys(&blob, "keys: has no required key in /signature");
	blob_free(&blob);
	builder_begin(&b, "");
	builder_begin(&b, "signature");
	for (unsigned i = 0; i <= FIT_KEYS; i++) {
		char name[20];

		snprintf(name, sizeof(name), "key-%u", i);
		put_key(name);
	}
	builder_end(&b);
	builder_end(&b);
	blob = builder_finish(&b);
	refuses_keys(&blob, "keys: there are more keys than 16");
	/* Cut off. */
	blob.len -= 1;
	refuses_keys(&blob, "is truncated");
	blob_free(&blob);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fit_keys_create(&keys), 0);
	errors_finish(&maker_errors);
	assert_int_equal(fit_keys_add(keys, ends[0], "keys", &maker_errors), -EINVAL);
	assert_string_equal(maker_errors.lines[0], "keys: is not a regular file");
	fit_keys_destroy(keys);
	fit_keys_destroy(NULL);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pem_files),
		cmocka_unit_test(what_is_no_pem),
		cmocka_unit_test(damaged_pem),
		cmocka_unit_test(too_many_keys),
		cmocka_unit_test(control_trees),
		cmocka_unit_test(trees_without_keys),
	};

	return cmocka_run_group_tests_name("fit-keys", tests, begin, end);
}
