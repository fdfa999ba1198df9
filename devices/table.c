/* SPDX-License-Identifier: Apache-2.0 */
/* The devices a tree may name. */
#include "devices/arm/sp805.h"
#include "devices/device.h"
#include "devices/virtio/virtio-balloon.h"
#include "devices/virtio/virtio-blk.h"
#include "devices/virtio/virtio-console.h"
#include "devices/virtio/virtio-mem.h"
#include "devices/virtio/virtio-net.h"
#include "devices/virtio/virtio-rng.h"
#include "devices/virtio/virtio-vsock.h"

const struct device_class *const device_table[] = {
	&virtio_balloon_class,
	&virtio_blk_class,
	&virtio_console_class,
	&virtio_mem_class,
	&virtio_net_class,
	&virtio_rng_class,
	&virtio_vsock_class,
	&sp805_class,
	NULL,
};
