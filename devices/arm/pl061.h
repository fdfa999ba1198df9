/* SPDX-License-Identifier: Apache-2.0 */
/* PL061, eight lines of GPIO (Arm DDI 0190). Created by the board without a node. */
#ifndef SLUICE_DEVICES_ARM_PL061_H
#define SLUICE_DEVICES_ARM_PL061_H

struct device;

extern const struct device_class pl061_class;

#define PL061_LINES    8
#define PL061_PULSE_MS 100
/* The longest that a press waits for a slow guest to read the line, in pulses. */
#define PL061_PULSES_MAX 20

/*
 * Presses the button at `line` (below PL061_LINES). The line goes high for PL061_PULSE_MS, or longer while a guest
 * that it interrupted has not read it; then it is low for PL061_PULSE_MS at least. Each press gives one such pulse; a
 * press during another waits for its end. On the event loop's thread.
 */
void pl061_pulse(struct device *device, unsigned line);

#endif
