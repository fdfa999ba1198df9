/* SPDX-License-Identifier: Apache-2.0 */
/* A FIT's file, read anew at each start; see fit-file.h. */
#include "board/fit/fit-file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/text/errors.h"

int fit_file_open(int fd, const char *name, const char *wanted, const struct fit_keys *keys,
	struct fit_file **ret)
{
	struct fit_file *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	file->fd = -1;
	file->keys = keys;
	file->name = strdup(name);
	file->wanted = wanted ? strdup(wanted) : NULL;
	if (!file->name || (wanted && !file->wanted)) {
		fit_file_close(file);
		return -ENOMEM;
	}
	file->fd = fd;
	*ret = file;
	return 0;
}

static void forget(struct fit_file *file)
{
	fit_trust_destroy(file->trust);
	fit_close(file->fit);
	file->trust = NULL;
	file->fit = NULL;
}

void fit_file_close(struct fit_file *file)
{
	if (!file)
		return;
	forget(file);
	for (unsigned i = 0; i < FIT_FDTS; i++) {
		free(file->trees[i].data);
		free(file->trees[i].label);
		free(file->trees[i].checked);
	}
	if (file->fd >= 0)
		close(file->fd);
	free(file->wanted);
	free(file->name);
	free(file);
}

/* The one string of a configuration's property, or "". */
static const char *named(const struct fit_tree *tree, uint32_t node, const char *property)
{
	const struct fit_tree_property *found = fit_tree_property(tree, node, property);
	const char *text = found ? fit_tree_string_of(tree, found, NULL) : NULL;

	return text ? text : "";
}

/* Linux's own image.fit has a configuration for each board, none of them the default one, all with one kernel. */
static const char *any_configuration(const struct fit *fit)
{
	const struct fit_tree *tree = fit_tree(fit);
	uint32_t first = fit_tree_first(tree, fit_tree_child(tree, 0, "configurations"));

	for (uint32_t node = first; node != FIT_TREE_NONE; node = fit_tree_next(tree, node))
		if (strcmp(named(tree, node, "kernel"), named(tree, first, "kernel")) != 0 ||
			strcmp(named(tree, node, "ramdisk"), named(tree, first, "ramdisk")) != 0)
			return NULL;
	return first == FIT_TREE_NONE ? NULL : fit_tree_name(tree, first);
}

int fit_file_read(struct fit_file *file, struct errors *errors)
{
	const char *name = file->wanted;
	int err;

	forget(file);
	err = fit_open(file->fd, file->name, errors, &file->fit);
	if (err)
		return err;
	if (!name && file->kernel_only && !fit_default(file->fit))
		name = any_configuration(file->fit);
	err = fit_configuration(file->fit, name, errors, &file->configuration);
	if (!err)
		err = fit_verify(file->fit, &file->configuration, file->keys, errors, &file->trust);
	/* The default is not signed: at a reset it is the same configuration, or none. */
	if (!err && !file->wanted) {
		file->wanted = strdup(file->configuration.name);
		err = file->wanted ? 0 : -ENOMEM;
	}
	if (err)
		forget(file);
	return err;
}

static int read_tree(struct fit_file *file, unsigned i, struct errors *errors)
{
	const struct fit_image *image = &file->configuration.fdts[i];
	char *checked = NULL, *label = NULL;
	void *data;
	bool first = !file->trees[i].data, same;
	int err;

	if (image->compression != FIT_NONE) {
		fit_tree_error(fit_tree(file->fit), errors, image->node, "compression",
			"a tree in %s: needed is one that is not compressed",
			fit_compression_name(image->compression));
		return -EINVAL;
	}
	err = fit_digest_file(file->trust, image, file->fd, FIT_FDT_BYTES, errors, &data, &checked);
	if (err)
		return err;
	if (first && asprintf(&label, "%s: /images/%s", file->name, image->name) < 0) {
		free(checked);
		free(data);
		return -ENOMEM;
	}
	if (first) {
		file->trees[i].data = data;
		file->trees[i].bytes = image->data.size;
		file->trees[i].label = label;
		file->trees[i].checked = checked;
		return 0;
	}
	same = image->data.size == file->trees[i].bytes &&
	       !memcmp(data, file->trees[i].data, image->data.size);
	free(checked);
	free(data);
	if (same)
		return 0;
	fit_tree_error(fit_tree(file->fit), errors, image->node, NULL,
		"the tree is another than the one that the machine was started with: end the machine, and start it anew");
	return -EINVAL;
}

int fit_file_read_trees(struct fit_file *file, struct errors *errors)
{
	const struct fit_configuration *configuration = &file->configuration;
	uint64_t bytes = 0;
	int err = 0;

	if (!configuration->fdt_count) {
		fit_tree_error(fit_tree(file->fit), errors, configuration->node, "fdt",
			"is missing, so this describes no machine: give the configuration a tree, or give its kernel to a tree of your own, by sluice,kernel = \"FILE#CONFIGURATION\" in its /chosen");
		return -EINVAL;
	}
	if (file->tree_count && file->tree_count != configuration->fdt_count) {
		fit_tree_error(fit_tree(file->fit), errors, configuration->node, "fdt",
			"names other trees than those that the machine was started with: end the machine, and start it anew");
		return -EINVAL;
	}
	for (unsigned i = 0; i < configuration->fdt_count; i++)
		bytes += configuration->fdts[i].data.size;
	if (bytes > FIT_FDT_BYTES) {
		fit_tree_error(fit_tree(file->fit), errors, configuration->node, "fdt",
			"names trees of %llu bytes together; at most %u are possible",
			(unsigned long long)bytes, FIT_FDT_BYTES);
		return -EINVAL;
	}
	for (unsigned i = 0; i < configuration->fdt_count && !err; i++)
		err = read_tree(file, i, errors);
	if (!err)
		file->tree_count = configuration->fdt_count;
	return err;
}
