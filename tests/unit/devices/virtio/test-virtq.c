/* SPDX-License-Identifier: Apache-2.0 */
/* Split queues: what they carry, and each way in which a driver may spoil them. */
#include <errno.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/virtq-driver.h"

#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE
#define INDIR	VRING_DESC_F_INDIRECT
#define NOWHERE UINT64_C(0x10000000)

/* The chain at descriptor 0 is not one, and stays where it is. */
static void assert_broken(void)
{
	driver_offer(&driver, 0);
	assert_int_equal(pop(), -EPROTO);
	assert_int_equal(queue.next_avail, 0);
}

static struct vring_desc *indirect_table(uint32_t entries)
{
	driver_set(&driver, 0, BUF, entries * sizeof(struct vring_desc), INDIR, 0);
	return (struct vring_desc *)(driver.ram + FREE_AT);
}

static void chain_in_order(void **unused)
{
	driver_set(&driver, 3, BUF, 10, NEXT, 1);
	driver_set(&driver, 1, BUF + 100, 20, NEXT | WRITE, 7);
	driver_set(&driver, 7, BUF + 200, 30, WRITE, 99);
	driver_offer(&driver, 3);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.head, 3);
	assert_int_equal(chain.readable, 1);
	assert_int_equal(chain.writable, 2);
	assert_int_equal(chain.readable_bytes, 10);
	assert_int_equal(chain.writable_bytes, 50);
	assert_int_equal(chain.segments[2].gpa, BUF + 200);
	assert_int_equal(chain.segments[2].len, 30);
	assert_int_equal(pop(), 0);
}

static void copies_across_segments(void **unused)
{
	char in[8];

	memcpy(driver.ram + FREE_AT, "abc", 3);
	memcpy(driver.ram + FREE_AT + 50, "defg", 4);
	driver_set(&driver, 0, BUF, 3, NEXT, 1);
	driver_set(&driver, 1, BUF + 50, 4, NEXT, 2);
	driver_set(&driver, 2, BUF + 100, 1, NEXT | WRITE, 3);
	driver_set(&driver, 3, BUF + 200, 4, WRITE, 0);
	driver_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	assert_int_equal(virtq_chain_read(&chain, &driver.mem, in, 6), 0);
	assert_memory_equal(in, "abcdef", 6);
	assert_int_equal(virtq_chain_write(&chain, &driver.mem, "XYZ", 3), 0);
	assert_int_equal(driver.ram[FREE_AT + 100], 'X');
	assert_memory_equal(driver.ram + FREE_AT + 200, "YZ\0", 3);
	for (unsigned from = 0; from < 7; from++) {
		assert_int_equal(virtq_chain_read_at(&chain, &driver.mem, from, in, 7 - from), 0);
		assert_memory_equal(in, &"abcdefg"[from], 7 - from);
		assert_int_equal(
			virtq_chain_read_at(&chain, &driver.mem, from, in, 8 - from), -EMSGSIZE);
	}
	assert_int_equal(virtq_chain_read_at(&chain, &driver.mem, 8, in, 0), -EMSGSIZE);
	assert_int_equal(virtq_chain_read(&chain, &driver.mem, in, 8), -EMSGSIZE);
	assert_int_equal(virtq_chain_write(&chain, &driver.mem, in, 6), -EMSGSIZE);
	assert_int_equal(virtq_chain_write(&chain, &driver.mem, "VWXYZ", 5), 0);
	assert_memory_equal(driver.ram + FREE_AT + 200, "WXYZ\0", 5);
}

/* A bad address of data is the request's error, not the ring's. */
static void data_outside_memory(void **unused)
{
	const uint64_t bad[] = { NOWHERE, RAM_GPA + RAM_BYTES - 3, UINT64_MAX - 1 };
	char byte[4];

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		driver_set(&driver, 0, bad[i], 4, NEXT, 1);
		driver_set(&driver, 1, bad[i], 4, WRITE, 0);
		driver_offer(&driver, 0);
		assert_int_equal(pop(), 1);
		assert_int_equal(virtq_chain_read(&chain, &driver.mem, byte, 4), -EFAULT);
		assert_int_equal(virtq_chain_write(&chain, &driver.mem, "1234", 4), -EFAULT);
	}
}

