/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of the host, a raw file or a block device, read and written without blocking. What is answered as durable is
 * on the disk, and survives a power cut. Once the host has lost data, all later flushes fail.
 *
 * All calls come from the event loop's thread, and `done` comes there.
 */
#ifndef SLUICE_DEVICES_BACKEND_DISK_H
#define SLUICE_DEVICES_BACKEND_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/backend/disk-engine.h"
#include "devices/backend/disk-file.h"

struct disk;
struct loop;

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES };

/* Embedded in its owner, which must not touch it until `done`. A flush has no bytes, all others have some. */
struct disk_request {
	enum disk_op op;
	bool unmap;   /* of zeroes: the host may free their storage */
	bool durable; /* done when it is on the disk, as a flush is */
	uint64_t offset, bytes;
	/* Of reads and writes: the same number of bytes. Both change during the request. */
	struct iovec *iov;
	unsigned iov_count;
	/* err: 0 or -errno; -ECANCELED if disk_wait() ended it. Never called from within disk_start(). */
	void (*done)(struct disk_request *request, int err);

	/* The disk's own. */
	struct disk *disk;
	struct disk_request *next, *changes_next, **changes_at;
	struct disk_io io;
	struct iovec part;
	uint32_t weight; /* of the disk's under_way */
	unsigned way, blockers;
	bool bounced, filled, holds_up;
};

/*
 * Checks that the disk can be opened and used: 0, or -errno with the reason and what to do. With `lock` also that no
 * other process uses it; one that is about to end is waited for, for up to a second.
 */
int disk_probe(const struct disk_config *config, bool lock, char *ret_why, size_t len);
/* Errors as disk_probe(). */
int disk_open(const struct disk_config *config, struct loop *loop, struct disk **ret);
/* Whether every further flush fails; and makes it so, for a disk whose flush failed in another process. */
bool disk_is_lost(const struct disk *disk);
void disk_lose(struct disk *disk);
/* Nothing may be in flight. Takes NULL. */
void disk_close(struct disk *disk);

const struct disk_info *disk_info(const struct disk *disk);
/*
 * Enlarges the disk to `bytes`, or with 0 to the size that its file or device has now. 0, or -errno with the reason
 * and what to do, and nothing changed. A disk never shrinks. Requests may be in flight.
 */
int disk_resize(struct disk *disk, uint64_t bytes, char *ret_why, size_t len);

/* Adds a request, whose range is inside the disk. disk_submit() submits it. */
void disk_start(struct disk *disk, struct disk_request *request);
void disk_submit(struct disk *disk);
/*
 * Whether so much is in flight that no more may be started before a request is done. This bounds how long a reset or a
 * quit waits, and how much host memory a guest can use through requests.
 */
bool disk_is_full(const struct disk *disk);
/*
 * Blocks until at least one request has progressed, and calls `done` of those that are finished. Some must be in
 * flight. With `ending`, a request fails if it needs another call to read or write, or if no thread has begun it. A
 * durable write whose last bytes are written still gets its fdatasync; so a request takes its current call and one
 * fdatasync at most.
 */
void disk_wait(struct disk *disk, bool ending);
/* Ends in this way what is in flight, without blocking: until none is, which holds for requests started meanwhile too. */
void disk_end(struct disk *disk);

#endif
