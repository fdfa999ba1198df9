/* SPDX-License-Identifier: Apache-2.0 */
/* What a FIT holds; see fit.h. */
#include "board/fit/fit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/host/versions.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"

#define LISTED 12 /* configurations that a message names */

struct fit {
	struct fit_tree *tree;
	uint32_t images, configurations; /* nodes */
	uint32_t *list;			 /* of configurations */
	unsigned count;
};

bool fit_has_magic(const void *head, size_t len)
{
	return len >= 4 && !memcmp(head, "\xd0\x0d\xfe\xed", 4);
}

int fit_probe(int fd, const char *file, struct errors *errors)
{
	uint8_t head[4];
	struct fit_tree *tree;
	ssize_t n = RETRY_EINTR(pread(fd, head, sizeof(head), 0));
	bool is_fit;
	int err;

	if (n < 0)
		error_add(errors, file, NULL, "cannot be read: %s", strerror(errno));
	if (n < 0 || !fit_has_magic(head, (size_t)n))
		return n < 0 ? -EINVAL : 0;
	err = fit_tree_open(fd, file, FIT_TREE_MAYBE, errors, &tree);
	if (err)
		return err;
	is_fit = fit_tree_child(tree, 0, "images") != FIT_TREE_NONE &&
		 fit_tree_child(tree, 0, "configurations") != FIT_TREE_NONE;
	fit_tree_close(tree);
	return is_fit;
}

int fit_open(int fd, const char *file, struct errors *errors, struct fit **ret)
{
	struct fit *fit = calloc(1, sizeof(*fit));
	const struct fit_tree *tree;
	int err = fit ? fit_tree_open(fd, file, FIT_TREE_IMAGES, errors, &fit->tree) : -ENOMEM;

	if (err)
		goto fail;
	tree = fit->tree;
	err = -EINVAL;
	fit->images = fit_tree_child(tree, 0, "images");
	fit->configurations = fit_tree_child(tree, 0, "configurations");
	if (fit->images == FIT_TREE_NONE) {
		error_add(errors, file, NULL,
			"is no FIT image: it has no /images; a tree alone is one to name as a machine");
		goto fail;
	}
	if (fit_tree_first(tree, fit->configurations) == FIT_TREE_NONE) {
		error_add(errors, file, NULL,
			"has no configurations: write /configurations with a node that names kernel and fdt");
		goto fail;
	}
	for (uint32_t child = fit_tree_first(tree, fit->configurations); child != FIT_TREE_NONE;
		child = fit_tree_next(tree, child))
		fit->count++;
	err = -ENOMEM;
	fit->list = calloc(fit->count, sizeof(*fit->list));
	if (!fit->list)
		goto fail;
	fit->count = 0;
	for (uint32_t child = fit_tree_first(tree, fit->configurations); child != FIT_TREE_NONE;
		child = fit_tree_next(tree, child))
		fit->list[fit->count++] = child;
	*ret = fit;
	return 0;
fail:
	fit_close(fit);
	return err;
}

void fit_close(struct fit *fit)
{
	if (!fit)
		return;
	fit_tree_close(fit->tree);
	free(fit->list);
	free(fit);
}

const struct fit_tree *fit_tree(const struct fit *fit)
{
	return fit->tree;
}

/* A string for people, "" if it is none. */
static const char *text_of(const struct fit_tree *tree, uint32_t node, const char *property)
{
	uint32_t len;
	const char *text = fit_tree_value(tree, node, property, &len);

	return text && len && !text[len - 1] ? text : "";
}

const char *fit_description(const struct fit *fit)
{
	return text_of(fit->tree, 0, "description");
}

unsigned fit_configuration_count(const struct fit *fit)
{
	return fit->count;
}

const char *fit_configuration_name(const struct fit *fit, unsigned i)
{
	return fit_tree_name(fit->tree, fit->list[i]);
}

