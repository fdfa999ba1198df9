/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of a virtio device with one queue, for tests: `device`, whose registers it accesses as a
 * vCPU would, and whose queue lies in `driver`. With fake-loop.h.
 */
#ifndef SLUICE_TESTS_UNIT_MMIO_DRIVER_H
#define SLUICE_TESTS_UNIT_MMIO_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "devices/device.h"
#include "driver.h"
#include "fake-loop.h"
#include "hyp/util.h"
#include "unit.h"

#define QUEUE_SIZE 8

/* One of each a program; not every one uses all. */
static __attribute__((unused)) struct driver driver;
static __attribute__((unused)) struct device *device;
static __attribute__((unused)) unsigned interrupts;

static inline uint64_t mmio(uint64_t offset, unsigned size, bool write, uint64_t data)
{
	struct mmio_access one = { .offset = offset, .size = size, .write = write, .data = data };

	pthread_mutex_lock(&device->lock);
	device->region.access(&device->region, &one);
	pthread_mutex_unlock(&device->lock);
	return one.data;
}

/* From a reset to DRIVER_OK, with an empty ring. */
static inline void start_device(uint64_t features)
{
	const uint32_t writes[][2] = {
		{ VIRTIO_MMIO_STATUS, 0 },
		{ VIRTIO_MMIO_STATUS, 1 },
		{ VIRTIO_MMIO_STATUS, 3 },
		{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0 },
		{ VIRTIO_MMIO_DRIVER_FEATURES, features },
		{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1 },
		{ VIRTIO_MMIO_DRIVER_FEATURES, features >> 32 },
		{ VIRTIO_MMIO_STATUS, 11 },
		{ VIRTIO_MMIO_QUEUE_SEL, 0 },
		{ VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + AVAIL_AT },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, RAM_GPA + USED_AT },
		{ VIRTIO_MMIO_QUEUE_READY, 1 },
		{ VIRTIO_MMIO_STATUS, 15 },
	};

	driver_init(&driver, QUEUE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
		mmio(writes[i][0], 4, true, writes[i][1]);
	fake_loop_serve();
	interrupts = 0;
}

#endif
