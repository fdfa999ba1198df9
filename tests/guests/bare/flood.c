/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that gives its monitor all the work that it can. It says "flooding" once each of its rings has returned a
 * chain, or after two seconds, and how many have; the host then measures how long others wait, and ends the machine.
 * bootargs: what=, the attacks, added up:
 *    1 disks: rings kept full of reads of 255 parts, small and large in turn
 *    2 balloon: single pages put into it without end
 *    4 memory: plugged, touched and unplugged all at once, by a second CPU
 *    8 console: bytes to the UART and to two ports of a virtio-console, and a control queue full of messages
 *   16 network: echo requests of 60000 bytes in 255 parts to 10.66.0.1, the answers into parts of 4 bytes
 *   32 rng: random bytes into buffers of 4 MiB
 *   64 vsock: connections to a port where nobody listens
 *  128 device resets: each device, as soon as it has returned a chain, with the others in flight
 *  256 system resets: each time that RAM (ram=, its bytes) and the window have been touched
 */
#include <stdio.h>
#include <string.h>

#include "bare.h"
#include "virtio-mmio.h"

#define FEATURE_MULTIPORT (UINT64_C(1) << 1)  /* of a console */
#define FEATURE_MQ	  (UINT64_C(1) << 12) /* of a disk */
#define FEATURE_MRG_RXBUF (UINT64_C(1) << 15) /* of a card */
#define FEATURE_INDIRECT  (UINT64_C(1) << 28)
#define NEXT		  1
#define WRITE		  2
#define INDIRECT	  4

#define SIZE	256 /* of a ring, at most, and of a table */
#define RINGS	40
#define DEVICES 16
#define RAM	0x40000000
#define BUFFER	0x42000000 /* a MiB that is read into */
#define PAGES	0x42800000 /* of the balloon: each other one, 16 MiB */
#define BEYOND	0x44000000 /* RAM that is only touched */
#define PAGE	4096

#define BEGIN_US 2000000

enum {
	DISKS = 1,
	BALLOON = 2,
	MEMORY = 4,
	CONSOLE = 8,
	NETWORK = 16,
	RNG = 32,
	VSOCK = 64,
	DEVICE_RESETS = 128,
	SYSTEM_RESETS = 256
};

struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* One table for all chains of a ring: what the device gets is the same each time. */
struct table {
	struct descriptor parts[SIZE];
	unsigned count;
};

static struct ring {
	struct descriptor desc[SIZE] __attribute__((aligned(16)));
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
	unsigned queue, size;
	bool turned; /* has returned a chain, ever */
} rings[RINGS] __attribute__((aligned(4096)));
static unsigned ring_count;

static struct device {
	struct virtio virtio;
	uint64_t features;
	struct ring *rings;
	unsigned count;
} devices[DEVICES];
static unsigned device_count;

/* ---- What the rings are full of ---- */

static struct table reads, lists, bytes, ready, messages, frames, pieces, buffers, connects;

static void add_part(struct table *table, const volatile void *at, uint64_t len, uint16_t flags)
{
	if (table->count)
		table->parts[table->count - 1].flags |= NEXT;
	table->parts[table->count] = (struct descriptor){ (uint64_t)at, (uint32_t)len, flags,
		(uint16_t)(table->count + 1) };
	table->count++;
}

static void make_reads(void)
{
	static struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	static uint8_t status;

	add_part(&reads, &header, sizeof(header), 0);
	while (reads.count < SIZE - 2)
		add_part(&reads, (void *)BUFFER, reads.count % 2 ? 64 * KiB : 960 * KiB, WRITE);
	add_part(&reads, &status, 1, WRITE);
}

