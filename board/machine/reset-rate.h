/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a guest may reset its machine. Each reset reads and unpacks kernel and initrd again and empties all of
 * memory, on the loop: a guest that does little else waits before it is built anew.
 */
#ifndef SLUICE_BOARD_MACHINE_RESET_RATE_H
#define SLUICE_BOARD_MACHINE_RESET_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RESETS_MAX	 10    /* that a guest may make ... */
#define RESETS_WINDOW_MS 15000 /* ... in this time, each at once */
#define RESET_PAUSE_MS	 1000  /* and before each that is more */

/* Zero-initialize. */
struct reset_rate {
	uint64_t at_ms[RESETS_MAX]; /* of the last ones, the oldest at `next` */
	unsigned next;
	bool logged; /* that it waits */
};

/* A reset by the guest, now: how long it has to wait, 0 or RESET_PAUSE_MS. The first that waits is logged. */
uint64_t reset_rate_wait_ms(struct reset_rate *rate);

#endif
