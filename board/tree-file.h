/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees as files: source through dtc, blobs directly, overlays on top. What comes out is a blob
 * that libfdt may be used on without further thought: its structure is checked and bounded.
 */
#ifndef SLUICE_BOARD_TREE_FILE_H
#define SLUICE_BOARD_TREE_FILE_H

#include <stddef.h>
#include <stdio.h>

#include "hyp/util.h"

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

/* Reads `file` and applies the overlays. As tree_blob_open(). */
int tree_file_open(const char *file, const char *const *overlays, size_t overlay_count,
	struct errors *errors, void **ret);

/* Writes the blob as source to `out`, by dtc. */
int tree_print_source(
	const void *blob, size_t size, const char *name, struct errors *errors, FILE *out);

#endif
