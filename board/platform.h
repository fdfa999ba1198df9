/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the tree that are not virtio's: each has a place of its own, and a node for the guest. */
#ifndef SLUICE_BOARD_PLATFORM_H
#define SLUICE_BOARD_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

struct device_class;

#define PLATFORM_CLOCKS 2

struct platform {
	const struct device_class *class;
	uint64_t gpa; /* of a page of registers */
	unsigned spi; /* a level */
	/* Of the guest's node: its name before the address, its compatible before "arm,primecell". */
	const char *name, *compatible;
	const char *clocks[PLATFORM_CLOCKS + 1]; /* what it calls the one clock that there is */
};

/* A class's own, or NULL. */
const struct platform *platform_of(const struct device_class *class);

#endif
