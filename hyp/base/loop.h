/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: descriptors, timers and posted tasks, all served by the one thread that calls
 * loop_run(). Everything but loop_post() and loop_stop() is called from that thread (or before it
 * runs). Built on epoll and one eventfd. Objects are embedded in their owners; the loop never
 * allocates for them.
 *
 * A guest can make each of its queues ready without end. So descriptors of the machine's owner (control socket,
 * signals) have an epoll of their own, which the loop checks once the other handlers have taken a millisecond. The
 * owner waits for that and for one handler, however many are ready. Handlers have names; the loop records the one that
 * took longest.
 */
#ifndef SLUICE_HYP_BASE_LOOP_H
#define SLUICE_HYP_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

/*
 * A handler should stop after this time, plus one bounded step, and continue in a later turn, so that it does not
 * delay the others.
 */
#define LOOP_TURN_MS 5

int loop_create(struct loop **ret);
/* Takes NULL. The owners of tasks, timers and descriptors have removed them before. */
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
	uint32_t events;  /* EPOLLIN, EPOLLOUT */
	bool first;	  /* from the machine's owner: served before the others */
	const char *name; /* for loop_report(); NULL, or valid while added */
	void (*ready)(struct loop_fd *watch, uint32_t events);
	struct loop *loop; /* set while added */
};

/* -EPERM for descriptors that epoll does not take, such as regular files. */
int loop_fd_add(struct loop *loop, struct loop_fd *watch);
/* Changes which events are watched; 0 pauses the watch (errors and hang-ups are still reported). */
int loop_fd_set_events(struct loop_fd *watch, uint32_t events);
/* Harmless when not added. */
void loop_fd_remove(struct loop_fd *watch);

/* A one-shot timer on CLOCK_MONOTONIC. Zero-initialize but for `fired`. */
struct loop_timer {
	void (*fired)(struct loop_timer *timer);
	const char *name;
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
 * Work that another thread hands to the loop. A task that is already queued is not queued twice: `run` reads what
 * to do from its owner's state. Zero-initialize all but `run`.
 */
struct loop_task {
	void (*run)(struct loop_task *task);
	const char *name;
	struct loop_task *next;
	bool queued;
};

void loop_post(struct loop *loop, struct loop_task *task);
/* Before its owner is freed. Harmless when it is not queued. */
void loop_task_cancel(struct loop *loop, struct loop_task *task);

/* How long handlers have held the loop. */
struct loop_report {
	uint64_t turns;	     /* calls of a handler */
	uint64_t long_turns; /* that took more than LOOP_TURN_MS */
	uint64_t longest_us; /* the longest of them, microseconds */
	char longest[64];    /* its name; "" before the first, or if it has none */
};

/* Since the loop was made, or since the last call with `restart`. Without the handler that is running. */
void loop_report(struct loop *loop, bool restart, struct loop_report *ret);

#endif
