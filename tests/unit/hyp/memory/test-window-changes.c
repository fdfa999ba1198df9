/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes of a window leave behind, and when: time passes by hand. Which generation the map has,
 * what goes on at the limit of mappings, what a refusal leaves, when a slot closes, and what is pending.
 */
#include <errno.h>
#include <sys/mman.h>

#include "tests/unit/helpers/fake-listener.h"
#include "tests/unit/helpers/fake-loop.h"
#include "hyp/kvm/kvm.h"
#include "tests/unit/helpers/window-bench.h"

#define DELAY_MS 1000 /* until an emptied slot closes, and until a refused call is made again */

static uint64_t generation(struct fixture *f)
{
	return atomic_load(&f->slots.generation);
}

/* A vCPU whose access failed meanwhile makes it again. */
static void every_change_is_another_generation(void **state)
{
	struct fixture f;
	uint64_t before;

	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	before = generation(&f);
	assert_int_equal(window_plug(f.window, 0, 2 * BLOCK), 0);
	assert_int_not_equal(generation(&f), before);
	before = generation(&f);
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0); /* its slot stays */
	assert_int_not_equal(generation(&f), before);
	before = generation(&f);
	assert_int_equal(window_unplug_all(f.window), 0);
	assert_int_not_equal(generation(&f), before);
	before = generation(&f);
	fake_loop_advance(DELAY_MS);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_not_equal(generation(&f), before);
	/* A refused plug has opened a slot and closed it again. */
	before = generation(&f);
	fake_kvm.fail_at = fake_kvm.calls + 2;
	assert_int_equal(window_plug(f.window, 0, BLOCK), -EBUSY);
	assert_int_not_equal(generation(&f), before);
	/* What was refused before it did anything is none. */
	before = generation(&f);
	f.slots.mappings.limit = 2;
	assert_int_equal(window_plug(f.window, 0, BLOCK), -EBUSY);
	assert_int_equal(generation(&f), before);
	close_fixture(&f);
}

/* A process that maps the file of a slot finds the guest's memory there, at the offset that the slot has. */
static void a_slot_names_its_file(void **state)
{
	static const enum backing_kind kinds[] = { BACKING_ANONYMOUS, BACKING_MEMFD };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct window_config config = {
			.name = "test",
			.gpa = GPA,
			.size = 4 * SLOT,
			.block_bytes = BLOCK,
			.slot_bytes = SLOT,
			.backing = kinds[i],
		};
		struct fake_listener other;
		struct fixture f;
		uint8_t byte = 0;

		fake_kvm_install();
		open_configured(&f, &config, FAKE_KVM_FD, 64);
		fake_listener_init(&other, "other", 64);
		assert_int_equal(slots_add_listener(&f.slots, &other.listener), 0);
		assert_int_equal(window_plug(f.window, 2 * SLOT + BLOCK, BLOCK), 0);
		assert_int_equal(other.last.gpa, GPA + 2 * SLOT);
		assert_ptr_equal(other.last.hva, window_hva(f.window) + 2 * SLOT);
		window_hva(f.window)[2 * SLOT + BLOCK + 5] = 0x5a;
		if (kinds[i] == BACKING_ANONYMOUS) {
			assert_int_equal(other.last.fd, -1);
		} else {
			assert_int_equal(pread(other.last.fd, &byte, 1, (off_t)(other.last.fd_offset + BLOCK + 5)), 1);
			assert_int_equal(byte, 0x5a);
		}
		close_fixture(&f);
	}
}

/* Near vm.max_map_count only what lies between plugged blocks is refused: the rest is the way back. */
static void the_way_back_is_open_at_the_limit(void **state)
{
	const uint64_t last = SLOT / BLOCK - 1;
	struct fixture f;

	fake_kvm_install();
	open_fixture(&f, SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, SLOT), 0);
	f.slots.mappings.limit = 2;
	assert_int_equal(window_unplug(f.window, BLOCK, BLOCK), -EBUSY);
	assert_int_equal(window_unplug(f.window, (last - 1) * BLOCK, BLOCK), -EBUSY);
	/* The first and the last of the window. */
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, last * BLOCK, BLOCK), 0);
	/* Beside one that is plugged, on either side. */
	assert_int_equal(window_unplug(f.window, BLOCK, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, (last - 1) * BLOCK, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 3 * BLOCK, BLOCK), -EBUSY);
	/* Beside none. */
	assert_int_equal(window_unplug(f.window, 2 * BLOCK, (last - 3) * BLOCK), 0);
	assert_int_equal(window_plugged_bytes(f.window), 0);
	assert_int_equal(window_plug(f.window, 0, BLOCK), -EBUSY);
	close_fixture(&f);
}

