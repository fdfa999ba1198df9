/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running machine: everything that config.h describes, created in order, reset in place,
 * destroyed. Calls come from the event loop's thread.
 */
#ifndef SLUICE_BOARD_MACHINE_H
#define SLUICE_BOARD_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev;
struct device;
struct errors;
struct host_limits;
struct loop;
struct machine;
struct machine_config;

struct machine_options {
	bool no_reboot; /* a reset ends the machine */
	struct chardev *console;
};

enum machine_state {
	MACHINE_RUNNING,
	MACHINE_RESETTING,
	MACHINE_OFF,     /* the guest powered off, or a reset with no_reboot */
	MACHINE_STOPPED, /* a policy, or a host fault: machine_stop_reason() says which */
	MACHINE_FAILED,  /* a reset could not rebuild it */
};

int machine_create(const struct machine_config *config, const struct machine_options *options,
	struct loop *loop, struct errors *errors, struct machine **ret);
/* Lets the vCPUs run. The machine ends by loop_stop(). */
int machine_start(struct machine *machine);
void machine_destroy(struct machine *machine);

enum machine_state machine_state(const struct machine *machine);
const char *machine_stop_reason(const struct machine *machine); /* NULL unless stopped */
const struct machine_config *machine_config(const struct machine *machine);

/* Presses the power button; the guest decides what to do. */
void machine_power_button(struct machine *machine);
/* System reset, as if the guest had asked; takes effect before the call returns to the loop. */
void machine_reset(struct machine *machine);
/* Ends the machine now. */
void machine_quit(struct machine *machine);

/* Devices in the order of config->devices. */
size_t machine_device_count(const struct machine *machine);
struct device *machine_device(const struct machine *machine, size_t index);

#endif
