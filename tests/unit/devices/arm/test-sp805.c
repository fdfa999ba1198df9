/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog, driven as Linux' sp805_wdt drives it. */
#include "tests/unit/helpers/pl0xx.h"

#include "devices/arm/sp805.h"
#include "tests/unit/helpers/fake-clock.h"
#include "tests/unit/helpers/fake-loop.h"

enum { LOAD = 0, VALUE = 4, CONTROL = 8, INTCLR = 0xc, RIS = 0x10, MIS = 0x14, LOCK = 0xc00 };

#define UNLOCK 0x1acce551
#define KHZ    24000u /* counts a millisecond */
#define LONG   (60000 * KHZ)

static struct bench b;
static unsigned bites;
static enum watchdog_action last_action;

static void on_bite(struct device *device, enum watchdog_action action, void *opaque)
{
	assert_ptr_equal(device, b.device);
	assert_ptr_equal(opaque, &bites);
	last_action = action;
	bites++;
	loop_stop(b.loop);
}

/* So that a slow machine sees the interrupt before the bite. */
static void on_irq(struct irq_line *line, bool level)
{
	bench_irq_set(line, level);
	if (level)
		loop_stop(b.loop);
}

static int setup(void **state)
{
	static const uint32_t config[4]; /* more than the node's struct: action 0 is "reset" */

	assert_true(sp805_class.config_bytes <= sizeof(config));
	fake_clock_ns = 0;
	bench_start_node(&b, &sp805_class, config, NULL);
	b.irq.set = on_irq;
	bites = 0;
	sp805_class.watchdog(b.device, on_bite, &bites);
	return 0;
}

static int teardown(void **state)
{
	bench_end(&b);
	return fake_loop_timers() + fake_loop_run_tasks();
}

static void arm(uint32_t counts)
{
	put(&b, LOCK, UNLOCK);
	put(&b, LOAD, counts);
	put(&b, INTCLR, 1);
	put(&b, CONTROL, 3);
	put(&b, LOCK, 0);
}

static void at_reset(void **state)
{
	check_ids(&b, 0x00141805);
	assert_int_equal(get(&b, LOAD), UINT32_MAX);
	assert_int_equal(get(&b, VALUE), UINT32_MAX);
	assert_int_equal(get(&b, CONTROL), 0);
	assert_int_equal(get(&b, LOCK), 0);
	put(&b, LOAD, 1); /* does not count before it is enabled */
	bench_run(&b, 30);
	assert_int_equal(get(&b, VALUE), 1);
	assert_int_equal(get(&b, RIS) + bites, 0);
}

static void lock(void **state)
{
	arm(LONG);
	assert_int_equal(get(&b, LOCK), 1);
	put(&b, LOAD, 1);
	put(&b, CONTROL, 0);
	put(&b, INTCLR, 1);
	bench_run(&b, 10);
	put(&b, INTCLR, 1);
	put(&b, CONTROL, 0);
	assert_int_equal(get(&b, VALUE), LONG - 10 * KHZ);
	put(&b, LOCK, UNLOCK + 1);
	put(&b, LOAD, 1);
	assert_int_equal(get(&b, LOAD), LONG);
	assert_int_equal(get(&b, CONTROL), 3);
	put(&b, LOCK, UNLOCK);
	assert_int_equal(get(&b, LOCK), 0);
	put(&b, LOAD, 2 * LONG);
	put(&b, CONTROL, UINT32_MAX);
	assert_int_equal(get(&b, LOAD), 2 * LONG);
	assert_int_equal(get(&b, CONTROL), 3);
}

static void counts_down(void **state)
{
	arm(LONG);
	assert_int_equal(get(&b, VALUE), LONG);
	bench_run(&b, 20);
	assert_int_equal(get(&b, VALUE), LONG - 20 * KHZ);
	fake_clock_ns = 41;
	assert_int_equal(get(&b, VALUE), LONG - 20 * KHZ);
	fake_clock_ns = 42;
	assert_int_equal(get(&b, VALUE), LONG - 20 * KHZ - 1);
	fake_clock_ns = 0;
	put(&b, LOCK, UNLOCK);
	put(&b, CONTROL, 2); /* stays while it is disabled */
	bench_run(&b, 20);
	assert_int_equal(get(&b, VALUE), LONG - 20 * KHZ);
	put(&b, CONTROL, 3); /* and begins anew */
	assert_int_equal(get(&b, VALUE), LONG);
}

/* Writing the value that it has changes nothing, and gives the guest no more time. */
static void control_that_does_not_change(void **state)
{
	arm(LONG);
	put(&b, LOCK, UNLOCK);
	bench_run(&b, 20);
	put(&b, CONTROL, 3);
	assert_int_equal(get(&b, VALUE), LONG - 20 * KHZ);
	put(&b, CONTROL, UINT32_MAX); /* of which two bits are there */
	assert_int_equal(get(&b, VALUE), LONG - 20 * KHZ);
	put(&b, CONTROL, 1);
	assert_int_equal(get(&b, VALUE), LONG);
}

