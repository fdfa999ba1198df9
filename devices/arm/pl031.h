/* SPDX-License-Identifier: Apache-2.0 */
/* PL031, the real-time clock (Arm DDI 0224). Created by the board without a node. */
#ifndef SLUICE_DEVICES_ARM_PL031_H
#define SLUICE_DEVICES_ARM_PL031_H

extern const struct device_class pl031_class;

#endif
