/* SPDX-License-Identifier: Apache-2.0 */
/* A network card's node in the machine's tree (dts/bindings/sluice,virtio-net.yaml). */
#ifndef SLUICE_DEVICES_VIRTIO_NET_NODE_H
#define SLUICE_DEVICES_VIRTIO_NET_NODE_H

#include "devices/device.h"

struct virtio_net_node {
	const char *tap;
	uint8_t mac[6];
	uint32_t mtu;
};

/* The class's part that concerns the node; see struct device_class. */
extern const struct property virtio_net_properties[];
void virtio_net_check(const void *config, struct device_check *check);
void virtio_net_look(const void *config, struct device_check *check);

#endif
