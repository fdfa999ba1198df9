/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: blocks and the slots they lie in; see window.h for the states.
 *
 * Order is what keeps the promise. To plug, the slots open first, while their blocks are still
 * protected; then the blocks become writable, and the listeners are told. All of that can be
 * undone. To unplug, the blocks' bits go first, so that the gate refuses them; then the listeners
 * let go; then one mmap protects and discards in one step, and there is no way back.
 *
 * Where each change is dear (window_config.few_changes), what can be is done while the slots are
 * closed: blocks become writable before the first of a slot opens it, and a slot closes before its
 * last are taken from it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp/util.h"
#include "hyp/window-internal.h"

/*
 * How long one request may keep the loop: each slot opened is a call of 0.1 to 1 ms. More than
 * this come only with slots far smaller than those chosen.
 */
#define SLOTS_PER_PLUG 2048

static uint64_t block_count(const struct window *window)
{
	return window->config.size / window->config.block_bytes;
}

/* --- what the host owes --- */

/* The state of an unplugged block. Where the host refuses, it is asked again until it complies. */
static int make_idle(struct window *window, uint64_t offset, uint64_t size)
{
	int err = backing_protect(&window->backing, offset, size);

	return err ? err : backing_release(&window->backing, offset, size);
}

static void owe(struct window *window, uint64_t offset, uint64_t size, int err)
{
	log_limited(&window->refusals, LOG_WARNING,
		"%s: the host does not take back %" PRIu64 " MiB at +0x%" PRIx64
		" (%s): trying again, and nothing is plugged or unplugged before",
		window->name, size / MiB, offset, strerror(-err));
	window->owed_offset = offset;
	window->owed_size = size;
	loop_timer_arm(window->loop, &window->owed_timer, RETRY_MS);
}

static void owed_due(struct loop_timer *timer)
{
	struct window *window = container_of(timer, struct window, owed_timer);

	if (make_idle(window, window->owed_offset, window->owed_size) == 0)
		window->owed_size = 0;
	else
		loop_timer_arm(window->loop, timer, RETRY_MS);
}

/* Why nothing can be changed now, or NULL. `splits`: the change may take mappings of the process. */
static const char *not_now(struct window *window, bool splits)
{
	if (window->owed_size)
		return "the host has yet to take back what was unplugged before";
	if (splits && !mappings_take(&window->slots->mappings))
		return "the process is close to vm.max_map_count, which is to be raised";
	return NULL;
}

static int busy(
	struct window *window, const char *what, uint64_t offset, uint64_t size, const char *why)
{
	log_limited(&window->refusals, LOG_WARNING,
		"%s: %s of %" PRIu64 " KiB at +0x%" PRIx64
		" refused: %s; the guest is told to try again",
		window->name, what, size / KiB, offset, why);
	return -EBUSY;
}

/* --- life --- */

int window_create(const struct window_config *config, struct loop *loop, struct window **ret)
{
	struct window *window;
	uint64_t slots;
	int err;

	CHECK(is_power_of_two(config->block_bytes) && config->size &&
		is_aligned(config->size, config->block_bytes) && config->slot_bytes &&
		is_aligned(config->slot_bytes, config->block_bytes));
	slots = (config->size - 1) / config->slot_bytes + 1;
	CHECK(slots < UINT32_MAX);
	window = calloc(1, sizeof(*window));
	if (!window)
		return -ENOMEM;
	window->config = *config;
	window->loop = loop;
	window->slot_count = (unsigned)slots;
	window->drain_bytes = config->few_changes ? config->slot_bytes : DRAIN_BYTES;
	window->close_timer.fired = window_close_due;
	window->owed_timer.fired = owed_due;
	window->refusals.burst = 3;
	window->backing.fd = -1;
	pthread_mutex_init(&window->lock, NULL);
	window->name = strdup(config->name);
	window->config.name = window->name;
	window->plugged = calloc(block_count(window) / 64 + 1, sizeof(uint64_t));
	window->slot = calloc(slots, sizeof(struct slot));
	err = -ENOMEM;
	if (window->name && window->plugged && window->slot)
		err = backing_create(&window->backing, config->backing, config->gpa, config->size,
			config->block_bytes,
			config->stray_reads == STRAY_READS_ZERO ? PROT_READ : PROT_NONE);
	if (err) {
		window_destroy(window);
		return err;
	}
	*ret = window;
	return 0;
}

void window_destroy(struct window *window)
{
	if (!window)
		return;
	loop_timer_cancel(&window->close_timer);
	loop_timer_cancel(&window->owed_timer);
	backing_destroy(&window->backing);
	pthread_mutex_destroy(&window->lock);
	free(window->slot);
	free(window->plugged);
	free(window->name);
	free(window);
}

const struct window_config *window_config(const struct window *window)
{
	return &window->config;
}

uint8_t *window_hva(const struct window *window)
{
	return window->backing.hva;
}

unsigned window_slot_count(const struct window *window)
{
	return window->slot_count;
}

