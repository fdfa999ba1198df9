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
struct fit_file;
struct fit_keys;

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
#define TREE_KEYS_MAX	  16

enum tree_verify { VERIFY_UNSAID, VERIFY_NONE, VERIFY_REQUIRED };

/* A tree's files, as a command line names them. */
struct tree_source {
	const char *file;
	const char *overlays[TREE_OVERLAYS_MAX];
	size_t overlay_count;
	const char *allowed[TREE_ALLOWED_MAX]; /* folders, of --allow */
	size_t allowed_count;
	const char *configuration;	 /* of `file`, which is a FIT; NULL: the default one */
	const char *keys[TREE_KEYS_MAX]; /* of --key */
	size_t key_count;
	enum tree_verify verify; /* of --verify */
	bool shown; /* ... and nothing else: the policy's "verify required" is about what is started */
};

/* Where a tree comes from, and so what it may name (board/config/path-rights.h). */
struct tree_origin {
	const char *
		elsewhere; /* the first of its files that is neither a source nor in /etc/sluice, or NULL */
	bool has_folder; /* the tree came from a file, not through a pipe */
	struct fit_file *
		fit; /* that has the tree, for the caller to close; NULL: it is a file of its own */
	/* The tree is the first section .dtb of a PE bundle, which has the kernel too, and is open for the caller to close. */
	bool bundle;
	int bundle_fd;
};

/*
 * Reads the file and applies the overlays. If it is a FIT, the tree is that of its configuration, with the overlays that
 * this names, and it has to be signed by the keys; NULL: by nobody. They outlive the FIT. As tree_blob_open().
 */
int tree_file_open(const struct tree_source *source, const struct fit_keys *keys,
	struct errors *errors, struct tree_origin *ret_origin, void **ret);
/* Closes the files that the tree is from. */
void tree_origin_finish(struct tree_origin *origin);

struct stat;
/* As fit_probe(). What comes through a pipe is none. -EINVAL after an error was added. */
int tree_fit_is(int fd, const struct stat *st, const char *file, struct errors *errors);
/* The tree of the FIT's configuration, with its overlays. Takes over the descriptor if it succeeds. */
int tree_fit_open(const struct tree_source *source, int fd, const struct fit_keys *keys,
	struct errors *errors, struct fit_file **ret_fit, void **ret);
/* The tree of a PE bundle: an EFI program for arm64 with a section .linux. As tree_blob_open(); 1: it is none. */
int tree_bundle_open(
	int fd, const struct stat *st, const char *name, struct errors *errors, void **ret);
/*
 * `word` as a command line names a machine: FILE, or FILE#CONFIGURATION, if the whole is no file and FILE is one. Cuts
 * the word at the '#'.
 */
void tree_source_name(struct tree_source *source, char *word);

/* Writes the blob as source to `out`, by dtc. */
int tree_print_source(
	const void *blob, size_t size, const char *name, struct errors *errors, FILE *out);

#endif
