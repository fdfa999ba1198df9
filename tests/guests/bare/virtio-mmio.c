/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio devices on virtio-mmio (virtio 1.3, 4.2), or else on PCI: found and started. */
#include "bare.h"
#include "virtio-mmio.h"

#define MMIO_BASE   0x0a000000
#define MMIO_SIZE   0x200
#define NEEDS_RESET 64

static void set_address(volatile uint32_t *at, const void *to)
{
	at[0] = (uint32_t)(uint64_t)to;
	at[1] = (uint32_t)((uint64_t)to >> 32);
}

static void mmio_start(
	struct virtio *virtio, uint64_t features, struct virtq *queues, unsigned count)
{
	volatile uint32_t *regs = virtio->regs;

	regs[STATUS] = 0;
	regs[STATUS] = 1 | 2; /* ACKNOWLEDGE, DRIVER */
	for (unsigned word = 0; word < 2; word++) {
		regs[DRIVER_FEATURES_SEL] = word;
		regs[DRIVER_FEATURES] = (uint32_t)(features >> word * 32);
	}
	regs[STATUS] = 1 | 2 | 8; /* FEATURES_OK */
	for (unsigned i = 0; i < count; i++) {
		regs[QUEUE_SEL] = i;
		virtq_init(&queues[i], 1, regs[QUEUE_NUM_MAX]);
		regs[QUEUE_NUM] = queues[i].size;
		set_address(regs + QUEUE_DESC, queues[i].desc);
		set_address(regs + QUEUE_DRIVER, &queues[i].driver);
		set_address(regs + QUEUE_DEVICE, &queues[i].device);
		regs[QUEUE_READY] = 1;
	}
	regs[STATUS] = 1 | 2 | 8 | 4; /* DRIVER_OK */
}

static void mmio_notify(struct virtio *virtio, unsigned queue)
{
	*(volatile uint32_t *)virtio->doorbell = queue;
}

static bool mmio_needs_reset(struct virtio *virtio)
{
	return ((volatile uint32_t *)virtio->regs)[STATUS] & NEEDS_RESET;
}

bool virtio_mmio_open(struct virtio *virtio, unsigned place, uint32_t *ret_device_id)
{
	volatile uint32_t *regs = (volatile uint32_t *)(uint64_t)(MMIO_BASE + place * MMIO_SIZE);
	struct fault fault;

	/* Places without a device have number 0. */
	if (access_make(ACCESS_LOAD32, (uint64_t)(regs + MAGIC), 0, &fault) != 0x74726976 ||
		fault.esr || !regs[DEVICE_ID])
		return false;
	*virtio = (struct virtio){
		.config = regs + CONFIG,
		.regs = regs,
		.doorbell = regs + QUEUE_NOTIFY,
		.start = mmio_start,
		.notify = mmio_notify,
		.needs_reset = mmio_needs_reset,
	};
	*ret_device_id = regs[DEVICE_ID];
	return true;
}

bool virtio_open(struct virtio *virtio, unsigned device_id)
{
	uint32_t id;

	for (unsigned place = 0; place < VIRTIO_MMIO_PLACES; place++)
		if (virtio_mmio_open(virtio, place, &id) && id == device_id)
			return true;
	return virtio_pci_open(virtio, device_id);
}
