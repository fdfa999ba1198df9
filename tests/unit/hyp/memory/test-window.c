/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows against the fake KVM and, where this machine has one, against the real: which slots are
 * open, what is exposed, and that a failure anywhere leaves everything as it was.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/kvm/kvm.h"
#include "hyp/memory/guestmem.h"
#include "tests/unit/helpers/window-bench.h"
#include "tests/unit/helpers/zero-page.h"

/* Emptied slots close a second later, and later still where this machine is busy. */
static void run_until_open(struct fixture *f, unsigned slots)
{
	for (int i = 0; i < 1200 && fake_kvm.open > slots; i++)
		run_for(f, 50);
	assert_int_equal(fake_kvm.open, slots);
}

static void slots_follow_blocks(void **state)
{
	struct fixture f;
	struct window_slot slot;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 10 * SLOT + 4 * BLOCK, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_slot_count(f.window), 11);
	/* Without this KVM maps small pages only: 2 MiB with 4K pages, 32 MiB with 16K. */
	assert_true(is_aligned((uintptr_t)window_hva(f.window) - GPA,
		(uint64_t)getpagesize() * (uint64_t)getpagesize() / 8));
	assert_int_equal(fake_kvm.open, 0);

	assert_int_equal(window_plug(f.window, SLOT - BLOCK, 2 * BLOCK), 0);
	assert_int_equal(fake_kvm.open, 2);
	assert_int_equal(fake_kvm_slot_at(GPA)->size, SLOT);
	assert_ptr_equal(
		(void *)(uintptr_t)fake_kvm_slot_at(GPA + SLOT)->hva, window_hva(f.window) + SLOT);
	assert_null(fake_kvm_slot_at(GPA + 2 * SLOT));
	assert_int_equal(window_plugged_bytes(f.window), 2 * BLOCK);
	assert_int_equal(exposed(&f), 2 * BLOCK);

	/* The last slot is shorter. */
	assert_int_equal(window_plug(f.window, 10 * SLOT, BLOCK), 0);
	assert_int_equal(fake_kvm_slot_at(GPA + 10 * SLOT)->size, 4 * BLOCK);
	window_slot(f.window, 10, &slot);
	assert_true(slot.open);
	assert_int_equal(slot.size, 4 * BLOCK);
	assert_int_equal(slot.plugged_bytes, BLOCK);

	/* Emptied: protected at once, closed in about a second, its neighbour stays. */
	assert_int_equal(window_unplug(f.window, SLOT, BLOCK), 0);
	assert_int_equal(fake_kvm.open, 3);
	assert_false(can_write(window_hva(f.window) + SLOT));
	run_until_open(&f, 2);
	assert_null(fake_kvm_slot_at(GPA + SLOT));
	assert_non_null(fake_kvm_slot_at(GPA));

	/* Used again while it waits to close: it stays. */
	assert_int_equal(window_unplug(f.window, 10 * SLOT, BLOCK), 0);
	assert_int_equal(window_plug(f.window, 10 * SLOT + BLOCK, BLOCK), 0);
	run_for(&f, 1300);
	assert_int_equal(fake_kvm.open, 2);
	close_fixture(&f);
}

static void a_busy_slot_keeps_no_other_open(void **state)
{
	struct fixture f;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, 2 * SLOT), 0);
	assert_int_equal(window_unplug(f.window, 0, 2 * SLOT), 0);
	for (int i = 0; i < 8; i++) { /* slot 0 is emptied again and again */
		run_for(&f, 200);
		assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
		assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	}
	assert_null(fake_kvm_slot_at(GPA + SLOT));
	assert_non_null(fake_kvm_slot_at(GPA));
	close_fixture(&f);
}

