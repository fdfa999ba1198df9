/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running machine: everything that config.h describes, created in order, reset in place,
 * destroyed. Calls come from the event loop's thread.
 */
#ifndef SLUICE_BOARD_MACHINE_MACHINE_H
#define SLUICE_BOARD_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board/config/config.h"

struct chardev;
struct device;
struct slots;
struct errors;
struct loop;
struct machine;

/* Notices about a machine, as QEMU's events of those names. */
enum machine_notice {
	MACHINE_POWERDOWN,
	MACHINE_STOP,	/* paused */
	MACHINE_RESUME, /* runs again after that */
	MACHINE_RESET,
	MACHINE_SHUTDOWN,
	MACHINE_WATCHDOG, /* the guest did not feed its watchdog */
};

struct machine_options {
	const char *name; /* outlives the machine */
	bool no_reboot;	  /* a reset ends the machine */
	struct chardev *console;
	struct chardev *const *ports; /* of all devices, in their order */
	const struct kvm_limits *kvm; /* as probed; copied */
	int vm_fd; /* from kvm_create_vm(), with enough address bits; used until the first reset; 0: none */
	/*
	 * Called for each notice. `reason` is QEMU's ShutdownCause ("guest-reset", "host-signal", ...) for RESET and
	 * SHUTDOWN, its WatchdogAction for WATCHDOG, else NULL.
	 */
	void (*notify)(void *opaque, enum machine_notice notice, const char *reason);
	void *opaque;
};

enum machine_state {
	MACHINE_RUNNING,
	MACHINE_RESETTING, /* until it is built anew, in turns of the loop. vCPUs run until requests in flight have ended */
	/* By machine_pause(), the stray-access policy or the watchdog. Only the first lasts over a reset. */
	MACHINE_PAUSED,
	MACHINE_OFF,	 /* the guest powered off, a reset with no_reboot, or machine_quit() */
	MACHINE_STOPPED, /* by the stray-access policy or the watchdog */
	MACHINE_FAILED,	 /* the host failed: memory, KVM, or the rebuild after a reset */
};

/*
 * Builds the machine with its kernel loaded, ready to start. `config` outlives it. Takes over options->vm_fd, also on
 * failure. -errno, after an error was added that says what the host lacks.
 */
int machine_create(const struct machine_config *config, const struct machine_options *options,
	struct loop *loop, struct errors *errors, struct machine **ret);
/* Runs the vCPUs. When the machine ends, it calls loop_stop(). */
int machine_start(struct machine *machine);
void machine_destroy(struct machine *machine);

enum machine_state machine_state(const struct machine *machine);
/* It is being reset, and waits before its next life, since its guest does little else (reset-rate.h). */
bool machine_resets_too_often(const struct machine *machine);
/* Why it is paused, stopped or failed. NULL otherwise, and after machine_pause(). */
const char *machine_stop_reason(const struct machine *machine);

/*
 * Pauses the machine: parks the vCPUs, stops devices from starting requests, and waits for those in flight. The
 * guest's virtual counter and watchdog stop; its real-time clock does not. A system reset does not end the pause. No
 * effect on a machine that is paused already.
 */
void machine_pause(struct machine *machine);
/*
 * Resumes a paused machine, whatever paused it. A stray access that paused it gets an external abort. An event that
 * another vCPU posted meanwhile (a reset, a pause) is handled at once. No effect on a machine that is not paused.
 */
void machine_resume(struct machine *machine);

/* Presses the power button; the guest decides what to do. */
void machine_power_button(struct machine *machine);
/*
 * System reset, as if the guest had asked; takes effect when the caller returns to the loop.
 * `reason` is a ShutdownCause and a literal.
 */
void machine_reset(struct machine *machine, const char *reason);
/* Ends the machine now. */
void machine_quit(struct machine *machine, const char *reason);

/* Devices in the order of config->devices. */
size_t machine_device_count(const struct machine *machine);
struct device *machine_device(const struct machine *machine, size_t index);

/* The guest's memory in bytes: RAM and plugged memory. */
uint64_t machine_memory_bytes(const struct machine *machine);

/* How far the guest's boot memory lets it grow (growth.h), computed from tree and kernel. */
struct machine_growth {
	uint64_t boot_bytes;	/* of /memory */
	uint64_t pool_bytes;	/* of these, in the host's huge pages */
	uint64_t page_bytes;	/* the guest's pages; 0: not known */
	uint64_t carried_bytes; /* that all windows together may plug, or GROWTH_UNBOUND */
	struct growth_policy policy;
	bool mergeable; /* KSM may merge equal pages of some of its memory */
};
void machine_growth(const struct machine *machine, struct machine_growth *ret);

/* The budget of memory slots; holders are "memory" and the ids of devices. */
const struct slots *machine_slots(const struct machine *machine);

/* The guest's accesses to unassigned addresses. */
struct strays *machine_strays(struct machine *machine);

#endif
