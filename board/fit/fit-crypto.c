/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes and keys, by mbedTLS 2.28 or 3.6 and zlib; see fit-crypto.h. */
#include "board/fit/fit-crypto.h"

#include <errno.h>
#include <mbedtls/asn1.h>
#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "board/host/libraries.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"

/* ---- Hashes ---- */

static const struct {
	const char *name;
	unsigned bytes;
	bool strong;
	mbedtls_md_type_t md;
} hashes[FIT_HASH_KINDS] = {
	[FIT_CRC32] = { "crc32", 4, false, MBEDTLS_MD_NONE },
	[FIT_MD5] = { "md5", 16, false, MBEDTLS_MD_MD5 },
	[FIT_SHA1] = { "sha1", 20, false, MBEDTLS_MD_SHA1 },
	[FIT_SHA256] = { "sha256", 32, true, MBEDTLS_MD_SHA256 },
	[FIT_SHA384] = { "sha384", 48, true, MBEDTLS_MD_SHA384 },
	[FIT_SHA512] = { "sha512", 64, true, MBEDTLS_MD_SHA512 },
};

struct fit_hash {
	enum fit_hash_kind kind;
	bool failed;
	uint32_t crc;
	mbedtls_md_context_t md;
};

enum fit_hash_kind fit_hash_kind(const char *name, size_t len)
{
	unsigned kind = 0;

	while (kind < FIT_HASH_KINDS &&
		(strlen(hashes[kind].name) != len || memcmp(hashes[kind].name, name, len)))
		kind++;
	return (enum fit_hash_kind)kind;
}

const char *fit_hash_name(enum fit_hash_kind kind)
{
	return hashes[kind].name;
}

unsigned fit_hash_bytes(enum fit_hash_kind kind)
{
	return hashes[kind].bytes;
}

bool fit_hash_is_strong(enum fit_hash_kind kind)
{
	return hashes[kind].strong;
}

int fit_crypto_load(enum fit_hash_kind kind, const char *file, struct errors *errors)
{
	enum library library = kind == FIT_CRC32 ? LIBRARY_ZLIB : LIBRARY_MBEDCRYPTO;

	if (library_load(library))
		return 0;
	error_add(errors, file, NULL, "its %s needs %s (%s): install it",
		kind == FIT_HASH_KINDS ? "signature" : hashes[kind].name,
		library == LIBRARY_ZLIB ? "zlib" : "mbedTLS", library_file(library));
	return -ENOENT;
}

int fit_hash_begin(enum fit_hash_kind kind, struct fit_hash **ret)
{
	struct fit_hash *hash = calloc(1, sizeof(*hash));

	if (!hash)
		return -ENOMEM;
	hash->kind = kind;
	if (kind != FIT_CRC32) {
		mbedtls_md_init(&hash->md);
		if (mbedtls_md_setup(&hash->md, mbedtls_md_info_from_type(hashes[kind].md), 0) ||
			mbedtls_md_starts(&hash->md)) {
			fit_hash_destroy(hash);
			return -ENOMEM;
		}
	}
	*ret = hash;
	return 0;
}

int fit_hash_update(struct fit_hash *hash, const void *data, size_t len)
{
	const uint8_t *at = data;

	if (hash->kind != FIT_CRC32) {
		hash->failed = hash->failed || mbedtls_md_update(&hash->md, at, len);
		return hash->failed ? -ENOMEM : 0;
	}
	while (len) {
		uInt n = len < 1 << 30 ? (uInt)len : 1 << 30;

		hash->crc = (uint32_t)crc32(hash->crc, at, n);
		at += n;
		len -= n;
	}
	return 0;
}

int fit_hash_end(struct fit_hash *hash, uint8_t ret[FIT_HASH_BYTES])
{
	if (hash->kind == FIT_CRC32) {
		/* Big-endian, as mkimage writes it. */
		for (unsigned i = 0; i < 4; i++)
			ret[i] = (uint8_t)(hash->crc >> (24 - 8 * i));
		return 0;
	}
	return hash->failed || mbedtls_md_finish(&hash->md, ret) ? -ENOMEM : 0;
}

void fit_hash_destroy(struct fit_hash *hash)
{
	if (hash && hash->kind != FIT_CRC32)
		mbedtls_md_free(&hash->md);
	free(hash);
}

/* ---- Keys ---- */

/* A key on a curve up to its point (RFC 5480, 2): what the encoding of such a key begins with. The point follows. */
static const uint8_t p256_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
	0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42,
	0x00, 0x04 };
static const uint8_t p384_head[] = { 0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
	0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04 };

static const struct {
	const char *name, *curve;
	unsigned bits;
	const uint8_t *head;
	size_t head_len;
} kinds[FIT_KEY_KINDS] = {
	[FIT_RSA2048] = { "rsa2048", NULL, 2048 },
	[FIT_RSA3072] = { "rsa3072", NULL, 3072 },
	[FIT_RSA4096] = { "rsa4096", NULL, 4096 },
	[FIT_ECDSA256] = { "ecdsa256", "prime256v1", 256, p256_head, sizeof(p256_head) },
	[FIT_ECDSA384] = { "ecdsa384", "secp384r1", 384, p384_head, sizeof(p384_head) },
};

