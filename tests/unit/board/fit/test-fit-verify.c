/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of configurations and images, made by mkimage: each kind, each rule of required keys, and what is forged. */
#include "tests/unit/helpers/unit.h"

#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-maker.h"

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

/* An image with one signature by ecdsa256 and its control tree. */
static struct blob signed_by_ecdsa256(const char *options, struct fit_keys **keys)
{
	char all[100];
	struct blob blob;

	maker_control("control.dtb", "");
	snprintf(all, sizeof(all), "-k . -K control.dtb -r %s", options);
	blob = maker_image(
		NULL, maker_sha256, maker_signature("sha256,ecdsa256", "ecdsa256", ""), all);
	*keys = NULL;
	maker_require("control.dtb");
	maker_keys("control.dtb", keys);
	return blob;
}

/* Room to change a tree by libfdt. */
static void open_to_change(struct blob *blob)
{
	struct blob wider = { calloc(1, blob->len + 65536), blob->len + 65536 };

	assert_non_null(wider.data);
	assert_int_equal(fdt_open_into(blob->data, wider.data, (int)wider.len), 0);
	free(blob->data);
	*blob = wider;
}

static int at(const struct blob *blob, const char *path)
{
	int node = fdt_path_offset(blob->data, path);

	assert_true(node >= 0);
	return node;
}

/* ---- Calculations with a key ---- */

static unsigned tries;

bool __real_fit_public_key_verify(struct fit_public_key *key, bool pss, enum fit_hash_kind kind,
	const uint8_t *hash, const uint8_t *signature, size_t len);
bool __wrap_fit_public_key_verify(struct fit_public_key *key, bool pss, enum fit_hash_kind kind,
	const uint8_t *hash, const uint8_t *signature, size_t len);
bool __wrap_fit_public_key_verify(struct fit_public_key *key, bool pss, enum fit_hash_kind kind,
	const uint8_t *hash, const uint8_t *signature, size_t len)
{
	tries++;
	return __real_fit_public_key_verify(key, pss, kind, hash, signature, len);
}

/* ---- What is right ---- */

/* Each algorithm, with keys from a control tree and from a PEM file, and not with another key. */
static void each_algorithm(void **state)
{
	static const char *const kinds[] = { "rsa2048", "rsa3072", "rsa4096", "ecdsa256",
		"ecdsa384" };
	static const char *const hashes[] = { "sha256", "sha384", "sha512" };

	NEEDS_TOOLS();
	/* mkimage 2023.01 does not know the last: see curve_of_384_bits(). */
	for (size_t k = 0; k < ARRAY_SIZE(kinds) - !maker_knows("sha256,ecdsa384", "ecdsa384"); k++)
		for (size_t h = 0; h < ARRAY_SIZE(hashes); h++)
			for (unsigned pss = 0; pss <= (k < 3); pss++) {
				struct fit_keys *control = NULL, *pem = NULL, *other = NULL;
				char algorithm[40], what[80], file[40];
				struct blob blob;

				snprintf(
					algorithm, sizeof(algorithm), "%s,%s", hashes[h], kinds[k]);
				snprintf(what, sizeof(what), "signed by [%s (%s)]", kinds[k],
					algorithm);
				snprintf(file, sizeof(file), "%s.pub", kinds[k]);
				maker_control("control.dtb", "");
				blob = maker_image(NULL, maker_sha256,
					maker_signature(algorithm, kinds[k],
						pss ? "padding = \"pss\";" : ""),
					"-k . -K control.dtb -r");
				maker_require("control.dtb");
				maker_keys("control.dtb", &control);
				takes(&blob, NULL, control, what);
				maker_keys(file, &pem);
				takes(&blob, NULL, pem, what);
				maker_keys("other.pub", &other);
				refuses(&blob, NULL, other,
					k == 3 ? "it is by another key"
					       : "it is by another kind of key");
				fit_keys_destroy(control);
				fit_keys_destroy(pem);
				fit_keys_destroy(other);
				blob_free(&blob);
			}
}

