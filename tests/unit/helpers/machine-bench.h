/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine of board/machine/machine.c whose parts, files and KVM are played and write down each call. It has one
 * device, one piece of RAM and a real loop. A program has machine.c, reset.c and build.c with it, and wraps what is
 * called in the libraries (meson.build).
 */
#ifndef SLUICE_TESTS_UNIT_MACHINE_BENCH_H
#define SLUICE_TESTS_UNIT_MACHINE_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "board/machine/machine-internal.h"
#include "board/text/errors.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"

#define RAM_GPA	  UINT64_C(0x40000000)
#define RAM_BYTES (64 * KiB)
#define RAM_FD	  7654 /* none that is open: it is only handed on */
#define VM_FD	  7655

/* What was called, in words; and which of the calls that can fail does, counted from 1. */
extern char trace[4096];
extern unsigned calls, fail_at;
/* That was called since, and nothing else. */
void assert_called(const char *expected);

/* What is called to build a machine's VM, and to take it apart. */
#define BUILD                                                                                      \
	"vm gic slot window vcpus gic-init features irq irq irq irq registers doorbells load "     \
	"tree entry"
#define UNBUILD "stop-window no-slots no-irq no-irq no-irq no-irq no-vcpus no-vm no-window"

/* ---- Parts ---- */

extern struct machine *machine; /* made last */
extern struct device device;
extern const struct device_class watchdog_class; /* which `device` may have instead */
extern int vm_fd;				 /* that the machine gets; 0: none */
extern int kvm_fd;				 /* that it opened */
extern uint8_t *ram;				 /* RAM_BYTES */
extern uint8_t *stolen_time;			 /* NULL: vCPUs have none */
extern struct memory_slot last_slot;		 /* that was opened */
extern struct gic_layout gic;			 /* that was asked for */
extern int time_error;				 /* of asking for and setting the guest's time */
extern unsigned pressed;			 /* how often the power button was */
extern uint8_t seeds[2][72];			 /* of this life and the last */
/* Every other call for randomness is interrupted: a signal comes while the host has none yet. */
extern bool interrupts;
extern unsigned randoms; /* calls meanwhile */
/*
 * How many more turns of the loop each phase of a reset takes; 0 at first: all of it is done at once. FOREVER: until
 * it is set to less, and it writes nothing down.
 */
#define FOREVER UINT32_MAX
extern struct turns {
	unsigned busy, empty, load;
} turns;
extern uint64_t load_until_ms; /* what loader_load() was given last */
/* If not 0, loop_now_ms() adds it to clock_ms at each call, and returns that. */
extern unsigned clock_step_ms;
extern uint64_t clock_ms;
/* As a vCPU reports to the machine. */
extern void (*report)(void *opaque, enum vcpus_event event, const char *text);
/* As a watchdog does; NULL: nobody watches. */
extern void (*bites)(struct device *device, enum watchdog_action action, void *opaque);

/* ---- A machine ---- */

extern struct loop *loop;
extern struct machine_config *config;
extern struct errors errors;
extern char noticed[1024]; /* what the machine has notified, in words */
void assert_noticed(const char *expected);

/* Makes it; starts it too, and forgets the calls until then. */
int create(bool no_reboot);
void start(bool no_reboot);
/* What is posted to the loop and timers that are due, and what these post and arm; so many times over. */
void serve(void);
void serve_turns(unsigned most);
void no_log(enum log_level level, const char *line);

int set_up(void **state);
int tear_down(void **state);

#endif
