/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of the device under test, as a vCPU reads and writes them. */
#ifndef SLUICE_TESTS_UNIT_MMIO_H
#define SLUICE_TESTS_UNIT_MMIO_H

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "devices/device.h"
#include "hyp/base/util.h"

/* One a program. What a virtio device shows is held against what it answers, where its environment has it. */
static __attribute__((unused)) struct device *device;
static __attribute__((unused)) _Alignas(8) uint8_t registers[0x200];

/* For callbacks that a device calls with its lock held: its interrupt line above all. */
static inline void assert_device_locked(void)
{
	CHECK(pthread_mutex_trylock(&device->lock) == EBUSY);
}

static inline uint64_t mmio(uint64_t offset, unsigned size, bool write, uint64_t data)
{
	struct mmio_access one = { .offset = offset, .size = size, .write = write };

	one.data = write ? data : 0;
	pthread_mutex_lock(&device->lock);
	device->region.access(&device->region, &one);
	if (!write && registers[0] && offset + size <= sizeof(registers) &&
		(offset >= VIRTIO_MMIO_CONFIG || (size == 4 && is_aligned(offset, 4)))) {
		uint64_t shown = 0;

		memcpy(&shown, registers + offset, size);
		CHECK(shown == one.data);
	}
	pthread_mutex_unlock(&device->lock);
	return one.data;
}

#endif
