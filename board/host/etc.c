/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of this host's owner; see etc.h. */
#include "board/host/etc.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Only root can write the file or folder. */
static bool is_roots(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && !st.st_uid && !(st.st_mode & 022);
}

static bool path_of(int fd, char ret[PATH_MAX])
{
	char link[32];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, ret, PATH_MAX - 1);
	if (len < 0)
		return false;
	ret[len] = '\0';
	return true;
}

bool etc_has(int fd)
{
	char path[PATH_MAX];

	return path_of(fd, path) && !strncmp(path, ETC, strlen(ETC)) && etc_is_roots(fd);
}

bool etc_is_roots(int fd)
{
	char path[PATH_MAX];

	if (!path_of(fd, path) || *path != '/' || !is_roots(path))
		return false;
	for (char *slash = path + strlen(path); (slash = strrchr(path, '/'));) {
		*slash = '\0';
		if (!is_roots(*path ? path : "/"))
			return false;
	}
	return true;
}
