/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of a FIT, or of the keys that FITs are checked with, from a hostile file. It is read once, as a stream, into
 * memory of its own; all that is said of it later is said of that copy, whatever becomes of the file. The data of a
 * FIT's images, which may be hundreds of MiB, is left out: what is kept of it is its place in the file.
 *
 * A tree is refused, with words that name the node, if it has more than fits the bounds below, a node or property twice
 * in one node, a property behind a subnode, two roots, anything behind the root, or a name that is not a name.
 * Everything is found by its whole name; libfdt's functions would take `name` for `name@1` too.
 */
#ifndef SLUICE_BOARD_FIT_TREE_H
#define SLUICE_BOARD_FIT_TREE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct errors;

#define FIT_TREE_BYTES	    (2u << 20) /* of structure and strings, without the images' data */
#define FIT_TREE_NODES	    16384 /* Linux's own image.fit has two for each of its 1,500 boards */
#define FIT_TREE_PROPERTIES 65536
#define FIT_TREE_DEPTH	    32	/* of nodes, the root included; U-Boot has the same bound */
#define FIT_TREE_NAME	    127 /* bytes of a node's or property's name */

#define FIT_TREE_NONE UINT32_MAX /* no node */

/* A place in a file, in bytes. */
struct fit_place {
	uint64_t offset, size;
};

struct fit_tree_node {
	uint32_t parent;     /* its index; FIT_TREE_NONE: the root, which is node 0 */
	uint32_t end;	     /* the nodes from its own index + 1 up to here are within it */
	uint32_t name;	     /* offset into the structure */
	uint32_t properties; /* the index of its first one */
	uint32_t property_count;
	bool has_data;	       /* `data` was left out ... */
	struct fit_place data; /* ... and is here in the file */
};

struct fit_tree_property {
	uint32_t name;	/* offset into the strings, where a whole name is */
	uint32_t value; /* offset into the structure */
	uint32_t len;	/* bytes */
};

struct fit_tree {
	const char *file; /* for messages; not owned */
	uint64_t file_size;
	uint32_t total; /* bytes of the tree in the file, data included */
	uint8_t *structure;
	uint32_t structure_len;
	char *strings;
	uint32_t strings_len;
	struct fit_tree_node *nodes;
	uint32_t node_count;
	struct fit_tree_property *properties;
	uint32_t property_count;
};

enum fit_tree_kind {
	FIT_TREE_IMAGES, /* a FIT: leaves out the data of /images/NODE, and refuses names with '@' as U-Boot does */
	FIT_TREE_MAYBE, /* a FIT or another tree: leaves out the same */
	FIT_TREE_KEYS	/* any tree, whole */
};

/*
 * Reads the tree of a regular file from its beginning. `file` is its name for messages and outlives the tree. The
 * descriptor is not used after the call. -EINVAL after an error was added, -ENOMEM.
 */
int fit_tree_open(int fd, const char *file, enum fit_tree_kind kind, struct errors *errors,
	struct fit_tree **ret);
/* Takes NULL. */
void fit_tree_close(struct fit_tree *tree);

const char *fit_tree_name(const struct fit_tree *tree, uint32_t node);
/* Adds an error: "FILE: PATH: PROPERTY: ..."; `property` may be NULL. */
void fit_tree_error(const struct fit_tree *tree, struct errors *errors, uint32_t node,
	const char *property, const char *format, ...) __attribute__((format(printf, 5, 6)));

void fit_tree_error_list(const struct fit_tree *tree, struct errors *errors, uint32_t node,
	const char *property, const char *format, va_list args);

/* The child of this name, or FIT_TREE_NONE. `node` may be FIT_TREE_NONE. */
uint32_t fit_tree_child(const struct fit_tree *tree, uint32_t node, const char *name);
/* The first child, and the one after `child`; FIT_TREE_NONE: there is none. */
uint32_t fit_tree_first(const struct fit_tree *tree, uint32_t node);
uint32_t fit_tree_next(const struct fit_tree *tree, uint32_t child);

/* Or NULL. */
const struct fit_tree_property *fit_tree_property(
	const struct fit_tree *tree, uint32_t node, const char *name);
/* A property's value of *ret_len bytes, or NULL. Values are aligned to 4. An image's `data` that was left out is none. */
const void *fit_tree_value(
	const struct fit_tree *tree, uint32_t node, const char *property, uint32_t *ret_len);
const char *fit_tree_property_name(
	const struct fit_tree *tree, const struct fit_tree_property *property);
/*
 * The strings of a property: NULL first, then the string that was got last. NULL: there is no other, or the value is
 * no list of strings.
 */
const char *fit_tree_string_of(
	const struct fit_tree *tree, const struct fit_tree_property *property, const char *last);
/* 1: the property is this one string, of 1 to FIT_TREE_NAME bytes; 0: it is absent. -EINVAL after an error was added. */
int fit_tree_string(const struct fit_tree *tree, uint32_t node, const char *property,
	struct errors *errors, const char **ret);
/* 1: the property is this number, in as many cells as it has, at most `cells`; 0: absent. -EINVAL as above. */
int fit_tree_number(const struct fit_tree *tree, uint32_t node, const char *property,
	unsigned cells, struct errors *errors, uint64_t *ret);

#endif
