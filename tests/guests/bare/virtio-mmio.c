/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio devices on virtio-mmio (virtio 1.3, 4.2), or else on PCI: found, and started with one queue. */
#include "bare.h"

#define MMIO_BASE   0x0a000000
#define MMIO_SIZE   0x200
#define MMIO_PLACES 32

/* Registers (4.2.2), in words. */
enum {
	MAGIC = 0x000 / 4,
	DEVICE_ID = 0x008 / 4,
	DRIVER_FEATURES = 0x020 / 4,
	DRIVER_FEATURES_SEL = 0x024 / 4,
	QUEUE_SEL = 0x030 / 4,
	QUEUE_NUM = 0x038 / 4,
	QUEUE_READY = 0x044 / 4,
	QUEUE_NOTIFY = 0x050 / 4,
	STATUS = 0x070 / 4,
	QUEUE_DESC = 0x080 / 4,
	QUEUE_DRIVER = 0x090 / 4,
	QUEUE_DEVICE = 0x0a0 / 4,
	CONFIG = 0x100 / 4,
};

static void set_address(volatile uint32_t *at, const void *to)
{
	at[0] = (uint32_t)(uint64_t)to;
	at[1] = (uint32_t)((uint64_t)to >> 32);
}

static void mmio_start(struct virtio *virtio, const struct virtio_start *start)
{
	volatile uint32_t *regs = virtio->regs;

	regs[STATUS] = 0;
	regs[STATUS] = 1 | 2; /* ACKNOWLEDGE, DRIVER */
	for (unsigned word = 0; word < 2; word++) {
		regs[DRIVER_FEATURES_SEL] = word;
		regs[DRIVER_FEATURES] = (uint32_t)(start->features >> word * 32);
	}
	regs[STATUS] = 1 | 2 | 8; /* FEATURES_OK */
	regs[QUEUE_SEL] = 0;
	regs[QUEUE_NUM] = start->size;
	set_address(regs + QUEUE_DESC, start->desc);
	set_address(regs + QUEUE_DRIVER, start->driver);
	set_address(regs + QUEUE_DEVICE, start->device);
	regs[QUEUE_READY] = 1;
	regs[STATUS] = 1 | 2 | 8 | 4; /* DRIVER_OK */
}

static void mmio_notify(struct virtio *virtio)
{
	*(volatile uint32_t *)virtio->doorbell = 0;
}

bool virtio_open(struct virtio *virtio, unsigned device_id)
{
	for (unsigned i = 0; i < MMIO_PLACES; i++) {
		volatile uint32_t *regs = (volatile uint32_t *)(uint64_t)(MMIO_BASE +
									  i * MMIO_SIZE);
		struct fault fault;

		/* Places without a device are not there at all. */
		if (access_make(ACCESS_LOAD32, (uint64_t)(regs + MAGIC), 0, &fault) != 0x74726976 ||
			fault.esr || regs[DEVICE_ID] != device_id)
			continue;
		*virtio = (struct virtio){
			.config = regs + CONFIG,
			.regs = regs,
			.doorbell = regs + QUEUE_NOTIFY,
			.start = mmio_start,
			.notify = mmio_notify,
		};
		return true;
	}
	return virtio_pci_open(virtio, device_id);
}
