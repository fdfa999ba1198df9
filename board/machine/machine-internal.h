/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by machine.c (states, events, pause, end), reset.c, parts.c (what lasts from start to end: address space,
 * devices and their descriptors, vCPU threads) and build.c (what lasts from reset to reset).
 */
#ifndef SLUICE_BOARD_MACHINE_MACHINE_INTERNAL_H
#define SLUICE_BOARD_MACHINE_MACHINE_INTERNAL_H

#include <pthread.h>

#include "board/config/config.h"
#include "board/config/platform.h"
#include "board/machine/firmware.h"
#include "board/machine/machine.h"
#include "board/machine/reset-rate.h"
#include "devices/device.h"
#include "hyp/base/loop.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/registers.h"
#include "hyp/kvm/vm.h"
#include "hyp/memory/backing.h"
#include "hyp/memory/guestmem.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/vcpu/stray.h"
#include "hyp/vcpu/vcpu.h"

struct machine_device {
	struct device *device;
	struct device_env env;
	struct irq_pin pin;
	bool has_pin;
	struct window *window;
};

struct machine {
	const struct machine_config *config;
	struct machine_options options;
	struct loop *loop;
	struct kvm_limits limits;
	int kvm_fd;

	struct vm vm;
	struct slots slots;
	struct kvm_slots kvm_slots; /* the first listener */
	struct strays strays;
	struct guestmem mem;
	struct mmio_bus bus;
	struct registers registers; /* of virtio devices */
	struct mmio_region free_places;
	struct vcpus *vcpus;
	struct backing ram[CONFIG_RANGES];
	uint8_t *stolen_time; /* written by KVM; not in `mem`, so no device reaches it */
	struct machine_device fixed[PLATFORM_FIXED]; /* as in platform.h */
	struct machine_device devices[CONFIG_DEVICES];
	struct machine_device flash; /* no `device`: there is none */
	struct firmware firmware;
	struct loader *loader;

	enum machine_state state;
	char *reason;
	bool held;	    /* paused by machine_pause(): a system reset does not run it again */
	bool stop_notified; /* MACHINE_STOP was notified, and no MACHINE_RESUME after it */
	bool reset_posted;
	bool has_count;		  /* the guest's time could be read when it was paused ... */
	uint64_t count;		  /* ... as the virtual counter */
	const char *reset_reason; /* of the posted reset */

	/* The pending vCPU event. If several arrive before the loop handles one, the most severe one stays. */
	pthread_mutex_t event_lock;
	bool event_pending;
	bool off_asked, reset_asked; /* by a vCPU since the last reset; outlast a pause */
	enum vcpus_event event;
	char event_text[256];
	struct loop_task event_task;
	struct loop_task reset_task;
	struct reset_rate reset_rate;
	/* A system reset takes turns of the loop; between them the timer is armed. */
	enum { RESET_DRAIN, RESET_UNBUILD, RESET_BUILD } reset_phase;
	struct loop_timer reset_timer;
	bool busy;		/* in RESET_DRAIN: a device was, in the last turn */
	bool pressed;		/* the power button, meanwhile */
	uint64_t reset_wait_ms; /* between RESET_UNBUILD and RESET_BUILD */
	/* What machine_unbuild() has emptied: devices' windows, then ranges of RAM; and bytes of the next range. */
	bool unbuilding;
	size_t emptied;
	uint64_t emptied_bytes;
	int unbuild_err;
};

/* Creates guest memory, devices with their windows, vCPU threads. -errno, most with an error added. */
int machine_create_parts(struct machine *machine,
	void (*on_event)(void *opaque, enum vcpus_event event, const char *text),
	struct errors *errors);
/* Destroys the parts that exist. Before it, the vCPUs are parked and the windows detached. */
void machine_destroy_parts(struct machine *machine);

/*
 * Both work until loop_now_ms() is past `until_ms`; 1: there is more to do, call it again.
 *
 * Creates the VM from existing parts, and fills its memory. -errno, most with an error added.
 */
int machine_build(struct machine *machine, uint64_t until_ms, struct errors *errors);
/*
 * Undoes a finished machine_build(). Memory is then empty, and all windows are unplugged. -errno if the host could not
 * empty all of it.
 */
int machine_unbuild(struct machine *machine, uint64_t until_ms);

void machine_for_each_device(struct machine *machine,
	void (*call)(struct machine *machine, struct machine_device *device));
/* For machine_for_each_device(). */
void machine_pause_device(struct machine *machine, struct machine_device *device);
void machine_quiesce_device(struct machine *machine, struct machine_device *device);

/* `why` is copied, and may be NULL. */
void machine_set_state(struct machine *machine, enum machine_state state, const char *why);
void machine_notify(struct machine *machine, enum machine_notice notice, const char *reason);
/* Notifies MACHINE_RESUME if MACHINE_STOP was notified. */
void machine_notify_resume(struct machine *machine);
/* Drains devices first: a vCPU may be waiting for a request that only the loop completes. */
void machine_park(struct machine *machine);
/* Pauses devices and vCPUs, and remembers the guest's time. The vCPUs may be parked already, even before they first ran. */
void machine_freeze(struct machine *machine);
/*
 * Parks the vCPUs and stops the loop, once. `cause` is QEMU's ShutdownCause, `why` the reason in words; NULL for
 * MACHINE_OFF.
 */
void machine_end(
	struct machine *machine, enum machine_state state, const char *cause, const char *why);

/* What `reset_task` runs: begins a system reset. */
void machine_run_reset(struct loop_task *task);
/* What `reset_timer` runs. */
void machine_take_reset_turn(struct loop_timer *timer);
/* Ends RESET_DRAIN in one turn, whatever is in flight; the vCPUs are parked then. */
void machine_end_drain(struct machine *machine);

#endif
