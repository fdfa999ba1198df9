/* SPDX-License-Identifier: Apache-2.0 */
/* The GPIO lines, driven as Linux' gpio-pl061 and gpio-keys drive them. */
#include "tests/unit/helpers/pl0xx.h"

#include "devices/arm/pl061.h"

enum {
	DATA = 0,
	DIR = 0x400,
	IS = 0x404,
	IBE = 0x408,
	IEV = 0x40c,
	IE = 0x410,
	RIS = 0x414,
	MIS = 0x418,
	IC = 0x41c,
	AFSEL = 0x420
};

#define LINE	  3
#define BIT	  (1 << LINE)
#define LINE_DATA (DATA + (BIT << 2))

static struct bench b;

static int setup(void **state)
{
	bench_start(&b, &pl061_class, NULL);
	return 0;
}

static int teardown(void **state)
{
	bench_end(&b);
	return 0;
}

static void reset_values(void **state)
{
	check_ids(&b, 0x00041061);
	for (unsigned offset = 0; offset <= AFSEL; offset += 4)
		assert_int_equal(get(&b, offset), 0);
	assert_false(b.level);
}

static void data_masked_by_address(void **state)
{
	put(&b, DIR, 0xf0);
	put(&b, 0x3fc, 0xff);
	assert_int_equal(get(&b, 0x3fc), 0xf0); /* inputs stay what they are */
	put(&b, 0x10 << 2, 0);
	assert_int_equal(get(&b, 0x3fc), 0xe0);
	assert_int_equal(get(&b, 0x60 << 2), 0x60);
	put(&b, 0, 0xff);
	assert_int_equal(get(&b, 0), 0);
	put_sized(&b, 0x80 << 2, 1, 0);
	assert_int_equal(get_sized(&b, 0x3fc, 1), 0x60);
	put(&b, DIR, 0x40);
	assert_int_equal(get(&b, 0x3fc), 0x40);
}

/* gpio-keys: both edges, each acknowledged; one press is one high and one low. */
static void press_both_edges(void **state)
{
	put(&b, IBE, BIT);
	put(&b, IE, BIT);
	pl061_pulse(b.device, LINE);
	assert_true(b.level);
	assert_int_equal(get(&b, MIS), BIT);
	assert_int_equal(get(&b, LINE_DATA), BIT);
	put(&b, IC, BIT);
	assert_false(b.level);
	bench_run(&b, PL061_PULSE_MS / 2);
	assert_false(b.level);
	assert_int_equal(get(&b, LINE_DATA), BIT);
	bench_run(&b, PL061_PULSE_MS * 3 / 4);
	assert_true(b.level);
	assert_int_equal(get(&b, LINE_DATA), 0);
	put(&b, IC, BIT);
	bench_run(&b, PL061_PULSE_MS * 3);
	assert_false(b.level);
	assert_int_equal(get(&b, LINE_DATA), 0);
}

static void press_thrice(void **state)
{
	unsigned rises = 0;

	put(&b, IEV, BIT);
	put(&b, IE, BIT);
	for (int i = 0; i < 3; i++)
		pl061_pulse(b.device, LINE);
	for (int i = 0; i < PL061_PULSE_MS * 8 / 10; i++) {
		if (b.level) {
			rises++;
			assert_int_equal(get(&b, LINE_DATA), BIT);
			put(&b, IC, BIT);
		}
		bench_run(&b, 10);
	}
	assert_int_equal(rises, 3);
	assert_int_equal(get(&b, LINE_DATA), 0);
	pl061_pulse(b.device, LINE);
	assert_true(b.level);
}

/* A guest that takes its time still finds the button pressed; one that never reads it does not hold it. */
static void slow_guest(void **state)
{
	put(&b, IBE, BIT);
	put(&b, IE, BIT);
	pl061_pulse(b.device, LINE);
	put(&b, IC, BIT);
	bench_run(&b, PL061_PULSE_MS * 4);
	assert_false(b.level);
	assert_int_equal(get(&b, LINE_DATA), BIT);
	bench_run(&b, PL061_PULSE_MS * 3 / 2);
	assert_true(b.level);
	assert_int_equal(get(&b, LINE_DATA), 0);
	put(&b, IC, BIT);
	pl061_pulse(b.device, LINE);
	bench_run(&b, PL061_PULSE_MS * (PL061_PULSES_MAX + 2));
	assert_int_equal(get(&b, LINE_DATA), 0);
}

/* A paused guest cannot read the button: however long the pause, the button is found pressed after it. */
static void pressed_in_a_pause(void **state)
{
	for (int before = 0; before < 2; before++) {
		put(&b, IBE, BIT);
		put(&b, IE, BIT);
		if (before)
			pl061_pulse(b.device, LINE);
		b.device->class->pause(b.device, true);
		if (!before)
			pl061_pulse(b.device, LINE);
		bench_run(&b, PL061_PULSE_MS * (PL061_PULSES_MAX + 5));
		b.device->class->pause(b.device, false);
		assert_true(b.level);
		put(&b, IC, BIT);
		bench_run(&b, PL061_PULSE_MS * 4);
		assert_int_equal(get(&b, LINE_DATA), BIT);
		bench_run(&b, PL061_PULSE_MS * 2);
		assert_int_equal(get(&b, LINE_DATA), 0);
		bench_run(&b, PL061_PULSE_MS);
	}
	/* Nor does a reset leave it so. */
	b.device->class->pause(b.device, true);
	b.device->class->reset(b.device);
	put(&b, IBE, BIT);
	put(&b, IE, BIT);
	pl061_pulse(b.device, LINE);
	bench_run(&b, PL061_PULSE_MS * (PL061_PULSES_MAX + 2));
	assert_int_equal(get(&b, LINE_DATA), 0);
}

