/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of a disk's driver, good and bad, beside a disk that ends them when and how the test says. */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <sched.h>

#include "tests/unit/helpers/blk-driver.h"

/* ---- Tests ---- */

static void reads_and_writes(void **unused)
{
	assert_int_equal(ask(IN, 3, 2 * SECTOR), OK);
	assert_int_equal(used_len(), 2 * SECTOR + 1);
	assert_memory_equal(driver.ram + DATA_AT, fake_disk_contents + 3 * SECTOR, 2 * SECTOR);
	assert_int_equal(interrupts, 1);
	memset(driver.ram + DATA_AT, 0x5a, SECTOR);
	assert_int_equal(ask(OUT, 7, SECTOR), OK);
	assert_int_equal(used_len(), 1);
	assert_memory_equal(driver.ram + DATA_AT, fake_disk_contents + 7 * SECTOR, SECTOR);
	assert_int_equal(fake_disk_contents[8 * SECTOR], (uint8_t)(8 * SECTOR * 7 + 8));
}

/* 2.7.4.3: how it is cut into descriptors means nothing. */
static void any_layout(void **unused)
{
	put_header(OUT, 1);
	memset(driver.ram + DATA_AT, 0x33, 2 * SECTOR);
	memcpy(driver.ram + DATA_AT - 9, driver.ram + HEADER_AT + 7, 9);
	driver_set(&driver, 0, RAM_GPA + HEADER_AT, 7, NEXT, 1);
	driver_set(&driver, 1, RAM_GPA + DATA_AT - 9, 9 + 100, NEXT, 2);
	driver_set(&driver, 2, RAM_GPA + DATA_AT + 100, SECTOR - 100, NEXT, 3);
	driver_set(&driver, 3, RAM_GPA + STATUS_AT, 1, WRITE, 0);
	offer(0);
	assert_int_equal(fake_disk_request(0)->iov_count, 2);
	assert_int_equal(answer(), OK);
	assert_memory_equal(fake_disk_contents + SECTOR, driver.ram + DATA_AT, SECTOR);

	/* The status is the last writable byte, wherever it is. */
	put_header(IN, 5);
	driver_set(&driver, 0, RAM_GPA + HEADER_AT, 16, NEXT, 1);
	driver_set(&driver, 1, RAM_GPA + DATA_AT, SECTOR + 1, WRITE, 0);
	driver.ram[DATA_AT + SECTOR] = NONE;
	offer(0);
	answer();
	assert_int_equal(driver.ram[DATA_AT + SECTOR], OK);
	assert_memory_equal(driver.ram + DATA_AT, fake_disk_contents + 5 * SECTOR, SECTOR);
}

static void nonsense_is_an_error(void **unused)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
	} wrong[] = {
		{ 0, 0 },
		{ 0, 511 },
		{ 0, SECTOR + 1 },
		{ FAKE_DISK_BYTES / SECTOR, SECTOR },
		{ FAKE_DISK_BYTES / SECTOR - 1, 2 * SECTOR },
		{ UINT64_MAX, SECTOR },
		{ UINT64_MAX / SECTOR + 1, SECTOR },
		{ UINT64_MAX - 1, 4 * SECTOR },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		for (uint32_t type = IN; type <= OUT; type++) {
			put(type, wrong[i].sector, wrong[i].len);
			offer(0);
			assert_int_equal(fake_disk_flight(), 0);
			assert_int_equal(answer(), IOERR);
			assert_int_equal(used_len(), 0);
		}
	assert_int_equal(ask(VIRTIO_BLK_T_SCSI_CMD, 0, SECTOR), UNSUPP);
	assert_int_equal(ask(0xffffffff, 0, 0), UNSUPP);
	/* Too short a header. */
	put(FLUSH, 0, 0);
	driver_desc(&driver, 0)->len = 15;
	offer(0);
	assert_int_equal(answer(), IOERR);
}

