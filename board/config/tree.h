/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed access to a tree's properties. A reader returns 1 with its output written, 0 if the property is absent, or
 * -EINVAL after it added an error that says how the property is spelled.
 */
#ifndef SLUICE_BOARD_CONFIG_TREE_H
#define SLUICE_BOARD_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board/text/size.h"

struct errors;

struct tree {
	void *fdt; /* from tree_file_open() or tree_blob_open() */
	struct errors *errors;
};

/* The path of a node, malloc'ed; "?" if it has none. */
char *tree_path(const struct tree *tree, int node);
const char *tree_name(const struct tree *tree, int node);
/* The node of an absolute path, or a negative number. fdt_path_offset() follows aliases, even in circles. */
int tree_node(const struct tree *tree, const char *path);
/* The node's name up to its unit address is `name`. */
bool tree_name_is(const struct tree *tree, int node, const char *name);
/* That, or its device_type, is `type`. */
bool tree_type_is(const struct tree *tree, int node, const char *type);

void tree_error(const struct tree *tree, int node, const char *property, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void tree_warning(const struct tree *tree, int node, const char *property, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

bool tree_has(const struct tree *tree, int node, const char *property);
bool tree_compatible(const struct tree *tree, int node, const char *compatible);
/* The first entry of a node's compatible that begins with "sluice,", or NULL. */
const char *tree_sluice_compatible(const struct tree *tree, int node);
/* The node's status is disabled, reserved or fail. Adds an error for a status that the specification does not have. */
bool tree_disabled(const struct tree *tree, int node);
/* The same, without the error. */
bool tree_off(const struct tree *tree, int node);

int tree_string(const struct tree *tree, int node, const char *property, const char **ret);
int tree_u32(const struct tree *tree, int node, const char *property, uint32_t *ret);
int tree_u64(const struct tree *tree, int node, const char *property, uint64_t *ret);
/* #address-cells or #size-cells: 1 or 2 (and 0 if `least` is 0); required. */
int tree_cells(
	const struct tree *tree, int node, const char *property, unsigned least, unsigned *ret);

struct range {
	uint64_t gpa;
	uint64_t size; /* bytes */
};

/* Address and size cells that a node's children use. */
struct cells {
	unsigned address, size;
};

/*
 * `property` as addresses and sizes, at most `max` of them, none empty or wrapping. *ret_count: how many there are.
 */
int tree_ranges(const struct tree *tree, int node, const char *property, struct cells cells,
	struct range *ret, size_t max, size_t *ret_count);
/* `property` as one number of `cells` cells. */
int tree_number(
	const struct tree *tree, int node, const char *property, unsigned cells, uint64_t *ret);

/* The number in `count` cells: 0 to 2. */
uint64_t tree_value(const void *cells, unsigned count);
/* The one cell that is the property's value; `other` if it has none, or another value. Adds no error. */
uint32_t tree_cell(const struct tree *tree, int node, const char *property, uint32_t other);

#endif
