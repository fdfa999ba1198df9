/* SPDX-License-Identifier: Apache-2.0 */
/* A disk of the guest's, from a file or block device of the host's (virtio 1.2, 5.2). */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_BLK_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_BLK_H

#include "devices/device.h"

extern const struct device_class virtio_blk_class;

/* As disk_resize(); a running driver gets a configuration interrupt. Both on the loop's thread. */
int virtio_blk_resize(struct device *device, uint64_t bytes, char *ret_why, size_t len);
uint64_t virtio_blk_bytes(struct device *device);

#endif
