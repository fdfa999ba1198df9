/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of a control socket, for commands that talk to a running machine from another process: finds the socket,
 * speaks QMP, waits. Everything blocks.
 */
#ifndef SLUICE_BOARD_CLI_CLIENT_H
#define SLUICE_BOARD_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

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

/* Connects and negotiates. -errno after an error was added that says what to do, such as which machines run. */
int client_open(const char *path, struct errors *errors, struct client **ret);
void client_close(struct client *client);

/*
 * Runs a command; takes the reference to `arguments`, which may be NULL. Returns the command's result, a new reference,
 * or NULL after an error was added.
 */
json_t *client_call(
	struct client *client, const char *command, json_t *arguments, struct errors *errors);

/* Waits for an event: 1 when one came, 0 after `ms` or a signal, -ECONNRESET when the machine is gone. */
int client_wait(struct client *client, int ms);

/*
 * Whether the process that has the machine's socket has ended, which is waited for as long. True too where that cannot be
 * known. After client_wait() has given -ECONNRESET.
 */
bool client_process_ended(const struct client *client, int ms);

/* Integer and string members of an object; 0 and "" if there is none. Texts are plain (board/text/plain.h). */
uint64_t client_number(const json_t *object, const char *name);
const char *client_text(const json_t *object, const char *name);

/* A descriptor connected to the socket there, or -errno after an error as client_open() adds. */
int client_connect(const char *path, struct errors *errors);

/*
 * The names of this user's machines, of which a socket in the usual folder answers, by the alphabet: how many. They and
 * *ret are malloc'ed. 0 after an error was added: the folder is not known or cannot be read.
 */
size_t client_machines(struct errors *errors, char ***ret);

#endif