uint64_t window_plugged_bytes(const struct window *window)
{
	return window->plugged_blocks * window->config.block_bytes;
}

void window_attach(struct window *window, struct slots *slots)
{
	CHECK(!window->slots && !window->plugged_blocks);
	window->slots = slots;
}

/* The bitmap of a large window costs memory only where it was ever written. */
static void forget_plugged(struct window *window)
{
	if (window->plugged_blocks)
		memset(window->plugged, 0, (block_count(window) / 64 + 1) * sizeof(uint64_t));
	window->plugged_blocks = 0;
}

int window_detach(struct window *window)
{
	int err;

	if (!window->slots)
		return 0;
	pthread_mutex_lock(&window->lock);
	loop_timer_cancel(&window->close_timer);
	loop_timer_cancel(&window->owed_timer);
	window->owed_size = 0;
	err = make_idle(window, 0, window->config.size);
	forget_plugged(window);
	for (unsigned index = 0; index < window->slot_count; index++)
		if (window->slot[index].id_plus_1 || window->slot[index].queued ||
			window->slot[index].drained)
			window->slot[index] = (struct slot){ 0 };
	window->close_first = window->close_last = 0;
	window->slots = NULL;
	pthread_mutex_unlock(&window->lock);
	return err;
}

/* --- plug and unplug --- */

static void set_blocks(struct window *window, uint64_t offset, uint64_t size, bool plugged)
{
	uint64_t first = offset / window->config.block_bytes,
		 count = size / window->config.block_bytes;

	for (uint64_t block = first; block < first + count; block++)
		window->plugged[block / 64] ^= UINT64_C(1) << (block % 64);
	window->plugged_blocks += plugged ? count : -count;
}

static void check_range(const struct window *window, uint64_t offset, uint64_t size)
{
	CHECK(window->slots && size && is_aligned(offset | size, window->config.block_bytes) &&
		offset < window->config.size && size <= window->config.size - offset);
}

/* Tells the listeners of a range in open slots: of all of it, or, on -errno, of nothing. */
static int tell_listeners(
	struct window *window, uint64_t offset, uint64_t size, bool plugged, bool back)
{
	uint64_t at = offset, end = offset + size, part;
	unsigned index;

	for (; at < end; at += part) {
		int err;

		part = window_part(window, at, end, &index);
		err = (plugged ? slot_plug : slot_unplug)(window->slots,
			window->slot[index].id_plus_1 - 1, at - slot_offset(window, index), part,
			back);
		if (err && at > offset)
			tell_listeners(window, offset, at - offset, !plugged, true);
		if (err)
			return err;
	}
	return 0;
}

static const char *plug_backing(struct window *window, uint64_t offset, uint64_t size)
{
	if (backing_plug(&window->backing, offset, size) == 0)
		return NULL;
	return window->config.backing == BACKING_HUGETLB
		       ? "the host's pool of huge pages is used up (vm.nr_hugepages, or a "
			 "cgroup's hugetlb.*.rsvd.max)"
		       : "the host does not commit the memory (vm.overcommit_memory)";
}

/*
 * With the lock. NULL, or why not, with everything as it was. Where changes are dear and all slots
 * are closed yet, the blocks become writable first: of closed slots KVM hears nothing.
 */
static const char *plug(struct window *window, uint64_t offset, uint64_t size)
{
	bool early = window->config.few_changes &&
		     window_slots_closed(window, offset, size) ==
			     window_slots_touched(window, offset, size);
	const char *why = NULL;
	int err;

	if (window_refill_slots(window, offset, size) != 0)
		return "the host maps no more memory (vm.max_map_count)";
	if (early)
		why = plug_backing(window, offset, size);
	if (!why && window_open_closed(window, offset, size) != 0)
		why = "KVM or another user of guest memory takes no more slots";
	if (!why && !early)
		why = plug_backing(window, offset, size);
	if (!why && tell_listeners(window, offset, size, true, false) != 0)
		why = "a user of guest memory does not take the blocks";
	if (!why)
		return NULL;
	err = make_idle(window, offset, size);
	if (err)
		owe(window, offset, size, err);
	window_undo_open(window, offset, size);
	return why;
}

int window_plug(struct window *window, uint64_t offset, uint64_t size)
{
	const char *why;

	check_range(window, offset, size);
	CHECK(window_state(window, offset, size) == WINDOW_UNPLUGGED);
	why = not_now(window, true);
	if (!why && window_slots_closed(window, offset, size) > SLOTS_PER_PLUG)
		why = "it would open too many slots at once";
	if (why)
		return busy(window, "plug", offset, size, why);
	pthread_mutex_lock(&window->lock);
	why = plug(window, offset, size);
	if (!why) {
		set_blocks(window, offset, size, true);
		window_count_in_slots(window, offset, size, 1);
		atomic_fetch_add(&window->slots->generation, 1);
	}
	pthread_mutex_unlock(&window->lock);
	return why ? busy(window, "plug", offset, size, why) : 0;
}

