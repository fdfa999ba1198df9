/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device of any class on an environment of the test's, for tests of what all classes have in common: one at a time, on
 * fake-clock.c, fake-disk.c, fake-loop.c, fake-network.c and fake-window.c. /dev/vhost-vsock is played here: a program
 * wraps open64() and ioctl() besides what these want (meson.build).
 */
#ifndef SLUICE_TESTS_UNIT_ANY_DEVICE_H
#define SLUICE_TESTS_UNIT_ANY_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/chardev.h"
#include "devices/device.h"
#include "tests/unit/helpers/fake-window.h"

#define PORT_COUNT 2

/* What a device is given. A test may put another memory or window in the place of these, and has its `registers`. */
extern struct device_env env;
extern struct window window;

/* Its line, and how often it went high. */
extern bool line_high;
extern unsigned interrupts;

/* The host's ends take nothing unless a test says so. */
extern struct chardev ends[PORT_COUNT];
extern bool end_takes;
extern uint8_t end_written; /* the last that was offered */
extern unsigned end_resumed;

/* How often more the kernel refuses a context id, and its errno. */
extern unsigned cid_refusals, cid_error;

/* Class number `index`: those that no tree names, and those of the table; NULL beyond the last. */
const struct device_class *class_at(unsigned index);

/* As device_create(), with what the class's properties need; its node stays until the next, or free_node(). */
int make_any(const struct device_class *class, struct device **ret);
void free_node(void);

#endif
