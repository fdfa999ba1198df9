/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's commands that need no machine of their own. Each gets its own name as argv[0],
 * prints for a person, and returns the exit code: 0 well, 1 an error, 2 usage, 130 after Ctrl-C.
 */
#ifndef SLUICE_BOARD_CLI_COMMANDLINE_H
#define SLUICE_BOARD_CLI_COMMANDLINE_H

int mem_command(int argc, char **argv);
int balloon_command(int argc, char **argv);
int resize_command(int argc, char **argv);
int map_command(int argc, char **argv);
int slots_command(int argc, char **argv);
int console_command(int argc, char **argv);
/* 0 when this host can run guests. */
int doctor_command(int argc, char **argv);

/*
 * Says on standard error what is wrong with the line of `command` ("": of the program), then that its
 * --help says more. Returns EXIT_USAGE.
 */
int misused(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same of what getopt_long() gave: '?' or ':', with ':' first in its options. */
int misused_option(const char *command, int option, char **argv);

#endif
