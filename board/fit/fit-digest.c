/* SPDX-License-Identifier: Apache-2.0 */
/* An image's data against its hashes; see fit-digest.h. */
#include "board/fit/fit-digest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/text/errors.h"
#include "hyp/base/util.h"

#define CHUNK_BYTES (64 * KiB)

/* A node hash*: the value that the data should have. */
struct expected {
	uint32_t node;
	enum fit_hash_kind kind;
	const uint8_t *value;
};

struct fit_digest {
	struct fit_trust *trust;
	const struct fit_tree *tree;
	const struct fit_image *image;
	uint64_t came;				 /* bytes */
	struct fit_hash *hashes[FIT_HASH_KINDS]; /* NULL: nothing asks for it */
	struct expected expected[FIT_HASHES];
	unsigned expected_count;
	struct fit_signature signatures[FIT_SIGNATURES]; /* of those that can count */
	unsigned signature_count;
	char *whys;    /* what other signatures lack; NULL: nothing */
	char *checked; /* NULL: nothing */
};

/* The digest will have the data's hash of this kind. */
static int want(struct fit_digest *digest, enum fit_hash_kind kind, struct errors *errors)
{
	int err;

	if (digest->hashes[kind])
		return 0;
	err = fit_crypto_load(kind, digest->tree->file, errors);
	return err ? err : fit_hash_begin(kind, &digest->hashes[kind]);
}

static int add_hash(struct fit_digest *digest, uint32_t node, struct errors *errors)
{
	const struct fit_tree *tree = digest->tree;
	struct expected expected = { .node = node };
	const char *algorithm = "";
	uint32_t len;

	if (digest->expected_count == FIT_HASHES) {
		fit_tree_error(tree, errors, digest->image->node, NULL,
			"it has more than %d hashes", FIT_HASHES);
		return -EINVAL;
	}
	if (fit_tree_string(tree, node, "algo", errors, &algorithm) < 0)
		return -EINVAL;
	expected.kind = fit_hash_kind(algorithm, strlen(algorithm));
	if (expected.kind == FIT_HASH_KINDS) {
		fit_tree_error(tree, errors, node, "algo",
			"\"%s\" is none of crc32, md5, sha1, sha256, sha384 and sha512", algorithm);
		return -EINVAL;
	}
	expected.value = fit_tree_value(tree, node, "value", &len);
	if (!expected.value || len != fit_hash_bytes(expected.kind)) {
		fit_tree_error(tree, errors, node, "value",
			"%u bytes where the %u of %s belong: let mkimage write them",
			expected.value ? len : 0, fit_hash_bytes(expected.kind), algorithm);
		return -EINVAL;
	}
	digest->expected[digest->expected_count++] = expected;
	return want(digest, expected.kind, errors);
}

static int add_signature(struct fit_digest *digest, uint32_t node, struct errors *errors)
{
	struct fit_signature *signature = &digest->signatures[digest->signature_count];
	const char *why;

	if (digest->signature_count == FIT_SIGNATURES) {
		fit_tree_error(digest->tree, errors, digest->image->node, NULL,
			"it has more than %d signatures", FIT_SIGNATURES);
		return -EINVAL;
	}
	why = fit_signature_read(digest->tree, node, signature);
	if (why) {
		list_add(&digest->whys, "%s: %s", fit_tree_name(digest->tree, node), why);
		return 0;
	}
	digest->signature_count++;
	return want(digest, signature->hash, errors);
}

/* What is trusted of this image; NULL: it is none of the configuration's. */
static const struct fit_image *find_image(const struct fit_trust *trust, uint32_t node)
{
	const struct fit_configuration *configuration = fit_trust_configuration(trust);

	for (unsigned i = 0; i < configuration->fdt_count; i++)
		if (node == configuration->fdts[i].node)
			return &configuration->fdts[i];
	if (configuration->has_ramdisk && node == configuration->ramdisk.node)
		return &configuration->ramdisk;
	return node == configuration->kernel.node ? &configuration->kernel : NULL;
}

int fit_digest_begin(struct fit_trust *trust, const struct fit_image *image, struct errors *errors,
	struct fit_digest **ret)
{
	const struct fit_tree *tree = fit_tree(fit_trust_fit(trust));
	const struct fit_keys *keys = fit_trust_keys(trust);
	struct fit_digest *digest;
	int err = 0;

	image = find_image(trust, image->node);
	CHECK(image);
	digest = calloc(1, sizeof(*digest));
	if (!digest)
		return -ENOMEM;
	digest->trust = trust;
	digest->tree = tree;
	digest->image = image;
	for (uint32_t child = fit_tree_first(tree, image->node); !err && child != FIT_TREE_NONE;
		child = fit_tree_next(tree, child)) {
		const char *name = fit_tree_name(tree, child);

		if (!strncmp(name, "hash", 4))
			err = add_hash(digest, child, errors);
		else if (keys && keys->for_images && !strncmp(name, "signature", 9))
			err = add_signature(digest, child, errors);
	}
	if (err) {
		fit_digest_destroy(digest);
		return err;
	}
	*ret = digest;
	return 0;
}

void fit_digest_update(struct fit_digest *digest, const void *data, size_t len)
{
	digest->came += len;
	for (unsigned i = 0; i < FIT_HASH_KINDS; i++)
		if (digest->hashes[i])
			fit_hash_update(digest->hashes[i], data, len);
}

