/* SPDX-License-Identifier: Apache-2.0 */
/* A memory balloon (virtio 1.2, 5.5): pages that the guest does not use go back to the host. */
#ifndef SLUICE_DEVICES_VIRTIO_BALLOON_H
#define SLUICE_DEVICES_VIRTIO_BALLOON_H

#include <stdint.h>

struct device;
extern const struct device_class virtio_balloon_class;

/* On the loop's thread. */

/* How large the balloon is to be, in bytes, and how large the guest says that it is. */
void virtio_balloon_request(struct device *device, uint64_t bytes);
uint64_t virtio_balloon_requested(struct device *device);
uint64_t virtio_balloon_actual(struct device *device);
/* `changed` is called when the latter has changed. */
void virtio_balloon_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque);

#endif
