/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop; see loop.h. Events are taken from epoll one at a time: a handler may then remove
 * or free any watch without leaving a stale pointer in a batch.
 */
#include "hyp/base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "hyp/base/util.h"

#define TASKS_A_TURN 64
/* `first` watches are checked once handlers have taken this long, not after each, since a check is a system call. */
#define FIRST_CHECK_US 1000

struct loop {
	int epoll_fd; /* of all; first_fd is in it, so that it returns for these too */
	int first_fd; /* an epoll of `first` watches */
	int wake_fd;
	atomic_bool stopped;
	struct loop_timer *timers; /* sorted by deadline */
	unsigned watches;	   /* descriptors that are added */

	uint64_t now_us;  /* when the last handler or epoll_wait() ended */
	uint64_t busy_us; /* that handlers took since first_fd was checked */
	struct loop_report report;

	pthread_mutex_t lock; /* the list of tasks and their `queued` */
	struct loop_task *tasks, **tasks_end;
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t loop_now_ms(void)
{
	return now_us() / 1000;
}

static void wake(struct loop *loop)
{
	(void)!eventfd_write(loop->wake_fd, 1); /* EAGAIN: it is awake already */
}

int loop_create(struct loop **ret)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event wake = { .events = EPOLLIN, .data.ptr = NULL };
	struct epoll_event first = { .events = EPOLLIN, .data.ptr = loop };
	int err;

	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->first_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->tasks_end = &loop->tasks;
	pthread_mutex_init(&loop->lock, NULL);
	if (loop->epoll_fd < 0 || loop->first_fd < 0 || loop->wake_fd < 0 ||
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) < 0 ||
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->first_fd, &first) < 0) {
		err = -errno;
		loop_destroy(loop);
		return err;
	}
	*ret = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	CHECK(!loop->tasks && !loop->timers && !loop->watches);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->first_fd >= 0)
		close(loop->first_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static int epoll_of(const struct loop *loop, const struct loop_fd *watch)
{
	return watch->first ? loop->first_fd : loop->epoll_fd;
}

int loop_fd_add(struct loop *loop, struct loop_fd *watch)
{
	struct epoll_event event = { .events = watch->events, .data.ptr = watch };

	if (epoll_ctl(epoll_of(loop, watch), EPOLL_CTL_ADD, watch->fd, &event) < 0)
		return -errno;
	watch->loop = loop;
	loop->watches++;
	return 0;
}

int loop_fd_set_events(struct loop_fd *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (watch->events == events)
		return 0;
	if (epoll_ctl(epoll_of(watch->loop, watch), EPOLL_CTL_MOD, watch->fd, &event) < 0)
		return -errno;
	watch->events = events;
	return 0;
}

void loop_fd_remove(struct loop_fd *watch)
{
	if (!watch->loop)
		return;
	epoll_ctl(epoll_of(watch->loop, watch), EPOLL_CTL_DEL, watch->fd, NULL);
	watch->loop->watches--;
	watch->loop = NULL;
}

void loop_timer_cancel(struct loop_timer *timer)
{
	struct loop_timer **at;

	if (!timer->loop)
		return;
	for (at = &timer->loop->timers; *at != timer; at = &(*at)->next)
		;
	*at = timer->next;
	timer->loop = NULL;
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t ms)
{
	struct loop_timer **at;

	loop_timer_cancel(timer);
	timer->deadline_ms = now_us() / 1000 + ms;
	for (at = &loop->timers; *at && (*at)->deadline_ms <= timer->deadline_ms; at = &(*at)->next)
		;
	timer->next = *at;
	*at = timer;
	timer->loop = loop;
}

/* Accounts for a handler that has ended. It may have freed its owner, so the caller saved the name. */
static void end_turn(struct loop *loop, const char *name)
{
	uint64_t now = now_us(), took = now - loop->now_us;
	struct loop_report *report = &loop->report;

	loop->now_us = now;
	loop->busy_us += took;
	report->turns++;
	report->long_turns += took > LOOP_TURN_MS * 1000;
	if (took <= report->longest_us)
		return;
	report->longest_us = took;
	snprintf(report->longest, sizeof(report->longest), "%s", name ? name : "");
}

void loop_report(struct loop *loop, bool restart, struct loop_report *ret)
{
	*ret = loop->report;
	if (restart)
		loop->report = (struct loop_report){ 0 };
}

static void serve(struct loop *loop, const struct epoll_event *event)
{
	struct loop_fd *watch = event->data.ptr;
	const char *name = watch->name;

	watch->ready(watch, event->events);
	end_turn(loop, name);
}

/* Serves `first` watches, for a turn at most, so that clients that ask without end do not block the guest. */
static void serve_first(struct loop *loop)
{
	uint64_t ends_us = loop->now_us + LOOP_TURN_MS * 1000;
	struct epoll_event event;

	while (!atomic_load(&loop->stopped) && loop->now_us <= ends_us &&
		epoll_wait(loop->first_fd, &event, 1, 0) > 0)
		serve(loop, &event);
	loop->busy_us = 0;
}

/* Called after each other handler, with no event pending, since a handler may remove its watch. */
static void check_first(struct loop *loop)
{
	if (loop->busy_us >= FIRST_CHECK_US)
		serve_first(loop);
}

/* Runs what is due; returns the time to the next deadline in ms, or -1. */
static int run_timers(struct loop *loop)
{
	uint64_t now = loop->now_us / 1000;

	while (loop->timers && loop->timers->deadline_ms <= now && !atomic_load(&loop->stopped)) {
		struct loop_timer *timer = loop->timers;
		const char *name = timer->name;

		loop_timer_cancel(timer);
		timer->fired(timer);
		end_turn(loop, name);
		check_first(loop);
	}
	if (!loop->timers)
		return -1;
	now = loop->now_us / 1000;
	if (loop->timers->deadline_ms <= now)
		return 0;
	return loop->timers->deadline_ms - now > 60000 ? 60000
						       : (int)(loop->timers->deadline_ms - now);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
	pthread_mutex_lock(&loop->lock);
	if (!task->queued) {
		task->queued = true;
		task->next = NULL;
		*loop->tasks_end = task;
		loop->tasks_end = &task->next;
	}
	pthread_mutex_unlock(&loop->lock);
	wake(loop);
}

static struct loop_task *take_task(struct loop *loop)
{
	struct loop_task *task;

	pthread_mutex_lock(&loop->lock);
	task = loop->tasks;
	if (task) {
		loop->tasks = task->next;
		if (!loop->tasks)
			loop->tasks_end = &loop->tasks;
		task->queued = false;
	}
	pthread_mutex_unlock(&loop->lock);
	return task;
}

/* At most TASKS_A_TURN, so that a thread that posts faster does not block the loop. */
static void run_tasks(struct loop *loop)
{
	for (int i = 0; i < TASKS_A_TURN && !atomic_load(&loop->stopped); i++) {
		struct loop_task *task = take_task(loop);
		const char *name = task ? task->name : NULL;

		if (!task)
			return;
		task->run(task);
		end_turn(loop, name);
		check_first(loop);
	}
	wake(loop);
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	struct loop_task **at;

	pthread_mutex_lock(&loop->lock);
	if (task->queued) {
		for (at = &loop->tasks; *at != task; at = &(*at)->next)
			;
		*at = task->next;
		if (!*at)
			loop->tasks_end = at;
		task->queued = false;
	}
	pthread_mutex_unlock(&loop->lock);
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopped, true);
	wake(loop);
}

int loop_run(struct loop *loop)
{
	loop->now_us = now_us();
	while (!atomic_load(&loop->stopped)) {
		struct epoll_event event;
		int timeout = run_timers(loop);
		int n;

		if (atomic_load(&loop->stopped))
			break;
		n = epoll_wait(loop->epoll_fd, &event, 1, timeout);
		if (n < 0 && errno != EINTR)
			return -errno;
		loop->now_us = now_us();
		if (n <= 0)
			continue;
		if (!event.data.ptr) {
			eventfd_t count;

			(void)!eventfd_read(loop->wake_fd, &count);
			run_tasks(loop);
		} else if (event.data.ptr == loop) {
			serve_first(loop);
		} else {
			serve(loop, &event);
			check_first(loop);
		}
	}
	atomic_store(&loop->stopped, false);
	return 0;
}
