/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that are not virtio's: each has a place of its own in the guest's map, and a node in its tree. All that the board
 * knows of one is its row here.
 */
#ifndef SLUICE_BOARD_CONFIG_PLATFORM_H
#define SLUICE_BOARD_CONFIG_PLATFORM_H

#include <stddef.h>
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
	const char *clocks[PLATFORM_CLOCKS + 1]; /* what it calls the one clock that there is */
};

/* Rows of `platforms`: those that every machine has come first. */
enum { PLATFORM_UART, PLATFORM_RTC, PLATFORM_GPIO, PLATFORM_FIXED };

/* Ended by a row without a class. */
extern const struct platform platforms[];

/* A class's own, or NULL. */
const struct platform *platform_of(const struct device_class *class);

#endif
