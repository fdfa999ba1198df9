/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop and the log at their edges: a clock that the test turns, what epoll is asked, how many
 * tasks a turn has, what is left after a stop, and what the host refuses. Both go by the one clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

/* ---- The host ---- */

static uint64_t now_ms;
static int timeouts[8]; /* that epoll was given */
static unsigned waits, fail_at, calls;
static int wait_error; /* of the next epoll_wait() */
static int epoll_fds[2], wake_fd;
static unsigned epolls;
static unsigned delivered;  /* events */
static unsigned waits_most; /* then it fails; 0: never */
static bool turns; /* epoll_wait() turns the clock by what it was given, and returns nothing */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	assert_int_equal(clock, CLOCK_MONOTONIC);
	ret->tv_sec = (time_t)(now_ms / 1000);
	ret->tv_nsec = (long)(now_ms % 1000) * 1000000 + 999999;
	return 0;
}

static bool fails(void)
{
	errno = EMFILE;
	return ++calls == fail_at;
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
	int fd = fails() ? -1 : __real_epoll_create1(flags);

	epoll_fds[epolls++ % 2] = fd;
	return fd;
}

int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags)
{
	wake_fd = fails() ? -1 : __real_eventfd(count, flags);
	return wake_fd;
}

int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	return fails() ? -1 : __real_epoll_ctl(epoll, op, fd, event);
}

int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
	if (waits < ARRAY_SIZE(timeouts))
		timeouts[waits] = timeout;
	waits++;
	if (waits == waits_most)
		wait_error = EBADF;
	if (wait_error) {
		errno = wait_error;
		wait_error = 0;
		return -1;
	}
	assert_int_equal(max, 1); /* a handler may remove any watch */
	if (turns && timeout > 0) {
		now_ms += (uint64_t)timeout;
		return 0;
	}
	int n = __real_epoll_wait(epoll, events, max, turns ? timeout : 0);

	delivered += n > 0;
	return n;
}

/* ---- The loop ---- */

static struct loop *loop;
static char order[256];

static int set_up(void **state)
{
	now_ms = 1000000;
	memset(order, 0, sizeof(order));
	memset(timeouts, 0xee, sizeof(timeouts));
	waits = calls = fail_at = delivered = waits_most = 0;
	wait_error = 0;
	turns = true;
	return loop_create(&loop);
}

static int tear_down(void **state)
{
	loop_destroy(loop);
	return 0;
}

static void note(char c)
{
	order[strlen(order)] = c;
}

struct timer {
	struct loop_timer timer;
	char name;
	bool stops;
	uint64_t again_ms; /* armed again; 0: not */
	unsigned more;	   /* so often */
	unsigned takes_ms;
	struct timer *other; /* that it cancels */
};

static void fired(struct loop_timer *timer)
{
	struct timer *one = container_of(timer, struct timer, timer);

	assert_null(timer->loop);
	note(one->name);
	now_ms += one->takes_ms;
	if (one->other)
		loop_timer_cancel(&one->other->timer);
	if (one->more && one->more--)
		loop_timer_arm(loop, timer, one->again_ms);
	if (one->stops)
		loop_stop(loop);
}

#define TIMER(letter, ...)                                                                         \
	{                                                                                          \
		.timer.fired = fired, .name = letter, ##__VA_ARGS__                                \
	}

/* At its time, and not a millisecond before; those of one time in the order in which they were armed. */
static void timers_at_their_time(void **state)
{
	struct timer a = TIMER('a'), b = TIMER('b'), c = TIMER('c'), d = TIMER('d', .stops = true);

	loop_timer_arm(loop, &a.timer, 20);
	loop_timer_arm(loop, &b.timer, 20);
	loop_timer_arm(loop, &c.timer, 19);
	loop_timer_arm(loop, &d.timer, 21);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "cabd");
	assert_int_equal(timeouts[0], 19);
	assert_int_equal(timeouts[1], 1);
	assert_int_equal(timeouts[2], 1);
	assert_int_equal(waits, 3);
	assert_int_equal(now_ms, 1000021);
}

