/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees as files: source through dtc, blobs directly, overlays on top. The result is a blob that is safe to use with
 * libfdt: its structure is checked and bounded.
 */
#ifndef SLUICE_BOARD_CONFIG_TREE_FILE_H
#define SLUICE_BOARD_CONFIG_TREE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "hyp/base/util.h"

struct errors;

#define TREE_FILE_MAX (16 * MiB)
#define TREE_NODES    8192
#define TREE_DEPTH    16
#define TREE_NAME     127 /* bytes of a node's or a property's name */
/* Room left in a tree for the addresses that Sluice writes into it. */
#define TREE_SLACK (64 * KiB)

/*
 * Checks the blob in [blob, blob + size) and copies it, with TREE_SLACK to spare; malloc'ed.
 * -EINVAL after an error was added, with `name` for a place.
 */
int tree_blob_open(
	const void *blob, size_t size, const char *name, struct errors *errors, void **ret);

/*
 * Replaces *fdt by a copy with the overlay `blob` applied; both are tree_blob_open()'s. The result may have
 * grown beyond the bounds that tree_blob_open() checks. -EINVAL after an error was added for `file`, and then
 * *fdt is as it was.
 */
int tree_overlay_apply(void **fdt, const void *blob, const char *file, struct errors *errors);

#define TREE_OVERLAYS_MAX 16
#define TREE_ALLOWED_MAX  64

/* A tree's files, as a command line names them. */
struct tree_source {
	const char *file;
	const char *overlays[TREE_OVERLAYS_MAX];
	size_t overlay_count;
	const char *allowed[TREE_ALLOWED_MAX]; /* folders, of --allow */
	size_t allowed_count;
};

/* Where a tree comes from, and so what it may name (board/config/path-rights.h). */
struct tree_origin {
	const char *
		elsewhere; /* the first of its files that is neither a source nor in /etc/sluice, or NULL */
	bool has_folder; /* the tree came from a file, not through a pipe */
};

/* Reads the file and applies the overlays. As tree_blob_open(). */
int tree_file_open(const struct tree_source *source, struct errors *errors,
	struct tree_origin *ret_origin, void **ret);

/* Writes the blob as source to `out`, by dtc. */
int tree_print_source(
	const void *blob, size_t size, const char *name, struct errors *errors, FILE *out);

#endif
