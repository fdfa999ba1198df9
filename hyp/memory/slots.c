/* SPDX-License-Identifier: Apache-2.0 */
/* Slots, their budget, and the listeners to notify; see slots.h. */
#include "hyp/memory/slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "hyp/base/util.h"

/* The table grows by this many: the budget may be 32,764 slots, of which mostly few are open. */
#define CAPACITY_STEP 64

struct open_slot {
	struct memory_slot slot;
	unsigned notified;    /* this many listeners, from the first on, have it */
	unsigned next_plus_1; /* of a free id: the id freed before it */
};

void slots_init(struct slots *slots)
{
	*slots = (struct slots){ 0 };
	mappings_init(&slots->mappings);
}

void slots_finish(struct slots *slots)
{
	free(slots->slot);
	slots->slot = NULL;
	slots->capacity = 0;
}

const struct listener *slots_tightest(const struct slots *slots)
{
	const struct listener *tightest = slots->listeners[0];

	for (unsigned i = 1; i < slots->listener_count; i++)
		if (slots->listeners[i]->limit < tightest->limit)
			tightest = slots->listeners[i];
	return tightest;
}

unsigned slots_free(const struct slots *slots)
{
	return slots_tightest(slots)->limit - slots->reserved;
}

int slots_add_listener(struct slots *slots, struct listener *listener)
{
	CHECK(!slots->open);
	if (slots->listener_count == SLOTS_LISTENERS)
		return -E2BIG;
	if (listener->limit < slots->reserved)
		return -ENOSPC;
	slots->listeners[slots->listener_count++] = listener;
	return 0;
}

int slots_reserve(struct slots *slots, const char *holder, unsigned count)
{
	if (count > slots_free(slots) || slots->holder_count == SLOTS_HOLDERS)
		return -ENOSPC;
	slots->holders[slots->holder_count++] = (struct slot_holder){ holder, count };
	slots->reserved += count;
	return 0;
}

void slots_explain(const struct slots *slots, const struct listener *listener, unsigned asked,
	char *ret_text, size_t len)
{
	unsigned unreserved = listener->limit > slots->reserved ? listener->limit - slots->reserved
								: 0;
	int at = snprintf(ret_text, len, "%u slots asked for, and of the %u of %s %u are free",
		asked, listener->limit, listener->name, unreserved);

	for (unsigned i = 0; i < slots->holder_count && at >= 0 && (size_t)at < len; i++)
		at += snprintf(ret_text + at, len - (size_t)at, "%s%s %u%s",
			i ? ", " : " (held: ", slots->holders[i].name, slots->holders[i].count,
			i + 1 == slots->holder_count ? ")" : "");
}

void slots_forget(struct slots *slots)
{
	slots->open = slots->used = slots->free_plus_1 = 0;
	for (unsigned i = slots->listener_count; i-- > 0;)
		if (slots->listeners[i]->ops->forget)
			slots->listeners[i]->ops->forget(slots->listeners[i]);
}

/* --- opening and closing --- */

/* The id freed last, or one never used: as fast with thousands open. */
static int take_id(struct slots *slots)
{
	unsigned id = slots->free_plus_1 ? slots->free_plus_1 - 1 : slots->used;
	unsigned capacity = slots->capacity + CAPACITY_STEP;
	struct open_slot *grown;

	if (id >= slots_tightest(slots)->limit)
		return -ENOSPC;
	if (id == slots->capacity) {
		grown = realloc(slots->slot, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		slots->slot = grown;
		slots->capacity = capacity;
	}
	if (id == slots->used)
		slots->used++;
	else
		slots->free_plus_1 = slots->slot[id].next_plus_1;
	slots->slot[id] = (struct open_slot){ 0 };
	slots->open++;
	return (int)id;
}

static void give_id_back(struct slots *slots, unsigned id)
{
	slots->slot[id].next_plus_1 = slots->free_plus_1;
	slots->free_plus_1 = id + 1;
	slots->open--;
}

bool slot_is_whole(const struct slots *slots, unsigned id)
{
	return slots->slot[id].notified == slots->listener_count;
}

int slot_close(struct slots *slots, unsigned id)
{
	struct open_slot *slot = &slots->slot[id];

	while (slot->notified) {
		struct listener *last = slots->listeners[slot->notified - 1];
		int err = last->ops->close(last, &slot->slot);

		if (err < 0)
			return err;
		slot->notified--;
	}
	give_id_back(slots, id);
	return 0;
}

int slot_open(struct slots *slots, const struct memory_slot *slot, int *id)
{
	struct open_slot *opened;

	if (*id < 0) {
		*id = take_id(slots);
		if (*id < 0) {
			int err = *id;

			*id = -1;
			return err;
		}
		slots->slot[*id].slot = *slot;
		slots->slot[*id].slot.id = (unsigned)*id;
	}
	opened = &slots->slot[*id];
	while (opened->notified < slots->listener_count) {
		struct listener *next = slots->listeners[opened->notified];
		int err = next->ops->open(next, &opened->slot);

		if (err < 0) {
			if (slot_close(slots, (unsigned)*id) == 0)
				*id = -1;
			return err;
		}
		opened->notified++;
	}
	return 0;
}

/* --- blocks --- */

static int notify(const struct slots *slots, unsigned index, bool plugged,
	const struct memory_slot *slot, uint64_t offset, uint64_t size, bool back)
{
	struct listener *listener = slots->listeners[index];
	const struct listener_ops *ops = listener->ops;
	int err = 0;

	if (plugged && ops->plug)
		err = ops->plug(listener, slot, offset, size, back);
	else if (!plugged && ops->unplug)
		err = ops->unplug(listener, slot, offset, size, back);
	CHECK(!err || !back);
	return err;
}

int slot_plug(struct slots *slots, unsigned id, uint64_t offset, uint64_t size, bool back)
{
	const struct memory_slot *slot = &slots->slot[id].slot;

	for (unsigned i = 0; i < slots->listener_count; i++) {
		int err = notify(slots, i, true, slot, offset, size, back);

		if (!err)
			continue;
		while (i-- > 0)
			notify(slots, i, false, slot, offset, size, true);
		return err;
	}
	return 0;
}

int slot_unplug(struct slots *slots, unsigned id, uint64_t offset, uint64_t size, bool back)
{
	const struct memory_slot *slot = &slots->slot[id].slot;

	for (unsigned i = slots->listener_count; i-- > 0;) {
		int err = notify(slots, i, false, slot, offset, size, back);

		if (!err)
			continue;
		while (++i < slots->listener_count)
			notify(slots, i, true, slot, offset, size, true);
		return err;
	}
	return 0;
}
