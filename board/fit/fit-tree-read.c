/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a hostile tree as a stream; see fit-tree.h. The format is that of the devicetree specification 0.4, chapter 5.
 */
#include "board/fit/fit-tree.h"

#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/text/errors.h"
#include "hyp/base/util.h"

#define CHUNK_BYTES (16 * KiB) /* that are read at once */

/* What is being read, and what of it has come in. */
struct reader {
	struct fit_tree *tree;
	struct errors *errors;
	enum fit_tree_kind kind;
	int fd;
	uint64_t base;	  /* where the structure begins in the file */
	uint32_t at, len; /* the next byte of the structure; how many it has */
	uint32_t room;	  /* bytes of tree->structure */
	uint32_t node_room, property_room;
	uint32_t node; /* in which it is; FIT_TREE_NONE: before or behind the root */
	unsigned depth;
	uint32_t chunk_at, chunk_len; /* of the structure, what `chunk` holds */
	uint8_t chunk[CHUNK_BYTES];
};

/* The file is refused, for what the node has where the reader is. */
static int refuse(const struct reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static int refuse(const struct reader *reader, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fit_tree_error_list(reader->tree, reader->errors, reader->node, NULL, format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- The file ---- */

static int read_file(const struct reader *reader, uint64_t offset, void *ret_buf, size_t len)
{
	uint8_t *buf = ret_buf;

	while (len) {
		ssize_t n = RETRY_EINTR(pread(reader->fd, buf, len, (off_t)offset));

		if (n < 0)
			error_add(reader->errors, reader->tree->file, NULL, "cannot be read: %s",
				strerror(errno));
		if (n == 0)
			error_add(reader->errors, reader->tree->file, NULL,
				"is truncated: it ends at byte %" PRIu64 ", within its tree",
				offset);
		if (n <= 0)
			return -EINVAL;
		buf += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Copies the next bytes of the structure. */
static int take(struct reader *reader, uint8_t *to, uint32_t len)
{
	if (len > reader->len - reader->at)
		return refuse(reader, "the tree ends within this node");
	while (len) {
		uint32_t there = reader->chunk_at + reader->chunk_len - reader->at, n;

		if (reader->at < reader->chunk_at ||
			reader->at >= reader->chunk_at + reader->chunk_len) {
			n = reader->len - reader->at;
			n = n < CHUNK_BYTES ? n : (uint32_t)CHUNK_BYTES;
			if (read_file(reader, reader->base + reader->at, reader->chunk, n))
				return -EINVAL;
			reader->chunk_at = reader->at;
			reader->chunk_len = there = n;
		}
		n = there < len ? there : len;
		memcpy(to, reader->chunk + (reader->at - reader->chunk_at), n);
		to += n;
		reader->at += n;
		len -= n;
	}
	return 0;
}

/* Room for one more of `count` entries in a table. */
static int grow(void *table_at, uint32_t *room, uint32_t count, uint32_t most, size_t entry)
{
	uint32_t wanted = *room ? 2 * *room : 64;
	void *grown;

	if (count < *room)
		return 0;
	wanted = wanted < most ? wanted : most;
	grown = reallocarray(*(void **)table_at, wanted, entry);
	if (!grown)
		return -ENOMEM;
	*(void **)table_at = grown;
	*room = wanted;
	return 0;
}

/* Keeps the next bytes of the structure, as they are. */
static int keep(struct reader *reader, uint32_t len)
{
	struct fit_tree *tree = reader->tree;

	if (len > FIT_TREE_BYTES - tree->strings_len - tree->structure_len)
		return refuse(reader, "the tree is larger than 2 MiB, without the images' data");
	if (tree->structure_len + len > reader->room) {
		uint32_t room = 2 * reader->room + 4096;
		uint8_t *grown;

		room = room > tree->structure_len + len ? room : tree->structure_len + len;
		grown = realloc(tree->structure, room);
		if (!grown)
			return -ENOMEM;
		tree->structure = grown;
		reader->room = room;
	}
	if (take(reader, tree->structure + tree->structure_len, len))
		return -EINVAL;
	tree->structure_len += len;
	return 0;
}

/* ---- Nodes ---- */

static uint32_t cell_at(const struct fit_tree *tree, uint32_t offset)
{
	return fdt32_ld((const fdt32_t *)(tree->structure + offset));
}

/* FDT_BEGIN_NODE has been copied to the structure; its name follows. */
static int begin_node(struct reader *reader)
{
	struct fit_tree *tree = reader->tree;
	struct fit_tree_node *node;
	uint32_t name = tree->structure_len;
	const char *text;
	int err = 0;

	if (reader->depth == FIT_TREE_DEPTH)
		return refuse(
			reader, "nodes are within each other 33 deep; at most 32 are possible");
	if (tree->node_count == FIT_TREE_NODES)
		return refuse(reader, "more than %u nodes", FIT_TREE_NODES);
	err = grow(
		&tree->nodes, &reader->node_room, tree->node_count, FIT_TREE_NODES, sizeof(*node));
	do {
		if (tree->structure_len - name > FIT_TREE_NAME)
			return refuse(
				reader, "a node's name is longer than %u bytes", FIT_TREE_NAME);
		err = err ? err : keep(reader, 4);
		if (err)
			return err;
	} while (!memchr(tree->structure + tree->structure_len - 4, 0, 4));
	node = &tree->nodes[tree->node_count];
	*node = (struct fit_tree_node){
		.parent = reader->node,
		.name = name,
		.properties = tree->property_count,
	};
	text = (const char *)tree->structure + name;
	if (!*text != !reader->depth)
		return refuse(reader, *text ? "the root has a name" : "a node without a name");
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '/')
			return refuse(reader, "a node's name is no name: \"%s\"", text);
	if (reader->kind == FIT_TREE_IMAGES && strchr(text, '@'))
		return refuse(reader,
			"the node \"%s\" has an '@' in its name, which U-Boot refuses in a FIT: name it without",
			text);
	reader->node = tree->node_count++;
	reader->depth++;
	return 0;
}

static void end_node(struct reader *reader)
{
	struct fit_tree_node *node = &reader->tree->nodes[reader->node];

	node->end = reader->tree->node_count;
	reader->node = node->parent;
	reader->depth--;
}

/* The node is an image of a FIT: /images/NODE. */
static bool is_image(const struct reader *reader)
{
	const struct fit_tree *tree = reader->tree;

	return reader->kind != FIT_TREE_KEYS && reader->depth == 3 &&
	       !strcmp(fit_tree_name(tree, tree->nodes[reader->node].parent), "images");
}

/* FDT_PROP has been copied to the structure. */
static int add_property(struct reader *reader)
{
	struct fit_tree *tree = reader->tree;
	uint32_t tag = tree->structure_len - 4, len, name;
	struct fit_tree_node *node;
	uint64_t padded;
	int err;

	if (reader->node == FIT_TREE_NONE)
		return refuse(reader, "a property is outside of the root");
	node = &tree->nodes[reader->node];
	if (reader->node + 1 != tree->node_count)
		return refuse(reader, "a property is behind a subnode");
	err = keep(reader, 8);
	if (err)
		return err;
	len = cell_at(tree, tag + 4);
	name = cell_at(tree, tag + 8);
	padded = align_up(len, 4);
	if (padded > reader->len - reader->at)
		return refuse(reader, "a property of %u bytes goes beyond the tree's end", len);
	if (name >= tree->strings_len || !memchr(tree->strings + name, 0, tree->strings_len - name))
		return refuse(reader,
			"the name of a property is at offset %u of the names, which are %u bytes",
			name, tree->strings_len);
	if (!tree->strings[name] || strlen(tree->strings + name) > FIT_TREE_NAME)
		return refuse(reader, "a property's name is empty, or longer than %u bytes",
			FIT_TREE_NAME);
	if (is_image(reader) && !strcmp(tree->strings + name, "data")) {
		if (node->has_data)
			return refuse(reader, "it has the property data twice");
		node->has_data = true;
		node->data = (struct fit_place){ reader->base + reader->at, len };
		tree->structure_len = tag;
		reader->at += (uint32_t)padded;
		return 0;
	}
	if (tree->property_count == FIT_TREE_PROPERTIES)
		return refuse(reader, "more than %u properties", FIT_TREE_PROPERTIES);
	err = grow(&tree->properties, &reader->property_room, tree->property_count,
		FIT_TREE_PROPERTIES, sizeof(*tree->properties));
	if (err)
		return err;
	tree->properties[tree->property_count++] = (struct fit_tree_property){
		.name = name,
		.value = tree->structure_len,
		.len = len,
	};
	node->property_count++;
	return keep(reader, (uint32_t)padded);
}

static int read_structure(struct reader *reader)
{
	struct fit_tree *tree = reader->tree;

	for (;;) {
		int err = keep(reader, 4);
		uint32_t tag;

		if (err)
			return err;
		tag = cell_at(tree, tree->structure_len - 4);
		if (!reader->depth && tree->node_count && tag != FDT_END)
			return refuse(reader, tag == FDT_BEGIN_NODE ? "the tree has two roots"
								    : "something follows the root");
		switch (tag) {
		case FDT_BEGIN_NODE:
			err = begin_node(reader);
			break;
		case FDT_END_NODE:
			if (!reader->depth)
				return refuse(reader, "a node ends that has not begun");
			end_node(reader);
			break;
		case FDT_PROP:
			err = add_property(reader);
			break;
		case FDT_NOP:
			break;
		case FDT_END:
			if (reader->depth || !tree->node_count)
				return refuse(reader, "the tree ends within this node");
			if (reader->at != reader->len)
				return refuse(reader, "%u bytes follow the tree's end",
					reader->len - reader->at);
			return 0;
		default:
			return refuse(reader, "0x%x is no part of a tree", tag);
		}
		if (err)
			return err;
	}
}

/* ---- What is there twice ---- */

static int by_name(const void *a, const void *b, void *tree)
{
	const struct fit_tree_property *x = a, *y = b;

	return strcmp(fit_tree_property_name(tree, x), fit_tree_property_name(tree, y));
}

static int by_parent(const void *a, const void *b, void *at)
{
	const struct fit_tree *tree = at;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	uint32_t of_x = tree->nodes[x].parent, of_y = tree->nodes[y].parent;

	if (of_x != of_y)
		return of_x < of_y ? -1 : 1;
	return strcmp(fit_tree_name(tree, x), fit_tree_name(tree, y));
}

static int find_twins(struct reader *reader)
{
	struct fit_tree *tree = reader->tree;
	struct fit_tree_property *sorted = reallocarray(
		NULL, tree->property_count + 1u, sizeof(*sorted));
	uint32_t *nodes = reallocarray(NULL, tree->node_count, sizeof(*nodes));
	int err = sorted && nodes ? 0 : -ENOMEM;

	for (uint32_t i = 0; !err && i < tree->node_count; i++) {
		const struct fit_tree_node *node = &tree->nodes[i];

		nodes[i] = i;
		memcpy(sorted, tree->properties + node->properties,
			node->property_count * sizeof(*sorted));
		qsort_r(sorted, node->property_count, sizeof(*sorted), by_name, tree);
		for (uint32_t p = 1; !err && p < node->property_count; p++) {
			if (by_name(sorted + p - 1, sorted + p, tree))
				continue;
			reader->node = i;
			err = refuse(reader, "it has the property %s twice",
				fit_tree_property_name(tree, sorted + p));
		}
	}
	if (!err)
		qsort_r(nodes, tree->node_count, sizeof(*nodes), by_parent, tree);
	for (uint32_t i = 1; !err && i < tree->node_count; i++) {
		if (by_parent(nodes + i - 1, nodes + i, tree))
			continue;
		reader->node = nodes[i];
		err = refuse(reader, "two nodes have this name");
	}
	free(nodes);
	free(sorted);
	return err;
}

/* ---- All of it ---- */

/* Reads header and names. */
static int read_header(struct reader *reader)
{
	struct fit_tree *tree = reader->tree;
	struct fdt_header header;
	uint32_t at, names, names_len;

	if (tree->file_size < sizeof(header)) {
		error_add(reader->errors, tree->file, NULL,
			"is truncated: it ends within the header of its tree");
		return -EINVAL;
	}
	if (read_file(reader, 0, &header, sizeof(header)))
		return -EINVAL;
	if (fdt32_ld(&header.magic) != FDT_MAGIC) {
		error_add(reader->errors, tree->file, NULL,
			"is no FIT image and no tree: it does not begin with a tree's magic");
		return -EINVAL;
	}
	if (fdt32_ld(&header.version) < 17 || fdt32_ld(&header.last_comp_version) > 17) {
		error_add(reader->errors, tree->file, NULL,
			"its tree has version %u; needed is 17, which dtc and mkimage write",
			fdt32_ld(&header.version));
		return -EINVAL;
	}
	tree->total = fdt32_ld(&header.totalsize);
	at = fdt32_ld(&header.off_dt_struct);
	reader->len = fdt32_ld(&header.size_dt_struct);
	names = fdt32_ld(&header.off_dt_strings);
	names_len = fdt32_ld(&header.size_dt_strings);
	if (tree->total > tree->file_size) {
		error_add(reader->errors, tree->file, NULL,
			"is truncated: its tree is %u bytes, the file has %" PRIu64, tree->total,
			tree->file_size);
		return -EINVAL;
	}
	if (at > tree->total || reader->len > tree->total - at || at % 4 || names > tree->total ||
		names_len > tree->total - names) {
		error_add(reader->errors, tree->file, NULL,
			"is damaged: structure or names of its tree are not within its %u bytes",
			tree->total);
		return -EINVAL;
	}
	if (names_len > FIT_TREE_BYTES) {
		error_add(reader->errors, tree->file, NULL,
			"the names of its tree are larger than 2 MiB");
		return -EINVAL;
	}
	reader->base = at;
	tree->strings = malloc(names_len + 1u);
	if (!tree->strings)
		return -ENOMEM;
	tree->strings_len = names_len;
	return read_file(reader, names, tree->strings, names_len);
}

int fit_tree_open(int fd, const char *file, enum fit_tree_kind kind, struct errors *errors,
	struct fit_tree **ret)
{
	struct fit_tree *tree = calloc(1, sizeof(*tree));
	struct reader *reader = calloc(1, sizeof(*reader));
	struct stat st;
	int err = -ENOMEM;

	if (!tree || !reader)
		goto fail;
	*reader = (struct reader){
		.tree = tree,
		.errors = errors,
		.kind = kind,
		.fd = fd,
		.node = FIT_TREE_NONE,
	};
	tree->file = file;
	err = -EINVAL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		error_add(errors, file, NULL, "is not a regular file");
		goto fail;
	}
	tree->file_size = (uint64_t)st.st_size;
	err = read_header(reader);
	/* A tree may have no property, and then has a table for none. */
	if (!err)
		err = grow(&tree->properties, &reader->property_room, 0, FIT_TREE_PROPERTIES,
			sizeof(*tree->properties));
	if (!err)
		err = read_structure(reader);
	if (!err)
		err = find_twins(reader);
	if (err)
		goto fail;
	free(reader);
	*ret = tree;
	return 0;
fail:
	free(reader);
	fit_tree_close(tree);
	return err;
}
