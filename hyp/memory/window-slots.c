/* SPDX-License-Identifier: Apache-2.0 */
/* The slots that a range of a window touches: counted, opened and closed together. */
#include <errno.h>

#include "hyp/base/util.h"
#include "hyp/memory/window-internal.h"

uint64_t window_part(
	const struct window *window, uint64_t offset, uint64_t end, unsigned *ret_index)
{
	unsigned index = (unsigned)(offset / window->config.slot_bytes);
	uint64_t slot_end = slot_offset(window, index) + slot_size(window, index);

	*ret_index = index;
	return (end < slot_end ? end : slot_end) - offset;
}

void window_count_in_slots(struct window *window, uint64_t offset, uint64_t size, int sign)
{
	uint64_t end = offset + size, part;
	unsigned index;

	for (; offset < end; offset += part) {
		part = window_part(window, offset, end, &index);
		window->slot[index].plugged_blocks +=
			(unsigned)(sign * (int64_t)(part / window->config.block_bytes));
		if (!window->slot[index].plugged_blocks && window->slot[index].id_plus_1)
			window_queue_close(window, index, CLOSE_DELAY_MS);
	}
}

unsigned window_slots_closed(const struct window *window, uint64_t offset, uint64_t size)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes), closed = 0;
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);

	for (unsigned index = first; index <= last; index++)
		closed += !window->slot[index].id_plus_1;
	return closed;
}

int window_refill_slots(struct window *window, uint64_t offset, uint64_t size)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes);
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);
	int err = 0;

	for (unsigned index = first; index <= last && !err; index++)
		err = window_refill(window, index);
	return err;
}

int window_open_closed(struct window *window, uint64_t offset, uint64_t size, unsigned most)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes);
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);
	int err = 0;

	for (unsigned index = first; index <= last && !err; index++) {
		struct slot *slot = &window->slot[index];
		struct memory_slot wanted = {
			.gpa = window->config.gpa + slot_offset(window, index),
			.size = slot_size(window, index),
			.hva = window->backing.hva + slot_offset(window, index),
			.fd = window->backing.fd,
			.fd_offset = slot_offset(window, index),
		};
		int id = (int)slot->id_plus_1 - 1;

		if (id >= 0 && slot_is_whole(window->slots, (unsigned)id))
			continue;
		if (!most--)
			return -EAGAIN;
		err = slot_open(window->slots, &wanted, &id);
		slot->id_plus_1 = (unsigned)(id + 1);
		slot->used = true;
	}
	return err;
}

void window_keep_open(struct window *window, uint64_t offset, uint64_t size)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes);
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);

	for (unsigned index = first; index <= last; index++)
		if (window->slot[index].id_plus_1 && !window->slot[index].plugged_blocks)
			window_queue_close(window, index, CLOSE_DELAY_MS);
}

void window_undo_open(struct window *window, uint64_t offset, uint64_t size)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes);
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);

	for (unsigned index = first; index <= last; index++)
		if (window->slot[index].id_plus_1 && !window->slot[index].plugged_blocks &&
			!window->slot[index].queued && window_close_slot(window, index) != 0)
			window_queue_close(window, index, RETRY_MS);
}

unsigned window_slots_touched(const struct window *window, uint64_t offset, uint64_t size)
{
	return (unsigned)((offset + size - 1) / window->config.slot_bytes -
			  offset / window->config.slot_bytes + 1);
}

void window_close_slots(struct window *window, uint64_t offset, uint64_t size)
{
	unsigned first = (unsigned)(offset / window->config.slot_bytes);
	unsigned last = (unsigned)((offset + size - 1) / window->config.slot_bytes);

	for (unsigned index = first; index <= last; index++)
		if (window->slot[index].id_plus_1)
			window_close_slot(window, index);
}

bool window_is_all_of_slots(const struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t end = offset + size, part;
	unsigned index;

	for (; offset < end; offset += part) {
		part = window_part(window, offset, end, &index);
		if (window->slot[index].plugged_blocks * window->config.block_bytes != part)
			return false;
	}
	return true;
}
