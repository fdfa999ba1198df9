/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of an emulated host (toolchain/hosts/work-clock.c): how much of it passes while a CPU executes, and while all wait.
 * It takes the place of this program's own clock, and WORK_CLOCK in its environment is 5.
 */
#include "toolchain/hosts/work-clock.c"

#include "tests/unit/helpers/unit.h"

#define MS INT64_C(1000000)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t begin = PTHREAD_COND_INITIALIZER;
static bool begun;
static atomic_bool waits, executes, stop;

/* What QEMU asks for the time of its hardware. */
static int64_t emulated(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * (int64_t)SECOND + time.tv_nsec;
}

/* As the thread of an emulated CPU: it waits to be started, executes, and waits again. */
static void *cpu(void *unused)
{
	pthread_mutex_lock(&mutex);
	waits = true;
	while (!begun)
		pthread_cond_wait(&begin, &mutex);
	waits = false;
	pthread_mutex_unlock(&mutex);
	executes = true;
	while (!stop)
		emulated();
	pthread_mutex_lock(&mutex);
	begun = false;
	waits = true;
	while (!begun)
		pthread_cond_wait(&begin, &mutex);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void start_cpus(void)
{
	pthread_mutex_lock(&mutex);
	begun = true;
	pthread_mutex_unlock(&mutex);
	pthread_cond_broadcast(&begin);
}

static void wait_real(int64_t ns)
{
	struct timespec time = { .tv_nsec = ns };

	nanosleep(&time, NULL);
}

/* The CPU's thread is within its wait: it says so with the mutex, which it gives up there. */
static void until_waiting(void)
{
	while (!waits)
		wait_real(MS);
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
}

static void time_goes_with_the_work(void **state)
{
	int64_t since, cpu_since, passed, worked;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, cpu, NULL), 0);
	/* It waits, and time is real: a sleep is at least as long. */
	until_waiting();
	since = emulated();
	wait_real(20 * MS);
	assert_true(emulated() - since >= 20 * MS);
	/* It executes: a fifth of what it and this thread take of a CPU passes, however long that is. */
	start_cpus();
	while (!executes)
		wait_real(MS);
	since = emulated();
	cpu_since = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_since < 200 * MS)
		wait_real(MS);
	worked = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_since;
	passed = emulated() - since;
	if (passed > worked / 4 || passed < worked / 6)
		fail_msg("%lld us passed for %lld us of work", (long long)passed / 1000,
			(long long)worked / 1000);
	/* And waits again. */
	stop = true;
	until_waiting();
	since = emulated();
	wait_real(20 * MS);
	assert_true(emulated() - since >= 20 * MS);
	start_cpus();
	pthread_join(thread, NULL);
}

static atomic_bool went_back;

static void *read_often(void *unused)
{
	int64_t last = 0;

	for (unsigned i = 0; i < 300000; i++) {
		int64_t now = emulated();

		if (now < last)
			went_back = true;
		last = now;
	}
	return NULL;
}

static void time_never_goes_back(void **state)
{
	pthread_t threads[3];

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_often, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		change_running(i % 2 ? -1 : 1);
		wait_real(MS / 10);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_false(went_back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_goes_with_the_work),
		cmocka_unit_test(time_never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
