/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of slots, and listeners: two of them, one with a limit and a temper of its own. */
#include <errno.h>
#include <string.h>

#include "tests/unit/helpers/fake-kvm.h"
#include "tests/unit/helpers/fake-listener.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"
#include "tests/unit/helpers/unit.h"

#define GPA   (4 * GiB)
#define BLOCK (2 * MiB)
#define SLOT  (4 * MiB)

static struct kvm_slots kvm;
static struct fake_listener vhost;
static struct slots slots;

static void begin(unsigned kvm_limit, unsigned vhost_limit)
{
	fake_kvm_install();
	slots_init(&slots);
	kvm_slots_init(&kvm, kvm_limit);
	kvm.vm_fd = FAKE_KVM_FD;
	assert_int_equal(slots_add_listener(&slots, &kvm.listener), 0);
	fake_listener_init(&vhost, "vhost-net", vhost_limit);
	if (vhost_limit)
		assert_int_equal(slots_add_listener(&slots, &vhost.listener), 0);
}

static void the_tightest_limit_is_the_budget(void **state)
{
	char text[256];

	begin(100, 64);
	assert_string_equal(slots_tightest(&slots)->name, "vhost-net");
	assert_int_equal(slots_reserve(&slots, "memory", 1), 0);
	assert_int_equal(slots_reserve(&slots, "vmem0", 43), 0);
	assert_int_equal(slots_free(&slots), 20);
	assert_int_equal(slots_reserve(&slots, "vmem1", 21), -ENOSPC);
	assert_int_equal(slots_free(&slots), 20);
	slots_explain(&slots, slots_tightest(&slots), 21, text, sizeof(text));
	assert_string_equal(text,
		"21 slots asked for, and of the 64 of vhost-net 20 are free (held: "
		"memory 1, vmem0 43)");
	slots_explain(&slots, slots_tightest(&slots), 21, text, 30); /* cut, and ended */
	assert_int_equal(strlen(text), 29);
	assert_int_equal(slots_reserve(&slots, "vmem1", 20), 0);
	assert_int_equal(slots_reserve(&slots, "vmem2", 1), -ENOSPC);
	slots_finish(&slots);
}

/* Refused whichever of the two comes first. */
static void a_late_listener_counts_what_is_reserved(void **state)
{
	struct fake_listener late;

	begin(100, 0);
	assert_int_equal(slots_reserve(&slots, "vmem0", 65), 0);
	fake_listener_init(&late, "vhost-net", 64);
	assert_int_equal(slots_add_listener(&slots, &late.listener), -ENOSPC);
	assert_string_equal(slots_tightest(&slots)->name, "KVM");
	fake_listener_init(&late, "vhost-net", 65);
	assert_int_equal(slots_add_listener(&slots, &late.listener), 0);
	/* Its place in the list is checked, not trusted: a tree says how many there are. */
	for (unsigned i = slots.listener_count; i < SLOTS_LISTENERS; i++)
		assert_int_equal(slots_add_listener(&slots, &late.listener), 0);
	assert_int_equal(slots_add_listener(&slots, &late.listener), -E2BIG);
	assert_int_equal(slots_free(&slots), 0);
	slots_finish(&slots);
}

static void holders_run_out(void **state)
{
	begin(1000, 0);
	for (unsigned i = 0; i < SLOTS_HOLDERS; i++)
		assert_int_equal(slots_reserve(&slots, "holder", 1), 0);
	assert_int_equal(slots_reserve(&slots, "one more", 1), -ENOSPC);
	slots_finish(&slots);
}

static int open_at(unsigned index, int *id)
{
	static uint8_t memory[64];
	struct memory_slot slot = { .gpa = GPA + index * SLOT, .size = SLOT, .hva = memory };

	*id = -1;
	return slot_open(&slots, &slot, id);
}

