/* SPDX-License-Identifier: Apache-2.0 */
/* How a command waits until a guest has done what it was asked for, and shows how far it is. */
#ifndef SLUICE_BOARD_CLI_FOLLOW_H
#define SLUICE_BOARD_CLI_FOLLOW_H

#include <stdint.h>

struct client;
struct errors;

struct follow {
	const char *id;	  /* the device's */
	const char *done; /* what it does with the bytes: "plugged" */
	uint64_t from, to;
	uint64_t near;	    /* so near to `to` is there */
	unsigned stall_sec; /* how long nothing may move; 0: nothing is waited for */
	/* What the device has, and is asked to have. -EINVAL after an error was added. */
	int (*query)(struct follow *follow, struct client *client, uint64_t *ret_has,
		uint64_t *ret_requested, struct errors *errors);
	/* Adds the error for a guest that has stalled. */
	void (*explain)(
		struct follow *follow, struct client *client, uint64_t has, struct errors *errors);
};

/* From here on Ctrl-C and SIGTERM end the waiting, and what is asked for stands. Before the request is made. */
void follow_prepare(void);

/*
 * Waits. Returns EXIT_OK when it is done, EXIT_INTERRUPTED after Ctrl-C, both after a line that says what is there;
 * EXIT_WRONG after an error was added.
 */
int follow_wait(struct follow *follow, struct client *client, struct errors *errors);

#endif