static void unplugged_holds_nothing(void **state)
{
	const enum stray_reads modes[] = { STRAY_READS_ZERO, STRAY_READS_ABORT };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct fixture f;
		uint8_t *hva;

		fake_kvm_install();
		open_fixture(&f, 4 * SLOT, modes[i], FAKE_KVM_FD, 64);
		hva = window_hva(f.window);
		assert_int_equal(window_plug(f.window, 0, 4 * BLOCK), 0);
		memset(hva, 0x5a, 4 * BLOCK);
		assert_true(resident(&f) >= 4 * BLOCK);
		assert_int_equal(window_unplug(f.window, BLOCK, 2 * BLOCK), 0);
		assert_int_equal(exposed(&f), 2 * BLOCK);
		assert_int_equal(resident(&f), 2 * BLOCK);
		assert_false(can_write(hva + BLOCK));
		assert_false(can_write(hva + 3 * BLOCK - 1));
		assert_true(can_write(hva + BLOCK - 1));
		assert_int_equal(can_read(hva + BLOCK), modes[i] == STRAY_READS_ZERO);
		if (modes[i] == STRAY_READS_ZERO)
			for (uint64_t at = BLOCK; at < 3 * BLOCK; at += 512)
				assert_int_equal(hva[at], 0);
		assert_int_equal(hva[0], 0x5a);
		assert_int_equal(hva[3 * BLOCK], 0x5a);

		/* Plugged again it comes empty. */
		assert_int_equal(window_plug(f.window, BLOCK, BLOCK), 0);
		assert_int_equal(hva[BLOCK + 7], 0);
		assert_int_equal(window_unplug_all(f.window), 0);
		assert_int_equal(window_plugged_bytes(f.window), 0);
		assert_int_equal(exposed(&f), 0);
		if (modes[i] == STRAY_READS_ABORT || zero_page_is_shared())
			assert_int_equal(resident(&f), 0);
		run_until_open(&f, 0);
		close_fixture(&f);
	}
}

static void zeros_cost_no_pages(void **state)
{
	struct fixture f;
	volatile uint8_t *hva;

	(void)state;
	if (!zero_page_is_shared()) {
		print_message("# this machine's kernel shares no page of zeros\n");
		skip();
	}
	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	hva = window_hva(f.window);
	assert_int_equal(window_plug(f.window, 0, 4 * BLOCK), 0);
	assert_int_equal(window_unplug(f.window, BLOCK, 2 * BLOCK), 0);
	for (uint64_t at = BLOCK; at < 3 * BLOCK; at += 512)
		assert_int_equal(hva[at], 0);
	assert_int_equal(resident(&f), 0);
	close_fixture(&f);
}

static void refused_close_is_retried(void **state)
{
	struct fixture f;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	fake_kvm.fail_closing = true;
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	run_for(&f, 1300);
	assert_true(fake_kvm.failed > 0);
	assert_int_equal(fake_kvm.open, 1);
	assert_false(can_write(window_hva(f.window)));
	fake_kvm.fail_closing = false;
	run_until_open(&f, 0);
	close_fixture(&f);
}

/* Each fallible call of a plug over three slots fails in turn: BUSY, and nothing has changed. */
static void a_failing_plug_changes_nothing(void **state)
{
	unsigned at;

	(void)state;
	for (at = 1; at < 100; at++) {
		struct fixture f;
		int err;

		fake_kvm_install();
		open_fixture(&f, 8 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
		assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
		window_hva(f.window)[0] = 1;
		fake_kvm.calls = 0;
		fake_kvm.fail_at = at;
		err = window_plug(f.window, BLOCK, 3 * SLOT);
		fake_kvm.fail_at = 0;
		assert_int_equal(!window_refused(f.window), !err);
		if (err) {
			assert_int_equal(err, -EBUSY);
			assert_int_equal(window_plugged_bytes(f.window), BLOCK);
			assert_int_equal(exposed(&f), BLOCK);
			assert_int_equal(fake_kvm.open, 1);
			/* ... and it works the next time. */
			assert_int_equal(window_plug(f.window, BLOCK, 3 * SLOT), 0);
			assert_null(window_refused(f.window));
		}
		assert_int_equal(window_hva(f.window)[0], 1);
		assert_int_equal(exposed(&f), BLOCK + 3 * SLOT);
		assert_int_equal(fake_kvm.open, 4);
		close_fixture(&f);
		if (!fake_kvm.failed)
			break;
	}
	assert_int_equal(at, 7); /* three slots, one protection, two pieces of advice */
}

static void a_failing_unplug_changes_nothing(void **state)
{
	struct fixture f;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, 2 * SLOT), 0);
	memset(window_hva(f.window), 0x77, 2 * SLOT);
	fake_kvm.fail_mapping = true;
	assert_int_equal(window_unplug(f.window, BLOCK, SLOT), -EBUSY);
	assert_int_equal(window_unplug_all(f.window), -EBUSY);
	assert_int_equal(fake_kvm.failed, 2);
	fake_kvm.fail_mapping = false;
	assert_int_equal(window_plugged_bytes(f.window), 2 * SLOT);
	assert_int_equal(window_state(f.window, 0, 2 * SLOT), WINDOW_PLUGGED);
	for (uint64_t offset = 0; offset < 2 * SLOT; offset += 4096)
		assert_int_equal(window_hva(f.window)[offset], 0x77);
	close_fixture(&f);
}

