/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a FIT that a machine starts from. It stays open: at each start, a reset included, fit_file_read() reads and
 * verifies all that is said of it anew, and data is taken through a digest (fit-digest.h), since the file may have
 * changed. A file of the same name that took its place is not looked at.
 */
#ifndef SLUICE_BOARD_FIT_FIT_FILE_H
#define SLUICE_BOARD_FIT_FIT_FILE_H

#include "board/fit/fit-digest.h"

/*
 * Of a configuration's tree and overlays together, at most. They are read in one go at a reset, so this bounds how long
 * that takes; a guest's tree cannot be larger.
 */
#define FIT_FDT_BYTES (2u << 20)

struct fit_file {
	char *name; /* for messages */
	int fd;
	char *wanted; /* the configuration; NULL: the default one */
	/* The kernel alone is wanted. Without a default configuration any will do, if all have the same kernel. */
	bool kernel_only;
	const struct fit_keys *keys; /* NULL: signatures are not looked at */

	/* As read last; NULL: that failed. */
	struct fit *fit;
	struct fit_configuration configuration;
	struct fit_trust *trust;

	/* The configuration's tree and overlays, as they were when they were first read. */
	struct {
		void *data;
		uint64_t bytes;
		char *label;   /* "x.itb: /images/fdt-1", for messages */
		char *checked; /* "sha256" */
	} trees[FIT_FDTS];
	unsigned tree_count;
};

/*
 * Takes over the descriptor of a regular file, if it succeeds. The names are copied, `keys` outlive what is given.
 * Reads nothing. -ENOMEM.
 */
int fit_file_open(int fd, const char *name, const char *wanted, const struct fit_keys *keys,
	struct fit_file **ret);
/* Takes NULL. */
void fit_file_close(struct fit_file *file);

/* Reads and verifies the configuration. -EINVAL after an error was added, -ENOENT, -ENOMEM: as fit_verify(). */
int fit_file_read(struct fit_file *file, struct errors *errors);
/*
 * Reads the trees of the configuration, which may not be compressed: it has one at least. At the second time and later
 * they have to be those of the first time. As fit_digest_file().
 */
int fit_file_read_trees(struct fit_file *file, struct errors *errors);

#endif