struct fit_public_key {
	enum fit_key_kind kind;
	mbedtls_pk_context pk;
};

enum fit_key_kind fit_key_kind(const char *name)
{
	unsigned kind = 0;

	while (kind < FIT_KEY_KINDS && strcmp(kinds[kind].name, name))
		kind++;
	return (enum fit_key_kind)kind;
}

const char *fit_key_kind_name(enum fit_key_kind kind)
{
	return kinds[kind].name;
}

const char *fit_key_curve(enum fit_key_kind kind)
{
	return kinds[kind].curve;
}

unsigned fit_signature_bytes(enum fit_key_kind kind)
{
	return kinds[kind].bits / 8 * (kinds[kind].curve ? 2 : 1);
}

enum fit_key_kind fit_public_key_kind(const struct fit_public_key *key)
{
	return key->kind;
}

void fit_public_key_destroy(struct fit_public_key *key)
{
	if (key)
		mbedtls_pk_free(&key->pk);
	free(key);
}

static struct fit_public_key *create(void)
{
	struct fit_public_key *key = calloc(1, sizeof(*key));

	if (key)
		mbedtls_pk_init(&key->pk);
	return key;
}

/* The key is of one of the kinds of RSA, and is a key. */
static int settle_rsa(struct fit_public_key *key, const char **ret_why)
{
	size_t bits = mbedtls_pk_get_bitlen(&key->pk);
	unsigned kind = FIT_RSA2048;

	while (kind <= FIT_RSA4096 && kinds[kind].bits != bits)
		kind++;
	*ret_why = "an RSA key of 2048, 3072 or 4096 bits belongs here";
	if (kind > FIT_RSA4096)
		return -EINVAL;
	key->kind = (enum fit_key_kind)kind;
	*ret_why = "its numbers are no RSA key";
	return mbedtls_rsa_check_pubkey(mbedtls_pk_rsa(key->pk)) ? -EINVAL : 0;
}

int fit_public_key_rsa(const uint8_t *modulus, size_t len, const uint8_t *exponent,
	size_t exponent_len, struct fit_public_key **ret, const char **ret_why)
{
	struct fit_public_key *key = create();
	int err;

	if (!key || mbedtls_pk_setup(&key->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA))) {
		fit_public_key_destroy(key);
		return -ENOMEM;
	}
	*ret_why = "its numbers are no RSA key";
	err = mbedtls_rsa_import_raw(mbedtls_pk_rsa(key->pk), modulus, len, NULL, 0, NULL, 0, NULL,
		      0, exponent, exponent_len) ||
			      mbedtls_rsa_complete(mbedtls_pk_rsa(key->pk))
		      ? -EINVAL
		      : settle_rsa(key, ret_why);
	if (err) {
		fit_public_key_destroy(key);
		return err;
	}
	*ret = key;
	return 0;
}

/* From the encoding of RFC 5280, 4.1: SubjectPublicKeyInfo. */
static int key_of_der(
	uint8_t *der, const uint8_t *end, struct fit_public_key **ret, const char **ret_why)
{
	struct fit_public_key *key = create();
	unsigned kind = FIT_ECDSA256;
	const uint8_t *begin = der;
	int err = -EINVAL;

	if (!key)
		return -ENOMEM;
	*ret_why = "it is no RSA key, and no key on a curve";
	if (mbedtls_pk_parse_subpubkey(&der, end, &key->pk))
		goto fail;
	if (mbedtls_pk_get_type(&key->pk) == MBEDTLS_PK_RSA) {
		err = settle_rsa(key, ret_why);
		if (err)
			goto fail;
	} else {
		while (kind < FIT_KEY_KINDS &&
			((size_t)(end - begin) < kinds[kind].head_len ||
				memcmp(begin, kinds[kind].head, kinds[kind].head_len)))
			kind++;
		*ret_why =
			"a key on the curve prime256v1 or secp384r1 belongs here, its point not compressed";
		if (kind == FIT_KEY_KINDS)
			goto fail;
		key->kind = (enum fit_key_kind)kind;
	}
	*ret = key;
	return 0;
fail:
	fit_public_key_destroy(key);
	return err;
}

int fit_public_key_curve(const char *curve, const uint8_t *x, const uint8_t *y, size_t len,
	struct fit_public_key **ret, const char **ret_why)
{
	uint8_t der[sizeof(p256_head) + 2 * 384 / 8], *end;
	unsigned kind = FIT_ECDSA256;

