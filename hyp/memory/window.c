/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: blocks and the slots they lie in; see window.h for the states.
 *
 * The order of the steps matters. A plug opens the slots first, while their blocks are still protected; then it makes
 * the blocks writable and notifies the listeners. All of that can be undone. An unplug clears the blocks' bits first,
 * so that the gate refuses them; then it notifies the listeners; then one mmap protects and discards the blocks, which
 * cannot be undone.
 *
 * If the guest is a hypervisor, each unmapping is expensive (window_config.expensive_unmaps): KVM cannot find the
 * shadow entries of what it unmaps, so it walks every shadow of the guest's stage 2, over all of the host's address
 * bits (kvm_nested_s2_unmap(), kvm_get_pa_bits()): once for each slot that is deleted, and once for each slot that a
 * mapping call falls into, touched or not. Opening a slot costs no walk. So protections change while slots are closed,
 * because KVM ignores changes there: blocks become writable before their slot opens; a slot closes, undrained, before
 * its last blocks are unmapped; UNPLUG_ALL closes all slots and then maps the window again in one call. The price: if
 * the guest has read zeros everywhere, one close can take long; and if the host refuses to protect whole slots that
 * have closed, that is retried, since the close cannot be undone.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp/base/util.h"
#include "hyp/memory/window-internal.h"

/*
 * Slots that a plug opens in one turn of the loop: each takes a call of 0.1 ms, more on a busy host. A request needs
 * more only if slots are far smaller than the default.
 */
#define SLOTS_A_TURN 32
/* Bytes of a plug whose page tables are looked for in one turn, which takes 2 ms if there are none. */
#define PREPARED_A_TURN (8 * GiB)

static uint64_t block_count(const struct window *window)
{
	return window->config.size / window->config.block_bytes;
}

/* --- memory that the host has not reclaimed --- */

int window_make_idle(struct window *window, uint64_t offset, uint64_t size)
{
	int err = backing_protect(&window->backing, offset, size);

	return err ? err : backing_release(&window->backing, offset, size);
}

void window_reclaim_later(struct window *window, uint64_t offset, uint64_t size, int err)
{
	log_limited(&window->refusals, LOG_WARNING,
		"%s: the host has not reclaimed %" PRIu64 " MiB at +0x%" PRIx64
		" (%s): trying again, and nothing is plugged or unplugged before",
		window->name, size / MiB, offset, strerror(-err));
	window->reclaim_offset = offset;
	window->reclaim_size = size;
	loop_timer_arm(window->loop, &window->reclaim_timer, RETRY_MS);
}

/*
 * Retries piece by piece until the turn is over, and the rest in later turns. If the host refuses a piece, tries all of
 * it, which may need fewer mappings.
 */
static void reclaim_due(struct loop_timer *timer)
{
	struct window *window = container_of(timer, struct window, reclaim_timer);
	uint64_t until_ms = loop_now_ms() + LOOP_TURN_MS;
	int err;

	do {
		uint64_t size = window->reclaim_size, piece = window_piece(window);

		piece = piece < size && !window->config.expensive_unmaps ? piece : size;
		err = window_make_idle(window, window->reclaim_offset, piece);
		if (err && piece < size) {
			piece = size;
			err = window_make_idle(window, window->reclaim_offset, piece);
		}
		if (!err) {
			window->reclaim_offset += piece;
			window->reclaim_size -= piece;
		}
	} while (!err && window->reclaim_size && loop_now_ms() <= until_ms);
	if (window->reclaim_size)
		loop_timer_arm(window->loop, timer, err ? RETRY_MS : 0);
}

/* Why every change must be refused now, or NULL. `splits`: the change may add mappings to the process. */
static const char *why_busy(struct window *window, bool splits)
{
	if (window->reclaim_size || window->going_end)
		return "the host has yet to reclaim what was unplugged before";
	if (splits && !mappings_take(&window->slots->mappings))
		return "the process is close to vm.max_map_count, which is to be raised";
	return NULL;
}