/* One of the signatures, of those that name the key or of the others, is this key's. */
static bool has_signed(struct fit_digest *digest, uint8_t (*values)[FIT_HASH_BYTES],
	const struct fit_key *key, bool named)
{
	for (unsigned i = 0; i < digest->signature_count; i++) {
		const struct fit_signature *signature = &digest->signatures[i];
		const char *why;

		if (fit_signature_names(signature, key) != named)
			continue;
		why = fit_signature_check(digest->trust, signature, key, values[signature->hash]);
		if (!why) {
			list_add(&digest->checked, "signature of %s (%s)", key->name,
				signature->algorithm);
			return true;
		}
		list_add(&digest->whys, "%s: %s", signature->name, why);
	}
	return false;
}

/* One of the signatures is by a key that is required of images. */
static int check_signatures(struct fit_digest *digest, uint8_t (*values)[FIT_HASH_BYTES],
	const struct fit_keys *keys, struct errors *errors)
{
	char *names = NULL;

	for (unsigned i = 0; i < 2 * keys->count; i++) {
		const struct fit_key *key = &keys->keys[i % keys->count];
		const bool first = i < keys->count;

		if (!key->for_images)
			continue;
		if (first)
			list_add(&names, "%s of %s", key->name, key->file);
		if (has_signed(digest, values, key, first)) {
			free(names);
			return 0;
		}
	}
	fit_tree_error(digest->tree, errors, digest->image->node, NULL,
		"a required signature of the image is missing, by one of: %s (%s)",
		names ? names : "?", digest->whys ? digest->whys : "the image has no signature");
	free(names);
	return -EINVAL;
}

int fit_digest_end(struct fit_digest *digest, struct errors *errors)
{
	const struct fit_keys *keys = fit_trust_keys(digest->trust);
	uint8_t values[FIT_HASH_KINDS][FIT_HASH_BYTES];
	int err = 0;

	if (digest->came != digest->image->data.size) {
		fit_tree_error(digest->tree, errors, digest->image->node, NULL,
			"%" PRIu64 " bytes of its data were read where there are %" PRIu64
			": the file has changed",
			digest->came, digest->image->data.size);
		return -EINVAL;
	}
	for (unsigned i = 0; i < FIT_HASH_KINDS; i++)
		if (digest->hashes[i] && fit_hash_end(digest->hashes[i], values[i]))
			return -ENOMEM;
	for (unsigned i = 0; i < digest->expected_count; i++) {
		const struct expected *expected = &digest->expected[i];

		if (memcmp(values[expected->kind], expected->value,
			    fit_hash_bytes(expected->kind))) {
			fit_tree_error(digest->tree, errors, expected->node, "value",
				"the image's data has another %s: the file is damaged, or was changed",
				fit_hash_name(expected->kind));
			err = -EINVAL;
		} else {
			list_add(&digest->checked, "%s", fit_hash_name(expected->kind));
		}
	}
	if (!err && keys && keys->for_images)
		err = check_signatures(digest, values, keys, errors);
	return err;
}

void fit_digest_destroy(struct fit_digest *digest)
{
	if (!digest)
		return;
	for (unsigned i = 0; i < FIT_HASH_KINDS; i++)
		fit_hash_destroy(digest->hashes[i]);
	free(digest->whys);
	free(digest->checked);
	free(digest);
}

const char *fit_digest_checked(const struct fit_digest *digest)
{
	return digest->checked ? digest->checked : "";
}

/* ---- From the file ---- */

int fit_digest_file(struct fit_trust *trust, const struct fit_image *image, int fd, uint64_t most,
	struct errors *errors, void **ret, char **ret_checked)
{
	const struct fit_tree *tree = fit_tree(fit_trust_fit(trust));
	uint64_t left = image->data.size, at = image->data.offset;
	struct fit_digest *digest;
	uint8_t *data, *to;
	char *checked = NULL;
	int err;

	if (left > most) {
		fit_tree_error(tree, errors, image->node, NULL,
			"its data is %" PRIu64 " bytes; at most %" PRIu64 " are possible", left,
			most);
		return -EINVAL;
	}
	err = fit_digest_begin(trust, image, errors, &digest);
	if (err)
		return err;
	data = to = malloc(ret ? left : CHUNK_BYTES);
	err = data ? 0 : -ENOMEM;
	while (!err && left) {
		ssize_t n = RETRY_EINTR(
			pread(fd, to, left < CHUNK_BYTES ? left : CHUNK_BYTES, (off_t)at));

		if (n <= 0) {
			fit_tree_error(tree, errors, image->node, NULL,
				"its data cannot be read: %s",
				n ? strerror(errno) : "the file has become shorter");
			err = -EINVAL;
			break;
		}
		fit_digest_update(digest, to, (size_t)n);
		at += (uint64_t)n;
		left -= (uint64_t)n;
		to += ret ? n : 0;
	}
	if (!err)
		err = fit_digest_end(digest, errors);
	if (!err && ret_checked) {
		checked = strdup(fit_digest_checked(digest));
		err = checked ? 0 : -ENOMEM;
	}
	if (!err && ret_checked)
		*ret_checked = checked;
	if (!err && ret)
		*ret = data;
	else
		free(data);
	fit_digest_destroy(digest);
	return err;
}
