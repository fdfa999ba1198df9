/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of an emulated host: a library that toolchain/host loads into QEMU. Time passes for the host with what its
 * CPUs execute, one second for WORK_CLOCK (from the environment) seconds of CPU time, and with real time while all of
 * them wait. So a slow or busy machine neither makes the host's timers more of its work nor lets its time run out.
 *
 * QEMU takes the time of emulated hardware from clock_gettime(CLOCK_MONOTONIC). The thread of an emulated CPU that
 * waits for an interrupt is in pthread_cond_wait(), where no other thread but the first is ever.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000
#define SAMPLE 50000 /* ns for which the last sample's rate is taken to go on */

static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_wait)(pthread_cond_t *, pthread_mutex_t *);
static int64_t divisor;
static _Atomic int running; /* CPUs that execute */

/* The last sample: real, CPU and emulated time. Its one writer has the lock, readers check the count. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned writes;
static _Atomic int64_t real_ns, cpu_ns, emulated_ns, rate_divisor;
static _Atomic int64_t shown_ns; /* the last answer: time never decreases */

static int64_t clock_ns(clockid_t clock)
{
	struct timespec time;

	real_gettime(clock, &time);
	return time.tv_sec * (int64_t)SECOND + time.tv_nsec;
}

__attribute__((constructor)) static void work_clock_init(void)
{
	const char *value = getenv("WORK_CLOCK");

	real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	real_wait = dlsym(RTLD_NEXT, "pthread_cond_wait");
	divisor = value ? atoi(value) : 0;
	if (divisor < 1)
		abort();
	unsetenv("LD_PRELOAD"); /* QEMU's own helpers have real time */
	real_ns = emulated_ns = clock_ns(CLOCK_MONOTONIC);
	cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	rate_divisor = 1;
}

/* With the lock: `executed` CPUs executed since the last sample. */
static void sample(int executed)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	int64_t passed = now - real_ns, time, shown = shown_ns;

	if (executed > 0) {
		int64_t each = (cpu - cpu_ns) / executed;

		passed = (each < passed ? each : passed) / divisor;
	}
	time = emulated_ns + passed;
	writes++;
	emulated_ns = time > shown ? time : shown;
	real_ns = now;
	cpu_ns = cpu;
	rate_divisor = running > 0 ? divisor : 1;
	writes++;
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int64_t now, time, shown;
	unsigned count;

	if (clock != CLOCK_MONOTONIC)
		return real_gettime(clock, ret_time);
	now = clock_ns(CLOCK_MONOTONIC);
	if (now - real_ns > SAMPLE && !pthread_mutex_trylock(&lock)) {
		sample(running);
		pthread_mutex_unlock(&lock);
	}
	do {
		count = writes;
		now = clock_ns(CLOCK_MONOTONIC) - real_ns;
		now = now < 0 ? 0 : now > SAMPLE ? SAMPLE : now;
		time = emulated_ns + now / rate_divisor;
	} while (count % 2 != 0 || count != writes);
	shown = shown_ns;
	while (time > shown && !atomic_compare_exchange_weak(&shown_ns, &shown, time))
		;
	time = time > shown ? time : shown;
	ret_time->tv_sec = time / SECOND;
	ret_time->tv_nsec = time % SECOND;
	return 0;
}

static void change_running(int by)
{
	pthread_mutex_lock(&lock);
	running += by;
	sample(running - by);
	pthread_mutex_unlock(&lock);
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
	static _Thread_local bool known;
	int rc;

	if (getpid() == gettid())
		return real_wait(condition, mutex);
	if (known)
		change_running(-1);
	known = true;
	rc = real_wait(condition, mutex);
	change_running(1);
	return rc;
}
