/* SPDX-License-Identifier: Apache-2.0 */
/* The MMIO transport (virtio 1.2, 4.2), version 2: gives a virtio device its registers. */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_MMIO_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_MMIO_H

#include <stdint.h>

#include "devices/virtio/virtio-transport.h"

struct mmio_region;

#define VIRTIO_MMIO_REGION_BYTES 512

/* Its registers, configuration space and doorbells are device->base.region. */
extern const struct virtio_transport virtio_mmio_transport;
/*
 * Places without a device, as many as fit in the region's size. Each has DeviceID 0 (4.2.3.1.1), so that a driver
 * without a tree can probe all places. Fills all of `region` but its address and size.
 */
void virtio_mmio_placeholders(struct mmio_region *region);
/* The same for one place in memory that a guest reads without an exit, at `at`, all zero (hyp/kvm/registers.h). */
void virtio_mmio_show_placeholder(uint8_t *at);

#endif
