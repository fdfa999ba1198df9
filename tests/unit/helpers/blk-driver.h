/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of a virtio-blk device for tests: `device`, whose one queue lies in `driver`, before a disk that
 * ends requests when and how the test says. With fake-disk.h and fake-loop.h.
 */
#ifndef SLUICE_TESTS_UNIT_BLK_DRIVER_H
#define SLUICE_TESTS_UNIT_BLK_DRIVER_H

#include <linux/virtio_blk.h>
#include <stdlib.h>

#include "devices/virtio/virtio-blk.h"
#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio.h"
#include "tests/unit/helpers/fake-disk.h"
#include "hyp/base/log.h"
#include "hyp/kvm/irq.h"
#include "tests/unit/helpers/mmio-driver.h"
#include "tests/unit/helpers/unit.h"

#define QUEUE_SIZE 16
#define HEADER_AT  FREE_AT
#define STATUS_AT  (FREE_AT + 32)
#define DATA_AT	   (FREE_AT + 0x1000)
#define SECTOR	   512

enum { IN = VIRTIO_BLK_T_IN, OUT = VIRTIO_BLK_T_OUT, FLUSH = VIRTIO_BLK_T_FLUSH };
enum {
	OK = VIRTIO_BLK_S_OK,
	IOERR = VIRTIO_BLK_S_IOERR,
	UNSUPP = VIRTIO_BLK_S_UNSUPP,
	NONE = 0xee
};
enum { WRITE = VRING_DESC_F_WRITE, NEXT = VRING_DESC_F_NEXT };

#define OFFERED(bit) (UINT64_C(1) << VIRTIO_BLK_F_##bit)
#define CORE	     (UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define ALL	     (CORE | OFFERED(FLUSH) | OFFERED(DISCARD) | OFFERED(WRITE_ZEROES) | OFFERED(MQ))

static inline void set_line(struct irq_line *line, bool level)
{
	interrupts += level;
}

static struct irq_line line = { set_line };
static struct device_env env = { .id = "disk0",
	.transport = &virtio_mmio_transport,
	.irq = &line,
	.registers = registers,
	.mem = &driver.mem };
static void *node;

static inline void set_property(const char *name, const void *value, size_t len)
{
	const struct property *property = virtio_blk_class.properties;

	while (strcmp(property->name, name))
		property++;
	memcpy((char *)node + property->offset, value, len);
}

static inline void set_flag(const char *name)
{
	set_property(name, &(bool){ true }, sizeof(bool));
}

static inline void set_string(const char *name, const char *value)
{
	set_property(name, &value, sizeof(value));
}

static inline void create(uint64_t features)
{
	assert_int_equal(device_create(&virtio_blk_class, node, &env, &device), 0);
	driver_init(&driver, QUEUE_SIZE);
	driver_run(features);
}

static inline int setup(void **unused)
{
	node = calloc(1, virtio_blk_class.config_bytes);
	virtio_blk_class.defaults(node);
	set_string("file", "disk.img");
	for (unsigned i = 0; i < FAKE_DISK_BYTES; i++)
		fake_disk_contents[i] = (uint8_t)(i * 7 + i / SECTOR);
	return 0;
}

static inline int setup_and_run(void **unused)
{
	setup(NULL);
	create(ALL);
	return 0;
}

static inline int teardown(void **unused)
{
	device_destroy(device);
	device = NULL;
	assert_int_equal(fake_loop_watches(), 0);
	assert_null(driver.mem.pins);
	free(node);
	return 0;
}

/* ---- One request: a header, data, a status, in descriptors that the test may spoil ---- */

static inline void put_header(uint32_t type, uint64_t sector)
{
	const struct virtio_blk_outhdr header = { .type = type, .sector = sector };

	memcpy(driver.ram + HEADER_AT, &header, sizeof(header));
	driver.ram[STATUS_AT] = NONE;
}

static inline void put(uint32_t type, uint64_t sector, uint32_t len)
{
	bool in = type == IN || type == VIRTIO_BLK_T_GET_ID;

	put_header(type, sector);
	driver_set(&driver, 0, RAM_GPA + HEADER_AT, 16, NEXT, len ? 1 : 2);
	driver_set(&driver, 1, RAM_GPA + DATA_AT, len, NEXT | (in ? WRITE : 0), 2);
	driver_set(&driver, 2, RAM_GPA + STATUS_AT, 1, WRITE, 0);
}

static inline void offer(uint16_t head)
{
	driver_offer(&driver, head);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	fake_loop_serve();
}

/* Ends all; the status, or -1 where it was not returned. */
static inline int answer(void)
{
	while (fake_disk_flight())
		fake_disk_end(0, 0);
	return driver_used(&driver)->idx == driver.next_avail ? driver.ram[STATUS_AT] : -1;
}

static inline int ask(uint32_t type, uint64_t sector, uint32_t len)
{
	put(type, sector, len);
	offer(0);
	return answer();
}

static inline uint32_t used_len(void)
{
	return driver_used(&driver)->ring[(driver.next_avail - 1) % driver.size].len;
}

static inline int clear(
	uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags, uint32_t len)
{
	const struct virtio_blk_discard_write_zeroes range = {
		.sector = sector, .num_sectors = sectors, .flags = flags
	};

	memcpy(driver.ram + DATA_AT, &range, sizeof(range));
	return ask(type, 0, len);
}

#endif