/* What fires late fires at once, one after the other, and what was cancelled by one does not. */
static void late_timers(void **state)
{
	struct timer c = TIMER('c'), d = TIMER('d', .stops = true), e = TIMER('e');
	struct timer a = TIMER('a', .other = &c, .again_ms = 5, .more = 2);

	loop_timer_arm(loop, &a.timer, 1);
	loop_timer_arm(loop, &c.timer, 2);
	loop_timer_arm(loop, &d.timer, 15);
	loop_timer_arm(loop, &e.timer, 15); /* behind the stop: the next run's */
	now_ms += 4;
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "aaad");
	assert_non_null(e.timer.loop);
	d = (struct timer)TIMER('d', .stops = true);
	loop_timer_arm(loop, &d.timer, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "aaaded");
	assert_null(e.timer.loop);
}

/* What falls due while another one takes its time is not waited for, though descriptors come first. */
static void due_meanwhile(void **state)
{
	struct timer slow = TIMER('a', .takes_ms = 10), next = TIMER('b', .stops = true);

	loop_timer_arm(loop, &next.timer, 5);
	loop_timer_arm(loop, &slow.timer, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "ab");
	assert_int_equal(waits, 2); /* one of what comes first */
	assert_int_equal(timeouts[0], 0);
	assert_int_equal(timeouts[1], 0);
}

/* Armed again, it moves. */
static void a_timer_is_armed_once(void **state)
{
	struct timer a = TIMER('a'), b = TIMER('b', .stops = true);

	loop_timer_arm(loop, &a.timer, 5);
	loop_timer_arm(loop, &b.timer, 10);
	loop_timer_arm(loop, &a.timer, 7);
	loop_timer_arm(loop, &a.timer, 12);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "b");
	loop_timer_cancel(&a.timer);
}

/* None armed: for ever. Far away: no longer than a minute, after which it is checked again. */
static void how_long_it_waits(void **state)
{
	struct timer far = TIMER('f', .stops = true);
	uint64_t from = now_ms;

	loop_timer_arm(loop, &far.timer, 150000);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(timeouts[0], 60000);
	assert_int_equal(timeouts[1], 60000);
	assert_int_equal(timeouts[2], 30000);
	assert_int_equal(now_ms - from, 150000);
	waits = 0;
	loop_timer_arm(loop, &far.timer, UINT64_C(1) << 40);
	loop_timer_cancel(&far.timer);
	wait_error = EBADF;
	assert_int_equal(loop_run(loop), -EBADF);
	assert_int_equal(timeouts[0], -1);
}

/* A signal is none of its errors. */
static void interrupted_it_goes_on(void **state)
{
	struct timer stop = TIMER('s', .stops = true);

	loop_timer_arm(loop, &stop.timer, 5);
	wait_error = EINTR;
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "s");
	assert_int_equal(waits, 2);
}

struct task {
	struct loop_task task;
	char name;
	bool stops, again;
	unsigned takes_ms;
};

static void run_task(struct loop_task *task)
{
	struct task *one = container_of(task, struct task, task);

	note(one->name);
	now_ms += one->takes_ms;
	if (one->again)
		loop_post(loop, task);
	if (one->stops)
		loop_stop(loop);
}

#define TASK(letter, ...)                                                                          \
	{                                                                                          \
		.task.run = run_task, .name = letter, ##__VA_ARGS__                                \
	}

static bool awake(void)
{
	struct pollfd wake = { .fd = wake_fd, .events = POLLIN };

	return poll(&wake, 1, 0) == 1;
}

/* Each wakes a loop that waits for ever, once. */
static void posts_and_stops_wake_it(void **state)
{
	struct task task = TASK('t');

	turns = false;
	waits_most = 10;
	assert_false(awake());
	loop_post(loop, &task.task);
	assert_true(awake());
	assert_int_equal(loop_run(loop), -EBADF);
	assert_string_equal(order, "t");
	assert_int_equal(delivered, 1);
	assert_false(awake());
	loop_stop(loop);
	assert_true(awake());
}

