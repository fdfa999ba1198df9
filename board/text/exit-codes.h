/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes of the program's commands; scripts rely on them. */
#ifndef SLUICE_BOARD_TEXT_EXIT_CODES_H
#define SLUICE_BOARD_TEXT_EXIT_CODES_H

/* Exit codes of `sluice run` (and the first three of every other command). */
enum {
	EXIT_OK = 0,	/* the guest powered off */
	EXIT_WRONG = 1, /* wrong input, or the host cannot do it */
	EXIT_USAGE = 2,
	EXIT_STOPPED = 3,	/* the policy for stray accesses or the watchdog stopped it */
	EXIT_TIMEOUT = 124,	/* ended by force after a signal or --timeout */
	EXIT_INTERRUPTED = 130, /* a client's waiting was ended by Ctrl-C */
};

#endif
