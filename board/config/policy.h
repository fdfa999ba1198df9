/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/sluice/policy, by which the owner of the host decides for all machines. Each line is one of
 *
 *	/srv/guests		a folder: trees from elsewhere may name what is beneath it (path-rights.h)
 *	verify required		machines are started from signed FITs only (verification.h)
 *	verify none		they need not be, unless the command line says so
 *	version required	... that have a version, so that none older than was started is (versions.h)
 *	key /etc/sluice/k.pub	whose signature that is: a control tree or a PEM file; there is a line "verify" too
 *
 * or empty, or begins with '#'. Only root may have written the file; the files of the keys too, wherever they are, named
 * without symbolic links.
 */
#ifndef SLUICE_BOARD_CONFIG_POLICY_H
#define SLUICE_BOARD_CONFIG_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "board/host/etc.h"

struct errors;

#define POLICY	    ETC "policy"
#define POLICY_LINE 4096 /* bytes, at most */

struct policy {
	char **folders;
	size_t folder_count;
	bool says_verify, required, version_required;
	char **keys;
	size_t key_count;
};

/*
 * Without the file all is empty. -EINVAL after an error was added: also if the file is there and cannot be read, since
 * it may require something. policy_finish() frees what is in *ret, in any case.
 */
int policy_read(struct errors *errors, struct policy *ret);
void policy_finish(struct policy *policy);

#endif