const char *fit_configuration_description(const struct fit *fit, unsigned i)
{
	return text_of(fit->tree, fit->list[i], "description");
}

const char *fit_configuration_compatible(const struct fit *fit, unsigned i, const char *last)
{
	const struct fit_tree_property *property = fit_tree_property(
		fit->tree, fit->list[i], "compatible");

	return property ? fit_tree_string_of(fit->tree, property, last) : NULL;
}

const char *fit_default(const struct fit *fit)
{
	const char *name = text_of(fit->tree, fit->configurations, "default");

	if (*name)
		return name;
	return fit->count == 1 ? fit_configuration_name(fit, 0) : NULL;
}

/* ---- Images ---- */

static const char *const compressions[] = {
	[FIT_NONE] = "none",
	[FIT_GZIP] = "gzip",
	[FIT_ZSTD] = "zstd",
	[FIT_XZ] = "xz",
	[FIT_LZMA] = "lzma",
	[FIT_LZ4] = "lz4",
};

const char *fit_compression_name(enum fit_compression compression)
{
	return compressions[compression];
}

static const char *const types[] = {
	[FIT_KERNEL] = "kernel",
	[FIT_KERNEL_NOLOAD] = "kernel_noload",
	[FIT_RAMDISK] = "ramdisk",
	[FIT_FLAT_DT] = "flat_dt",
};

/* The index of `text` in a list of words, or -EINVAL. */
static int word(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(text, words[i]))
			return (int)i;
	return -EINVAL;
}

/* Where the data is: `data` in the tree, or in the file behind it. */
static int find_data(
	const struct fit_tree *tree, uint32_t node, struct errors *errors, struct fit_place *ret)
{
	struct fit_place place = tree->nodes[node].data;
	bool inside = tree->nodes[node].has_data;
	uint64_t offset = 0, position = 0, size = 0;
	int has_offset = fit_tree_number(tree, node, "data-offset", 1, errors, &offset);
	int has_position = fit_tree_number(tree, node, "data-position", 1, errors, &position);
	int has_size = fit_tree_number(tree, node, "data-size", 1, errors, &size);

	if (has_offset < 0 || has_position < 0 || has_size < 0)
		return -EINVAL;
	if (inside + has_offset + has_position != 1) {
		fit_tree_error(tree, errors, node, NULL,
			inside + has_offset + has_position
				? "it has more than one of data, data-offset and data-position"
				: "it has no data: none of data, data-offset and data-position");
		return -EINVAL;
	}
	if (!inside && !has_size) {
		fit_tree_error(tree, errors, node, "data-size",
			"is missing: data outside of the tree has an offset and a size");
		return -EINVAL;
	}
	if (has_position && position < tree->total) {
		fit_tree_error(tree, errors, node, "data-position",
			"0x%" PRIx64 " is within the tree, which ends at 0x%x", position,
			tree->total);
		return -EINVAL;
	}
	if (!inside)
		place = (struct fit_place){
			.offset = has_position ? position : align_up(tree->total, 4) + offset,
			.size = size,
		};
	if (place.offset > tree->file_size || place.size > tree->file_size - place.offset) {
		fit_tree_error(tree, errors, node, NULL,
			"its data is 0x%" PRIx64 " bytes at 0x%" PRIx64
			", beyond the file's end at 0x%" PRIx64 ": the file is truncated",
			place.size, place.offset, tree->file_size);
		return -EINVAL;
	}
	if (!place.size) {
		fit_tree_error(tree, errors, node, NULL, "its data is empty");
		return -EINVAL;
	}
	*ret = place;
	return 0;
}

static int check_type(const struct fit_tree *tree, uint32_t node, const char *place,
	struct errors *errors, enum fit_type *ret)
{
	const char *type = "";
	int got = fit_tree_string(tree, node, "type", errors, &type), known;

