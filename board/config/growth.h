/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a guest may grow. Linux describes each page that is plugged in memory that it has already (its page
 * array), maps it with page tables, and can have neither in memory that came into a movable zone. So boot memory,
 * what /memory gives, carries a certain amount of plugged memory; a guest that is made to take more runs out of
 * memory in the midst of what is free. tests/bench/RESULTS.md says how the figures were obtained.
 */
#ifndef SLUICE_BOARD_CONFIG_GROWTH_H
#define SLUICE_BOARD_CONFIG_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

struct errors;
struct growth_policy;
struct host_memory;
struct machine_config;

/* No bound. */
#define GROWTH_UNBOUND UINT64_MAX

void growth_read_bootargs(const char *bootargs, struct growth_policy *ret);

/*
 * The most bytes that all windows together may hold plugged. `page_bytes` is the size of the guest's pages, 0 where
 * the kernel is no Linux that is known of: it has no bound then.
 */
/* Boot memory in the host's huge pages, which are no load of its other memory. */
uint64_t growth_pool_bytes(const struct machine_config *config);
uint64_t growth_carried(const struct machine_config *config, uint64_t page_bytes);

/*
 * The same by the guest's own word: when `plugged` bytes were plugged it had `available` bytes (MemAvailable) in boot and
 * plugged memory together. Moves `carried` up or down to what those two make certain.
 */
uint64_t growth_by_guest(uint64_t carried, const struct growth_policy *policy, uint64_t page_bytes,
	uint64_t plugged, uint64_t available);

/* Warns of what is asked for at the start and cannot be carried. */
void growth_check_start(
	const struct machine_config *config, uint64_t page_bytes, struct errors *errors);

/*
 * Warns of windows that cannot be filled, of what is asked for at the start and cannot be carried, and of what the
 * host has not.
 */
void growth_check(const struct machine_config *config, uint64_t page_bytes,
	const struct host_memory *host, struct errors *errors);

#endif
