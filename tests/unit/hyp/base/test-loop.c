/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop (descriptors, timers, tasks), the log's limit, and the MMIO bus. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/mmio.h"
#include "tests/unit/helpers/unit.h"

static struct loop *loop;
static char order[64];

static void note(char c)
{
	order[strlen(order)] = c;
}

static int set_up(void **state)
{
	(void)state;
	memset(order, 0, sizeof(order));
	return loop_create(&loop);
}

static int tear_down(void **state)
{
	(void)state;
	loop_destroy(loop);
	return 0;
}

struct named_timer {
	struct loop_timer timer;
	char name;
};

static void timer_fired(struct loop_timer *timer)
{
	note(container_of(timer, struct named_timer, timer)->name);
}

static void timer_stops(struct loop_timer *timer)
{
	(void)timer;
	loop_stop(loop);
}

static void timers_fire_in_order(void **state)
{
	struct named_timer a = { { .fired = timer_fired }, 'a' },
			   b = { { .fired = timer_fired }, 'b' },
			   c = { { .fired = timer_fired }, 'c' },
			   d = { { .fired = timer_fired }, 'd' };
	struct loop_timer stop = { .fired = timer_stops };

	(void)state;
	loop_timer_arm(loop, &c.timer, 30);
	loop_timer_arm(loop, &a.timer, 10);
	loop_timer_arm(loop, &b.timer, 5);
	loop_timer_arm(loop, &b.timer, 20); /* moved */
	loop_timer_arm(loop, &d.timer, 15);
	loop_timer_cancel(&d.timer);
	loop_timer_cancel(&d.timer);
	loop_timer_arm(loop, &stop, 40);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abc");
	assert_null(a.timer.loop);
}

struct counted_task {
	struct loop_task task;
	unsigned runs;
};

static void task_run(struct loop_task *task)
{
	container_of(task, struct counted_task, task)->runs++;
}

static void task_stops(struct loop_task *task)
{
	(void)task;
	loop_stop(loop);
}

static void *post_many(void *opaque)
{
	struct counted_task *task = opaque;

	for (int i = 0; i < 1000; i++)
		loop_post(loop, &task->task);
	return NULL;
}

static void tasks_come_from_any_thread(void **state)
{
	struct counted_task task = { .task.run = task_run };
	struct loop_timer stop = { .fired = timer_stops };
	struct loop_task last = { .run = task_stops };
	pthread_t thread;

	(void)state;
	loop_post(loop, &task.task);
	loop_post(loop, &task.task); /* waiting already */
	loop_timer_arm(loop, &stop, 20);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(task.runs, 1);

	pthread_create(&thread, NULL, post_many, &task);
	loop_timer_arm(loop, &stop, 200);
	assert_int_equal(loop_run(loop), 0);
	pthread_join(thread, NULL);
	loop_post(loop, &last); /* behind what the thread has posted */
	assert_int_equal(loop_run(loop), 0);
	assert_in_range(task.runs, 2, 1001);
}

static struct loop_fd other;

static void fd_ready(struct loop_fd *watch, uint32_t events)
{
	char c;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(watch->fd, &c, 1), 1);
	note(c);
	loop_fd_remove(watch); /* removing itself and another inside a handler */
	loop_fd_remove(&other);
	if (c == 'z')
		loop_stop(loop);
}

static void watches_may_go_inside_a_handler(void **state)
{
	struct loop_timer stop = { .fired = timer_stops };
	struct loop_fd watch = { .events = EPOLLIN, .ready = fd_ready };
	int a[2], b[2];

	(void)state;
	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	watch.fd = a[0];
	other = (struct loop_fd){ .fd = b[0], .events = EPOLLIN, .ready = fd_ready };
	assert_int_equal(loop_fd_add(loop, &watch), 0);
	assert_int_equal(loop_fd_add(loop, &other), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "y", 1), 1);
	loop_timer_arm(loop, &stop, 50);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(strlen(order), 1); /* one of the two; the other was removed in time */

	/* Paused and taken up again. */
	assert_int_equal(loop_fd_add(loop, &watch), 0);
	assert_int_equal(loop_fd_set_events(&watch, 0), 0);
	assert_int_equal(write(a[1], "z", 1), 1);
	loop_timer_arm(loop, &stop, 20);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(loop_fd_set_events(&watch, EPOLLIN), 0);
	loop_timer_arm(loop, &stop, 2000);
	assert_int_equal(loop_run(loop), 0);
	assert_non_null(strpbrk(order + 1, "xz")); /* what waited came once it was watched again */
	loop_timer_cancel(&stop);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static unsigned lines;