static int busy(
	struct window *window, const char *what, uint64_t offset, uint64_t size, const char *why)
{
	log_limited(&window->refusals, LOG_WARNING,
		"%s: %s of %" PRIu64 " KiB at +0x%" PRIx64
		" refused: %s; the guest is answered BUSY and may try again",
		window->name, what, size / KiB, offset, why);
	window->refused = why;
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
	window->drain_bytes = config->expensive_unmaps ? config->slot_bytes : DRAIN_BYTES;
	window->close_timer.fired = window_close_due;
	window->reclaim_timer.fired = reclaim_due;
	window->going_timer.fired = window_unplug_due;
	window->refusals.burst = 3;
	window->backing.fd = -1;
	pthread_mutex_init(&window->lock, NULL);
	window->name = strdup(config->name);
	window->config.name = window->name;
	window->close_timer.name = window->reclaim_timer.name = window->going_timer.name =
		window->name;
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
	window->backing.mergeable = config->mergeable;
	*ret = window;
	return 0;
}

static void cancel_timers(struct window *window)
{
	loop_timer_cancel(&window->close_timer);
	loop_timer_cancel(&window->reclaim_timer);
	loop_timer_cancel(&window->going_timer);
}

void window_destroy(struct window *window)
{
	if (!window)
		return;
	cancel_timers(window);
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
	return (window->plugged_blocks + window->going_blocks) * window->config.block_bytes;
}

void window_attach(struct window *window, struct slots *slots)
{
	CHECK(!window->slots && !window->plugged_blocks);
	window->slots = slots;
}

/* Does not touch the bitmap if nothing is plugged: a large one has memory only where it was written. */
static void forget_plugged(struct window *window)
{
	if (window->plugged_blocks)
		memset(window->plugged, 0, (block_count(window) / 64 + 1) * sizeof(uint64_t));
	window->plugged_blocks = 0;
}

void window_stop(struct window *window)
{
	cancel_timers(window);
	window->stopped = true;
}

bool window_empty(struct window *window, uint64_t until_ms)
{
	uint64_t most = window_piece(window), end = window->config.size;

	while (window->slots && window->emptied < end && loop_now_ms() <= until_ms) {
		unsigned index;
		uint64_t at = window->emptied, part = window_part(window, at, end, &index);

		if (window->slot[index].used) {
			part = part < most ? part : most;
			window_make_idle(window, at, part);
		}
		window->emptied += part;
	}
	return !window->slots || window->emptied >= end;
}

int window_detach(struct window *window)
{
	int err;

	if (!window->slots)
		return 0;
	pthread_mutex_lock(&window->lock);
	cancel_timers(window);
	window->stopped = false;
	window->emptied = 0;
	window->going_end = window->going_blocks = 0;
	window->reclaim_size = window->prepared_size = 0;
	err = window_make_idle(window, 0, window->config.size);
	forget_plugged(window);
	for (unsigned index = 0; index < window->slot_count; index++)
		if (window->slot[index].used)
			window->slot[index] = (struct slot){ 0 };
	window->close_first = window->close_last = 0;
	window->slots = NULL;
	window->refused = NULL;
	pthread_mutex_unlock(&window->lock);
	return err;
}

const char *window_refused(const struct window *window)
{
	return window->refused;
}

void window_forget_refused(struct window *window)
{
	window->refused = NULL;
}

/* --- plug and unplug --- */

static void set_blocks(struct window *window, uint64_t offset, uint64_t size, bool plugged)
{
	uint64_t first = offset / window->config.block_bytes,
		 count = size / window->config.block_bytes;

	for (uint64_t block = first; block < first + count; block++)
		window->plugged[block / 64] ^= UINT64_C(1) << (block % 64);
	window->plugged_blocks += plugged ? count : -count;
	window->refused = NULL;
}

static void check_range(const struct window *window, uint64_t offset, uint64_t size)
{
	CHECK(window->slots && size && is_aligned(offset | size, window->config.block_bytes) &&
		offset < window->config.size && size <= window->config.size - offset);
}

/* Notifies the listeners of a range in open slots. On -errno no listener sees a change. */
static int notify_listeners(
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
			notify_listeners(window, offset, at - offset, !plugged, true);
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
		       ? "the host's pool of huge pages has none left (vm.nr_hugepages, or a cgroup's hugetlb.*.rsvd.max)"
		       : "the host does not commit the memory (vm.overcommit_memory)";
}

static const char no_mappings[] = "the host maps no more memory (vm.max_map_count)";
static const char no_slots[] = "KVM or another user of guest memory takes no more slots";

/*
 * With the lock. NULL, or why not, with nothing changed. If unmapping is expensive and all slots are still closed, the
 * blocks become writable first, since KVM ignores changes in closed slots.
 */
