/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window whose blocks come and go while vCPUs ask of them, as they do when a fault is classified: the
 * answers are those of before a change or of after it, and a change between two of them shows in the
 * generation of the map (hyp/vcpu/fault.c compares it before and after).
 */
#include <stdatomic.h>

#include "tests/unit/helpers/fake-kvm.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"
#include "tests/unit/helpers/race.h"

#define GPA    (4 * GiB)
#define BLOCK  (2 * MiB)
#define SLOT   (4 * MiB)
#define SIZE   (4 * SLOT)
#define ROUNDS 1000

static struct loop *loop;
static struct slots slots;
static struct kvm_slots kvm_slots;
static struct window *window;
static struct race race;
static atomic_bool changing;
static atomic_bool unseen; /* a change that the generation did not show */

static void ask(struct race *unused)
{
	while (race_joins(&race)) {
		bool last;

		do {
			uint64_t before, first, second;
			uint8_t byte;

			last = !atomic_load(&changing);
			before = atomic_load(&slots.generation);
			first = window_lookup(window, GPA + SLOT);
			window_peek(window, GPA + SLOT, &byte, 1);
			second = window_lookup(window, GPA + SLOT);
			if ((first == WINDOW_BLOCK_PLUGGED) != (second == WINDOW_BLOCK_PLUGGED) &&
				atomic_load(&slots.generation) == before)
				atomic_store(&unseen, true);
		} while (!last);
		race_meet(&race, RACE_OTHER);
	}
}

static int set_up(void **state)
{
	const struct window_config config = {
		.name = "test",
		.gpa = GPA,
		.size = SIZE,
		.block_bytes = BLOCK,
		.slot_bytes = SLOT,
		.stray_reads = STRAY_READS_ZERO,
	};

	fake_kvm_install();
	assert_int_equal(loop_create(&loop), 0);
	slots_init(&slots);
	kvm_slots_init(&kvm_slots, 64);
	kvm_slots.vm_fd = FAKE_KVM_FD;
	assert_int_equal(slots_add_listener(&slots, &kvm_slots.listener), 0);
	assert_int_equal(window_create(&config, loop, &window), 0);
	window_attach(window, &slots);
	atomic_store(&unseen, false);
	return 0;
}

static int tear_down(void **state)
{
	slots_forget(&slots);
	assert_int_equal(window_detach(window), 0);
	window_destroy(window);
	slots_finish(&slots);
	loop_destroy(loop);
	return 0;
}

static void plug(void)
{
	assert_int_equal(window_plug(window, SLOT, BLOCK), 0);
}

static void unplug(void)
{
	assert_int_equal(window_unplug(window, SLOT, BLOCK), 0);
}

static void unplug_all(void)
{
	assert_int_equal(window_unplug_all(window), 0);
}

/* The change, with the other side's questions in the middle of it; `undo` makes it possible again. */
static void race_change(void (*change)(void), void (*undo)(void))
{
	race_start(&race, ask, ROUNDS);
	for (;;) {
		atomic_store(&changing, true);
		if (!race_next(&race))
			break;
		change();
		atomic_store(&changing, false);
		race_meet(&race, RACE_OWN);
		undo();
	}
	assert_false(atomic_load(&unseen));
}

static void a_plug_shows_in_the_generation(void **state)
{
	race_change(plug, unplug);
}

static void an_unplug_shows_in_the_generation(void **state)
{
	plug();
	race_change(unplug, plug);
}

static void an_unplug_of_all_shows_in_the_generation(void **state)
{
	plug();
	race_change(unplug_all, plug);
}

/* And where a VM goes with all that is plugged. */
static void detach(void)
{
	assert_int_equal(window_detach(window), 0);
}

static void attach(void)
{
	slots_forget(&slots);
	fake_kvm_install(); /* another VM */
	kvm_slots.vm_fd = FAKE_KVM_FD;
	window_attach(window, &slots);
	plug();
}

static struct loop_timer stop;

static void stop_loop(struct loop_timer *timer)
{
	loop_stop(loop);
}

/* Slots that close by themselves change what is open under the lock. */
static void questions_while_a_slot_closes(void **state)
{
	plug();
	unplug();
	stop.fired = stop_loop;
	atomic_store(&changing, true);
	race_start(&race, ask, 1);
	while (race_next(&race)) {
		loop_timer_arm(loop, &stop, 1200);
		assert_int_equal(loop_run(loop), 0);
		atomic_store(&changing, false);
		race_meet(&race, RACE_OWN);
	}
	assert_int_equal(window_open_slots(window), 0);
	/* As at a reset. */
	plug();
	atomic_store(&changing, true);
	race_start(&race, ask, 100);
	while (race_next(&race)) {
		detach();
		atomic_store(&changing, false);
		race_meet(&race, RACE_OWN);
		attach();
		atomic_store(&changing, true);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_plug_shows_in_the_generation),
		T(an_unplug_shows_in_the_generation),
		T(an_unplug_of_all_shows_in_the_generation),
		T(questions_while_a_slot_closes),
	};

	return cmocka_run_group_tests_name("window-race", tests, NULL, NULL);
}