/* mkimage's -o gives what the source leaves out. A certificate is a key too. */
static void algorithm_of_the_command_line(void **state)
{
	struct fit_keys *keys = NULL;
	struct blob blob;

	NEEDS_TOOLS();
	blob = maker_image(NULL, maker_sha256,
		"signature-1 { key-name-hint = \"rsa3072\"; sign-images = \"kernel\", \"fdt\", \"ramdisk\"; };",
		"-k . -o sha384,rsa3072");
	maker_keys("rsa3072.crt", &keys);
	takes(&blob, NULL, keys, "signed by [rsa3072 (sha384,rsa3072)]");
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* Where the data is makes no difference to what is signed. */
static void data_anywhere(void **state)
{
	static const char *const options[] = { "", "-E", "-E -p 0x4000", "-E -B 0x1000",
		"-E -B 0x200 -p 0x8000" };

	NEEDS_TOOLS();
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		struct fit_keys *keys;
		struct blob blob = signed_by_ecdsa256(options[i], &keys);

		takes(&blob, NULL, keys,
			"kernel-1: type 0, none, os linux, load 1 40200000, entry 1 40200000, 1000 bytes");
		takes(&blob, NULL, NULL, "signed by []");
		fit_keys_destroy(keys);
		blob_free(&blob);
	}
}

/* The source that mkimage signed: which of several keys are required, and how. */
static const char two_signatures[] =
	"signature-1 { algo = \"sha256,rsa3072\"; key-name-hint = \"rsa3072\"; sign-images = \"kernel\", \"fdt\", \"ramdisk\"; };"
	"signature-2 { algo = \"sha256,rsa2048\"; key-name-hint = \"rsa2048\"; sign-images = \"kernel\", \"fdt\", \"ramdisk\"; };";

static void required_keys(void **state)
{
	struct fit_keys *both = NULL, *any = NULL, *strict = NULL, *mixed = NULL;
	struct blob two, one;

	NEEDS_TOOLS();
	maker_control("all.dtb", "");
	two = maker_image(NULL, maker_sha256, two_signatures, "-k . -K all.dtb -r");
	maker_keys("all.dtb", &both);
	takes(&two, NULL, both, "(sha256,rsa2048)");
	takes(&two, NULL, both, "rsa3072 (sha256,rsa3072)");
	/* One signature of two. */
	one = maker_image(
		NULL, maker_sha256, maker_signature("sha256,rsa2048", "rsa2048", ""), "-k .");
	refuses(&one, NULL, both, "a required signature is missing: by rsa3072 of");
	maker_run("cp all.dtb any.dtb; fdtput -t s any.dtb /signature required-mode any");
	maker_keys("any.dtb", &any);
	takes(&one, NULL, any, "signed by [rsa2048 (sha256,rsa2048)]");
	/* None of two. */
	blob_free(&one);
	one = maker_image(
		NULL, maker_sha256, maker_signature("sha256,ecdsa256", "other", ""), "-k .");
	refuses(&one, NULL, any, "it is by another kind of key");
	blob_free(&one);
	/* A PEM file has to have signed, whatever a control tree says; in any order. */
	one = maker_image(
		NULL, maker_sha256, maker_signature("sha256,rsa3072", "rsa3072", ""), "-k .");
	takes(&one, NULL, any, "signed by [rsa3072");
	maker_keys("any.dtb", &strict);
	maker_keys("other.pub", &strict);
	refuses(&one, NULL, strict, "by other of");
	maker_keys("other.pub", &mixed);
	maker_keys("any.dtb", &mixed);
	refuses(&one, NULL, mixed, "by other of");
	fit_keys_destroy(both);
	fit_keys_destroy(any);
	fit_keys_destroy(strict);
	fit_keys_destroy(mixed);
	blob_free(&one);
	blob_free(&two);
}

static const char image_signature[] =
	"hash-1 { algo = \"sha256\"; }; signature-1 { algo = \"sha256,rsa3072\"; key-name-hint = \"rsa3072\"; };";

