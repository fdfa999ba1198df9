/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the host's files a tree may name. A source given on the command line has its author's rights. So has a file
 * in /etc/sluice, where only root writes. Any other blob is from elsewhere. Then the whole tree is, since each of its
 * parts can change what another part names. A tree from elsewhere may name files in its own folder, and in folders that
 * the command line (--allow) or /etc/sluice/policy names. It may name no other resource of the host (a tap, a forwarded
 * port). Device nodes and FIFOs in its own folder are refused: they give access to things outside it. They are accepted
 * in a folder that is allowed. Folders of /etc/sluice/policy (policy.h) that do not exist are ignored.
 */
#ifndef SLUICE_BOARD_CONFIG_PATH_RIGHTS_H
#define SLUICE_BOARD_CONFIG_PATH_RIGHTS_H

#include <stdbool.h>

#include "hyp/base/host-path.h"

struct errors;
struct path_rights;
struct policy;
struct tree;
struct tree_origin;
struct tree_source;

/*
 * The rights of a tree with this origin. `policy` NULL: there is none. -EINVAL after an error was added. A folder of
 * --allow that cannot be opened is an error for any tree.
 */
int path_rights_create(const struct tree_source *source, const struct tree_origin *origin,
	const struct policy *policy, struct errors *errors, struct path_rights **ret);
void path_rights_destroy(struct path_rights *rights);

/*
 * The file that `value` of a node's property names; a relative path begins at the tree's folder. ret->name is
 * malloc'ed, *ret valid as long as the rights. False after an error was added, or without memory.
 */
bool path_rights_name(const struct path_rights *rights, const struct tree *tree, int node,
	const char *property, const char *value, struct host_path *ret);

/* Adds an error if the tree is from elsewhere: it may not have a property that names a resource of the host. */
void path_rights_refuse(
	const struct path_rights *rights, const struct tree *tree, int node, const char *property);

#endif
