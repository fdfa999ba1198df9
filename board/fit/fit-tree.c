/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into a tree that was read; see fit-tree.h. */
#include "board/fit/fit-tree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/text/errors.h"

static uint32_t cell_at(const struct fit_tree *tree, uint32_t offset)
{
	return fdt32_ld((const fdt32_t *)(tree->structure + offset));
}

void fit_tree_close(struct fit_tree *tree)
{
	if (!tree)
		return;
	free(tree->structure);
	free(tree->strings);
	free(tree->nodes);
	free(tree->properties);
	free(tree);
}

const char *fit_tree_name(const struct fit_tree *tree, uint32_t node)
{
	return (const char *)tree->structure + tree->nodes[node].name;
}

const char *fit_tree_property_name(
	const struct fit_tree *tree, const struct fit_tree_property *property)
{
	return tree->strings + property->name;
}

uint32_t fit_tree_first(const struct fit_tree *tree, uint32_t node)
{
	return node != FIT_TREE_NONE && tree->nodes[node].end > node + 1 ? node + 1 : FIT_TREE_NONE;
}

uint32_t fit_tree_next(const struct fit_tree *tree, uint32_t child)
{
	const struct fit_tree_node *node = &tree->nodes[child];

	return node->end < tree->nodes[node->parent].end ? node->end : FIT_TREE_NONE;
}

uint32_t fit_tree_child(const struct fit_tree *tree, uint32_t node, const char *name)
{
	uint32_t child = fit_tree_first(tree, node);

	while (child != FIT_TREE_NONE && strcmp(fit_tree_name(tree, child), name))
		child = fit_tree_next(tree, child);
	return child;
}

const struct fit_tree_property *fit_tree_property(
	const struct fit_tree *tree, uint32_t node, const char *name)
{
	const struct fit_tree_property *property = tree->properties + tree->nodes[node].properties;

	for (uint32_t i = 0; i < tree->nodes[node].property_count; i++, property++)
		if (!strcmp(fit_tree_property_name(tree, property), name))
			return property;
	return NULL;
}

const void *fit_tree_value(
	const struct fit_tree *tree, uint32_t node, const char *property, uint32_t *ret_len)
{
	const struct fit_tree_property *found = fit_tree_property(tree, node, property);

	if (!found)
		return NULL;
	*ret_len = found->len;
	return tree->structure + found->value;
}

const char *fit_tree_string_of(
	const struct fit_tree *tree, const struct fit_tree_property *property, const char *last)
{
	const char *value = (const char *)tree->structure + property->value;

	if (!property->len || value[property->len - 1])
		return NULL;
	last = last ? last + strlen(last) + 1 : value;
	return last < value + property->len ? last : NULL;
}

int fit_tree_string(const struct fit_tree *tree, uint32_t node, const char *property,
	struct errors *errors, const char **ret)
{
	const struct fit_tree_property *found = fit_tree_property(tree, node, property);
	const char *text;

	if (!found)
		return 0;
	text = fit_tree_string_of(tree, found, NULL);
	if (!text || !*text || strlen(text) != found->len - 1 || found->len - 1 > FIT_TREE_NAME) {
		fit_tree_error(tree, errors, node, property,
			"one string of at most %u bytes belongs here: write %s = \"...\"",
			FIT_TREE_NAME, property);
		return -EINVAL;
	}
	*ret = text;
	return 1;
}

int fit_tree_number(const struct fit_tree *tree, uint32_t node, const char *property,
	unsigned cells, struct errors *errors, uint64_t *ret)
{
	const struct fit_tree_property *found = fit_tree_property(tree, node, property);

	if (!found)
		return 0;
	if (found->len != 4 && (cells < 2 || found->len != 8)) {
		fit_tree_error(tree, errors, node, property,
			"%u bytes where a number of %s belongs", found->len,
			cells < 2 ? "4" : "4 or 8");
		return -EINVAL;
	}
	*ret = cell_at(tree, found->value);
	if (found->len == 8)
		*ret = *ret << 32 | cell_at(tree, found->value + 4);
	return 1;
}

/* ---- Messages ---- */

/* A node's path, malloc'ed; NULL: out of memory. */
static char *path_of(const struct fit_tree *tree, uint32_t node)
{
	uint32_t way[FIT_TREE_DEPTH];
	unsigned depth = 0;
	char *path, *end;

	for (; node != FIT_TREE_NONE && node && depth < FIT_TREE_DEPTH;
		node = tree->nodes[node].parent)
		way[depth++] = node;
	path = malloc(depth * (FIT_TREE_NAME + 1) + 2);
	if (!path)
		return NULL;
	end = stpcpy(path, depth ? "" : "/");
	while (depth)
		end = stpcpy(stpcpy(end, "/"), fit_tree_name(tree, way[--depth]));
	return path;
}

void fit_tree_error_list(const struct fit_tree *tree, struct errors *errors, uint32_t node,
	const char *property, const char *format, va_list args)
{
	char *path = path_of(tree, node), *where = NULL, *text = NULL;

	if (asprintf(&where, "%s: %s", tree->file, path ? path : "?") < 0)
		where = NULL;
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	error_add(
		errors, where ? where : tree->file, property, "%s", text ? text : "out of memory");
	free(text);
	free(where);
	free(path);
}

void fit_tree_error(const struct fit_tree *tree, struct errors *errors, uint32_t node,
	const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fit_tree_error_list(tree, errors, node, property, format, args);
	va_end(args);
}
