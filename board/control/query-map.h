/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x-sluice-query-map: a machine's windows, and what they expose as the kernel's list of our mappings has it.
 * A guest decides how long that list is. So it is read a turn at a time, once for all who ask meanwhile.
 */
#ifndef SLUICE_BOARD_CONTROL_QUERY_MAP_H
#define SLUICE_BOARD_CONTROL_QUERY_MAP_H

#include "board/config/config.h"
#include "board/control/qmp.h"
#include "hyp/base/loop.h"
#include "hyp/memory/window.h"

struct machine;

/* One control socket's. */
struct map_query {
	struct loop *loop;
	/* A walk that took longer than a turn is at its end: each conversation that waits is to be answered. */
	void (*ended)(struct map_query *query);

	struct machine *machine; /* of the walk that is under way */
	struct window_walk *walk;
	struct window_usage usage[CONFIG_DEVICES];
	size_t count;
	struct loop_timer timer;
};

/* The command. */
json_t *map_query_run(struct qmp *qmp, json_t *arguments);
/* Answers a conversation that waits: by what the walk has found, or, when it was cancelled, by an error. */
void map_query_answer(struct map_query *query, struct qmp *qmp);
/* The machine goes. `ended` is called if a walk was under way. */
void map_query_cancel(struct map_query *query);

#endif
