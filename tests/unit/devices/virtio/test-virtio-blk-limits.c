/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk: limits at their edge, all that the device says of itself, and what the host refuses. */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/helpers/blk-driver.h"

enum { DISCARD = VIRTIO_BLK_T_DISCARD, ZEROES = VIRTIO_BLK_T_WRITE_ZEROES };

static unsigned log_lines;

static void count_log(enum log_level level, const char *text)
{
	log_lines++;
}

/* What calloc() refuses once: an array of one this large or larger. 0: nothing. */
static size_t no_memory_for;
static size_t last_bytes; /* what was asked for last */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	last_bytes = size;
	if (no_memory_for && size >= no_memory_for) {
		no_memory_for = 0;
		return NULL;
	}
	return __real_calloc(count, size);
}

/* ---- How many, how long ---- */

/* A driver that offers more than its ring holds has no more than a ring full in flight; the rest waits. */
static void one_more_than_a_ring_full(void **unused)
{
	put(IN, 0, SECTOR);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		offer(0);
	assert_int_equal(fake_disk_flight(), QUEUE_SIZE);
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		offer(0);
		assert_int_equal(fake_disk_flight(), QUEUE_SIZE);
	}
	assert_int_equal(driver_used(&driver)->idx, 0);
	for (unsigned i = 1; i <= QUEUE_SIZE; i++) {
		fake_disk_end(0, 0);
		assert_int_equal(driver_used(&driver)->idx, i);
		assert_int_equal(fake_loop_serve(), 1); /* nobody notified it */
		assert_int_equal(fake_disk_flight(), QUEUE_SIZE);
	}
	/* Below a full ring the end of one is no reason to poll for others. */
	fake_disk_end(0, 0);
	fake_loop_serve();
	fake_disk_end(0, 0);
	assert_int_equal(fake_loop_serve(), 0);
	answer();
}

/* While the disk has enough under way, a guest's requests stay in its rings: each queue goes on by itself then. */
static void a_full_disk_takes_no_more(void **unused)
{
	put(IN, 0, SECTOR);
	offer(0);
	fake_disk_full = true;
	for (unsigned i = 0; i < 3; i++)
		offer(0);
	assert_int_equal(fake_disk_flight(), 1);
	/* Full still. */
	fake_disk_end(0, 0);
	assert_int_equal(fake_loop_serve(), 0);
	fake_disk_full = false;
	offer(0);
	assert_int_equal(fake_disk_flight(), 4);
	fake_disk_full = true;
	offer(0);
	assert_int_equal(fake_disk_flight(), 4);
	fake_disk_full = false;
	fake_disk_end(0, 0);
	assert_int_equal(fake_loop_serve(), 1); /* nobody notified it */
	assert_int_equal(fake_disk_flight(), 4);
	/* Once, and not for each that ends. */
	fake_disk_end(0, 0);
	assert_int_equal(fake_loop_serve(), 0);
	while (fake_disk_flight())
		fake_disk_end(0, 0);
	assert_int_equal(driver_used(&driver)->idx, 6);
	/* A reset forgets what it did not take: the rings are another driver's. */
	offer(0);
	fake_disk_full = true;
	offer(0);
	offer(0);
	virtio_blk_class.reset(device);
	assert_true(fake_disk_ending);
	assert_int_equal(fake_disk_flight(), 0);
	fake_disk_full = false;
	assert_int_equal(fake_loop_serve(), 0);
}

/* A request takes as much of the host's memory as it has parts. */
static void memory_by_the_part(void **unused)
{
	size_t one;

	put(IN, 0, SECTOR);
	offer(0);
	one = last_bytes;
	assert_in_range(one, sizeof(struct disk_request), sizeof(struct disk_request) + 256);
	put_header(IN, 0);
	driver_set(&driver, 0, RAM_GPA + HEADER_AT, 16, NEXT, 1);
	for (uint16_t i = 1; i < 9; i++)
		driver_set(&driver, i, RAM_GPA + DATA_AT + i * SECTOR, SECTOR, NEXT | WRITE,
			(uint16_t)(i + 1));
	driver_set(&driver, 9, RAM_GPA + STATUS_AT, 1, WRITE, 0);
	offer(0);
	assert_int_equal(last_bytes, one + 7 * sizeof(struct iovec));
	assert_int_equal(answer(), OK);
}

