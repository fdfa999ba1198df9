/* SPDX-License-Identifier: Apache-2.0 */
/* What the device writes to the rings and what it undoes, and that it writes nothing else. */
#include <errno.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/virtq-driver.h"

#define IDX_ONLY (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

/* `count` chains of one descriptor each, of which chain i has descriptor i. */
static void offer(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		driver_set(&driver, i, BUF + i, 1, 0, 0);
		driver_offer(&driver, (uint16_t)i);
	}
}

static void used_is(unsigned at, uint32_t id, uint32_t len)
{
	assert_int_equal(driver_used(&driver)->ring[at % SIZE].id, id);
	assert_int_equal(driver_used(&driver)->ring[at % SIZE].len, len);
}

/* Behind the rings is the driver's own memory, unless it made room there for the event index. */
static void without_event_index_nothing_is_written_there(void **unused)
{
	const uint64_t features[] = { 0, UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC, IDX_ONLY };

	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		bool event_idx = features[i] & IDX_ONLY;

		start(features[i]);
		*driver_used_event(&driver) = *driver_avail_event(&driver) = 0xaaaa;
		assert_int_equal(pop(), 0);
		assert_int_equal(*driver_avail_event(&driver), event_idx ? 0 : 0xaaaa);
		offer(SIZE);
		for (unsigned n = 0; n < SIZE; n++) {
			assert_int_equal(pop(), 1);
			assert_int_equal(virtq_push(&queue, &driver.mem, chain.head, 5), 0);
		}
		assert_int_equal(pop(), 0);
		assert_int_equal(*driver_avail_event(&driver), event_idx ? SIZE : 0xaaaa);
		assert_int_equal(virtq_drop(&queue, &driver.mem), 0);
		assert_int_equal(*driver_avail_event(&driver), event_idx ? SIZE : 0xaaaa);
		virtq_wants_interrupt(&queue, &driver.mem);
		assert_int_equal(*driver_used_event(&driver), 0xaaaa);
		assert_int_equal(driver_used(&driver)->flags, 0);
	}
}

/* A check whether there is one asks the driver for nothing, and takes nothing. */
static void waits(void **unused)
{
	*driver_avail_event(&driver) = 0xaaaa;
	assert_false(virtq_waits(&queue, &driver.mem));
	offer(1);
	assert_true(virtq_waits(&queue, &driver.mem));
	assert_true(virtq_waits(&queue, &driver.mem));
	assert_int_equal(*driver_avail_event(&driver), 0xaaaa);
	assert_int_equal(pop(), 1);
	assert_false(virtq_waits(&queue, &driver.mem));
	driver_avail(&driver)[1] += SIZE + 1; /* what is broken is for virtq_pop() to say */
	assert_true(virtq_waits(&queue, &driver.mem));
}

/* Chains that were taken and not returned are taken again, in their order; over the end of the ring too. */
static void unpop(void **unused)
{
	for (unsigned round = 0; round < 5; round++) {
		offer(SIZE - 1);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(pop(), 1);
		virtq_unpop(&queue, 3);
		for (unsigned i = 2; i < SIZE - 1; i++) {
			assert_int_equal(pop(), 1);
			assert_int_equal(chain.head, i);
		}
		assert_int_equal(pop(), 0);
	}
}

/* The driver sees several or none, each where it belongs. */
static void push_many(void **unused)
{
	const struct virtq_used used[] = { { 3, 30 }, { 1, 10 }, { 7, 70 } };
	uint8_t *behind = driver.ram + USED_AT + 4 + 8 * SIZE;

	for (unsigned round = 0; round < 2 * SIZE; round++) {
		assert_int_equal(virtq_push_many(&queue, &driver.mem, used, 3), 0);
		assert_int_equal(driver_used(&driver)->idx, 3 * (round + 1));
		for (unsigned i = 0; i < 3; i++)
			used_is(3 * round + i, used[i].head, used[i].written);
		assert_int_equal(behind[0] | behind[1] | behind[7], 0);
	}
	assert_int_equal(virtq_push_many(&queue, &driver.mem, used, 0), 0);
	assert_int_equal(driver_used(&driver)->idx, 6 * SIZE);
}

/* The memory ends within the used ring: what does not fit is not announced, nor is what came before it. */
static void push_many_or_none(void **unused)
{
	const struct virtq_used used[] = { { 3, 30 }, { 1, 10 }, { 7, 70 } };

	queue.used_gpa = RAM_GPA + RAM_BYTES - 4 - 2 * sizeof(struct vring_used_elem);
	assert_int_equal(virtq_push_many(&queue, &driver.mem, used, 2), 0);
	assert_int_equal(*(uint16_t *)(driver.ram + RAM_BYTES - 18), 2);
	queue.next_used = 0;
	assert_int_equal(virtq_push_many(&queue, &driver.mem, used, 3), -EPROTO);
	assert_int_equal(queue.next_used, 0);
	assert_int_equal(*(uint16_t *)(driver.ram + RAM_BYTES - 18), 2);
}

/* All that is there is returned, unread and empty. */
static void drop(void **unused)
{
	assert_int_equal(virtq_drop(&queue, &driver.mem), 0);
	for (unsigned round = 0; round < 4; round++) {
		uint16_t before = driver_used(&driver)->idx;

		offer(5);
		driver_desc(&driver, 2)->len = 0; /* nobody reads it */
		assert_int_equal(virtq_drop(&queue, &driver.mem), 5);
		assert_int_equal(driver_used(&driver)->idx, before + 5);
		for (unsigned i = 0; i < 5; i++)
			used_is(before + i, i, 0);
		assert_int_equal(queue.next_avail, driver.next_avail);
		assert_int_equal(virtq_drop(&queue, &driver.mem), 0);
		assert_int_equal(*driver_avail_event(&driver), driver.next_avail);
	}
	driver_avail(&driver)[1] += SIZE + 1;
	assert_int_equal(virtq_drop(&queue, &driver.mem), -EPROTO);
	driver_avail(&driver)[1] -= SIZE;
	queue.used_gpa = 0;
	assert_int_equal(virtq_drop(&queue, &driver.mem), -EPROTO);
}

/* A queue that is set up again begins at its rings' beginning, with what is negotiated now. */
static void started_again(void **unused)
{
	offer(3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pop(), 1);
		assert_int_equal(virtq_push(&queue, &driver.mem, chain.head, 1), 0);
	}
	assert_int_equal(virtq_wants_interrupt(&queue, &driver.mem), 1);
	queue.ready = false;
	assert_int_equal(virtq_start(&queue, SIZE, 0), 0);
	assert_true(queue.ready);
	assert_false(queue.event_idx || queue.indirect);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.head, 0);
	assert_int_equal(virtq_push(&queue, &driver.mem, 0, 9), 0);
	assert_int_equal(driver_used(&driver)->idx, 1);
	used_is(0, 0, 9);
	assert_int_equal(virtq_wants_interrupt(&queue, &driver.mem), 1);
	assert_int_equal(virtq_start(&queue, SIZE, IDX_ONLY), 0);
	assert_true(queue.event_idx);
	assert_false(queue.indirect);
	assert_int_equal(queue.notified_used, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(without_event_index_nothing_is_written_there),
		TEST(waits),
		TEST(unpop),
		TEST(push_many),
		TEST(push_many_or_none),
		TEST(drop),
		TEST(started_again),
	};

	return cmocka_run_group_tests_name("virtq-used", tests, NULL, NULL);
}
