/* SPDX-License-Identifier: Apache-2.0 */
/* PL061, eight lines of GPIO (Arm DDI 0190). Created by the board without a node. */
#ifndef SLUICE_DEVICES_PL061_H
#define SLUICE_DEVICES_PL061_H

struct device;

extern const struct device_class pl061_class;

#define PL061_LINES    8
#define PL061_PULSE_MS 100
/* The longest that a press waits for a slow guest to read the line that interrupted it, in pulses. */
#define PL061_PULSES_MAX 20

/*
 * Presses the button at `line` (below PL061_LINES): the line goes high for PL061_PULSE_MS, longer
 * while a guest that it interrupted has not read it, then low for as long at least. Each press
 * gives one such pulse; one that comes during another waits for its end. On the event loop's thread.
 */
void pl061_pulse(struct device *device, unsigned line);

#endif
