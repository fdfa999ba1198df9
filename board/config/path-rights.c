/* SPDX-License-Identifier: Apache-2.0 */
/* What a tree may name of this host; see path-rights.h. */
#include "board/config/path-rights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/config/policy.h"
#include "board/config/tree-file.h"
#include "board/config/tree.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"

struct path_rights {
	char *elsewhere; /* the part from elsewhere; NULL: none, and any file may be named */
	struct host_folder folder; /* of the tree, as named; fd -1: no file in it may be named */
	struct host_folder *allowed;
	size_t allowed_count;
};

/* Removes ".", ".." and empty names by the text alone, without following symbolic links. */
static void normalise(char *path)
{
	char *to = path, *name = path;

	while (*name) {
		size_t len = strcspn(++name, "/");
		bool parent = len == 2 && !memcmp(name, "..", 2);

		if (parent)
			while (to > path && *--to != '/')
				;
		else if (len && !(len == 1 && *name == '.')) {
			*to++ = '/';
			memmove(to, name, len);
			to += len;
		}
		name += len;
	}
	*to = '\0';
}

/* `value` as an absolute path; a relative one begins at `folder`. malloc'ed; "" for the root. */
static char *absolute(const char *folder, const char *value)
{
	bool whole = *value == '/' || *folder == '/';
	char *here = whole ? NULL : getcwd(NULL, 0), *path = NULL;

	if (!whole && !here)
		return NULL;
	if (asprintf(&path, "%s/%s/%s", here ? here : "", *value == '/' ? "" : folder, value) < 0)
		path = NULL;
	free(here);
	if (path)
		normalise(path);
	return path;
}

/* `what` names the option in errors; NULL: it is from POLICY, and may be missing. */
static int allow(
	struct path_rights *rights, const char *folder, const char *what, struct errors *errors)
{
	struct host_folder *grown = reallocarray(
		rights->allowed, rights->allowed_count + 1, sizeof(*grown));
	struct host_folder one = { .fd = -1 };
	char *path = absolute("", folder);
	int err = 0;