static void slots_open_in_all_or_none(void **state)
{
	int id;

	begin(100, 64);
	assert_int_equal(open_at(0, &id), 0);
	assert_int_equal(id, 0);
	vhost.fail_at = vhost.calls + 1;
	assert_int_equal(open_at(1, &id), -ENOMEM);
	assert_int_equal(id, -1);
	assert_int_equal(fake_kvm.open, 1);
	assert_int_equal(slots.open, 1);
	fake_kvm.fail_at = fake_kvm.calls + 1;
	assert_int_equal(open_at(1, &id), -ENOMEM);
	assert_int_equal(id, -1);
	assert_int_equal(vhost.open_count, 1);
	assert_int_equal(open_at(1, &id), 0);
	assert_int_equal(id, 1);
	/* The last listener lets go first; KVM refusing leaves it in KVM alone. */
	fake_kvm.fail_closing = true;
	assert_int_equal(slot_close(&slots, 1), -ENOMEM);
	assert_int_equal(vhost.open_count, 1);
	assert_int_equal(fake_kvm.open, 2);
	assert_false(slot_is_whole(&slots, 1));
	fake_kvm.fail_closing = false;
	assert_int_equal(slot_close(&slots, 1), 0);
	assert_int_equal(fake_kvm.open, 1);
	assert_int_equal(open_at(2, &id), 0);
	assert_int_equal(id, 1); /* used again */
	slots_forget(&slots);
	assert_int_equal(slots.open, 0);
	assert_int_equal(vhost.open_count, 0);
	assert_int_equal(kvm.vm_fd, -1);
	slots_finish(&slots);
}

/* vhost refuses, and KVM will not let go again: half open, until it is completed or closed. */
static void a_half_open_slot_is_completed(void **state)
{
	struct memory_slot slot = { .gpa = GPA, .size = SLOT };
	int id = -1;

	begin(100, 64);
	vhost.fail_at = 1;
	fake_kvm.fail_closing = true;
	assert_int_equal(slot_open(&slots, &slot, &id), -ENOMEM);
	assert_int_equal(id, 0);
	assert_false(slot_is_whole(&slots, 0));
	assert_int_equal(slots.open, 1);
	assert_int_equal(slot_open(&slots, &slot, &id), 0);
	assert_true(slot_is_whole(&slots, 0));
	assert_int_equal(vhost.open_count, 1);
	assert_int_equal(fake_kvm.open, 1);
	slots_forget(&slots);
	slots_finish(&slots);
}

