/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs of trees; see tree-file.h. A blob is untrusted. fdt_check_full() checks its offsets. check_walk() checks what
 * libfdt does not (a second root, properties behind subnodes, names), and the number of nodes, since much of libfdt takes
 * linear time.
 */
#include <ctype.h>
#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/config/tree-file.h"
#include "board/text/errors.h"

#define TREE_TAGS (64 * 1024)

static bool name_is_good(const char *name, int len)
{
	if (len > TREE_NAME)
		return false;
	for (int i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("@,._+-?#", name[i]))
			return false;
	return true;
}

/* NULL, or what is wrong with the structure. fdt_check_full() has passed. */
static const char *check_walk(const void *fdt)
{
	unsigned nodes = 0, tags = 0;
	int depth = 0, offset = 0, next, len;
	bool after_node = false;
	const char *name;
	uint32_t tag;

	do {
		tag = fdt_next_tag(fdt, offset, &next);
		if (++tags > TREE_TAGS)
			return "it has more than 65536 nodes and properties";
		if (!offset && tag != FDT_BEGIN_NODE)
			return "it does not begin with a root node";
		switch (tag) {
		case FDT_BEGIN_NODE:
			name = fdt_get_name(fdt, offset, &len);
			if (nodes && !depth)
				return "it has a second root node";
			if (++nodes > TREE_NODES || ++depth > TREE_DEPTH)
				return "it has more than 8192 nodes, or more than 16 levels";
			if (!name || !name_is_good(name, len) || (nodes > 1) != (len > 0))
				return "a node's name is too long or has characters that names have not";
			after_node = false;
			break;
		case FDT_END_NODE:
			depth--;
			after_node = true;
			break;
		case FDT_PROP:
			if (after_node)
				return "a property follows a subnode";
			if (!fdt_getprop_by_offset(fdt, offset, &name, &len) || !*name ||
				!name_is_good(name, strnlen(name, TREE_NAME + 1)))
				return "a property's name is too long or has characters that names have not";
			break;
		}
		offset = next;
	} while (tag != FDT_END);
	return NULL;
}

int tree_blob_open(
	const void *blob, size_t size, const char *name, struct errors *errors, void **ret)
{
	void *copy = NULL, *fdt = NULL;
	const char *why;
	int err;

	/* libfdt needs 8-byte alignment, and a size in the header that is not beyond the buffer. */
	copy = malloc(size ? size : 1);
	if (!copy)
		goto no_memory;
	memcpy(copy, blob, size);
	/* First, since fdt_check_full() of libfdt 1.6.1 follows a NULL in versions below 16. */
	if (size >= FDT_V17_SIZE && !fdt_check_header(copy) && fdt_version(copy) < 17) {
		error_add(errors, name, NULL,
			"version %d of the tree format is too old: needed is 17, which dtc writes",
			fdt_version(copy));
		goto fail;
	}
	err = size < FDT_V17_SIZE ? -FDT_ERR_TRUNCATED : fdt_check_full(copy, size);
	if (err == -FDT_ERR_TRUNCATED) {
		error_add(errors, name, NULL,
			"the tree is truncated: the file has only %zu bytes of it", size);
		goto fail;
	}
	if (err) {
		error_add(errors, name, NULL, "the tree is damaged: %s", fdt_strerror(err));
		goto fail;
	}
	why = check_walk(copy);
	if (why) {
		error_add(errors, name, NULL, "not a tree for a machine: %s", why);
		goto fail;
	}
	if (fdt_subnode_offset(copy, 0, "images") >= 0 &&
		fdt_subnode_offset(copy, 0, "configurations") >= 0) {
		error_add(errors, name, NULL,
			"a FIT image, where a tree belongs: a machine is started from one by its name, as the first file, and mkimage makes it of a source");
		goto fail;
	}
	fdt = malloc(fdt_totalsize(copy) + TREE_SLACK);
	if (!fdt)
		goto no_memory;
	err = fdt_open_into(copy, fdt, fdt_totalsize(copy) + TREE_SLACK);
	if (err) {
		error_add(errors, name, NULL, "the tree is damaged: %s", fdt_strerror(err));
		goto fail;
	}
	free(copy);
	*ret = fdt;
	return 0;
no_memory:
	error_add(errors, name, NULL, "out of memory");
fail:
	free(fdt);
	free(copy);
	return -EINVAL;
}