/* Past the point of no return: the memory is protected. */
static void unplugged(struct window *window, uint64_t offset, uint64_t size)
{
	int err = backing_release(&window->backing, offset, size);

	if (err)
		owe(window, offset, size, err);
	atomic_fetch_add(&window->slots->generation, 1);
}

/*
 * Whether plugged blocks stand on both sides: only then does an unplug take mappings. Others join what
 * is there, and must go on at the limit, where they are the way back.
 */
static bool is_inside(const struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / window->config.block_bytes;
	uint64_t after = first + size / window->config.block_bytes;

	return first && is_plugged(window, first - 1) && after < block_count(window) &&
	       is_plugged(window, after);
}

int window_unplug(struct window *window, uint64_t offset, uint64_t size)
{
	const char *why;
	bool early;
	int err;

	check_range(window, offset, size);
	CHECK(window_state(window, offset, size) == WINDOW_PLUGGED);
	early = window->config.few_changes && window_is_all_of_slots(window, offset, size);
	why = not_now(window, is_inside(window, offset, size));
	if (why)
		return busy(window, "unplug", offset, size, why);
	pthread_mutex_lock(&window->lock);
	set_blocks(window, offset, size, false);
	if (tell_listeners(window, offset, size, false, false) != 0) {
		why = "a user of guest memory still uses the blocks";
	} else {
		if (early)
			window_close_slots(window, offset, size);
		err = backing_protect(&window->backing, offset, size);
		if (err && early) {
			owe(window, offset, size, err);
		} else if (err) {
			tell_listeners(window, offset, size, true, true);
			why = "the host does not protect the memory";
		}
	}
	if (why) {
		set_blocks(window, offset, size, true);
	} else {
		window_count_in_slots(window, offset, size, -1);
		unplugged(window, offset, size);
	}
	pthread_mutex_unlock(&window->lock);
	return why ? busy(window, "unplug", offset, size, why) : 0;
}

int window_discard(struct window *window, uint64_t offset, uint64_t size)
{
	CHECK(window_state(window, offset, size) == WINDOW_PLUGGED);
	return backing_discard(&window->backing, offset, size);
}

/* The run of plugged blocks at or after `*offset`; false if there is none before `end`. */
static bool next_plugged(
	const struct window *window, uint64_t *offset, uint64_t end, uint64_t *ret_size)
{
	uint64_t block = *offset / window->config.block_bytes, first,
		 last = end / window->config.block_bytes;

	while (block < last && !is_plugged(window, block))
		block = window->plugged[block / 64] ? block + 1 : (block / 64 + 1) * 64;
	if (block >= last)
		return false;
	first = block;
	while (block < last && is_plugged(window, block))
		block++;
	*offset = first * window->config.block_bytes;
	*ret_size = (block - first) * window->config.block_bytes;
	return true;
}

/* Tells the listeners of all that is plugged before `end`: of all of it, or, on -errno, of nothing. */
static int tell_all(struct window *window, uint64_t end, bool plugged, bool back)
{
	uint64_t size;

	for (uint64_t at = 0; next_plugged(window, &at, end, &size); at += size) {
		int err = tell_listeners(window, at, size, plugged, back);

		if (err)
			tell_all(window, at, !plugged, true);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Protects all that is plugged, and not the zeros between, whose page tables go in steps when the slots
 * close. -errno: none of it. What a later run is refused goes with the whole window in one call, or is
 * asked for until the host complies. Where changes are dear the slots close first, and it goes in one.
 */
static int protect_all(struct window *window)
{
	bool any = window->config.few_changes;
	int err = any ? -EAGAIN : 0;
	uint64_t size;

	if (any)
		window_close_slots(window, 0, window->config.size);
	for (uint64_t at = 0; !err && next_plugged(window, &at, window->config.size, &size);
		at += size) {
		err = backing_protect(&window->backing, at, size);
		any = any || !err;
	}
	if (!err || !any)
		return err;
	err = backing_protect(&window->backing, 0, window->config.size);
	if (err)
		owe(window, 0, window->config.size, err);
	return 0;
}

int window_unplug_all(struct window *window)
{
	const char *why = NULL;
	uint64_t size = window->config.size;

	CHECK(window->slots);
	if (!window->plugged_blocks)
		return 0;
	if (window->owed_size)
		return busy(window, "unplug", 0, size, not_now(window, false));
	pthread_mutex_lock(&window->lock);
	if (tell_all(window, size, false, false) != 0) {
		why = "a user of guest memory still uses blocks";
	} else if (protect_all(window) != 0) {
		tell_all(window, size, true, true);
		why = "the host does not protect the memory";
	}
	if (!why) {
		forget_plugged(window);
		for (unsigned index = 0; index < window->slot_count; index++) {
			if (!window->slot[index].plugged_blocks)
				continue;
			window->slot[index].plugged_blocks = 0;
			if (window->slot[index].id_plus_1)
				window_queue_close(window, index, CLOSE_DELAY_MS);
		}
		unplugged(window, 0, size);
	}
	pthread_mutex_unlock(&window->lock);
	return why ? busy(window, "unplug", 0, size, why) : 0;
}
