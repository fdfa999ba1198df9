/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: blocks and the slots they lie in; see window.h for the states.
 *
 * Order is what keeps the promise. To plug, the slots open first, while their blocks are still
 * protected, and one mprotect makes the blocks writable last: it either happens or does not, and
 * all that came before it can be undone without touching a mapping. To unplug, the blocks' bits go
 * first, so that the gate refuses them; then one mmap protects and discards in one step.
 *
 * `lock` guards bits and slots against window_lookup() on vCPU threads. The loop holds it over a
 * whole change; a vCPU that waits for it is in user space and holds nothing of the kernel's.
 */
#include "hyp/window.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp/addrspace.h"
#include "hyp/log.h"
#include "hyp/loop.h"
#include "hyp/slots.h"
#include "hyp/util.h"

/* How long an emptied slot stays open: Linux may still read a few bytes across into it. */
#define CLOSE_DELAY_MS 1000
/* When KVM refused to close one. */
#define CLOSE_RETRY_MS 1000
/*
 * How long one request or one timer may keep the loop: each slot opened or closed is a call of 0.1
 * to 1 ms. More than a plug may open come only with slots far smaller than those chosen.
 */
#define SLOTS_PER_PLUG	2048
#define SLOTS_PER_CLOSE 64

/* Zero is a closed slot, so that a large window's table costs memory only where it is used. */
struct slot {
	unsigned id_plus_1; /* KVM's number + 1 while open */
	unsigned plugged_blocks;
	unsigned next_plus_1; /* in the queue of slots to close */
	bool queued;
	uint64_t close_at_ms;
};

struct window {
	struct window_config config;
	char *name;
	struct loop *loop;
	struct slots *slots; /* NULL while detached */
	uint8_t *hva;

	pthread_mutex_t lock;
	uint64_t *plugged; /* bitmap of blocks */
	struct slot *slot;
	unsigned slot_count;
	uint64_t plugged_blocks;

	struct loop_timer close_timer;
	unsigned close_first, close_last; /* queue of emptied slots; index + 1 */
	struct log_limit close_log;
};

static uint64_t block_count(const struct window *window)
{
	return window->config.size / window->config.block_bytes;
}

static bool is_plugged(const struct window *window, uint64_t block)
{
	return window->plugged[block / 64] >> (block % 64) & 1;
}

static int idle_protection(const struct window *window)
{
	return window->config.stray_reads == STRAY_READS_ZERO ? PROT_READ : PROT_NONE;
}

/* Protects and discards [offset, offset+size) in one step: the state of an unplugged block. */
static int map_idle(struct window *window, uint64_t offset, uint64_t size)
{
	return addrspace_discard(window->hva + offset, size, idle_protection(window));
}

static uint64_t slot_offset(const struct window *window, unsigned index)
{
	return index * window->config.slot_bytes;
}

static uint64_t slot_size(const struct window *window, unsigned index)
{
	uint64_t left = window->config.size - slot_offset(window, index);

	return left < window->config.slot_bytes ? left : window->config.slot_bytes;
}

static void close_due(struct loop_timer *timer);

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
	window->close_timer.fired = close_due;
	window->close_log.burst = 3;
	pthread_mutex_init(&window->lock, NULL);
	window->name = strdup(config->name);
	window->config.name = window->name;
	window->plugged = calloc(block_count(window) / 64 + 1, sizeof(uint64_t));
	window->slot = calloc(slots, sizeof(struct slot));
	err = -ENOMEM;
	if (window->name && window->plugged && window->slot)
		err = addrspace_reserve(
			config->gpa, config->size, idle_protection(window), &window->hva);
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
	if (window->hva)
		addrspace_unmap(window->hva, window->config.size);
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
	return window->hva;
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
	err = map_idle(window, 0, window->config.size);
	forget_plugged(window);
	for (unsigned index = 0; index < window->slot_count; index++)
		if (window->slot[index].id_plus_1)
			window->slot[index] = (struct slot){ 0 };
	window->close_first = window->close_last = 0;
	window->slots = NULL;
	pthread_mutex_unlock(&window->lock);
	return err;
}

/* --- closing --- */

static void append_to_queue(struct window *window, unsigned index)
{
	struct slot *slot = &window->slot[index];

	slot->queued = true;
	slot->next_plus_1 = 0;
	if (window->close_last)
		window->slot[window->close_last - 1].next_plus_1 = index + 1;
	else
		window->close_first = index + 1;
	window->close_last = index + 1;
}

