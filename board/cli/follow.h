/* SPDX-License-Identifier: Apache-2.0 */
/* Waits until a guest has done what a command asked for, and shows the progress. */
#ifndef SLUICE_BOARD_CLI_FOLLOW_H
#define SLUICE_BOARD_CLI_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct errors;

struct follow {
	const char *id;	  /* the device's */
	const char *done; /* the word for bytes that are done: "plugged" */
	uint64_t from, to;
	uint64_t near;	    /* a difference of up to this counts as done */
	unsigned stall_sec; /* time without progress that is an error; 0: no waiting */
	/* Reads the device's current and requested bytes. -EINVAL after an error was added. */
	int (*query)(struct follow *follow, struct client *client, uint64_t *ret_has,
		uint64_t *ret_requested, struct errors *errors);
	/* Adds the error for a guest that has stalled. */
	void (*explain)(
		struct follow *follow, struct client *client, uint64_t has, struct errors *errors);
};

/* From now on Ctrl-C and SIGTERM end only the waiting, not the request. Call it before the request. */
void follow_prepare(void);
/* One of them has come since. */
bool follow_interrupted(void);

/*
 * Waits. Returns EXIT_OK when it is done, EXIT_INTERRUPTED after Ctrl-C; both print how many bytes are done.
 * EXIT_WRONG after an error was added.
 */
int follow_wait(struct follow *follow, struct client *client, struct errors *errors);

#endif
