/* SPDX-License-Identifier: Apache-2.0 */
/* The fake listener; see fake-listener.h. */
#include "tests/unit/helpers/fake-listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/base/util.h"

static struct fake_listener *from(struct listener *listener)
{
	return container_of(listener, struct fake_listener, listener);
}

static bool fails(struct fake_listener *fake)
{
	if (++fake->calls != fake->fail_at &&
		!(fake->fail_one_in && rand_r(&fake->seed) % fake->fail_one_in == 0))
		return false;
	fake->failed++;
	return true;
}

static int fake_open(struct listener *listener, const struct memory_slot *slot)
{
	struct fake_listener *fake = from(listener);

	CHECK(slot->id < fake->listener.limit && slot->id < FAKE_LISTENER_SLOTS);
	CHECK(!fake->open[slot->id] && !fake->plugged[slot->id] && slot->size);
	if (fails(fake))
		return -ENOMEM;
	fake->open[slot->id] = true;
	fake->last = *slot;
	fake->open_count++;
	return 0;
}

static int fake_close(struct listener *listener, const struct memory_slot *slot)
{
	struct fake_listener *fake = from(listener);

	CHECK(fake->open[slot->id] && !fake->plugged[slot->id]);
	if (fails(fake))
		return -EBUSY;
	fake->open[slot->id] = false;
	fake->open_count--;
	return 0;
}

/* Blocks become known while they can be written, and are let go of before that ends. */
static void touch(const struct memory_slot *slot, uint64_t offset, uint64_t size)
{
	volatile uint8_t *hva = (uint8_t *)slot->hva + offset;

	CHECK(size && offset + size <= slot->size);
	hva[size - 1] = hva[size - 1];
}

static int fake_plug(struct listener *listener, const struct memory_slot *slot, uint64_t offset,
	uint64_t size, bool back)
{
	struct fake_listener *fake = from(listener);

	CHECK(fake->open[slot->id]);
	touch(slot, offset, size);
	if (!back && fails(fake))
		return -ENOMEM;
	fake->plugged[slot->id] += size;
	fake->plugged_all += size;
	return 0;
}

static int fake_unplug(struct listener *listener, const struct memory_slot *slot, uint64_t offset,
	uint64_t size, bool back)
{
	struct fake_listener *fake = from(listener);

	CHECK(fake->open[slot->id] && fake->plugged[slot->id] >= size);
	touch(slot, offset, size);
	if (!back && fails(fake))
		return -EBUSY;
	fake->plugged[slot->id] -= size;
	fake->plugged_all -= size;
	return 0;
}

static void fake_forget(struct listener *listener)
{
	struct fake_listener *fake = from(listener);

	memset(fake->plugged, 0, sizeof(fake->plugged));
	memset(fake->open, 0, sizeof(fake->open));
	fake->open_count = 0;
	fake->plugged_all = 0;
}

void fake_listener_init(struct fake_listener *fake, const char *name, unsigned limit)
{
	static const struct listener_ops ops = {
		.open = fake_open,
		.close = fake_close,
		.plug = fake_plug,
		.unplug = fake_unplug,
		.forget = fake_forget,
	};

	*fake = (struct fake_listener){ .listener = { &ops, name, limit } };
}
