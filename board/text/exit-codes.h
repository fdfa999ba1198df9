/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes of the program's commands; scripts rely on them. */
#ifndef SLUICE_BOARD_TEXT_EXIT_CODES_H
#define SLUICE_BOARD_TEXT_EXIT_CODES_H

/* Exit codes of `sluice run` (and the first three of every other command). */
enum {
	EXIT_OK = 0,	/* the guest powered off */
	EXIT_WRONG = 1, /* a wrong input, or a host that cannot do it */
	EXIT_USAGE = 2,
	EXIT_STOPPED = 3,	/* the policy for stray accesses or the watchdog stopped it */
	EXIT_TIMEOUT = 124,	/* it had to be ended after a signal or --timeout */
	EXIT_INTERRUPTED = 130, /* of a client: Ctrl-C ended its waiting */
};

#endif
