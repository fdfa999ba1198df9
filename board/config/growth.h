/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a guest may grow. Linux needs an entry of its page array and page tables for each plugged page. It can have
 * neither in memory of a movable zone. So boot memory (/memory) carries a limited amount of plugged memory. A guest
 * that plugs more runs out of memory while much of it is free. tests/bench/RESULTS.md: how the figures were measured.
 */
#ifndef SLUICE_BOARD_CONFIG_GROWTH_H
#define SLUICE_BOARD_CONFIG_GROWTH_H

#include <stdint.h>

struct errors;
struct growth_policy;
struct host_memory;
struct machine_config;

/* No bound. */
#define GROWTH_UNBOUND UINT64_MAX

void growth_read_bootargs(const char *bootargs, struct growth_policy *ret);

/* Boot memory in the host's huge pages, which come from a pool of their own. */
uint64_t growth_pool_bytes(const struct machine_config *config);
/*
 * The most bytes that all windows together may have plugged. `policy`: by the command line that the guest gets, which
 * may be a bundle's. `page_bytes`: the guest's page size; 0: the kernel's file
 * does not say, and there is no bound.
 */
uint64_t growth_carried(const struct machine_config *config, const struct growth_policy *policy,
	uint64_t page_bytes);

/*
 * The same with the guest's own figures: with `plugged` bytes plugged, it reported `available` bytes (MemAvailable) in
 * boot and plugged memory together. Limits `carried` to the range that follows from them.
 */
uint64_t growth_by_guest(uint64_t carried, const struct growth_policy *policy, uint64_t page_bytes,
	uint64_t plugged, uint64_t available);

/* Warns if boot memory cannot carry what is requested at the start. */
void growth_check_start(const struct machine_config *config, const struct growth_policy *policy,
	uint64_t page_bytes, struct errors *errors);

/*
 * Warns about windows that cannot be filled, requests at the start that boot memory cannot carry, and memory or page
 * merging that the host lacks.
 */
void growth_check(const struct machine_config *config, const struct growth_policy *policy,
	uint64_t page_bytes, const struct host_memory *host, struct errors *errors);

#endif
