/* SPDX-License-Identifier: Apache-2.0 */
/* Named ports (virtio 1.2, 5.3): byte streams between a guest and the host. */
#ifndef SLUICE_DEVICES_VIRTIO_CONSOLE_H
#define SLUICE_DEVICES_VIRTIO_CONSOLE_H

struct device;
extern const struct device_class virtio_console_class;

/* Which ports the guest has open: bit 1 << N of its Nth. On the loop's thread, as what follows. */
unsigned virtio_console_open_ports(struct device *device);
const char *virtio_console_port_name(struct device *device, unsigned port);
/* `changed` is called when they have changed. */
void virtio_console_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque);

#endif
