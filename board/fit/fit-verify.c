/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of configurations; see fit-verify.h. */
#include "board/fit/fit-verify.h"

#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/text/errors.h"
#include "hyp/base/util.h"

#define REFERENCES 256 /* to images, that a configuration may have: each is sought in /images */

struct fit_trust {
	const struct fit *fit;
	const struct fit_keys *keys;
	struct fit_configuration configuration;
	char *signatures; /* NULL: none */
	unsigned tries;
};

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

/* ---- One signature ---- */

const char *fit_signature_read(
	const struct fit_tree *tree, uint32_t node, struct fit_signature *ret)
{
	const struct fit_tree_property *algo = fit_tree_property(tree, node, "algo");
	const struct fit_tree_property *padding = fit_tree_property(tree, node, "padding");
	const char *text = algo ? fit_tree_string_of(tree, algo, NULL) : NULL;
	const char *comma = text ? strchr(text, ',') : NULL;
	const char *pad = padding ? fit_tree_string_of(tree, padding, NULL) : "pkcs-1.5";
	const struct fit_tree_property *hint = fit_tree_property(tree, node, "key-name-hint");
	struct fit_signature signature = { .name = fit_tree_name(tree, node), .node = node };

	if (!comma)
		return "it has no algo as in \"sha256,rsa2048\"";
	signature.algorithm = text;
	signature.hint = (hint ? fit_tree_string_of(tree, hint, NULL) : NULL) ?: "";
	signature.hash = fit_hash_kind(text, (size_t)(comma - text));
	if (signature.hash == FIT_HASH_KINDS || !fit_hash_is_strong(signature.hash))
		return "its hash is none of sha256, sha384 and sha512";
	signature.key = fit_key_kind(comma + 1);
	if (signature.key == FIT_KEY_KINDS)
		return "it is none of rsa2048, rsa3072, rsa4096, ecdsa256 and ecdsa384";
	if (!fit_key_curve(signature.key)) {
		if (!pad || (strcmp(pad, "pkcs-1.5") && strcmp(pad, "pss")))
			return "its padding is none of \"pkcs-1.5\" and \"pss\"";
		signature.pss = !strcmp(pad, "pss");
	}
	signature.value = fit_tree_value(tree, node, "value", &signature.len);
	if (!signature.value)
		return "it has no value: mkimage did not find the key (-k)";
	*ret = signature;
	return NULL;
}

bool fit_signature_names(const struct fit_signature *signature, const struct fit_key *key)
{
	return signature->hint && !strcmp(signature->hint, key->name);
}

const char *fit_signature_check(struct fit_trust *trust, const struct fit_signature *signature,
	const struct fit_key *key, const uint8_t *hash)
{
	if (fit_public_key_kind(key->key) != signature->key)
		return "it is by another kind of key";
	if (key->algorithm && strcmp(key->algorithm, signature->algorithm))
		return "the key is for another algorithm";
	if (trust->tries == FIT_TRIES)
		return "it was not tried, after 64 others: let each signature name its key (key-name-hint), and leave out those of other keys";
	trust->tries++;
	return fit_public_key_verify(key->key, signature->pss, signature->hash, hash,
		       signature->value, signature->len)
		       ? NULL
		       : "it is by another key, or what it signed was changed, or it leaves out images that the configuration names (sign-images)";
}

/* ---- What is signed ---- */

/* A bit for each node whose properties are signed. */
struct region {
	const struct fit_tree *tree;
	uint8_t *whole;
};

static bool is_whole(const struct region *region, uint32_t node)
{
	return region->whole[node / 8] >> node % 8 & 1;
}

static void add_whole(struct region *region, uint32_t node)
{
	region->whole[node / 8] |= (uint8_t)(1 << node % 8);
}

/* An image that the configuration names, with its hashes. */
static int add_image(struct region *region, uint32_t image, struct errors *errors)
{
	static const char *const signed_nodes[] = { "cipher", "dm-verity" };
	const struct fit_tree *tree = region->tree;
	bool strong = false;

	add_whole(region, image);
	for (uint32_t child = fit_tree_first(tree, image); child != FIT_TREE_NONE;
		child = fit_tree_next(tree, child)) {
		const char *name = fit_tree_name(tree, child), *algorithm;
		const struct fit_tree_property *property;
		enum fit_hash_kind kind;

		if (is_one_of(name, signed_nodes, ARRAY_SIZE(signed_nodes)))
			add_whole(region, child);
		if (strncmp(name, "hash", 4))
			continue;
		add_whole(region, child);
		property = fit_tree_property(tree, child, "algo");
		algorithm = property ? fit_tree_string_of(tree, property, NULL) : NULL;
		kind = algorithm ? fit_hash_kind(algorithm, strlen(algorithm)) : FIT_HASH_KINDS;
		strong = strong || (kind != FIT_HASH_KINDS && fit_hash_is_strong(kind));
	}
	if (strong)
		return 0;
	fit_tree_error(tree, errors, image, NULL,
		"it has no hash of sha256, sha384 or sha512, so that no signature says what its data is: write hash-1 { algo = \"sha256\"; }");
	return -EINVAL;
}

