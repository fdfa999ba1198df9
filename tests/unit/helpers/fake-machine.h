/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that exists only for the control socket's tests: two virtio-mem devices with windows
 * of 1 GiB and a network card between them, a balloon, and two named ports, of classes of its own. It replaces
 * machine_*() and what is read of windows.
 */
#ifndef SLUICE_TESTS_FAKE_MACHINE_H
#define SLUICE_TESTS_FAKE_MACHINE_H

#include <stdbool.h>

#include "board/host/host-memory.h"
#include "board/machine/machine.h"
#include "devices/device.h"
#include "devices/virtio/balloon-statistics.h"
#include "hyp/vcpu/stray.h"

struct fake_mem {
	struct device device; /* first: a struct device is all that is known of it */
	struct device_memory info;
};

extern struct fake_mem fake_vmem[2];
extern struct machine *const fake_machine;
extern struct strays fake_strays;	    /* the test initialises it */
extern struct machine_growth fake_growth;   /* no bound; 256 MiB, pages of 4K */
extern struct host_memory fake_host_memory; /* 64 GiB, and no cgroup */
extern enum machine_state fake_state;
extern unsigned fake_buttons, fake_resets, fake_quits; /* how often each was asked for */
/* Notified of each, as a real machine's options->notify; NULL: nothing. */
extern void (*fake_notify)(enum machine_notice notice, const char *reason);
extern bool fake_map_unreadable;
extern unsigned fake_columns, fake_rows; /* of the port "agent" */
extern uint64_t fake_disk_size;		 /* of "disk0" */
extern bool fake_link;			 /* of the other device, "net0", a network card */

extern uint64_t fake_exposed;
/* Turns that a walk of the mappings takes beyond the first, and how many walks are under way. */
extern unsigned fake_map_turns, fake_map_walks;
extern uint64_t fake_slot_blocks; /* of each slot */
extern unsigned fake_slots; /* of each window; of the first eight two are open, and all others */
extern int fake_request_error;	  /* of setting requested-size; 0: none */

/* Of the balloon, in bytes; the fake has 256 MiB of RAM besides its windows. */
extern uint64_t fake_balloon_requested, fake_balloon_actual, fake_balloon_given;
extern unsigned fake_balloon_queries; /* how often it was asked what is requested */
extern struct balloon_statistics fake_statistics; /* nothing is known */
extern unsigned fake_interval;
extern unsigned fake_open_ports; /* of "agent" and "log" */
extern bool fake_no_balloon;	 /* the machine has none */
/* As if the guest had: notifies the watchers. */
void fake_balloon_change(uint64_t bytes);
void fake_ports_change(unsigned open);

/* Running, nothing plugged, nothing asked for. */
void fake_machine_init(void);
/* As if the guest had: sets plugged_bytes of device `i` and notifies the watcher. */
void fake_machine_plug(int i, uint64_t bytes);

#endif
