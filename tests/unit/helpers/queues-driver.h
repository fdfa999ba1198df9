/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of a virtio device with several queues behind its registers: `device`, whose queue q lies
 * with its buffers in `ram`, QUEUE_SPAN bytes a queue, as driver.h lays one out. With fake-loop.h.
 */
#ifndef SLUICE_TESTS_UNIT_QUEUES_DRIVER_H
#define SLUICE_TESTS_UNIT_QUEUES_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "tests/unit/helpers/driver.h"
#include "tests/unit/helpers/fake-loop.h"
#include "hyp/kvm/irq.h"
#include "tests/unit/helpers/mmio.h"

#define QUEUE_SPAN 0x8000
#define QUEUE_SIZE 8	 /* unless a test sets ring_size before start() */
#define BUFFER	   0x400 /* bytes from one buffer to the next, from FREE_AT on */

static struct guestmem memory;
static _Alignas(4096) uint8_t ram[16 * QUEUE_SPAN];
static uint16_t ring_size = QUEUE_SIZE, offered[16];
static unsigned interrupts;

static void count_interrupt(struct irq_line *line, bool level)
{
	assert_device_locked();
	interrupts += level;
}

static struct irq_line irq = { .set = count_interrupt };

static inline uint8_t *at(unsigned queue, unsigned offset)
{
	return ram + queue * QUEUE_SPAN + offset;
}

static inline uint64_t gpa_of(const void *where)
{
	return RAM_GPA + (uint64_t)((const uint8_t *)where - ram);
}

static inline uint8_t *buffer(unsigned queue, unsigned index)
{
	return at(queue, FREE_AT + index * BUFFER);
}

static inline const struct vring_used *used(unsigned queue)
{
	return (const void *)at(queue, USED_AT);
}

/* The length of what was returned last. */
static inline uint32_t last_used(unsigned queue)
{
	return used(queue)->ring[(used(queue)->idx - 1) % ring_size].len;
}

static inline void notify(unsigned queue)
{
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, queue);
	fake_loop_serve();
}

/* Offers descriptor `index` of a queue alone. */
static inline void offer_at(
	unsigned queue, unsigned index, uint64_t gpa, uint32_t len, uint16_t flags)
{
	struct vring_desc *desc = (struct vring_desc *)at(queue, 0) + index;
	uint16_t *avail = (uint16_t *)at(queue, AVAIL_AT);

	*desc = (struct vring_desc){ .addr = gpa, .len = len, .flags = flags };
	avail[2 + offered[queue]++ % ring_size] = (uint16_t)index;
	avail[1] = offered[queue];
}

/* A buffer of its own, with `len` bytes in it, or to be filled. */
static inline void offer_bytes(unsigned queue, unsigned index, const void *bytes, uint32_t len)
{
	memcpy(buffer(queue, index), bytes, len);
	offer_at(queue, index, gpa_of(buffer(queue, index)), len, 0);
}

static inline void offer_room(unsigned queue, unsigned index, uint32_t len)
{
	offer_at(queue, index, gpa_of(buffer(queue, index)), len, VRING_DESC_F_WRITE);
}

/* From a reset to DRIVER_OK, with so many queues. */
static inline void start(unsigned queues, uint64_t features)
{
	features |= 1ull << VIRTIO_F_VERSION_1;
	memset(ram, 0, sizeof(ram));
	memset(offered, 0, sizeof(offered));
	memory = (struct guestmem){ .ranges[0] = { RAM_GPA, sizeof(ram), ram, NULL },
		.count = 1,
		.unseen = memory.unseen };
	for (uint32_t status = 0; status <= 3; status += status + 1)
		mmio(VIRTIO_MMIO_STATUS, 4, true, status);
	for (unsigned half = 0; half < 2; half++) {
		mmio(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, true, half);
		mmio(VIRTIO_MMIO_DRIVER_FEATURES, 4, true, (uint32_t)(features >> 32 * half));
	}
	mmio(VIRTIO_MMIO_STATUS, 4, true, 11);
	for (unsigned q = 0; q < queues; q++) {
		uint64_t desc = gpa_of(at(q, 0));

		mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, q);
		mmio(VIRTIO_MMIO_QUEUE_NUM, 4, true, ring_size);
		mmio(VIRTIO_MMIO_QUEUE_DESC_LOW, 4, true, desc);
		mmio(VIRTIO_MMIO_QUEUE_AVAIL_LOW, 4, true, desc + AVAIL_AT);
		mmio(VIRTIO_MMIO_QUEUE_USED_LOW, 4, true, desc + USED_AT);
		mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
	}
	mmio(VIRTIO_MMIO_STATUS, 4, true, 15);
	fake_loop_serve();
	interrupts = 0;
}

#endif
