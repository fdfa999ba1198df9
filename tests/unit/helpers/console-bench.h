/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console on a real loop, for tests: the UART's side of it, and what is waited for. Nothing goes by the
 * clock: a wait ends when what it waits for is there, and fails after a minute without.
 */
#ifndef SLUICE_TESTS_UNIT_CONSOLE_BENCH_H
#define SLUICE_TESTS_UNIT_CONSOLE_BENCH_H

#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "board/console/console.h"
#include "devices/backend/chardev.h"
#include "hyp/base/loop.h"

#define PATIENCE_MS 60000

/* One of each a program. */
static struct loop *loop;
static struct console *console;
static struct chardev *chardev;

/* The UART takes `room` bytes. */
static char got[65536];
static size_t got_len, room;
static unsigned writable, joined, parted; /* how often it was notified */

static inline size_t bench_receive(struct chardev_client *client, const uint8_t *buf, size_t len)
{
	size_t n = len < room ? len : room;

	memcpy(got + got_len, buf, n);
	got_len += n;
	room -= n;
	return n;
}

static inline void bench_writable(struct chardev_client *client)
{
	writable++;
}

static inline void bench_connected(struct chardev_client *client)
{
	(*(chardev->connected ? &joined : &parted))++;
}

static struct chardev_client client = {
	.receive = bench_receive, .writable = bench_writable, .connected = bench_connected
};

static inline int bench_create(void)
{
	got_len = writable = joined = parted = 0;
	room = sizeof(got);
	console = NULL;
	return loop_create(&loop);
}

/* The console that was made gets its UART. */
static inline void bench_connect(void)
{
	chardev = console_chardev(console);
	chardev->client = &client;
	chardev->ops->resume(chardev);
}

static inline void bench_stop(struct loop_task *task)
{
	loop_stop(loop);
}

static inline void bench_time_is_up(struct loop_timer *timer)
{
	static struct loop_task last = { .run = bench_stop };

	loop_post(loop, &last); /* behind all that was posted, however late it is */
}

/* Serves the loop for so long, and all that was posted before. */
static inline void run(unsigned ms)
{
	static struct loop_timer timer = { .fired = bench_time_is_up };

	loop_timer_arm(loop, &timer, ms);
	assert_int_equal(loop_run(loop), 0);
}

#define UNTIL(condition)                                                                           \
	for (uint64_t until_ = loop_now_ms() + PATIENCE_MS; !(condition); run(1))                  \
	assert_true(loop_now_ms() < until_)

static inline void assert_got(const char *text, size_t len)
{
	UNTIL(got_len >= len);
	assert_int_equal(got_len, len);
	assert_memory_equal(got, text, len);
	got_len = 0;
}

static inline size_t say(const char *text)
{
	return chardev->ops->write(chardev, (const uint8_t *)text, strlen(text));
}

/* Reads once there is something, or the end. */
static inline ssize_t take_some(int fd, char *buf, size_t size)
{
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	UNTIL((n = read(fd, buf, size)) >= 0 || errno != EAGAIN);
	return n;
}

static inline void take(int fd, char *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = take_some(fd, buf + done, len - done);

		assert_true(n > 0);
		done += n;
	}
}

/* This, and no more. */
static inline void assert_said(int fd, const char *text)
{
	char buf[4096];

	take(fd, buf, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
	assert_int_equal(read(fd, buf, 1), -1);
	assert_int_equal(errno, EAGAIN);
}

/* CPU time that serving the loop for 200 ms takes: little, unless something spins. */
static inline void assert_idle(void)
{
	struct timespec from, to;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	run(200);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_in_range(
		(to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000, 0, 60);
}

#endif
