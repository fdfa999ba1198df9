/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of virtio-mmio (virtio 1.3, 4.2.2), in words. */
#ifndef SLUICE_TESTS_GUESTS_VIRTIO_MMIO_H
#define SLUICE_TESTS_GUESTS_VIRTIO_MMIO_H

enum {
	MAGIC = 0x000 / 4,
	DEVICE_ID = 0x008 / 4,
	DEVICE_FEATURES = 0x010 / 4,
	DEVICE_FEATURES_SEL = 0x014 / 4,
	DRIVER_FEATURES = 0x020 / 4,
	DRIVER_FEATURES_SEL = 0x024 / 4,
	QUEUE_SEL = 0x030 / 4,
	QUEUE_NUM_MAX = 0x034 / 4,
	QUEUE_NUM = 0x038 / 4,
	QUEUE_READY = 0x044 / 4,
	QUEUE_NOTIFY = 0x050 / 4,
	STATUS = 0x070 / 4,
	QUEUE_DESC = 0x080 / 4,
	QUEUE_DRIVER = 0x090 / 4,
	QUEUE_DEVICE = 0x0a0 / 4,
	CONFIG = 0x100 / 4,
};

#endif
