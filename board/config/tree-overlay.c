/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overlays; see tree-file.h. An overlay's __fixups__ and __local_fixups__ say where its values refer to nodes. libfdt
 * reads and writes there without checking the values' ends. So check() checks first: each reference lies within
 * the value of a property, which is a fragment's target or is in its __overlay__. libfdt may change nothing else while
 * it applies an overlay, above all not these two nodes, or a path that it follows later.
 */
#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/config/tree-file.h"
#include "board/text/errors.h"

/* Bounds, since libfdt searches for each of these from the start of both trees. */
#define OVERLAY_TAGS	   8192
#define OVERLAY_REFERENCES 4096

struct overlay {
	const void *fdt, *base;
	int fixups, local_fixups, symbols; /* nodes of the overlay, or negative */
	int base_symbols;
	const char *file; /* for messages */
	struct errors *errors;
	unsigned references;
};

static int wrong(const struct overlay *overlay, const char *what, const char *name)
{
	error_add(overlay->errors, overlay->file, NULL, "the overlay is damaged: %s%s", what,
		name ? name : "");
	return -EINVAL;
}

/* The value is one string, an absolute path: libfdt reads to its zero byte, and follows aliases even in circles. */
static bool is_path(const char *value, int len)
{
	return value && len > 1 && *value == '/' && strnlen(value, len) == (size_t)len - 1;
}

/* A reference at `offset` lies within the property's value, and the property may have references. */
static bool is_reference(
	const struct overlay *overlay, int node, const char *name, int name_len, uint64_t offset)
{
	int len, fragment = fdt_supernode_atdepth_offset(overlay->fdt, node, 1, NULL);
	const void *value = fdt_getprop_namelen(overlay->fdt, node, name, name_len, &len);

	if (!value || len < 4 || offset > (uint64_t)len - 4 || fragment < 0 ||
		fragment == overlay->fixups || fragment == overlay->local_fixups ||
		fragment == overlay->symbols)
		return false;
	if (node == fragment)
		return name_len == 6 && !memcmp(name, "target", 6);
	return fdt_supernode_atdepth_offset(overlay->fdt, node, 2, NULL) ==
	       fdt_subnode_offset(overlay->fdt, fragment, "__overlay__");
}

/* __local_fixups__ repeats nodes and properties of the overlay; its values are offsets into theirs. */
static int check_local_fixups(struct overlay *overlay, int node, int fixup_node)
{
	int property, child, err = 0;

	fdt_for_each_property_offset(property, overlay->fdt, fixup_node)
	{
		const char *name;
		int len;
		const fdt32_t *offsets = fdt_getprop_by_offset(overlay->fdt, property, &name, &len);

		overlay->references += len / 4;
		if (overlay->references > OVERLAY_REFERENCES)
			return wrong(overlay, "it has more than 4096 references", NULL);
		for (int i = 0; i < len / 4; i++)
			if (!is_reference(overlay, node, name, strlen(name), fdt32_ld(offsets + i)))
				return wrong(overlay,
					"__local_fixups__ names a place outside of the property ",
					name);
	}
	fdt_for_each_subnode(child, overlay->fdt, fixup_node)
	{
		const char *name = fdt_get_name(overlay->fdt, child, NULL);
		int of = fdt_subnode_offset(overlay->fdt, node, name);

		err = of < 0 ? wrong(overlay, "__local_fixups__ names what is no node: ", name)
			     : check_local_fixups(overlay, of, child);
		if (err)
			break;
	}
	return err;
}

/* "/PATH:PROPERTY:OFFSET" */
static bool is_fixup(const struct overlay *overlay, const char *text)
{
	const char *name = strchr(text, ':'), *digits = name ? strchr(name + 1, ':') : NULL;
	int node;

	if (*text != '/' || !digits)
		return false;
	digits++;
	if (!*digits || strlen(digits) > 9 || digits[strspn(digits, "0123456789")])
		return false;
	node = fdt_path_offset_namelen(overlay->fdt, text, name - text);
	return node >= 0 &&
	       is_reference(overlay, node, name + 1, digits - name - 2, strtoul(digits, NULL, 10));
}

/* __fixups__ has a property for each label that the overlay uses: a string for each place. */
static int check_fixups(struct overlay *overlay)
{
	int property;

	fdt_for_each_property_offset(property, overlay->fdt, overlay->fixups)
	{
		const char *label, *end, *path;
		int len;
		const char *text = fdt_getprop_by_offset(overlay->fdt, property, &label, &len);

		if (!len || text[len - 1])
			return wrong(overlay, "__fixups__ has no strings for the label ", label);
		for (end = text + len; text < end; text += strlen(text) + 1)
			if (++overlay->references > OVERLAY_REFERENCES)
				return wrong(overlay, "it has more than 4096 references", NULL);
			else if (!is_fixup(overlay, text))
				return wrong(
					overlay, "__fixups__ names no place in a property: ", text);
		path = overlay->base_symbols < 0
			       ? NULL
			       : fdt_getprop(overlay->base, overlay->base_symbols, label, &len);
		if (path && !is_path(path, len)) {
			error_add(overlay->errors, overlay->file, NULL,
				"the overlay wants the label %s, which is no node's path in the tree's /__symbols__",
				label);
			return -EINVAL;
		}
	}
	return 0;
}