/* In the order in which they were posted; what waits behind a stop is the next run's. */
static void tasks_in_order(void **state)
{
	struct task a = TASK('a'), b = TASK('b'), c = TASK('c', .stops = true), d = TASK('d'),
		    e = TASK('e', .stops = true);

	loop_post(loop, &a.task);
	loop_post(loop, &b.task);
	loop_post(loop, &a.task); /* waits already */
	loop_post(loop, &c.task);
	loop_post(loop, &d.task);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abc");
	loop_post(loop, &a.task);
	loop_post(loop, &e.task);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abcdae");
}

static void cancelled_from_each_place(void **state)
{
	for (unsigned which = 0; which < 4; which++) {
		struct task tasks[] = { TASK('0'), TASK('1'), TASK('2') };
		struct task stop = TASK('.', .stops = true);
		char expected[] = "0123.";

		memset(order, 0, sizeof(order));
		for (unsigned i = 0; i < 3; i++)
			loop_post(loop, &tasks[i].task);
		if (which < 3) {
			loop_task_cancel(loop, &tasks[which].task);
			assert_false(tasks[which].task.queued);
			loop_task_cancel(loop, &tasks[which].task);
			loop_post(loop, &tasks[which].task); /* last now */
			loop_task_cancel(loop, &tasks[which].task);
		}
		loop_post(loop, &stop.task);
		assert_int_equal(loop_run(loop), 0);
		*expected = '\0';
		for (unsigned i = 0; i < 3; i++)
			if (i != which)
				strcat(expected, (char[]){ (char)('0' + i), 0 });
		assert_string_equal(order, strcat(expected, "."));
	}
	/* All of them, and then another. */
	struct task one = TASK('x'), stop = TASK('.', .stops = true);

	memset(order, 0, sizeof(order));
	loop_post(loop, &one.task);
	loop_task_cancel(loop, &one.task);
	loop_post(loop, &stop.task);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, ".");
}

static struct loop_fd watch;
static unsigned seen;
static uint32_t seen_events;

static void ready(struct loop_fd *of, uint32_t events)
{
	assert_ptr_equal(of, &watch);
	seen++;
	seen_events = events;
	loop_stop(loop);
}

/* One that posts itself for ever keeps neither timers nor descriptors; and each turn has 64. */
static void tasks_have_turns(void **state)
{
	static char letters[200];
	struct task forever = TASK('t', .again = true);
	struct task many[130];
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	watch = (struct loop_fd){ .fd = pipes[0], .events = EPOLLIN, .ready = ready };
	seen = 0;
	loop_post(loop, &forever.task);
	assert_int_equal(loop_fd_add(loop, &watch), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(seen, 1);
	assert_in_range(strlen(order), 0, 64);
	loop_task_cancel(loop, &forever.task);
	loop_fd_remove(&watch);

	/* More than a turn's are not forgotten. */
	memset(order, 0, sizeof(order));
	memset(letters, 'm', 130);
	for (unsigned i = 0; i < 130; i++) {
		many[i] = (struct task)TASK('m', .stops = i == 129);
		loop_post(loop, &many[i].task);
	}
	waits = 0;
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, letters);
	assert_in_range(waits, 3, 4);
	close(pipes[0]);
	close(pipes[1]);
}

