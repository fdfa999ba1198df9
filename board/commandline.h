/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's commands that need no machine of their own. Each gets its own name as argv[0],
 * prints for a person, and returns the exit code: 0 well, 1 an error, 2 usage, 130 after Ctrl-C.
 */
#ifndef SLUICE_BOARD_COMMANDLINE_H
#define SLUICE_BOARD_COMMANDLINE_H

int mem_command(int argc, char **argv);
int balloon_command(int argc, char **argv);
int map_command(int argc, char **argv);
int slots_command(int argc, char **argv);
int console_command(int argc, char **argv);
/* 0 when this host can run guests. */
int doctor_command(int argc, char **argv);

#endif
