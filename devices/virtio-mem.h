/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem as the board and its control socket see it: what is asked for and what is there. */
#ifndef SLUICE_DEVICES_VIRTIO_MEM_H
#define SLUICE_DEVICES_VIRTIO_MEM_H

#include <stdint.h>

struct device;
struct window;

extern const struct device_class virtio_mem_class;

struct virtio_mem_info {
	uint64_t gpa, region_bytes, block_bytes; /* fixed */
	uint64_t usable_bytes, requested_bytes, plugged_bytes;
	uint16_t node;
};

/* All on the event loop's thread. */
void virtio_mem_info(struct device *device, struct virtio_mem_info *ret);
struct window *virtio_mem_window(struct device *device);

/*
 * Asks the guest for `bytes` of plugged memory. -EINVAL if not a multiple of the block, -ERANGE
 * beyond the window. The usable part grows at once (virtio 1.2, 5.15.5.1).
 */
int virtio_mem_request(struct device *device, uint64_t bytes);

/* Calls `changed` on the loop's thread whenever plugged_bytes has changed. */
void virtio_mem_watch(struct device *device, void (*changed)(struct device *device, void *opaque),
	void *opaque);

#endif
