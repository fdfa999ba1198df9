/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of virtio-mem on virtio-mmio (virtio 1.3, 4.2 and 5.15): one request at a time, polled. */
#include <string.h>

#include "bare.h"

#define MMIO_BASE   0x0a000000
#define MMIO_SIZE   0x200
#define MMIO_PLACES 32
#define DEVICE_MEM  24
#define ANSWER_US   60000000

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

#define FEATURE_UNPLUGGED_INACCESSIBLE 1
#define FEATURE_VERSION_1	       32

#define RING 8

struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static struct {
	struct descriptor desc[RING];
	struct {
		uint16_t flags, index, ring[RING];
	} driver;
	struct {
		uint16_t flags;
		volatile uint16_t index;
		struct {
			uint32_t id, len;
		} ring[RING];
	} device __attribute__((aligned(4)));
	uint16_t made;
} queue __attribute__((aligned(4096)));

struct request {
	uint16_t type, padding[3];
	uint64_t addr;
	uint16_t blocks, padding2[3];
};

struct response {
	uint16_t type, padding[3], state;
};

static uint64_t read64(const struct vmem *vmem, unsigned offset)
{
	volatile uint32_t *at = vmem->regs + CONFIG + offset / 4;

	return at[0] | (uint64_t)at[1] << 32;
}

uint64_t vmem_usable(struct vmem *vmem)
{
	return read64(vmem, 32);
}

uint64_t vmem_plugged(struct vmem *vmem)
{
	return read64(vmem, 40);
}

uint64_t vmem_requested(struct vmem *vmem)
{
	return read64(vmem, 48);
}

static void set_address(volatile uint32_t *at, const void *to)
{
	at[0] = (uint32_t)(uint64_t)to;
	at[1] = (uint32_t)((uint64_t)to >> 32);
}

static void start(struct vmem *vmem)
{
	volatile uint32_t *regs = vmem->regs;

	regs[STATUS] = 0;
	memset(&queue, 0, sizeof(queue));
	regs[STATUS] = 1 | 2; /* ACKNOWLEDGE, DRIVER */
	for (unsigned word = 0; word < 2; word++) {
		regs[DRIVER_FEATURES_SEL] = word;
		regs[DRIVER_FEATURES] = word ? 1 << (FEATURE_VERSION_1 - 32)
					     : 1 << FEATURE_UNPLUGGED_INACCESSIBLE;
	}
	regs[STATUS] = 1 | 2 | 8; /* FEATURES_OK */
	regs[QUEUE_SEL] = 0;
	regs[QUEUE_NUM] = RING;
	set_address(regs + QUEUE_DESC, queue.desc);
	set_address(regs + QUEUE_DRIVER, &queue.driver);
	set_address(regs + QUEUE_DEVICE, &queue.device);
	regs[QUEUE_READY] = 1;
	regs[STATUS] = 1 | 2 | 8 | 4; /* DRIVER_OK */
}

bool vmem_open(struct vmem *vmem)
{
	for (unsigned i = 0; i < MMIO_PLACES; i++) {
		volatile uint32_t *regs = (volatile uint32_t *)(uint64_t)(MMIO_BASE +
									  i * MMIO_SIZE);
		struct fault fault;

		/* Places without a device are not there at all. */
		if (access_make(ACCESS_LOAD32, (uint64_t)(regs + MAGIC), 0, &fault) != 0x74726976 ||
			fault.esr || regs[DEVICE_ID] != DEVICE_MEM)
			continue;
		vmem->regs = regs;
		vmem->block = read64(vmem, 0);
		vmem->addr = read64(vmem, 16);
		vmem->region = read64(vmem, 24);
		start(vmem);
		return true;
	}
	return false;
}

int vmem_request_at(struct vmem *vmem, uint64_t request, uint64_t response)
{
	uint16_t before = queue.device.index;

	queue.desc[0] = (struct descriptor){ request, sizeof(struct request), 1, 1 };
	queue.desc[1] = (struct descriptor){ response, 10, 2, 0 };
	queue.driver.ring[queue.made % RING] = 0;
	__asm__ volatile("dmb sy" ::: "memory");
	queue.driver.index = ++queue.made;
	__asm__ volatile("dsb sy" ::: "memory");
	vmem->regs[QUEUE_NOTIFY] = 0;
	for (uint64_t end = now_us() + ANSWER_US; queue.device.index == before;)
		if (now_us() > end)
			return -1;
	__asm__ volatile("dmb sy" ::: "memory");
	return queue.device.ring[before % RING].len >= 10 ? 0 : -1;
}

int vmem_request(struct vmem *vmem, unsigned type, uint64_t addr, unsigned blocks, unsigned *state)
{
	static struct request request;
	static volatile struct response response;

	request = (struct request){
		.type = (uint16_t)type, .addr = addr, .blocks = (uint16_t)blocks
	};
	response.type = 0xffff;
	if (vmem_request_at(vmem, (uint64_t)&request, (uint64_t)&response) < 0)
		return -1;
	if (state)
		*state = response.state;
	return response.type;
}
