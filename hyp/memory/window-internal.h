/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a window, for the window-*.c files only. */
#ifndef SLUICE_HYP_MEMORY_WINDOW_INTERNAL_H
#define SLUICE_HYP_MEMORY_WINDOW_INTERNAL_H

#include <pthread.h>

#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/memory/backing.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"

/* How long an emptied slot stays open: Linux may still read a few bytes across into it. */
#define CLOSE_DELAY_MS 1000
/* What one step of a close drains: 4,096 pages, some milliseconds of unmapping. */
#define DRAIN_BYTES (16 * MiB)
/* Until a refused close, or an unmapping that failed, is tried again. */
#define RETRY_MS 1000

/* Zero is a closed slot, so that a large window's table costs memory only where it is used. */
struct slot {
	unsigned id_plus_1; /* its number in the budget + 1 while open */
	unsigned plugged_blocks;
	unsigned next_plus_1; /* in the queue of slots to close */
	bool queued;
	bool used; /* it was open since the window was attached: a guest's reads may have left page tables */
	uint64_t close_at_ms;
	uint64_t
		drained; /* this many bytes at its start are mapped PROT_NONE; see window-close.c */
};

struct window {
	struct window_config config;
	char *name;
	struct loop *loop;
	struct slots *slots; /* NULL while detached */
	struct backing backing;

	/*
	 * Guards bits and slots against window_lookup() on vCPU threads. The loop holds it over a
	 * whole change, or each step of one that takes turns; a vCPU that waits for it is in user space and holds nothing of the kernel's.
	 */
	pthread_mutex_t lock;
	uint64_t *plugged; /* bitmap of blocks */
	struct slot *slot;
	unsigned slot_count;
	uint64_t plugged_blocks;

	uint64_t drain_bytes; /* what one step of a close drains; slots up to it are not drained */
	struct loop_timer close_timer;
	unsigned close_first, close_last; /* queue of emptied slots; index + 1 */

	/* Blocks whose unmapping failed. Until the retry succeeds, every plug and unplug is BUSY. */
	uint64_t reclaim_offset, reclaim_size;
	struct loop_timer reclaim_timer;

	/* The plug that prepare() has begun, and how far it came; prepared_size 0: none. */
	uint64_t prepared_offset, prepared_size, prepared, prepared_ms;

	/* What is being unplugged in turns: [going_at, going_end) is still writable. Both 0: nothing. */
	uint64_t going_from, going_at, going_end;
	bool going_all;	       /* all that was plugged of the window */
	uint64_t going_blocks; /* still counted as plugged until all are unmapped */
	struct loop_timer going_timer;
	void (*ended)(void *opaque);
	void *ended_opaque;

	bool stopped;	  /* by window_stop() */
	uint64_t emptied; /* by window_empty(), bytes from the start */

	struct log_limit refusals;
	const char *refused; /* see window_refused() */
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

/* window.c: protects [offset, offset + size) and frees its memory; on failure window_reclaim_later() retries it. */
int window_make_idle(struct window *window, uint64_t offset, uint64_t size);
void window_reclaim_later(struct window *window, uint64_t offset, uint64_t size, int err);

/* window-unplug.c. */

/* Unplugged in one call: 4,096 small pages, each of which may be a flush of the guest's TLB. */
#define UNPLUG_AT_ONCE (16 * MiB)

/* UNPLUG_AT_ONCE in whole blocks, at least one. */
static inline uint64_t window_piece(const struct window *window)
{
	uint64_t piece = align_down(UNPLUG_AT_ONCE, window->config.block_bytes);

	return piece ? piece : window->config.block_bytes;
}

/* The timer's handler, for window_create(). */
void window_unplug_due(struct loop_timer *timer);
/*
 * Continues with [offset, offset + size) in later turns. All that can fail has been done. The bits are cleared, the
 * slots' counts are not yet. `blocks` of it were plugged; `all`: they are all that was plugged. With the lock.
 */
void window_go_on_unplugging(
	struct window *window, uint64_t offset, uint64_t size, uint64_t blocks, bool all);
/* Nothing is plugged in the slots any more; the open ones close after their delay. With the lock. */
void window_empty_slots(struct window *window);

/* window-close.c. */

/* The timer's handler, for window_create(). */
void window_close_due(struct loop_timer *timer);
/* Closes an emptied slot after `delay_ms`. If it is emptied again before that, the delay restarts. */
void window_queue_close(struct window *window, unsigned index, uint64_t delay_ms);
/* Closes an empty slot. On -errno the caller queues it again. With the lock. */
int window_close_slot(struct window *window, unsigned index);
/* Undoes the draining of a slot: it is protected as unplugged blocks are again. With the lock. */
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
/* Adds its blocks to (sign 1) or subtracts them from (-1) each slot's count; emptied slots close after a delay. */
void window_count_in_slots(struct window *window, uint64_t offset, uint64_t size, int sign);
/* window_refill() for each slot. */
int window_refill_slots(struct window *window, uint64_t offset, uint64_t size);
/* Opens its closed slots, at most `most`: -EAGAIN if there are more. window_undo_open() closes them again. */
int window_open_closed(struct window *window, uint64_t offset, uint64_t size, unsigned most);
/* Its open slots that hold nothing yet close after a delay, unless something is plugged in them before. */
void window_keep_open(struct window *window, uint64_t offset, uint64_t size);
/* Closes the slots that window_open_closed() opened; those emptied before close after their delay. */
void window_undo_open(struct window *window, uint64_t offset, uint64_t size);
/*
 * Closes its open slots, in which nothing else is plugged. This cannot be undone, even if a close is refused: a
 * listener may have closed its part.
 */
void window_close_slots(struct window *window, uint64_t offset, uint64_t size);

#endif
