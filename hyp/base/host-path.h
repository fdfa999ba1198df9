/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the host, by the name that a machine's description gives it. The author of the description
 * decides what it may name (board/config/path-rights.h). So such a name is never a plain string, and only this
 * file opens it. If the name may not leave a folder, no symbolic link leads out of it, even if the files change
 * between check and use.
 */
#ifndef SLUICE_HYP_BASE_HOST_PATH_H
#define SLUICE_HYP_BASE_HOST_PATH_H

#include <stdbool.h>
#include <sys/types.h>

struct host_folder {
	char *path; /* with a slash at its end, or "" for the working folder */
	int fd;	    /* O_PATH */
	bool plain; /* host_path_open() refuses device nodes and FIFOs */
};

struct host_path {
	const char *
		name; /* for messages, and begins with the folder's path; NULL: none. Owned by the struct's owner */
	const struct host_folder *beneath; /* which it may not leave; NULL: it may be anywhere */
};

/*
 * As open(2): a descriptor, or -errno.
 *   -EXDEV      a symbolic link leads out of the folder
 *   -ELOOP      the link is one of /proc's for an open file
 *   -ENOSYS     the kernel (before Linux 5.6) cannot check this
 *   -EOPNOTSUPP a device node or a FIFO in a folder of plain files
 */
int host_path_open(const struct host_path *path, int flags, mode_t mode);

/*
 * A name by which bind(2) and unlink(2), which follow no last link, reach the same file. Valid while *ret_fd is
 * open, which the caller closes; -1: there is none to close. malloc'ed. -errno as above.
 */
int host_path_place(const struct host_path *path, int *ret_fd, char **ret_place);

#endif
