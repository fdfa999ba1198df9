/* SPDX-License-Identifier: Apache-2.0 */
/* SP805, the watchdog (Arm DDI 0270), as the board sees it. */
#ifndef SLUICE_DEVICES_ARM_SP805_H
#define SLUICE_DEVICES_ARM_SP805_H

#include "devices/device.h"

extern const struct device_class sp805_class;

#endif
