/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of virtio-mem (virtio 1.3, 5.15): one request at a time, polled. */
#include "bare.h"

#define DEVICE_MEM 24
#define ANSWER_US  60000000

#define FEATURE_UNPLUGGED_INACCESSIBLE 2

static struct virtq queue;

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
	if (!virtio_open(&vmem->virtio, DEVICE_MEM))
		return false;
	vmem->block = read64(vmem, 0);
	vmem->addr = read64(vmem, 16);
	vmem->region = read64(vmem, 24);
	vmem->virtio.start(
		&vmem->virtio, VIRTIO_VERSION_1 | FEATURE_UNPLUGGED_INACCESSIBLE, &queue, 1);
	return true;
}

int vmem_request_at(struct vmem *vmem, uint64_t request, uint64_t response)
{
	const struct virtq_part parts[] = { { request, sizeof(struct request), false },
		{ response, 10, true } };

	virtq_offer(&vmem->virtio, &queue, 0, parts, 2);
	return virtq_wait(&vmem->virtio, &queue, ANSWER_US) && virtq_used_len(&queue) >= 10 ? 0
											    : -1;
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
