/* SPDX-License-Identifier: Apache-2.0 */
/* The clock, driven as Linux' rtc-pl031 drives it. */
#include "tests/unit/pl0xx.h"

#include <time.h>

#include "devices/pl031.h"

enum { DR = 0, MR = 4, LR = 8, CR = 0xc, IMSC = 0x10, RIS = 0x14, MIS = 0x18, ICR = 0x1c };

static struct bench b;

static int setup(void **state)
{
	bench_start(&b, &pl031_class, NULL);
	return 0;
}

static int teardown(void **state)
{
	bench_end(&b);
	return 0;
}

static void assert_near(uint32_t count, uint32_t expected)
{
	assert_in_range(count, expected, expected + 1);
}

static void host_time(void **state)
{
	check_ids(&b, 0x00041031);
	assert_near(get(&b, DR), time(NULL));
	assert_int_equal(get(&b, CR), 1);
	put(&b, CR, 0);
	assert_int_equal(get(&b, CR), 1);
	put(&b, DR, 5);
	assert_near(get(&b, DR), time(NULL));
	assert_false(b.level);
}

static void load(void **state)
{
	put(&b, LR, 1000);
	assert_int_equal(get(&b, LR), 1000);
	assert_near(get(&b, DR), 1000);
	b.device->class->reset(b.device);
	assert_near(get(&b, DR), time(NULL));
	assert_int_equal(get(&b, LR), 0);
}

static void match_next(void **state)
{
	put(&b, IMSC, 1);
	put(&b, LR, UINT32_MAX - 100);
	put(&b, MR, get(&b, DR) + 1); /* or now, where a second ends between the two */
	bench_run(&b, 1100);
	assert_int_equal(get(&b, RIS), 1);
	assert_int_equal(get(&b, MIS), 1);
	assert_true(b.level);
	put(&b, ICR, 1);
	assert_false(b.level);
	assert_int_equal(get(&b, RIS), 0);
	bench_run(&b, 20);
	assert_int_equal(get(&b, RIS), 0); /* once */
}

static void match_later(void **state)
{
	struct timespec now;

	put(&b, LR, UINT32_MAX); /* the match is behind the wrap */
	put(&b, MR, 1);
	bench_run(&b, 20);
	assert_int_equal(get(&b, RIS), 0);
	bench_run(&b, 2100);
	assert_int_equal(get(&b, RIS), 1);
	assert_int_equal(get(&b, MIS), 0);
	assert_false(b.level);
	put(&b, IMSC, 3);
	assert_int_equal(get(&b, IMSC), 1);
	assert_true(b.level);
	/* at the second, not somewhen in it */
	put(&b, ICR, 1);
	put(&b, MR, get(&b, DR) + 1);
	clock_gettime(CLOCK_REALTIME, &now);
	bench_run(&b, 1000 - now.tv_nsec / 1000000 + 60);
	assert_true(b.level);
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
		T(moved_away),
		T(behind),
		T(reset_drops_alarm),
		T(every_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
