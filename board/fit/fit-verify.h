/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a configuration is what its author signed, by the rules of U-Boot 2026.10 (doc/usage/fit/signature in its
 * source):
 *
 *	What is signed follows from the configuration. `hashed-nodes` of the signature is ignored. Signed are the root's
 *	own properties, the configuration's, and of each image that the configuration names in any property but
 *	description, compatible, default and load-only: its properties, its nodes hash*, its cipher and its dm-verity.
 *	Of a child of these the name alone is signed. The names of properties are signed as far as `hashed-strings` says.
 *
 *	The properties data, data-size, data-offset and data-position are never signed. So an image's data is what its
 *	hashes say, wherever in the file it is.
 *
 * Stricter than U-Boot:
 *	each image that is named needs a hash of sha256, sha384 or sha512; a signature is of one of these too;
 *	hashed-strings must be there, and every signed property's name must be within it;
 *	a signature that is required of images must be by a key that is required of images.
 *
 * What is not signed: which configuration is the default one, and with keys for images alone all but images' data.
 */
#ifndef SLUICE_BOARD_FIT_FIT_VERIFY_H
#define SLUICE_BOARD_FIT_FIT_VERIFY_H

#include "board/fit/fit-keys.h"
#include "board/fit/fit.h"

#define FIT_SIGNATURES 8 /* of a configuration or an image, at most */
/*
 * How often a signature is tried with a key, of a configuration and all of its images together. This bounds how long a
 * reset takes: a try is some milliseconds. With signatures that name their keys each key takes one.
 */
#define FIT_TRIES 64

/* A configuration that passed, and who signed it. fit_digest_begin() needs one to load an image. */
struct fit_trust;

/*
 * Checks a configuration's signatures. `keys` NULL: none is asked for, and images' hashes alone are checked later.
 * Signatures required of images are checked later too, with their data. `fit`, and `keys`, outlive what is given.
 * -EINVAL after an error was added that says which key's signature is missing and why, -ENOENT if a library cannot be
 * loaded, -ENOMEM.
 */
int fit_verify(const struct fit *fit, const struct fit_configuration *configuration,
	const struct fit_keys *keys, struct errors *errors, struct fit_trust **ret);
/* Takes NULL. */
void fit_trust_destroy(struct fit_trust *trust);

const struct fit *fit_trust_fit(const struct fit_trust *trust);
const struct fit_configuration *fit_trust_configuration(const struct fit_trust *trust);
const struct fit_keys *fit_trust_keys(const struct fit_trust *trust); /* NULL: none was asked for */
/* Whose signatures the configuration has, for messages: "dev (sha256,rsa2048)"; "" if none was asked for. */
const char *fit_trust_signatures(const struct fit_trust *trust);

/* A node signature*, and what can be said of it without its data. */
struct fit_signature {
	const char *name;      /* the node's */
	const char *hint;      /* the name of its key, as it says; "" */
	const char *algorithm; /* "sha256,rsa2048" */
	enum fit_hash_kind hash;
	enum fit_key_kind key;
	bool pss;
	const uint8_t *value;
	uint32_t len;
	uint32_t node;
};
/* NULL, or why it can count for nothing: a static string. */
const char *fit_signature_read(
	const struct fit_tree *tree, uint32_t node, struct fit_signature *ret);
/* It says that it is this key's, and is tried first: a name proves nothing, and saves tries. */
bool fit_signature_names(const struct fit_signature *signature, const struct fit_key *key);
/* The signature is this key's, of a hash of its kind. NULL, or why not: a static string. Counts the tries. */
const char *fit_signature_check(struct fit_trust *trust, const struct fit_signature *signature,
	const struct fit_key *key, const uint8_t *hash);

#endif