/* Keys that are required of images: each image that is used needs a signature of its data. */
static void signatures_of_images(void **state)
{
	struct fit_keys *keys = NULL, *pem = NULL, *both = NULL;
	struct blob blob, plain, changed;
	int len, node;

	NEEDS_TOOLS();
	maker_control("images.dtb", "");
	blob = maker_image(NULL, image_signature, "", "-k . -K images.dtb -r");
	maker_keys("images.dtb", &keys);
	takes(&blob, NULL, keys, "signed by []");
	/* It says nothing of the configuration. */
	maker_keys("rsa3072.pub", &pem);
	refuses(&blob, NULL, pem, "the configuration has no signature");
	plain = maker_image(NULL, maker_sha256, "", "");
	refuses(&plain, NULL, keys,
		"/images/kernel-1: a required signature of the image is missing, by one of: rsa3072 of");
	/* Another's signature, and data of which it is not, with a hash that is right. */
	changed = blob_copy(&blob);
	open_to_change(&changed);
	node = at(&changed, "/images/ramdisk-1");
	((uint8_t *)(uintptr_t)fdt_getprop(changed.data, node, "data", &len))[0] ^= 1;
	assert_int_equal(fdt_del_node(changed.data, at(&changed, "/images/ramdisk-1/hash-1")), 0);
	refuses(&changed, NULL, keys, "/images/ramdisk-1: a required signature");
	/* Both kinds of keys, and signatures of both. */
	maker_control("both.dtb", "");
	blob_free(&blob);
	blob = maker_image(NULL, image_signature, maker_signature("sha256,rsa2048", "rsa2048", ""),
		"-k . -K both.dtb -r");
	maker_keys("both.dtb", &both);
	takes(&blob, NULL, both, "signed by [rsa2048");
	blob_free(&plain);
	plain = maker_image(
		NULL, maker_sha256, maker_signature("sha256,rsa2048", "rsa2048", ""), "-k .");
	refuses(&plain, NULL, both, "/images/kernel-1: a required signature of the image");
	/* By a key that is required of configurations: U-Boot would take it. */
	blob_free(&plain);
	plain = maker_image(NULL,
		"hash-1 { algo = \"sha256\"; }; signature-1 { algo = \"sha256,rsa2048\"; key-name-hint = \"rsa2048\"; };",
		maker_signature("sha256,rsa2048", "rsa2048", ""), "-k .");
	refuses(&plain, NULL, both, "/images/kernel-1: a required signature of the image");
	fit_keys_destroy(keys);
	fit_keys_destroy(pem);
	fit_keys_destroy(both);
	blob_free(&blob);
	blob_free(&plain);
	blob_free(&changed);
}

/* ---- What is not signed ---- */

