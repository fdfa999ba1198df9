/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tree may name of this host. A source given on the command line has its author's rights, and
 * so has what lies in /etc/sluice, where only root writes. Any other blob is from elsewhere, and a
 * tree with one such part is from elsewhere as a whole, since each part can change what another
 * names: its paths lead to files beneath its own folder, or beneath one that the command line
 * (--allow) or /etc/sluice/policy names, and what is no file of the host's (a tap, a
 * forwarded port) it may not name at all. In its own folder a device node or a FIFO came with it, and stands
 * for what is outside: it may not name that, unless the folder is allowed.
 *
 * /etc/sluice/policy is a list of folders, an absolute path a line; empty lines and those that
 * begin with '#' say nothing, and folders that are not there allow nothing.
 */
#ifndef SLUICE_BOARD_CONFIG_PATH_RIGHTS_H
#define SLUICE_BOARD_CONFIG_PATH_RIGHTS_H

#include <stdbool.h>

#include "hyp/base/host-path.h"

struct errors;
struct path_rights;
struct tree;
struct tree_origin;
struct tree_source;

/*
 * The rights of a tree with this origin. -EINVAL after an error was added, as where a folder to allow cannot be
 * opened, for a tree of any author.
 */
int path_rights_create(const struct tree_source *source, const struct tree_origin *origin,
	struct errors *errors, struct path_rights **ret);
void path_rights_destroy(struct path_rights *rights);

/*
 * What `value` of a node's property names, from the tree's folder if it is relative; ret->name is malloc'ed, and
 * valid as long as the rights. False after an error was added, or without memory.
 */
bool path_rights_name(const struct path_rights *rights, const struct tree *tree, int node,
	const char *property, const char *value, struct host_path *ret);

/* An error where the tree is from elsewhere, and so may not have a property that names something of the host's. */
void path_rights_refuse(
	const struct path_rights *rights, const struct tree *tree, int node, const char *property);

#endif