static void slots_run_out(void **state)
{
	struct fixture f;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 8 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 2);
	assert_int_equal(window_plug(f.window, 0, 3 * SLOT), -EBUSY);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(exposed(&f), 0);
	assert_int_equal(window_plug(f.window, 0, 2 * SLOT), 0);
	assert_int_equal(window_plug(f.window, 3 * SLOT, BLOCK), -EBUSY);
	assert_int_equal(window_unplug(f.window, 0, SLOT), 0);
	run_for(&f, 1300);
	assert_int_equal(window_plug(f.window, 3 * SLOT, BLOCK), 0);
	close_fixture(&f);
}

/* Neighbours that were written apart stay apart for the kernel, whatever our books would say. */
static void mappings_run_out(void **state)
{
	enum { BLOCKS = 512, ROOM = 200 };
	struct fixture f;
	uint64_t before = real_mappings();
	unsigned plugged = 0;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, BLOCKS * BLOCK, STRAY_READS_ZERO, FAKE_KVM_FD, 128);
	f.slots.mappings.limit = before + ROOM;
	for (unsigned step = 0; step < 2; step++) /* every other block, then the gaps */
		for (unsigned i = step; i < BLOCKS; i += 2) {
			if (window_plug(f.window, i * BLOCK, BLOCK) != 0)
				continue;
			window_hva(f.window)[i * BLOCK] = 1;
			plugged++;
		}
	assert_in_range(plugged, ROOM / 4, BLOCKS / 2 - 1);
	assert_in_range(real_mappings(), before + ROOM / 2, before + ROOM);
	assert_int_equal(window_plugged_bytes(f.window), plugged * BLOCK);
	/* The way back is open: what joins its neighbours, and all of it at once. */
	for (unsigned i = 0; i < BLOCKS / 2; i += 2)
		if (window_state(f.window, i * BLOCK, BLOCK) == WINDOW_PLUGGED)
			assert_int_equal(window_unplug(f.window, i * BLOCK, BLOCK), 0);
	assert_int_equal(window_unplug_all(f.window), 0);
	run_for(&f, 1300);
	assert_true(real_mappings() < before + 10);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0); /* counted anew, there is room */
	close_fixture(&f);
}

/* Near the limit the list of mappings is read once a second, not for each request. */
static void mappings_are_counted_rarely(void **state)
{
	struct fixture f;

	fake_kvm_install();
	open_fixture(&f, 64 * BLOCK, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	f.slots.mappings.limit = real_mappings() + 3; /* room for one more */
	f.slots.mappings.count = f.slots.mappings.limit;
	f.slots.mappings.count_again_ms = 0;
	assert_int_equal(window_plug(f.window, 2 * BLOCK, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 2 * BLOCK, BLOCK), 0);
	assert_int_equal(window_plug(f.window, 2 * BLOCK, BLOCK), -EBUSY);
	run_for(&f, 1050);
	assert_int_equal(window_plug(f.window, 2 * BLOCK, BLOCK), 0);
	close_fixture(&f);
}

/* What an unplug of all is refused midway is done another way, or retried later; the first refusal is BUSY. */
static void unplug_all_is_refused(void **state)
{
	for (unsigned at = 1; at <= 4; at++) {
		struct fixture f;

		fake_kvm_install();
		open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(window_plug(f.window, 2 * i * BLOCK, BLOCK), 0);
		window_hva(f.window)[0] = 1;
		fake_kvm.calls = 0;
		fake_kvm.fail_at = at;
		assert_int_equal(window_unplug_all(f.window), at == 1 ? -EBUSY : 0);
		assert_int_equal(fake_kvm.calls, at == 1 ? 1 : at == 4 ? 3 : at + 1);
		assert_int_equal(window_plugged_bytes(f.window), at == 1 ? 3 * BLOCK : 0);
		assert_int_equal(exposed(&f), at == 1 ? 3 * BLOCK : 0);
		assert_int_equal(window_hva(f.window)[0], at == 1);
		fake_kvm.fail_at = 0;
		close_fixture(&f);
	}
}

/* A plug that fails leaves slots alone that were emptied before it, and wait for their second. */
static void a_failing_plug_closes_no_other_slot(void **state)
{
	struct fixture f;

	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	fake_kvm.calls = 0;
	fake_kvm.fail_at = 2; /* the second slot opens; then mprotect */
	assert_int_equal(window_plug(f.window, 0, 2 * SLOT), -EBUSY);
	assert_int_equal(fake_kvm.open, 1);
	assert_non_null(fake_kvm_slot_at(GPA));
	run_until_open(&f, 0);
	close_fixture(&f);
}

/* A refusal of the host's leaves no hole in the window for another mapping to land in. */
static void a_failing_plug_leaves_no_hole(void **state)
{
	struct fixture f;
	unsigned char resident;
	int err;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	for (unsigned at = 1; at < 6; at++) {
		fake_kvm.calls = 0;
		fake_kvm.fail_at = at;
		err = window_plug(f.window, BLOCK, BLOCK);
		fake_kvm.fail_at = 0;
		if (!err)
			assert_int_equal(window_unplug(f.window, BLOCK, BLOCK), 0);
		for (uint64_t offset = 0; offset < SLOT; offset += BLOCK)
			assert_int_equal(mincore(window_hva(f.window) + offset, 1, &resident), 0);
	}
	close_fixture(&f);
}

/* Counts how many slots went since it last had its turn on the loop. */
struct probe {
	struct loop_timer timer;
	struct loop *loop;
	unsigned open, most;
};

static void probe_fired(struct loop_timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);

	if (probe->open - fake_kvm.open > probe->most)
		probe->most = probe->open - fake_kvm.open;
	probe->open = fake_kvm.open;
	loop_timer_arm(probe->loop, timer, 0);
}

