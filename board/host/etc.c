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

bool etc_has(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return false;
	path[len] = '\0';
	if (strncmp(path, ETC, strlen(ETC)) || !is_roots(path))
		return false;
	for (char *slash = path + strlen(path); (slash = strrchr(path, '/'));) {
		*slash = '\0';
		if (!is_roots(*path ? path : "/"))
			return false;
	}
	return true;
}