/* A slot that a listener does not let go of would keep the mappings of its drain for as long. */
static void a_refused_close_keeps_no_mappings(void **state)
{
	struct fixture f;
	uint64_t before;

	fake_kvm_install();
	open_slots_of(&f, 8 * SLOT, 32 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	before = real_mappings();
	for (unsigned i = 0; i < 4; i += 2)
		assert_int_equal(window_plug(f.window, i * 8 * SLOT, BLOCK), 0);
	assert_int_equal(window_unplug_all(f.window), 0);
	fake_kvm.fail_closing = true;
	fake_loop_advance(DELAY_MS);
	assert_int_equal(fake_kvm.failed, 2);
	assert_int_equal(fake_kvm.open, 2);
	assert_true(can_read(window_hva(f.window)));
	assert_true(can_read(window_hva(f.window) + 7 * SLOT));
	assert_int_equal(real_mappings(), before);
	/* It is tried again after a second, from the start. */
	fake_loop_advance(DELAY_MS - 1);
	assert_int_equal(fake_kvm.failed, 2);
	fake_loop_advance(1);
	assert_int_equal(fake_kvm.failed, 4);
	fake_kvm.fail_closing = false;
	fake_loop_advance(DELAY_MS);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(fake_loop_timers(), 0);
	close_fixture(&f);
}

static void slots_close_after_a_second(void **state)
{
	struct fixture f;

	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, 2 * SLOT), 0);
	assert_int_equal(window_unplug(f.window, 0, SLOT), 0);
	fake_loop_advance(DELAY_MS / 2);
	assert_int_equal(window_unplug(f.window, SLOT, SLOT), 0);
	fake_loop_advance(DELAY_MS / 2 - 1);
	assert_int_equal(fake_kvm.open, 2);
	fake_loop_advance(1);
	assert_int_equal(fake_kvm.open, 1);
	assert_null(fake_kvm_slot_at(GPA));
	/* Emptied once more, it waits anew. */
	assert_int_equal(window_plug(f.window, SLOT, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, SLOT, BLOCK), 0);
	fake_loop_advance(DELAY_MS - 1);
	assert_int_equal(fake_kvm.open, 1);
	fake_loop_advance(1);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(fake_loop_timers(), 0);
	/* Used again while it waits it stays, and nothing waits any more. */
	assert_int_equal(window_plug(f.window, 0, 2 * BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 0, 2 * BLOCK), 0);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	fake_loop_advance(DELAY_MS);
	assert_int_equal(fake_kvm.open, 1);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	fake_loop_advance(DELAY_MS);
	assert_int_equal(fake_kvm.open, 0);
	/* In another order than the time before. */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(window_plug(f.window, 0, 2 * SLOT), 0);
		assert_int_equal(window_unplug(f.window, i * SLOT, SLOT), 0);
		assert_int_equal(window_unplug(f.window, (1 - i) * SLOT, SLOT), 0);
		fake_loop_advance(DELAY_MS);
		assert_int_equal(fake_kvm.open, 0);
	}
	/* All of several at once, too. */
	assert_int_equal(window_plug(f.window, 0, 4 * SLOT), 0);
	assert_int_equal(window_unplug_all(f.window), 0);
	fake_loop_advance(DELAY_MS - 1);
	assert_int_equal(fake_kvm.open, 4);
	fake_loop_advance(1);
	assert_int_equal(fake_kvm.open, 0);
	close_fixture(&f);
}

/* One step of a drain is 16 MiB: a slot that large is closed at once, a larger one after as many as it takes. */
static void slots_above_a_step_are_drained(void **state)
{
	static const struct {
		uint64_t slot_bytes;
		enum stray_reads reads;
		unsigned calls; /* to close it, and to restore the protection of unplugged blocks */
	} cases[] = {
		{ SLOT, STRAY_READS_ZERO, 1 }, { SLOT + BLOCK, STRAY_READS_ZERO, 1 + 1 + 1 },
		{ 2 * SLOT, STRAY_READS_ZERO, 1 + 1 + 1 },
		{ 2 * SLOT + BLOCK, STRAY_READS_ZERO, 2 + 1 + 1 },
		{ 4 * SLOT, STRAY_READS_ABORT, 1 }, /* nothing was read there */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;

		fake_kvm_install();
		open_slots_of(&f, cases[i].slot_bytes, 8 * SLOT, cases[i].reads, FAKE_KVM_FD, 64);
		assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
		assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
		fake_kvm.calls = 0;
		fake_loop_advance(DELAY_MS);
		assert_int_equal(fake_kvm.open, 0);
		assert_int_equal(fake_kvm.calls, cases[i].calls);
		close_fixture(&f);
	}
}

/* Nothing is plugged of these, and nobody can write there. */
static void assert_nothing_exposed(struct fixture *f)
{
	uint64_t exposed;

	assert_int_equal(window_exposed_bytes(f->window, &exposed), 0);
	assert_int_equal(exposed, 0);
	assert_int_equal(window_plugged_bytes(f->window), 0);
}

/* A plug of many slots opens 32 a turn, and exposes nothing before its last one: then all of it at once. */
static void a_plug_of_many_slots_has_turns(void **state)
{
	const unsigned slots = 3000;
	struct fixture f;
	unsigned turns;
	int err;

	fake_kvm_install();
	open_slots_of(&f, BLOCK, 4096 * BLOCK, STRAY_READS_ZERO, FAKE_KVM_FD, FAKE_KVM_SLOTS);
	for (turns = 1; (err = window_plug(f.window, BLOCK, slots * BLOCK)) == -EAGAIN; turns++) {
		assert_int_equal(fake_kvm.open, 32 * turns);
		assert_nothing_exposed(&f);
		fake_loop_advance(50); /* longer in all than an empty slot stays open */
	}
	assert_int_equal(err, 0);
	assert_int_equal(turns, slots / 32 + 1);
	assert_int_equal(fake_kvm.open, slots);
	assert_int_equal(window_plugged_bytes(f.window), slots * BLOCK);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(fake_kvm.open, slots);
	close_fixture(&f);
}

/* 32 at once need no turn of their own, nor do more slots that are open. */
static void a_plug_of_few_slots_has_none(void **state)
{
	struct fixture f;

	fake_kvm_install();
	open_slots_of(&f, BLOCK, 4096 * BLOCK, STRAY_READS_ZERO, FAKE_KVM_FD, FAKE_KVM_SLOTS);
	assert_int_equal(window_plug(f.window, 0, 32 * BLOCK), 0);
	assert_int_equal(window_plug(f.window, 32 * BLOCK, 32 * BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 0, 64 * BLOCK), 0);
	assert_int_equal(window_plug(f.window, 0, 96 * BLOCK), 0);
	assert_int_equal(fake_kvm.open, 96);
	close_fixture(&f);
}

