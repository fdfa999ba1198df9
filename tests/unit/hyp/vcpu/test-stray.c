/* SPDX-License-Identifier: Apache-2.0 */
/* Stray accesses: each is counted, and the watcher is notified at once, then of the rest together. */
#include <string.h>

#include "tests/unit/helpers/fake-loop.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/vcpu/stray.h"
#include "tests/unit/helpers/unit.h"

static struct loop *loop;
static struct strays strays;
static unsigned calls;
static uint64_t new_strays;
static struct stray latest;

static void watch(void *opaque, const struct stray *stray, uint64_t count)
{
	assert_ptr_equal(opaque, &calls);
	calls++;
	new_strays = count;
	latest = *stray;
}

static int begin(void **state)
{
	assert_int_equal(loop_create(&loop), 0);
	strays_init(&strays, STRAY_ABORT, loop);
	strays_watch(&strays, watch, &calls);
	calls = 0;
	return 0;
}

static int finish(void **state)
{
	strays_finish(&strays);
	return fake_loop_timers() != 0;
}

static void add(unsigned vcpu, enum stray_kind kind, enum stray_where where)
{
	strays_add(&strays,
		&(struct stray){
			.vcpu = vcpu, .gpa = 0x1000 + vcpu, .kind = kind, .where = where });
}

static void each_is_counted_by_kind_and_place(void **state)
{
	for (unsigned kind = 0; kind < STRAY_KINDS; kind++)
		for (unsigned where = 0; where < STRAY_WHERES; where++)
			for (unsigned i = 0; i <= kind * STRAY_WHERES + where; i++)
				add(i, kind, where);
	for (unsigned kind = 0; kind < STRAY_KINDS; kind++)
		for (unsigned where = 0; where < STRAY_WHERES; where++)
			assert_int_equal(atomic_load(&strays.count[kind][where]),
				kind * STRAY_WHERES + where + 1);
	assert_int_equal(strays_total(&strays), 15 * 16 / 2);
	/* The watcher gets all of them in one call, and the last. */
	assert_int_equal(fake_loop_run_tasks(), 1);
	assert_int_equal(calls, 1);
	assert_int_equal(new_strays, 15 * 16 / 2);
	assert_int_equal(latest.vcpu, 14);
	assert_int_equal(latest.kind, STRAY_ACCESS);
	assert_int_equal(latest.where, STRAY_UNMAPPED);
}

/* The first is reported at once, and others a second after that; then it sleeps, and the next is at once again. */
static void the_watcher_is_notified_once_a_second(void **state)
{
	add(1, STRAY_LOAD, STRAY_BLOCK);
	assert_int_equal(calls, 0); /* not on the vCPU's thread */
	assert_int_equal(fake_loop_run_tasks(), 1);
	assert_int_equal(calls, 1);
	assert_int_equal(new_strays, 1);
	fake_loop_advance(10);
	add(2, STRAY_STORE, STRAY_SLOT);
	add(3, STRAY_STORE, STRAY_NOWHERE);
	assert_int_equal(fake_loop_run_tasks(), 0);
	/* A task that a vCPU has posted meanwhile leaves it to the timer. */
	loop_post(loop, &strays.task);
	assert_int_equal(fake_loop_run_tasks(), 1);
	fake_loop_advance(989);
	assert_int_equal(calls, 1);
	fake_loop_advance(1);
	assert_int_equal(calls, 2);
	assert_int_equal(new_strays, 2);
	assert_int_equal(latest.vcpu, 3);
	/* No stray access: the timer ends, and the watcher is not called. */
	fake_loop_advance(999);
	assert_int_equal(fake_loop_timers(), 1);
	fake_loop_advance(1);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(calls, 2);
	add(4, STRAY_LOAD, STRAY_BLOCK);
	assert_int_equal(fake_loop_run_tasks(), 1);
	assert_int_equal(calls, 3);
	assert_int_equal(new_strays, 1);
}

/* Nobody watches: they are counted all the same. */
static void without_a_watcher(void **state)
{
	strays_watch(&strays, NULL, NULL);
	add(1, STRAY_LOAD, STRAY_BLOCK);
	assert_int_equal(fake_loop_run_tasks(), 1);
	assert_int_equal(calls, 0);
	assert_int_equal(strays_total(&strays), 1);
}

/* What waits in the loop goes with it. */
static void nothing_waits_after_the_end(void **state)
{
	add(1, STRAY_LOAD, STRAY_BLOCK);
	strays_finish(&strays);
	assert_int_equal(fake_loop_run_tasks(), 0);
	begin(state);
	add(1, STRAY_LOAD, STRAY_BLOCK);
	assert_int_equal(fake_loop_run_tasks(), 1);
	assert_int_equal(fake_loop_timers(), 1);
	strays_finish(&strays);
	assert_int_equal(fake_loop_timers(), 0);
	strays = (struct strays){ 0 }; /* half built */
}

static void one_in_words(void **state)
{
	static const struct {
		struct stray stray;
		const char *text;
	} cases[] = {
		{ { 2, 0x1ff, STRAY_LOAD, STRAY_NOWHERE },
			"vCPU 2: stray load at 0x1ff: address without memory or device" },
		{ { 0, 0x100200000, STRAY_STORE, STRAY_BLOCK, .window = "vmem0" },
			"vCPU 0: stray store at 0x100200000, vmem0: unplugged block of an open "
			"slot" },
		{ { 0, 0x9000001, STRAY_STORE, STRAY_REGISTERS, .device = "uart" },
			"vCPU 0: stray store at 0x9000001, uart: a device's registers, by other "
			"than a plain "
			"load or store of one" },
		{ { 1, 0xffff800000000000, STRAY_ACCESS, STRAY_UNMAPPED },
			"vCPU 1: stray access at 0xffff800000000000: address that its tables no "
			"longer map" },
	};
	char text[200];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		stray_print(&cases[i].stray, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
	stray_print(&cases[0].stray, text, 8); /* cut, and ended */
	assert_string_equal(text, "vCPU 2:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_is_counted_by_kind_and_place, begin, finish),
		cmocka_unit_test_setup_teardown(
			the_watcher_is_notified_once_a_second, begin, finish),
		cmocka_unit_test_setup_teardown(without_a_watcher, begin, finish),
		cmocka_unit_test_setup_teardown(nothing_waits_after_the_end, begin, finish),
		cmocka_unit_test(one_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
