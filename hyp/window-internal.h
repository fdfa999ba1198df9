/* SPDX-License-Identifier: Apache-2.0 */
/* A window from within: shared by the window-*.c files and by nobody else. */
#ifndef SLUICE_HYP_WINDOW_INTERNAL_H
#define SLUICE_HYP_WINDOW_INTERNAL_H

#include <pthread.h>

#include "hyp/backing.h"
#include "hyp/log.h"
#include "hyp/loop.h"
#include "hyp/slots.h"
#include "hyp/window.h"

/* How long an emptied slot stays open: Linux may still read a few bytes across into it. */
#define CLOSE_DELAY_MS 1000
/* What one step of a close drains: 4,096 pages, some milliseconds of unmapping. */
#define DRAIN_BYTES (16 * MiB)
/* When a slot would not close, or the host would not take memory back. */
#define RETRY_MS 1000

/* Zero is a closed slot, so that a large window's table costs memory only where it is used. */
struct slot {
	unsigned id_plus_1; /* its number in the budget + 1 while open */
	unsigned plugged_blocks;
	unsigned next_plus_1; /* in the queue of slots to close */
	bool queued;
	uint64_t close_at_ms;
	uint64_t
		drained; /* so many of its first bytes can be neither written nor read; see window-close.c */
};

struct window {
	struct window_config config;
	char *name;
	struct loop *loop;
	struct slots *slots; /* NULL while detached */
	struct backing backing;

	/*
	 * Guards bits and slots against window_lookup() on vCPU threads. The loop holds it over a
	 * whole change; a vCPU that waits for it is in user space and holds nothing of the kernel's.
	 */
	pthread_mutex_t lock;
	uint64_t *plugged; /* bitmap of blocks */
	struct slot *slot;
	unsigned slot_count;
	uint64_t plugged_blocks;

	uint64_t drain_bytes; /* what one step of a close drains; slots up to it are not drained */
	struct loop_timer close_timer;
	unsigned close_first, close_last; /* queue of emptied slots; index + 1 */

	/* Unplugged blocks that the host would not protect or take back: nothing else goes on before. */
	uint64_t owed_offset, owed_size;
	struct loop_timer owed_timer;

	struct log_limit refusals;
};

static inline bool is_plugged(const struct window *window, uint64_t block)
{
	return window->plugged[block / 64] >> (block % 64) & 1;
}

static inline uint64_t slot_offset(const struct window *window, unsigned index)
{
	return index * window->config.slot_bytes;
}

static inline uint64_t slot_size(const struct window *window, unsigned index)
{
	uint64_t left = window->config.size - slot_offset(window, index);

	return left < window->config.slot_bytes ? left : window->config.slot_bytes;
}

/* window-close.c. */

/* The timer's handler, for window_create(). */
void window_close_due(struct loop_timer *timer);
/* An emptied slot closes in a while; emptied again before, it waits anew. */
void window_queue_close(struct window *window, unsigned index, uint64_t delay_ms);
/* Closes an empty slot. On -errno it is to be queued again. With the lock. */
int window_close_slot(struct window *window, unsigned index);
/* Gives a slot that was being closed, or was closed, the protection of unplugged blocks again. With the lock. */
int window_refill(struct window *window, unsigned index);

/* window-slots.c: of [offset, offset + size), with the lock. */

/* The bytes of [offset, end) in the slot that `offset` lies in, whose index goes to `ret_index`. */
uint64_t window_part(
	const struct window *window, uint64_t offset, uint64_t end, unsigned *ret_index);
/* How many slots it touches, and how many of these are closed. */
unsigned window_slots_touched(const struct window *window, uint64_t offset, uint64_t size);
unsigned window_slots_closed(const struct window *window, uint64_t offset, uint64_t size);
/* Whether nothing else is plugged in the slots that it touches, all of it being plugged. */
bool window_is_all_of_slots(const struct window *window, uint64_t offset, uint64_t size);
/* Adds its blocks to (sign 1), or takes them from (-1), the count of each slot; what is empty then closes in time. */
void window_count_in_slots(struct window *window, uint64_t offset, uint64_t size, int sign);
/* Slots that were about to close have the protection of unplugged blocks again. */
int window_refill_slots(struct window *window, uint64_t offset, uint64_t size);
/* Opens its closed slots; what it opened before an error is window_undo_open()'s. */
int window_open_closed(struct window *window, uint64_t offset, uint64_t size);
/* Closes the slots that were opened for nothing; those emptied before close in their time. */
void window_undo_open(struct window *window, uint64_t offset, uint64_t size);
/*
 * Closes its open slots, of which nothing else is plugged. There is no way back then, even from what
 * is refused: a listener may have let go.
 */
void window_close_slots(struct window *window, uint64_t offset, uint64_t size);

#endif