/* A plug that nobody comes back to, and one that is refused on the way, leave no slot open, and change nothing. */
static void a_plug_that_is_given_up(void **state)
{
	struct fixture f;

	fake_kvm_install();
	open_slots_of(&f, BLOCK, 4096 * BLOCK, STRAY_READS_ZERO, FAKE_KVM_FD, FAKE_KVM_SLOTS);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(window_plug(f.window, 0, 1000 * BLOCK), -EAGAIN);
	assert_int_equal(fake_kvm.open, 96);
	/* A part of it is another plug, and stays. */
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(fake_kvm.open, 1);
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(window_plug(f.window, 0, 1000 * BLOCK), -EAGAIN);
	fake_kvm.fail_at = fake_kvm.calls + 8;
	assert_int_equal(window_plug(f.window, 0, 1000 * BLOCK), -EBUSY);
	assert_int_equal(fake_kvm.open, 32); /* those of this turn were closed again */
	assert_nothing_exposed(&f);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(fake_kvm.open, 0);
	/* The map goes meanwhile: nothing is left of it. */
	assert_int_equal(window_plug(f.window, 0, 1000 * BLOCK), -EAGAIN);
	close_fixture(&f);
}

/* ---- A large plug ---- */

static struct kvm_seam slow_advice;
static int (*fast_advise)(void *, size_t, int);
static unsigned drops;
static size_t largest_drop;

static int slow_advise(void *at, size_t size, int advice)
{
	if (advice == MADV_DONTNEED) {
		drops++;
		largest_drop = size > largest_drop ? size : largest_drop;
		fake_loop_advance_alone(2);
	}
	return fast_advise(at, size, advice);
}

/* What a guest has read everywhere are page tables, which a large plug drops in turns before it exposes anything. */
static void a_plug_drops_page_tables_in_turns(void **state)
{
	const uint64_t size = 256 * BLOCK;
	unsigned turns = 0, all = 0;
	struct fixture f;
	int err;

	fake_kvm_install();
	open_slots_of(&f, 2 * GiB, 32 * GiB, STRAY_READS_ZERO, FAKE_KVM_FD, 1024);
	slow_advice = *kvm_seam;
	fast_advise = slow_advice.advise;
	slow_advice.advise = slow_advise;
	kvm_seam = &slow_advice;
	for (uint64_t at = 0; at < size; at += 4 * BLOCK)
		assert_int_equal(((volatile uint8_t *)window_hva(f.window))[at], 0);
	largest_drop = 0;
	do {
		drops = 0;
		err = window_plug(f.window, 0, size);
		assert_in_range(drops, 0, 3);
		if (err) {
			assert_int_equal(err, -EAGAIN);
			assert_nothing_exposed(&f);
			assert_int_equal(fake_kvm.open, 0);
		}
		all += drops;
		turns++;
	} while (err);
	assert_int_equal(all, size / (16 * MiB));
	assert_int_equal(largest_drop, 16 * MiB);
	assert_in_range(turns, all / 3, all);
	assert_int_equal(exposed(&f), size);
	assert_int_equal(resident(&f), 0);
	assert_int_equal(window_unplug_all(f.window), 0);
	/* Another request than the one that was begun starts anew; one without page tables takes none of this. */
	for (uint64_t at = 0; at < size; at += 4 * BLOCK)
		assert_int_equal(((volatile uint8_t *)window_hva(f.window))[at], 0);
	assert_int_equal(window_plug(f.window, 0, size), -EAGAIN);
	drops = 0;
	assert_int_equal(window_plug(f.window, size, 4 * BLOCK), 0);
	assert_int_equal(drops, 0);
	assert_int_equal(window_plug(f.window, 0, 4 * BLOCK), 0);
	/* Searching takes time, too: so much of it a turn. */
	assert_int_equal(window_plug(f.window, 2 * GiB, 8 * GiB), 0);
	assert_int_equal(window_plug(f.window, 10 * GiB, 8 * GiB + BLOCK), -EAGAIN);
	assert_int_equal(window_plug(f.window, 10 * GiB, 8 * GiB + BLOCK), 0);
	kvm_seam = &slow_advice;
	close_fixture(&f);
}

/* ---- Unplugging much ---- */

#define MUCH (256 * BLOCK) /* 512 MiB: 16 of them at once, the rest in turns */

/* The host takes so long for a mapping, and refuses one. */
static struct kvm_seam slow_host;
static int (*fast_map)(void *, size_t, int, int, int, uint64_t, void **);
static unsigned maps, refuse_map, refuse_more; /* the call that is refused, and how many behind it */
static size_t largest_map, map_unit = 1; /* each is a multiple of it */

static int slow_map(
	void *at, size_t size, int protection, int flags, int fd, uint64_t offset, void **ret)
{
	if (refuse_map && !--refuse_map) {
		refuse_map = refuse_more > 0;
		refuse_more -= refuse_more > 0;
		return -ENOMEM;
	}
	maps++;
	assert_int_equal(size % map_unit, 0);
	largest_map = size > largest_map ? size : largest_map;
	fake_loop_advance_alone(2);
	return fast_map(at, size, protection, flags, fd, offset, ret);
}

static unsigned ends;

static void count_end(void *opaque)
{
	ends++;
}