/* Whatever is not the guest's memory fails that request, before any of it is carried out. */
static void addresses_are_checked(void **unused)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
	} wrong[] = {
		{ 0, SECTOR },
		{ RAM_GPA + RAM_BYTES - SECTOR + 1, SECTOR },
		{ RAM_GPA - 1, SECTOR },
		{ UINT64_MAX - 10, SECTOR },
		{ UINT64_MAX - SECTOR + 1, SECTOR },
		{ RAM_GPA, 0x80000000 },
	};
	uint64_t before = interrupts;

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		for (uint32_t type = IN; type <= OUT; type++) {
			put(type, 0, wrong[i].len);
			driver_desc(&driver, 1)->addr = wrong[i].gpa;
			offer(0);
			assert_int_equal(fake_disk_flight(), 0);
			assert_int_equal(answer(), IOERR);
		}
	assert_true(interrupts > before);
	/* A header, and a status, that are nowhere. */
	put(IN, 0, SECTOR);
	driver_desc(&driver, 0)->addr = UINT64_MAX - 15;
	offer(0);
	assert_int_equal(answer(), IOERR);
	put(IN, 0, SECTOR);
	driver_desc(&driver, 2)->addr = 0x1000;
	offer(0);
	assert_int_equal(answer(), NONE);
	/* Nor one whose end comes round to memory. */
	put(IN, 0, SECTOR);
	driver_set(&driver, 2, UINT64_MAX - 15, (uint32_t)(RAM_GPA + STATUS_AT + 17), WRITE, 0);
	offer(0);
	assert_int_equal(answer(), NONE);
	/* Nothing writable. */
	put(OUT, 0, SECTOR);
	driver_desc(&driver, 1)->flags = 0;
	offer(0);
	assert_int_equal(answer(), NONE);
	assert_int_equal(used_len(), 0);
	/* Nothing at all: its indirect table is nowhere. */
	put(IN, 0, SECTOR);
	driver_set(&driver, 0, RAM_GPA - 4096, 48, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_int_equal(answer(), NONE);
	assert_int_equal(used_len(), 0);
	assert_int_equal(ask(IN, 0, SECTOR), OK);
}

static void discards_and_zeroes(void **unused)
{
	enum { DISCARD = VIRTIO_BLK_T_DISCARD, ZEROES = VIRTIO_BLK_T_WRITE_ZEROES };

	put(DISCARD, 0, 16);
	assert_int_equal(clear(DISCARD, 8, 8, 0, 16), OK);
	assert_int_equal(fake_disk_contents[8 * SECTOR + 5], 0);
	assert_int_equal(clear(ZEROES, 16, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP, 16), OK);
	assert_int_equal(fake_disk_contents[16 * SECTOR + 5], 0);
	assert_int_not_equal(fake_disk_contents[24 * SECTOR + 5], 0);
	assert_int_equal(clear(DISCARD, 0, 8, 1, 16), UNSUPP);
	assert_int_equal(clear(ZEROES, 0, 8, 2, 16), UNSUPP);
	assert_int_equal(clear(DISCARD, 0, 0, 0, 16), IOERR);
	assert_int_equal(clear(DISCARD, FAKE_DISK_BYTES / SECTOR, 1, 0, 16), IOERR);
	assert_int_equal(clear(ZEROES, UINT64_MAX, UINT32_MAX, 0, 16), IOERR);
	assert_int_equal(clear(ZEROES, 0, 8, 0, 32), IOERR); /* two ranges */
	assert_int_equal(clear(ZEROES, 0, 8, 0, 15), IOERR);
	/* Not without having been negotiated. */
	driver_init(&driver, QUEUE_SIZE);
	driver_run(CORE);
	assert_int_equal(clear(DISCARD, 0, 8, 0, 16), UNSUPP);
	assert_int_equal(clear(ZEROES, 0, 8, 0, 16), UNSUPP);
}

static void errors_are_reported(void **unused)
{
	put(IN, 0, SECTOR);
	offer(0);
	fake_disk_end(0, -EIO);
	assert_int_equal(answer(), IOERR);
	put(FLUSH, 0, 0);
	offer(0);
	assert_int_equal(fake_disk_request(0)->op, DISK_FLUSH);
	fake_disk_end(0, -EIO);
	assert_int_equal(answer(), IOERR);
	assert_int_equal(ask(FLUSH, 0, 0), OK);
}

/* For a driver that does not flush, a write has ended when it is on the disk (5.2.6.2). */
static void durable_without_flush(void **unused)
{
	put(OUT, 0, SECTOR);
	offer(0);
	assert_false(fake_disk_request(0)->durable);
	answer();
	driver_init(&driver, QUEUE_SIZE);
	driver_run(ALL & ~OFFERED(FLUSH));
	put(OUT, 0, SECTOR);
	offer(0);
	assert_true(fake_disk_request(0)->durable);
	answer();
}

static void identity(void **unused)
{
	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_ID, 4, false, 0), VIRTIO_ID_BLOCK);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 8, false, 0), FAKE_DISK_BYTES / SECTOR);
	memset(driver.ram + DATA_AT, 0xff, 32);
	assert_int_equal(ask(VIRTIO_BLK_T_GET_ID, 0, 20), OK);
	assert_memory_equal(driver.ram + DATA_AT, "disk0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff", 21);
	assert_int_equal(ask(VIRTIO_BLK_T_GET_ID, 0, 3), OK);
}

