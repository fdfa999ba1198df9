/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices other than virtio's: each has a fixed address in the guest's map, and a node in its tree. A device's row here
 * is all that the board knows about it.
 */
#ifndef SLUICE_BOARD_CONFIG_PLATFORM_H
#define SLUICE_BOARD_CONFIG_PLATFORM_H

#include <stdint.h>

struct device_class;

#define PLATFORM_CLOCKS 2

struct platform {
	const struct device_class *class;
	const char *what; /* in messages */
	uint64_t gpa;	  /* of PL0XX_SIZE bytes of registers */
	unsigned spi;	  /* a level */
	/* Of the guest's node: its name before the address, its compatible before "arm,primecell". */
	const char *name, *compatible;
	const char *clocks[PLATFORM_CLOCKS + 1]; /* its names for the guest's only clock */
};

/* Rows of `platforms`: those that every machine has come first. */
enum { PLATFORM_UART, PLATFORM_RTC, PLATFORM_GPIO, PLATFORM_FIXED };

/* Ended by a row without a class. */
extern const struct platform platforms[];

/* The row of a class, or NULL. */
const struct platform *platform_of(const struct device_class *class);

#endif
