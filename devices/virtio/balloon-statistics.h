/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's memory statistics (virtio 1.2, 5.5.6.3). */
#ifndef SLUICE_DEVICES_VIRTIO_BALLOON_STATISTICS_H
#define SLUICE_DEVICES_VIRTIO_BALLOON_STATISTICS_H

#include <stdint.h>

struct guestmem;
struct virtq_chain;

/* By tag, from VIRTIO_BALLOON_S_SWAP_IN on. */
#define BALLOON_STATISTICS	  10
#define BALLOON_STATISTIC_UNKNOWN UINT64_MAX

struct balloon_statistics {
	uint64_t value
		[BALLOON_STATISTICS]; /* bytes or events; BALLOON_STATISTIC_UNKNOWN: not reported */
	uint64_t updated_sec;	      /* when, by the host's clock; 0: never */
	uint64_t plugged_bytes;	      /* of all windows, at that time */
};

/* Nothing is known. */
void balloon_statistics_reset(struct balloon_statistics *statistics);
/* Replaces all values by those in the driver's buffer. Unknown tags and surplus entries are ignored. */
void balloon_statistics_read(struct balloon_statistics *statistics, const struct guestmem *mem,
	const struct virtq_chain *chain);

#endif