/* An emptied slot closes in a while; emptied again before, it waits anew. */
static void queue_close(struct window *window, unsigned index, uint64_t delay_ms)
{
	window->slot[index].close_at_ms = loop_now_ms() + delay_ms;
	if (!window->slot[index].queued)
		append_to_queue(window, index);
	if (!window->close_timer.loop)
		loop_timer_arm(window->loop, &window->close_timer, delay_ms);
}

/* Closes an empty slot in KVM and gives back the page tables that reads of zeros filled. */
static int close_slot(struct window *window, unsigned index)
{
	struct slot *slot = &window->slot[index];
	uint64_t offset = slot_offset(window, index);
	int err = slot_close(window->slots, slot->id_plus_1 - 1, window->config.gpa + offset);

	if (err)
		return err;
	slot->id_plus_1 = 0;
	atomic_fetch_add(&window->slots->generation, 1);
	map_idle(
		window, offset, slot_size(window, index)); /* already idle: failing loses nothing */
	return 0;
}

/* Goes once through the queue: closes what is due and still empty, keeps what has to wait. */
static void close_due(struct loop_timer *timer)
{
	struct window *window = container_of(timer, struct window, close_timer);
	uint64_t now = loop_now_ms(), soonest = UINT64_MAX;
	unsigned next = window->close_first, budget = SLOTS_PER_CLOSE;

	window->close_first = window->close_last = 0;
	while (next) {
		unsigned index = next - 1;
		struct slot *slot = &window->slot[index];
		int err = 0;

		next = slot->next_plus_1;
		slot->queued = false;
		if (slot->plugged_blocks || !slot->id_plus_1)
			continue;
		if (slot->close_at_ms <= now && budget) {
			budget--;
			/* One slot at a time under the lock: a vCPU's fault waits for one at most. */
			pthread_mutex_lock(&window->lock);
			err = close_slot(window, index);
			pthread_mutex_unlock(&window->lock);
			if (!err)
				continue;
			log_limited(&window->close_log, LOG_WARNING,
				"%s: KVM refused to close slot %u (%s); its blocks stay protected, "
				"trying "
				"again",
				window->name, index, strerror(-err));
			slot->close_at_ms = now + CLOSE_RETRY_MS;
		}
		append_to_queue(window, index);
		if (slot->close_at_ms < soonest)
			soonest = slot->close_at_ms;
	}
	if (window->close_first)
		loop_timer_arm(window->loop, timer, soonest > now ? soonest - now : 0);
}

/* --- plug and unplug --- */

static void set_blocks(struct window *window, uint64_t first, uint64_t count, bool plugged)
{
	for (uint64_t block = first; block < first + count; block++)
		window->plugged[block / 64] ^= UINT64_C(1) << (block % 64);
	window->plugged_blocks += plugged ? count : -count;
}

static void check_range(const struct window *window, uint64_t offset, uint64_t size)
{
	CHECK(window->slots && size && is_aligned(offset | size, window->config.block_bytes) &&
		offset < window->config.size && size <= window->config.size - offset);
}

/* Adds the range's blocks to (sign 1), or takes them from (-1), the count of each slot it touches. */
static void count_in_slots(struct window *window, uint64_t offset, uint64_t size, int sign)
{
	uint64_t end = offset + size;

	while (offset < end) {
		unsigned index = (unsigned)(offset / window->config.slot_bytes);
		uint64_t slot_end = slot_offset(window, index) + slot_size(window, index);
		uint64_t part = (end < slot_end ? end : slot_end) - offset;
		struct slot *slot = &window->slot[index];

		slot->plugged_blocks += (unsigned)(sign *
						   (int64_t)(part / window->config.block_bytes));
		if (!slot->plugged_blocks)
			queue_close(window, index, CLOSE_DELAY_MS);
		offset += part;
	}
}

static unsigned slots_closed(const struct window *window, uint64_t offset, uint64_t size)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes), closed = 0;
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);

	for (unsigned index = first; index <= last; index++)
		closed += !window->slot[index].id_plus_1;
	return closed;
}

/* Opens the closed slots of the range; what it opened before an error is undo_open()'s. */
static int open_slots(struct window *window, uint64_t offset, uint64_t size)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes);
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);

	for (unsigned index = first; index <= last; index++) {
		struct slot *slot = &window->slot[index];
		uint64_t at = slot_offset(window, index);
		int id;

		if (slot->id_plus_1)
			continue;
		id = slot_open(window->slots, window->config.gpa + at, slot_size(window, index),
			window->hva + at);
		if (id < 0)
			return id;
		slot->id_plus_1 = (unsigned)id + 1;
	}
	return 0;
}

/* Lets every open slot of the range that holds nothing close again, as an emptied one does. */
static void undo_open(struct window *window, uint64_t offset, uint64_t size)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes);
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);

	for (unsigned index = first; index <= last; index++)
		if (window->slot[index].id_plus_1 && !window->slot[index].plugged_blocks &&
			close_slot(window, index) != 0)
			queue_close(window, index, CLOSE_RETRY_MS);
}