static void watches(void **state)
{
	struct timer stop = TIMER('s', .stops = true);
	struct loop_fd file = { .fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
		.events = EPOLLIN };
	int pipes[2];

	assert_int_equal(loop_fd_add(loop, &file), -EPERM);
	assert_null(file.loop);
	loop_fd_remove(&file); /* harmless */
	close(file.fd);

	assert_int_equal(pipe(pipes), 0);
	watch = (struct loop_fd){ .fd = pipes[0], .events = EPOLLIN, .ready = ready };
	seen = 0;
	assert_int_equal(loop_fd_add(loop, &watch), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	/* The same events are no call; others are, and what is refused is not taken for done. */
	calls = 0;
	assert_int_equal(loop_fd_set_events(&watch, EPOLLIN), 0);
	assert_int_equal(calls, 0);
	fail_at = 1;
	assert_int_equal(loop_fd_set_events(&watch, 0), -EMFILE);
	assert_int_equal(watch.events, EPOLLIN);
	fail_at = 0;
	assert_int_equal(loop_fd_set_events(&watch, 0), 0);
	assert_int_equal(calls, 2);
	loop_timer_arm(loop, &stop.timer, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(seen, 0);
	/* Watched again, with what waited; and the other end's leaving is reported though paused. */
	assert_int_equal(loop_fd_set_events(&watch, EPOLLIN), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(seen_events, EPOLLIN);
	assert_int_equal(loop_fd_set_events(&watch, 0), 0);
	close(pipes[1]);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(seen_events, EPOLLHUP);
	assert_int_equal(seen, 2);
	loop_fd_remove(&watch);
	assert_null(watch.loop);
	calls = 0;
	loop_fd_remove(&watch);
	assert_int_equal(calls, 0);
	close(pipes[0]);
}

/* ---- What comes first, and how long each took ---- */

/* A descriptor that is always ready; the first ones stop the loop once they were served so often. */
struct busy {
	struct loop_fd watch;
	char name;
	unsigned takes_ms, more;
	unsigned served;
};

static void busy_ready(struct loop_fd *of, uint32_t events)
{
	struct busy *busy = container_of(of, struct busy, watch);

	note(busy->name);
	busy->served++;
	now_ms += busy->takes_ms;
	if (busy->more && !--busy->more)
		loop_stop(loop);
}

static void add_busy(struct busy *busy, int fd)
{
	busy->watch.fd = fd;
	busy->watch.events = EPOLLOUT;
	busy->watch.ready = busy_ready;
	assert_int_equal(loop_fd_add(loop, &busy->watch), 0);
}

/*
 * Sixteen queues that a guest keeps ready, five milliseconds each: what the owner says then waits for one of
 * them and not for all; and its timers wait for none.
 */
static void the_owner_waits_for_one_handler(void **state)
{
	struct busy queues[16], owner = { .name = '!', .watch.first = true, .more = 4 };
	struct timer timer = TIMER('t', .again_ms = 7, .more = 2);
	unsigned between = 0;

	turns = false;
	for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
		queues[i] = (struct busy){ .name = 'q', .takes_ms = 5 };
		add_busy(&queues[i], eventfd(0, EFD_CLOEXEC));
	}
	add_busy(&owner, eventfd(0, EFD_CLOEXEC));
	/* It is done with what it had; and speaks again with the next turn. */
	owner.takes_ms = 6;
	loop_timer_arm(loop, &timer.timer, 5);
	assert_int_equal(loop_run(loop), 0);
	for (const char *at = order; *at; at++) {
		between = *at == 'q' ? between + 1 : 0;
		assert_in_range(between, 0, 1);
	}
	assert_int_equal(owner.served, 4);
	assert_non_null(strchr(order, 't'));
	loop_timer_cancel(&timer.timer);
	for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
		loop_fd_remove(&queues[i].watch);
		close(queues[i].watch.fd);
	}
	loop_fd_remove(&owner.watch);
	close(owner.watch.fd);
}

/* Nor for many timers or tasks in a row. */
static void the_owner_waits_for_no_row(void **state)
{
	struct busy owner = { .name = '!', .watch.first = true, .takes_ms = 6 };
	struct timer timers[8];
	struct task tasks[8];
	struct timer stop = TIMER('s', .stops = true);

	turns = false;
	add_busy(&owner, eventfd(0, EFD_CLOEXEC));
	for (unsigned i = 0; i < 8; i++) {
		timers[i] = (struct timer)TIMER('t', .takes_ms = 5);
		loop_timer_arm(loop, &timers[i].timer, 0);
	}
	loop_timer_arm(loop, &stop.timer, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "t!t!t!t!t!t!t!t!s");
	memset(order, 0, sizeof(order));
	for (unsigned i = 0; i < 8; i++) {
		tasks[i] = (struct task)TASK('k', .takes_ms = 5, .stops = i == 7);
		loop_post(loop, &tasks[i].task);
	}
	assert_int_equal(loop_run(loop), 0);
	assert_non_null(strstr(order, "k!k!k!k!k!k!k!k"));
	loop_fd_remove(&owner.watch);
	close(owner.watch.fd);
}

/* It does not keep the others either; and what it has to say costs no call while they are quick. */
static void the_owner_is_one_of_all(void **state)
{
	struct busy owner = { .name = '!', .watch.first = true, .takes_ms = 2 };
	struct busy queue = { .name = 'q', .takes_ms = 1, .more = 5 };

	turns = false;
	add_busy(&owner, eventfd(0, EFD_CLOEXEC));
	add_busy(&queue, eventfd(0, EFD_CLOEXEC));
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(queue.served, 5);
	assert_in_range(owner.served, 12, 30); /* three a turn, two turns to one of the other's */
	/* Paused, it is silent; and gone, too. */
	assert_int_equal(loop_fd_set_events(&owner.watch, 0), 0);
	owner.served = queue.served = 0;
	queue.takes_ms = 0;
	queue.more = 100;
	waits = 0;
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(owner.served, 0);
	assert_in_range(waits, 100, 102);
	loop_fd_remove(&owner.watch);
	loop_fd_remove(&queue.watch);
	close(owner.watch.fd);
	close(queue.watch.fd);
}

static void assert_report(
	bool restart, uint64_t turns_, uint64_t longs, uint64_t us, const char *name)
{
	struct loop_report report;

	loop_report(loop, restart, &report);
	assert_int_equal(report.turns, turns_);
	assert_int_equal(report.long_turns, longs);
	assert_int_equal(report.longest_us, us);
	assert_string_equal(report.longest, name);
}

/* The name of the longest turn, of descriptors, timers and tasks; also when its owner is gone by then. */
static void the_longest_turn_is_remembered(void **state)
{
	struct busy queue = { .name = 'q', .watch.name = "disk0", .takes_ms = 6, .more = 1 };
	struct busy owner = { .name = '!', .watch.name = "socket", .watch.first = true, .more = 1 };
	struct timer timer = TIMER('t', .timer.name = "a timer", .takes_ms = 5, .stops = true);
	struct task task = TASK('k', .task.name = "a task", .takes_ms = 9, .stops = true);

	turns = false;
	assert_report(false, 0, 0, 0, "");
	loop_timer_arm(loop, &timer.timer, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_report(false, 1, 0, 5000, "a timer");
	add_busy(&queue, eventfd(0, EFD_CLOEXEC));
	assert_int_equal(loop_run(loop), 0);
	assert_report(false, 2, 1, 6000, "disk0");
	loop_fd_remove(&queue.watch);
	close(queue.watch.fd);
	loop_post(loop, &task.task);
	assert_int_equal(loop_run(loop), 0);
	assert_report(true, 3, 2, 9000, "a task");
	assert_report(false, 0, 0, 0, "");
	owner.takes_ms = 1;
	add_busy(&owner, eventfd(0, EFD_CLOEXEC));
	assert_int_equal(loop_run(loop), 0);
	assert_report(false, 1, 0, 1000, "socket");
	loop_fd_remove(&owner.watch);
	close(owner.watch.fd);
	/* Of a name that is longer than there is room, and of none. */
	memset(order, 0, sizeof(order));
	timer = (struct timer)TIMER('t',
		.timer.name =
			"0123456789012345678901234567890123456789012345678901234567890123456789",
		.takes_ms = 2, .stops = true);
	loop_timer_arm(loop, &timer.timer, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_report(false, 2, 0, 2000,
		"012345678901234567890123456789012345678901234567890123456789012");
	timer = (struct timer)TIMER('t', .takes_ms = 3, .stops = true);
	loop_timer_arm(loop, &timer.timer, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_report(false, 3, 0, 3000, "");
}

/* Stopped before it runs, it does nothing, once. */
static void a_stop_counts_once(void **state)
{
	struct task task = TASK('t', .stops = true);

	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(waits, 0);
	loop_post(loop, &task.task);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "t");
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void each_call_of_making_it_fails(void **state)
{
	struct loop *other = NULL;

	for (unsigned at = 1; at <= 5; at++) {
		calls = 0;
		fail_at = at;
		assert_int_equal(loop_create(&other), -EMFILE);
		assert_null(other);
		assert_false(is_open(epoll_fds[0]) || is_open(epoll_fds[1]));
		assert_false(is_open(wake_fd));
	}
	fail_at = 0;
	assert_int_equal(loop_create(&other), 0);
	/* Neither goes to a program that is started, nor does anyone wait in loop_post(). */
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(fcntl(epoll_fds[i], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(wake_fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(wake_fd, F_GETFL) & O_NONBLOCK);
	loop_destroy(other);
	assert_false(is_open(epoll_fds[0]) || is_open(epoll_fds[1]) || is_open(wake_fd));
	loop_destroy(NULL);
}

/* ---- The log ---- */

static char lines[4096];

static void keep_line(enum log_level level, const char *line)
{
	snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%u:%s\n", level, line);
}

static void assert_logged(const char *expected)
{
	assert_string_equal(lines, expected);
	*lines = '\0';
}

static void lines_come_as_they_are(void **state)
{
	char text[600], expected[520] = "0:";

	*lines = '\0';
	log_print(LOG_ERROR, "nobody hears");
	assert_logged("");
	log_set_sink(keep_line);
	log_print(LOG_ERROR, "%s %d", "one", 1);
	log_print(LOG_WARNING, "two");
	log_print(LOG_INFO, "three");
	assert_logged("0:one 1\n1:two\n2:three\n");
	/* One that is too long is cut. */
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_print(LOG_ERROR, "%s", text);
	memset(expected + 2, 'x', 511);
	strcpy(expected + 2 + 511, "\n");
	assert_logged(expected);
	log_set_sink(NULL);
	log_print(LOG_ERROR, "nobody hears");
	assert_logged("");
}

static void a_budget_of_ten_seconds(void **state)
{
	struct log_limit limit = LOG_LIMIT(2);

	*lines = '\0';
	log_set_sink(keep_line);
	for (unsigned i = 1; i <= 2; i++)
		log_limited(&limit, LOG_INFO, "line %u", i);
	assert_logged("2:line 1\n2:line 2\n");
	log_limited(&limit, LOG_INFO, "dropped");
	now_ms += 9999;
	log_limited(&limit, LOG_INFO, "dropped");
	assert_logged("");
	now_ms++;
	log_limited(&limit, LOG_WARNING, "line %u", 3);
	assert_logged("1:2 more such lines were dropped\n1:line 3\n");
	/* Another ten from here on, and what was dropped was said. */
	now_ms += 9999;
	log_limited(&limit, LOG_WARNING, "line %u", 4);
	log_limited(&limit, LOG_WARNING, "dropped");
	assert_logged("1:line 4\n");
	now_ms++;
	log_limited(&limit, LOG_ERROR, "line 5");
	assert_logged("0:1 more such lines were dropped\n0:line 5\n");
	now_ms += 10000;
	log_limited(&limit, LOG_ERROR, "line 6");
	assert_logged("0:line 6\n");
	log_set_sink(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(timers_at_their_time),
		T(late_timers),
		T(due_meanwhile),
		T(a_timer_is_armed_once),
		T(how_long_it_waits),
		T(interrupted_it_goes_on),
		T(posts_and_stops_wake_it),
		T(tasks_in_order),
		T(cancelled_from_each_place),
		T(tasks_have_turns),
		T(watches),
		T(the_owner_waits_for_one_handler),
		T(the_owner_waits_for_no_row),
		T(the_owner_is_one_of_all),
		T(the_longest_turn_is_remembered),
		T(a_stop_counts_once),
		T(each_call_of_making_it_fails),
		T(lines_come_as_they_are),
		T(a_budget_of_ten_seconds),
	};

	return cmocka_run_group_tests_name("loop-edges", tests, NULL, NULL);
}