static void read_only(void **unused)
{
	set_flag("read-only");
	create(CORE);
	assert_true(fake_disk_config.read_only);
	mmio(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, true, 0);
	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) &
				 (OFFERED(RO) | OFFERED(DISCARD) | OFFERED(WRITE_ZEROES)),
		OFFERED(RO));
	assert_int_equal(ask(OUT, 0, SECTOR), IOERR);
	assert_int_equal(clear(VIRTIO_BLK_T_DISCARD, 0, 8, 0, 16), UNSUPP);
	assert_int_equal(ask(IN, 0, SECTOR), OK);
}

static void larger_blocks(void **unused)
{
	set_property("logical-block-size", &(uint32_t){ 4096 }, sizeof(uint32_t));
	create(ALL);
	assert_int_equal(ask(IN, 8, SECTOR), IOERR);
	assert_int_equal(ask(IN, 1, 4096), IOERR);
	assert_int_equal(ask(IN, 8, 4096), OK);
}

/* At most a ring full, however often a driver offers the same chains. */
static void never_more_than_a_ring_full(void **unused)
{
	put(IN, 0, SECTOR);
	for (unsigned i = 0; i < QUEUE_SIZE - 1; i++)
		driver_offer(&driver, 0);
	offer(0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(fake_disk_flight(), QUEUE_SIZE);
		fake_disk_end(i % QUEUE_SIZE, 0);
		driver_offer(&driver, 0);
		fake_loop_serve(); /* nobody notified it */
	}
	answer();
	while (fake_loop_serve())
		answer();
	assert_int_equal(driver_used(&driver)->idx, driver.next_avail);
}

/* Memory that a request uses is not taken away; it is let go of with the answer. */
static void pinned_while_in_flight(void **unused)
{
	put(IN, 0, 2 * SECTOR);
	offer(0);
	assert_true(guestmem_pinned(&driver.mem, RAM_GPA, RAM_BYTES));
	assert_true(guestmem_pinned(&driver.mem, RAM_GPA + DATA_AT + 2 * SECTOR - 1, 1));
	assert_true(guestmem_pinned(&driver.mem, RAM_GPA + STATUS_AT, 1));
	assert_false(guestmem_pinned(&driver.mem, RAM_GPA + DATA_AT + 2 * SECTOR, SECTOR));
	assert_false(guestmem_pinned(&driver.mem, RAM_GPA + HEADER_AT, 16)); /* read already */
	answer();
	assert_false(guestmem_pinned(&driver.mem, RAM_GPA, RAM_BYTES));
}

/* How many wait: they have let go of the lock. */
static unsigned resets(void)
{
	unsigned count;

	pthread_mutex_lock(&device->lock);
	count = container_of(device, struct virtio_device, base)->resets;
	pthread_mutex_unlock(&device->lock);
	return count;
}

static void *reset_by_driver(void *done)
{
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	__atomic_store_n((bool *)done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* 2.4.1: a driver's reset is over when nothing is in flight, and no chain of it is returned. */
static void reset_waits_for_what_is_in_flight(void **unused)
{
	bool done = false;
	pthread_t thread;

	put(IN, 0, SECTOR);
	driver_offer(&driver, 0);
	offer(0);
	assert_int_equal(fake_disk_flight(), 2);
	pthread_create(&thread, NULL, reset_by_driver, &done);
	while (!resets() && !__atomic_load_n(&done, __ATOMIC_SEQ_CST))
		sched_yield();
	assert_false(__atomic_load_n(&done, __ATOMIC_SEQ_CST));
	assert_int_not_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 0);
	offer(0); /* nothing new begins */
	assert_int_equal(fake_disk_flight(), 2);
	fake_disk_end(1, 0);
	virtio_blk_class.drain(device);
	pthread_join(thread, NULL);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 0);
	assert_int_equal(driver_used(&driver)->idx, 0);
	driver_init(&driver, QUEUE_SIZE);
	driver_run(ALL);
	assert_int_equal(ask(IN, 0, SECTOR), OK);
}

static void *stop_by_driver(void *done)
{
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 0);
	__atomic_store_n((bool *)done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool is_stopping(void)
{
	bool ready;

	pthread_mutex_lock(&device->lock);
	ready = container_of(device, struct virtio_device, base)->state.queues[0].ready;
	pthread_mutex_unlock(&device->lock);
	return !ready;
}

/* 4.2.2.2: nor is a stopped queue used any more once it reads as not ready. */
static void a_stopped_queue_is_left_alone(void **unused)
{
	bool done = false;
	pthread_t thread;

	put(IN, 0, SECTOR);
	offer(0);
	pthread_create(&thread, NULL, stop_by_driver, &done);
	while (!is_stopping())
		;
	assert_false(__atomic_load_n(&done, __ATOMIC_SEQ_CST));
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
	assert_true(is_stopping());
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_READY, 4, false, 0), 1);
	fake_disk_end(0, 0);
	pthread_join(thread, NULL);
	assert_int_equal(driver_used(&driver)->idx, 0);
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_READY, 4, false, 0), 1);
}