int window_plug(struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / window->config.block_bytes,
		 count = size / window->config.block_bytes;
	int err = -EBUSY;

	check_range(window, offset, size);
	CHECK(window_state(window, offset, size) == WINDOW_UNPLUGGED);
	if (slots_closed(window, offset, size) > SLOTS_PER_PLUG ||
		!slots_take_mappings(window->slots))
		return -EBUSY;
	pthread_mutex_lock(&window->lock);
	if (open_slots(window, offset, size) != 0 ||
		addrspace_make_writable(window->hva + offset, size) != 0) {
		undo_open(window, offset, size);
		goto out;
	}
	set_blocks(window, first, count, true);
	count_in_slots(window, offset, size, 1);
	atomic_fetch_add(&window->slots->generation, 1);
	err = 0;
out:
	pthread_mutex_unlock(&window->lock);
	return err;
}

int window_unplug(struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / window->config.block_bytes,
		 count = size / window->config.block_bytes;
	int err = -EBUSY;

	check_range(window, offset, size);
	CHECK(window_state(window, offset, size) == WINDOW_PLUGGED);
	if (!slots_take_mappings(window->slots))
		return -EBUSY;
	pthread_mutex_lock(&window->lock);
	set_blocks(window, first, count, false);
	if (map_idle(window, offset, size) != 0) {
		set_blocks(window, first, count, true);
		goto out;
	}
	count_in_slots(window, offset, size, -1);
	atomic_fetch_add(&window->slots->generation, 1);
	err = 0;
out:
	pthread_mutex_unlock(&window->lock);
	return err;
}

int window_unplug_all(struct window *window)
{
	int err;

	CHECK(window->slots);
	if (!window->plugged_blocks)
		return 0;
	pthread_mutex_lock(&window->lock);
	err = map_idle(window, 0, window->config.size); /* one call: all of it or nothing */
	if (!err) {
		forget_plugged(window);
		for (unsigned index = 0; index < window->slot_count; index++) {
			if (!window->slot[index].plugged_blocks)
				continue;
			window->slot[index].plugged_blocks = 0;
			queue_close(window, index, CLOSE_DELAY_MS);
		}
		atomic_fetch_add(&window->slots->generation, 1);
	}
	pthread_mutex_unlock(&window->lock);
	return err ? -EBUSY : 0;
}

/* --- looking --- */

enum window_state window_state(const struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / window->config.block_bytes;
	uint64_t last = (offset + size - 1) / window->config.block_bytes;
	bool plugged = is_plugged(window, first);

	for (uint64_t block = first + 1; block <= last; block++)
		if (is_plugged(window, block) != plugged)
			return WINDOW_MIXED;
	return plugged ? WINDOW_PLUGGED : WINDOW_UNPLUGGED;
}

void window_slot(const struct window *window, unsigned index, struct window_slot *ret)
{
	const struct slot *slot = &window->slot[index];

	*ret = (struct window_slot){
		.index = index,
		.offset = slot_offset(window, index),
		.size = slot_size(window, index),
		.open = slot->id_plus_1 != 0,
		.plugged_bytes = slot->plugged_blocks * window->config.block_bytes,
	};
}

enum window_lookup window_lookup(struct window *window, uint64_t gpa)
{
	uint64_t offset = gpa - window->config.gpa;
	enum window_lookup result;

	if (gpa < window->config.gpa || offset >= window->config.size)
		return WINDOW_OUTSIDE;
	pthread_mutex_lock(&window->lock);
	if (is_plugged(window, offset / window->config.block_bytes))
		result = WINDOW_BLOCK_PLUGGED;
	else if (window->slot[offset / window->config.slot_bytes].id_plus_1)
		result = WINDOW_BLOCK_UNPLUGGED;
	else
		result = WINDOW_SLOT_CLOSED;
	pthread_mutex_unlock(&window->lock);
	return result;
}

int window_peek(struct window *window, uint64_t gpa, void *ret_buf, size_t len)
{
	uint64_t offset = gpa - window->config.gpa;
	int err = -EFAULT;

	if (!len || gpa < window->config.gpa || offset >= window->config.size ||
		len > window->config.size - offset)
		return -EFAULT;
	pthread_mutex_lock(&window->lock);
	if (window_state(window, offset, len) == WINDOW_PLUGGED) {
		memcpy(ret_buf, window->hva + offset, len);
		err = 0;
	}
	pthread_mutex_unlock(&window->lock);
	return err;
}