static void indirect(void **unused)
{
	struct vring_desc *table = indirect_table(4);

	table[0] = (struct vring_desc){ .addr = 0x1000, .len = 1, .flags = NEXT, .next = 3 };
	table[3] = (struct vring_desc){ .addr = 0x2000, .len = 2, .flags = WRITE };
	driver_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable, 1);
	assert_int_equal(chain.writable, 1);
	assert_int_equal(chain.segments[1].gpa, 0x2000);
}

/* 2.7.5.3.2: direct descriptors may come before the indirect one. */
static void indirect_after_direct(void **unused)
{
	struct vring_desc *table = indirect_table(1);

	*driver_desc(&driver, 5) = *driver_desc(&driver, 0);
	driver_set(&driver, 0, 0x1000, 1, NEXT, 5);
	table[0] = (struct vring_desc){ .addr = 0x2000, .len = 2, .flags = WRITE };
	driver_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable_bytes, 1);
	assert_int_equal(chain.writable_bytes, 2);
}

static void indirect_table_outside_memory(void **unused)
{
	driver_set(&driver, 0, NOWHERE, 16, INDIR, 0);
	driver_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable + chain.writable, 0);

	/* one that runs off the end of memory half way */
	driver_set(&driver, 1, RAM_GPA + RAM_BYTES - 16, 32, INDIR, 0);
	*(struct vring_desc *)(driver.ram + RAM_BYTES - 16) =
		(struct vring_desc){ .addr = BUF, .len = 8, .flags = NEXT, .next = 1 };
	driver_offer(&driver, 1);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable + chain.writable, 0);
	assert_int_equal(chain.readable_bytes, 0);
	((struct vring_desc *)(driver.ram + RAM_BYTES - 16))->flags |= WRITE;
	driver_offer(&driver, 1);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable + chain.writable, 0);
	assert_int_equal(chain.writable_bytes, 0);
}

static void indirect_in_indirect(void **unused)
{
	struct vring_desc *table = indirect_table(2);

	table[0] = (struct vring_desc){ .addr = BUF + 16, .len = 16, .flags = INDIR };
	table[1] = (struct vring_desc){ .addr = BUF, .len = 16 };
	assert_broken();
}

static void indirect_with_next(void **unused)
{
	indirect_table(1)[0] = (struct vring_desc){ .addr = BUF, .len = 16 };
	driver_desc(&driver, 0)->flags |= NEXT;
	driver_desc(&driver, 0)->next = 1;
	driver_set(&driver, 1, BUF, 16, 0, 0);
	assert_broken();
}

static void indirect_not_negotiated(void **unused)
{
	start(0);
	indirect_table(1)[0] = (struct vring_desc){ .addr = BUF, .len = 16 };
	assert_broken();
}

static void indirect_odd_length(void **unused)
{
	const uint32_t odd[] = { 0, 8, 17, UINT32_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
		start(BOTH);
		indirect_table(1)[0] = (struct vring_desc){ .addr = BUF, .len = 16 };
		driver_desc(&driver, 0)->len = odd[i];
		assert_broken();
	}
}

static void indirect_loop(void **unused)
{
	struct vring_desc *table = indirect_table(2);

	table[0] = (struct vring_desc){ .addr = BUF, .len = 1, .flags = NEXT, .next = 1 };
	table[1] = (struct vring_desc){ .addr = BUF, .len = 1, .flags = NEXT, .next = 0 };
	assert_broken();
}

static void indirect_next_out_of_table(void **unused)
{
	struct vring_desc *table = indirect_table(2);

	table[0] = (struct vring_desc){ .addr = BUF, .len = 1, .flags = NEXT, .next = 2 };
	table[2] = (struct vring_desc){ .addr = BUF, .len = 1 };
	assert_broken();
}

/* A table may be longer than a chain may be: no more segments than there is room for. */
static void indirect_too_many(void **unused)
{
	const unsigned entries = VIRTQ_SEGMENTS_MAX + 1;
	struct vring_desc *table = indirect_table(entries);

	for (unsigned i = 0; i < entries; i++)
		table[i] = (struct vring_desc){
			.addr = BUF, .len = 1, .flags = i + 1 < entries ? NEXT : 0, .next = i + 1
		};
	assert_broken();
	table[entries - 2].flags = 0;
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable, VIRTQ_SEGMENTS_MAX);
}

