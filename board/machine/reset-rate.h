/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a guest may reset its machine. Each reset reads and unpacks kernel and initrd again and empties all of
 * memory, on the loop. So a guest that resets too often waits before each rebuild.
 */
#ifndef SLUICE_BOARD_MACHINE_RESET_RATE_H
#define SLUICE_BOARD_MACHINE_RESET_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RESETS_MAX	 10    /* resets that a guest may make ... */
#define RESETS_WINDOW_MS 15000 /* ... in this time without a delay */
#define RESET_PAUSE_MS	 1000  /* the delay before each further one */

/* Zero-initialize. */
struct reset_rate {
	uint64_t at_ms[RESETS_MAX]; /* of the last ones, the oldest at `next` */
	unsigned next;
	bool logged; /* the delay was logged */
};

/* Records a reset by the guest now. Returns its delay, 0 or RESET_PAUSE_MS. Logs the first delay. */
uint64_t reset_rate_wait_ms(struct reset_rate *rate);

#endif
