/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of a virtio device: `device`, whose queue 0 lies in `driver`. Behind its registers, or on the transport of
 * direct-transport.h where the device was made with that. With fake-loop.h.
 */
#ifndef SLUICE_TESTS_UNIT_MMIO_DRIVER_H
#define SLUICE_TESTS_UNIT_MMIO_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "tests/unit/helpers/direct-transport.h"
#include "tests/unit/helpers/driver.h"
#include "tests/unit/helpers/fake-loop.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/mmio.h"

/* One of each a program; not every one uses all. */
static __attribute__((unused)) struct driver driver;
static __attribute__((unused)) unsigned interrupts;

/* The device that has no registers, or NULL. */
static inline struct virtio_device *direct_device(void)
{
	struct virtio_device *virtio = container_of(device, struct virtio_device, base);

	return virtio->env->transport == &direct_transport ? virtio : NULL;
}

/* Of the configuration space, 8 bytes at most. */
static inline uint64_t driver_config(uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	if (!direct_device())
		return mmio(VIRTIO_MMIO_CONFIG + offset, size, false, 0);
	memcpy(&value, (const char *)direct_device()->config + offset, size);
	return value;
}

/* Notifies queue 0, and serves what follows. */
static inline void driver_notify(void)
{
	if (direct_device())
		virtio_kick(direct_device(), 0);
	else
		mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	fake_loop_serve();
}

/* driver_run() without registers. */
static inline void direct_run(struct virtio_device *virtio, uint64_t features)
{
	const struct virtq queue = {
		.size = driver.size,
		.desc_gpa = RAM_GPA,
		.avail_gpa = RAM_GPA + AVAIL_AT,
		.used_gpa = RAM_GPA + USED_AT,
	};

	direct_negotiate(virtio, features);
	direct_start_queue(virtio, 0, &queue);
	direct_write_status(virtio, virtio->state.status | VIRTIO_CONFIG_S_DRIVER_OK);
}

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

	if (direct_device())
		direct_run(direct_device(), features);
	else
		for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
			mmio(writes[i][0], 4, true, writes[i][1]);
	fake_loop_serve();
	interrupts = 0;
}

#endif
