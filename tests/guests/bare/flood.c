/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that gives its monitor all the work that it can: rings of disks kept full of reads of 255 parts, small
 * and large in turn; a balloon that is told of single pages without end; memory that is plugged, touched and
 * unplugged all at once. It goes on until the host sends a line. The host measures how long others wait meanwhile.
 * bootargs: what= (1 disks, 2 balloon, 4 memory; added up), cpus= (2 with memory).
 */
#include <inttypes.h>
#include <stdio.h>

#include "bare.h"
#include "virtio-mmio.h"

#define DEVICE_BLK	 2
#define DEVICE_BALLOON	 5
#define FEATURE_MQ	 (UINT64_C(1) << 12)
#define FEATURE_INDIRECT (UINT64_C(1) << 28)
#define NEXT		 1
#define WRITE		 2
#define INDIRECT	 4

#define SIZE   256 /* of a ring, at most, and of a table */
#define RINGS  40
#define BUFFER 0x42000000 /* a MiB that is read into */
#define PAGES  0x42800000 /* of the balloon: each other one, 16 MiB */
#define PAGE   4096

enum { DISKS = 1, BALLOON = 2, MEMORY = 4 };

struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static struct ring {
	struct descriptor desc[SIZE];
	struct {
		uint16_t flags;
		volatile uint16_t index;
		uint16_t ring[SIZE];
	} driver;
	struct {
		uint16_t flags;
		volatile uint16_t index;
		struct {
			uint32_t id, len;
		} ring[SIZE];
	} device __attribute__((aligned(4)));
	struct virtio virtio;
	unsigned queue, size;
} rings[RINGS] __attribute__((aligned(4096)));
static unsigned ring_count;

static struct descriptor reads[SIZE], lists[SIZE];
static uint32_t pages[2048];
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;
static uint8_t status;
static volatile bool stop;
static volatile uint64_t rounds;

static void chain(
	struct descriptor *table, unsigned *count, uint64_t at, uint32_t len, uint16_t flags)
{
	table[*count] = (struct descriptor){ at, len, flags | NEXT, (uint16_t)(*count + 1) };
	++*count;
}

/* One table for all requests: what the device reads is the same each time. */
static unsigned make_reads(void)
{
	unsigned count = 0;

	chain(reads, &count, (uint64_t)&header, sizeof(header), 0);
	while (count < SIZE - 3)
		chain(reads, &count, BUFFER, (uint32_t)(count % 2 ? 64 * KiB : 960 * KiB), WRITE);
	chain(reads, &count, (uint64_t)&status, 1, WRITE);
	reads[count - 1].flags = WRITE;
	return count;
}

static unsigned make_lists(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < 2048; i++)
		pages[i] = PAGES / PAGE + 2 * i;
	while (count < 128)
		chain(lists, &count, (uint64_t)pages, sizeof(pages), 0);
	lists[count - 1].flags = 0;
	return count;
}

static void set_address(volatile uint32_t *at, const volatile void *to)
{
	at[0] = (uint32_t)(uint64_t)to;
	at[1] = (uint32_t)((uint64_t)to >> 32);
}

/* Starts a device of virtio-mmio with `count` queues, all of whose chains are that table. */
static void start(struct virtio *virtio, uint64_t features, unsigned count,
	const struct descriptor *table, unsigned table_count)
{
	volatile uint32_t *regs = virtio->regs;

	regs[STATUS] = 0;
	regs[STATUS] = 1 | 2;
	for (unsigned word = 0; word < 2; word++) {
		regs[DRIVER_FEATURES_SEL] = word;
		regs[DRIVER_FEATURES] = (uint32_t)(features >> word * 32);
	}
	regs[STATUS] = 1 | 2 | 8;
	for (unsigned i = 0; i < count && ring_count < RINGS; i++) {
		struct ring *ring = &rings[ring_count++];

		ring->virtio = *virtio;
		ring->queue = i;
		regs[QUEUE_SEL] = i;
		ring->size = regs[QUEUE_NUM_MAX] < SIZE ? regs[QUEUE_NUM_MAX] : SIZE;
		for (unsigned j = 0; j < SIZE; j++) {
			ring->desc[j] = (struct descriptor){ (uint64_t)table,
				(uint32_t)(table_count * sizeof(*table)), INDIRECT, 0 };
			ring->driver.ring[j] = (uint16_t)(j % ring->size);
		}
		regs[QUEUE_NUM] = ring->size;
		set_address(regs + QUEUE_DESC, ring->desc);
		set_address(regs + QUEUE_DRIVER, &ring->driver);
		set_address(regs + QUEUE_DEVICE, &ring->device);
		regs[QUEUE_READY] = 1;
		ring->driver.index = 0;
	}
	regs[STATUS] = 1 | 2 | 8 | 4;
}

/* A ring is full again: as many as the device has given back. */
static void fill(struct ring *ring)
{
	uint16_t full = (uint16_t)(ring->device.index + ring->size);

	if (ring->driver.index == full)
		return;
	rounds += (uint16_t)(full - ring->driver.index);
	__asm__ volatile("dmb sy" ::: "memory");
	ring->driver.index = full;
	__asm__ volatile("dsb sy" ::: "memory");
	ring->virtio.notify(&ring->virtio, ring->queue);
}

static struct vmem vmem;
static volatile uint64_t unplugs;

static void memory(unsigned index, void *opaque)
{
	unsigned most = 0xffff;

	while (!stop) {
		uint64_t size = vmem_requested(&vmem), at = 0;

		while (at < size) {
			uint64_t blocks = (size - at) / vmem.block;

			blocks = blocks < most ? blocks : most;
			if (vmem_request(&vmem, VMEM_PLUG, vmem.addr + at, (unsigned)blocks, NULL))
				break;
			at += blocks * vmem.block;
		}
		for (uint64_t byte = 0; byte < at && !stop; byte += PAGE)
			*(volatile uint8_t *)(vmem.addr + byte) = 1;
		unplugs += vmem_request(&vmem, VMEM_UNPLUG_ALL, 0, 0, NULL) == 0;
	}
}

int main(int argc, char **argv)
{
	uint64_t what = argument("what", DISKS | BALLOON);
	unsigned reads_count = make_reads(), lists_count = make_lists();
	struct virtio virtio;
	uint32_t id;

	for (unsigned place = 0; place < VIRTIO_MMIO_PLACES; place++) {
		if (!virtio_mmio_open(&virtio, place, &id))
			continue;
		if (id == DEVICE_BLK && what & DISKS)
			start(&virtio, VIRTIO_VERSION_1 | FEATURE_INDIRECT | FEATURE_MQ,
				virtio.config[8] >> 16, reads, reads_count);
		if (id == DEVICE_BALLOON && what & BALLOON)
			start(&virtio, VIRTIO_VERSION_1 | FEATURE_INDIRECT, 1, lists, lists_count);
	}
	result(ring_count || !(what & (DISKS | BALLOON)), "%u queues", ring_count);
	if (what & MEMORY)
		result(vmem_open(&vmem) && cpu_start(1, memory, NULL), "a window");
	puts("flooding");
	while (console_get() < 0)
		for (unsigned i = 0; i < ring_count; i++)
			fill(&rings[i]);
	stop = true;
	if (what & MEMORY)
		result(cpu_wait(1, 600000), "the memory comes to an end");
	result(true, "%" PRIu64 " chains, %" PRIu64 " times all memory unplugged", rounds, unplugs);
	return 0;
}