static void unsigned_and_weak(void **state)
{
	struct fit_keys *keys = NULL;
	struct blob blob;

	NEEDS_TOOLS();
	maker_keys("ecdsa256.pub", &keys);
	blob = maker_image(NULL, maker_sha256, "", "");
	takes(&blob, NULL, NULL, "conf-1 signed by []");
	refuses(&blob, NULL, keys,
		"/configurations/conf-1: a required signature is missing: by ecdsa256 of");
	blob_free(&blob);
	/* An image that no signature holds to its data: U-Boot takes crc32 for a hash here. */
	blob = maker_image(NULL, "hash-1 { algo = \"crc32\"; }; hash-2 { algo = \"sha1\"; };",
		maker_signature("sha256,ecdsa256", "ecdsa256", ""), "-k .");
	takes(&blob, NULL, NULL, "conf-1 signed by []");
	refuses(&blob, NULL, keys, "/images/kernel-1: it has no hash of sha256, sha384 or sha512");
	blob_free(&blob);
	fit_keys_destroy(keys);
	/* A signature of sha1. */
	keys = NULL;
	blob = maker_image(
		NULL, maker_sha256, maker_signature("sha1,rsa2048", "rsa2048", ""), "-k .");
	maker_keys("rsa2048.pub", &keys);
	refuses(&blob, NULL, keys, "its hash is none of sha256, sha384 and sha512");
	blob_free(&blob);
	/* mkimage leaves the ramdisk out if sign-images does not name it. */
	blob = maker_image(NULL, maker_sha256,
		"signature-1 { algo = \"sha256,rsa2048\"; key-name-hint = \"rsa2048\"; };", "-k .");
	refuses(&blob, NULL, keys, "sign-images");
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* ---- What is forged ---- */

/* Each change of something that is signed. */
static void what_is_signed_changes(void **state)
{
	static const struct {
		const char *path, *property, *value;
	} changes[] = {
		{ "/", "description", "alL" },
		{ "/", "new", "x" },
		{ "/configurations/conf-1", "kernel", "ramdisk-1" },
		{ "/configurations/conf-1", "fdt", "fdt-1" },
		{ "/configurations/conf-1", "new", "x" },
		{ "/configurations/conf-1", "compatible", "x" },
		{ "/images/kernel-1", "entry", "abc" },
		{ "/images/kernel-1", "new", "x" },
		{ "/images/fdt-2", "description", "x" },
		{ "/images/ramdisk-1/hash-1", "algo", "sha1" },
		{ "/images/fdt-1/hash-1", "uboot-ignore", "abc" },
	};
	struct fit_keys *keys;
	struct blob blob;

	NEEDS_TOOLS();
	blob = signed_by_ecdsa256("", &keys);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct blob forged = blob_copy(&blob);

		open_to_change(&forged);
		takes(&forged, NULL, keys, "conf-1 signed by [ecdsa256");
		assert_int_equal(fdt_setprop_string(forged.data, at(&forged, changes[i].path),
					 changes[i].property, changes[i].value),
			0);
		refuses(&forged, "conf-1", keys, "");
		blob_free(&forged);
	}
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* What nobody signed may change, and nothing of it is used. */
static void what_is_not_signed_changes(void **state)
{
	struct fit_keys *keys;
	char *before, *after;
	struct blob blob;

	NEEDS_TOOLS();
	blob = signed_by_ecdsa256("", &keys);
	before = judge(&blob, NULL, keys);
	assert_non_null(before);
	open_to_change(&blob);
	assert_int_equal(fdt_setprop_string(blob.data, at(&blob, "/images"), "load", "x"), 0);
	assert_int_equal(fdt_setprop_string(blob.data, at(&blob, "/configurations"), "x", "y"), 0);
	assert_int_equal(fdt_setprop_string(blob.data,
				 at(&blob, "/configurations/conf-1/signature-1"), "comment", "y"),
		0);
	after = judge(&blob, NULL, keys);
	assert_string_equal(before, after);
	free(before);
	free(after);
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* U-Boot commit 2092322b31c: a signature's own list of what it is of was believed. */
static void forged_hashed_nodes(void **state)
{
	static const char only_root[] = "/";
	static const char *const paths[] = { "/configurations/conf-1", "/images/kernel-1" };
	struct fit_keys *keys;
	struct blob blob;

	NEEDS_TOOLS();
	blob = signed_by_ecdsa256("", &keys);
	open_to_change(&blob);
	assert_int_equal(fdt_setprop(blob.data, at(&blob, "/configurations/conf-1/signature-1"),
				 "hashed-nodes", only_root, sizeof(only_root)),
		0);
	takes(&blob, NULL, keys, "conf-1 signed by [ecdsa256");
	/* What the list leaves out is signed all the same. */
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct blob forged = blob_copy(&blob);

		assert_int_equal(
			fdt_setprop_string(forged.data, at(&forged, paths[i]), "x", "y"), 0);
		refuses(&forged, NULL, keys, "a required signature is missing");
		blob_free(&forged);
	}
	assert_int_equal(fdt_delprop(blob.data, at(&blob, "/configurations/conf-1/signature-1"),
				 "hashed-nodes"),
		0);
	takes(&blob, NULL, keys, "conf-1 signed by [ecdsa256");
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* The signed configuration stays, and a second one has its signature and other images. */
static void cloned_configuration(void **state)
{
	static const char nodes[] =
		"/\0/configurations/conf-1\0/images/kernel-1\0/images/kernel-1/hash-1\0"
		"/images/ramdisk-1\0/images/ramdisk-1/hash-1\0/images/fdt-1\0/images/fdt-1/hash-1\0"
		"/images/fdt-2\0/images/fdt-2/hash-1";
	struct fit_keys *keys;
	struct blob blob;
	const void *value, *strings;
	uint8_t kept[200], kept_strings[8];
	int evil, signature, len;

	NEEDS_TOOLS();
	blob = signed_by_ecdsa256("", &keys);
	open_to_change(&blob);
	value = fdt_getprop(
		blob.data, at(&blob, "/configurations/conf-1/signature-1"), "value", &len);
	memcpy(kept, value, (size_t)len);
	strings = fdt_getprop(
		blob.data, at(&blob, "/configurations/conf-1/signature-1"), "hashed-strings", NULL);
	memcpy(kept_strings, strings, 8);
	evil = fdt_add_subnode(blob.data, at(&blob, "/configurations"), "conf-evil");
	assert_true(evil >= 0);
	fdt_setprop_string(blob.data, evil, "kernel", "kernel-1");
	signature = fdt_add_subnode(blob.data, evil, "signature-1");
	fdt_setprop(blob.data, signature, "value", kept, len);
	fdt_setprop_string(blob.data, signature, "algo", "sha256,ecdsa256");
	fdt_setprop(blob.data, signature, "hashed-strings", kept_strings, 8);
	assert_int_equal(
		fdt_setprop(blob.data, signature, "hashed-nodes", nodes, sizeof(nodes)), 0);
	takes(&blob, "conf-1", keys, "conf-1 signed by [ecdsa256");
	takes(&blob, "conf-evil", NULL, "conf-evil signed by []");
	refuses(&blob, "conf-evil", keys,
		"/configurations/conf-evil: a required signature is missing");
	/* The default one is anyone's to say, of those that are signed. */
	assert_int_equal(
		fdt_setprop_string(blob.data, at(&blob, "/configurations"), "default", "conf-evil"),
		0);
	refuses(&blob, NULL, keys, "/configurations/conf-evil: a required signature is missing");
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* U-Boot commit e7332861253: its length and what it says were believed. */
static void hashed_strings(void **state)
{
	static const char path[] = "/configurations/conf-1/signature-1";
	struct fit_keys *keys;
	struct blob blob;
	uint32_t size;
	fdt32_t cells[3];

	NEEDS_TOOLS();
	blob = signed_by_ecdsa256("", &keys);
	open_to_change(&blob);
	memcpy(cells, fdt_getprop(blob.data, at(&blob, path), "hashed-strings", NULL), 8);
	size = fdt32_to_cpu(cells[1]);
	assert_int_equal(fdt_setprop(blob.data, at(&blob, path), "hashed-strings", cells, 4), 0);
	refuses(&blob, NULL, keys, "it has no hashed-strings of two cells");
	assert_int_equal(fdt_setprop(blob.data, at(&blob, path), "hashed-strings", cells, 0), 0);
	refuses(&blob, NULL, keys, "it has no hashed-strings of two cells");
	for (uint32_t wrong = 0; wrong < 4; wrong++) {
		static const uint32_t sizes[] = { UINT32_MAX, INT32_MAX, 1 << 20, 100000 };

		cells[1] = cpu_to_fdt32(sizes[wrong]);
		assert_int_equal(
			fdt_setprop(blob.data, at(&blob, path), "hashed-strings", cells, 8), 0);
		refuses(&blob, NULL, keys,
			"its hashed-strings is larger than the names that the file has");
	}
	/* Names that are signed, fewer of them: then the names of properties could be anything. */
	cells[1] = cpu_to_fdt32(0);
	assert_int_equal(fdt_setprop(blob.data, at(&blob, path), "hashed-strings", cells, 8), 0);
	refuses(&blob, NULL, keys,
		"its hashed-strings leaves out the name of a property that it signs");
	cells[1] = cpu_to_fdt32(size + 1);
	assert_int_equal(fdt_setprop(blob.data, at(&blob, path), "hashed-strings", cells, 8), 0);
	refuses(&blob, NULL, keys, "it is by another key, or what it signed was changed");
	cells[1] = cpu_to_fdt32(size);
	assert_int_equal(fdt_setprop(blob.data, at(&blob, path), "hashed-strings", cells, 8), 0);
	takes(&blob, NULL, keys, "conf-1 signed by [ecdsa256");
	assert_int_equal(fdt_delprop(blob.data, at(&blob, path), "hashed-strings"), 0);
	refuses(&blob, NULL, keys, "it has no hashed-strings of two cells");
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* The place of data is not signed: what counts is its hash. */
static void external_data_swapped(void **state)
{
	struct fit_keys *keys;
	struct blob blob;
	uint32_t offset;
	int len;

	NEEDS_TOOLS();
	blob = signed_by_ecdsa256("-E -p 0x8000", &keys);
	takes(&blob, NULL, keys, "conf-1 signed by [ecdsa256");
	offset = fdt32_ld(
		fdt_getprop(blob.data, at(&blob, "/images/kernel-1"), "data-position", &len));
	assert_int_equal(offset, 0x8000);
	/* Another's place, another size, and other bytes there. */
	fdt_setprop_inplace_u32(
		blob.data, at(&blob, "/images/kernel-1"), "data-position", offset + 4);
	refuses(&blob, NULL, keys,
		"/images/kernel-1/hash-1: value: the image's data has another sha256");
	fdt_setprop_inplace_u32(blob.data, at(&blob, "/images/kernel-1"), "data-position", offset);
	fdt_setprop_inplace_u32(blob.data, at(&blob, "/images/kernel-1"), "data-size", 999);
	refuses(&blob, NULL, keys,
		"/images/kernel-1/hash-1: value: the image's data has another sha256");
	fdt_setprop_inplace_u32(blob.data, at(&blob, "/images/kernel-1"), "data-size", 1000);
	blob.data[offset + 999] ^= 0x80;
	refuses(&blob, NULL, keys,
		"/images/kernel-1/hash-1: value: the image's data has another sha256");
	blob.data[offset + 999] ^= 0x80;
	takes(&blob, NULL, keys, "conf-1 signed by [ecdsa256");
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* A key's name says nothing, and neither does what the signature says of itself. */
static void another_key_of_the_same_name(void **state)
{
	struct fit_keys *keys = NULL;
	struct blob blob;

	NEEDS_TOOLS();
	maker_run("mkdir -p evil && cp other.pem evil/ecdsa256.pem");
	blob = maker_image(
		NULL, maker_sha256, maker_signature("sha256,ecdsa256", "ecdsa256", ""), "-k evil");
	maker_keys("ecdsa256.pub", &keys);
	refuses(&blob, NULL, keys, "signature-1: it is by another key");
	fit_keys_destroy(keys);
	keys = NULL;
	maker_keys("other.pub", &keys);
	takes(&blob, NULL, keys, "signed by [other (sha256,ecdsa256)]");
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* A key of a control tree is for one algorithm: the same key's signature of another hash does not count. */
static void another_algorithm_of_the_key(void **state)
{
	struct fit_keys *keys = NULL;
	struct blob first, second;

	NEEDS_TOOLS();
	maker_control("control.dtb", "");
	first = maker_image(NULL, maker_sha256, maker_signature("sha256,rsa2048", "rsa2048", ""),
		"-k . -K control.dtb -r");
	second = maker_image(
		NULL, maker_sha256, maker_signature("sha512,rsa2048", "rsa2048", ""), "-k .");
	maker_keys("control.dtb", &keys);
	takes(&first, NULL, keys, "rsa2048 (sha256,rsa2048)");
	refuses(&second, NULL, keys, "signature-1: the key is for another algorithm");
	fit_keys_destroy(keys);
	blob_free(&first);
	blob_free(&second);
}

/* A signature of one padding is none of the other. */
static void another_padding(void **state)
{
	static const char path[] = "/configurations/conf-1/signature-1";
	struct fit_keys *keys = NULL;
	struct blob blob;

	NEEDS_TOOLS();
	maker_keys("rsa2048.pub", &keys);
	blob = maker_image(
		NULL, maker_sha256, maker_signature("sha256,rsa2048", "rsa2048", ""), "-k .");
	open_to_change(&blob);
	assert_int_equal(fdt_setprop_string(blob.data, at(&blob, path), "padding", "pss"), 0);
	refuses(&blob, NULL, keys, "it is by another key, or");
	assert_int_equal(fdt_setprop_string(blob.data, at(&blob, path), "padding", "none"), 0);
	refuses(&blob, NULL, keys, "its padding is none of");
	assert_int_equal(fdt_setprop_string(blob.data, at(&blob, path), "padding", "pkcs-1.5"), 0);
	takes(&blob, NULL, keys, "rsa2048 (sha256,rsa2048)");
	assert_int_equal(fdt_setprop(blob.data, at(&blob, path), "value", NULL, 0), 0);
	refuses(&blob, NULL, keys, "it is by another key, or");
	assert_int_equal(fdt_delprop(blob.data, at(&blob, path), "value"), 0);
	refuses(&blob, NULL, keys, "it has no value");
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* As many signatures as anyone likes would be as many calculations. mkimage goes on where it has no key. */
static void many_signatures(void **state)
{
	for (unsigned wrong = FIT_SIGNATURES - 1; ready && wrong <= FIT_SIGNATURES; wrong++) {
		struct fit_keys *keys = NULL;
		char text[2000] = "";
		struct blob blob;

		for (unsigned i = 0; i < wrong; i++)
			sprintf(text + strlen(text),
				"signature-x%u { algo = \"sha256,rsa2048\"; key-name-hint = \"none\"; };",
				i);
		strcat(text, maker_signature("sha256,ecdsa256", "ecdsa256", ""));
		blob = maker_image(NULL, maker_sha256, text, "-k .");
		maker_keys("ecdsa256.pub", &keys);
		if (wrong < FIT_SIGNATURES)
			takes(&blob, NULL, keys, "conf-1 signed by [ecdsa256");
		else
			refuses(&blob, NULL, keys, "it has more than 8 signatures");
		fit_keys_destroy(keys);
		blob_free(&blob);
	}
	NEEDS_TOOLS();
}

/*
 * Each signature that names another key could be each key's, and is tried, but not without end. Those that name their
 * keys take one try each, in whatever order they are.
 */
static void many_keys(void **state)
{
	struct fit_keys *keys = NULL;
	char text[3000] = "", name[20];
	struct blob blob;

	NEEDS_TOOLS();
	for (unsigned i = 0; i < FIT_SIGNATURES; i++) {
		maker_run(
			"openssl ecparam -name prime256v1 -genkey -noout -out many%u.pem 2>/dev/null && openssl ec -in many%u.pem -pubout -out many%u.pub 2>/dev/null",
			i, i, i);
		snprintf(name, sizeof(name), "many%u", FIT_SIGNATURES - 1 - i);
		sprintf(text + strlen(text), "signature-%u %s", i,
			strchr(maker_signature("sha256,ecdsa256", name, ""), '{'));
		snprintf(name, sizeof(name), "many%u.pub", i);
		maker_keys(name, &keys);
	}
	blob = maker_image(NULL, maker_sha256, text, "-k .");
	tries = 0;
	takes(&blob, NULL, keys, "conf-1 signed by [many0 (sha256,ecdsa256), many1 ");
	assert_int_equal(tries, FIT_SIGNATURES);
	fit_keys_destroy(keys);
	/* As many keys as there may be, of which one has signed: the last one, and no signature says so. */
	keys = NULL;
	for (unsigned i = 0; i < FIT_KEYS; i++)
		maker_keys("other.pub", &keys);
	tries = 0;
	refuses(&blob, NULL, keys, "it was not tried, after 64 others");
	assert_int_equal(tries, 64);
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* Of images too: the signatures that name a key come first, whichever key that is. */
static void many_keys_of_images(void **state)
{
	struct fit_keys *keys = NULL;
	struct blob blob;

	NEEDS_TOOLS();
	maker_run(
		"mkdir many && openssl req -batch -x509 -newkey rsa:3072 -nodes -subj /CN=x -keyout many/rsa3072.key -out many/rsa3072.crt 2>/dev/null");
	maker_control("others.dtb", "");
	maker_control("many.dtb", "");
	blob = maker_image(NULL, image_signature, "", "-k many -K others.dtb -r");
	blob_free(&blob);
	blob = maker_image(NULL, image_signature, "", "-k . -K many.dtb -r");
	for (unsigned i = 0; i < FIT_KEYS - 1; i++) {
		maker_keys("others.dtb", &keys);
		*keys->keys[i].name = 'x';
	}
	maker_keys("many.dtb", &keys);
	tries = 0;
	takes(&blob, NULL, keys, "signed by []");
	assert_int_equal(tries, 4);
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* The names of subnodes are signed with a configuration. */
static void a_subnode_more(void **state)
{
	static const char *const paths[] = { "/", "/configurations/conf-1", "/images/kernel-1",
		"/images/kernel-1/hash-1" };
	struct fit_keys *keys;
	struct blob blob;

	NEEDS_TOOLS();
	blob = signed_by_ecdsa256("", &keys);
	open_to_change(&blob);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct blob forged = blob_copy(&blob);

		takes(&forged, NULL, keys, "conf-1 signed by [ecdsa256");
		assert_true(fdt_add_subnode(forged.data, at(&forged, paths[i]), "more") > 0);
		refuses(&forged, NULL, keys, "a required signature is missing");
		blob_free(&forged);
	}
	fit_keys_destroy(keys);
	blob_free(&blob);
}

/* ecdsa384, which mkimage 2023.01 does not know: openssl signs the images. */
static void curve_of_384_bits(void **state)
{
	static const char *const hashes[] = { "sha256", "sha384", "sha512" };
	struct fit_keys *keys = NULL;

	NEEDS_TOOLS();
	/* Two numbers, each after its tag and length, at most a zero before it: as two of 48 bytes. */
	maker_run(
		"x() { openssl ec -in ecdsa384.pem -noout -text 2>/dev/null | sed -n '/pub:/,/ASN1/p' | grep '^  ' | tr -d ' \\n:' | cut -c $1; };"
		"echo \"/dts-v1/; / { signature { k { required = \\\"image\\\"; key-name-hint = \\\"k\\\";"
		" ecdsa,curve = \\\"secp384r1\\\"; ecdsa,x-point = [$(x 3-98)]; ecdsa,y-point = [$(x 99-194)]; }; }; };\" |"
		" dtc -q -O dtb -o c384.dtb");
	maker_keys("c384.dtb", &keys);
	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
		struct blob blob;

		blob = maker_image(NULL, "hash-1 { algo = \"crc32\"; }; signature-1 { };", "", "");
		maker_write("s.itb", blob.data, blob.len);
		blob_free(&blob);
		maker_run(
			"for n in kernel-1:kernel ramdisk-1:ramdisk fdt-1:board.dtb fdt-2:overlay.dtbo; do"
			" hex=$(openssl dgst -%s -sign ecdsa384.pem ${n#*:} | openssl asn1parse -inform DER |"
			"  sed -n 's/.*INTEGER *://p' | while read n; do printf %%96s $n | tr ' ' 0; done | sed 's/../& /g');"
			" fdtput -t bx s.itb /images/${n%%:*}/signature-1 value $hex &&"
			" fdtput -t s s.itb /images/${n%%:*}/signature-1 algo %s,ecdsa384 || exit; done",
			hashes[i], hashes[i]);
		blob = maker_read("s.itb");
		takes(&blob, NULL, keys, "conf-1 signed by []");
		maker_run("fdtput -t s s.itb /images/fdt-2/signature-1 algo %s,ecdsa384",
			hashes[(i + 1) % 3]);
		blob_free(&blob);
		blob = maker_read("s.itb");
		refuses(&blob, NULL, keys, "/images/fdt-2: a required signature of the image");
		blob_free(&blob);
	}
	fit_keys_destroy(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_algorithm),
		cmocka_unit_test(algorithm_of_the_command_line),
		cmocka_unit_test(data_anywhere),
		cmocka_unit_test(required_keys),
		cmocka_unit_test(signatures_of_images),
		cmocka_unit_test(unsigned_and_weak),
		cmocka_unit_test(what_is_signed_changes),
		cmocka_unit_test(what_is_not_signed_changes),
		cmocka_unit_test(forged_hashed_nodes),
		cmocka_unit_test(cloned_configuration),
		cmocka_unit_test(hashed_strings),
		cmocka_unit_test(external_data_swapped),
		cmocka_unit_test(another_key_of_the_same_name),
		cmocka_unit_test(another_algorithm_of_the_key),
		cmocka_unit_test(another_padding),
		cmocka_unit_test(many_signatures),
		cmocka_unit_test(many_keys),
		cmocka_unit_test(many_keys_of_images),
		cmocka_unit_test(a_subnode_more),
		cmocka_unit_test(curve_of_384_bits),
	};

	return cmocka_run_group_tests_name("fit-verify", tests, begin, end);
}
