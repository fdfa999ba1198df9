/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of a control socket, for commands that talk to a running machine from a process of
 * their own: finds the socket, speaks QMP, waits. Everything blocks. Also the columns they print.
 */
#ifndef SLUICE_BOARD_CLIENT_H
#define SLUICE_BOARD_CLIENT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

struct client;
struct errors;

/*
 * Which machine, and which of its devices, a person means:
 *   NAME[/NODE]            the machine of that name
 *   FOLDER/X.sock[/NODE]   the machine at that socket
 *   [/NODE]                with `control` (--control PATH), the machine at that socket
 * Fills path and node (NULL: none named), malloc'ed; -EINVAL after an error was added.
 */
struct client_target {
	char *path, *node;
};
int client_target_read(
	const char *text, const char *control, struct errors *errors, struct client_target *ret);
void client_target_finish(struct client_target *target);

/* Connects and negotiates. -errno after an error that says what to do, such as which machines run. */
int client_open(const char *path, struct errors *errors, struct client **ret);
void client_close(struct client *client);

/*
 * Runs a command; takes the reference to `arguments`, which may be NULL. Returns what it returned,
 * a new reference, or NULL after an error was added.
 */
json_t *client_call(
	struct client *client, const char *command, json_t *arguments, struct errors *errors);

/* Waits for an event: 1 when one came, 0 after `ms` or a signal, -ECONNRESET when the machine is gone. */
int client_wait(struct client *client, int ms);

/* Integer member of an object, 0 where there is none. */
uint64_t client_number(const json_t *object, const char *name);

/*
 * A command whose only arguments are [--control PATH] and which machine: reads them, prints `usage`
 * where it is asked for or they are wrong, and calls `show`, with the connection open. Returns the
 * process's exit status: 2 for usage, 1 where errors were added, else what `show` returned.
 */
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

/* A descriptor connected to the socket there, or -errno after an error as client_open() adds. */
int client_connect(const char *path, struct errors *errors);

/* Rows of cells, parted by tabs; all aligned when they are printed. */
#define COLUMNS 8
struct columns {
	const char *align; /* 'l' or 'r' for each column */
	char **rows;
	size_t count;
};

void columns_add(struct columns *columns, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints each row after `indent` and forgets all. */
void columns_print(struct columns *columns, const char *indent, FILE *stream);

#endif