static void loop(void **unused)
{
	driver_set(&driver, 0, BUF, 1, NEXT, 1);
	driver_set(&driver, 1, BUF, 1, NEXT, 0);
	assert_broken();
}

/* The longest chain that is none. */
static void whole_ring(void **unused)
{
	for (unsigned i = 0; i < SIZE; i++)
		driver_set(&driver, i, BUF, 1, i < SIZE - 1 ? NEXT : 0, i + 1);
	driver_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable, SIZE);
}

static void head_out_of_range(void **unused)
{
	driver_set(&driver, SIZE, BUF, 1, 0, 0);
	driver_offer(&driver, SIZE);
	assert_int_equal(pop(), -EPROTO);
}

static void next_out_of_range(void **unused)
{
	driver_set(&driver, 0, BUF, 1, NEXT, SIZE);
	driver_set(&driver, SIZE, BUF, 1, 0, 0);
	assert_broken();
}

/* What has no bytes is not there, wherever it comes, its address is not checked, and it may be all there is. */
static void zero_length(void **unused)
{
	driver_set(&driver, 0, NOWHERE, 0, NEXT | WRITE, 1);
	driver_set(&driver, 1, BUF, 16, NEXT, 2);
	driver_set(&driver, 2, BUF, 0, NEXT, 3);
	driver_set(&driver, 3, BUF + 16, 1, NEXT | WRITE, 4);
	driver_set(&driver, 4, BUF, 0, 0, 0);
	driver_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable, 1);
	assert_int_equal(chain.writable, 1);
	assert_int_equal(chain.readable_bytes, 16);
	assert_int_equal(chain.writable_bytes, 1);
	assert_int_equal(chain.segments[1].gpa, BUF + 16);
	driver_offer(&driver, 4);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable + chain.writable, 0);
	/* A loop of them ends too. */
	driver_set(&driver, 0, BUF, 0, NEXT, 0);
	driver_offer(&driver, 0);
	assert_int_equal(pop(), -EPROTO);
}

static void total_overflow(void **unused)
{
	driver_set(&driver, 0, BUF, UINT32_MAX, NEXT, 1);
	driver_set(&driver, 1, BUF, 1, WRITE, 0);
	assert_broken();
	driver_desc(&driver, 0)->len = UINT32_MAX - 1; /* the most */
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.readable_bytes, UINT32_MAX - 1);
}

static void readable_after_writable(void **unused)
{
	driver_set(&driver, 0, BUF, 1, NEXT | WRITE, 1);
	driver_set(&driver, 1, BUF, 1, 0, 0);
	assert_broken();
}

static void avail_ahead(void **unused)
{
	driver_set(&driver, 0, BUF, 1, 0, 0);
	driver_avail(&driver)[1] = SIZE + 1;
	assert_int_equal(pop(), -EPROTO);
	driver_avail(&driver)[1] = UINT16_MAX; /* behind is as far ahead */
	assert_int_equal(pop(), -EPROTO);
	driver_avail(&driver)[1] = SIZE;
	assert_int_equal(pop(), 1);
}

static void rings_outside_memory(void **unused)
{
	uint64_t *const rings[] = { &queue.desc_gpa, &queue.avail_gpa };

	for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
		uint64_t good = *rings[i];

		*rings[i] = NOWHERE;
		assert_broken();
		*rings[i] = good;
		driver.next_avail = 0;
		driver_avail(&driver)[1] = 0;
	}
	queue.used_gpa = NOWHERE;
	assert_int_equal(virtq_push(&queue, &driver.mem, 0, 0), -EPROTO);
	assert_int_equal(pop(), -EPROTO); /* there is nowhere to ask for a notification */
	queue.avail_gpa = NOWHERE;
	queue.next_used = 1;
	assert_int_equal(virtq_wants_interrupt(&queue, &driver.mem), -EPROTO);
}

