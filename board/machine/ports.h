/* SPDX-License-Identifier: Apache-2.0 */
/* The host's ends of a machine's named ports: a console for each, with a socket to attach to it. */
#ifndef SLUICE_BOARD_MACHINE_PORTS_H
#define SLUICE_BOARD_MACHINE_PORTS_H

#include <stdbool.h>

struct chardev;
struct console_callbacks;
struct errors;
struct loop;
struct machine_config;
struct ports;

/*
 * Opens all ports, with sockets beside the control socket. `stdio_taken`: the machine's console has stdio. -errno, with
 * an error added except for -ENOMEM. Leaves *ret as it was if there are no ports.
 */
int ports_create(struct loop *loop, const struct machine_config *config, const char *control,
	bool stdio_taken, const struct console_callbacks *callbacks, struct errors *errors,
	struct ports **ret);
/* In the order of devices and of their ports. NULL if `ports` is. */
struct chardev *const *ports_chardevs(const struct ports *ports);
/* After the machine. Takes NULL. */
void ports_destroy(struct ports *ports);

#endif
