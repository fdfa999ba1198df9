/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a driver reaches a virtio device (virtio 1.2, section 4). The device core calls these, and names no transport; a
 * transport calls what virtio.h has for it. The board gives each device its transport in struct device_env.
 */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_TRANSPORT_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_TRANSPORT_H

struct virtio_device;

/* What an interrupt is for; the bits of 4.2.2's InterruptStatus and of 4.1.4.5's ISR status. */
enum virtio_cause { VIRTIO_USED_BUFFER = 1, VIRTIO_CONFIG_CHANGE = 2 };

struct virtio_transport {
	/*
	 * Gives the device its registers and its queues' doorbells, which signal the eventfds of device->kicks. 0 or
	 * -errno, with nothing to finish.
	 */
	int (*init)(struct virtio_device *device);
	/* Takes a device that init() was not called for too, as long as it was zeroed. */
	void (*finish)(struct virtio_device *device);

	/* Called with device->lock held: */

	/* Registers or configuration space may have changed: updates a page that the driver reads without an exit. */
	void (*show)(const struct virtio_device *device);
	/* Interrupts the driver, whose device runs. */
	void (*interrupt)(struct virtio_device *device, enum virtio_cause cause);
};

#endif
