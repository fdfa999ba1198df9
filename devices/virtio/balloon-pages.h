/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which 4 KiB pages are in a balloon. A host with larger pages can free one once all its parts are in, in whatever
 * order the guest names them. One bit for each page of guest memory, in memory that is allocated only where a bit was
 * set: at most 32 KiB for each GiB. Used on the loop's thread.
 *
 *   all parts of a host's page    | the host's page
 *   ------------------------------+--------------------------------
 *   none in, or some              | the guest's, as it was
 *   all in                        | freed, and counted in given_bytes
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
/* Empties the balloon. */
void balloon_pages_reset(struct balloon_pages *pages);

/*
 * The guest puts [gpa, gpa + size) in, in 4 KiB pages; parts that are not its memory are ignored. With `remember` a
 * host page is freed once all its parts are in. Without it only host pages wholly inside the range are freed: a driver
 * without MUST_TELL_HOST (virtio 1.2, 5.5.6.1) may use pages before it reports taking them out, so parts put in earlier
 * may be in use.
 */
void balloon_pages_inflate(struct balloon_pages *pages, uint64_t gpa, uint64_t size, bool remember);
/* The guest takes them out. */
void balloon_pages_deflate(struct balloon_pages *pages, uint64_t gpa, uint64_t size);

#endif
