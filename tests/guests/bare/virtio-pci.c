/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over PCI (virtio 1.3, 4.1) on QEMU's virt, which has virtio-mem there only. Nobody has given
 * the devices addresses: the one that is found gets the start of the 32-bit window. On a machine
 * without PCI, the first read for a device aborts.
 */
#include "bare.h"

#define ECAM	   0x3f000000
#define WINDOW	   0x10000000
#define SLOTS	   32
#define SLOT_SHIFT 15
#define VENDOR	   0x1af4
#define MODERN	   0x1040 /* plus the device id of virtio */

/* Configuration space. */
#define COMMAND		0x04
#define COMMAND_ENABLED 6 /* memory, bus master */
#define NEEDS_RESET	64
#define BAR(i)		(0x10 + (i)*4)
#define BAR_64		4
#define CAPABILITIES	0x34
#define CAP_VENDOR	9

/* A capability (4.1.4). */
enum { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_MULTIPLIER = 16 };
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_DEVICE = 4, CFG_KINDS };

/* 4.1.4.3 */
struct common {
	uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
	uint16_t config_msix_vector, num_queues;
	uint8_t device_status, config_generation;
	uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	uint32_t queue[3][2]; /* descriptors, driver, device: in halves */
};

#define AT(function, type, offset) (*(volatile type *)((function) + (offset)))

static void start(struct virtio *virtio, uint64_t features, struct virtq *queue, unsigned count)
{
	volatile struct common *common = virtio->regs;
	uint64_t part[] = { (uint64_t)queue->desc, (uint64_t)&queue->driver,
		(uint64_t)&queue->device };

	common->device_status = 0;
	while (common->device_status)
		;
	common->device_status = 1 | 2; /* ACKNOWLEDGE, DRIVER */
	for (unsigned word = 0; word < 2; word++) {
		common->driver_feature_select = word;
		common->driver_feature = (uint32_t)(features >> word * 32);
	}
	common->device_status = 1 | 2 | 8; /* FEATURES_OK */
	common->queue_select = 0;
	virtq_init(queue, 1, common->queue_size);
	common->queue_size = (uint16_t)queue->size;
	for (unsigned i = 0; i < 6; i++)
		common->queue[i / 2][i % 2] = (uint32_t)(part[i / 2] >> i % 2 * 32);
	common->queue_enable = 1;
	common->device_status = 1 | 2 | 8 | 4; /* DRIVER_OK */
}

static void notify(struct virtio *virtio, unsigned queue)
{
	*(volatile uint16_t *)virtio->doorbell = (uint16_t)queue;
}

static bool needs_reset(struct virtio *virtio)
{
	return ((volatile struct common *)virtio->regs)->device_status & NEEDS_RESET;
}

/* Places each BAR that a capability names once; *next is free window. */
static uint64_t bar_place(uint64_t function, unsigned bar, uint64_t placed[6], uint64_t *next)
{
	uint32_t low, size;

	if (placed[bar])
		return placed[bar];
	low = AT(function, uint32_t, BAR(bar));
	AT(function, uint32_t, BAR(bar)) = UINT32_MAX;
	size = ~(AT(function, uint32_t, BAR(bar)) & ~UINT32_C(15)) + 1;
	placed[bar] = (*next + size - 1) & ~(uint64_t)(size - 1);
	*next = placed[bar] + size;
	AT(function, uint32_t, BAR(bar)) = (uint32_t)placed[bar];
	if (low & BAR_64)
		AT(function, uint32_t, BAR(bar + 1)) = 0;
	return placed[bar];
}

bool virtio_pci_open(struct virtio *virtio, unsigned device_id)
{
	uint32_t wanted = VENDOR | (MODERN + device_id) << 16;

	for (unsigned slot = 0; slot < SLOTS; slot++) {
		uint64_t function = ECAM + ((uint64_t)slot << SLOT_SHIFT);
		uint64_t placed[6] = { 0 }, next = WINDOW, place[CFG_KINDS] = { 0 }, stride = 0;
		uint64_t doorbell;
		volatile struct common *common;
		struct fault fault;

		if (access_make(ACCESS_LOAD32, function, 0, &fault) != wanted || fault.esr)
			continue;
		for (uint64_t at = AT(function, uint8_t, CAPABILITIES); at;
			at = AT(function + at, uint8_t, 1)) {
			uint64_t cap = function + at;
			unsigned kind = AT(cap, uint8_t, CAP_TYPE);

			if (AT(cap, uint8_t, 0) != CAP_VENDOR || kind >= CFG_KINDS)
				continue;
			place[kind] = bar_place(
					      function, AT(cap, uint8_t, CAP_BAR), placed, &next) +
				      AT(cap, uint32_t, CAP_OFFSET);
			if (kind == CFG_NOTIFY)
				stride = AT(cap, uint32_t, CAP_MULTIPLIER);
		}
		AT(function, uint16_t, COMMAND) = COMMAND_ENABLED;
		common = (volatile struct common *)place[CFG_COMMON];
		/* Queue 0 is selected after a reset. */
		doorbell = place[CFG_NOTIFY] + common->queue_notify_off * stride;
		*virtio = (struct virtio){
			.config = (volatile uint32_t *)place[CFG_DEVICE],
			.regs = common,
			.doorbell = (volatile void *)doorbell,
			.start = start,
			.notify = notify,
			.needs_reset = needs_reset,
		};
		return true;
	}
	return false;
}
