/* SPDX-License-Identifier: Apache-2.0 */
/* Keys from control trees and PEM files; see fit-keys.h. */
#include "board/fit/fit-keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/fit/fit-tree.h"
#include "board/fit/fit.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"

#define PEM_BYTES (64 * KiB) /* of a file, at most */

int fit_keys_create(struct fit_keys **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void fit_keys_destroy(struct fit_keys *keys)
{
	if (!keys)
		return;
	for (unsigned i = 0; i < FIT_KEYS; i++) {
		free(keys->keys[i].name);
		free(keys->keys[i].algorithm);
		fit_public_key_destroy(keys->keys[i].key);
	}
	free(keys);
}

/* Room for one more. It counts once keys->count says so. */
static struct fit_key *next_key(struct fit_keys *keys, const char *file, struct errors *errors)
{
	struct fit_key *key = &keys->keys[keys->count];

	if (keys->count == FIT_KEYS) {
		error_add(errors, file, NULL, "there are more keys than %d", FIT_KEYS);
		return NULL;
	}
	key->file = file;
	return key;
}

static void take_key(struct fit_keys *keys, struct fit_key *key)
{
	keys->for_configurations |= key->for_configurations;
	keys->for_images |= key->for_images;
	keys->count++;
}

/* ---- A control tree ---- */

static int read_rsa(const struct fit_tree *tree, uint32_t node, struct errors *errors,
	struct fit_public_key **ret)
{
	uint32_t modulus_len = 0, exponent_len = 0;
	const uint8_t *modulus = fit_tree_value(tree, node, "rsa,modulus", &modulus_len);
	const uint8_t *exponent = fit_tree_value(tree, node, "rsa,exponent", &exponent_len);
	uint64_t bits = 0;
	const char *why;
	int err = fit_tree_number(tree, node, "rsa,num-bits", 1, errors, &bits);

	if (err < 0)
		return err;
	/* U-Boot takes 65537 where there is no exponent, which mkimage always writes. */
	if (!exponent || exponent_len != 8 || bits != (uint64_t)modulus_len * 8) {
		fit_tree_error(tree, errors, node, "rsa,modulus",
			"rsa,num-bits, rsa,modulus and rsa,exponent do not fit together: let mkimage -K write them");
		return -EINVAL;
	}
	err = fit_public_key_rsa(modulus, modulus_len, exponent, exponent_len, ret, &why);
	if (err == -EINVAL)
		fit_tree_error(tree, errors, node, "rsa,modulus", "%s", why);
	return err;
}

static int read_curve(const struct fit_tree *tree, uint32_t node, const char *curve,
	struct errors *errors, struct fit_public_key **ret)
{
	uint32_t x_len = 0, y_len = 0;
	const uint8_t *x = fit_tree_value(tree, node, "ecdsa,x-point", &x_len);
	const uint8_t *y = fit_tree_value(tree, node, "ecdsa,y-point", &y_len);
	const char *why;
	int err;

	if (!x || !y || x_len != y_len) {
		fit_tree_error(tree, errors, node, "ecdsa,x-point",
			"ecdsa,x-point and ecdsa,y-point do not fit together: let mkimage -K write them");
		return -EINVAL;
	}
	err = fit_public_key_curve(curve, x, y, x_len, ret, &why);
	if (err == -EINVAL)
		fit_tree_error(tree, errors, node, "ecdsa,curve", "%s", why);
	return err;
}

/* A node of /signature. One that is not required is not looked at, since it never counts. */
static int read_node(struct fit_keys *keys, const struct fit_tree *tree, uint32_t node,
	const char *file, struct errors *errors)
{
	const char *required = NULL, *name = fit_tree_name(tree, node), *algorithm = NULL,
		   *curve = NULL, *comma, *kind;
	struct fit_key *key;
	int err;

	if (fit_tree_string(tree, node, "required", errors, &required) < 0)
		return -EINVAL;
	if (!required)
		return 0;
	if (strcmp(required, "conf") && strcmp(required, "image")) {
		fit_tree_error(tree, errors, node, "required",
			"\"%s\" is none of \"conf\" and \"image\"", required);
		return -EINVAL;
	}
	if (fit_tree_string(tree, node, "key-name-hint", errors, &name) < 0 ||
		fit_tree_string(tree, node, "algo", errors, &algorithm) < 0 ||
		fit_tree_string(tree, node, "ecdsa,curve", errors, &curve) < 0)
		return -EINVAL;
	key = next_key(keys, file, errors);
	if (!key)
		return -EINVAL;
	err = curve ? read_curve(tree, node, curve, errors, &key->key)
		    : read_rsa(tree, node, errors, &key->key);
	if (err)
		return err;
	kind = fit_key_kind_name(fit_public_key_kind(key->key));
	if (!algorithm && !curve) {
		fit_tree_error(
			tree, errors, node, "algo", "is missing: write algo = \"sha256,%s\"", kind);
		return -EINVAL;
	}
	comma = algorithm ? strchr(algorithm, ',') : NULL;
	if (algorithm && (!comma || strcmp(comma + 1, kind))) {
		fit_tree_error(tree, errors, node, "algo", "\"%s\" is not of this key, which is %s",
			algorithm, kind);
		return -EINVAL;
	}
	key->algorithm = algorithm ? strdup(algorithm) : NULL;
	key->name = strdup(name);
	if (!key->name || (algorithm && !key->algorithm))
		return -ENOMEM;
	key->for_configurations = !strcmp(required, "conf");
	key->for_images = !key->for_configurations;
	take_key(keys, key);
	return 0;
}

static int add_tree(struct fit_keys *keys, int fd, const char *file, struct errors *errors)
{
	const char *mode = "all";
	bool before = keys->for_configurations;
	unsigned count = keys->count;
	struct fit_tree *tree;
	uint32_t signature;
	int err = fit_tree_open(fd, file, FIT_TREE_KEYS, errors, &tree);

	if (err)
		return err;
	signature = fit_tree_child(tree, 0, "signature");
	if (signature == FIT_TREE_NONE) {
		error_add(errors, file, NULL,
			"has no /signature: let mkimage write keys into it (mkimage -k KEYS -K %s -r ...)",
			file);
		err = -EINVAL;
	}
	if (!err && fit_tree_string(tree, signature, "required-mode", errors, &mode) < 0)
		err = -EINVAL;
	if (!err && strcmp(mode, "all") && strcmp(mode, "any")) {
		fit_tree_error(tree, errors, signature, "required-mode",
			"\"%s\" is none of \"all\" and \"any\"", mode);
		err = -EINVAL;
	}
	for (uint32_t node = fit_tree_first(tree, signature); !err && node != FIT_TREE_NONE;
		node = fit_tree_next(tree, node))
		err = read_node(keys, tree, node, file, errors);
	if (!err && keys->count == count) {
		error_add(errors, file, NULL,
			"has no required key in /signature, so that nothing would be checked: sign with mkimage -r");
		err = -EINVAL;
	}
	if (!err)
		keys->any = !strcmp(mode, "any") && (keys->any || !before);
	fit_tree_close(tree);
	return err;
}

/* ---- A PEM file ---- */

static int add_pem(struct fit_keys *keys, char *text, const char *file, struct errors *errors)
{
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	const char *dot = strrchr(base, '.'), *why;
	struct fit_key *key = next_key(keys, file, errors);
	int err;

	if (!key)
		return -EINVAL;
	err = fit_public_key_pem(text, &key->key, &why);
	if (err == -EINVAL)
		error_add(errors, file, NULL, "is no public key: %s", why);
	if (err)
		return err;
	key->name = dot && dot > base ? strndup(base, (size_t)(dot - base)) : strdup(base);
	if (!key->name)
		return -ENOMEM;
	key->for_configurations = true;
	/* It must have signed, whatever a control tree says of its own keys. */
	keys->any = false;
	take_key(keys, key);
	return 0;
}

int fit_keys_add(struct fit_keys *keys, int fd, const char *file, struct errors *errors)
{
	char *text;
	struct stat st;
	size_t len = 0;
	int err;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		error_add(errors, file, NULL, "is not a regular file");
		return -EINVAL;
	}
	err = fit_crypto_load(FIT_HASH_KINDS, file, errors);
	if (err)
		return err;
	text = malloc(PEM_BYTES + 1);
	if (!text)
		return -ENOMEM;
	while (len < PEM_BYTES) {
		ssize_t n = RETRY_EINTR(pread(fd, text + len, PEM_BYTES - len, (off_t)len));

		if (n < 0)
			error_add(errors, file, NULL, "cannot be read: %s", strerror(errno));
		err = n < 0 ? -EINVAL : 0;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = 0;
	if (err) {
		/* said above */
	} else if (fit_has_magic(text, len)) {
		err = add_tree(keys, fd, file, errors);
	} else if (len == PEM_BYTES) {
		error_add(errors, file, NULL, "is larger than 64 KiB, which no key is");
		err = -EINVAL;
	} else {
		err = add_pem(keys, text, file, errors);
	}
	free(text);
	return err;
}
