/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closes emptied slots, after a delay and a step at a time. A guest that has read zeros everywhere has filled page
 * tables, ours and its stage 2. A close that had to empty them all at once would hold the loop (1.6 s for 256 MiB,
 * emulated). So a slot is drained first: mapped anew without access, DRAIN_BYTES a step, so that the loop can serve
 * others in between. Accesses to the drained part abort, as they will in the closed slot. Once the slot is closed, the
 * part gets the protection of unplugged blocks again; if a plug comes first, the plug does that.
 */
#include <string.h>
#include <sys/mman.h>

#include "hyp/base/util.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/window-internal.h"

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

void window_queue_close(struct window *window, unsigned index, uint64_t delay_ms)
{
	window->slot[index].close_at_ms = loop_now_ms() + delay_ms;
	if (!window->slot[index].queued)
		append_to_queue(window, index);
	if (!window->close_timer.loop)
		loop_timer_arm(window->loop, &window->close_timer, delay_ms);
}

static bool is_drained(const struct window *window, unsigned index)
{
	return window->config.stray_reads == STRAY_READS_ABORT ||
	       slot_size(window, index) - window->slot[index].drained <= window->drain_bytes;
}

/* One step. What the host refuses is left to the close, which then takes longer. */
static void drain(struct window *window, unsigned index)
{
	struct slot *slot = &window->slot[index];
	uint64_t left = slot_size(window, index) - slot->drained;
	uint64_t step = left < DRAIN_BYTES ? left : DRAIN_BYTES;

	addrspace_discard(
		window->backing.hva + slot_offset(window, index) + slot->drained, step, PROT_NONE);
	slot->drained += step;
}

int window_refill(struct window *window, unsigned index)
{
	struct slot *slot = &window->slot[index];
	int err = 0;

	if (slot->drained)
		err = backing_protect(&window->backing, slot_offset(window, index), slot->drained);
	if (!err)
		slot->drained = 0;
	return err;
}

int window_close_slot(struct window *window, unsigned index)
{
	struct slot *slot = &window->slot[index];
	int err = slot_close(window->slots, slot->id_plus_1 - 1);

	if (err)
		return err;
	slot->id_plus_1 = 0;
	atomic_fetch_add(&window->slots->generation, 1);
	window_refill(window, index); /* if this fails, the next plug does it */
	return 0;
}

/* One step towards the close of a slot that is due. False: it has to wait. */
static bool go_on(struct window *window, unsigned index, uint64_t now)
{
	int err = 0;

	/* One step at a time under the lock: a vCPU's fault waits for one at most. */
	pthread_mutex_lock(&window->lock);
	if (is_drained(window, index))
		err = window_close_slot(window, index);
	else
		drain(window, index);
	/* If refused for long, many drained slots would each cost mappings. */
	if (err)
		window_refill(window, index);
	pthread_mutex_unlock(&window->lock);
	if (!err)
		return true;
	log_limited(&window->refusals, LOG_WARNING,
		"%s: slot %u cannot be closed (%s); its blocks stay protected, trying again",
		window->name, index, strerror(-err));
	window->slot[index].close_at_ms = now + RETRY_MS;
	return false;
}

/* Goes once through the queue: closes slots that are due and still empty, and requeues those that have to wait. */
void window_close_due(struct loop_timer *timer)
{
	struct window *window = container_of(timer, struct window, close_timer);
	uint64_t now = loop_now_ms(), soonest = UINT64_MAX;
	unsigned next = window->close_first;

	window->close_first = window->close_last = 0;
	while (next) {
		unsigned index = next - 1;
		struct slot *slot = &window->slot[index];

		next = slot->next_plus_1;
		slot->queued = false;
		while (!slot->plugged_blocks && slot->id_plus_1 && slot->close_at_ms <= now &&
			loop_now_ms() < now + LOOP_TURN_MS && go_on(window, index, now))
			;
		if (slot->plugged_blocks || !slot->id_plus_1)
			continue;
		append_to_queue(window, index);
		if (slot->close_at_ms < soonest)
			soonest = slot->close_at_ms;
	}
	if (window->close_first)
		loop_timer_arm(window->loop, timer, soonest > now ? soonest - now : 0);
}