/* libfdt changes each phandle of the overlay: in these nodes it would change an offset or a path. */
static bool has_phandles(const struct overlay *overlay, int node)
{
	int child;

	if (fdt_getprop(overlay->fdt, node, "phandle", NULL) ||
		fdt_getprop(overlay->fdt, node, "linux,phandle", NULL))
		return true;
	fdt_for_each_subnode(child, overlay->fdt, node)
	{
		if (has_phandles(overlay, child))
			return true;
	}
	return false;
}

static int check(struct overlay *overlay)
{
	const int special[] = { overlay->fixups, overlay->local_fixups, overlay->symbols };
	int fragment, len, err = 0, next = 0;
	const char *path;

	for (unsigned tags = 0; fdt_next_tag(overlay->fdt, next, &next) != FDT_END; tags++)
		if (tags == OVERLAY_TAGS)
			return wrong(overlay, "it has more than 8192 nodes and properties", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (special[i] >= 0 && has_phandles(overlay, special[i]))
			return wrong(overlay, "a phandle is in ",
				fdt_get_name(overlay->fdt, special[i], NULL));
	fdt_for_each_subnode(fragment, overlay->fdt, 0)
	{
		path = fdt_getprop(overlay->fdt, fragment, "target-path", &len);
		if (path && !is_path(path, len))
			return wrong(overlay, "no absolute path is the target-path of ",
				fdt_get_name(overlay->fdt, fragment, NULL));
	}
	if (overlay->local_fixups >= 0)
		err = check_local_fixups(overlay, 0, overlay->local_fixups);
	if (!err && overlay->fixups >= 0)
		err = check_fixups(overlay);
	return err;
}

/* Adds an error at the fragment of a fixup, "/fragment@0:target:0". */
static void lost_label(const struct overlay *overlay, const char *fixup, const char *label)
{
	char *fragment = *fixup == '/' ? strndup(fixup + 1, strcspn(fixup + 1, "/:")) : NULL;

	error_add(overlay->errors, overlay->file, fragment,
		overlay->base_symbols < 0
			? "the overlay wants the label %s, and the tree has no labels (/__symbols__): it was compiled without dtc -@"
			: "the overlay wants the label %s, which the tree does not have",
		label);
	free(fragment);
}

/* Adds an error for each label that the overlay uses and the tree does not have. */
static int look_for_labels(const struct overlay *overlay)
{
	int property, err = 0;
	const char *label, *where;

	if (overlay->fixups < 0)
		return 0;
	fdt_for_each_property_offset(property, overlay->fdt, overlay->fixups)
	{
		where = fdt_getprop_by_offset(overlay->fdt, property, &label, NULL);
		if (overlay->base_symbols >= 0 &&
			fdt_getprop(overlay->base, overlay->base_symbols, label, NULL))
			continue;
		lost_label(overlay, where, label);
		err = -EINVAL;
	}
	return err;
}

/*
 * Adds an error for each fragment whose target the tree does not have, once the overlay could not be applied: before, a
 * fragment may have been made by the one before it. How many were added.
 */
static unsigned name_lost_targets(const struct overlay *overlay)
{
	unsigned lost = 0;
	int fragment, len;

	fdt_for_each_subnode(fragment, overlay->fdt, 0)
	{
		const char *path = fdt_getprop(overlay->fdt, fragment, "target-path", &len);

		if (!path || fdt_path_offset(overlay->base, path) >= 0)
			continue;
		error_add(overlay->errors, overlay->file,
			fdt_get_name(overlay->fdt, fragment, NULL),
			"the overlay does not apply: the tree has no %s, which is the target-path of this fragment",
			path);
		lost++;
	}
	return lost;
}

int tree_overlay_apply(void **fdt, const void *blob, const char *file, struct errors *errors)
{
	size_t room = fdt_totalsize(*fdt) + 2 * (size_t)fdt_totalsize(blob) + TREE_SLACK;
	struct overlay overlay = {
		.fdt = blob,
		.base = *fdt,
		.fixups = fdt_path_offset(blob, "/__fixups__"),
		.local_fixups = fdt_path_offset(blob, "/__local_fixups__"),
		.symbols = fdt_path_offset(blob, "/__symbols__"),
		.base_symbols = fdt_path_offset(*fdt, "/__symbols__"),
		.file = file,
		.errors = errors,
	};
	int err = -FDT_ERR_NOSPACE;

	if (check(&overlay) || look_for_labels(&overlay))
		return -EINVAL;
	/* fdt_overlay_apply() damages both when it fails. */
	for (; err == -FDT_ERR_NOSPACE && room < 4 * TREE_FILE_MAX; room *= 2) {
		void *grown = malloc(room), *scratch = malloc(fdt_totalsize(blob));

		if (!grown || !scratch) {
			err = -FDT_ERR_INTERNAL;
		} else {
			memcpy(scratch, blob, fdt_totalsize(blob));
			err = fdt_open_into(*fdt, grown, room);
			if (!err)
				err = fdt_overlay_apply(grown, scratch);
		}
		free(scratch);
		if (!err) {
			free(*fdt);
			*fdt = grown;
			return 0;
		}
		free(grown);
	}
	if (err == -FDT_ERR_NOTFOUND && name_lost_targets(&overlay))
		return -EINVAL;
	error_add(errors, file, NULL, "the overlay does not apply: %s%s", fdt_strerror(err),
		err == -FDT_ERR_NOTFOUND
			? " (a target-path that the tree does not have, or no fragment)"
			: "");
	return -EINVAL;
}