static void make_lists(void)
{
	static uint32_t pages[2048];

	for (unsigned i = 0; i < 2048; i++)
		pages[i] = PAGES / PAGE + 2 * i;
	while (lists.count < 128)
		add_part(&lists, pages, sizeof(pages), 0);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* The internet checksum; `len` is even. */
static uint32_t checksum(const uint8_t *at, unsigned len)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < len; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* From 10.66.0.2. The host's card is 02:00:00:00:00:fe. */
static void make_frames(void)
{
	enum { HEADER = 12, ETHERNET = 14, IP = 20, PARTS = 254, PART = 236, LEN = PARTS * PART };
	static const uint8_t start[] = { 2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0,
		0, 0, 0, 0, 64, 1, 0, 0, 10, 66, 0, 2, 10, 66, 0, 1, 8 /* echo request */ };
	static uint8_t header[HEADER], frame[LEN];
	uint8_t *ip = frame + ETHERNET, *icmp = ip + IP;

	memcpy(frame, start, sizeof(start));
	put16(ip + 2, LEN - ETHERNET);
	put16(ip + 10, checksum(ip, IP));
	put16(icmp + 2, checksum(icmp, LEN - ETHERNET - IP));
	add_part(&frames, header, HEADER, 0);
	for (unsigned i = 0; i < PARTS; i++)
		add_part(&frames, frame + i * PART, PART, 0);
}

static uint32_t connect[11] = { 0, 0, 2, 0, 1024, 1024, 0, 1 | 1 << 16 /* STREAM, REQUEST */, 0,
	65536 };

static void make_tables(void)
{
	static const uint16_t device_ready[] = { 0, 0, 0, 1 };

	make_reads();
	make_lists();
	make_frames();
	while (bytes.count < SIZE - 1) {
		add_part(&bytes, (void *)BUFFER, 256, 0);
		add_part(&pieces, (void *)BUFFER, 4, WRITE);
		add_part(&buffers, (void *)BUFFER, 16 * KiB, WRITE);
	}
	add_part(&ready, device_ready, sizeof(device_ready), 0);
	add_part(&messages, (void *)BUFFER, PAGE, WRITE);
	add_part(&connects, connect, sizeof(connect), 0);
}

/* ---- Devices ---- */

/* Which rings of a device are kept full. A disk has the first one once for each of its queues. */
static const struct kind {
	uint32_t id, what;
	uint64_t features;
	unsigned count;
	struct {
		unsigned queue;
		const struct table *table;
	} rings[4];
} kinds[] = {
	{ 1, NETWORK, FEATURE_MRG_RXBUF, 2, { { 0, &pieces }, { 1, &frames } } },
	{ 2, DISKS, FEATURE_MQ, 1, { { 0, &reads } } },
	{ 3, CONSOLE, FEATURE_MULTIPORT, 4,
		{ { 1, &bytes }, { 2, &messages }, { 3, &ready }, { 5, &bytes } } },
	{ 4, RNG, 0, 1, { { 0, &buffers } } },
	{ 5, BALLOON, 0, 1, { { 0, &lists } } },
	{ 19, VSOCK, 0, 2, { { 0, &messages }, { 1, &connects } } },
};

static void set_address(volatile uint32_t *at, const volatile void *to)
{
	at[0] = (uint32_t)(uint64_t)to;
	at[1] = (uint32_t)((uint64_t)to >> 32);
}

/* Resets a device of virtio-mmio and sets it up with empty rings. */
static void start(struct device *device)
{
	volatile uint32_t *regs = device->virtio.regs;

	regs[STATUS] = 0;
	regs[STATUS] = 1 | 2;
	for (unsigned word = 0; word < 2; word++) {
		regs[DRIVER_FEATURES_SEL] = word;
		regs[DRIVER_FEATURES] = (uint32_t)(device->features >> word * 32);
	}
	regs[STATUS] = 1 | 2 | 8;
	for (struct ring *ring = device->rings; ring < device->rings + device->count; ring++) {
		ring->driver.index = ring->device.index = 0;
		regs[QUEUE_SEL] = ring->queue;
		regs[QUEUE_NUM] = ring->size;
		set_address(regs + QUEUE_DESC, ring->desc);
		set_address(regs + QUEUE_DRIVER, &ring->driver);
		set_address(regs + QUEUE_DEVICE, &ring->device);
		regs[QUEUE_READY] = 1;
	}
	regs[STATUS] = 1 | 2 | 8 | 4;
}

static void add_ring(struct device *device, unsigned queue, const struct table *table)
{
	volatile uint32_t *regs = device->virtio.regs;
	struct ring *ring = &rings[ring_count];

	if (ring_count == RINGS)
		return;
	ring_count++;
	device->count++;
	regs[QUEUE_SEL] = queue;
	ring->queue = queue;
	ring->size = regs[QUEUE_NUM_MAX] < SIZE ? regs[QUEUE_NUM_MAX] : SIZE;
	for (unsigned i = 0; i < SIZE; i++) {
		ring->desc[i] = (struct descriptor){ (uint64_t)table->parts,
			(uint32_t)(table->count * sizeof(table->parts[0])), INDIRECT, 0 };
		ring->driver.ring[i] = (uint16_t)(i % ring->size);
	}
}

static void add_device(const struct virtio *virtio, const struct kind *kind)
{
	struct device *device = &devices[device_count++];
	unsigned queues = kind->what == DISKS ? virtio->config[8] >> 16 : kind->count;

	device->virtio = *virtio;
	device->features = VIRTIO_VERSION_1 | FEATURE_INDIRECT | kind->features;
	device->rings = &rings[ring_count];
	if (kind->what == VSOCK)
		connect[0] = virtio->config[0]; /* the guest's context id */
	for (unsigned i = 0; i < queues; i++)
		add_ring(device, kind->what == DISKS ? i : kind->rings[i].queue,
			kind->rings[kind->what == DISKS ? 0 : i].table);
	start(device);
}

static void find_devices(uint64_t what)
{
	struct virtio virtio;
	uint32_t id;

	for (unsigned place = 0; place < VIRTIO_MMIO_PLACES; place++)
		if (virtio_mmio_open(&virtio, place, &id))
			for (const struct kind *kind = kinds;
				kind < kinds + sizeof(kinds) / sizeof(kinds[0]); kind++)
				if (kind->id == id && kind->what & what && device_count < DEVICES)
					add_device(&virtio, kind);
}

/* A ring is full again: as many as the device has returned. */
static void fill(struct device *device, struct ring *ring)
{
	uint16_t full = (uint16_t)(ring->device.index + ring->size);

	if (ring->driver.index == full)
		return;
	__asm__ volatile("dmb sy" ::: "memory");
	ring->driver.index = full;
	__asm__ volatile("dsb sy" ::: "memory");
	device->virtio.notify(&device->virtio, ring->queue);
}

/* Fills all rings. Returns how many have returned a chain, ever. */
static unsigned serve_devices(bool resets)
{
	unsigned turned = 0;

	for (struct device *device = devices; device < devices + device_count; device++) {
		bool some = false;

		for (unsigned i = 0; i < device->count; i++) {
			struct ring *ring = &device->rings[i];

			some |= ring->device.index != 0;
			ring->turned |= ring->device.index != 0;
			turned += ring->turned;
			fill(device, ring);
		}
		if (some && resets)
			start(device);
	}
	return turned;
}

/* ---- Memory ---- */

static struct vmem vmem;

static void touch(uint64_t from, uint64_t end)
{
	for (; from < end; from += PAGE)
		*(volatile uint8_t *)from = 1;
}

static void plug_and_touch(void)
{
	uint64_t size = vmem_requested(&vmem), at = 0, most = 0xffff * vmem.block;

	while (at < size) {
		uint64_t len = size - at < most ? size - at : most;

		if (vmem_request(
			    &vmem, VMEM_PLUG, vmem.addr + at, (unsigned)(len / vmem.block), NULL))
			break;
		at += len;
	}
	touch(vmem.addr, vmem.addr + at);
}

static void memory(unsigned index, void *opaque)
{
	for (;;) {
		plug_and_touch();
		vmem_request(&vmem, VMEM_UNPLUG_ALL, 0, 0, NULL);
	}
}

int main(int argc, char **argv)
{
	uint64_t what = argument("what", DISKS | BALLOON), begin;
	bool flooding = false;

	make_tables();
	find_devices(what);
	if (what & (MEMORY | SYSTEM_RESETS))
		result(vmem_open(&vmem), "a window");
	if (what & MEMORY)
		result(cpu_start(1, memory, NULL), "a second CPU");
	begin = now_us();
	for (;;) {
		unsigned turned = serve_devices(flooding && what & DEVICE_RESETS);

		if (!flooding && (turned == ring_count || now_us() - begin > BEGIN_US)) {
			printf("flooding %u of %u rings\n", turned, ring_count);
			flooding = true;
		}
		for (unsigned i = 0; flooding && what & CONSOLE && i < 64 && !console_full(); i++)
			console_put('x');
		if (flooding && what & SYSTEM_RESETS) {
			touch(BEYOND, RAM + argument("ram", BEYOND - RAM));
			plug_and_touch();
			psci(PSCI_SYSTEM_RESET, 0, 0, 0);
		}
	}
}
