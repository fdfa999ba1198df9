/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flash in which firmware keeps its variables, as the board sees it. Its region's size is that of the file; its
 * config is a struct flash_config of devices/backend/flash-file.h, which the board probes before it makes the device.
 */
#ifndef SLUICE_DEVICES_ARM_CFI_FLASH_H
#define SLUICE_DEVICES_ARM_CFI_FLASH_H

#include "devices/device.h"

/* Bytes on the bus, of both chips. A guest's node has bank-width = <4>. */
#define CFI_FLASH_BLOCK_BYTES  (256 * 1024)
#define CFI_FLASH_BUFFER_BYTES 4096

extern const struct device_class cfi_flash_class;

#endif