/* Marks all that a signature of the configuration is of. -EINVAL after an error was added. */
static int find_region(struct region *region, uint32_t configuration, struct errors *errors)
{
	static const char *const no_images[] = { "description", "compatible", "default",
		"load-only" };
	const struct fit_tree *tree = region->tree;
	const struct fit_tree_node *node = &tree->nodes[configuration];
	uint32_t images = fit_tree_child(tree, 0, "images");
	unsigned references = 0;

	add_whole(region, 0);
	add_whole(region, configuration);
	for (uint32_t i = 0; i < node->property_count; i++) {
		const struct fit_tree_property *property = &tree->properties[node->properties + i];
		const char *property_name = fit_tree_property_name(tree, property), *name = NULL;

		if (is_one_of(property_name, no_images, ARRAY_SIZE(no_images)))
			continue;
		while ((name = fit_tree_string_of(tree, property, name))) {
			uint32_t image;

			if (++references > REFERENCES) {
				fit_tree_error(tree, errors, configuration, property_name,
					"with this the configuration names more than %d images",
					REFERENCES);
				return -EINVAL;
			}
			image = fit_tree_child(tree, images, name);
			if (image != FIT_TREE_NONE && !is_whole(region, image) &&
				add_image(region, image, errors))
				return -EINVAL;
		}
	}
	return 0;
}

/* What a node is to a signature: nothing; its begin and end alone, as a child of one that is whole; or whole. */
enum part { PART_NONE, PART_NAME, PART_WHOLE };

static enum part part_of(const struct region *region, uint32_t node)
{
	uint32_t parent = region->tree->nodes[node].parent;

	if (is_whole(region, node))
		return PART_WHOLE;
	return parent != FIT_TREE_NONE && is_whole(region, parent) ? PART_NAME : PART_NONE;
}

/*
 * Hashes the structure's signed parts in their order, the tree's end, and then the first `names` bytes of the strings.
 * The structure was checked when it was read.
 */
static int hash_region(
	const struct region *region, uint32_t names, struct fit_hash *hash, const char **ret_why)
{
	static const char *const unsigned_ones[] = { "data", "data-size", "data-offset",
		"data-position" };
	const struct fit_tree *tree = region->tree;
	uint32_t at = 0, tag, next = 0, node = FIT_TREE_NONE;
	int err = 0;

	do {
		uint32_t begin = at, len, name;
		enum part part = node == FIT_TREE_NONE ? PART_NONE : part_of(region, node);
		bool is_signed;

		tag = fdt32_ld((const fdt32_t *)(tree->structure + at));
		at += 4;
		switch (tag) {
		case FDT_BEGIN_NODE:
			node = next++;
			at += (uint32_t)align_up(strlen(fit_tree_name(tree, node)) + 1, 4);
			is_signed = part_of(region, node) != PART_NONE;
			break;
		case FDT_END_NODE:
			is_signed = part != PART_NONE;
			node = tree->nodes[node].parent;
			break;
		case FDT_PROP:
			len = fdt32_ld((const fdt32_t *)(tree->structure + at));
			name = fdt32_ld((const fdt32_t *)(tree->structure + at + 4));
			at += 8 + (uint32_t)align_up(len, 4);
			is_signed = part == PART_WHOLE &&
				    !is_one_of(tree->strings + name, unsigned_ones,
					    ARRAY_SIZE(unsigned_ones));
			if (is_signed && name + strlen(tree->strings + name) >= names) {
				*ret_why =
					"its hashed-strings leaves out the name of a property that it signs";
				return -EINVAL;
			}
			break;
		case FDT_NOP:
			is_signed = part == PART_WHOLE;
			break;
		default:
			CHECK(tag == FDT_END);
			is_signed = true;
			break;
		}
		if (is_signed)
			err = fit_hash_update(hash, tree->structure + begin, at - begin);
	} while (!err && tag != FDT_END);
	return err ? err : fit_hash_update(hash, tree->strings, names);
}

/* A signature of the configuration, and the hash that it should be of. `why`: it can count for nothing. */
struct candidate {
	struct fit_signature signature;
	const char *why;
	uint8_t hash[FIT_HASH_BYTES];
};

/* -ENOMEM; a signature that is wrong is no error. */
static int prepare(const struct region *region, uint32_t node, struct candidate *candidate)
{
	const struct fit_tree *tree = region->tree;
	struct fit_hash *hash;
	const fdt32_t *strings;
	uint32_t len;
	int err;

	candidate->signature.name = fit_tree_name(tree, node);
	candidate->why = fit_signature_read(tree, node, &candidate->signature);
	if (candidate->why)
		return 0;
	strings = fit_tree_value(tree, node, "hashed-strings", &len);
	candidate->why = "it has no hashed-strings of two cells";
	if (!strings || len != 8)
		return 0;
	candidate->why = "its hashed-strings is larger than the names that the file has";
	if (fdt32_ld(strings + 1) > tree->strings_len)
		return 0;
	candidate->why = NULL;
	err = fit_hash_begin(candidate->signature.hash, &hash);
	if (err)
		return err;
	err = hash_region(region, fdt32_ld(strings + 1), hash, &candidate->why);
	if (!err)
		err = fit_hash_end(hash, candidate->hash);
	fit_hash_destroy(hash);
	return candidate->why ? 0 : err;
}

