/* SPDX-License-Identifier: Apache-2.0 */
/* A memory balloon (virtio 1.2, 5.5): the host frees pages that the guest does not use. */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_BALLOON_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_BALLOON_H

#include <stdint.h>

#include "devices/virtio/balloon-statistics.h"

struct device;
extern const struct device_class virtio_balloon_class;

/* Its node (dts/bindings/sluice,virtio-balloon.yaml). */
struct virtio_balloon_node {
	uint32_t deflate_on_oom; /* 0: off */
	uint32_t statistics_interval_sec;
};

/* On the loop's thread. */

/* How large the balloon is to be, in bytes, and how large the guest says that it is. */
void virtio_balloon_request(struct device *device, uint64_t bytes);
uint64_t virtio_balloon_requested(struct device *device);
uint64_t virtio_balloon_actual(struct device *device);
/* How much of the latter the host has freed, in whole host pages. */
uint64_t virtio_balloon_given(struct device *device);

/* The guest's last statistics; and how often it is asked for them, 0: once, when its driver starts. */
void virtio_balloon_statistics(struct device *device, struct balloon_statistics *ret);
unsigned virtio_balloon_interval(struct device *device);
#define VIRTIO_BALLOON_INTERVAL_MAX 86400
void virtio_balloon_set_interval(struct device *device, unsigned sec);

#endif