static void ids_stay_below_the_limit(void **state)
{
	unsigned closed[] = { 70, 149, 0 };
	int id;

	begin(200, 150);
	for (unsigned i = 0; i < 150; i++)
		assert_int_equal(open_at(i, &id), 0);
	assert_int_equal(open_at(150, &id), -ENOSPC);
	assert_int_equal(id, -1);
	/* Those that are released are taken again, each once. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(slot_close(&slots, closed[i]), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(open_at(150 + i, &id), 0);
		for (unsigned j = 0; j < 3; j++)
			if (closed[j] == (unsigned)id)
				closed[j] = 1000;
	}
	assert_int_equal(closed[0] + closed[1] + closed[2], 3000);
	assert_int_equal(open_at(153, &id), -ENOSPC);
	slots_forget(&slots);
	slots_finish(&slots);
}

/* What a machine before had open, or had released, is nothing to the next. */
static void forgotten_slots_are_all_free(void **state)
{
	struct fake_listener later;
	int id;

	begin(100, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(open_at(i, &id), 0);
	assert_int_equal(slot_close(&slots, 2), 0);
	assert_int_equal(slot_close(&slots, 0), 0);
	slots_forget(&slots);
	assert_int_equal(slots.open, 0);
	fake_kvm_install();
	kvm.vm_fd = FAKE_KVM_FD;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(open_at((unsigned)i, &id), 0);
		assert_int_equal(id, i);
	}
	assert_int_equal(open_at(3, &id), -ENOSPC);
	assert_int_equal(vhost.open_count, 3);
	/* Closed one by one it may be joined by another listener. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(slot_close(&slots, i), 0);
	fake_listener_init(&later, "later", 64);
	assert_int_equal(slots_add_listener(&slots, &later.listener), 0);
	slots_finish(&slots);
	assert_int_equal(slots.capacity, 0);
}

/* One of several refuses blocks: those notified before it get the opposite call, and those after it nothing. */
static void a_refusal_is_undone_for_the_others(void **state)
{
	static uint8_t memory[64];
	static struct fake_listener listeners[3];
	struct memory_slot slot = { .gpa = GPA, .size = sizeof(memory), .hva = memory };

	for (unsigned refusing = 0; refusing < ARRAY_SIZE(listeners); refusing++) {
		struct fake_listener *one = &listeners[refusing];
		int id = -1;

		begin(100, 0);
		for (unsigned i = 0; i < ARRAY_SIZE(listeners); i++) {
			fake_listener_init(&listeners[i], "vhost", 64);
			assert_int_equal(slots_add_listener(&slots, &listeners[i].listener), 0);
		}
		assert_int_equal(slot_open(&slots, &slot, &id), 0);
		one->fail_at = one->calls + 1;
		assert_int_equal(slot_plug(&slots, 0, 16, 8, false), -ENOMEM);
		for (unsigned i = 0; i < ARRAY_SIZE(listeners); i++) {
			assert_int_equal(listeners[i].plugged_all, 0);
			/* The open, and the plug as far as it went: first listener first. */
			assert_int_equal(listeners[i].calls, i <= refusing ? 2 : 1);
		}
		assert_int_equal(slot_plug(&slots, 0, 16, 8, false), 0);
		for (unsigned i = 0; i < ARRAY_SIZE(listeners); i++)
			listeners[i].calls = 0;
		one->fail_at = 1;
		assert_int_equal(slot_unplug(&slots, 0, 16, 8, false), -EBUSY);
		for (unsigned i = 0; i < ARRAY_SIZE(listeners); i++) {
			assert_int_equal(listeners[i].plugged_all, 8);
			/* Last listener first. */
			assert_int_equal(listeners[i].calls, i >= refusing ? 1 : 0);
		}
		assert_int_equal(slot_unplug(&slots, 0, 16, 8, false), 0);
		for (unsigned i = 0; i < ARRAY_SIZE(listeners); i++)
			assert_int_equal(listeners[i].plugged_all, 0);
		slots_forget(&slots);
		slots_finish(&slots);
	}
}

/* Each fallible call of KVM, the host's memory and the listener fails in turn, over three slots. */
static void a_window_undoes_with_its_listeners(void **state)
{
	struct window_config config = {
		.name = "test",
		.gpa = GPA,
		.size = 8 * SLOT,
		.block_bytes = BLOCK,
		.slot_bytes = SLOT,
	};
	uint64_t steps[][2] = { { BLOCK, 3 * SLOT }, { 5 * SLOT, SLOT } };
	unsigned refused = 0;

	for (unsigned at = 1;; at++) {
		struct window *window;
		struct loop *loop;
		bool in_kvm, failed = false;

		for (in_kvm = true;; in_kvm = false) {
			uint64_t exposed;

			begin(64, 64);
			assert_int_equal(loop_create(&loop), 0);
			assert_int_equal(window_create(&config, loop, &window), 0);
			window_attach(window, &slots);
			for (unsigned step = 0, tries = 1; step < 4; step++) {
				uint64_t plugged = window_plugged_bytes(window);
				int err;

				fake_kvm.calls = vhost.calls = 0;
				*(in_kvm ? &fake_kvm.fail_at : &vhost.fail_at) = tries ? at : 0;
				err = step < 2 ? window_plug(window, steps[step][0], steps[step][1])
				      : step == 2 ? window_unplug(window, 2 * BLOCK, SLOT)
						  : window_unplug_all(window);
				fake_kvm.fail_at = vhost.fail_at = 0;
				failed |= fake_kvm.failed || vhost.failed;
				if (err) {
					assert_int_equal(tries, 1);
					refused++;
					assert_int_equal(err, -EBUSY);
					assert_int_equal(window_plugged_bytes(window), plugged);
				}
				assert_int_equal(vhost.plugged_all, window_plugged_bytes(window));
				assert_int_equal(window_exposed_bytes(window, &exposed), 0);
				assert_int_equal(exposed, vhost.plugged_all);
				tries = err == 0;
				if (err) /* the same once more goes through */
					step--;
			}
			assert_int_equal(vhost.plugged_all, 0);
			slots_forget(&slots);
			assert_int_equal(window_detach(window), 0);
			window_destroy(window);
			slots_finish(&slots);
			loop_destroy(loop);
			if (!in_kvm)
				break;
		}
		if (!failed)
			break;
	}
	assert_true(refused > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tightest_limit_is_the_budget),
		cmocka_unit_test(a_late_listener_counts_what_is_reserved),
		cmocka_unit_test(holders_run_out),
		cmocka_unit_test(slots_open_in_all_or_none),
		cmocka_unit_test(a_half_open_slot_is_completed),
		cmocka_unit_test(ids_stay_below_the_limit),
		cmocka_unit_test(forgotten_slots_are_all_free),
		cmocka_unit_test(a_refusal_is_undone_for_the_others),
		cmocka_unit_test(a_window_undoes_with_its_listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