/* ---- All of it ---- */

/* The configuration's signatures: how many. -EINVAL after an error was added, -ENOMEM. */
static int find_candidates(const struct region *region, uint32_t configuration,
	struct errors *errors, struct candidate *ret)
{
	const struct fit_tree *tree = region->tree;
	unsigned count = 0;

	for (uint32_t child = fit_tree_first(tree, configuration); child != FIT_TREE_NONE;
		child = fit_tree_next(tree, child)) {
		int err;

		if (strncmp(fit_tree_name(tree, child), "signature", 9))
			continue;
		if (count == FIT_SIGNATURES) {
			fit_tree_error(tree, errors, configuration, NULL,
				"it has more than %d signatures", FIT_SIGNATURES);
			return -EINVAL;
		}
		err = prepare(region, child, ret + count++);
		if (err)
			return err;
	}
	return (int)count;
}

/* One of the signatures is the key's. Otherwise adds to `whys` what each lacks. */
static bool has_signed(struct fit_trust *trust, const struct candidate *candidates, unsigned count,
	const struct fit_key *key, char **whys)
{
	for (unsigned i = 0; i < 2 * count; i++) {
		const struct candidate *candidate = &candidates[i % count];
		const char *why = candidate->why;

		if (fit_signature_names(&candidate->signature, key) != (i < count))
			continue;
		if (!why)
			why = fit_signature_check(
				trust, &candidate->signature, key, candidate->hash);
		if (!why) {
			list_add(&trust->signatures, "%s (%s)", key->name,
				candidate->signature.algorithm);
			return true;
		}
		list_add(whys, "%s: %s", candidate->signature.name, why);
	}
	return false;
}

static int verify(struct fit_trust *trust, struct errors *errors)
{
	const struct fit_tree *tree = fit_tree(trust->fit);
	const struct fit_keys *keys = trust->keys;
	struct region region = { .tree = tree };
	struct candidate *candidates = calloc(FIT_SIGNATURES, sizeof(*candidates));
	uint32_t node = trust->configuration.node;
	unsigned good = 0, wanted = 0;
	char *lacking = NULL;
	int count, err;

	region.whole = calloc(1, tree->node_count / 8 + 1);
	err = candidates && region.whole ? find_region(&region, node, errors) : -ENOMEM;
	count = err ? err : find_candidates(&region, node, errors, candidates);
	for (unsigned i = 0; count >= 0 && i < keys->count && !(keys->any && good); i++) {
		const struct fit_key *key = &keys->keys[i];
		char *whys = NULL;

		if (!key->for_configurations)
			continue;
		wanted++;
		if (has_signed(trust, candidates, (unsigned)count, key, &whys))
			good++;
		else
			list_add(&lacking, "by %s of %s (%s)", key->name, key->file,
				whys ? whys : "the configuration has no signature");
		free(whys);
	}
	err = count < 0 ? count : 0;
	if (!err && (keys->any ? !good : good < wanted)) {
		fit_tree_error(tree, errors, node, NULL, "a required signature is missing: %s",
			lacking ? lacking : "?");
		err = -EINVAL;
	}
	free(lacking);
	free(region.whole);
	free(candidates);
	return err;
}

int fit_verify(const struct fit *fit, const struct fit_configuration *configuration,
	const struct fit_keys *keys, struct errors *errors, struct fit_trust **ret)
{
	struct fit_trust *trust;
	int err = 0;

	/* fit_keys_add() leaves no other. */
	CHECK(!keys || keys->for_configurations || keys->for_images);
	trust = calloc(1, sizeof(*trust));
	if (!trust)
		return -ENOMEM;
	trust->fit = fit;
	trust->keys = keys;
	trust->configuration = *configuration;
	if (keys && keys->for_configurations) {
		err = fit_crypto_load(FIT_HASH_KINDS, fit_tree(fit)->file, errors);
		if (!err)
			err = verify(trust, errors);
	}
	if (err) {
		fit_trust_destroy(trust);
		return err;
	}
	*ret = trust;
	return 0;
}

void fit_trust_destroy(struct fit_trust *trust)
{
	if (trust)
		free(trust->signatures);
	free(trust);
}

const struct fit *fit_trust_fit(const struct fit_trust *trust)
{
	return trust->fit;
}

const struct fit_configuration *fit_trust_configuration(const struct fit_trust *trust)
{
	return &trust->configuration;
}

const struct fit_keys *fit_trust_keys(const struct fit_trust *trust)
{
	return trust->keys;
}

const char *fit_trust_signatures(const struct fit_trust *trust)
{
	return trust->signatures ? trust->signatures : "";
}