static const char *plug(struct window *window, uint64_t offset, uint64_t size)
{
	bool early = window->config.expensive_unmaps &&
		     window_slots_closed(window, offset, size) ==
			     window_slots_touched(window, offset, size);
	const char *why = NULL;
	int err;

	if (window_refill_slots(window, offset, size) != 0)
		return no_mappings;
	if (early)
		why = plug_backing(window, offset, size);
	if (!why && window_open_closed(window, offset, size, UINT_MAX) != 0)
		why = no_slots;
	if (!why && !early)
		why = plug_backing(window, offset, size);
	if (!why && notify_listeners(window, offset, size, true, false) != 0)
		why = "a user of guest memory does not take the blocks";
	if (!why)
		return NULL;
	err = window_make_idle(window, offset, size);
	if (err)
		window_reclaim_later(window, offset, size, err);
	window_undo_open(window, offset, size);
	return why;
}

/*
 * With the lock: opens up to SLOTS_A_TURN slots, so that a later call has few left to open. NULL, or why not. Such
 * slots expose nothing; if the plug is not repeated, they close after a delay, as emptied slots do.
 */
static const char *open_ahead(struct window *window, uint64_t offset, uint64_t size)
{
	const char *why = NULL;

	if (window_refill_slots(window, offset, size) != 0)
		return no_mappings;
	atomic_fetch_add(&window->slots->generation, 1);
	if (window_open_closed(window, offset, size, SLOTS_A_TURN) != -EAGAIN) {
		window_undo_open(window, offset, size);
		why = no_slots;
	}
	window_keep_open(window, offset, size);
	return why;
}

/*
 * A guest that reads zeros everywhere decides how many page tables a plug has to drop. False: there is more, the same
 * plug comes again in another turn. If unmapping is expensive, all of it is one call.
 */
static bool prepare(struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t until_ms = loop_now_ms() + LOOP_TURN_MS, begin;
	uint64_t most = window->config.expensive_unmaps ? size : window_piece(window);
	bool over = false;

	/* Since then a guest may have read zeros there again. */
	if (loop_now_ms() > window->prepared_ms + CLOSE_DELAY_MS)
		window->prepared_size = 0;
	window->prepared_ms = loop_now_ms();
	if (window->prepared_offset != offset || window->prepared_size != size) {
		window->prepared_offset = offset;
		window->prepared_size = size;
		window->prepared = 0;
	}
	for (begin = window->prepared; window->prepared < size && !over;) {
		uint64_t left = size - window->prepared, piece = left < most ? left : most;
		bool slow = backing_prepare_plug(
			&window->backing, offset + window->prepared, piece);

		window->prepared += piece;
		over = window->prepared - begin >= PREPARED_A_TURN ||
		       (slow && loop_now_ms() > until_ms);
	}
	return window->prepared >= size;
}

int window_plug(struct window *window, uint64_t offset, uint64_t size)
{
	bool later = !window->config.expensive_unmaps &&
		     window_slots_closed(window, offset, size) > SLOTS_A_TURN;
	const char *why;

	check_range(window, offset, size);
	CHECK(window_state(window, offset, size) == WINDOW_UNPLUGGED);
	why = why_busy(window, false);
	if (!why && !later && !prepare(window, offset, size)) {
		pthread_mutex_lock(&window->lock);
		window_keep_open(window, offset, size);
		pthread_mutex_unlock(&window->lock);
		return -EAGAIN;
	}
	if (!why && !later)
		why = why_busy(window, true);
	if (why)
		return busy(window, "plug", offset, size, why);
	pthread_mutex_lock(&window->lock);
	why = later ? open_ahead(window, offset, size) : plug(window, offset, size);
	if (!why && !later) {
		set_blocks(window, offset, size, true);
		window_count_in_slots(window, offset, size, 1);
		atomic_fetch_add(&window->slots->generation, 1);
	}
	pthread_mutex_unlock(&window->lock);
	if (why || !later)
		window->prepared_size = 0;
	if (why)
		return busy(window, "plug", offset, size, why);
	return later ? -EAGAIN : 0;
}

/* The memory is protected already, so this cannot be undone: window_reclaim_later() retries a failure. */
static void unplugged(struct window *window, uint64_t offset, uint64_t size)
{
	int err = backing_release(&window->backing, offset, size);

	if (err)
		window_reclaim_later(window, offset, size, err);
	atomic_fetch_add(&window->slots->generation, 1);
}

/*
 * Whether plugged blocks lie on both sides: only then does an unplug add mappings. Other unplugs add none, and must
 * work at the limit, since they lead back below it.
 */