static void start_refuses(void **unused)
{
	const struct virtq good = { .size = SIZE,
		.desc_gpa = RAM_GPA,
		.avail_gpa = RAM_GPA + AVAIL_AT,
		.used_gpa = RAM_GPA + USED_AT };
	const struct {
		uint32_t size;
		uint64_t desc, avail, used;
	} bad[] = {
		{ .size = 0 },
		{ .size = 6 },
		{ .size = 32 },
		{ .size = 1u << 31 },
		{ .size = SIZE, .desc = 8 },
		{ .size = SIZE, .avail = 1 },
		{ .size = SIZE, .used = 2 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct virtq one = good;

		one.size = bad[i].size;
		one.desc_gpa += bad[i].desc;
		one.avail_gpa += bad[i].avail;
		one.used_gpa += bad[i].used;
		assert_int_equal(virtq_start(&one, 16, 0), -EINVAL);
		assert_false(one.ready);
	}
}

/* Round the ring and round 2^16, a chain at a time and a ring full at a time. */
static void wrap_around(void **unused)
{
	for (unsigned i = 0; i < SIZE; i++)
		driver_set(&driver, i, BUF + i, 1, 0, 0);
	for (unsigned i = 0; i < 2 * 65536;) {
		unsigned batch = i % 3 ? 1 : SIZE;

		for (unsigned j = 0; j < batch; j++)
			driver_offer(&driver, (i + j) % SIZE);
		for (unsigned j = 0; j < batch; j++, i++) {
			const struct vring_used_elem *elem;

			assert_int_equal(pop(), 1);
			assert_int_equal(chain.head, i % SIZE);
			assert_int_equal(virtq_push(&queue, &driver.mem, chain.head, i), 0);
			elem = &driver_used(&driver)->ring[i % SIZE];
			assert_int_equal(elem->id, i % SIZE);
			assert_int_equal(elem->len, i);
			assert_int_equal(driver_used(&driver)->idx, (uint16_t)(i + 1));
		}
		assert_int_equal(pop(), 0);
		/* the driver is asked to notify of the very next */
		assert_int_equal(*driver_avail_event(&driver), (uint16_t)i);
	}
}

/* Interrupts at each distance of used_event, around the wrap. */
static void event_index(void **unused)
{
	static const struct {
		uint16_t notified, used, event;
		bool wanted;
	} cases[] = {
		{ 0, 1, 0, true },
		{ 0, 1, 1, false },
		{ 0, 3, 2, true },
		{ 0, 3, 3, false },
		{ 2, 3, 1, false },
		{ 0, 1, 65535, false },
		{ 65535, 0, 65535, true },
		{ 65535, 0, 0, false },
		{ 65535, 0, 65534, false },
		{ 65534, 1, 65534, true },
		{ 65534, 1, 65535, true },
		{ 65534, 1, 0, true },
		{ 65534, 1, 1, false },
		{ 65534, 65535, 65534, true },
		{ 65535, 1, 0, true },
		{ 5, 5, 4, false },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		queue.notified_used = cases[i].notified;
		queue.next_used = cases[i].used;
		*driver_used_event(&driver) = cases[i].event;
		assert_int_equal(virtq_wants_interrupt(&queue, &driver.mem), cases[i].wanted);
		assert_int_equal(virtq_wants_interrupt(&queue, &driver.mem), 0);
	}
}

static void no_interrupt_flag(void **unused)
{
	start(0);
	driver_avail(&driver)[0] = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&queue, &driver.mem, 0, 0);
	assert_int_equal(virtq_wants_interrupt(&queue, &driver.mem), 0);
	driver_avail(&driver)[0] = 0;
	virtq_push(&queue, &driver.mem, 0, 0);
	assert_int_equal(virtq_wants_interrupt(&queue, &driver.mem), 1);
	assert_int_equal(virtq_wants_interrupt(&queue, &driver.mem), 0); /* for nothing new */
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(chain_in_order),
		TEST(copies_across_segments),
		TEST(data_outside_memory),
		TEST(indirect),
		TEST(indirect_after_direct),
		TEST(indirect_table_outside_memory),
		TEST(indirect_in_indirect),
		TEST(indirect_with_next),
		TEST(indirect_not_negotiated),
		TEST(indirect_odd_length),
		TEST(indirect_loop),
		TEST(indirect_next_out_of_table),
		TEST(indirect_too_many),
		TEST(loop),
		TEST(whole_ring),
		TEST(head_out_of_range),
		TEST(next_out_of_range),
		TEST(zero_length),
		TEST(total_overflow),
		TEST(readable_after_writable),
		TEST(avail_ahead),
		TEST(rings_outside_memory),
		TEST(start_refuses),
		TEST(wrap_around),
		TEST(event_index),
		TEST(no_interrupt_flag),
	};

	return cmocka_run_group_tests_name("virtq", tests, NULL, NULL);
}
