/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem as the board and its control socket see it: what is asked for and what is there. */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_MEM_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_MEM_H

#include <stdint.h>

#include "devices/device.h"

extern const struct device_class virtio_mem_class;

/* On the event loop's thread. */

/*
 * Asks the guest for `bytes` of plugged memory. -EINVAL if not a multiple of the block, -ERANGE
 * beyond the window. The usable part grows at once (virtio 1.2, 5.15.5.1).
 */
int virtio_mem_request(struct device *device, uint64_t bytes);

#endif