/* Of a discard, and of zeroes, the configuration says how many sectors at most. */
static void a_gibibyte_at_a_time(void **unused)
{
	const uint32_t types[] = { DISCARD, ZEROES }, most = GiB / SECTOR;

	fake_disk_bytes = 4 * GiB;
	create(ALL);
	assert_int_equal(
		mmio(VIRTIO_MMIO_CONFIG + offsetof(struct virtio_blk_config, max_discard_sectors),
			4, false, 0),
		most);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG + offsetof(struct virtio_blk_config,
							   max_write_zeroes_sectors),
				 4, false, 0),
		most);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		struct virtio_blk_discard_write_zeroes range = { .sector = 8, .num_sectors = most };

		put(types[i], 0, sizeof(range));
		memcpy(driver.ram + DATA_AT, &range, sizeof(range));
		offer(0);
		assert_int_equal(fake_disk_flight(), 1);
		assert_int_equal(fake_disk_request(0)->op,
			types[i] == ZEROES ? DISK_WRITE_ZEROES : DISK_DISCARD);
		assert_int_equal(fake_disk_request(0)->offset, 8 * SECTOR);
		assert_int_equal(fake_disk_request(0)->bytes, GiB);
		assert_int_equal(answer(), OK);
		assert_int_equal(used_len(), 1);
		range.num_sectors++;
		memcpy(driver.ram + DATA_AT, &range, sizeof(range));
		offer(0);
		assert_int_equal(fake_disk_flight(), 0);
		assert_int_equal(answer(), IOERR);
		assert_int_equal(used_len(), 0);
		assert_int_equal(clear(types[i], 0, UINT32_MAX, 0, sizeof(range)), IOERR);
		/* To the disk's last sector, and one beyond. */
		assert_int_equal(clear(types[i], 4 * GiB / SECTOR - 8, 8, 0, sizeof(range)), OK);
		assert_int_equal(clear(types[i], 4 * GiB / SECTOR - 7, 8, 0, sizeof(range)), IOERR);
	}
	fake_disk_bytes = FAKE_DISK_BYTES;
}

/* To the last sector, and all of it at once. */
static void the_whole_disk(void **unused)
{
	const uint64_t last = FAKE_DISK_BYTES / SECTOR - 1;

	for (uint32_t type = IN; type <= OUT; type++) {
		assert_int_equal(ask(type, last, SECTOR), OK);
		assert_int_equal(ask(type, last, 2 * SECTOR), IOERR);
		assert_int_equal(ask(type, last + 1, SECTOR), IOERR);
		put(type, 0, 0x8000);
		driver_desc(&driver, 1)->next = 3;
		driver_set(
			&driver, 3, RAM_GPA + DATA_AT, 0x8000, driver_desc(&driver, 1)->flags, 2);
		offer(0);
		assert_int_equal(fake_disk_request(0)->bytes, FAKE_DISK_BYTES);
		assert_int_equal(answer(), OK);
		driver_desc(&driver, 3)->len += SECTOR;
		offer(0);
		assert_int_equal(fake_disk_flight(), 0);
		assert_int_equal(answer(), IOERR);
	}
}

/* RAM in `count` ranges that touch, of 64 bytes each from DATA_AT on, but the last. */
static void cut_memory(unsigned count)
{
	uint64_t at = 0;

	driver.mem.count = 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t end = i + 1 < count ? DATA_AT + 64 * (i + 1) : RAM_BYTES;

		driver.mem.ranges[driver.mem.count++] = (struct guestmem_range){
			.gpa = RAM_GPA + at, .size = end - at, .hva = driver.ram + at
		};
		at = end;
	}
}

