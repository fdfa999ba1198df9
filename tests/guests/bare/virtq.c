/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of a split queue (virtio 1.3, 2.7), polled: each chain has descriptors of its own. */
#include <string.h>

#include "bare.h"

void virtq_init(struct virtq *queues, unsigned count, unsigned size)
{
	memset(queues, 0, count * sizeof(*queues));
	for (unsigned i = 0; i < count; i++)
		queues[i].size = size < VIRTQ_SIZE ? size : VIRTQ_SIZE;
}

void virtq_offer(struct virtio *virtio, struct virtq *queue, unsigned index,
	const struct virtq_part *parts, unsigned count)
{
	uint16_t made = queue->driver.index;
	uint16_t first = (uint16_t)(made % (queue->size / VIRTQ_PARTS) * VIRTQ_PARTS);

	for (unsigned i = 0; i < count; i++)
		queue->desc[first + i] = (struct virtq_desc){
			.addr = parts[i].addr,
			.len = parts[i].len,
			.flags = (uint16_t)((i + 1 < count ? 1 : 0) | (parts[i].writable ? 2 : 0)),
			.next = (uint16_t)(first + i + 1),
		};
	queue->driver.ring[made % queue->size] = first;
	__asm__ volatile("dmb sy" ::: "memory");
	queue->driver.index = (uint16_t)(made + 1);
	__asm__ volatile("dsb sy" ::: "memory");
	virtio->notify(virtio, index);
}

bool virtq_wait(struct virtio *virtio, struct virtq *queue, uint64_t us)
{
	uint64_t end = now_us() + us;

	/* The status is a register, and costs an exit: memory is read more often. */
	for (unsigned spins = 1; queue->device.index != queue->driver.index; spins++)
		if (spins % 1024 == 0 && (virtio->needs_reset(virtio) || now_us() > end))
			return false;
	__asm__ volatile("dmb sy" ::: "memory");
	return true;
}

uint32_t virtq_used_len(const struct virtq *queue)
{
	return queue->device.ring[(uint16_t)(queue->device.index - 1) % queue->size].len;
}