/* One timer does not keep the loop for thousands of slots. */
static void slots_close_a_few_at_a_time(void **state)
{
	struct fixture f;
	struct probe probe = { .timer.fired = probe_fired, .open = 300 };

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 3000 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, FAKE_KVM_SLOTS);
	/* No more than a host of 1 GiB lets one ask for. */
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(window_plug(f.window, i * SLOT, BLOCK), 0);
	assert_int_equal(fake_kvm.open, 300);
	assert_int_equal(window_unplug_all(f.window), 0);
	fake_kvm.close_ms = 1;
	probe.loop = f.loop;
	loop_timer_arm(f.loop, &probe.timer, 0);
	run_until_open(&f, 0);
	loop_timer_cancel(&probe.timer);
	assert_in_range(probe.most, 1, 6);
	close_fixture(&f);
}

struct pause_probe {
	struct loop_timer timer;
	struct loop *loop;
	unsigned calls, most; /* of the seam, between two turns of the loop */
};

static void pause_fired(struct loop_timer *timer)
{
	struct pause_probe *probe = container_of(timer, struct pause_probe, timer);

	if (fake_kvm.calls - probe->calls > probe->most)
		probe->most = fake_kvm.calls - probe->calls;
	probe->calls = fake_kvm.calls;
	loop_timer_arm(probe->loop, timer, 1);
}

