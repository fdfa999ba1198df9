/* SPDX-License-Identifier: Apache-2.0 */
/* A network card's node in the machine's tree (dts/bindings/sluice,virtio-net.yaml). */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_NET_NODE_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_NET_NODE_H

#include "devices/device.h"

struct netdev;

#define VIRTIO_NET_PAIRS_MAX 8

struct virtio_net_node {
	const char *tap; /* or tap_fd, or passt */
	uint32_t tap_fd; /* 0: none, as no descriptor of a tap is */
	bool passt, host_loopback;
	const char *forward_tcp, *forward_udp;
	uint8_t mac[6];
	uint32_t mtu;
	uint32_t speed; /* Mbit/s; 0: not reported */
	uint32_t queue_pairs;
	bool vhost;
};

/* The class's part that concerns the node; see struct device_class. */
extern const struct property virtio_net_properties[];
void virtio_net_defaults(void *config);
void virtio_net_check(const void *config, struct device_check *check);
void virtio_net_probe(const void *config, struct device_check *check);
unsigned virtio_net_vhost_workers(const void *config);

/* Opens one of the taps that the node asks for, or starts passt. 0, or -errno as tap_open(). */
int virtio_net_open(
	const struct virtio_net_node *node, const struct device_env *env, struct netdev **ret);

#endif
