/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of a vCPU: what it does with each result of KVM_RUN, how it is parked, held after an event
 * and run again, and what it has of signals and of the host's CPUs. The guest is a script.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/helpers/vcpu-bench.h"

static struct step {
	int result;
	uint32_t reason, type; /* that KVM_RUN leaves; of a system event */
	bool change;	       /* the map changes meanwhile */
} const *step;
static unsigned steps; /* made */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned events, entered;
static enum vcpus_event event;
static char text[256];
static bool kicked;	     /* a signal came, after immediate_exit was set */
static bool knew_generation; /* at each entry, the vCPU had the map's */
static sigset_t blocked;
static cpu_set_t cpus;
static int policy;

static struct vcpus *vcpus;

static void report(void *opaque, enum vcpus_event what, const char *why)
{
	pthread_mutex_lock(&lock);
	events++;
	event = what;
	snprintf(text, sizeof(text), "%s", why);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void count_entry(void)
{
	pthread_mutex_lock(&lock);
	entered++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* At most two minutes; ends as soon as there are so many. */
static void wait_for(const unsigned *count, unsigned least)
{
	struct timespec deadline;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 120;
	pthread_mutex_lock(&lock);
	while (*count < least && !err)
		err = pthread_cond_timedwait(&changed, &lock, &deadline);
	pthread_mutex_unlock(&lock);
	assert_int_equal(err, 0);
}

static int play(void)
{
	const struct step *now = &step[steps++];
	struct sched_param param;

	knew_generation &= vcpus->vcpu[0].generation == atomic_load(&bench.slots.generation);
	if (now->change)
		atomic_fetch_add(&bench.slots.generation, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	pthread_getschedparam(pthread_self(), &policy, &param);
	fake_vcpu.run.exit_reason = now->reason;
	fake_vcpu.run.system_event.type = now->type;
	return now->result;
}

/* A guest that goes on until the vCPU is kicked, for ten seconds at most. */
static int spin(void)
{
	const struct timespec most = { .tv_sec = 10 };
	sigset_t before, none;
	int result;

	sigemptyset(&none);
	sigaddset(&none, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &none, &before);
	sigdelset(&before, SIGUSR1);
	count_entry();
	result = ppoll(NULL, 0, &most, &before);
	kicked = result < 0 && errno == EINTR &&
		 __atomic_load_n(&fake_vcpu.run.immediate_exit, __ATOMIC_SEQ_CST);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -EINTR;
}

static int create(const struct vcpu_config *config)
{
	struct vcpus_config all = bench.vcpus->config;
	int err;

	all.vcpu = config;
	all.event = report;
	steps = events = entered = 0;
	kicked = false;
	knew_generation = true;
	err = vcpus_create(&all, &vcpus);
	if (err)
		return err;
	vcpus->vcpu[0].fd = FAKE_VCPU_FD;
	vcpus->vcpu[0].run = &fake_vcpu.run;
	return 0;
}

static void begin(const struct step *script)
{
	static const struct vcpu_config config = { 0 };

	bench_begin(false, STRAY_ABORT);
	step = script;
	fake_vcpu.enter = script ? play : spin;
	assert_int_equal(create(&config), 0);
}

static void end(void)
{
	vcpus->vcpu[0].fd = -1;
	vcpus->vcpu[0].run = NULL;
	vcpus_destroy(vcpus);
	bench_end();
}

#define POWER_OFF                                                                                  \
	{                                                                                          \
		0, KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_SHUTDOWN                                \
	}

/* What interrupts KVM_RUN leaves no reason to heed. */
static void interrupted_it_enters_again(void **state)
{
	static const struct step script[] = {
		{ -EINTR, KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET },
		{ -EAGAIN, KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET },
		{ 0, KVM_EXIT_INTR, 0, true },
		{ -EFAULT, KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET,
			true }, /* explained by the change */
		POWER_OFF,
	};

	begin(script);
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	assert_int_equal(steps, 5);
	assert_int_equal(events, 1);
	assert_int_equal(event, VCPUS_POWER_OFF);
	assert_true(knew_generation);
	end();
}

static void other_errors_are_reported(void **state)
{
	static const struct step script[] = { { -ENOEXEC, KVM_EXIT_SYSTEM_EVENT,
		KVM_SYSTEM_EVENT_RESET } };

	begin(script);
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	assert_int_equal(event, VCPUS_ERROR);
	assert_string_equal(text, "vCPU 0: KVM_RUN: Exec format error");
	end();
}

/* Whatever goes well between two faults ends the row in which they are counted. */
static void tries_are_counted_in_a_row(void **state)
{
	enum { RETRIES = 100 };
	static struct step script[2 * RETRIES + 2];

	for (unsigned i = 0; i < 2 * RETRIES; i++)
		script[i + i / RETRIES] = (struct step){ -EFAULT };
	script[RETRIES] = (struct step){ 0, KVM_EXIT_INTR };
	script[2 * RETRIES + 1] = (struct step)POWER_OFF;
	begin(script);
	fake_vcpu.far = RAM_GPA;
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	assert_int_equal(event, VCPUS_POWER_OFF);
	assert_int_equal(steps, 2 * RETRIES + 2);
	end();
}

/* After an event it waits, and is run again only once it was parked. */
static void held_until_it_is_run_again(void **state)
{
	static const struct step script[] = { POWER_OFF,
		{ 0, KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET } };

	begin(script);
	vcpus_run(vcpus);
	wait_for(&events, 1);
	assert_int_equal(steps, 1);
	vcpus_park(vcpus);
	vcpus_park(vcpus); /* harmless twice */
	assert_int_equal(steps, 1);
	vcpus_run(vcpus);
	wait_for(&events, 2);
	vcpus_park(vcpus);
	assert_int_equal(steps, 2);
	assert_int_equal(event, VCPUS_RESET);
	end();
}

/* The counter is set to what it was; KVM may refuse both. */
static void time_is_put_back(void **state)
{
	uint64_t count = 7;

	begin(NULL);
	fake_vcpu_set(REG_TIMER_COUNT, 1000);
	assert_int_equal(vcpus_get_time(vcpus, &count), 0);
	assert_int_equal(count, 1000);
	assert_int_equal(vcpus_set_time(vcpus, 900), 0);
	assert_int_equal(fake_vcpu_get(REG_TIMER_COUNT), 900);
	fake_vcpu.calls = 0;
	fake_vcpu.fail_at = 1;
	assert_true(vcpus_get_time(vcpus, &count) < 0);
	assert_int_equal(count, 1000);
	fake_vcpu.calls = 0;
	assert_true(vcpus_set_time(vcpus, 1) < 0);
	fake_vcpu.fail_at = 0;
	assert_int_equal(fake_vcpu_get(REG_TIMER_COUNT), 900);
	end();
}

/* A guest that never exits is kicked, by flag and signal, and enters again without the flag. */
static void parked_by_a_kick(void **state)
{
	begin(NULL);
	for (unsigned i = 1; i <= 3; i++) {
		vcpus_run(vcpus);
		wait_for(&entered, i);
		vcpus_park(vcpus);
		assert_true(kicked);
		assert_int_equal(entered, i);
	}
	assert_int_equal(events, 0);
	end();
}

/* Signals of the process are the loop's; a fault of ours has its handler. */
static void a_thread_takes_few_signals(void **state)
{
	static const struct step script[] = { POWER_OFF };
	static const int others[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGWINCH, SIGUSR2,
		SIGALRM };
	static const int taken[] = { SIGUSR1, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS,
		SIGABRT };

	begin(script);
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(sigismember(&blocked, others[i]), 1);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		assert_int_equal(sigismember(&blocked, taken[i]), 0);
	end();
}

/* On the host's CPUs that it is given, and with the priority, where this process may have it. */
static void a_thread_runs_where_it_should(void **state)
{
	static const struct step script[] = { POWER_OFF, POWER_OFF };
	struct vcpu_config config = { 0 };
	cpu_set_t all;
	int cpu = CPU_SETSIZE - 1, err;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu--;
	CPU_SET(cpu, &config.host_cpus);
	bench_begin(false, STRAY_ABORT);
	step = script;
	fake_vcpu.enter = play;
	assert_int_equal(create(&config), 0);
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	assert_true(CPU_EQUAL(&cpus, &config.host_cpus));
	assert_int_equal(policy, SCHED_OTHER);
	end();

	config.rt_priority = 1;
	bench_begin(false, STRAY_ABORT);
	fake_vcpu.enter = play;
	err = create(&config);
	if (err) {
		assert_int_equal(err, -EPERM);
		bench_end();
		return;
	}
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	assert_int_equal(policy, SCHED_FIFO);
	end();
}

/* ---- SYSTEM_SUSPEND, of the first of two ---- */

#define SUSPEND                                                                                    \
	{                                                                                          \
		0, KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_SUSPEND                                 \
	}

static unsigned others; /* entries of the second */
static bool other_powers_off;

static int enter_other(void)
{
	pthread_mutex_lock(&lock);
	others++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	if (other_powers_off) {
		fake_vcpu.other_run.exit_reason = KVM_EXIT_SYSTEM_EVENT;
		fake_vcpu.other_run.system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
		return 0;
	}
	while (!__atomic_load_n(&fake_vcpu.other_run.immediate_exit, __ATOMIC_SEQ_CST))
		usleep(1000); /* until it is kicked */
	return -EINTR;
}

static void begin_two(const struct step *script, uint32_t other_mp_state)
{
	static const struct vcpu_config configs[2] = { { 0 }, { .mpidr = 1 } };

	bench_begin(false, STRAY_ABORT);
	step = script;
	fake_vcpu.enter = play;
	fake_vcpu.enter_other = enter_other;
	fake_vcpu.other_mp_state = other_mp_state;
	fake_vcpu_set(REG_X0, 1);
	fake_vcpu_set(REG_X1, RAM_GPA + 8);
	fake_vcpu_set(REG_X2, 5);
	others = 0;
	other_powers_off = false;
	bench.vcpus->config.count = 2;
	assert_int_equal(create(configs), 0);
	vcpus->vcpu[1].fd = FAKE_OTHER_FD;
	vcpus->vcpu[1].run = &fake_vcpu.other_run;
}

static void end_two(void)
{
	vcpus->vcpu[1].fd = -1;
	vcpus->vcpu[1].run = NULL;
	end();
}

/* All are parked for the answer, without the loop, and go on. */
static void a_vcpu_that_asks_to_suspend_is_answered(void **state)
{
	static const struct step script[] = { SUSPEND, POWER_OFF };
	static const uint32_t states[] = { KVM_MP_STATE_STOPPED, KVM_MP_STATE_RUNNABLE };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		bool sleeps = states[i] == KVM_MP_STATE_STOPPED;

		begin_two(script, states[i]);
		vcpus_run(vcpus);
		wait_for(&events, 1);
		assert_int_equal(event, VCPUS_POWER_OFF);
		assert_int_equal(steps, 2);
		assert_int_equal(fake_vcpu.initialised, sleeps);
		assert_int_equal(fake_vcpu_get(REG_X0), sleeps ? 5 : (uint64_t)-3);
		assert_int_equal(fake_vcpu.mp_state, sleeps ? KVM_MP_STATE_SUSPENDED : 0);
		wait_for(&others, 1);
		vcpus_park(vcpus);
		end_two();
	}
}

/* A vCPU that is held for its event stays held, though others are parked and run on. */
static void an_answer_lets_nobody_else_go(void **state)
{
	/* The last, if it comes to it, when the loop has let all go. */
	static const struct step script[] = { SUSPEND, SUSPEND, SUSPEND, POWER_OFF, POWER_OFF };

	begin_two(script, KVM_MP_STATE_RUNNABLE);
	other_powers_off = true;
	vcpus_run(vcpus);
	wait_for(&events, 2);
	assert_int_equal(steps, 4);
	assert_int_equal(others, 1);
	vcpus_park(vcpus);
	assert_int_equal(others, 1);
	vcpus_run(vcpus);
	wait_for(&others, 2);
	vcpus_park(vcpus);
	end_two();
}

static void park_for_the_loop(void)
{
	pthread_mutex_lock(&vcpus->lock);
	vcpus->by_loop = true;
	pthread_mutex_unlock(&vcpus->lock);
}

/* What the loop wants parked stays parked; the answer comes when it lets them run. */
static void the_loop_has_precedence(void **state)
{
	static const struct step script[] = { SUSPEND, POWER_OFF };

	begin_two(script, KVM_MP_STATE_STOPPED);
	vcpus_run(vcpus);
	park_for_the_loop(); /* whether or not it has asked by now, or been answered */
	vcpus_park(vcpus);
	assert_in_range(steps, 0, 2);
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	assert_int_equal(steps, 2);
	assert_int_equal(fake_vcpu.mp_state, KVM_MP_STATE_SUSPENDED);
	end_two();
}

/* KVM refuses: the machine's end, reported by the vCPU. */
static void an_answer_that_fails(void **state)
{
	static const struct step script[] = { SUSPEND, POWER_OFF };

	begin_two(script, KVM_MP_STATE_STOPPED);
	fake_vcpu.fail_at = 3; /* after x1, and the state of the other */
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	assert_int_equal(steps, 1);
	assert_int_equal(event, VCPUS_ERROR);
	assert_string_equal(text, "vCPU 0: cannot suspend: Input/output error");
	end_two();
	/* It was made with other features than it asks for. */
	begin_two(script, KVM_MP_STATE_STOPPED);
	fake_vcpu.made.features[0] = 1;
	vcpus_run(vcpus);
	wait_for(&events, 1);
	vcpus_park(vcpus);
	assert_int_equal(steps, 1);
	assert_int_equal(event, VCPUS_ERROR);
	assert_string_equal(text, "vCPU 0: cannot suspend: Invalid argument");
	end_two();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interrupted_it_enters_again),
		cmocka_unit_test(other_errors_are_reported),
		cmocka_unit_test(tries_are_counted_in_a_row),
		cmocka_unit_test(held_until_it_is_run_again),
		cmocka_unit_test(time_is_put_back),
		cmocka_unit_test(parked_by_a_kick),
		cmocka_unit_test(a_vcpu_that_asks_to_suspend_is_answered),
		cmocka_unit_test(an_answer_lets_nobody_else_go),
		cmocka_unit_test(the_loop_has_precedence),
		cmocka_unit_test(an_answer_that_fails),
		cmocka_unit_test(a_thread_takes_few_signals),
		cmocka_unit_test(a_thread_runs_where_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