	while (kind < FIT_KEY_KINDS && strcmp(kinds[kind].curve, curve))
		kind++;
	*ret_why = "the curve is none of prime256v1 and secp384r1";
	if (kind == FIT_KEY_KINDS)
		return -EINVAL;
	*ret_why = "its point has not the size of its curve";
	if (len != kinds[kind].bits / 8)
		return -EINVAL;
	end = mempcpy(der, kinds[kind].head, kinds[kind].head_len);
	end = mempcpy(mempcpy(end, x, len), y, len);
	return key_of_der(der, end, ret, ret_why);
}

/* Moves on to the key within a certificate (RFC 5280, 4.1). */
static int find_key_in_certificate(uint8_t **at, const uint8_t *end)
{
	const int sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
	/* serialNumber, signature, issuer, validity, subject */
	const int before[] = { MBEDTLS_ASN1_INTEGER, sequence, sequence, sequence, sequence };
	size_t len;

	if (mbedtls_asn1_get_tag(at, end, &len, sequence) ||
		mbedtls_asn1_get_tag(at, end, &len, sequence))
		return -EINVAL;
	if (!mbedtls_asn1_get_tag(
		    at, end, &len, MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 0))
		*at += len; /* version */
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		if (mbedtls_asn1_get_tag(at, end, &len, before[i]))
			return -EINVAL;
		*at += len;
	}
	return 0;
}

int fit_public_key_pem(const char *text, struct fit_public_key **ret, const char **ret_why)
{
	static const char *const labels[] = { "PUBLIC KEY", "CERTIFICATE" };
	const char *begin = NULL, *last = NULL;
	unsigned label = 0;
	uint8_t *der, *at;
	size_t len;
	int err;

	for (; label < ARRAY_SIZE(labels); label++) {
		char line[40];

		snprintf(line, sizeof(line), "-----BEGIN %s-----", labels[label]);
		begin = strstr(text, line);
		begin = begin ? begin + strlen(line) : NULL;
		last = begin ? strstr(begin, "-----END") : NULL;
		if (last)
			break;
	}
	*ret_why =
		strstr(text, "PRIVATE KEY-----")
			? "it holds a private key: give the public one alone (openssl pkey -pubout)"
		: strstr(text, "-----BEGIN RSA PUBLIC KEY-----")
			? "needed is BEGIN PUBLIC KEY (openssl rsa -RSAPublicKey_in -pubout)"
			: "it has neither BEGIN PUBLIC KEY nor BEGIN CERTIFICATE";
	if (!last || strstr(text, "PRIVATE KEY-----"))
		return -EINVAL;
	while (begin < last && strchr(" \t\r\n", *begin))
		begin++;
	while (last > begin && strchr(" \t\r\n", last[-1]))
		last--;
	der = malloc((size_t)(last - begin) + 1);
	if (!der)
		return -ENOMEM;
	*ret_why = "its PEM is damaged";
	at = der;
	err = mbedtls_base64_decode(der, (size_t)(last - begin), &len, (const uint8_t *)begin,
		      (size_t)(last - begin))
		      ? -EINVAL
	      : label ? find_key_in_certificate(&at, der + len)
		      : 0;
	/* A key ends where its own encoding says: a certificate goes on behind it. */
	if (!err)
		err = key_of_der(at, der + len, ret, ret_why);
	free(der);
	return err;
}

/* ---- Signatures ---- */

/* A number of `len` bytes as an INTEGER (X.690, 8.3) at `to`: its size. */
static size_t put_integer(uint8_t *to, const uint8_t *number, size_t len)
{
	size_t sign;

	for (; len > 1 && !*number; len--)
		number++;
	sign = *number >> 7;
	to[0] = MBEDTLS_ASN1_INTEGER;
	to[1] = (uint8_t)(len + sign);
	to[2] = 0;
	memcpy(to + 2 + sign, number, len);
	return 2 + sign + len;
}

bool fit_public_key_verify(struct fit_public_key *key, bool pss, enum fit_hash_kind kind,
	const uint8_t *hash, const uint8_t *signature, size_t len)
{
	const mbedtls_pk_rsassa_pss_options options = { .mgf1_hash_id = hashes[kind].md,
		.expected_salt_len = MBEDTLS_RSA_SALT_LEN_ANY };
	mbedtls_md_type_t md = hashes[kind].md;
	size_t bytes = hashes[kind].bytes, half = len / 2;
	uint8_t der[2 + 2 * (3 + 384 / 8)];

	if (len != fit_signature_bytes(key->kind))
		return false;
	if (pss)
		return !mbedtls_pk_verify_ext(
			MBEDTLS_PK_RSASSA_PSS, &options, &key->pk, md, hash, bytes, signature, len);
	if (!kinds[key->kind].curve)
		return !mbedtls_pk_verify(&key->pk, md, hash, bytes, signature, len);
	/* mbedTLS takes the two numbers as a SEQUENCE (RFC 3279, 2.2.3), which is shorter than 128 bytes here. */
	len = put_integer(der + 2, signature, half);
	len += put_integer(der + 2 + len, signature + half, half);
	der[0] = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
	der[1] = (uint8_t)len;
	return !mbedtls_pk_verify(&key->pk, md, hash, bytes, der, len + 2);
}
