/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice run`: one machine from start to end. */
#ifndef SLUICE_BOARD_RUN_H
#define SLUICE_BOARD_RUN_H

/* Exit codes of `sluice run` (and the first three of every other command). */
enum {
	EXIT_OK = 0,	/* the guest powered off */
	EXIT_WRONG = 1, /* a wrong input, or a host that cannot */
	EXIT_USAGE = 2,
	EXIT_STOPPED = 3,   /* the policy for stray accesses stopped it */
	EXIT_TIMEOUT = 124, /* it had to be ended */
};

/* argv[0] is the command's name. */
int run_command(int argc, char **argv);

#endif