/* Five buffers over 64 ranges, the last of `sectors`; whether the disk is asked for it. */
static bool over_seams(uint32_t type, uint32_t sectors)
{
	cut_memory(64);
	put(type, 0, 8 * SECTOR);
	for (uint16_t i = 3; i < 7; i++)
		driver_set(&driver, i, RAM_GPA + DATA_AT, (i < 6 ? 8 : sectors) * SECTOR,
			driver_desc(&driver, 1)->flags, i < 6 ? i + 1 : 2);
	driver_desc(&driver, 1)->next = 3;
	offer(0);
	return fake_disk_flight();
}

/* A request has room for a queue full of descriptors and 16 seams: with more it fails, and writes nowhere. */
static void so_many_seams(void **unused)
{
	cut_memory(20);
	assert_int_equal(ask(IN, 0, 4 * SECTOR), OK);
	assert_memory_equal(driver.ram + DATA_AT, fake_disk_contents, 4 * SECTOR);
	put(OUT, 0, 4 * SECTOR);
	offer(0);
	assert_int_equal(fake_disk_request(0)->iov_count, 20);
	assert_int_equal(answer(), OK);
	for (uint32_t type = IN; type <= OUT; type++) {
		assert_true(over_seams(type, 2));
		assert_int_equal(fake_disk_request(0)->iov_count, 4 * 64 + 16);
		assert_int_equal(answer(), OK);
		assert_false(over_seams(type, 3));
		assert_int_equal(answer(), IOERR);
	}
}

/* ---- What is asked of the disk ---- */

static const struct disk_request *asked(uint32_t type, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = {
		.sector = 8, .num_sectors = 8, .flags = flags
	};

	put(type, 0, type == FLUSH ? 0 : type <= OUT ? SECTOR : sizeof(range));
	if (type > OUT)
		memcpy(driver.ram + DATA_AT, &range, sizeof(range));
	offer(0);
	assert_int_equal(fake_disk_flight(), 1);
	return fake_disk_request(0);
}

/* The file's storage is freed where the driver says that it may be. */
static void unmap_is_the_drivers(void **unused)
{
	assert_true(asked(ZEROES, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)->unmap);
	answer();
	assert_false(asked(ZEROES, 0)->unmap);
	answer();
	assert_int_equal(asked(DISCARD, 0)->op, DISK_DISCARD);
	answer();
}

/* A driver without FLUSH: all that changes the disk is on it when the chain is returned. Reads change nothing. */
static void what_is_durable(void **unused)
{
	for (unsigned i = 0; i < 2; i++) {
		bool flushes = i == 0;

		driver_init(&driver, QUEUE_SIZE);
		driver_run(flushes ? ALL : ALL & ~OFFERED(FLUSH));
		assert_int_equal(asked(OUT, 0)->durable, !flushes);
		answer();
		assert_int_equal(asked(ZEROES, 0)->durable, !flushes);
		answer();
		assert_int_equal(asked(DISCARD, 0)->durable, !flushes);
		answer();
		assert_false(asked(IN, 0)->durable);
		answer();
	}
}

/* A failure gives its status, no bytes, and a line in the log, but where it is only the end. */
static void what_the_host_fails(void **unused)
{
	const struct {
		int err, status;
		unsigned lines;
	} cases[] = {
		{ -EIO, IOERR, 1 },
		{ -ENOTSUP, UNSUPP, 1 },
		{ -ENOSPC, IOERR, 1 },
		{ -ECANCELED, IOERR, 0 },
		{ 0, OK, 0 },
	};

	log_set_sink(count_log);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		log_lines = 0;
		interrupts = 0;
		put(IN, 0, SECTOR);
		offer(0);
		fake_disk_end(0, cases[i].err);
		assert_int_equal(answer(), cases[i].status);
		assert_int_equal(used_len(), cases[i].err ? 0 : SECTOR + 1);
		assert_int_equal(log_lines, cases[i].lines);
		assert_int_equal(interrupts, 1);
		assert_null(driver.mem.pins);
	}
	log_set_sink(NULL);
}

/* Without memory for it a request fails, and the next one does not. */
static void no_memory_for_a_request(void **unused)
{
	no_memory_for = sizeof(struct disk_request);
	assert_int_equal(ask(IN, 0, SECTOR), IOERR);
	assert_int_equal(no_memory_for, 0);
	assert_int_equal(used_len(), 0);
	assert_int_equal(ask(IN, 0, SECTOR), OK);
}

