/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window without mappings or KVM: it takes the place of hyp/memory/window.c, holds its callers to the
 * contract of window.h, and is BUSY when a test says so.
 */
#ifndef SLUICE_TESTS_UNIT_FAKE_WINDOW_H
#define SLUICE_TESTS_UNIT_FAKE_WINDOW_H

#include <stdbool.h>

#include "hyp/memory/window.h"

#define FAKE_WINDOW_BLOCKS 4096

struct window {
	struct window_config config;
	bool plugged[FAKE_WINDOW_BLOCKS];
	bool busy;	/* the next changes fail */
	unsigned turns; /* that the next plug takes before its last */
	bool slow;	/* unplugging goes on until fake_window_end() */
	void (*ended)(void *opaque);
	void *ended_opaque;
	bool going;
	const char *refused;
	unsigned changes;   /* carried out */
	uint64_t discarded; /* bytes, of plugged blocks */
	uint64_t largest;   /* of them in one call */
	/* Of some blocks, if not NULL. */
	void (*changed)(struct window *window, uint64_t offset, uint64_t size, bool plugged);
};

/* What goes on of an unplug has come to its end. */
void fake_window_end(struct window *window);

#endif
