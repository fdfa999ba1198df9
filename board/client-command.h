/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command lines of commands that talk to a running machine. Each reads its own, prints `usage` where that
 * is asked for or the line is wrong, calls the rest of the command, prints its errors, and returns the exit
 * status: 2 for usage, 1 where errors were added, else what the rest returned.
 */
#ifndef SLUICE_BOARD_CLIENT_COMMAND_H
#define SLUICE_BOARD_CLIENT_COMMAND_H

struct client;
struct client_target;
struct errors;

/* [--control PATH] and which machine; `show` gets the connection, open. */
int client_command(int argc, char **argv, const char *usage,
	int (*show)(
		struct client *client, const struct client_target *target, struct errors *errors));

/* The same, with the control socket's path in place of a connection to it, and one more word, or NULL. */
int client_without_qmp(int argc, char **argv, const char *usage,
	int (*run)(const char *control, const char *word, struct errors *errors));

/*
 * The same of a command that takes a SIZE, which may be missing (NULL), and --timeout, in place of `stall_sec`.
 */
int client_sized_command(int argc, char **argv, const char *usage, unsigned stall_sec,
	int (*run)(const struct client_target *target, const char *size, unsigned stall_sec,
		struct errors *errors));

#endif