/* A request comes back in the queue that it came from. */
static void each_queue_has_its_own(void **unused)
{
	const unsigned avail_at = 0xe000, used_at = 0xf000;
	uint16_t *avail = (uint16_t *)(driver.ram + avail_at);
	const struct vring_used *used = (const void *)(driver.ram + used_at);
	const uint32_t writes[][2] = {
		{ VIRTIO_MMIO_QUEUE_SEL, 1 },
		{ VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + avail_at },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, RAM_GPA + used_at },
		{ VIRTIO_MMIO_QUEUE_READY, 1 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
		mmio(writes[i][0], 4, true, writes[i][1]);
	fake_loop_serve();
	put(IN, 0, SECTOR);
	avail[2] = 0;
	avail[1] = 1;
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 1);
	fake_loop_serve();
	assert_int_equal(fake_disk_flight(), 1);
	fake_disk_end(0, 0);
	assert_int_equal(used->idx, 1);
	assert_int_equal(used->ring[0].len, SECTOR + 1);
	assert_int_equal(driver_used(&driver)->idx, 0);
}

/* As much of it as there is room for. */
static void identity_in_any_room(void **unused)
{
	static const uint32_t rooms[] = { 0, 1, 19, 20, 21, 100 };

	for (unsigned i = 0; i < ARRAY_SIZE(rooms); i++) {
		uint32_t some = rooms[i] < 20 ? rooms[i] : 20;

		memset(driver.ram + DATA_AT, 0xff, 200);
		assert_int_equal(ask(VIRTIO_BLK_T_GET_ID, 0, rooms[i]), OK);
		assert_int_equal(used_len(), rooms[i] + 1);
		assert_memory_equal(
			driver.ram + DATA_AT, "disk0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", some);
		assert_int_equal(driver.ram[DATA_AT + some], 0xff);
	}
}

/* ---- What the device says of itself ---- */

static uint64_t offered_features(void)
{
	uint64_t low;

	mmio(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, true, 0);
	low = mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0);
	mmio(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, true, 1);
	return low | mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) << 32;
}

static void read_config(struct virtio_blk_config *ret)
{
	for (unsigned i = 0; i < sizeof(*ret); i++)
		((uint8_t *)ret)[i] = (uint8_t)mmio(VIRTIO_MMIO_CONFIG + i, 1, false, 0);
}

static void config_space(void **unused)
{
	const struct virtio_blk_config common = { .seg_max = 254,
		.num_queues = 4,
		.max_discard_sectors = GiB / SECTOR,
		.max_discard_seg = 1,
		.discard_sector_alignment = 8,
		.max_write_zeroes_sectors = GiB / SECTOR,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1 };
	struct virtio_blk_config expected = common, found;

	create(ALL);
	read_config(&found);
	expected.capacity = FAKE_DISK_BYTES / SECTOR;
	expected.blk_size = 512;
	expected.physical_block_exp = 3;
	expected.min_io_size = 8;
	assert_memory_equal(&found, &expected, sizeof(found));
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 256);
	assert_int_equal(fake_disk_config.in_flight, 4 * 256);
	assert_int_equal(fake_disk_config.block_bytes, 512);
	assert_string_equal(fake_disk_config.path.name, "disk.img");
	assert_false(
		fake_disk_config.direct || fake_disk_config.read_only || fake_disk_config.threads);
	device_destroy(device);

	/* One more, of larger blocks, with other properties. */
	set_property("logical-block-size", &(uint32_t){ 4096 }, sizeof(uint32_t));
	set_property("queues", &(uint32_t){ 8 }, sizeof(uint32_t));
	set_flag("direct");
	create(ALL);
	read_config(&found);
	expected = common;
	expected.capacity = FAKE_DISK_BYTES / SECTOR; /* in sectors always */
	expected.blk_size = 4096;
	expected.min_io_size = 1;
	expected.num_queues = 8;
	assert_memory_equal(&found, &expected, sizeof(found));
	assert_true(fake_disk_config.direct);
	assert_int_equal(fake_disk_config.in_flight, 8 * 256);
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, 7);
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 256);
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, 8);
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 0);
}