static void watch_maps(struct fixture *f)
{
	window_unplug_in_turns(f->window, count_end, NULL);
	slow_host = *kvm_seam;
	fast_map = slow_host.map;
	slow_host.map = slow_map;
	kvm_seam = &slow_host;
	ends = maps = refuse_map = refuse_more = 0;
	largest_map = 0;
}

static void open_much_of(struct fixture *f, uint64_t slot_bytes)
{
	fake_kvm_install();
	open_slots_of(f, slot_bytes, 8 * MUCH, STRAY_READS_ZERO, FAKE_KVM_FD, 1024);
	watch_maps(f);
}

static void open_much(struct fixture *f)
{
	open_much_of(f, 4 * SLOT);
}

static uint64_t exposed_bytes(struct fixture *f)
{
	uint64_t exposed;

	assert_int_equal(window_exposed_bytes(f->window, &exposed), 0);
	return exposed;
}

/* Turns of the loop until it has ended; in each no more calls than until 5 ms are over, and one. */
static unsigned turns_to_the_end(struct fixture *f)
{
	unsigned turns = 0;

	largest_map = 0;
	for (; !ends; turns++) {
		maps = 0;
		assert_int_equal(window_plug(f->window, 0, BLOCK), -EBUSY);
		assert_int_equal(window_unplug_all(f->window), -EBUSY);
		assert_true(turns < 1000);
		fake_loop_fire();
		assert_in_range(maps, 0, 3);
	}
	assert_in_range(largest_map, 0, 16 * MiB);
	assert_int_equal(ends, 1);
	return turns;
}

/* More than 16 MiB: the caller, who asks for all of it, finds it gone at once, and vCPUs lose it in turns. */
static void much_is_unplugged_in_turns(void **state)
{
	struct fixture f;

	open_much(&f);
	assert_int_equal(window_plug(f.window, BLOCK, MUCH), 0);
	assert_int_equal(window_unplug(f.window, BLOCK, 8 * BLOCK), 0);
	assert_int_equal(maps, 1);
	assert_int_equal(window_plug(f.window, BLOCK, 8 * BLOCK), 0);
	assert_int_equal(window_unplug(f.window, BLOCK, MUCH), -EINPROGRESS);
	assert_int_equal(exposed_bytes(&f), MUCH - 8 * BLOCK);
	assert_int_equal(window_state(f.window, BLOCK, MUCH), WINDOW_UNPLUGGED);
	assert_int_equal(window_lookup(f.window, GPA + MUCH), WINDOW_BLOCK_UNPLUGGED);
	/* It is not less before all is gone. */
	assert_int_equal(window_plugged_bytes(f.window), MUCH);
	assert_int_equal(turns_to_the_end(&f), 11); /* 33 pieces, by slots of 64 MiB */
	assert_int_equal(window_plugged_bytes(f.window), 0);
	assert_int_equal(exposed_bytes(&f), 0);
	assert_int_equal(fake_kvm.open, 9);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(ends, 1);
	close_fixture(&f);
}

/* Of blocks above 16 MiB, as huge pages of 32 MiB are, each piece is one: the host can replace no part of such a page. */
static void pieces_are_whole_blocks(void **state)
{
	struct window_config config = { .name = "test",
		.gpa = GPA,
		.size = 512 * MiB,
		.block_bytes = 32 * MiB,
		.slot_bytes = 64 * MiB,
		.stray_reads = STRAY_READS_ZERO };
	struct fixture f;

	fake_kvm_install();
	open_configured(&f, &config, FAKE_KVM_FD, 1024);
	watch_maps(&f);
	map_unit = config.block_bytes;
	for (unsigned all = 0; all < 2; all++) {
		assert_int_equal(window_plug(f.window, 0, 128 * MiB), 0);
		assert_int_equal(all ? window_unplug_all(f.window) : window_unplug(f.window, 0, 128 * MiB),
			-EINPROGRESS);
		for (ends = 0; !ends;)
			fake_loop_fire();
		assert_int_equal(exposed_bytes(&f), 0);
	}
	assert_int_equal(largest_map, config.block_bytes);
	map_unit = 1;
	close_fixture(&f);
}

/* As all that is plugged here and there, and only where something is. */
static void all_is_unplugged_in_turns(void **state)
{
	struct fixture f;

	open_much(&f);
	for (unsigned i = 0; i < 96; i++)
		assert_int_equal(window_plug(f.window, 2 * i * BLOCK, BLOCK), 0);
	assert_int_equal(window_plug(f.window, 7 * MUCH, BLOCK), 0);
	maps = 0;
	assert_int_equal(window_unplug_all(f.window), -EINPROGRESS);
	assert_int_equal(maps, 1);
	assert_int_equal(window_plugged_bytes(f.window), 97 * BLOCK);
	assert_int_equal(turns_to_the_end(&f),
		10); /* 7 slots of 64 MiB: 28 pieces, and those that are skipped */
	assert_int_equal(window_plugged_bytes(f.window), 0);
	assert_int_equal(exposed_bytes(&f), 0);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(fake_kvm.open, 0);
	/* Little of it goes at once, as nothing does. */
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_unplug_all(f.window), 0);
	assert_int_equal(window_unplug_all(f.window), 0);
	assert_int_equal(ends, 1);
	close_fixture(&f);
}

