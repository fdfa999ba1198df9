/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unplugging much, a turn of the loop at a time: a GiB of small pages takes the host 30 ms and more, and a guest
 * decides how much it unplugs in one request. The first piece is unplugged before this starts, so that a refusal by the
 * host changes nothing; a refusal here is retried by a timer (window.c).
 *
 * A driver's own reset holds its vCPU alone, which waits with the device's lock released, so it can wait for turns. A
 * system reset waits for them too, before it parks the vCPUs. A pause and the end park them at once, and one of them may
 * be waiting for the device; so window_finish_unplug() comes first, which takes 30 ms and more for each GiB of small
 * pages.
 */
#include <string.h>

#include "hyp/base/util.h"
#include "hyp/memory/window-internal.h"

void window_unplug_in_turns(struct window *window, void (*ended)(void *opaque), void *opaque)
{
	window->ended = ended;
	window->ended_opaque = opaque;
}

void window_empty_slots(struct window *window)
{
	for (unsigned index = 0; index < window->slot_count; index++) {
		if (!window->slot[index].plugged_blocks)
			continue;
		window->slot[index].plugged_blocks = 0;
		if (window->slot[index].id_plus_1)
			window_queue_close(window, index, CLOSE_DELAY_MS);
	}
}

void window_go_on_unplugging(
	struct window *window, uint64_t offset, uint64_t size, uint64_t blocks, bool all)
{
	window->going_from = window->going_at = offset;
	window->going_end = offset + size;
	window->going_all = all;
	window->going_blocks = blocks;
	loop_timer_arm(window->loop, &window->going_timer, 0);
}

/* Skips slots whose count is 0: nothing was plugged there. */
static void step(struct window *window)
{
	uint64_t at = window->going_at, most = window_piece(window);
	unsigned index;
	uint64_t part = window_part(window, at, window->going_end, &index);
	int err;

	if (window->slot[index].plugged_blocks) {
		part = part < most ? part : most;
		err = window_make_idle(window, at, part);
		if (err) {
			part = window->going_end - at;
			window_reclaim_later(window, at, part, err);
		}
	}
	window->going_at += part;
}

static void end(struct window *window)
{
	if (window->going_all)
		window_empty_slots(window);
	else
		window_count_in_slots(
			window, window->going_from, window->going_end - window->going_from, -1);
	window->going_end = window->going_blocks = 0;
}

/* True at the end. A vCPU's fault, which wants the lock, waits for a step. */
static bool go_on(struct window *window, uint64_t until_ms)
{
	bool ended;

	do {
		pthread_mutex_lock(&window->lock);
		step(window);
		ended = window->going_at == window->going_end;
		if (ended)
			end(window);
		atomic_fetch_add(&window->slots->generation, 1);
		pthread_mutex_unlock(&window->lock);
	} while (!ended && loop_now_ms() <= until_ms);
	return ended;
}

void window_unplug_due(struct loop_timer *timer)
{
	struct window *window = container_of(timer, struct window, going_timer);

	if (go_on(window, loop_now_ms() + LOOP_TURN_MS))
		window->ended(window->ended_opaque);
	else
		loop_timer_arm(window->loop, timer, 0);
}

void window_finish_unplug(struct window *window)
{
	if (!window->going_end)
		return;
	loop_timer_cancel(&window->going_timer);
	go_on(window, UINT64_MAX);
	window->ended(window->ended_opaque);
}
