/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue, for tests: RAM with one queue in it, whose every byte
 * the test may spoil. Layout, from RAM_GPA: descriptors at 0, available ring at 0x2000, used ring
 * at 0x3000; the rest is free.
 */
#ifndef SLUICE_TESTS_UNIT_DRIVER_H
#define SLUICE_TESTS_UNIT_DRIVER_H

#include <linux/virtio_ring.h>
#include <stdint.h>
#include <string.h>

#include "hyp/memory/guestmem.h"

#define RAM_GPA	  UINT64_C(0x40000000)
#define RAM_BYTES 0x10000
#define AVAIL_AT  0x2000
#define USED_AT	  0x3000
#define FREE_AT	  0x4000

struct driver {
	_Alignas(4096) uint8_t ram[RAM_BYTES];
	struct guestmem mem;
	uint16_t size, next_avail;
};

static inline struct vring_desc *driver_desc(struct driver *driver, unsigned index)
{
	return (struct vring_desc *)driver->ram + index;
}

/* flags, idx, entries */
static inline uint16_t *driver_avail(struct driver *driver)
{
	return (uint16_t *)(driver->ram + AVAIL_AT);
}

static inline struct vring_used *driver_used(struct driver *driver)
{
	return (struct vring_used *)(driver->ram + USED_AT);
}

/* Where each side writes the index from which on it wants notifications. */
static inline uint16_t *driver_used_event(struct driver *driver)
{
	return driver_avail(driver) + 2 + driver->size;
}

static inline uint16_t *driver_avail_event(struct driver *driver)
{
	return (uint16_t *)(driver->ram + USED_AT + 4 + 8 * driver->size);
}

static inline void driver_init(struct driver *driver, uint16_t size)
{
	memset(driver, 0, sizeof(*driver));
	driver->size = size;
	driver->mem.ranges[0] =
		(struct guestmem_range){ .gpa = RAM_GPA, .size = RAM_BYTES, .hva = driver->ram };
	driver->mem.count = 1;
}

static inline void driver_set(struct driver *driver, unsigned index, uint64_t gpa, uint32_t len,
	uint16_t flags, uint16_t next)
{
	*driver_desc(driver, index) =
		(struct vring_desc){ .addr = gpa, .len = len, .flags = flags, .next = next };
}

static inline void driver_offer(struct driver *driver, uint16_t head)
{
	uint16_t *avail = driver_avail(driver);

	avail[2 + driver->next_avail++ % driver->size] = head;
	avail[1] = driver->next_avail;
}

#endif
