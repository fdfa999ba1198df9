/* SPDX-License-Identifier: Apache-2.0 */
/* Opens host files, by names that may be confined to a folder; see host-path.h. */
#include "hyp/base/host-path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hyp/base/util.h"

#define TRIES 100 /* openat2() gives EAGAIN if files are renamed meanwhile */

static int open_beneath(int folder, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned)flags,
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -1;

	for (int i = 0; i < TRIES; i++) {
		fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : fd;
}

/* `fd`, or closed and -EOPNOTSUPP. */
static int refuse_special(int fd)
{
	struct stat st;
	int err = fd < 0 ? fd : fstat(fd, &st) ? -errno : 0;

	if (!err && (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)))
		err = -EOPNOTSUPP;
	if (!err || fd < 0)
		return fd;
	close(fd);
	return err;
}

/*
 * Opening a device node can already have effects. So the file is found with O_PATH, checked, and then opened through
 * that descriptor, since another file may have its name by then. A file that does not exist is created with O_EXCL,
 * since only a new file is certain to be plain.
 */
static int open_plain(int folder, const char *name, int flags, mode_t mode)
{
	char place[sizeof("/proc/self/fd/-2147483648")];
	int found, fd = -EEXIST;

	for (int i = 0; i < TRIES && fd == -EEXIST; i++) {
		found = refuse_special(open_beneath(folder, name, O_PATH | O_CLOEXEC, 0));
		if (found == -ENOENT && flags & O_CREAT) {
			fd = open_beneath(folder, name, flags | O_EXCL, mode);
		} else if (found < 0 || flags & O_PATH) {
			return found;
		} else {
			snprintf(place, sizeof(place), "/proc/self/fd/%d", found);
			fd = RETRY_EINTR(open(place, flags & ~O_CREAT));
			fd = fd < 0 ? -errno : fd;
			close(found);
			break;
		}
	}
	return fd;
}

int host_path_open(const struct host_path *path, int flags, mode_t mode)
{
	const struct host_folder *beneath = path->beneath;
	int fd;

	if (beneath)
		return (beneath->plain ? open_plain : open_beneath)(
			beneath->fd, path->name + strlen(beneath->path), flags, mode);
	fd = RETRY_EINTR(open(path->name, flags, mode));
	return fd < 0 ? -errno : fd;
}

int host_path_place(const struct host_path *path, int *ret_fd, char **ret_place)
{
	const char *name, *base;
	char *place = NULL;
	int fd = -1, len;

	if (!path->beneath) {
		place = strdup(path->name);
	} else {
		name = path->name + strlen(path->beneath->path);
		base = strrchr(name, '/');
		base = base ? base + 1 : name;
		if (asprintf(&place, "%.*s.", (int)(base - name), name) < 0)
			return -ENOMEM;
		fd = open_beneath(path->beneath->fd, place, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		free(place);
		if (fd < 0)
			return fd;
		len = asprintf(&place, "/proc/self/fd/%d/%s", fd, base);
		if (len < 0) {
			place = NULL;
			close(fd);
		}
	}
	if (!place)
		return -ENOMEM;
	*ret_fd = fd;
	*ret_place = place;
	return 0;
}
