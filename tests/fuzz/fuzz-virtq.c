/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the ring code (devices/virtio/virtq.c): a ring in memory that the input spoils as it likes, between the
 * device's calls. What a call may touch and return is checked after each.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "devices/virtio/virtq.h"
#include "hyp/base/util.h"
#include "tests/fuzz/fuzz.h"

enum {
	STEP_POP = STEPS_OF_MEMORY,
	STEP_PUSH,
	STEP_UNPOP,
	STEP_INTERRUPT,
	STEP_COPY,
	STEP_DROP,
	STEPS
};

static struct virtq queue;
static struct virtq_chain chain; /* popped last */
static bool popped;
static uint8_t before[RAM_BYTES];

/* Only the used ring may have changed, its event field included. */
static void check_ram(void)
{
	uint64_t from = queue.used_gpa - RAM_GPA, len = 4 + 8 * queue.size + 2;

	if (from < RAM_BYTES)
		memcpy(before + from, fuzz_ram + from,
			len < RAM_BYTES - from ? len : RAM_BYTES - from);
	CHECK(!memcmp(before, fuzz_ram, RAM_BYTES));
}

static void check_chain(void)
{
	uint64_t readable = 0, writable = 0;

	CHECK(chain.head < queue.size && chain.readable + chain.writable <= VIRTQ_SEGMENTS_MAX);
	for (unsigned i = 0; i < chain.readable + chain.writable; i++) {
		CHECK(chain.segments[i].len);
		*(i < chain.readable ? &readable : &writable) += chain.segments[i].len;
	}
	CHECK(readable == chain.readable_bytes && writable == chain.writable_bytes);
	CHECK(readable + writable <= UINT32_MAX);
}

static void step(unsigned what, struct input *input)
{
	uint16_t next = queue.next_avail;
	uint8_t buf[64] = { 0 };
	struct virtq_used used[4];
	unsigned count;
	int err;

	switch (what) {
	case STEP_POP:
		err = virtq_pop(&queue, &fuzz_mem, &chain);
		CHECK(err == 0 || err == 1 || err == -EPROTO);
		CHECK((uint16_t)(queue.next_avail - next) == (err == 1));
		popped = err == 1;
		if (popped)
			check_chain();
		break;
	case STEP_PUSH:
		count = input_take(input, 1) % (ARRAY_SIZE(used) + 1);
		for (unsigned i = 0; i < count; i++)
			used[i] = (struct virtq_used){ input_take(input, 1), input_take(input, 4) };
		err = virtq_push_many(&queue, &fuzz_mem, used, count);
		CHECK(err == 0 || err == -EPROTO);
		break;
	case STEP_UNPOP:
		if (popped)
			virtq_unpop(&queue, 1);
		popped = false;
		break;
	case STEP_INTERRUPT:
		err = virtq_wants_interrupt(&queue, &fuzz_mem);
		CHECK(err == 0 || err == 1 || err == -EPROTO);
		break;
	case STEP_DROP:
		err = virtq_drop(&queue, &fuzz_mem);
		CHECK(err == -EPROTO || (err >= 0 && (uint32_t)err <= queue.size));
		CHECK(err < 0 || (uint16_t)(queue.next_avail - next) == err);
		popped = false;
		break;
	case STEP_COPY:
		count = input_take(input, 1) % sizeof(buf);
		if (!popped)
			break;
		err = virtq_chain_read(&chain, &fuzz_mem, buf, count);
		CHECK(err == 0 || err == -EFAULT ||
			(err == -EMSGSIZE && count > chain.readable_bytes));
		check_ram();
		err = virtq_chain_write(&chain, &fuzz_mem, buf, count);
		CHECK(err == 0 || err == -EFAULT ||
			(err == -EMSGSIZE && count > chain.writable_bytes));
		return; /* wherever the guest said */
	}
	check_ram();
}

/* Mostly where the driver's steps put a queue, for chains to be found. */
static uint64_t ring_gpa(struct input *input, uint64_t usual)
{
	return input_take(input, 1) % 8 ? RAM_GPA + usual : input_gpa(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	uint64_t features = (input_take(&input, 1) & 3) << VIRTIO_RING_F_INDIRECT_DESC;

	fuzz_mem_start();
	popped = false;
	queue = (struct virtq){
		.size = input_take(&input, 1),
		.desc_gpa = ring_gpa(&input, 0),
		.avail_gpa = ring_gpa(&input, AVAIL_AT),
		.used_gpa = ring_gpa(&input, USED_AT),
	};
	if (!queue.size || queue.size == 255)
		queue.size = queue.size ? VIRTQ_SIZE_MAX : RING_MAX;
	if (virtq_start(&queue, VIRTQ_SIZE_MAX, features))
		return 0;
	CHECK(is_power_of_two(queue.size) && queue.size <= VIRTQ_SIZE_MAX);
	while (input.at < input.end) {
		unsigned what = input_take(&input, 1) % STEPS;

		if (fuzz_memory_step(what, &input))
			continue;
		memcpy(before, fuzz_ram, RAM_BYTES);
		step(what, &input);
	}
	return 0;
}
