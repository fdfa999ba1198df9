/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's answers about how far a guest can grow, and about a balloon. */
#ifndef SLUICE_BOARD_CONTROL_QUERY_MEMORY_H
#define SLUICE_BOARD_CONTROL_QUERY_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "board/control/qmp.h"

struct device;
struct machine;

/*
 * The command x-sluice-query-memory; `machine` is ready. What the host needs is given for the case that `grown` was
 * asked to hold `bytes`; NULL: as things are.
 */
json_t *qmp_query_memory(const struct machine *machine, const struct device *grown, uint64_t bytes);

/*
 * Whether a window may be asked to hold `bytes`. False, after qmp_fail(), if that is more than before and more than the
 * guest's boot memory carries.
 */
bool qmp_growth_allowed(
	struct qmp *qmp, const struct machine *machine, struct device *device, uint64_t bytes);

/* The machine's memory without a balloon of `bytes`. 0 if the guest reports more than there is. */
uint64_t qmp_balloon_left(const struct machine *machine, uint64_t bytes);

#endif