/* A first piece that the host refuses changes nothing. What it refuses later is retried later, and that is the end. */
static void a_refusal_while_much_is_unplugged(void **state)
{
	struct fixture f;

	open_much(&f);
	assert_int_equal(window_plug(f.window, 0, MUCH), 0);
	for (unsigned all = 0; all < 2; all++) {
		refuse_map = 1;
		assert_int_equal(
			all ? window_unplug_all(f.window) : window_unplug(f.window, 0, MUCH),
			-EBUSY);
		assert_int_equal(exposed_bytes(&f), MUCH);
		assert_int_equal(window_plugged_bytes(f.window), MUCH);
		assert_int_equal(window_state(f.window, 0, MUCH), WINDOW_PLUGGED);
	}
	refuse_map = 12;
	assert_int_equal(window_unplug(f.window, 0, MUCH), -EINPROGRESS);
	turns_to_the_end(&f);
	assert_int_equal(exposed_bytes(&f), MUCH - 10 * 16 * MiB);
	assert_int_equal(window_plug(f.window, 0, BLOCK), -EBUSY);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(exposed_bytes(&f), 0);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	close_fixture(&f);
}

/* The host still has to reclaim MUCH less its first 16 MiB, in one slot that stays open: no close intervenes. */
static void open_with_pending(struct fixture *f)
{
	open_much_of(f, 8 * MUCH);
	assert_int_equal(window_plug(f->window, 0, MUCH), 0);
	assert_int_equal(window_plug(f->window, 2 * MUCH, BLOCK), 0);
	refuse_map = 2;
	assert_int_equal(window_unplug(f->window, 0, MUCH), -EINPROGRESS);
	fake_loop_fire();
	assert_int_equal(ends, 1);
	assert_int_equal(exposed_bytes(f), MUCH + BLOCK - 16 * MiB);
	assert_int_equal(fake_loop_timers(), 1);
}

/* However much the host did not reclaim, it goes in turns when the host is asked again. */
static void what_is_pending_goes_in_turns(void **state)
{
	unsigned turns = 0;
	struct fixture f;

	open_with_pending(&f);
	largest_map = 0;
	for (; fake_loop_timers(); turns++) {
		maps = 0;
		assert_int_equal(window_plug(f.window, 0, BLOCK), -EBUSY);
		fake_loop_fire();
		assert_in_range(maps, 1, 3);
	}
	assert_int_equal(turns, 11); /* 32 pieces */
	assert_int_equal(largest_map, 16 * MiB);
	assert_int_equal(exposed_bytes(&f), BLOCK);
	assert_int_equal(window_plug(f.window, 0, MUCH), 0);
	close_fixture(&f);
}

/* Where the host has no mapping for a piece it may have one for all of it; where it has none at all it is asked later. */
static void what_is_pending_takes_no_mappings(void **state)
{
	struct fixture f;

	open_with_pending(&f);
	/* The third piece, and then all. */
	refuse_map = 3;
	refuse_more = 1;
	fake_loop_fire();
	assert_int_equal(exposed_bytes(&f), MUCH + BLOCK - 2 * 16 * MiB);
	fake_loop_advance(DELAY_MS - 10);
	assert_int_equal(exposed_bytes(&f), MUCH + BLOCK - 2 * 16 * MiB);
	/* A second later a piece, and not all. */
	refuse_map = 1;
	largest_map = maps = 0;
	fake_loop_fire();
	assert_int_equal(maps, 1);
	assert_int_equal(largest_map, MUCH - 2 * 16 * MiB);
	assert_int_equal(exposed_bytes(&f), BLOCK);
	assert_int_equal(window_plug(f.window, 0, MUCH), 0);
	close_fixture(&f);
}

/* window_finish_unplug() ends it now; and a map that goes takes all with it. Without a callback it ends at once. */
static void much_is_unplugged_now(void **state)
{
	struct fixture f;

	open_much(&f);
	window_finish_unplug(f.window);
	assert_int_equal(ends, 0);
	assert_int_equal(window_plug(f.window, 0, MUCH), 0);
	assert_int_equal(window_unplug(f.window, 0, MUCH), -EINPROGRESS);
	window_finish_unplug(f.window);
	assert_int_equal(ends, 1);
	assert_int_equal(exposed_bytes(&f), 0);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(ends, 1);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(window_plug(f.window, 0, MUCH), 0);
	window_unplug_in_turns(f.window, NULL, NULL);
	maps = 0;
	assert_int_equal(window_unplug(f.window, 0, MUCH), 0);
	assert_int_equal(maps, 1);
	assert_int_equal(window_plug(f.window, 0, MUCH), 0);
	window_unplug_in_turns(f.window, count_end, NULL);
	assert_int_equal(window_unplug_all(f.window), -EINPROGRESS);
	close_fixture(&f);
	assert_int_equal(fake_loop_timers(), 0);
}

static void open_memfd(struct fixture *f)
{
	const struct window_config config = { .name = "test",
		.gpa = GPA,
		.size = 4 * SLOT,
		.block_bytes = BLOCK,
		.slot_bytes = SLOT,
		.backing = BACKING_MEMFD };

	fake_kvm_install();
	open_configured(f, &config, FAKE_KVM_FD, 64);
}

/* What a file does not free is retried every second, and nothing else goes on before. */
static void what_is_pending_comes_first(void **state)
{
	struct fixture f;

	open_memfd(&f);
	assert_int_equal(window_plug(f.window, 0, 3 * BLOCK), 0);
	memset(window_hva(f.window), 0x5a, 3 * BLOCK);
	fake_kvm.fail_punching = true;
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	assert_false(can_write(window_hva(f.window)));
	assert_int_equal(window_plugged_bytes(f.window), 2 * BLOCK);
	fake_kvm.calls = 0;
	assert_int_equal(window_plug(f.window, 0, BLOCK), -EBUSY);
	assert_int_equal(window_unplug(f.window, BLOCK, BLOCK), -EBUSY);
	assert_int_equal(window_unplug_all(f.window), -EBUSY);
	assert_int_equal(fake_kvm.calls, 0);
	fake_loop_advance(DELAY_MS); /* refused again; and the slot stays, two blocks are plugged */
	assert_true(fake_kvm.calls > 0);
	fake_kvm.fail_punching = false;
	fake_loop_advance(DELAY_MS - 1);
	assert_int_equal(window_plug(f.window, 0, BLOCK), -EBUSY);
	fake_loop_advance(1);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_hva(f.window)[0], 0);
	assert_int_equal(window_hva(f.window)[BLOCK], 0x5a);
	close_fixture(&f);
}

