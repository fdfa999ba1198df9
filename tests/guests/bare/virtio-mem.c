/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of virtio-mem (virtio 1.3, 5.15): one request at a time, polled. */
#include <string.h>

#include "bare.h"

#define DEVICE_MEM 24
#define ANSWER_US  60000000

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
	volatile uint32_t *at = vmem->virtio.config + offset / 4;

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

bool vmem_open(struct vmem *vmem)
{
	static const struct virtio_start start = {
		.features = UINT64_C(1) << FEATURE_VERSION_1 | 1 << FEATURE_UNPLUGGED_INACCESSIBLE,
		.size = RING,
		.desc = queue.desc,
		.driver = &queue.driver,
		.device = &queue.device,
	};

	if (!virtio_open(&vmem->virtio, DEVICE_MEM))
		return false;
	vmem->block = read64(vmem, 0);
	vmem->addr = read64(vmem, 16);
	vmem->region = read64(vmem, 24);
	memset(&queue, 0, sizeof(queue));
	vmem->virtio.start(&vmem->virtio, &start);
	return true;
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
	vmem->virtio.notify(&vmem->virtio);
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
