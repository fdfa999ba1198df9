/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem as the board and its control socket see it: what is asked for and what is there. */
#ifndef SLUICE_DEVICES_VIRTIO_MEM_H
#define SLUICE_DEVICES_VIRTIO_MEM_H

#include <stdint.h>

#include "devices/device.h"

extern const struct device_class virtio_mem_class;

/*
 * The size of a window's slots: `slot_size` if not 0; else at most `memslots` slots if that is not
 * 0; else chosen, so that there are at most `max_slots` (0 counts as 1). The last two give a multiple
 * of max(128 MiB, block). `size` is a multiple of `block`, a power of two.
 */
uint64_t virtio_mem_slot_bytes(
	uint64_t size, uint64_t block, uint32_t memslots, uint64_t slot_size, unsigned max_slots);

struct virtio_mem_info {
	uint64_t gpa, region_bytes, block_bytes; /* fixed */
	uint64_t usable_bytes, requested_bytes, plugged_bytes;
	uint16_t node; /* 0 where the tree gives none */
};

/* All on the event loop's thread. */
void virtio_mem_info(struct device *device, struct virtio_mem_info *ret);
struct window *virtio_mem_window(struct device *device);

/*
 * Asks the guest for `bytes` of plugged memory. -EINVAL if not a multiple of the block, -ERANGE
 * beyond the window. The usable part grows at once (virtio 1.2, 5.15.5.1).
 */
int virtio_mem_request(struct device *device, uint64_t bytes);

/*
 * Calls `changed` on the loop's thread whenever plugged_bytes has changed, without the device's
 * lock: it may call everything here. One watcher; NULL ends it.
 */
void virtio_mem_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque);

#endif