	if (got < 0)
		return got;
	known = word(type, types, ARRAY_SIZE(types));
	if (known >= 0 && (!strcmp(place, "kernel")	  ? known <= FIT_KERNEL_NOLOAD
				  : !strcmp(place, "fdt") ? known == FIT_FLAT_DT
							  : known == FIT_RAMDISK)) {
		*ret = (enum fit_type)known;
		return 0;
	}
	fit_tree_error(tree, errors, node, "type",
		"\"%s\" where a configuration has its %s: needed is %s", type, place,
		!strcmp(place, "kernel") ? "\"kernel\" or \"kernel_noload\""
		: !strcmp(place, "fdt")	 ? "\"flat_dt\""
					 : "\"ramdisk\"");
	return -EINVAL;
}

static int check_compression(const struct fit_tree *tree, uint32_t node, struct errors *errors,
	enum fit_compression *ret)
{
	const char *text = "none";
	int got = fit_tree_string(tree, node, "compression", errors, &text), known;

	if (got < 0)
		return got;
	known = word(text, compressions, ARRAY_SIZE(compressions));
	if (known < 0) {
		fit_tree_error(tree, errors, node, "compression",
			"\"%s\" is none of none, gzip, zstd, xz, lzma and lz4: pack it anew", text);
		return -EINVAL;
	}
	*ret = (enum fit_compression)known;
	return 0;
}

/* The image of a configuration's property `place`. */
static int describe_image(const struct fit *fit, uint32_t node, const char *place,
	struct errors *errors, struct fit_image *ret)
{
	const struct fit_tree *tree = fit->tree;
	const char *arch = "arm64";
	struct fit_image image = {
		.node = node,
		.name = fit_tree_name(tree, node),
		.description = text_of(tree, node, "description"),
		.os = text_of(tree, node, "os"),
	};
	int err = check_type(tree, node, place, errors, &image.type), got;

	got = fit_tree_string(tree, node, "arch", errors, &arch);
	if (got < 0) {
		err = got;
	} else if (strcmp(arch, "arm64") || (!got && image.type <= FIT_KERNEL_NOLOAD)) {
		fit_tree_error(tree, errors, node, "arch",
			got ? "it is for %s; needed is \"arm64\""
			    : "is missing: write arch = \"arm64\"",
			arch);
		err = -EINVAL;
	}
	if (check_compression(tree, node, errors, &image.compression))
		err = -EINVAL;
	if (fit_tree_child(tree, node, "cipher") != FIT_TREE_NONE) {
		fit_tree_error(tree, errors, node, "cipher",
			"the image is encrypted, which is not supported: leave the node cipher out");
		err = -EINVAL;
	}
	got = fit_tree_number(tree, node, "load", 2, errors, &image.load);
	image.has_load = got > 0;
	err = got < 0 ? got : err;
	got = fit_tree_number(tree, node, "entry", 2, errors, &image.entry);
	image.has_entry = got > 0;
	err = got < 0 ? got : err;
	if (find_data(tree, node, errors, &image.data))
		err = -EINVAL;
	if (!err)
		*ret = image;
	return err;
}

/* ---- Configurations ---- */

/*
 * The images that the configuration's property names: how many, 0: it has no such property. -EINVAL after an error was
 * added.
 */
static int describe_images(const struct fit *fit, uint32_t node, const char *place, unsigned most,
	struct errors *errors, struct fit_image *ret)
{
	const struct fit_tree *tree = fit->tree;
	const struct fit_tree_property *property = fit_tree_property(tree, node, place);
	const char *name = NULL;
	unsigned count = 0;
	int err = 0;

	if (!property)
		return 0;
	while ((name = fit_tree_string_of(tree, property, name))) {
		uint32_t image = fit_tree_child(tree, fit->images, name);

		if (count == most) {
			fit_tree_error(
				tree, errors, node, place, "it names more images than %u", most);
			return -EINVAL;
		}
		if (image == FIT_TREE_NONE) {
			fit_tree_error(
				tree, errors, node, place, "/images has no \"%.127s\"", name);
			err = -EINVAL;
		} else if (describe_image(fit, image, place, errors, ret + count)) {
			err = -EINVAL;
		}
		count++;
	}
	if (!count) {
		fit_tree_error(tree, errors, node, place,
			"names of images belong here: write %s = \"...\"", place);
		return -EINVAL;
	}
	return err ? err : (int)count;
}

