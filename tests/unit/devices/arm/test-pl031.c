/* SPDX-License-Identifier: Apache-2.0 */
/* The clock, driven as Linux' rtc-pl031 drives it. */
#include "tests/unit/helpers/pl0xx.h"

#include "devices/arm/pl031.h"
#include "tests/unit/helpers/fake-clock.h"
#include "tests/unit/helpers/fake-loop.h"

enum { DR = 0, MR = 4, LR = 8, CR = 0xc, IMSC = 0x10, RIS = 0x14, MIS = 0x18, ICR = 0x1c };

static struct bench b;

static int setup(void **state)
{
	/* In the middle of a second, two hours before the count of seconds takes more than 31 bits. */
	fake_clock_epoch_ms = ((UINT64_C(1) << 31) - 7200) * 1000 + 500 - loop_now_ms();
	bench_start(&b, &pl031_class, NULL);
	return 0;
}

static int teardown(void **state)
{
	bench_end(&b);
	return fake_loop_timers() + fake_loop_run_tasks();
}

static void host_time(void **state)
{
	check_ids(&b, 0x00041031);
	assert_int_equal(get(&b, DR), fake_clock_s());
	assert_int_equal(get(&b, CR), 1);
	put(&b, CR, 0);
	assert_int_equal(get(&b, CR), 1);
	put(&b, DR, 5);
	assert_int_equal(get(&b, DR), fake_clock_s());
	assert_false(b.level);
}

static void load(void **state)
{
	put(&b, LR, 1000);
	assert_int_equal(get(&b, LR), 1000);
	assert_int_equal(get(&b, DR), 1000);
	b.device->class->reset(b.device);
	assert_int_equal(get(&b, DR), fake_clock_s());
	assert_int_equal(get(&b, LR), 0);
	put(&b, MR, 7);
	b.device->class->reset(b.device);
	assert_int_equal(get(&b, MR), 0);
}

/* At the beginning of its second, once. */
static void match_next(void **state)
{
	put(&b, IMSC, 1);
	put(&b, LR, UINT32_MAX - 100);
	put(&b, MR, get(&b, DR) + 1);
	bench_run(&b, 499);
	assert_int_equal(get(&b, RIS), 0);
	bench_run(&b, 1);
	assert_int_equal(get(&b, RIS), 1);
	assert_int_equal(get(&b, MIS), 1);
	assert_true(b.level);
	put(&b, ICR, 1);
	assert_false(b.level);
	assert_int_equal(get(&b, RIS), 0);
	bench_run(&b, 200000);
	assert_int_equal(get(&b, RIS), 0);
}

static void match_later(void **state)
{
	put(&b, LR, UINT32_MAX); /* the match is behind the wrap */
	put(&b, MR, 1);
	bench_run(&b, 1499);
	assert_int_equal(get(&b, RIS), 0);
	bench_run(&b, 1);
	assert_int_equal(get(&b, DR), 1);
	assert_int_equal(get(&b, RIS), 1);
	assert_int_equal(get(&b, MIS), 0);
	assert_false(b.level);
	put(&b, IMSC, 3);
	assert_int_equal(get(&b, IMSC), 1);
	assert_true(b.level);
}

/* A match in this second is one now. */
static void match_now(void **state)
{
	put(&b, IMSC, 1);
	put(&b, MR, get(&b, DR));
	bench_run(&b, 0);
	assert_true(b.level);
}

/* The host's clock is read every minute: one that is set ahead, or has slept, is noticed by then. */
static void the_host_s_clock_is_set(void **state)
{
	put(&b, IMSC, 1);
	put(&b, MR, get(&b, DR) + 3600);
	bench_run(&b, 10);
	fake_clock_epoch_ms += 3600 * 1000;
	bench_run(&b, 59989);
	assert_false(b.level);
	bench_run(&b, 1);
	assert_true(b.level);
	/* One that is set back makes up none, and the match is when it says so. */
	put(&b, ICR, 1);
	put(&b, MR, get(&b, DR) + 1);
	fake_clock_epoch_ms -= 1000000;
	bench_run(&b, 1000);
	assert_false(b.level);
	bench_run(&b, 1000000);
	assert_true(b.level);
}

/* To load another time is no alarm where none is set. */
static void no_alarm_of_its_own(void **state)
{
	put(&b, IMSC, 1);
	put(&b, LR, 0); /* where RTCMR is */
	bench_run(&b, 2000);
	assert_false(b.level);
	put(&b, MR, 10);
	bench_run(&b, 10000);
	put(&b, ICR, 1);
	put(&b, LR, 11); /* past it */
	bench_run(&b, 5000);
	assert_false(b.level);
}

/* What it has posted to the loop goes with it (teardown() checks). */
static void destroyed_with_a_posted_task(void **state)
{
	put(&b, MR, 1);
	device_destroy(b.device);
	b.device = NULL;
	assert_int_equal(fake_loop_run_tasks(), 0);
}

static void moved_away(void **state)
{
	put(&b, IMSC, 1);
	put(&b, LR, 500);
	put(&b, MR, 502);
	put(&b, LR, 100); /* now 402 s to go */
	bench_run(&b, 2100);
	assert_false(b.level);
	put(&b, LR, 502); /* loaded right upon it */
	bench_run(&b, 20);
	assert_true(b.level);
}

static void behind(void **state)
{
	put(&b, IMSC, 1);
	put(&b, MR, get(&b, DR) - 1); /* 136 years to go */
	bench_run(&b, 50);
	assert_false(b.level);
}

/* DDI 0224, 2.1: it interrupts whenever the count comes to RTCMR, also once more after the clock was set back. */
static void ddi0224_2_1_set_back_after_a_match(void **state)
{
	put(&b, IMSC, 1);
	put(&b, LR, 1000);
	put(&b, MR, 1002);
	bench_run(&b, 2000);
	assert_true(b.level);
	put(&b, ICR, 1);
	put(&b, LR, 1000);
	bench_run(&b, 1000);
	assert_false(b.level);
	bench_run(&b, 1000);
	assert_true(b.level);
}

static void reset_drops_alarm(void **state)
{
	put(&b, IMSC, 1);
	put(&b, MR, get(&b, DR));
	b.device->class->reset(b.device); /* with the task still waiting */
	bench_run(&b, 30);
	assert_int_equal(get(&b, RIS), 0);
	assert_false(b.level);
}

static void every_offset(void **state)
{
	check_every_offset(&b);
	bench_run(&b, 20);
	check_ids(&b, 0x00041031);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(host_time),
		T(load),
		T(match_next),
		T(match_later),
		T(match_now),
		T(the_host_s_clock_is_set),
		T(no_alarm_of_its_own),
		T(destroyed_with_a_posted_task),
		T(moved_away),
		T(behind),
		T(ddi0224_2_1_set_back_after_a_match),
		T(reset_drops_alarm),
		T(every_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