/* A large slot whose zeros were read everywhere keeps the loop for one step at a time. */
static void a_large_slot_closes_in_steps(void **state)
{
	struct fixture f;
	struct pause_probe probe = { .timer.fired = pause_fired };

	fake_kvm_install();
	open_slots_of(&f, 32 * SLOT, 64 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	fake_kvm.map_ms = 10;
	probe.calls = fake_kvm.calls;
	probe.loop = f.loop;
	loop_timer_arm(f.loop, &probe.timer, 0);
	run_for(&f, 1150);
	assert_int_equal(fake_kvm.open, 1);
	assert_false(can_read(window_hva(f.window)));
	assert_true(can_read(window_hva(f.window) + 31 * SLOT));
	assert_false(can_write(window_hva(f.window) + 31 * SLOT));
	run_until_open(&f, 0);
	loop_timer_cancel(&probe.timer);
	assert_true(fake_kvm.calls >= 32);
	assert_in_range(
		probe.most, 1, 2); /* a step, and the close with what gives the protection back */
	assert_true(can_read(window_hva(f.window)));
	close_fixture(&f);
}

/* A plug into a slot that is being closed: its other blocks read as zeros again. */
static void plugged_while_closing(void **state)
{
	struct fixture f;

	fake_kvm_install();
	open_slots_of(&f, 32 * SLOT, 64 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	fake_kvm.map_ms = 10;
	run_for(&f, 1150);
	assert_false(can_read(window_hva(f.window)));
	fake_kvm.fail_mapping = true;
	assert_int_equal(window_plug(f.window, BLOCK, BLOCK), -EBUSY);
	fake_kvm.fail_mapping = false;
	assert_int_equal(window_plug(f.window, BLOCK, BLOCK), 0);
	assert_true(can_read(window_hva(f.window)));
	assert_false(can_write(window_hva(f.window)));
	assert_int_equal(exposed(&f), BLOCK);
	run_for(&f, 600);
	assert_int_equal(fake_kvm.open, 1);
	/* Emptied again, it closes; though the host maps nothing, which only leaves it unreadable. */
	assert_int_equal(window_unplug(f.window, BLOCK, BLOCK), 0);
	fake_kvm.fail_mapping = true;
	run_until_open(&f, 0);
	fake_kvm.fail_mapping = false;
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_true(can_read(window_hva(f.window) + BLOCK));
	assert_int_equal(exposed(&f), BLOCK);
	close_fixture(&f);
}

static unsigned flushes(void)
{
	unsigned count = fake_kvm.flushes;

	fake_kvm.flushes = 0;
	return count;
}

/* Where KVM walks all shadow tables at each change, it gets as few as can be. */
static void expensive_changes_are_few(void **state)
{
	struct window_config config = { .name = "test",
		.gpa = GPA,
		.size = 16 * SLOT,
		.block_bytes = BLOCK,
		.slot_bytes = 4 * SLOT, /* more than one step of a drain */
		.expensive_unmaps = true };
	const uint64_t slot = config.slot_bytes;
	struct fixture f;

	(void)state;
	fake_kvm_install();
	open_configured(&f, &config, FAKE_KVM_FD, 64);
	/* Blocks are there before their slot is: KVM gets no change. */
	assert_int_equal(window_plug(f.window, 0, 3 * slot), 0);
	assert_int_equal(fake_kvm.open, 3);
	assert_int_equal(flushes(), 0);
	/* The last of a slot go with it, and not a second later; some of several need one call. */
	assert_int_equal(window_unplug(f.window, 0, slot), 0);
	assert_int_equal(fake_kvm.open, 2);
	assert_int_equal(flushes(), 1);
	assert_int_equal(window_unplug(f.window, slot, slot / 2), 0);
	assert_int_equal(flushes(), 1);
	assert_int_equal(window_plug(f.window, slot, BLOCK), 0);
	assert_int_equal(flushes(), 1);
	assert_int_equal(window_unplug_all(f.window), 0);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(flushes(), 2);
	assert_int_equal(exposed(&f), 0);
	run_for(&f, 1200);
	assert_int_equal(flushes(), 0);
	/* A refused close is for later; the blocks are protected all the same. */
	assert_int_equal(window_plug(f.window, 0, slot), 0);
	fake_kvm.fail_closing = true;
	assert_int_equal(window_unplug(f.window, 0, slot), 0);
	assert_int_equal(exposed(&f), 0);
	fake_kvm.fail_closing = false;
	flushes();
	run_until_open(&f, 0);
	assert_int_equal(flushes(), 1);
	close_fixture(&f);
}

/* 1 GiB in slots of a memory block of Linux's, plugged and unplugged block by block. */
static void a_gibibyte_takes_so_many_flushes(void **state)
{
	static const struct {
		bool expensive_unmaps;
		unsigned plugging, unplugging, closing;
	} expected[] = {
		{ false, 8, 8, 8 * 8 }, /* seven steps of a drain, and the slot */
		{ true, 0, 8, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		struct window_config config = { .name = "test",
			.gpa = GPA,
			.size = 8 * GiB,
			.block_bytes = BLOCK,
			.slot_bytes = 128 * MiB,
			.expensive_unmaps = expected[i].expensive_unmaps };
		struct fixture f;

		fake_kvm_install();
		open_configured(&f, &config, FAKE_KVM_FD, 64);
		for (uint64_t at = 0; at < GiB; at += 128 * MiB)
			assert_int_equal(window_plug(f.window, at, 128 * MiB), 0);
		assert_int_equal(flushes(), expected[i].plugging);
		for (uint64_t at = 0; at < GiB; at += 128 * MiB)
			assert_int_equal(window_unplug(f.window, at, 128 * MiB), 0);
		assert_int_equal(flushes(), expected[i].unplugging);
		run_until_open(&f, 0);
		assert_int_equal(flushes(), expected[i].closing);
		close_fixture(&f);
	}
}

static void detach_empties(void **state)
{
	struct fixture f;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 8 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 3 * BLOCK, SLOT), 0);
	memset(window_hva(f.window) + 3 * BLOCK, 9, SLOT);
	slots_forget(&f.slots);
	assert_int_equal(window_detach(f.window), 0);
	assert_int_equal(exposed(&f), 0);
	assert_int_equal(resident(&f), 0);
	fake_kvm_install(); /* the VM is gone, its slots with it */
	f.kvm_slots.vm_fd = FAKE_KVM_FD;
	window_attach(f.window, &f.slots);
	assert_int_equal(window_plugged_bytes(f.window), 0);
	assert_int_equal(window_plug(f.window, 3 * BLOCK, SLOT), 0);
	assert_int_equal(window_hva(f.window)[3 * BLOCK], 0);
	close_fixture(&f);
}

static void the_gate_sees_plugged_blocks_only(void **state)
{
	struct fixture f;
	struct guestmem mem = { 0 };
	struct guestmem_range range = { .gpa = GPA, .size = 4 * SLOT };
	uint8_t buf[16] = { 0 };

	(void)state;
	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ABORT, FAKE_KVM_FD, 64);
	range.hva = window_hva(f.window);
	range.window = f.window;
	assert_int_equal(guestmem_add(&mem, &range), 0);
	assert_int_equal(guestmem_add(&mem, &range), -EEXIST);
	assert_int_equal(window_plug(f.window, BLOCK, BLOCK), 0);
	assert_null(guestmem_read_at(&mem, GPA, 1));
	assert_null(guestmem_read_at(&mem, GPA + BLOCK - 1, 2));
	assert_ptr_equal(guestmem_read_at(&mem, GPA + BLOCK, BLOCK), range.hva + BLOCK);
	assert_null(guestmem_read_at(&mem, GPA + BLOCK, BLOCK + 1));
	assert_null(guestmem_read_at(&mem, GPA + BLOCK, UINT64_MAX));
	assert_null(guestmem_read_at(&mem, UINT64_MAX, 2));
	assert_null(guestmem_read_at(&mem, GPA + BLOCK, 0));
	assert_int_equal(guestmem_write(&mem, GPA + 2 * BLOCK - 16, buf, 16), 0);
	assert_int_equal(guestmem_write(&mem, GPA + 2 * BLOCK - 15, buf, 16), -EFAULT);
	assert_int_equal(guestmem_read(&mem, GPA - 1, buf, 1), -EFAULT);
	assert_int_equal(window_lookup(f.window, GPA - 1), WINDOW_OUTSIDE);
	assert_int_equal(window_lookup(f.window, GPA), WINDOW_BLOCK_UNPLUGGED);
	assert_int_equal(window_lookup(f.window, GPA + BLOCK), WINDOW_BLOCK_PLUGGED);
	assert_int_equal(window_lookup(f.window, GPA + SLOT), WINDOW_SLOT_CLOSED);
	assert_int_equal(window_lookup(f.window, GPA + 4 * SLOT), WINDOW_OUTSIDE);
	assert_int_equal(window_peek(f.window, GPA + BLOCK, buf, 16), 0);
	assert_int_equal(window_peek(f.window, GPA + BLOCK - 8, buf, 16), -EFAULT);
	assert_int_equal(window_peek(f.window, GPA + 4 * SLOT - 8, buf, 16), -EFAULT);
	assert_int_equal(window_peek(f.window, GPA + BLOCK, buf, 0), -EFAULT);
	assert_int_equal(window_peek(f.window, GPA - 8, buf, 16), -EFAULT);
	assert_int_equal(window_plug(f.window, 4 * SLOT - BLOCK, BLOCK), 0);
	assert_int_equal(window_peek(f.window, GPA + 4 * SLOT - 8, buf, 8), 0);
	assert_int_equal(window_peek(f.window, GPA + 4 * SLOT - 8, buf, 9), -EFAULT);
	assert_int_equal(window_peek(f.window, GPA + 4 * SLOT, buf, 1), -EFAULT);
	close_fixture(&f);
}

