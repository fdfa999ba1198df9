/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes and public keys as FITs name them. The mathematics are mbedTLS's, crc32 is zlib's; both are loaded when first
 * used (board/host/libraries.h), and only fit-crypto.c knows mbedTLS.
 */
#ifndef SLUICE_BOARD_FIT_FIT_CRYPTO_H
#define SLUICE_BOARD_FIT_FIT_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct errors;

#define FIT_HASH_BYTES	    64	/* of the longest hash, sha512 */
#define FIT_SIGNATURE_BYTES 512 /* of the longest signature, rsa4096 */

/*
 * Of these only sha256, sha384 and sha512 count for a signature: others are checked where a file has them, against
 * damage. (U-Boot takes a signature whose images have crc32 alone, and signatures of sha1 if it was built so.)
 */
enum fit_hash_kind {
	FIT_CRC32,
	FIT_MD5,
	FIT_SHA1,
	FIT_SHA256,
	FIT_SHA384,
	FIT_SHA512,
	FIT_HASH_KINDS
};

/* The kind of a name of `len` bytes; FIT_HASH_KINDS: it is none of these. */
enum fit_hash_kind fit_hash_kind(const char *name, size_t len);
const char *fit_hash_name(enum fit_hash_kind kind); /* "sha256" */
unsigned fit_hash_bytes(enum fit_hash_kind kind);
bool fit_hash_is_strong(enum fit_hash_kind kind); /* counts for a signature */

/*
 * Loads what the kind needs, or keys if it is FIT_HASH_KINDS. -ENOENT after an error was added: the library cannot be
 * loaded. `file` is what needs it.
 */
int fit_crypto_load(enum fit_hash_kind kind, const char *file, struct errors *errors);

struct fit_hash;
/* The library has been loaded. -ENOMEM. */
int fit_hash_begin(enum fit_hash_kind kind, struct fit_hash **ret);
/* -ENOMEM: the library has failed; the hash stays one that has failed. */
int fit_hash_update(struct fit_hash *hash, const void *data, size_t len);
/* Gives fit_hash_bytes() bytes. -ENOMEM: it or an update before has failed. */
int fit_hash_end(struct fit_hash *hash, uint8_t ret[FIT_HASH_BYTES]);
/* Takes NULL. */
void fit_hash_destroy(struct fit_hash *hash);

enum fit_key_kind {
	FIT_RSA2048,
	FIT_RSA3072,
	FIT_RSA4096,
	FIT_ECDSA256,
	FIT_ECDSA384,
	FIT_KEY_KINDS
};

/* The kind of a name as in "sha256,rsa2048"; FIT_KEY_KINDS: none of these. */
enum fit_key_kind fit_key_kind(const char *name);
const char *fit_key_kind_name(enum fit_key_kind kind);
/* mkimage's curve: "prime256v1"; NULL: the kind is not of a curve. */
const char *fit_key_curve(enum fit_key_kind kind);
unsigned fit_signature_bytes(enum fit_key_kind kind);

struct fit_public_key;
/*
 * From big-endian numbers. -EINVAL: they are no key of one of the kinds, *ret_why says why, a static string. -ENOMEM.
 * The libraries have been loaded.
 */
int fit_public_key_rsa(const uint8_t *modulus, size_t len, const uint8_t *exponent,
	size_t exponent_len, struct fit_public_key **ret, const char **ret_why);
/* `x` and `y` are of `len` bytes each. */
int fit_public_key_curve(const char *curve, const uint8_t *x, const uint8_t *y, size_t len,
	struct fit_public_key **ret, const char **ret_why);
/*
 * From PEM text, which is a string: a public key (RFC 7468, 13), or a certificate, of which nothing but the key is
 * looked at: neither its dates nor who signed it.
 */
int fit_public_key_pem(const char *text, struct fit_public_key **ret, const char **ret_why);
/* Takes NULL. */
void fit_public_key_destroy(struct fit_public_key *key);
enum fit_key_kind fit_public_key_kind(const struct fit_public_key *key);

/*
 * The signature, as mkimage writes it (RSA: a big-endian number; ECDSA: the two numbers, each as long as the key), is
 * this key's of this hash. With RSA `pss` says which padding; a salt may have any length, as with U-Boot.
 */
bool fit_public_key_verify(struct fit_public_key *key, bool pss, enum fit_hash_kind kind,
	const uint8_t *hash, const uint8_t *signature, size_t len);

#endif