/* Two ranges of memory that touch are one to the guest. */
static void a_buffer_over_a_seam(void **unused)
{
	const uint64_t seam = DATA_AT + 100;

	driver.mem.ranges[1] = (struct guestmem_range){
		.gpa = RAM_GPA + seam, .size = RAM_BYTES - seam, .hva = driver.ram + seam
	};
	driver.mem.ranges[0].size = seam;
	driver.mem.count = 2;
	assert_int_equal(ask(IN, 3, 2 * SECTOR), OK);
	assert_memory_equal(driver.ram + DATA_AT, fake_disk_contents + 3 * SECTOR, 2 * SECTOR);
	/* A hole is none. */
	driver.mem.ranges[1].gpa++;
	driver.mem.ranges[1].size--;
	assert_int_equal(ask(IN, 3, 2 * SECTOR), IOERR);
}

/* What was allocated stays so. */
static void without_discard_nothing_is_given_back(void **unused)
{
	set_property("discard", &(uint32_t){ 1 }, sizeof(uint32_t));
	create(ALL & ~OFFERED(DISCARD));
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG +
					 offsetof(struct virtio_blk_config, write_zeroes_may_unmap),
				 1, false, 0),
		0);
	put(VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(struct virtio_blk_discard_write_zeroes));
	memcpy(driver.ram + DATA_AT,
		&(struct virtio_blk_discard_write_zeroes){ .num_sectors = 1, .flags = 1 },
		sizeof(struct virtio_blk_discard_write_zeroes));
	offer(0);
	assert_false(fake_disk_request(0)->unmap);
	assert_int_equal(answer(), OK);
}

static void system_reset_drains(void **unused)
{
	put(OUT, 0, SECTOR);
	offer(0);
	virtio_blk_class.reset(device);
	assert_int_equal(fake_disk_flight(), 0);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 0);
}

/* ---- The node ---- */

static unsigned complaints;

static void complain(struct device_check *check, const char *property, const char *format, ...)
{
	complaints++;
	assert_string_equal(property, check->running ? "file" : "serial");
}

/* The driver offers one more each time the disk is busy, up to four, and is asked to notify of the fifth. */
static void while_busy(void)
{
	assert_int_equal(*driver_avail_event(&driver), 0);
	if (driver.next_avail < 4)
		driver_offer(&driver, 0);
	else
		fake_disk_submitted = NULL;
	while (fake_disk_flight())
		fake_disk_end(0, 0);
}

static void no_notifications_while_busy(void **unused)
{
	create(ALL | 1ull << VIRTIO_RING_F_EVENT_IDX);
	put(IN, 0, SECTOR);
	fake_disk_submitted = while_busy;
	offer(0);
	assert_null(fake_disk_submitted);
	assert_int_equal(answer(), OK);
	assert_int_equal(driver.next_avail, 4);
	assert_int_equal(*driver_avail_event(&driver), 4);
}

static void the_node(void **unused)
{
	struct device_check check = { .error = complain };

	set_string("serial", "20 letters at most !");
	virtio_blk_class.check(node, &check);
	assert_int_equal(complaints, 0);
	create(ALL);
	ask(VIRTIO_BLK_T_GET_ID, 0, 20);
	assert_memory_equal(driver.ram + DATA_AT, "20 letters at most !", 20);
	set_string("serial", "20 letters at most !!");
	virtio_blk_class.check(node, &check);
	assert_int_equal(complaints, 1);
	check.running = true;
	virtio_blk_class.probe(node, &check);
	assert_int_equal(complaints, 1);
	fake_disk_probe = -EBUSY;
	virtio_blk_class.probe(node, &check);
	assert_int_equal(complaints, 2);
	fake_disk_probe = 0;
}

int main(void)
{
#define RUNNING(test) cmocka_unit_test_setup_teardown(test, setup_and_run, teardown)
#define CREATES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		RUNNING(reads_and_writes),
		RUNNING(any_layout),
		RUNNING(nonsense_is_an_error),
		RUNNING(addresses_are_checked),
		RUNNING(discards_and_zeroes),
		RUNNING(errors_are_reported),
		RUNNING(durable_without_flush),
		RUNNING(identity),
		CREATES(read_only),
		CREATES(larger_blocks),
		RUNNING(never_more_than_a_ring_full),
		RUNNING(pinned_while_in_flight),
		RUNNING(reset_waits_for_what_is_in_flight),
		RUNNING(a_stopped_queue_is_left_alone),
		RUNNING(a_buffer_over_a_seam),
		CREATES(without_discard_nothing_is_given_back),
		RUNNING(system_reset_drains),
		CREATES(no_notifications_while_busy),
		CREATES(the_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
