/* SPDX-License-Identifier: Apache-2.0 */
/* SP805, the watchdog (Arm DDI 0270), as the board sees it: what is to happen when it bites. */
#ifndef SLUICE_DEVICES_SP805_H
#define SLUICE_DEVICES_SP805_H

#include "devices/device.h"

enum sp805_action { SP805_RESET, SP805_POWER_OFF, SP805_PAUSE, SP805_EVENT };

extern const struct device_class sp805_class;

/*
 * Calls `bite` on the loop's thread, without the device's lock, whenever the guest has let both stages
 * pass; once a second at most. One watcher; NULL ends it.
 */
void sp805_watch(struct device *device,
	void (*bite)(struct device *device, enum sp805_action action, void *opaque), void *opaque);

#endif
