/* SPDX-License-Identifier: Apache-2.0 */
/* A loop turned by hand; see fake-loop.h. */
#include "tests/unit/helpers/fake-loop.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>

#include "hyp/base/loop.h"
#include "hyp/base/util.h"

static struct loop_fd *watches[32];
static struct loop_timer *timers;
static struct loop_task *tasks;
static uint64_t now_ms = 1;
static bool stopped;
static unsigned refused;

uint64_t loop_now_ms(void)
{
	return now_ms;
}

void fake_loop_refuse(unsigned nth)
{
	refused = nth;
}

int loop_fd_add(struct loop *loop, struct loop_fd *watch)
{
	if (refused && !--refused)
		return -ENOSPC;
	for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
		if (!watches[i]) {
			watches[i] = watch;
			watch->loop = loop;
			return 0;
		}
	return -ENOSPC;
}

int loop_fd_set_events(struct loop_fd *watch, uint32_t events)
{
	watch->events = events;
	return 0;
}

void loop_fd_remove(struct loop_fd *watch)
{
	for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
		if (watches[i] == watch)
			watches[i] = NULL;
	watch->loop = NULL;
}

void loop_timer_cancel(struct loop_timer *timer)
{
	for (struct loop_timer **at = &timers; *at; at = &(*at)->next)
		if (*at == timer) {
			*at = timer->next;
			timer->loop = NULL;
			return;
		}
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t ms)
{
	struct loop_timer **at = &timers;

	loop_timer_cancel(timer);
	timer->loop = loop;
	timer->deadline_ms = now_ms + ms;
	while (*at && (*at)->deadline_ms <= timer->deadline_ms)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

unsigned fake_loop_serve(void)
{
	unsigned ready = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(watches); i++) {
		struct pollfd poll_fd;

		if (!watches[i])
			continue;
		/* The bits of epoll are those of poll. */
		poll_fd = (struct pollfd){ watches[i]->fd, (short)watches[i]->events, 0 };
		if (poll(&poll_fd, 1, 0) == 1) {
			watches[i]->ready(watches[i], (uint32_t)poll_fd.revents);
			ready++;
		}
	}
	return ready;
}

void loop_post(struct loop *loop, struct loop_task *task)
{
	struct loop_task **at = &tasks;

	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = task;
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	for (struct loop_task **at = &tasks; *at; at = &(*at)->next)
		if (*at == task) {
			*at = task->next;
			task->queued = false;
			return;
		}
}

static bool run_task(void)
{
	struct loop_task *task = tasks;

	if (!task)
		return false;
	tasks = task->next;
	task->queued = false;
	task->run(task);
	return true;
}

unsigned fake_loop_run_tasks(void)
{
	unsigned count = 0;

	while (run_task())
		count++;
	return count;
}

static void fire_next(void)
{
	struct loop_timer *timer = timers;

	now_ms = timer->deadline_ms > now_ms ? timer->deadline_ms : now_ms;
	loop_timer_cancel(timer);
	timer->fired(timer);
}

void fake_loop_advance(uint64_t ms)
{
	uint64_t until = now_ms + ms;

	while (timers && timers->deadline_ms <= until)
		fire_next();
	now_ms = until > now_ms ? until : now_ms;
}

void fake_loop_fire(void)
{
	if (timers)
		fire_next();
}

void fake_loop_advance_alone(uint64_t ms)
{
	now_ms += ms;
}

int loop_create(struct loop **ret)
{
	*ret = (struct loop *)&timers;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	CHECK(!tasks && !timers && !fake_loop_watches());
}

/* Of a test that makes no loop. */
__attribute__((destructor)) static void check_that_nothing_is_left(void)
{
	loop_destroy(NULL);
}

void loop_stop(struct loop *loop)
{
	stopped = true;
}

int loop_run(struct loop *loop)
{
	unsigned tasks_run = 0;

	for (stopped = false; !stopped;) {
		CHECK(tasks_run++ < 1000000); /* or it turns for ever */
		if (run_task())
			continue;
		CHECK(timers); /* else nothing would ever stop it */
		fire_next();
	}
	return 0;
}

void loop_report(struct loop *loop, bool restart, struct loop_report *ret)
{
	static uint64_t turns; /* each report is another */

	*ret = (struct loop_report){ ++turns, 2, 7000, "disk0" };
	if (restart)
		turns = 0;
}

unsigned fake_loop_watches(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
		count += watches[i] != NULL;
	return count;
}

unsigned fake_loop_timers(void)
{
	unsigned count = 0;

	for (struct loop_timer *timer = timers; timer; timer = timer->next)
		count++;
	return count;
}