/* Whole pages of plugged blocks go, and nothing else changes: not what is exposed, not what may be written. */
static void discarded_stays_plugged(void **state)
{
	const enum backing_kind kinds[] = { BACKING_ANONYMOUS, BACKING_MEMFD };
	struct backing huge = { .kind = BACKING_HUGETLB };
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct window_config config = { .name = "test",
			.gpa = GPA,
			.size = 4 * SLOT,
			.block_bytes = BLOCK,
			.slot_bytes = SLOT,
			.backing = kinds[i] };
		struct iovec part;
		struct guestmem_pin pin = { .parts = &part, .count = 1 };
		struct guestmem mem = { 0 };
		uint64_t held;
		struct fixture f;
		uint8_t *hva;

		fake_kvm_install();
		open_configured(&f, &config, FAKE_KVM_FD, 64);
		hva = window_hva(f.window);
		assert_int_equal(guestmem_add(&mem,
					 &(struct guestmem_range){ GPA, 4 * SLOT, hva, f.window }),
			0);
		assert_int_equal(window_plug(f.window, BLOCK, 2 * BLOCK), 0);
		assert_int_equal(window_plug(f.window, 4 * BLOCK, BLOCK), 0);
		memset(hva + BLOCK, 0x5a, 2 * BLOCK);
		held = resident(&f);
		/* Of the first and the last page only a part. */
		assert_int_equal(guestmem_discard(&mem, GPA + BLOCK + 1, 2 * BLOCK - 2), 0);
		assert_int_equal(resident(&f), held - 2 * BLOCK + 2 * page);
		assert_true(hva[BLOCK] == 0x5a && hva[BLOCK + page - 1] == 0x5a);
		assert_true(hva[3 * BLOCK - page] == 0x5a && hva[3 * BLOCK - 1] == 0x5a);
		assert_true(hva[BLOCK + page] == 0 && hva[3 * BLOCK - page - 1] == 0);
		/* Less than a page is none, which no host is asked for. */
		assert_int_equal(guestmem_discard(&mem, GPA + BLOCK, page - 1), 0);
		assert_int_equal(hva[BLOCK], 0x5a);
		assert_int_equal(exposed(&f), 3 * BLOCK);
		assert_true(can_write(hva + 2 * BLOCK));
		assert_int_equal(window_state(f.window, BLOCK, 2 * BLOCK), WINDOW_PLUGGED);
		/* Nothing of what is not wholly the guest's, wraps, or is in use. */
		hva[2 * BLOCK] = 0x5a;
		assert_int_equal(guestmem_discard(&mem, GPA + 2 * BLOCK, BLOCK + 1), -EFAULT);
		assert_int_equal(guestmem_discard(&mem, GPA + 2 * BLOCK, 3 * BLOCK), -EFAULT);
		assert_int_equal(guestmem_discard(&mem, GPA, BLOCK), -EFAULT);
		assert_int_equal(guestmem_discard(&mem, GPA - page, 2 * page), -EFAULT);
		assert_int_equal(guestmem_discard(&mem, GPA + 2 * BLOCK, UINT64_MAX), -EFAULT);
		assert_int_equal(guestmem_discard(&mem, UINT64_MAX - 1, 4), -EFAULT);
		part = (struct iovec){ hva + 2 * BLOCK + page, 1 };
		guestmem_pin(&mem, &pin);
		assert_int_equal(guestmem_discard(&mem, GPA + 2 * BLOCK, 2 * page), -EBUSY);
		assert_int_equal(hva[2 * BLOCK], 0x5a);
		guestmem_unpin(&pin);
		assert_int_equal(guestmem_discard(&mem, GPA + 2 * BLOCK, 2 * page), 0);
		assert_int_equal(hva[2 * BLOCK], 0);
		/* A host that refuses. */
		hva[2 * BLOCK] = 0x5a;
		fake_kvm.fail_one_in = 1;
		assert_true(guestmem_discard(&mem, GPA + 2 * BLOCK, page) < 0);
		fake_kvm.fail_one_in = 0;
		assert_int_equal(hva[2 * BLOCK], 0x5a);
		close_fixture(&f);
	}
	assert_int_equal(backing_discard(&huge, 0, BLOCK), -ENOTSUP);
}

