/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of the host's, a raw file or a block device, read and written without waiting. What is
 * answered as durable is on the disk: a power cut does not take it, let alone the end of the
 * process; and once the host has lost something, no flush succeeds any more.
 *
 * All calls come from the event loop's thread, and `done` comes there.
 */
#ifndef SLUICE_DEVICES_DISK_H
#define SLUICE_DEVICES_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/disk-engine.h"

struct disk;
struct loop;

struct disk_config {
	const char *path;
	bool read_only;
	bool direct;	    /* past the host's page cache: O_DIRECT */
	bool threads;	    /* not by io_uring, though the host has it */
	unsigned in_flight; /* at most so many requests at a time */
};

struct disk_info {
	uint64_t bytes;		 /* not 0, a multiple of block_bytes */
	uint32_t block_bytes;	 /* what all offsets and sizes are a multiple of: 512 or more */
	uint32_t physical_bytes; /* what the host best writes at a time, at least block_bytes */
};

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES };

/* Embedded in its owner, who leaves it alone until `done`. A flush has no bytes, all others some. */
struct disk_request {
	enum disk_op op;
	bool unmap;   /* of zeroes: the host may give their storage back */
	bool durable; /* done when it is on the disk, as a flush is */
	uint64_t offset, bytes;
	/* Of reads and writes: as many bytes. Both change on the way. */
	struct iovec *iov;
	unsigned iov_count;
	/* err: 0 or -errno; -ECANCELED where disk_wait() cut it short. Never from within disk_start(). */
	void (*done)(struct disk_request *request, int err);

	/* The disk's own. */
	struct disk *disk;
	struct disk_request *next;
	struct disk_io io;
	struct iovec part;
	unsigned way;
	bool bounced;
};

/*
 * Looks whether the disk can be opened, and is what it should be: 0, or -errno with the reason and
 * what to do. `lock`: that nobody else uses it either, waiting for a second who is just about to end.
 */
int disk_look(const struct disk_config *config, bool lock, char *ret_why, size_t len);
/* Errors as disk_look(). */
int disk_open(const struct disk_config *config, struct loop *loop, struct disk **ret);
/* Nothing is in flight. Takes NULL. */
void disk_close(struct disk *disk);

const struct disk_info *disk_info(const struct disk *disk);

/* Takes a request in; the range is inside the disk. It gets under way with disk_submit(). */
void disk_start(struct disk *disk, struct disk_request *request);
void disk_submit(struct disk *disk);
/*
 * Waits until something has got on, and calls `done` of those that are. Some request is in flight.
 * `ending`: what would take another call fails, so that it takes no longer than one.
 */
void disk_wait(struct disk *disk, bool ending);

#endif
