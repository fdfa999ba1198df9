/* SPDX-License-Identifier: Apache-2.0 */
/* The highest version of each product that was started here; see versions.h. */
#include "board/host/versions.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/text/errors.h"

#define FILES	     64			  /* in a product's folder */
#define VERSION_NAME sizeof("4294967295") /* bytes, with the zero */

bool versions_may_be_product(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > VERSION_PRODUCT || *name == '.')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	return true;
}

char *versions_folder(bool of_host)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *folder = NULL;
	int len = -1;

	if (of_host || !geteuid())
		return strdup(VERSIONS);
	if (state && *state == '/')
		len = asprintf(&folder, "%s/sluice/versions", state);
	else if (home && *home == '/')
		len = asprintf(&folder, "%s/.local/state/sluice/versions", home);
	return len < 0 ? NULL : folder;
}

/* The version whose name this is, written as versions_keep() does. */
static bool parse(const char *name, uint32_t *ret)
{
	char *end, text[VERSION_NAME];
	unsigned long long version = isdigit((unsigned char)*name) ? strtoull(name, &end, 10) : 0;

	*ret = (uint32_t)version;
	snprintf(text, sizeof(text), "%" PRIu32, *ret);
	return version == *ret && !strcmp(name, text);
}

static void fail(struct errors *errors, const char *path, bool keep, int err)
{
	const char *advice = "";

	if (err == -EACCES)
		advice =
			keep ? ": start this version once as root. Who may write there could go back, too"
			     : ": let this user read it";
	error_add(errors, path, NULL, "the highest version that was started cannot be %s: %s%s",
		keep ? "kept" : "read", strerror(-err), advice);
}

/* Makes a folder in `at`, and has its name on the disk. What root keeps other users can read, whatever the umask is. */
static bool make_folder(int at, const char *name)
{
	if (mkdirat(at, name, 0755))
		return errno == EEXIST;
	return !fsync(at) && (geteuid() || !fchmodat(at, name, 0755, 0));
}

/* Opens a folder in `at`, or makes it. Takes over `at`. -errno. */
static int open_folder(int at, const char *name, bool make)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int fd = openat(at, name, flags);

	if (fd < 0 && errno == ENOENT && make && make_folder(at, name))
		fd = openat(at, name, flags);
	if (fd < 0)
		fd = -errno;
	close(at);
	return fd;
}

/* Root or this user has it, and nobody else can change what is in it, but for their group. */
static bool is_safe(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && (!st.st_uid || st.st_uid == geteuid()) &&
	       (!(st.st_mode & 002) || (st.st_mode & S_ISVTX));
}

/*
 * The product's folder, and those above it that are missing if `make`. `path` is absolute, and is taken apart. -errno;
 * -EPERM: one of them is not safe.
 */
static int open_product(char *path, bool make)
{
	int at = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *rest;

	if (at < 0)
		return -errno;
	for (char *part = strtok_r(path, "/", &rest); part && at >= 0;
		part = strtok_r(NULL, "/", &rest)) {
		at = open_folder(at, part, make);
		if (at >= 0 && !is_safe(at)) {
			close(at);
			at = -EPERM;
		}
	}
	return at;
}

/* What is kept of a product. */
struct kept {
	char *path; /* of its folder */
	int fd;	    /* -1: it has no folder */
	uint32_t versions[FILES];
	unsigned count;
	uint32_t highest;
};

static void finish(struct kept *kept)
{
	if (kept->fd >= 0)
		close(kept->fd);
	free(kept->path);
}

static int read_names(struct kept *kept, DIR *names, struct errors *errors)
{
	const struct dirent *entry;

	while (errno = 0, (entry = readdir(names))) {
		uint32_t *version = &kept->versions[kept->count];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (kept->count == FILES || !parse(entry->d_name, version)) {
			error_add(errors, kept->path, NULL,
				"holds what is no version that was started, or more than %d: leave there one file, named as the highest version, and empty",
				FILES);
			return -EINVAL;
		}
		if (*version > kept->highest)
			kept->highest = *version;
		kept->count++;
	}
	if (errno)
		fail(errors, kept->path, false, -errno);
	return errno ? -EINVAL : 0;
}

/* finish() frees what is in *ret, in any case. */
static int read_product(
	const char *folder, const char *product, bool make, struct errors *errors, struct kept *ret)
{
	char *path = NULL;
	DIR *names;
	int err, fd;

	*ret = (struct kept){ .fd = -1 };
	if (asprintf(&ret->path, "%s/%s", folder, product) < 0)
		ret->path = NULL;
	path = ret->path ? strdup(ret->path) : NULL;
	fd = path ? open_product(path, make) : -ENOMEM;
	free(path);
	if (fd == -ENOENT && !make)
		return 0;
	if (fd == -EPERM) {
		error_add(errors, ret->path, NULL,
			"anybody can write this folder or one above it, or somebody else has it, so it does not tell which version was started: chown and chmod o-w it");
		return -EINVAL;
	}
	if (fd < 0) {
		fail(errors, ret->path ? ret->path : folder, make, fd);
		return -EINVAL;
	}
	ret->fd = fd;
	fd = openat(ret->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	names = fd < 0 ? NULL : fdopendir(fd);
	if (!names) {
		fail(errors, ret->path, false, -errno);
		if (fd >= 0)
			close(fd);
		return -EINVAL;
	}
	err = read_names(ret, names, errors);
	closedir(names);
	return err;
}

int versions_highest(const char *folder, const char *product, struct errors *errors, uint32_t *ret)
{
	struct kept kept;
	int err = read_product(folder, product, false, errors, &kept);

	if (!err)
		*ret = kept.highest;
	finish(&kept);
	return err;
}

int versions_keep(const char *folder, const char *product, uint32_t version, struct errors *errors)
{
	char name[VERSION_NAME];
	struct kept kept;
	int fd = -1, err = read_product(folder, product, true, errors, &kept);

	if (!err && kept.highest < version) {
		snprintf(name, sizeof(name), "%" PRIu32, version);
		fd = openat(kept.fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd < 0 || fsync(kept.fd)) {
			fail(errors, kept.path, true, -errno);
			err = -EINVAL;
		}
		/* Of no consequence if they stay. */
		for (unsigned i = 0; !err && i < kept.count; i++) {
			snprintf(name, sizeof(name), "%" PRIu32, kept.versions[i]);
			unlinkat(kept.fd, name, 0);
		}
	}
	/* A start that was killed may have made the file, and not have come to fsync(). */
	if (!err && kept.count && kept.highest == version && fsync(kept.fd)) {
		fail(errors, kept.path, true, -errno);
		err = -EINVAL;
	}
	if (fd >= 0)
		close(fd);
	finish(&kept);
	return err;
}