static void count_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
	lines++;
}

static void a_guest_cannot_flood_the_log(void **state)
{
	struct log_limit limit = LOG_LIMIT(5);

	(void)state;
	lines = 0;
	log_set_sink(count_line);
	for (int i = 0; i < 10000; i++)
		log_limited(&limit, LOG_WARNING, "again %d", i);
	log_set_sink(NULL);
	assert_int_equal(lines, 5);
	assert_int_equal(limit.dropped, 9995);
}

static pthread_mutex_t bus_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mmio_access last;

static void take_access(struct mmio_region *region, struct mmio_access *access)
{
	assert_int_equal(pthread_mutex_trylock(region->lock), EBUSY);
	last = *access;
	if (!access->write)
		access->data = 0x11;
}

static void the_bus_finds_regions(void **state)
{
	struct mmio_region b = {
		.name = "b", .gpa = 0x2000, .size = 0x100, .access = take_access, .lock = &bus_lock
	};
	struct mmio_region a = b, c = b, clash = b, top = b;
	struct mmio_bus bus = { .count = 0 };
	uint64_t data = 0x99;

	(void)state;
	a.gpa = 0x1000;
	c.gpa = 0x2100;
	clash.gpa = 0x20ff;
	top.gpa = UINT64_MAX - 0xff;
	assert_int_equal(mmio_bus_add(&bus, &b), 0);
	assert_int_equal(mmio_bus_add(&bus, &a), 0);
	assert_int_equal(mmio_bus_add(&bus, &c), 0); /* touches b */
	assert_int_equal(mmio_bus_add(&bus, &clash), -EEXIST);
	assert_int_equal(mmio_bus_add(&bus, &top), -EINVAL); /* its end wraps */
	assert_true(mmio_bus_access(&bus, 0x2104, 4, false, &data));
	assert_int_equal(data, 0x11);
	assert_int_equal(last.offset, 4);
	assert_int_equal(last.size, 4);
	data = 7;
	assert_true(mmio_bus_access(&bus, 0x10f8, 8, true, &data));
	assert_true(last.write && last.data == 7 && last.offset == 0xf8);
	assert_false(mmio_bus_access(&bus, 0x10fc, 8, true, &data)); /* across the end */
	assert_false(mmio_bus_access(&bus, 0xfff, 1, false, &data));
	assert_false(mmio_bus_access(&bus, 0x1100, 1, false, &data));
	assert_false(mmio_bus_access(&bus, 0x2200, 1, false, &data));
	assert_false(mmio_bus_access(&bus, UINT64_MAX, 8, false, &data));
	assert_int_equal(data, 7);
}

static void nothing_happens(struct loop_fd *watch, uint32_t events)
{
}

/* Whoever went without taking its task, timer or descriptor out would be called when it is gone. */
static void nothing_is_left_at_its_end(void **state)
{
	static struct counted_task task = { .task.run = task_run };
	static struct loop_timer timer = { .fired = timer_stops };
	static struct loop_fd watch = { .events = EPOLLIN, .ready = nothing_happens };

	for (unsigned left = 0; left < 3; left++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid) {
			struct rlimit none = { 0 };

			setrlimit(RLIMIT_CORE, &none);
			signal(SIGABRT, SIG_DFL);
			watch.fd = eventfd(0, EFD_CLOEXEC);
			if (left == 0)
				loop_post(loop, &task.task);
			else if (left == 1)
				loop_timer_arm(loop, &timer, 1000000);
			else
				loop_fd_add(loop, &watch);
			loop_destroy(loop);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tasks_come_from_any_thread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(watches_may_go_inside_a_handler, set_up, tear_down),
		cmocka_unit_test(a_guest_cannot_flood_the_log),
		cmocka_unit_test(the_bus_finds_regions),
		cmocka_unit_test_setup_teardown(nothing_is_left_at_its_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
