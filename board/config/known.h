/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes that Sluice reads besides devices' nodes, and the properties that each may have. */
#ifndef SLUICE_BOARD_CONFIG_KNOWN_H
#define SLUICE_BOARD_CONFIG_KNOWN_H

#include <stdbool.h>

struct tree;

enum node_kind {
	NODE_ROOT,
	NODE_CHOSEN,
	NODE_CPUS,
	NODE_CPU,
	NODE_MEMORY,
	NODE_RESERVED,	  /* /reserved-memory */
	NODE_RESERVATION, /* a child of it that is no window and has no compatible */
	NODE_WINDOW,
	NODE_OPTIONS,
	NODE_OPTIONS_SLUICE,
	NODE_KINDS,
};

#define KNOWN_MAX 64

/*
 * Both lists end with NULL, or are NULL; a name may be a pattern of fnmatch(3). Every node may also
 * have compatible, status, phandle and name.
 */
struct known_node {
	const char *where;	     /* in messages: "/chosen" */
	const char *binding;	     /* its file in dts/bindings/; NULL: its parent's, or none */
	bool passes;		     /* label and other vendors' properties pass to the guest */
	const char *const *ours;     /* what only Sluice reads */
	const char *const *standard; /* what the guest gets */
};

extern const struct known_node known_nodes[NODE_KINDS];

/* These add an error for each property that the node may not have. */
void check_known(const struct tree *tree, int node, enum node_kind kind);
/* For a device's node: `known` ends with NULL; no other property passes. */
void check_properties(const struct tree *tree, int node, const char *const *known);
/* For a node that Sluice does not read: no property may have its prefix. */
void check_prefixed(const struct tree *tree, int node);

#endif