static void no_such_configuration(const struct fit *fit, const char *name, struct errors *errors)
{
	char *there = NULL;

	for (unsigned i = 0; i < fit->count && i < LISTED; i++)
		list_add(&there, "%s", fit_configuration_name(fit, i));
	if (fit->count > LISTED)
		list_add(&there, "and %u more", fit->count - LISTED);
	if (name)
		error_add(errors, fit->tree->file, NULL,
			"has no configuration \"%.127s\"; there are: %s", name,
			there ? there : "?");
	else
		error_add(errors, fit->tree->file, NULL,
			"has no default configuration: name one; there are: %s",
			there ? there : "?");
	free(there);
}

/* What a signature can say against older configurations, which are signed as well as this one is (versions.h). */
static int read_version(const struct fit_tree *tree, uint32_t node, struct errors *errors,
	struct fit_configuration *ret)
{
	uint64_t version = 0;
	int has_version = fit_tree_number(tree, node, "sluice,version", 1, errors, &version);
	int has_product = fit_tree_string(tree, node, "sluice,product", errors, &ret->product);

	if (has_version < 0 || has_product < 0)
		return -EINVAL;
	if (has_version != has_product) {
		fit_tree_error(tree, errors, node,
			has_version ? "sluice,product" : "sluice,version",
			"is missing: a version is one of a product, so a configuration has both or neither");
		return -EINVAL;
	}
	if (has_product && !versions_may_be_product(ret->product)) {
		fit_tree_error(tree, errors, node, "sluice,product",
			"is no name of 1 to %d letters, digits, '.', '_' and '-', without '.' in front",
			VERSION_PRODUCT);
		return -EINVAL;
	}
	ret->version = (uint32_t)version;
	return 0;
}

int fit_configuration(const struct fit *fit, const char *name, struct errors *errors,
	struct fit_configuration *ret)
{
	static const char *const unsupported[] = { "firmware", "loadables", "fpga", "setup",
		"standalone" };
	const struct fit_tree *tree = fit->tree;
	struct fit_configuration *found;
	int kernels, ramdisks, fdts, err = 0;
	uint32_t node;

	name = name ? name : fit_default(fit);
	node = name ? fit_tree_child(tree, fit->configurations, name) : FIT_TREE_NONE;
	if (node == FIT_TREE_NONE) {
		no_such_configuration(fit, name, errors);
		return -EINVAL;
	}
	found = calloc(1, sizeof(*found));
	if (!found)
		return -ENOMEM;
	found->node = node;
	found->name = fit_tree_name(tree, node);
	found->description = text_of(tree, node, "description");
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (fit_tree_property(tree, node, unsupported[i])) {
			fit_tree_error(tree, errors, node, unsupported[i],
				"is not supported: a configuration for Sluice has kernel, ramdisk and fdt");
			err = -EINVAL;
		}
	kernels = describe_images(fit, node, "kernel", 1, errors, &found->kernel);
	ramdisks = describe_images(fit, node, "ramdisk", 1, errors, &found->ramdisk);
	fdts = describe_images(fit, node, "fdt", FIT_FDTS, errors, found->fdts);
	if (!kernels)
		fit_tree_error(tree, errors, node, "kernel",
			"is missing: write kernel = \"...\", with a node of /images");
	if (kernels < 1 || ramdisks < 0 || fdts < 0 || read_version(tree, node, errors, found))
		err = -EINVAL;
	found->has_ramdisk = ramdisks > 0;
	found->fdt_count = fdts > 0 ? (unsigned)fdts : 0;
	if (!err)
		*ret = *found;
	free(found);
	return err;
}
