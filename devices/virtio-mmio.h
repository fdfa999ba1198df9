/* SPDX-License-Identifier: Apache-2.0 */
/* The MMIO transport (virtio 1.2, 4.2), version 2: gives a virtio device its registers. */
#ifndef SLUICE_DEVICES_VIRTIO_MMIO_H
#define SLUICE_DEVICES_VIRTIO_MMIO_H

struct virtio_device;

#define VIRTIO_MMIO_REGION_BYTES 512

/* Fills device->base.region: registers, configuration space and doorbells. 0 or -errno. */
int virtio_mmio_init(struct virtio_device *device);
/* What the device's registers read as may have changed. With the lock held, once others know of it. */
void virtio_mmio_show(const struct virtio_device *device);
/* Takes a zeroed device too. */
void virtio_mmio_finish(struct virtio_device *device);

#endif
