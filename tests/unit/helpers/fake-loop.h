/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop that a test turns by hand: it takes the place of hyp/base/loop.c, with the parts of its
 * contract that devices use, and time that passes when the test says so: loop_run() goes from timer to
 * timer, whatever the clock. Any pointer serves as the loop.
 */
#ifndef SLUICE_TESTS_UNIT_FAKE_LOOP_H
#define SLUICE_TESTS_UNIT_FAKE_LOOP_H

#include <stdint.h>

/* Calls the handler of each descriptor that is ready for what is watched, once; returns how many were. */
unsigned fake_loop_serve(void);
/* Runs the tasks that were posted, from this thread; returns how many. */
unsigned fake_loop_run_tasks(void);
/* Lets time pass; fires the timers that are due, in their order. */
void fake_loop_advance(uint64_t ms);
/* Fires the next timer alone; and lets time pass without firing any, as a slow call does. */
void fake_loop_fire(void);
void fake_loop_advance_alone(uint64_t ms);
/* How many descriptors are watched and timers armed. */
unsigned fake_loop_watches(void);
unsigned fake_loop_timers(void);
/* The so manieth loop_fd_add() from now on is -ENOSPC; 0: none. */
void fake_loop_refuse(unsigned nth);

#endif