/* An unplug of all whose memory is pending is retried in full. */
static void all_of_it_is_pending(void **state)
{
	struct fixture f;

	open_memfd(&f);
	assert_int_equal(window_plug(f.window, 3 * SLOT, SLOT), 0);
	memset(window_hva(f.window) + 3 * SLOT, 0x5a, SLOT);
	fake_kvm.fail_punching = true;
	assert_int_equal(window_unplug_all(f.window), 0);
	fake_kvm.fail_punching = false;
	assert_int_equal(window_plug(f.window, 4 * SLOT - BLOCK, BLOCK), -EBUSY);
	fake_loop_advance(DELAY_MS);
	assert_int_equal(window_plug(f.window, 4 * SLOT - BLOCK, BLOCK), 0);
	assert_int_equal(window_hva(f.window)[4 * SLOT - BLOCK], 0);
	assert_int_equal(window_hva(f.window)[4 * SLOT - 1], 0);
	close_fixture(&f);
}

static void open_expensive(struct fixture *f)
{
	const struct window_config config = { .name = "test",
		.gpa = GPA,
		.size = 4 * SLOT,
		.block_bytes = BLOCK,
		.slot_bytes = SLOT,
		.expensive_unmaps = true };

	fake_kvm_install();
	open_configured(f, &config, FAKE_KVM_FD, 64);
}

/* Where unmaps are expensive, slots close before the host is asked: what it refuses then is retried later. */
static void what_is_refused_after_a_close_is_pending(void **state)
{
	for (unsigned all = 0; all < 2; all++) {
		struct fixture f;

		open_expensive(&f);
		assert_int_equal(window_plug(f.window, 0, 2 * SLOT), 0);
		memset(window_hva(f.window), 0x5a, 2 * SLOT);
		fake_kvm.fail_mapping = true;
		assert_int_equal(
			all ? window_unplug_all(f.window) : window_unplug(f.window, 0, SLOT), 0);
		assert_int_equal(fake_kvm.open, all ? 0 : 1);
		assert_int_equal(window_plugged_bytes(f.window), all ? 0 : SLOT);
		assert_int_equal(window_plug(f.window, 2 * SLOT, BLOCK), -EBUSY);
		fake_loop_advance(DELAY_MS);
		assert_int_equal(
			exposed(&f), 2 * SLOT); /* of closed slots: out of the guest's reach */
		fake_kvm.fail_mapping = false;
		fake_kvm.calls = 0;
		fake_loop_advance(DELAY_MS);
		assert_int_equal(fake_kvm.calls, 1); /* a piece at a time would be as many walks */
		assert_int_equal(exposed(&f), all ? 0 : SLOT);
		assert_int_equal(window_hva(f.window)[0], 0);
		assert_int_equal(window_hva(f.window)[SLOT], all ? 0 : 0x5a);
		assert_int_equal(window_plug(f.window, 2 * SLOT, BLOCK), 0);
		close_fixture(&f);
	}
}

/* They close at once, all or none: nothing is left for later, and slots that hold more stay. */
static void expensive_slots_close_at_once(void **state)
{
	struct fixture f;

	open_expensive(&f);
	assert_int_equal(window_plug(f.window, 0, 2 * SLOT), 0);
	/* Of the second only a part goes, so that none closes early. */
	assert_int_equal(window_unplug(f.window, 0, SLOT + BLOCK), 0);
	assert_int_equal(fake_kvm.open, 2);
	fake_loop_advance(DELAY_MS);
	assert_int_equal(fake_kvm.open, 1);
	/* Into an open slot and a closed one: protected until the closed one is open. */
	fake_kvm.fail_at = fake_kvm.calls + 1;
	assert_int_equal(window_plug(f.window, SLOT, BLOCK), -EBUSY);
	assert_int_equal(fake_kvm.open, 1);
	fake_kvm.fail_at = fake_kvm.calls + 1;
	fake_kvm.flushes = 0;
	assert_int_equal(window_plug(f.window, 0, SLOT + BLOCK), -EBUSY);
	assert_int_equal(
		fake_kvm.flushes, 1); /* of what is protected again; nothing was writable before */
	fake_kvm.fail_at = 0;
	assert_int_equal(exposed(&f), SLOT - BLOCK);
	assert_int_equal(window_plug(f.window, 0, SLOT + BLOCK), 0);
	assert_int_equal(window_unplug_all(f.window), 0);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(window_plug(f.window, 0, SLOT), 0);
	assert_int_equal(window_unplug(f.window, 0, SLOT), 0);
	assert_int_equal(fake_kvm.open, 0);
	assert_int_equal(fake_loop_timers(), 0);
	close_fixture(&f);
}

