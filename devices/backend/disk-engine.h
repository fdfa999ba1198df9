/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a disk's system calls without waiting for them: by io_uring (disk-uring.c), or by threads (disk-threads.c) if
 * the host has no io_uring or forbids it. An engine performs one system call; disk.c handles short transfers and
 * errors.
 */
#ifndef SLUICE_DEVICES_BACKEND_DISK_ENGINE_H
#define SLUICE_DEVICES_BACKEND_DISK_ENGINE_H

#include <stdbool.h>
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

/* In disk.c. `result` as the kernel returns it: -errno, or how many bytes. */
void disk_io_done(struct disk_io *io, int result);

struct disk_engine {
	const struct disk_engine_ops *ops;
};

struct disk_engine_ops {
	/* For calls on `fd`, at most `in_flight` at a time; `id` as in disk_config. -errno if the host does not offer this engine. */
	int (*create)(const char *id, struct loop *loop, int fd, unsigned in_flight,
		struct disk_engine **ret);
	void (*start)(struct disk_engine *engine, struct disk_io *io);
	/* Submits the calls that were started. */
	void (*submit)(struct disk_engine *engine);
	/* Ends with -ECANCELED what has not begun; false if there was nothing. NULL: all begin at once. */
	bool (*cancel)(struct disk_engine *engine);
	/* Blocks until at least one has ended. Some must be in flight. */
	void (*wait)(struct disk_engine *engine);
	/* None may be in flight. */
	void (*destroy)(struct disk_engine *engine);
};

extern const struct disk_engine_ops disk_uring, disk_threads;

/* Whether this process may have an io_uring as a disk needs it: 0, or -errno. */
int disk_uring_probe(void);

#endif