static void single_edge(void **state)
{
	put(&b, IE, BIT); /* IEV 0: falling */
	pl061_pulse(b.device, LINE);
	assert_false(b.level);
	bench_run(&b, PL061_PULSE_MS * 3 / 2);
	assert_true(b.level);
}

static void masked_edge(void **state)
{
	put(&b, IBE, BIT);
	pl061_pulse(b.device, LINE);
	assert_int_equal(get(&b, RIS), BIT);
	assert_int_equal(get(&b, MIS), 0);
	assert_false(b.level);
	put(&b, IE, BIT);
	assert_true(b.level);
	put(&b, IE, ~BIT);
	assert_false(b.level);
}

static void level(void **state)
{
	put(&b, IS, BIT);
	put(&b, IEV, BIT);
	put(&b, IE, BIT);
	assert_false(b.level);
	pl061_pulse(b.device, LINE);
	assert_true(b.level);
	put(&b, IC, BIT); /* a level lasts as long as the line's does */
	assert_true(b.level);
	assert_int_equal(get(&b, LINE_DATA), BIT);
	put(&b, IEV, 0);
	assert_false(b.level);
	put(&b, IEV, BIT);
	bench_run(&b, PL061_PULSE_MS * 3 / 2);
	assert_false(b.level);
	put(&b, IEV, 0); /* low level */
	assert_true(b.level);
	put(&b, IS, 0);
	assert_false(b.level);
	put(&b, IEV, BIT);
	bench_run(&b, PL061_PULSE_MS); /* the pulse's low half */
	pl061_pulse(b.device, LINE);   /* an edge that waits is none of a level's business */
	assert_true(b.level);
	put(&b, IEV, 0);
	put(&b, IS, BIT);
	assert_false(b.level);
}

/* A line whose level counts has no edges, and shows none when its edges count. */
static void a_level_is_no_edge(void **state)
{
	put(&b, IS, BIT);
	put(&b, IEV, BIT);
	pl061_pulse(b.device, LINE);
	assert_int_equal(get(&b, RIS), BIT);
	put(&b, IS, 0);
	assert_int_equal(get(&b, RIS), 0);
}

/* A driver that was interrupted and never reads the button finds it pressed for so long, and not for longer. */
static void held_for_so_long(void **state)
{
	put(&b, IBE, BIT);
	put(&b, IE, BIT);
	for (int twice = 0; twice < 2; twice++) {
		pl061_pulse(b.device, LINE);
		put(&b, IC, BIT);
		bench_run(&b, PL061_PULSE_MS * PL061_PULSES_MAX - 1);
		assert_false(b.level);
		bench_run(&b, 2);
		assert_true(b.level);
		put(&b, IC, BIT);
		bench_run(&b, PL061_PULSE_MS);
	}
	/* Without an interrupt there is no waiting, though the last press was not read. */
	put(&b, IE, 0);
	pl061_pulse(b.device, LINE);
	bench_run(&b, PL061_PULSE_MS + 1);
	assert_int_equal(get(&b, LINE_DATA), 0);
}

/* A press right behind a reset is a press: it does not wait for the driver of before. */
static void pressed_after_a_reset(void **state)
{
	put(&b, IBE, BIT);
	put(&b, IE, BIT);
	pl061_pulse(b.device, LINE);
	put(&b, AFSEL, 0xff);
	assert_int_equal(get(&b, AFSEL), 0xff);
	b.device->class->reset(b.device);
	assert_int_equal(get(&b, AFSEL), 0);
	pl061_pulse(b.device, LINE);
	bench_run(&b, PL061_PULSE_MS - 1);
	bench_run(&b, 2);
	assert_int_equal(get(&b, LINE_DATA), 0);
	pl061_pulse(b.device, LINE + 1); /* each line has a button of its own */
	assert_int_equal(get(&b, LINE_DATA << 1), BIT << 1);
	b.device->class->reset(b.device);
	pl061_pulse(b.device, LINE + 1);
	assert_int_equal(get(&b, LINE_DATA << 1), BIT << 1);
}

static void outputs_do_not_interrupt(void **state)
{
	put(&b, IBE, BIT);
	put(&b, IE, BIT);
	put(&b, DIR, BIT);
	put(&b, LINE_DATA, BIT);
	pl061_pulse(b.device, LINE);
	assert_int_equal(get(&b, RIS), 0);
	assert_false(b.level);
}

static void reset_in_a_pulse(void **state)
{
	put(&b, IBE, BIT);
	put(&b, IE, BIT);
	pl061_pulse(b.device, LINE);
	pl061_pulse(b.device, LINE);
	b.device->class->reset(b.device);
	assert_false(b.level);
	put(&b, IBE, BIT);
	put(&b, IE, BIT);
	bench_run(&b, PL061_PULSE_MS * 3);
	assert_int_equal(get(&b, RIS), 0);
	pl061_pulse(b.device, LINE);
	assert_true(b.level);
	assert_int_equal(get(&b, LINE_DATA), BIT);
	bench_run(&b, PL061_PULSE_MS * 5 / 2); /* and the press before the reset is forgotten */
	assert_int_equal(get(&b, LINE_DATA), 0);
}

static void every_offset(void **state)
{
	check_every_offset(&b);
	check_ids(&b, 0x00041061);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(reset_values),
		T(data_masked_by_address),
		T(press_both_edges),
		T(press_thrice),
		T(slow_guest), T(pressed_in_a_pause),
		T(single_edge),
		T(masked_edge),
		T(level),
		T(a_level_is_no_edge),
		T(held_for_so_long),
		T(pressed_after_a_reset),
		T(outputs_do_not_interrupt),
		T(reset_in_a_pulse),
		T(every_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
