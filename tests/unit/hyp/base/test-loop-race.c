/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What any thread may call of hyp/: tasks are posted, lines are logged and stray accesses are reported from
 * several at once. What would be lost without the locks tests them, and ThreadSanitizer.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/vcpu/stray.h"
#include "tests/unit/helpers/unit.h"

#define PATIENCE_MS 120000
#define THREADS	    3
#define ROUNDS	    2000

static struct loop *loop;
static atomic_uint running; /* threads that have not ended */
static atomic_bool lost;

static int set_up(void **state)
{
	atomic_store(&lost, false);
	atomic_store(&running, THREADS);
	return loop_create(&loop);
}

static int tear_down(void **state)
{
	loop_destroy(loop);
	return 0;
}

static void thread_ends(void)
{
	if (atomic_fetch_sub(&running, 1) == 1)
		loop_stop(loop);
}

/* Serves the loop while so many threads run it. */
static void serve_threads(void *(*run)(void *), void *opaque, size_t bytes)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, run, (char *)opaque + i * bytes), 0);
	assert_int_equal(loop_run(loop), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

struct counted {
	struct loop_task task;
	atomic_uint runs;
	struct loop_task spare; /* posted each time as well, and cancelled */
};

struct poster {
	struct counted mine[4];
};

static void count_run(struct loop_task *task)
{
	struct counted *one = container_of(task, struct counted, task);

	loop_task_cancel(loop, &one->spare);
	atomic_fetch_add(&one->runs, 1);
}

static void nothing(struct loop_task *task)
{
}

static void *post(void *opaque)
{
	struct poster *poster = opaque;
	uint64_t until = loop_now_ms() + PATIENCE_MS;

	for (unsigned round = 1; round <= ROUNDS && !atomic_load(&lost); round++) {
		for (size_t i = 0; i < ARRAY_SIZE(poster->mine); i++) {
			loop_post(loop, &poster->mine[i].task);
			loop_post(loop, &poster->mine[i].spare);
		}
		for (size_t i = 0; i < ARRAY_SIZE(poster->mine); i++)
			while (atomic_load(&poster->mine[i].runs) != round && !atomic_load(&lost)) {
				if (loop_now_ms() > until)
					atomic_store(&lost, true);
				sched_yield();
			}
	}
	thread_ends();
	return NULL;
}

/* Each task runs once for each time that it was posted, since its owner waits for it. */
static void no_task_is_lost(void **state)
{
	struct poster posters[THREADS] = { 0 };

	for (unsigned i = 0; i < THREADS; i++)
		for (size_t t = 0; t < ARRAY_SIZE(posters[i].mine); t++) {
			posters[i].mine[t].task.run = count_run;
			posters[i].mine[t].spare.run = nothing;
		}
	serve_threads(post, posters, sizeof(posters[0]));
	for (unsigned i = 0; i < THREADS; i++)
		for (size_t t = 0; t < ARRAY_SIZE(posters[i].mine); t++)
			loop_task_cancel(loop, &posters[i].mine[t].spare);
	assert_false(atomic_load(&lost));
}

/* --- the log --- */

static atomic_uint inside[2], lines; /* of either sink */
static atomic_bool mixed;

/* Long enough for another to come in. */
static void take_line(unsigned sink, enum log_level level, const char *line)
{
	if (atomic_fetch_add(&inside[sink], 1) || atomic_load(&inside[!sink]))
		atomic_store(&mixed, true);
	sched_yield();
	if (level != LOG_INFO || strspn(line, (char[]){ line[0], 0 }) != 100)
		atomic_store(&mixed, true);
	atomic_fetch_add(&lines, 1);
	atomic_fetch_sub(&inside[sink], 1);
}

static void first_sink(enum log_level level, const char *line)
{
	take_line(0, level, line);
}

static void second_sink(enum log_level level, const char *line)
{
	take_line(1, level, line);
}

static void *print(void *opaque)
{
	const char *digit = opaque;
	char text[101] = "";

	memset(text, *digit, 100);
	for (unsigned i = 0; i < ROUNDS; i++)
		log_print(LOG_INFO, "%s", text);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* And once another sink is set, nothing is in the one before, nor comes there. */
static void lines_come_one_at_a_time(void **state)
{
	char digits[THREADS] = { '1', '2', '3' };
	pthread_t threads[THREADS];

	atomic_store(&lines, 0);
	atomic_store(&mixed, false);
	log_set_sink(first_sink);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, print, &digits[i]), 0);
	for (unsigned i = 0; atomic_load(&running); i++) {
		log_set_sink(i % 2 ? first_sink : second_sink);
		if (atomic_load(&inside[i % 2]))
			atomic_store(&mixed, true);
		sched_yield();
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_set_sink(NULL);
	assert_false(atomic_load(&mixed));
	assert_int_equal(atomic_load(&lines), THREADS * ROUNDS);
}

/* All that comes within ten seconds, from whichever thread, is one budget. */
static struct log_limit limit = LOG_LIMIT(5);

static void count_line(enum log_level level, const char *line)
{
	atomic_fetch_add(&lines, 1);
}

static void *print_limited(void *opaque)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		log_limited(&limit, LOG_WARNING, "again");
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void threads_share_a_limit(void **state)
{
	pthread_t threads[THREADS];

	atomic_store(&lines, 0);
	log_set_sink(count_line);
	log_limited(&limit, LOG_WARNING, "the first");
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, print_limited, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_set_sink(NULL);
	assert_int_equal(atomic_load(&lines), 5);
	assert_int_equal(limit.dropped, THREADS * ROUNDS + 1 - 5);
}

/* --- stray accesses --- */

static struct strays strays;
static uint64_t reported;
static bool torn;

/* Of one access: each field says the same of it. */
static void watch(void *opaque, const struct stray *latest, uint64_t count)
{
	reported += count;
	torn |= latest->gpa != latest->vcpu * 0x1000 || latest->where != latest->vcpu % 3;
}

static void *stray(void *opaque)
{
	const unsigned *vcpu = opaque;

	for (unsigned i = 0; i < ROUNDS; i++) {
		const struct stray one = { .vcpu = *vcpu,
			.gpa = *vcpu * 0x1000,
			.kind = STRAY_STORE,
			.where = *vcpu % 3 };

		strays_add(&strays, &one);
		if (i % 64 == 0)
			usleep(100);
	}
	thread_ends();
	return NULL;
}

static void stray_accesses_of_several_vcpus(void **state)
{
	unsigned vcpus[THREADS] = { 1, 2, 3 };

	reported = 0;
	torn = false;
	strays_init(&strays, STRAY_ABORT, loop);
	strays_watch(&strays, watch, NULL);
	serve_threads(stray, vcpus, sizeof(vcpus[0]));
	assert_int_equal(strays_total(&strays), THREADS * ROUNDS);
	assert_false(torn);
	assert_true(reported);
	strays_finish(&strays);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(no_task_is_lost),
		T(lines_come_one_at_a_time),
		T(threads_share_a_limit),
		T(stray_accesses_of_several_vcpus),
	};

	return cmocka_run_group_tests_name("loop-race", tests, NULL, NULL);
}
