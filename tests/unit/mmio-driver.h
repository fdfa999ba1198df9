/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of a virtio device behind its registers: `device`, whose queue 0 lies in `driver`. With
 * fake-loop.h.
 */
#ifndef SLUICE_TESTS_UNIT_MMIO_DRIVER_H
#define SLUICE_TESTS_UNIT_MMIO_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "driver.h"
#include "fake-loop.h"
#include "hyp/util.h"
#include "mmio.h"

/* One of each a program; not every one uses all. */
static __attribute__((unused)) struct driver driver;
static __attribute__((unused)) unsigned interrupts;

/* From a reset to DRIVER_OK, with queue 0 of driver.size. */
static inline void driver_run(uint64_t features)
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
		{ VIRTIO_MMIO_QUEUE_NUM, driver.size },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + AVAIL_AT },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, RAM_GPA + USED_AT },
		{ VIRTIO_MMIO_QUEUE_READY, 1 },
		{ VIRTIO_MMIO_STATUS, 15 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
		mmio(writes[i][0], 4, true, writes[i][1]);
	fake_loop_serve();
	interrupts = 0;
}

#endif
