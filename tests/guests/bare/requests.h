/* SPDX-License-Identifier: Apache-2.0 */
/* What one good request of each kind of virtio device is, for a guest that goes on to worse ones. */
#ifndef SLUICE_TESTS_GUESTS_REQUESTS_H
#define SLUICE_TESTS_GUESTS_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "bare.h"

#define REQUEST_PARTS	3
#define REQUEST_QUEUES	6	   /* of a device, the most that its requests need */
#define REQUEST_BUFFERS 0x42000000 /* of the machine's RAM, and nowhere near this program */
#define REQUEST_BUFFER	0x1000
/* Where its parts lie: each has a place of its own. */
#define PART(i) (REQUEST_BUFFERS + (i)*REQUEST_BUFFER)

struct kind {
	uint32_t id; /* of the device, which may have several kinds */
	const char *name;
	uint64_t features;
	unsigned queue; /* the one that takes requests */
	struct virtq_part parts[REQUEST_PARTS];
	struct virtq_part answer; /* what may come back; of no bytes: nothing does */
	unsigned answers;	  /* the queue that takes it */
	struct virtq_part ask;	  /* makes the host fill a request; of no bytes: nothing has to */
	unsigned asks;		  /* the queue that takes that */
	uint32_t large;		  /* bytes that part 1 may have as well, to take a while; 0: none */
	bool frees;		  /* what it is to write to is memory that it takes away */
	void (*fill)(const struct virtio *device); /* what the device reads; may be NULL */
	bool (*good)(uint32_t used_len);
};

/* One after the other; NULL behind the last, and begins with NULL. */
const struct kind *next_kind(const struct kind *kind);

#endif
