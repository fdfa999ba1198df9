/* SPDX-License-Identifier: Apache-2.0 */
/* The devices a tree may name. */
#include "devices/device.h"

const struct device_class *const device_table[] = {
	NULL,
};
