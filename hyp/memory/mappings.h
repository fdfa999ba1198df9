/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mappings (VMAs) of the process as a budget: beyond vm.max_map_count malloc and thread
 * creation fail, so windows stay MAPPINGS_MARGIN below it.
 *
 * We cannot know which mappings the kernel merges (neighbours that were written separately stay separate). So each
 * change counts as two more, and the real number is read from /proc/self/maps when the sum reaches the limit.
 */
#ifndef SLUICE_HYP_MEMORY_MAPPINGS_H
#define SLUICE_HYP_MEMORY_MAPPINGS_H

#include <stdbool.h>
#include <stdint.h>

#define MAPPINGS_MARGIN 4096

struct mappings {
	uint64_t count, limit;	 /* upper bound of how many there are; how many there may be */
	uint64_t count_again_ms; /* a guest at the limit does not cause a count at each request */
};

void mappings_init(struct mappings *mappings);

/* Whether the process may split a mapping in two places; takes them from the budget. */
bool mappings_take(struct mappings *mappings);

#endif
