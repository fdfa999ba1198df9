/* SPDX-License-Identifier: Apache-2.0 */
/* PL011, the UART (Arm DDI 0183). Created by the board without a node; env->chardev may be NULL. */
#ifndef SLUICE_DEVICES_ARM_PL011_H
#define SLUICE_DEVICES_ARM_PL011_H

extern const struct device_class pl011_class;

#endif
