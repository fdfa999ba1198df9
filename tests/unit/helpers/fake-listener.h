/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer of guest memory as vhost is: a limit of its own, a table of slots, and a count of the
 * blocks it may touch. It checks that it is notified in order, and refuses when asked to.
 */
#ifndef SLUICE_TESTS_FAKE_LISTENER_H
#define SLUICE_TESTS_FAKE_LISTENER_H

#include <stdbool.h>

#include "hyp/memory/listener.h"

#define FAKE_LISTENER_SLOTS 4096

struct fake_listener {
	struct listener listener;
	uint64_t plugged[FAKE_LISTENER_SLOTS]; /* bytes, by id */
	bool open[FAKE_LISTENER_SLOTS];
	struct memory_slot last; /* that was opened */
	unsigned open_count;
	uint64_t plugged_all;

	unsigned calls;	  /* fallible ones */
	unsigned fail_at; /* this call is refused (counted from 1 since the last reset); 0: none */
	unsigned fail_one_in; /* each call is refused with this chance; 0: none */
	unsigned seed;
	unsigned failed;
};

void fake_listener_init(struct fake_listener *fake, const char *name, unsigned limit);

#endif