static void one_tebibyte_costs_nothing(void **state)
{
	struct fixture f;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, TiB, STRAY_READS_ZERO, FAKE_KVM_FD, 32767);
	assert_int_equal(window_plug(f.window, TiB - BLOCK, BLOCK), 0);
	assert_int_equal(exposed(&f), BLOCK);
	assert_int_equal(window_unplug_all(f.window), 0);
	close_fixture(&f);
}

/* Random requests against a plain model, each with a random failure somewhere. */
static void random_requests_with_failures(void **state)
{
	enum { BLOCKS = 64, STEPS = 20000 };
	uint8_t model[BLOCKS] = { 0 }; /* 0: unplugged, else the byte the block is filled with */
	unsigned seed = 1, busy = 0;
	struct fixture f;

	(void)state;
	fake_kvm_install();
	open_fixture(&f, BLOCKS * BLOCK, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned first = (unsigned)rand_r(&seed) % BLOCKS;
		unsigned count = 1 + (unsigned)rand_r(&seed) % 12, plugged = 0;
		uint8_t *hva = window_hva(f.window);
		int err = 0;

		if (count > BLOCKS - first)
			count = BLOCKS - first;
		for (unsigned i = first; i < first + count; i++)
			plugged += model[i] != 0;
		assert_int_equal(window_state(f.window, first * BLOCK, count * BLOCK),
			plugged == 0	   ? WINDOW_UNPLUGGED
			: plugged == count ? WINDOW_PLUGGED
					   : WINDOW_MIXED);
		fake_kvm.calls = 0;
		fake_kvm.fail_at = (unsigned)rand_r(&seed) % 8; /* 0 and beyond: none */
		if (plugged == 0) {
			err = window_plug(f.window, first * BLOCK, count * BLOCK);
			for (unsigned i = first; i < first + count && !err; i++) {
				model[i] = (uint8_t)(1 + step % 255);
				assert_int_equal(hva[i * BLOCK], 0);
				hva[i * BLOCK] = model[i];
			}
		} else if (plugged == count) {
			err = window_unplug(f.window, first * BLOCK, count * BLOCK);
			if (!err)
				memset(model + first, 0, count);
		} else if (step % 64 == 0) {
			err = window_unplug_all(f.window);
			if (!err)
				memset(model, 0, sizeof(model));
		}
		fake_kvm.fail_at = 0;
		busy += err != 0;
		plugged = 0;
		for (unsigned i = 0; i < BLOCKS; i++) {
			plugged += model[i] != 0;
			assert_int_equal(hva[i * BLOCK], model[i]);
			if (model[i])
				assert_non_null(fake_kvm_slot_at(GPA + i * BLOCK));
		}
		assert_int_equal(window_plugged_bytes(f.window), plugged * BLOCK);
		if (step % 50 == 0)
			assert_int_equal(exposed(&f), plugged * BLOCK);
	}
	assert_true(busy > 100);
	close_fixture(&f);
}

