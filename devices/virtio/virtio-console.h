/* SPDX-License-Identifier: Apache-2.0 */
/* Named ports (virtio 1.2, 5.3): byte streams between a guest and the host. */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_CONSOLE_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

struct device;
extern const struct device_class virtio_console_class;

/* Which ports the guest has open: bit 1 << N of its Nth. On the loop's thread, as what follows. */
unsigned virtio_console_open_ports(struct device *device);
const char *virtio_console_port_name(struct device *device, unsigned port);
/*
 * Sets the size of the terminal at the other end of a port, in characters. Only a terminal port's size is passed to the
 * guest (5.3.4, 5.3.6.2). False if the device has no port of this name.
 */
bool virtio_console_set_size(
	struct device *device, const char *port, uint16_t columns, uint16_t rows);
#endif
