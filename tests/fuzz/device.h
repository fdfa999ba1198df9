/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device under a driver that the input makes up: its memory, its registers at every width and
 * offset, notifications, resets, and what the host does meanwhile. device.c is the target's main part; a
 * target names its device.
 */
#ifndef SLUICE_TESTS_FUZZ_DEVICE_H
#define SLUICE_TESTS_FUZZ_DEVICE_H

#include "devices/device.h"
#include "tests/fuzz/fuzz.h"

struct fuzz_target {
	const struct device_class *class;
	/* Completes the node, by a byte of the input. May be NULL, as the next two. */
	void (*node)(void *node, uint8_t how);
	/* Something that the host does. */
	void (*host)(struct device *device, struct input *input);
	/* After each step; where all has to be given back, at_rest. */
	void (*check)(struct device *device, bool at_rest);
	struct chardev *const *ports; /* of a class that has them */
};

extern const struct fuzz_target fuzz_target;

/* Where a property that the class has lies in its node. */
void *fuzz_property(void *node, const char *name, enum property_type type);

#endif
