/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: descriptors, timers and posted tasks, all served by the one thread that calls
 * loop_run(). Everything but loop_post() and loop_stop() is called from that thread (or before it
 * runs). Built on epoll and one eventfd. Objects are embedded in their owners; the loop never
 * allocates for them.
 */
#ifndef SLUICE_HYP_LOOP_H
#define SLUICE_HYP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

/*
 * A handler that has more to do than this takes leaves the rest to a later turn, after one step more:
 * others wait for no longer.
 */
#define LOOP_TURN_MS 5

int loop_create(struct loop **ret);
void loop_destroy(struct loop *loop);

/* Serves events until loop_stop(). Returns 0, or -errno if epoll itself fails. */
int loop_run(struct loop *loop);

/* Makes loop_run() return after the handler that is running. Any thread. */
void loop_stop(struct loop *loop);

/*
 * A watched descriptor. `ready` gets the epoll events that hold. The owner closes the descriptor,
 * after loop_fd_remove(); removing (itself or another) inside a handler is allowed.
 */
struct loop_fd {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT */
	void (*ready)(struct loop_fd *watch, uint32_t events);
	struct loop *loop; /* set while added */
};

/* -EPERM for descriptors that epoll does not take, such as regular files. */
int loop_fd_add(struct loop *loop, struct loop_fd *watch);
/* Changes which events are watched; 0 pauses the watch (errors and hang-ups are still told). */
int loop_fd_set_events(struct loop_fd *watch, uint32_t events);
/* Harmless when not added. */
void loop_fd_remove(struct loop_fd *watch);

/* A one-shot timer on CLOCK_MONOTONIC. Zero-initialize but for `fired`. */
struct loop_timer {
	void (*fired)(struct loop_timer *timer);
	uint64_t deadline_ms;
	struct loop_timer *next;
	struct loop *loop; /* set while armed */
};

/* Arms the timer `ms` milliseconds from now; arming again moves it. */
void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t ms);
/* Harmless when not armed. */
void loop_timer_cancel(struct loop_timer *timer);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t loop_now_ms(void);

/*
 * Work handed to the loop by another thread. A task that is already waiting is not queued twice:
 * `run` reads what to do from state of its owner's. Zero-initialize but for `run`.
 */
struct loop_task {
	void (*run)(struct loop_task *task);
	struct loop_task *next;
	bool queued;
};

void loop_post(struct loop *loop, struct loop_task *task);
/* Before its owner goes; harmless when it does not wait. */
void loop_task_cancel(struct loop *loop, struct loop_task *task);

#endif
