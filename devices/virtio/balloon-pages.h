/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of 4K are in a balloon, so that a host with larger pages can give one back when all of it is in,
 * however the guest comes to name its parts. One bit for each page of guest memory, in memory that is there only
 * where a guest has put something: at most 32 KiB for each GiB that it has. Used on the loop's thread.
 *
 *   all parts of a host's page    | the host's page
 *   ------------------------------+--------------------------------
 *   none in, or some              | the guest's, as it was
 *   all in                        | given back, and counted as that
 */
#ifndef SLUICE_DEVICES_VIRTIO_BALLOON_PAGES_H
#define SLUICE_DEVICES_VIRTIO_BALLOON_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "hyp/memory/guestmem.h"

struct balloon_pages {
	const struct guestmem *mem;
	uint64_t host_page; /* bytes */
	uint64_t *in[GUESTMEM_RANGES];
	uint64_t given_bytes;
};

void balloon_pages_init(struct balloon_pages *pages, const struct guestmem *mem);
void balloon_pages_finish(struct balloon_pages *pages);
/* Nothing is in any more. */
void balloon_pages_reset(struct balloon_pages *pages);

/*
 * The guest puts [gpa, gpa + size) in, whole pages of 4K: what of it is memory that it has, range by range. If
 * `remember`, a host's page goes back as soon as all of its parts are in. Else only those that lie within do: of a
 * driver that takes pages out before it says so, as one may that has not negotiated MUST_TELL_HOST (virtio 1.2,
 * 5.5.6.1), parts that came earlier may be in use.
 */
void balloon_pages_inflate(struct balloon_pages *pages, uint64_t gpa, uint64_t size, bool remember);
/* It takes them out. */
void balloon_pages_deflate(struct balloon_pages *pages, uint64_t gpa, uint64_t size);

#endif
