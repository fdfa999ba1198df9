/* SPDX-License-Identifier: Apache-2.0 */
/* The targets' input and their guest's memory; see fuzz.h. */
#include <linux/virtio_ring.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/base/util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/helpers/fake-window.h"

struct guestmem fuzz_mem;
struct window fuzz_window;
uint8_t *fuzz_ram;

static uint8_t *more, *window_ram;

uint64_t input_take(struct input *input, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes && input->at < input->end; i++)
		value |= (uint64_t)*input->at++ << 8 * i;
	return value;
}

/* An unplugged block holds nothing, and nobody may read it. */
static void set_plugged(struct window *window, uint64_t offset, uint64_t size, bool plugged)
{
	ASAN_UNPOISON_MEMORY_REGION(window_ram + offset, size);
	memset(window_ram + offset, 0, size);
	if (!plugged)
		ASAN_POISON_MEMORY_REGION(window_ram + offset, size);
}

void fuzz_mem_start(void)
{
	if (!fuzz_ram) {
		fuzz_ram = malloc(RAM_BYTES);
		more = malloc(MORE_BYTES);
		window_ram = malloc(WINDOW_BYTES);
		CHECK(fuzz_ram && more && window_ram);
	}
	memset(fuzz_ram, 0, RAM_BYTES);
	memset(more, 0, MORE_BYTES);
	fuzz_window = (struct window){
		.config = { .gpa = WINDOW_GPA, .size = WINDOW_BYTES, .block_bytes = BLOCK_BYTES },
		.changed = set_plugged,
	};
	memset(fuzz_window.plugged, 1, BLOCKS / 2);
	set_plugged(&fuzz_window, 0, WINDOW_BYTES / 2, true);
	set_plugged(&fuzz_window, WINDOW_BYTES / 2, WINDOW_BYTES / 2, false);
	fuzz_mem = (struct guestmem){
		.ranges = {
			{ .gpa = RAM_GPA, .size = RAM_BYTES, .hva = fuzz_ram },
			{ .gpa = RAM_GPA + RAM_BYTES, .size = MORE_BYTES, .hva = more },
			{ .gpa = WINDOW_GPA, .size = WINDOW_BYTES, .hva = window_ram,
				.window = &fuzz_window },
		},
		.count = 3,
	};
}

uint64_t input_gpa(struct input *input)
{
	static const uint64_t places[] = {
		RAM_GPA + FREE_AT, /* good, as the next are */
		RAM_GPA,	   /* the rings themselves */
		WINDOW_GPA,
		RAM_GPA + RAM_BYTES - 64,	       /* across the seam */
		RAM_GPA + RAM_BYTES + MORE_BYTES - 64, /* across the end */
		WINDOW_GPA + WINDOW_BYTES / 2 - 64,    /* into what is unplugged */
		WINDOW_GPA + WINDOW_BYTES - 64,
		WINDOW_GPA + WINDOW_BYTES / 2,
		0x0a000000,	 /* registers */
		UINT64_MAX - 63, /* past 2^64 */
		UINT64_C(1) << 63,
		0,
	};
	uint8_t place = input_take(input, 1);

	return places[place % ARRAY_SIZE(places)] + input_take(input, place & 128 ? 2 : 1);
}

uint32_t input_len(struct input *input)
{
	static const uint32_t lens[] = { 0, 1, 12, 16, 24, 512, 4096, RAM_BYTES, UINT32_MAX - 1,
		UINT32_MAX, 1u << 31, RAM_BYTES + MORE_BYTES };
	uint8_t len = input_take(input, 1);

	return len & 128 ? lens[(len & 127) % ARRAY_SIZE(lens)] : len;
}

static uint8_t *queue_at(uint8_t q)
{
	return fuzz_ram + q % QUEUES * QUEUE_AT;
}

static void poke(struct input *input)
{
	uint32_t at = input_take(input, 2) % RAM_BYTES;
	unsigned len = input_take(input, 1) % 40;

	for (; len && at < RAM_BYTES; len--, at++)
		fuzz_ram[at] = input_take(input, 1);
}

/* Of a ring, or of a table that an indirect descriptor may point at. */
static void put_desc(uint8_t q, uint8_t index, const struct vring_desc *desc)
{
	struct vring_desc *table = (void *)(index & 128 ? fuzz_ram + FREE_AT : queue_at(q));

	table[index & 128 ? index % 64 : index % RING_MAX] = *desc;
}

static void describe(struct input *input, uint8_t q, uint8_t index, uint16_t next, bool last)
{
	uint8_t flags = input_take(input, 1);
	struct vring_desc desc = { .addr = input_gpa(input), .len = input_len(input) };

	desc.flags = last ? flags & 15 : (flags & 2) | VRING_DESC_F_NEXT;
	desc.next = next;
	put_desc(q, index, &desc);
}

static void offer(uint8_t q, uint16_t head)
{
	struct {
		uint16_t flags, index, ring[RING_MAX];
	} *avail = (void *)(queue_at(q) + AVAIL_AT);

	avail->ring[avail->index++ % RING_MAX] = head;
}

/* One that a driver could mean: descriptors in their order, and made available. */
static void put_chain(struct input *input)
{
	uint8_t q = input_take(input, 1), first = input_take(input, 1) & ~128;
	unsigned count = 1 + input_take(input, 1) % 8;

	for (unsigned i = 0; i < count; i++)
		describe(input, q, (first + i) & ~128, (first + i + 1) % RING_MAX, i + 1 == count);
	offer(q, first % RING_MAX);
}

bool fuzz_memory_step(unsigned step, struct input *input)
{
	uint8_t q, index, next;

	switch (step) {
	case STEP_POKE:
		poke(input);
		return true;
	case STEP_DESC:
		q = input_take(input, 1);
		index = input_take(input, 1);
		next = input_take(input, 1);
		describe(input, q, index, next, true);
		return true;
	case STEP_CHAIN:
		put_chain(input);
		return true;
	case STEP_OFFER:
		q = input_take(input, 1);
		offer(q, input_take(input, 1));
		return true;
	}
	return false;
}
