/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a disk's system calls are made without waiting for them: by io_uring (disk-uring.c), or by
 * threads (disk-threads.c) where the host has none or forbids it. An engine makes the call that it
 * is given, once; what follows of the result is disk.c's.
 */
#ifndef SLUICE_DEVICES_DISK_ENGINE_H
#define SLUICE_DEVICES_DISK_ENGINE_H

#include <stdint.h>
#include <sys/uio.h>

struct loop;

enum disk_call { DISK_CALL_READV, DISK_CALL_WRITEV, DISK_CALL_FDATASYNC, DISK_CALL_FALLOCATE };

/* One call. It ends with disk_io_done(), on the loop's thread, but not from within `start`. */
struct disk_io {
	enum disk_call call;
	const struct iovec *iov;
	unsigned iov_count;
	int mode;		/* of fallocate */
	uint64_t offset, bytes; /* of all but fdatasync */
	int result;		/* the threads' */
	struct disk_io *next;
};

/* In disk.c. `result` as the kernel gives it: -errno, or what was done. */
void disk_io_done(struct disk_io *io, int result);

struct disk_engine {
	const struct disk_engine_ops *ops;
};

struct disk_engine_ops {
	/* For calls on `fd`, at most `in_flight` at a time. -errno where the host does not do it so. */
	int (*create)(struct loop *loop, int fd, unsigned in_flight, struct disk_engine **ret);
	void (*start)(struct disk_engine *engine, struct disk_io *io);
	/* Gets under way what was started. */
	void (*submit)(struct disk_engine *engine);
	/* Waits until at least one has ended. Some are in flight. */
	void (*wait)(struct disk_engine *engine);
	/* None is in flight. */
	void (*destroy)(struct disk_engine *engine);
};

extern const struct disk_engine_ops disk_uring, disk_threads;

/* Whether the host lets this process have an io_uring as a disk needs it: 0, or why not, as -errno. */
int disk_uring_probe(void);

#endif
