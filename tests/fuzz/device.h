/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device under a driver that the input makes up: its memory, its queues, notifications, configuration writes,
 * resets, and what the host does meanwhile. device.c is the target's main part; a target names its device. The driver
 * calls the device core (direct-transport.h), unless the target has another way.
 */
#ifndef SLUICE_TESTS_FUZZ_DEVICE_H
#define SLUICE_TESTS_FUZZ_DEVICE_H

#include "devices/device.h"
#include "devices/virtio/virtio.h"
#include "tests/fuzz/fuzz.h"

/* How the driver reaches the device; virtio_drain() was called before what may wait for requests in flight. */
struct fuzz_driver {
	const struct virtio_transport *transport;
	void (*negotiate)(struct virtio_device *virtio, uint64_t features);
	void (*start_queue)(
		struct virtio_device *virtio, unsigned index, const struct virtq *asked);
	void (*write_status)(struct virtio_device *virtio, uint32_t status);
	void (*notify)(struct virtio_device *virtio, unsigned index);
	/* Something with the configuration space; and something else that a driver can do. */
	void (*access)(struct virtio_device *virtio, struct input *input);
	void (*other)(struct virtio_device *virtio, struct input *input);
	/* That the driver sees what there is to see. */
	void (*check)(struct virtio_device *virtio);
};

struct fuzz_target {
	const struct device_class *class;
	/* Completes the node, by a byte of the input. May be NULL, as the next two. */
	void (*node)(void *node, uint8_t how);
	/* Something that the host does. */
	void (*host)(struct device *device, struct input *input);
	/* After each step; where all has to be returned, at_rest. */
	void (*check)(struct device *device, bool at_rest);
	struct chardev *const *ports;	  /* of a class that has them */
	const struct fuzz_driver *driver; /* NULL: that of device.c */
};

extern const struct fuzz_target fuzz_target;

/* What a driver would read without an exit, where the transport shows it. */
extern uint8_t fuzz_registers[0x200];

/* Where a property that the class has lies in its node. */
void *fuzz_property(void *node, const char *name, enum property_type type);

#endif
