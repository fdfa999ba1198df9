/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: QMP on a Unix stream socket, one per machine. Any number of clients up to
 * CONTROL_CLIENTS; each is untrusted as to form (bounded lines, bounded output, bounded nesting),
 * and trusted as to intent (the socket is its owner's only, mode 0600).
 */
#ifndef SLUICE_BOARD_CONTROL_CONTROL_H
#define SLUICE_BOARD_CONTROL_CONTROL_H

#include <stdbool.h>

#include "board/machine/machine.h"

struct control;
struct errors;
struct loop;

#define CONTROL_CLIENTS 16

/*
 * Listens at `path`. A stale socket (nobody answers) is replaced; one in use is -EADDRINUSE, with
 * the error added.
 */
int control_create(
	const char *path, struct loop *loop, struct errors *errors, struct control **ret);
/*
 * Commands before this get an error that says the machine is not ready. The machine outlives the
 * control, or is taken away again (NULL) while it still exists.
 */
void control_set_machine(struct control *control, struct machine *machine);
/* The socket's path, resolved. */
const char *control_place(const struct control *control);
/* Removes the socket file, closes all clients after sending what waits (without blocking). */
void control_destroy(struct control *control);

/*
 * An event to every client in command mode: {"event": name, "data": data, "timestamp": ...}.
 * Takes the reference to `data`, which may be NULL.
 */
struct json_t;
void control_event(struct control *control, const char *name, struct json_t *data);

/* Tells every client what happens to the machine. `reason` is of a reset and a shutdown only. */
void control_notify(struct control *control, enum machine_notice notice, const char *reason);

#endif