/* Slot ioctls are the same on every architecture: the real KVM judges ours. */
static void real_kvm_agrees(void **state)
{
	struct fixture f;
	int kvm, vm;

	(void)state;
	kvm_seam = &kvm_kernel;
	kvm = kvm_open();
	if (kvm < 0) {
		print_message("# no usable /dev/kvm here (%s)\n", strerror(-kvm));
		skip();
	}
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	assert_true(vm >= 0);
	open_fixture(&f, 64 * SLOT, STRAY_READS_ZERO, vm,
		(unsigned)kvm_extension(kvm, KVM_CAP_NR_MEMSLOTS));
	assert_int_equal(
		window_plug(f.window, SLOT, 40 * SLOT), -EAGAIN); /* a turn for 32 of them */
	assert_int_equal(window_plug(f.window, SLOT, 40 * SLOT), 0);
	assert_int_equal(f.slots.open, 40);
	assert_int_equal(window_unplug(f.window, 2 * SLOT, 10 * SLOT), 0);
	run_for(&f, 1300);
	assert_int_equal(f.slots.open, 30);
	assert_int_equal(window_plug(f.window, 2 * SLOT, 2 * SLOT), 0);
	assert_int_equal(f.slots.open, 32);
	assert_int_equal(exposed(&f), 32 * SLOT);
	close_fixture(&f);
	close(vm);
	close(kvm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_follow_blocks),
		cmocka_unit_test(a_busy_slot_keeps_no_other_open),
		cmocka_unit_test(unplugged_holds_nothing),
		cmocka_unit_test(zeros_cost_no_pages),
		cmocka_unit_test(refused_close_is_retried),
		cmocka_unit_test(a_failing_plug_changes_nothing),
		cmocka_unit_test(a_failing_unplug_changes_nothing),
		cmocka_unit_test(slots_run_out),
		cmocka_unit_test(mappings_run_out),
		cmocka_unit_test(mappings_are_counted_rarely),
		cmocka_unit_test(unplug_all_is_refused),
		cmocka_unit_test(a_failing_plug_closes_no_other_slot),
		cmocka_unit_test(a_failing_plug_leaves_no_hole),
		cmocka_unit_test(slots_close_a_few_at_a_time),
		cmocka_unit_test(a_large_slot_closes_in_steps),
		cmocka_unit_test(plugged_while_closing),
		cmocka_unit_test(expensive_changes_are_few),
		cmocka_unit_test(a_gibibyte_takes_so_many_flushes),
		cmocka_unit_test(detach_empties),
		cmocka_unit_test(the_gate_sees_plugged_blocks_only),
		cmocka_unit_test(discarded_stays_plugged),
		cmocka_unit_test(one_tebibyte_costs_nothing),
		cmocka_unit_test(random_requests_with_failures),
		cmocka_unit_test(real_kvm_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