/* A machine that is reset has nothing pending, and waits for no close. */
static void a_detached_window_forgets(void **state)
{
	struct fixture f;

	open_memfd(&f);
	assert_int_equal(window_plug(f.window, 0, 3 * SLOT), 0);
	memset(window_hva(f.window), 0x5a, 3 * SLOT);
	fake_kvm.fail_punching = true;
	assert_int_equal(window_unplug(f.window, SLOT, SLOT), 0);
	assert_int_equal(fake_loop_timers(), 2); /* one to close, one for what is pending */
	fake_kvm.fail_punching = false;
	slots_forget(&f.slots);
	assert_int_equal(window_detach(f.window), 0);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(exposed(&f), 0);
	assert_int_equal(resident(&f), 0);
	assert_int_equal(window_open_slots(f.window), 0);
	assert_int_equal(window_detach(f.window), 0); /* harmless twice */
	fake_kvm_install();
	f.kvm_slots.vm_fd = FAKE_KVM_FD;
	window_attach(f.window, &f.slots);
	assert_int_equal(window_plug(f.window, 0, 3 * SLOT), 0);
	assert_int_equal(fake_kvm.open, 3);
	for (uint64_t at = 0; at < 3 * SLOT; at += BLOCK)
		assert_int_equal(window_hva(f.window)[at], 0);
	/* The slot that was waiting closes as any other. */
	assert_int_equal(window_unplug(f.window, SLOT, SLOT), 0);
	fake_loop_advance(DELAY_MS);
	assert_int_equal(fake_kvm.open, 2);
	assert_null(fake_kvm_slot_at(GPA + SLOT));
	close_fixture(&f);
}

/* The time of a detach is taken in turns before it, by pieces; a slot that was never open takes none. */
static void emptied_in_turns_before_it_is_detached(void **state)
{
	struct fixture f;
	unsigned turns = 0, all = 0;

	open_much(&f);
	assert_int_equal(window_plug(f.window, 0, MUCH), 0);
	for (uint64_t at = 0; at < MUCH; at += BLOCK)
		window_hva(f.window)[at] = 0x5a;
	/* One slot waits for its close, another is being unplugged, and only one block of a third is left. */
	assert_int_equal(window_unplug(f.window, 7 * 4 * SLOT, SLOT), 0);
	assert_int_equal(window_unplug(f.window, 7 * 4 * SLOT + SLOT, 3 * SLOT), -EINPROGRESS);
	while (!ends)
		fake_loop_fire();
	assert_int_equal(fake_loop_timers(), 1);
	assert_int_equal(window_state(f.window, 0, BLOCK), WINDOW_PLUGGED);
	window_stop(f.window);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(window_state(f.window, 0, BLOCK), WINDOW_UNPLUGGED); /* for devices */
	assert_int_equal(window_plugged_bytes(f.window), MUCH - 4 * SLOT);
	slots_forget(&f.slots);
	largest_map = maps = 0;
	assert_false(window_empty(f.window, loop_now_ms() - 1)); /* no time */
	assert_int_equal(maps, 0);
	refuse_map = 5; /* what is refused is left to the detach */
	for (bool empty = false; !empty; all += maps, turns++) {
		maps = 0;
		empty = window_empty(f.window, loop_now_ms() + LOOP_TURN_MS);
		assert_in_range(maps, 0, 4); /* three begin in time, and one was refused in none */
	}
	assert_int_equal(all, MUCH / (16 * MiB) - 1);
	assert_int_equal(largest_map, 16 * MiB);
	assert_in_range(turns, 8, 12);
	assert_int_equal(exposed_bytes(&f), 16 * MiB);
	maps = 0;
	assert_true(window_empty(f.window, 0)); /* it has been */
	assert_int_equal(window_detach(f.window), 0);
	assert_int_equal(maps, 1);
	assert_int_equal(exposed_bytes(&f), 0);
	assert_int_equal(resident(&f), 0);
	assert_true(window_empty(f.window, 0)); /* nothing is left of it */
	/* The next life begins anew. */
	fake_kvm_install();
	f.kvm_slots.vm_fd = FAKE_KVM_FD;
	window_attach(f.window, &f.slots);
	watch_maps(&f);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_hva(f.window)[0], 0);
	assert_int_equal(window_state(f.window, 0, BLOCK), WINDOW_PLUGGED);
	/* A slot that has closed may have page tables of zeros that a guest read; one that was never open has none. */
	assert_int_equal(window_plug(f.window, 4 * SLOT, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 4 * SLOT, BLOCK), 0);
	fake_loop_advance(2 * DELAY_MS);
	assert_int_equal(fake_kvm.open, 1);
	window_stop(f.window);
	slots_forget(&f.slots);
	maps = 0;
	assert_true(window_empty(f.window, loop_now_ms() + 1000));
	assert_int_equal(maps, 8); /* of two slots */
	close_fixture(&f);
}

/* A detach reports what it cannot reclaim: nothing may run on this window then. */
static void a_refused_detach_is_reported(void **state)
{
	struct fixture f;

	open_memfd(&f);
	assert_int_equal(window_plug(f.window, 0, SLOT), 0);
	slots_forget(&f.slots);
	fake_kvm.fail_punching = true;
	assert_true(window_detach(f.window) < 0);
	fake_kvm.fail_punching = false;
	window_attach(f.window, &f.slots);
	fake_kvm.fail_mapping = true;
	assert_true(window_detach(f.window) < 0);
	fake_kvm.fail_mapping = false;
	window_destroy(f.window);
	slots_finish(&f.slots);
	loop_destroy(f.loop);
}

