/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that FITs are checked with. They are the machine's owner's, but are read as carefully as a FIT is. From
 *
 *	a control tree	/signature/NODE as `mkimage -K TREE -r` writes it (doc/usage/fit/signature in U-Boot's source):
 *			algo, required, key-name-hint, rsa,num-bits, rsa,modulus, rsa,exponent, ecdsa,curve,
 *			ecdsa,x-point, ecdsa,y-point; /signature: required-mode. rsa,r-squared and rsa,n0-inverse save
 *			U-Boot a division, and are not read.
 *	a PEM file	a public key, or a certificate as `mkimage -k` has it. The key's name is the file's without its
 *			ending. Such a key is required for configurations.
 *
 * As with U-Boot a key counts only if it is required: a file without a required key is refused, since nothing
 * would be checked.
 */
#ifndef SLUICE_BOARD_FIT_FIT_KEYS_H
#define SLUICE_BOARD_FIT_FIT_KEYS_H

#include <stdbool.h>

#include "board/fit/fit-crypto.h"

struct errors;

#define FIT_KEYS 16 /* at most, of all files */

struct fit_key {
	char *name;	  /* for messages: the key's hint, else its node's name */
	const char *file; /* for messages */
	/*
	 * What it signs with, "sha256,rsa2048", as a control tree says; NULL: any hash that counts. mkimage 2023.01
	 * writes no algo of ECDSA keys, and U-Boot does not look at theirs.
	 */
	char *algorithm;
	struct fit_public_key *key;
	bool for_configurations, for_images; /* at most one: it is required for these */
};

/*
 * required = "conf": each such key must have signed the configuration (required-mode = "any": one of them must). With
 * several control trees one that says "all" decides. required = "image": one of such keys must have signed each image
 * that is used; U-Boot would take any key's signature there, also one that is not required. If there are both, both must
 * be satisfied.
 */
struct fit_keys {
	struct fit_key keys[FIT_KEYS];
	unsigned count;
	bool any; /* required-mode */
	bool for_configurations, for_images;
};

/* -ENOMEM. */
int fit_keys_create(struct fit_keys **ret);
/* Takes NULL. */
void fit_keys_destroy(struct fit_keys *keys);
/*
 * Adds the keys of a regular file, which is read from its beginning. `file` is its name, and outlives the keys.
 * -EINVAL after an error was added: also if the file has no required key, -ENOENT if mbedTLS cannot be loaded; -ENOMEM.
 * `keys` then holds a part, and can only be destroyed.
 */
int fit_keys_add(struct fit_keys *keys, int fd, const char *file, struct errors *errors);

#endif
