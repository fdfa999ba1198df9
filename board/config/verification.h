/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether what a machine starts from has to be signed, and by whom: by the command line (--verify, --key) and
 * /etc/sluice/policy.
 *
 *	nothing said		nothing has to be signed. Hashes of a FIT are checked all the same.
 *	--key			as with --verify required
 *	--verify required	the kernel and the initrd come from a FIT whose configuration the keys have signed. So does the
 *				tree, or it is its author's, as a source is (path-rights.h): who gives the command has
 *				written it, and names it NAME.dts. The keys are those of --key, or without one the policy's.
 *	the policy requires it	the tree too comes from the signed FIT. Neither --verify none nor --key has a say: whoever
 *				could choose the key could sign anything.
 *
 * `sluice show` starts nothing, so the last one does not hold for it; `sluice check` refuses what `sluice run` would.
 *
 * An overlay of the command line would change what was signed, so it does not go with a FIT that has to be. --allow does:
 * it says which of the user's own files the machine reaches, and changes nothing that was signed. Data that the machine
 * has on disks is not verified.
 */
#ifndef SLUICE_BOARD_CONFIG_VERIFICATION_H
#define SLUICE_BOARD_CONFIG_VERIFICATION_H

#include <stdbool.h>

#include "board/config/policy.h"

struct errors;
struct fit_file;
struct fit_keys;
struct tree_origin;
struct tree_source;

struct verification {
	bool required;
	bool by_policy;	       /* ... for the whole host */
	const char *by;	       /* for messages: "--verify required" */
	struct fit_keys *keys; /* NULL: nothing has to be signed */
	struct policy policy;  /* whose names the keys have */
	char *versions; /* the folder of what was started (versions.h); NULL: there is no place */
};

/* -EINVAL after an error was added, -ENOMEM. */
int verification_create(
	const struct tree_source *source, struct errors *errors, struct verification **ret);
/* Takes NULL. */
void verification_destroy(struct verification *verification);

/*
 * The tree, which was read, may describe a machine. -EINVAL after an error was added: it has to be signed, and is not, or
 * was changed.
 */
int verification_check_tree(const struct verification *verification,
	const struct tree_source *source, const struct tree_origin *origin, struct errors *errors);

/*
 * The FIT's configuration, whose signatures were checked, is not older than what was started (versions.h), and has a
 * version if the policy requires it. Nothing is asked of one that need not be signed, since anybody could write its
 * version. -EINVAL after an error was added.
 */
int verification_check_version(
	const struct verification *verification, const struct fit_file *fit, struct errors *errors);
/* The machine is about to be started from it: its version is kept. -EINVAL after an error was added. */
int verification_keep_version(
	const struct verification *verification, const struct fit_file *fit, struct errors *errors);

#endif