/* Half-drained slots of a machine that is reset are whole in the next. */
static void detached_while_closing(void **state)
{
	struct fixture f;

	fake_kvm_install();
	open_slots_of(&f, 8 * SLOT, 8 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_unplug(f.window, 0, BLOCK), 0);
	fake_kvm.fail_mapping = true; /* the slot closes, and its protection does not come back */
	fake_loop_advance(DELAY_MS);
	fake_kvm.fail_mapping = false;
	assert_int_equal(fake_kvm.open, 0);
	slots_forget(&f.slots);
	assert_int_equal(window_detach(f.window), 0);
	assert_true(can_read(window_hva(f.window)));
	fake_kvm_install();
	f.kvm_slots.vm_fd = FAKE_KVM_FD;
	window_attach(f.window, &f.slots);
	assert_int_equal(window_plug(f.window, BLOCK, BLOCK), 0);
	assert_int_equal(fake_kvm.calls,
		4); /* the slot, the protection, two pieces of advice; nothing to refill */
	close_fixture(&f);
}

static void a_destroyed_window_leaves_no_timer(void **state)
{
	uint64_t before = real_mappings();
	struct fixture f;

	open_memfd(&f);
	assert_int_equal(window_plug(f.window, 0, SLOT), 0);
	fake_kvm.fail_punching = true;
	assert_int_equal(window_unplug(f.window, 0, SLOT), 0);
	assert_int_equal(fake_loop_timers(), 2);
	window_destroy(f.window);
	assert_int_equal(fake_loop_timers(), 0);
	assert_in_range(real_mappings(), 0, before);
	window_destroy(NULL);
	slots_finish(&f.slots);
	loop_destroy(f.loop);
}

/* A listener behind KVM that refuses: nothing has changed, and KVM's change is undone. */
static void a_refusing_listener_changes_nothing(void **state)
{
	struct fake_listener vhost;
	struct fixture f;

	fake_kvm_install();
	open_fixture(&f, 4 * SLOT, STRAY_READS_ZERO, FAKE_KVM_FD, 64);
	fake_listener_init(&vhost, "vhost", 64);
	assert_int_equal(slots_add_listener(&f.slots, &vhost.listener), 0);
	assert_int_equal(window_plug(f.window, 0, BLOCK), 0);
	assert_int_equal(window_plug(f.window, SLOT - BLOCK, 2 * BLOCK), 0);
	assert_int_equal(window_plug(f.window, 3 * SLOT, BLOCK), 0);
	window_hva(f.window)[0] = window_hva(f.window)[SLOT] = 0x5a;
	/* Each of the four parts that an unplug of all has. */
	for (unsigned at = 1; at <= 4; at++) {
		vhost.calls = 0;
		vhost.fail_at = at;
		assert_int_equal(window_unplug_all(f.window), -EBUSY);
		assert_int_equal(vhost.plugged_all, 4 * BLOCK);
		assert_int_equal(window_plugged_bytes(f.window), 4 * BLOCK);
		assert_int_equal(exposed(&f), 4 * BLOCK);
	}
	for (unsigned at = 1; at <= 2; at++) {
		vhost.calls = 0;
		vhost.fail_at = at;
		assert_int_equal(window_unplug(f.window, SLOT - BLOCK, 2 * BLOCK), -EBUSY);
		assert_int_equal(vhost.plugged_all, 4 * BLOCK);
		assert_int_equal(window_state(f.window, SLOT - BLOCK, 2 * BLOCK), WINDOW_PLUGGED);
	}
	assert_int_equal(window_hva(f.window)[0], 0x5a);
	assert_int_equal(window_hva(f.window)[SLOT], 0x5a);
	vhost.fail_at = 0;
	/* The host refuses after the listener let go: it is notified again. */
	fake_kvm.fail_mapping = true;
	assert_int_equal(window_unplug(f.window, SLOT - BLOCK, 2 * BLOCK), -EBUSY);
	assert_int_equal(window_unplug_all(f.window), -EBUSY);
	fake_kvm.fail_mapping = false;
	assert_int_equal(vhost.plugged_all, 4 * BLOCK);
	assert_int_equal(window_unplug_all(f.window), 0);
	assert_int_equal(vhost.plugged_all, 0);
	fake_loop_advance(DELAY_MS);
	assert_int_equal(vhost.open_count, 0);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_change_is_another_generation),
		cmocka_unit_test(a_slot_names_its_file),
		cmocka_unit_test(the_way_back_is_open_at_the_limit),
		cmocka_unit_test(a_refused_close_keeps_no_mappings),
		cmocka_unit_test(slots_close_after_a_second),
		cmocka_unit_test(slots_above_a_step_are_drained),
		cmocka_unit_test(a_plug_of_many_slots_has_turns),
		cmocka_unit_test(a_plug_of_few_slots_has_none),
		cmocka_unit_test(a_plug_that_is_given_up),
		cmocka_unit_test(a_plug_drops_page_tables_in_turns),
		cmocka_unit_test(much_is_unplugged_in_turns),
		cmocka_unit_test(pieces_are_whole_blocks),
		cmocka_unit_test(all_is_unplugged_in_turns),
		cmocka_unit_test(what_is_pending_goes_in_turns),
		cmocka_unit_test(what_is_pending_takes_no_mappings),
		cmocka_unit_test(a_refusal_while_much_is_unplugged),
		cmocka_unit_test(much_is_unplugged_now),
		cmocka_unit_test(what_is_pending_comes_first),
		cmocka_unit_test(all_of_it_is_pending),
		cmocka_unit_test(what_is_refused_after_a_close_is_pending),
		cmocka_unit_test(expensive_slots_close_at_once),
		cmocka_unit_test(a_detached_window_forgets),
		cmocka_unit_test(emptied_in_turns_before_it_is_detached),
		cmocka_unit_test(a_refused_detach_is_reported),
		cmocka_unit_test(detached_while_closing),
		cmocka_unit_test(a_destroyed_window_leaves_no_timer),
		cmocka_unit_test(a_refusing_listener_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
