/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x-sluice-query-map: a machine's windows, and what they expose according to /proc/self/smaps. A guest determines the
 * length of that file. So it is read in turns of the loop, once for all clients that ask meanwhile.
 */
#ifndef SLUICE_BOARD_CONTROL_QUERY_MAP_H
#define SLUICE_BOARD_CONTROL_QUERY_MAP_H

#include "board/config/config.h"
#include "board/control/qmp.h"
#include "hyp/base/loop.h"
#include "hyp/memory/window.h"

struct machine;

/* One for each control socket. */
struct map_query {
	struct loop *loop;
	/* Called at the end of a walk of several turns, to call map_query_answer() for each conversation that waits. */
	void (*ended)(struct map_query *query);

	struct machine *machine; /* of the current walk */
	struct window_walk *walk;
	struct window_usage usage[CONFIG_DEVICES];
	size_t count;
	struct loop_timer timer;
	json_t *answer; /* while clients that wait get it */
};

/* The command. */
json_t *map_query_run(struct qmp *qmp, json_t *arguments);
/* Answers a conversation that waits, with the walk's result or, if it was cancelled, an error. */
void map_query_answer(struct map_query *query, struct qmp *qmp);
/* Call it before the machine is destroyed. Calls `ended` if a walk was running. */
void map_query_cancel(struct map_query *query);

#endif
