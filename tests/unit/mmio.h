/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of the device under test, as a vCPU reads and writes them. */
#ifndef SLUICE_TESTS_UNIT_MMIO_H
#define SLUICE_TESTS_UNIT_MMIO_H

#include <pthread.h>
#include <stdint.h>

#include "devices/device.h"

static __attribute__((unused)) struct device *device; /* one a program */

static inline uint64_t mmio(uint64_t offset, unsigned size, bool write, uint64_t data)
{
	struct mmio_access one = { .offset = offset, .size = size, .write = write, .data = data };

	pthread_mutex_lock(&device->lock);
	device->region.access(&device->region, &one);
	pthread_mutex_unlock(&device->lock);
	return one.data;
}

#endif
