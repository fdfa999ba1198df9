/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets between host and guest (virtio 1.2, 5.10), which the host's kernel serves. */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_VSOCK_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_VSOCK_H

extern const struct device_class virtio_vsock_class;

#endif
