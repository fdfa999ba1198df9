/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: QMP on a Unix stream socket, one per machine, for up to CONTROL_CLIENTS clients. The form of
 * their input is not trusted (lines, nesting and output are bounded). Their requests are: only the owner can connect.
 */
#ifndef SLUICE_BOARD_CONTROL_CONTROL_H
#define SLUICE_BOARD_CONTROL_CONTROL_H

#include "board/machine/machine.h"

struct control;
struct errors;
struct loop;

#define CONTROL_CLIENTS 16

/*
 * Listens at `path`. A stale socket (no process listens) is replaced. -EADDRINUSE for one in use. -errno after an error
 * was added, except for -ENOMEM.
 */
int control_create(
	const char *path, struct loop *loop, struct errors *errors, struct control **ret);
/*
 * Commands before this get an error that says the machine is not ready. Before the machine is destroyed, call this with
 * NULL or destroy the control.
 */
void control_set_machine(struct control *control, struct machine *machine);
/* The socket's path, as it was given. */
const char *control_place(const struct control *control);
/* Removes the socket file, sends pending output without blocking, and closes all clients. */
void control_destroy(struct control *control);

/*
 * An event to every client in command mode: {"event": name, "data": data, "timestamp": ...}.
 * Takes the reference to `data`, which may be NULL.
 */
struct json_t;
void control_event(struct control *control, const char *name, struct json_t *data);

/* Sends the notice to every client as an event. `reason` as for machine_options.notify. */
void control_notify(struct control *control, enum machine_notice notice, const char *reason);

#endif
