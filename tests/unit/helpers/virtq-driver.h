/* SPDX-License-Identifier: Apache-2.0 */
/* A split queue of the device's, `queue`, beside the driver's side of it, `driver`. */
#ifndef SLUICE_TESTS_UNIT_VIRTQ_DRIVER_H
#define SLUICE_TESTS_UNIT_VIRTQ_DRIVER_H

#include <linux/virtio_config.h>

#include "devices/virtio/virtq.h"
#include "tests/unit/helpers/driver.h"
#include "tests/unit/helpers/unit.h"

#define SIZE 8
#define BOTH (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define BUF  (RAM_GPA + FREE_AT)

static struct driver driver;
static struct virtq queue;
static struct virtq_chain chain;

static inline void start(uint64_t features)
{
	driver_init(&driver, SIZE);
	queue = (struct virtq){ .size = SIZE,
		.desc_gpa = RAM_GPA,
		.avail_gpa = RAM_GPA + AVAIL_AT,
		.used_gpa = RAM_GPA + USED_AT };
	assert_int_equal(virtq_start(&queue, SIZE, features), 0);
}

static inline int setup(void **unused)
{
	start(BOTH);
	return 0;
}

static inline int pop(void)
{
	return virtq_pop(&queue, &driver.mem, &chain);
}

#endif
