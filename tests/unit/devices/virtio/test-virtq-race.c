/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue with its driver on another processor. Each side asks the other for notifications, and then
 * checks once more what the other has (2.7.8.2, 2.7.10.1); where one of them checks before the other can
 * see what it asked, both wait for ever. And what a side sees after an index was written before it: that is
 * ThreadSanitizer's to find, for which descriptors and buffers are plain memory.
 */
#include <linux/virtio_config.h>

#include "devices/virtio/virtq.h"
#include "tests/unit/helpers/driver.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/race.h"

#define SIZE	8
#define ROUNDS	200000
#define EVENT	(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define BUF(i)	(FREE_AT + 64 * (i))
#define BUF_GPA (RAM_GPA + FREE_AT)

static struct driver driver;
static struct virtq queue;
static struct virtq_chain chain;
static struct race race;
static bool seen; /* what the driver found in a round */

static void start(uint64_t features)
{
	driver_init(&driver, SIZE);
	queue = (struct virtq){ .size = SIZE,
		.desc_gpa = RAM_GPA,
		.avail_gpa = RAM_GPA + AVAIL_AT,
		.used_gpa = RAM_GPA + USED_AT };
	assert_int_equal(virtq_start(&queue, SIZE, features), 0);
}

/* As a driver does: a reader that sees an index sees what was written before it. */
static void publish(uint16_t *at, uint16_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static uint16_t load_index(const void *at)
{
	return __atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE);
}

static void fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* One chain; `seen`: the driver saw that the device asked for a notification of it. */
static void offers(struct race *unused)
{
	uint16_t *avail = driver_avail(&driver);

	while (race_joins(&race)) {
		uint16_t old = driver.next_avail++;

		avail[2 + old % SIZE] = 0;
		race_hold(&race, RACE_OTHER);
		publish(&avail[1], driver.next_avail);
		fence();
		seen = vring_need_event(
			load_index(driver_avail_event(&driver)), driver.next_avail, old);
		race_store_lines();
		race_meet(&race, RACE_OTHER);
	}
}

static void no_notification_is_lost(void **unused)
{
	unsigned lost = 0;

	start(EVENT);
	driver_set(&driver, 0, BUF_GPA, 8, VRING_DESC_F_WRITE, 0);
	race_start(&race, offers, ROUNDS);
	while (race_next(&race)) {
		int found;

		race_store_lines();
		race_hold(&race, RACE_OWN);
		found = virtq_pop(&queue, &driver.mem, &chain);
		race_meet(&race, RACE_OWN);
		race_won(&race, found ? RACE_OTHER : RACE_OWN);
		if (found)
			continue;
		lost += !seen;
		assert_int_equal(virtq_pop(&queue, &driver.mem, &chain), 1);
	}
	assert_int_equal(lost, 0);
}

/* Asks for an interrupt about the next chain; `seen`: the driver saw that one already, and needs none. */
static void waits(struct race *unused)
{
	uint16_t next = 0;

	while (race_joins(&race)) {
		race_hold(&race, RACE_OTHER);
		if (queue.event_idx)
			publish(driver_used_event(&driver), next);
		else
			publish(&driver_avail(&driver)[0], 0);
		fence();
		seen = load_index(&driver_used(&driver)->idx) != next++;
		race_store_lines();
		race_meet(&race, RACE_OTHER);
		/* Awake, it needs none. */
		if (!queue.event_idx)
			publish(&driver_avail(&driver)[0], VRING_AVAIL_F_NO_INTERRUPT);
	}
}

static void no_interrupt_is_lost(void **unused)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		unsigned lost = 0;

		start(pass ? EVENT : 0);
		publish(&driver_avail(&driver)[0], pass ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
		publish(driver_used_event(&driver), SIZE); /* of none that comes soon */
		race_start(&race, waits, ROUNDS);
		while (race_next(&race)) {
			int wanted;

			race_store_lines();
			race_hold(&race, RACE_OWN);
			assert_int_equal(virtq_push(&queue, &driver.mem, 0, 0), 0);
			wanted = virtq_wants_interrupt(&queue, &driver.mem);
			race_meet(&race, RACE_OWN);
			race_won(&race, seen ? RACE_OWN : RACE_OTHER);
			lost += !wanted && !seen;
		}
		assert_int_equal(lost, 0);
	}
}

/*
 * A driver that writes descriptors, indirect tables, buffers and the ring's entries as plain memory, and
 * reads what came back, in step with nothing but the two indices.
 */
static atomic_bool broken;

static void asks(struct race *unused)
{
	uint16_t *avail = driver_avail(&driver);
	uint32_t question, answer;

	while (race_joins(&race)) {
		for (unsigned i = 0; i < SIZE; i++) {
			struct vring_desc *table = (void *)(driver.ram + BUF(i));
			uint16_t old = driver.next_avail++;

			question = old + i;
			memcpy(driver.ram + BUF(i) + 40, &question, sizeof(question));
			table[0] = (struct vring_desc){ .addr = RAM_GPA + BUF(i) + 40,
				.len = 4,
				.flags = VRING_DESC_F_NEXT,
				.next = 1 };
			table[1] = (struct vring_desc){
				.addr = RAM_GPA + BUF(i) + 44, .len = 4, .flags = VRING_DESC_F_WRITE
			};
			driver_set(&driver, i, RAM_GPA + BUF(i), 32, VRING_DESC_F_INDIRECT, 0);
			avail[2 + old % SIZE] = i;
			publish(&avail[1], driver.next_avail);
			while (load_index(&driver_used(&driver)->idx) != driver.next_avail)
				sched_yield();
			memcpy(&answer, driver.ram + BUF(i) + 44, sizeof(answer));
			if (answer != question + 1 ||
				driver_used(&driver)->ring[old % SIZE].id != i ||
				driver_used(&driver)->ring[old % SIZE].len != 4)
				atomic_store(&broken, true);
		}
		race_meet(&race, RACE_OTHER);
	}
}

static void indices_order_all_else(void **unused)
{
	start(EVENT | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
	atomic_store(&broken, false);
	race_start(&race, asks, 100);
	while (race_next(&race)) {
		for (unsigned served = 0; served < SIZE;) {
			uint32_t word;

			if (!virtq_waits(&queue, &driver.mem) ||
				!virtq_pop(&queue, &driver.mem, &chain)) {
				sched_yield();
				continue;
			}
			assert_int_equal(chain.readable + chain.writable, 2);
			assert_int_equal(virtq_chain_read(&chain, &driver.mem, &word, 4), 0);
			word++;
			assert_int_equal(virtq_chain_write(&chain, &driver.mem, &word, 4), 0);
			assert_int_equal(virtq_push(&queue, &driver.mem, chain.head, 4), 0);
			served++;
		}
		race_meet(&race, RACE_OWN);
	}
	assert_false(atomic_load(&broken));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_notification_is_lost),
		cmocka_unit_test(no_interrupt_is_lost),
		cmocka_unit_test(indices_order_all_else),
	};

	return cmocka_run_group_tests_name("virtq-race", tests, NULL, NULL);
}
