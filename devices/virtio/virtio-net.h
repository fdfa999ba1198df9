/* SPDX-License-Identifier: Apache-2.0 */
/* A network card (virtio 1.2, 5.1). */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_NET_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_NET_H

#include <stdbool.h>

struct device;
extern const struct device_class virtio_net_class;

/* Plugs the cable in or out, as the driver sees it. On the loop's thread. */
void virtio_net_set_link(struct device *device, bool up);

#endif
