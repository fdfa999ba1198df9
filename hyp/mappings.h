/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mappings (VMAs) of the process as a budget: beyond vm.max_map_count malloc and thread
 * creation fail, so windows stay MAPPINGS_MARGIN below it.
 *
 * Which mappings the kernel merges is not ours to know (neighbours that were written apart stay
 * apart). So each change is taken to add two for good, and the real number is read from
 * /proc/self/maps when their sum reaches the limit.
 */
#ifndef SLUICE_HYP_MAPPINGS_H
#define SLUICE_HYP_MAPPINGS_H

#include <stdbool.h>
#include <stdint.h>

#define MAPPINGS_MARGIN 4096

struct mappings {
	uint64_t count, limit;	 /* at most so many there are, and may be */
	uint64_t count_again_ms; /* counting is not for each request of a guest at the limit */
};

void mappings_init(struct mappings *mappings);

/* Whether the process may split a mapping in two places; takes them from the budget. */
bool mappings_take(struct mappings *mappings);

#endif
