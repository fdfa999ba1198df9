/* SPDX-License-Identifier: Apache-2.0 */
/* Closing emptied slots, a while later and a few at a time. */
#include <string.h>

#include "hyp/util.h"
#include "hyp/window-internal.h"

/* How long one turn may keep the loop: each slot closed is a call of 0.1 to 1 ms. */
#define SLOTS_PER_CLOSE 64

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

int window_close_slot(struct window *window, unsigned index)
{
	struct slot *slot = &window->slot[index];
	int err = slot_close(window->slots, slot->id_plus_1 - 1);

	if (err)
		return err;
	slot->id_plus_1 = 0;
	atomic_fetch_add(&window->slots->generation, 1);
	/* Gives back the page tables that reads of zeros filled. It is protected: failing loses nothing. */
	backing_protect(&window->backing, slot_offset(window, index), slot_size(window, index));
	return 0;
}

/* Goes once through the queue: closes what is due and still empty, keeps what has to wait. */
void window_close_due(struct loop_timer *timer)
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
			err = window_close_slot(window, index);
			pthread_mutex_unlock(&window->lock);
			if (!err)
				continue;
			log_limited(&window->refusals, LOG_WARNING,
				"%s: slot %u cannot be closed (%s); its blocks stay protected, "
				"trying "
				"again",
				window->name, index, strerror(-err));
			slot->close_at_ms = now + RETRY_MS;
		}
		append_to_queue(window, index);
		if (slot->close_at_ms < soonest)
			soonest = slot->close_at_ms;
	}
	if (window->close_first)
		loop_timer_arm(window->loop, timer, soonest > now ? soonest - now : 0);
}
