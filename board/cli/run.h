/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice run`: one machine from start to end. */
#ifndef SLUICE_BOARD_CLI_RUN_H
#define SLUICE_BOARD_CLI_RUN_H

/* argv[0] is the command's name. */
int run_command(int argc, char **argv);

#endif
