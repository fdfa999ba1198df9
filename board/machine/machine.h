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
struct kvm_limits;
struct device;
struct slots;
struct strays;
struct errors;
struct host_limits;
struct loop;
struct machine;
struct machine_config;

/* What happens to a machine, as QEMU's events of those names. */
enum machine_notice {
	MACHINE_POWERDOWN,
	MACHINE_STOP,	/* paused */
	MACHINE_RESUME, /* runs again after that */
	MACHINE_RESET,
	MACHINE_SHUTDOWN,
	MACHINE_WATCHDOG, /* the guest did not feed its own */
};

struct machine_options {
	const char *name; /* outlives the machine */
	bool no_reboot;	  /* a reset ends the machine */
	struct chardev *console;
	struct chardev *const *ports; /* of all devices, in their order */
	const struct kvm_limits *kvm; /* as probed; copied */
	int vm_fd; /* kvm_create_vm()'s, with the addresses that the machine needs, for its first life; 0: none */
	/*
	 * Told of each; of RESET and SHUTDOWN with QEMU's ShutdownCause ("guest-reset", "host-signal",
	 * ...), of WATCHDOG with its WatchdogAction.
	 */
	void (*notify)(void *opaque, enum machine_notice notice, const char *reason);
	void *opaque;
};

enum machine_state {
	MACHINE_RUNNING,
	MACHINE_RESETTING, /* seen where a guest resets too often, and waits (reset-rate.h) */
	/* By its owner, the policy for stray accesses, or the watchdog. Of the last two a reset runs it again. */
	MACHINE_PAUSED,
	MACHINE_OFF,	 /* the guest powered off, a reset with no_reboot, or machine_quit() */
	MACHINE_STOPPED, /* by either */
	MACHINE_FAILED, /* the host could not go on: memory, KVM, or a reset that could not rebuild */
};

/*
 * Builds the machine, its kernel loaded, ready to start. `config` outlives it. -errno with an error
 * added that says what the host lacks.
 */
/* Takes the options' VM, also where it fails. */
int machine_create(const struct machine_config *config, const struct machine_options *options,
	struct loop *loop, struct errors *errors, struct machine **ret);
/* Lets the vCPUs run. The machine ends by loop_stop(). */
int machine_start(struct machine *machine);
void machine_destroy(struct machine *machine);

enum machine_state machine_state(const struct machine *machine);
/* Why it is paused, stopped or failed; NULL otherwise. */
const char *machine_stop_reason(const struct machine *machine);

/*
 * Pauses it: vCPUs are parked, devices begin nothing in guest memory, what was in flight has ended, and the guest's
 * virtual counter and watchdog stand still; the real-time clock goes on. It stays paused over a system reset. Nothing where it
 * is paused already.
 */
void machine_pause(struct machine *machine);
/*
 * Runs a paused machine again, whatever paused it: an access that was stray gets an external abort. What another vCPU
 * wanted meanwhile (a reset, a pause) comes at once. Nothing where it is not paused.
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

/* What the guest has: RAM, and what is plugged. */
uint64_t machine_memory_bytes(const struct machine *machine);

/* How far the guest's boot memory lets it grow (growth.h), as reckoned from tree and kernel. */
struct machine_growth {
	uint64_t boot_bytes;	/* of /memory */
	uint64_t pool_bytes;	/* of these, in the host's huge pages */
	uint64_t page_bytes;	/* the guest's pages; 0: not known */
	uint64_t carried_bytes; /* of all windows together, or GROWTH_UNBOUND */
	struct growth_policy policy;
	bool mergeable; /* some of its memory is: KSM may merge equal pages */
};
void machine_growth(const struct machine *machine, struct machine_growth *ret);

/* The budget of memory slots; holders are "memory" and the ids of devices. */
const struct slots *machine_slots(const struct machine *machine);

/* What the guest did where it was given nothing. */
struct strays *machine_strays(struct machine *machine);

#endif