static bool is_inside(const struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / window->config.block_bytes;
	uint64_t after = first + size / window->config.block_bytes;

	return first && is_plugged(window, first - 1) && after < block_count(window) &&
	       is_plugged(window, after);
}

/* How much to unplug in this turn; later turns do the rest. All of it if unmapping is expensive. */
static uint64_t in_this_turn(const struct window *window, uint64_t size)
{
	bool turns = window->ended && !window->config.expensive_unmaps;
	uint64_t piece = window_piece(window);

	return turns && size > piece ? piece : size;
}

int window_unplug(struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t now = in_this_turn(window, size);
	const char *why;
	bool early;
	int err;

	check_range(window, offset, size);
	CHECK(window_state(window, offset, size) == WINDOW_PLUGGED);
	early = window->config.expensive_unmaps && window_is_all_of_slots(window, offset, size);
	why = why_busy(window, is_inside(window, offset, size));
	if (why)
		return busy(window, "unplug", offset, size, why);
	pthread_mutex_lock(&window->lock);
	set_blocks(window, offset, size, false);
	if (notify_listeners(window, offset, size, false, false) != 0) {
		why = "a user of guest memory still uses the blocks";
	} else {
		if (early)
			window_close_slots(window, offset, size);
		err = backing_protect(&window->backing, offset, now);
		if (err && early) {
			window_reclaim_later(window, offset, size, err);
		} else if (err) {
			notify_listeners(window, offset, size, true, true);
			why = "the host does not protect the memory";
		}
	}
	if (why) {
		set_blocks(window, offset, size, true);
	} else if (now < size) {
		window_go_on_unplugging(
			window, offset, size, size / window->config.block_bytes, false);
	} else {
		window_count_in_slots(window, offset, size, -1);
		unplugged(window, offset, size);
	}
	pthread_mutex_unlock(&window->lock);
	if (why)
		return busy(window, "unplug", offset, size, why);
	return now < size ? -EINPROGRESS : 0;
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

/* Notifies the listeners of all that is plugged before `end`. On -errno no listener sees a change. */
static int notify_all(struct window *window, uint64_t end, bool plugged, bool back)
{
	uint64_t size;

	for (uint64_t at = 0; next_plugged(window, &at, end, &size); at += size) {
		int err = notify_listeners(window, at, size, plugged, back);

		if (err)
			notify_all(window, at, !plugged, true);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Protects each run of plugged blocks; the page tables of zeros between them are freed when the slots close. -errno:
 * nothing is protected. If a later run fails, protects the whole window in one call; if that fails too, window_reclaim_later()
 * retries it. If unmapping is expensive, closes the slots first and then protects the window in one call.
 */
static int protect_all(struct window *window)
{
	bool any = window->config.expensive_unmaps;
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
		window_reclaim_later(window, 0, window->config.size, err);
	return 0;
}

/* Protects one turn's part of the first run. If the host accepts that, later turns protect the rest, with retries. */
static int protect_first(struct window *window)
{
	uint64_t at = 0, size;

	next_plugged(window, &at, window->config.size, &size);
	return backing_protect(&window->backing, at, in_this_turn(window, size));
}

int window_unplug_all(struct window *window)
{
	uint64_t blocks = window->plugged_blocks, bytes = blocks * window->config.block_bytes;
	bool turns = in_this_turn(window, bytes) < bytes;
	const char *why = NULL;
	uint64_t size = window->config.size;

	CHECK(window->slots);
	if (window->going_end || (window->reclaim_size && window->plugged_blocks))
		return busy(window, "unplug", 0, size, why_busy(window, false));
	if (!blocks)
		return 0;
	pthread_mutex_lock(&window->lock);
	if (notify_all(window, size, false, false) != 0) {
		why = "a user of guest memory still uses blocks";
	} else if ((turns ? protect_first(window) : protect_all(window)) != 0) {
		notify_all(window, size, true, true);
		why = "the host does not protect the memory";
	}
	if (!why) {
		forget_plugged(window);
		if (turns) {
			window_go_on_unplugging(window, 0, size, blocks, true);
		} else {
			window_empty_slots(window);
			unplugged(window, 0, size);
		}
	}
	pthread_mutex_unlock(&window->lock);
	if (why)
		return busy(window, "unplug", 0, size, why);
	return turns ? -EINPROGRESS : 0;
}