/* Where the host writes best is the tree's to say: as far as a guest takes it. */
static void physical_blocks(void **unused)
{
	struct virtio_blk_config found;

	set_property("physical-block-size", &(uint32_t){ 1 << 20 }, sizeof(uint32_t));
	create(ALL);
	read_config(&found);
	assert_int_equal(found.blk_size, 512);
	assert_int_equal(found.physical_block_exp, 11);
	assert_int_equal(found.min_io_size, 2048);
	assert_int_equal(found.discard_sector_alignment, 2048);
}

/* A driver that runs is notified of the new size, one that comes later finds it. */
static void grows(void **unused)
{
	struct virtio_blk_config found;
	char why[100];

	create(ALL);
	interrupts = 0;
	assert_int_equal(ask(IN, FAKE_DISK_BYTES / SECTOR, SECTOR), IOERR);
	interrupts = 0;
	assert_int_equal(virtio_blk_resize(device, 2 * FAKE_DISK_BYTES, why, sizeof(why)), 0);
	assert_int_equal(interrupts, 1);
	assert_int_equal(mmio(VIRTIO_MMIO_INTERRUPT_STATUS, 4, false, 0) & VIRTIO_MMIO_INT_CONFIG,
		VIRTIO_MMIO_INT_CONFIG);
	read_config(&found);
	assert_int_equal(found.capacity, 2 * FAKE_DISK_BYTES / SECTOR);
	assert_int_equal(virtio_blk_bytes(device), 2 * FAKE_DISK_BYTES);
	assert_int_equal(ask(IN, FAKE_DISK_BYTES / SECTOR, SECTOR), OK);
	interrupts = 0;
	/* Nothing new. */
	assert_int_equal(virtio_blk_resize(device, 0, why, sizeof(why)), 0);
	assert_int_equal(virtio_blk_resize(device, SECTOR, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "it does not shrink");
	assert_int_equal(interrupts, 0);
	read_config(&found);
	assert_int_equal(found.capacity, 2 * FAKE_DISK_BYTES / SECTOR);
	virtio_blk_class.reset(device);
	driver_init(&driver, QUEUE_SIZE);
	driver_run(ALL);
	read_config(&found);
	assert_int_equal(found.capacity, 2 * FAKE_DISK_BYTES / SECTOR);
	fake_disk_bytes = FAKE_DISK_BYTES;
}

static void features(void **unused)
{
	const uint64_t always = CORE | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | OFFERED(SEG_MAX) |
				OFFERED(BLK_SIZE) | OFFERED(TOPOLOGY) | OFFERED(MQ);

	create(ALL);
	assert_int_equal(offered_features(),
		always | OFFERED(FLUSH) | OFFERED(WRITE_ZEROES) | OFFERED(DISCARD));
	device_destroy(device);
	set_property("discard", &(uint32_t){ 1 }, sizeof(uint32_t));
	create(CORE);
	assert_int_equal(offered_features(), always | OFFERED(FLUSH) | OFFERED(WRITE_ZEROES));
	device_destroy(device);
	set_flag("read-only");
	create(CORE);
	assert_int_equal(offered_features(), always | OFFERED(RO));
	assert_true(fake_disk_config.read_only);
}

/* The range of `queues`, and what a property is called when it is off and on. */
static void properties(void **unused)
{
	const struct property *property = virtio_blk_class.properties;
	uint32_t queues;

	while (strcmp(property->name, "queues"))
		property++;
	assert_int_equal(property->min, 1);
	assert_int_equal(property->max, 8);
	memcpy(&queues, (char *)node + property->offset, sizeof(queues));
	assert_int_equal(queues, 4);
	while (strcmp(property->name, "discard"))
		property++;
	assert_string_equal(property->choices[0], "on");
	assert_string_equal(property->choices[1], "off");
	assert_null(property->choices[2]);
	create(ALL);
}

static char said[100];

__attribute__((format(printf, 3, 4))) static void note(
	struct device_check *check, const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

static void block_sizes(void **unused)
{
	static const struct {
		uint32_t logical, physical;
		const char *says;
	} cases[] = {
		{ 512, 512, "" },
		{ 512, 4096, "" },
		{ 4096, 4096, "" },
		{ 4096, 1 << 20, "" },
		{ 1024, 4096, "is 1024, and may be 512 or 4096" },
		{ 513, 4096, "is 513, and may be 512 or 4096" },
		{ 4096, 512,
			"is 512: it is a power of two, and no less than a logical block of 4096" },
		{ 512, 3072,
			"is 3072: it is a power of two, and no less than a logical block of 512" },
	};
	struct device_check check = { .error = note };

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		set_property("logical-block-size", &cases[i].logical, sizeof(uint32_t));
		set_property("physical-block-size", &cases[i].physical, sizeof(uint32_t));
		said[0] = 0;
		virtio_blk_class.check(node, &check);
		assert_string_equal(said, cases[i].says);
	}
	set_property("logical-block-size", &cases[0].logical, sizeof(uint32_t));
	set_property("physical-block-size", &cases[1].physical, sizeof(uint32_t));
	create(ALL);
}

/* Only what is about to run takes the disk for itself. */
static void probes_as_it_opens(void **unused)
{
	struct device_check check = { .error = note };

	fake_disk_probe = -EBUSY;
	virtio_blk_class.probe(node, &check);
	assert_string_equal(said, "disk.img is bad");
	check.running = true;
	virtio_blk_class.probe(node, &check);
	assert_string_equal(said, "disk.img is taken");
	fake_disk_probe = 0;
	create(ALL);
}

/* ---- Its beginning and end ---- */

static void create_fails_cleanly(void **unused)
{
	struct loop_fd filler[32] = { 0 };
	struct device *none = NULL;
	unsigned fillers = 0;

	fake_disk_open = -EACCES;
	assert_int_equal(device_create(&virtio_blk_class, node, &env, &none), -EACCES);
	fake_disk_open = 0;
	no_memory_for = 512; /* the device itself */
	assert_int_equal(device_create(&virtio_blk_class, node, &env, &none), -ENOMEM);
	while (!loop_fd_add(env.loop, &filler[fillers]))
		fillers++;
	assert_int_equal(device_create(&virtio_blk_class, node, &env, &none), -ENOSPC);
	while (fillers)
		loop_fd_remove(&filler[--fillers]);
	assert_null(none);
	assert_int_equal(fake_disk_opened, 0);
	assert_int_equal(fake_loop_watches(), 0);
	device_destroy(NULL);
	create(ALL);
	assert_int_equal(fake_disk_opened, 1);
}

/* What is in flight ends before the disk goes, and does not reach for memory after. */
static void destroyed_in_flight(void **unused)
{
	put(IN, 0, SECTOR);
	offer(0);
	offer(0);
	assert_int_equal(fake_disk_flight(), 2);
	device_destroy(device);
	device = NULL;
	assert_int_equal(fake_disk_flight(), 0);
	assert_true(fake_disk_ending); /* a call each, and no more */
	assert_int_equal(fake_disk_opened, 0);
	assert_null(driver.mem.pins);
}

int main(void)
{
#define RUNNING(test) cmocka_unit_test_setup_teardown(test, setup_and_run, teardown)
#define CREATES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		RUNNING(one_more_than_a_ring_full),
		RUNNING(a_full_disk_takes_no_more),
		RUNNING(memory_by_the_part),
		CREATES(a_gibibyte_at_a_time),
		RUNNING(the_whole_disk),
		RUNNING(so_many_seams),
		RUNNING(unmap_is_the_drivers),
		RUNNING(what_is_durable),
		RUNNING(what_the_host_fails),
		RUNNING(no_memory_for_a_request),
		RUNNING(each_queue_has_its_own),
		RUNNING(identity_in_any_room),
		CREATES(config_space),
		CREATES(physical_blocks),
		CREATES(block_sizes),
		CREATES(grows),
		CREATES(features),
		CREATES(properties),
		CREATES(probes_as_it_opens),
		CREATES(create_fails_cleanly),
		RUNNING(destroyed_in_flight),
	};

	return cmocka_run_group_tests_name("virtio-blk-limits", tests, NULL, NULL);
}