/* At the millisecond after its last count, and not at that; the longest count fits. */
static void ends_of_the_count(void **state)
{
	arm(50 * KHZ);
	bench_run(&b, 50);
	assert_int_equal(get(&b, VALUE), 0);
	fake_clock_ns = 999999; /* the loop has not come to it yet */
	assert_int_equal(get(&b, VALUE), 0);
	fake_clock_ns = 0;
	assert_false(b.level);
	bench_run(&b, 1);
	assert_true(b.level);
	assert_int_equal(get(&b, VALUE), 50 * KHZ);
	bench_run(&b, 50);
	assert_int_equal(bites, 0);
	bench_run(&b, 1);
	assert_int_equal(bites, 1);
	assert_int_equal(get(&b, VALUE), 0);
	arm(UINT32_MAX); /* 178.956970625 s */
	bench_run(&b, 178956);
	assert_int_equal(get(&b, VALUE), UINT32_MAX - 178956 * KHZ);
	assert_int_equal(get(&b, RIS), 0);
	bench_run(&b, 1);
	assert_int_equal(get(&b, RIS), 1);
}

static void interrupt_then_bite(void **state)
{
	arm(50 * KHZ);
	assert_false(b.level);
	bench_run(&b, 60000);
	assert_true(b.level);
	assert_int_equal(get(&b, RIS), 1);
	assert_int_equal(get(&b, MIS), 1);
	assert_int_equal(bites, 0);
	bench_run(&b, 60000);
	assert_int_equal(bites, 1);
	assert_int_equal(last_action, WATCHDOG_RESET);
	assert_int_equal(get(&b, VALUE), 0);
	bench_run(&b, 200); /* once, until it is fed */
	assert_int_equal(bites, 1);
}

/* Each stage has all of its time: it comes late at worst. */
static void not_before_its_time(void **state)
{
	uint64_t begin = loop_now_ms();

	arm(300 * KHZ);
	bench_run(&b, 60000);
	assert_int_equal(loop_now_ms() - begin, 301);
	bench_run(&b, 60000);
	assert_int_equal(bites, 1);
	assert_int_equal(loop_now_ms() - begin, 602);
}

static void fed(void **state)
{
	arm(LONG);
	put(&b, LOCK, UNLOCK);
	bench_run(&b, 500);
	put(&b, INTCLR, 1);
	assert_int_equal(get(&b, VALUE), LONG);
	put(&b, LOAD, 30 * KHZ);
	bench_run(&b, 60000);
	assert_true(b.level);
	put(&b, LOAD, LONG); /* Linux feeds so: then clears */
	put(&b, INTCLR, 1);
	assert_false(b.level);
	bench_run(&b, 100);
	assert_int_equal(get(&b, RIS) + bites, 0);
}

static void interrupt_only(void **state)
{
	put(&b, LOAD, 0);
	put(&b, CONTROL, 1);
	bench_run(&b, 0); /* no time at all is over at once */
	assert_true(b.level);
	bench_run(&b, 50);
	assert_int_equal(bites, 0);
	put(&b, CONTROL, 0); /* masks it */
	assert_false(b.level);
	assert_int_equal(get(&b, RIS), 1);
}

static void stopped(void **state)
{
	arm(20 * KHZ);
	put(&b, LOCK, UNLOCK);
	put(&b, CONTROL, 0);
	bench_run(&b, 100);
	assert_int_equal(get(&b, RIS) + bites, 0);
	arm(20 * KHZ);
	b.device->class->reset(b.device); /* with the task still waiting */
	bench_run(&b, 100);
	assert_int_equal(get(&b, RIS) + bites, 0);
	assert_int_equal(get(&b, LOCK), 0);
	assert_int_equal(get(&b, LOAD), UINT32_MAX);
}

static void stands_still_while_paused(void **state)
{
	uint32_t before;

	arm(LONG);
	bench_run(&b, 100);
	before = get(&b, VALUE);
	b.device->class->pause(b.device, true);
	bench_run(&b, 1000);
	b.device->class->pause(b.device, true); /* which it is already */
	bench_run(&b, 500);
	b.device->class->pause(b.device, false);
	assert_int_equal(get(&b, VALUE), before);
	bench_run(&b, 100);
	b.device->class->pause(b.device, false);
	assert_int_equal(get(&b, VALUE), before - 100 * KHZ);
	arm(50 * KHZ);
	put(&b, LOCK, UNLOCK);
	b.device->class->pause(b.device, true);
	put(&b, LOAD, 50 * KHZ);
	bench_run(&b, 300);
	assert_int_equal(get(&b, RIS), 0);
	b.device->class->pause(b.device, false);
	bench_run(&b, 60000); /* to the interrupt */
	bench_run(&b, 60000);
	assert_int_equal(bites, 1);
}

