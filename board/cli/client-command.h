/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command lines of commands that talk to a running machine. Each reads its own, prints `usage` where that
 * is asked for, says what is wrong with the line, calls the rest of the command, prints its errors, and returns the exit
 * status: 2 for usage, 1 where errors were added, else what the rest returned.
 */
#ifndef SLUICE_BOARD_CLI_CLIENT_COMMAND_H
#define SLUICE_BOARD_CLI_CLIENT_COMMAND_H

#include <stdbool.h>

#define CLIENT_WORDS_MAX 2

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

/* What the line of a command that takes a size said. */
struct client_size {
	const char *text; /* NULL: none */
	unsigned stall_sec;
	bool force; /* --force */
};

/* The same of a command that takes a SIZE, --timeout, in place of `stall_sec`, and --force if `forceable`. */
int client_sized_command(int argc, char **argv, const char *usage, unsigned stall_sec,
	bool forceable,
	int (*run)(const struct client_target *target, const struct client_size *size,
		struct errors *errors));

/* The same of a command that takes up to CLIENT_WORDS_MAX words; NULL where there is none. */
int client_words_command(int argc, char **argv, const char *usage,
	int (*run)(const struct client_target *target, const char *const *words,
		struct errors *errors));

#endif