	if (grown)
		rights->allowed = grown;
	if (!grown || !path || asprintf(&one.path, "%s/", path) < 0) {
		free(path);
		return -ENOMEM;
	}
	free(path);
	one.fd = open(one.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (one.fd < 0) {
		err = -errno;
		free(one.path);
		if (!what && (err == -ENOENT || err == -ENOTDIR))
			return 0;
		error_add(errors, what ? what : POLICY, NULL, "%s: %s", folder, strerror(-err));
		return err;
	}
	rights->allowed[rights->allowed_count++] = one;
	return 0;
}

int path_rights_create(const struct tree_source *source, const struct tree_origin *origin,
	const struct policy *policy, struct errors *errors, struct path_rights **ret)
{
	struct path_rights *rights = calloc(1, sizeof(*rights));
	const char *slash = strrchr(source->file, '/');
	size_t before = errors->count;
	int err = 0;

	if (!rights)
		goto no_memory;
	rights->folder.fd = -1;
	rights->folder.plain = true;
	rights->folder.path = strndup(source->file, slash ? slash - source->file + 1 : 0);
	if (!rights->folder.path)
		goto no_memory;
	if (origin->elsewhere) {
		rights->elsewhere = strdup(origin->elsewhere);
		if (!rights->elsewhere)
			goto no_memory;
		if (origin->has_folder)
			rights->folder.fd = open(*rights->folder.path ? rights->folder.path : ".",
				O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	/* For any tree: a wrong folder would else go unnoticed until a tree from elsewhere needs it. */
	for (size_t i = 0; i < source->allowed_count; i++) {
		int one = allow(rights, source->allowed[i], "--allow", errors);

		err = err ? err : one;
	}
	for (size_t i = 0; !err && policy && rights->elsewhere && i < policy->folder_count; i++)
		err = allow(rights, policy->folders[i], NULL, errors);
	if (!err) {
		*ret = rights;
		return 0;
	}
no_memory:
	if (errors->count == before)
		error_add(errors, source->file, NULL, "out of memory");
	path_rights_destroy(rights);
	return -EINVAL;
}

void path_rights_destroy(struct path_rights *rights)
{
	if (!rights)
		return;
	for (size_t i = 0; i < rights->allowed_count; i++) {
		close(rights->allowed[i].fd);
		free(rights->allowed[i].path);
	}
	if (rights->folder.fd >= 0)
		close(rights->folder.fd);
	free(rights->allowed);
	free(rights->folder.path);
	free(rights->elsewhere);
	free(rights);
}

/* Relative, and no name but "." begins with '.': this excludes ".." and hidden files. */
static bool stays_below(const char *value)
{
	if (*value == '/')
		return false;
	for (; *value; value += strcspn(value, "/"), value += *value == '/')
		if (*value == '.' && value[1] && value[1] != '/')
			return false;
	return true;
}

/* For a tree from elsewhere: `value` beneath its own folder, judged by the name alone. False: it may not name it. */
static bool beneath_own(const struct path_rights *rights, const char *value, struct host_path *ret)
{
	char *name;

	if (rights->folder.fd < 0 || !stays_below(value) ||
		asprintf(&name, "%s%s", rights->folder.path, value) < 0)
		return false;
	*ret = (struct host_path){ .name = name, .beneath = &rights->folder };
	return true;
}

/* The same beneath a folder that is allowed. */
static bool beneath_allowed(
	const struct path_rights *rights, const char *value, struct host_path *ret)
{
	char *name = NULL;

	if (rights->allowed_count && (*value == '/' || rights->folder.fd >= 0))
		name = absolute(rights->folder.path, value);
	for (size_t i = 0; name && i < rights->allowed_count; i++) {
		const struct host_folder *folder = &rights->allowed[i];
		size_t len = strlen(folder->path);

		if (!strncmp(name, folder->path, len) && name[len]) {
			*ret = (struct host_path){ .name = name, .beneath = folder };
			return true;
		}
	}
	free(name);
	return false;
}

/* The message for an error of host_path_open() that is a refusal, with the value, a folder and the tree; or NULL. */
static const char *refusal(int err)
{
	switch (err) {
	case -ENOSYS:
		return "\"%s\" cannot be confined to %s: this kernel has no openat2(), which Linux 5.6 brought";
	case -EXDEV:
	case -ELOOP:
		return "\"%s\" is a symbolic link, or goes through one, that leads out of %s, where %s has what it may name";
	case -EOPNOTSUPP:
		return "\"%s\" is a device or a FIFO, and %s is only the folder of %s, a tree from elsewhere, which may name plain files there: if it is to have this, allow the folder by --allow DIR";
	}
	return NULL;
}

bool path_rights_name(const struct path_rights *rights, const struct tree *tree, int node,
	const char *property, const char *value, struct host_path *ret)
{
	bool (*const ways[])(const struct path_rights *rights, const char *value,
		struct host_path *ret) = { beneath_own, beneath_allowed };
	const struct host_folder *beneath = NULL;
	const char *format = NULL;
	char *name = NULL;

	if (!rights->elsewhere) {
		if (asprintf(&name, "%s%s", *value == '/' ? "" : rights->folder.path, value) < 0)
			return false;
		*ret = (struct host_path){ .name = name };
		return true;
	}
	/* Checked now, so that `sluice check` refuses it too, and again when it is opened. */
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		struct host_path path;
		int fd;

		if (!ways[i](rights, value, &path))
			continue;
		fd = host_path_open(&path, O_PATH | O_CLOEXEC, 0);
		if (fd >= 0)
			close(fd);
		if (fd >= 0 || !refusal(fd)) {
			*ret = path;
			return true;
		}
		format = refusal(fd);
		beneath = path.beneath;
		free((char *)path.name);
	}
	if (!beneath) {
		tree_error(tree, node, property,
			"\"%s\": %s is a tree from elsewhere, and may name what lies in its own folder, by names that do not begin with '.'; if it is to have this, allow a folder above it by --allow DIR, or write a .dts of your own",
			value, rights->elsewhere);
		return false;
	}
	tree_error(tree, node, property, format, value,
		*beneath->path ? beneath->path : "the working folder", rights->elsewhere);
	return false;
}

void path_rights_refuse(
	const struct path_rights *rights, const struct tree *tree, int node, const char *property)
{
	if (rights->elsewhere)
		tree_error(tree, node, property,
			"names what is this host's, and %s is a tree from elsewhere: write a .dts of your own that has it, or have root put the tree into " ETC,
			rights->elsewhere);
}
