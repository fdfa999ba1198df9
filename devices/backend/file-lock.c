/* SPDX-License-Identifier: Apache-2.0 */
/* Locks on files of guests' data; see file-lock.h. */
#include "devices/backend/file-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "hyp/base/util.h"

/* A killed process holds its locks until its requests in flight have ended. */
#define LOCK_TRIES  100
#define LOCK_TRY_NS 10000000

/*
 * The bytes that QEMU's block/file-posix.c locks: for each kind of use, one byte for processes with that use, and one
 * for processes that do not allow it to others.
 */
enum { CONSISTENT_READ = 1 << 0, WRITE = 1 << 1, RESIZE = 1 << 3, USES = 4 };
#define BYTE_USED     100
#define BYTE_UNSHARED 200

/* Sets or releases the locks of `uses`: 0, or -errno. */
static int set_locks(int fd, int first, unsigned uses, short type)
{
	for (int i = 0; i < USES; i++) {
		struct flock lock = { .l_type = type, .l_start = first + i, .l_len = 1 };

		if (uses & 1U << i && RETRY_EINTR(fcntl(fd, F_OFD_SETLK, &lock)))
			return -errno;
	}
	return 0;
}

/* 0; -EAGAIN if another process holds a lock of `uses`; or another -errno. */
static int look_for_locks(int fd, int first, unsigned uses)
{
	for (int i = 0; i < USES; i++) {
		struct flock lock = { .l_type = F_WRLCK, .l_start = first + i, .l_len = 1 };

		if (!(uses & 1U << i))
			continue;
		if (RETRY_EINTR(fcntl(fd, F_OFD_GETLK, &lock)))
			return -errno;
		if (lock.l_type != F_UNLCK)
			return -EAGAIN;
	}
	return 0;
}

/* Locks before it checks for others: of two processes that start at once, one sees the other. */
static int try_lock(int fd, unsigned uses, unsigned unshared)
{
	int err = set_locks(fd, BYTE_USED, uses, F_RDLCK);

	if (!err)
		err = set_locks(fd, BYTE_UNSHARED, unshared, F_RDLCK);
	if (!err)
		err = look_for_locks(fd, BYTE_USED, unshared);
	if (!err)
		err = look_for_locks(fd, BYTE_UNSHARED, uses);
	if (err) {
		set_locks(fd, BYTE_USED, uses, F_UNLCK);
		set_locks(fd, BYTE_UNSHARED, unshared, F_UNLCK);
	}
	return err;
}

int file_lock(int fd, bool write)
{
	const struct timespec pause = { .tv_nsec = LOCK_TRY_NS };
	unsigned uses = CONSISTENT_READ | (write ? WRITE : 0);
	int err = 0;

	for (int tries = 0; tries < LOCK_TRIES; tries++) {
		err = try_lock(fd, uses, WRITE | RESIZE);
		if (err != -EAGAIN && err != -EACCES)
			break;
		nanosleep(&pause, NULL);
	}
	if (err == -EINVAL || err == -ENOLCK) /* a file system without locks */
		return 0;
	return err == -EAGAIN || err == -EACCES ? -EBUSY : err;
}
