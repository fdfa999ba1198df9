/* SPDX-License-Identifier: Apache-2.0 */
/* Queries: what is plugged, and which slots are open. */
#include <errno.h>

#include "hyp/memory/addrspace.h"
#include "hyp/memory/window-internal.h"

enum window_state window_state(const struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / window->config.block_bytes;
	uint64_t last = (offset + size - 1) / window->config.block_bytes;
	bool plugged = is_plugged(window, first);

	if (window->stopped)
		return WINDOW_UNPLUGGED;
	for (uint64_t block = first + 1; block <= last; block++)
		if (is_plugged(window, block) != plugged)
			return WINDOW_MIXED;
	return plugged ? WINDOW_PLUGGED : WINDOW_UNPLUGGED;
}

unsigned window_open_slots(const struct window *window)
{
	unsigned open = 0;

	for (unsigned index = 0; index < window->slot_count; index++)
		open += window->slot[index].id_plus_1 != 0;
	return open;
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
	if (window_state(window, offset, len) == WINDOW_PLUGGED)
		err = addrspace_peek(window->backing.hva + offset, ret_buf, len);
	pthread_mutex_unlock(&window->lock);
	return err;
}