/* What bites at the end of a pause is not in the midst of the other devices' end of it: it may be another pause. */
static void no_bite_within_the_end_of_a_pause(void **state)
{
	arm(50 * KHZ);
	bench_run(&b, 52); /* to the interrupt */
	fake_clock_ns += 51 * 1000000;
	b.device->class->pause(b.device, true);
	b.device->class->pause(b.device, false);
	assert_int_equal(bites, 0);
	bench_run(&b, 1);
	assert_int_equal(bites, 1);
}

/* A guest that wants nothing but bites gets one a second. */
static void no_flood(void **state)
{
	uint64_t begin = loop_now_ms();

	for (unsigned i = 0; i < 3; i++) {
		arm(0);
		bench_run(&b, 60000); /* to the interrupt */
		bench_run(&b, 60000);
		assert_int_equal(bites, i + 1);
		put(&b, LOCK, UNLOCK);
		put(&b, CONTROL, 0);
	}
	/* 0 ms for the first; then each a second after the one before, as the loop's timers have it. */
	assert_in_range(loop_now_ms() - begin, 2002, 2010);
}

/* After a bite it rests, also when the loop checks it; and to interrupt it waits for nothing. */
static void after_a_bite(void **state)
{
	arm(50 * KHZ);
	bench_run(&b, 60000);
	bench_run(&b, 60000);
	assert_int_equal(bites, 1);
	b.device->class->pause(b.device, true);
	b.device->class->pause(b.device, false);
	bench_run(&b, 3000);
	assert_int_equal(bites, 1);
	arm(50 * KHZ);
	bench_run(&b, 60000);
	arm(50 * KHZ);
	bench_run(&b, 60000);
	bench_run(&b, 60000);
	assert_int_equal(bites, 2);
	arm(50 * KHZ); /* right after it bit */
	assert_false(b.level);
	bench_run(&b, 52);
	assert_true(b.level);
	bench_run(&b, 900);
	assert_int_equal(bites, 2);
	bench_run(&b, 60);
	assert_int_equal(bites, 3);
}

/* Without a bite it stays at its end, and what the guest lets it do without is not made up for. */
static void an_end_without_a_bite(void **state)
{
	put(&b, LOAD, 50 * KHZ);
	put(&b, CONTROL, 1);
	bench_run(&b, 60000); /* to the interrupt */
	bench_run(&b, 100);
	assert_int_equal(get(&b, VALUE), 0);
	assert_int_equal(bites, 0);
	put(&b, INTCLR, 1);
	assert_int_equal(get(&b, VALUE), 50 * KHZ);
	assert_false(b.level);
}

/* A machine that is reset while it is paused runs, and its watchdog counts. */
static void reset_while_paused(void **state)
{
	b.device->class->pause(b.device, true);
	b.device->class->reset(b.device);
	put(&b, LOAD, 50 * KHZ);
	put(&b, CONTROL, 1);
	bench_run(&b, 52);
	assert_true(b.level);
}

/* What it has posted to the loop goes with it (teardown() checks). */
static void destroyed_with_a_posted_task(void **state)
{
	put(&b, LOAD, 1);
	device_destroy(b.device);
	b.device = NULL;
	assert_int_equal(fake_loop_run_tasks(), 0);
}

/* The names that a node may have, in the order of the enum. */
static void actions(void **state)
{
	const struct property *property = sp805_class.properties;

	assert_string_equal(property->name, "action");
	assert_string_equal(property->choices[WATCHDOG_RESET], "reset");
	assert_string_equal(property->choices[WATCHDOG_POWER_OFF], "power-off");
	assert_string_equal(property->choices[WATCHDOG_PAUSE], "pause");
	assert_string_equal(property->choices[WATCHDOG_EVENT], "event");
	assert_null(property->choices[WATCHDOG_EVENT + 1]);
}

static void every_offset(void **state)
{
	check_every_offset(&b);
	bench_run(&b, 20);
	check_ids(&b, 0x00141805);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(at_reset),
		T(lock),
		T(counts_down),
		T(control_that_does_not_change),
		T(ends_of_the_count),
		T(interrupt_then_bite),
		T(not_before_its_time),
		T(fed),
		T(interrupt_only),
		T(stopped),
		T(stands_still_while_paused),
		T(no_bite_within_the_end_of_a_pause),
		T(no_flood),
		T(after_a_bite),
		T(an_end_without_a_bite),
		T(reset_while_paused),
		T(destroyed_with_a_posted_task),
		T(actions),
		T(every_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
