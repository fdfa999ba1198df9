/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that misuses every device of its machine: each register at each width and offset; rings that loop,
 * overlap and lie; addresses in ROM, registers, holes, unplugged blocks and past 2^64; queues that are moved,
 * resized and reset while they run. It finds the virtio devices itself, and knows of a kind only what one good
 * request of it is: after each misuse the device is reset, and has to answer that as it should.
 */
#include <stdio.h>
#include <string.h>

#include "bare.h"
#include "requests.h"
#include "virtio-mmio.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ANSWER_US 20000000
#define SOON_US	  20000 /* by when what answers at all has done so */
#define UART	  0x09000000
#define RAM	  0x40000000
#define HOLE	  0x30000000
#define LARGE	  ((uint8_t *)(REQUEST_BUFFERS + MiB))

#define FEATURE_INDIRECT (UINT64_C(1) << 28)

#define NEXT	 1
#define WRITE	 2
#define INDIRECT 4

/* ---- The device under misuse ---- */

static struct virtio device;
static const struct kind *kind;
static uint64_t unplugged; /* an address of the window that is not plugged */
static volatile uint32_t *regs;
static uint8_t *const buffers = (uint8_t *)(uint64_t)REQUEST_BUFFERS;
static struct virtq queues[REQUEST_QUEUES], *queue;
static struct virtq_part parts[REQUEST_PARTS];
static unsigned count;
static unsigned tried, unanswered, broken; /* in this group */
static bool in_kernel; /* the host's kernel serves it, and keeps buffers that it cannot fill */

/* By plain loads and stores: others, which a compiler may choose, have no syndrome, and abort. */
static void put(unsigned reg, uint32_t value)
{
	__asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(regs + reg) : "memory");
}

static uint32_t get(unsigned reg)
{
	uint32_t value;

	__asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(regs + reg) : "memory");
	return value;
}

/* New, or as a good request has just left it: then it need not start again. */
static void start(bool anew)
{
	if (anew) {
		put(DEVICE_FEATURES_SEL, 0);
		device.start(&device,
			VIRTIO_VERSION_1 | kind->features |
				(get(DEVICE_FEATURES) & FEATURE_INDIRECT),
			queues, (kind->ask.len ? kind->asks : kind->queue) + 1);
	}
	memset(buffers, 0, REQUEST_PARTS * REQUEST_BUFFER);
	if (kind->fill)
		kind->fill(&device);
	memcpy(parts, kind->parts, sizeof(parts));
	for (count = 0; count < COUNT(parts) && parts[count].addr; count++)
		;
	queue = &queues[kind->queue];
}

static void ask(void)
{
	if (kind->ask.len)
		virtq_offer(&device, &queues[kind->asks], kind->asks, &kind->ask, 1);
}

static void offer(void)
{
	virtq_offer(&device, queue, kind->queue, parts, count);
	ask();
}

/* The first of what comes back: a device may have more to say than this. */
static bool answered(void)
{
	uint64_t end = now_us() + ANSWER_US;

	while (kind->answer.len && !queues[kind->answers].device.index)
		if (now_us() > end)
			return false;
	__asm__ volatile("dmb sy" ::: "memory");
	return true;
}

static bool works(void)
{
	start(true);
	if (kind->answer.len)
		virtq_offer(&device, &queues[kind->answers], kind->answers, &kind->answer, 1);
	offer();
	return virtq_wait(&device, queue, ANSWER_US) && answered() &&
	       kind->good(virtq_used_len(queue));
}

/* Whatever was offered is returned, or the device says that it needs a reset; and then it works. */
static void tried_it(bool answers)
{
	const bool may_keep = in_kernel && kind->ask.len;

	tried++;
	if (may_keep) {
		(void)virtq_wait(&device, queue, SOON_US);
	} else if (answers && !virtq_wait(&device, queue, ANSWER_US) &&
		   !device.needs_reset(&device)) {
		unanswered++;
		printf("# %s: no answer to misuse %u\n", kind->name, tried);
	}
	if (!works()) {
		broken++;
		printf("# %s: broken by misuse %u\n", kind->name, tried);
	}
}

static void report(const char *what)
{
	result(!unanswered && !broken, "%s: %s (%u tried, %u without an answer, %u broke it)",
		kind->name, what, tried, unanswered, broken);
	tried = unanswered = broken = 0;
}

/* ---- Rings ---- */

/* Puts one descriptor, past what virtq_offer() would make, and a head. */
static void raw(unsigned at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	queue->desc[at] = (struct virtq_desc){ addr, len, flags, next };
}

static void publish(uint16_t head, uint16_t by)
{
	queue->driver.ring[queue->driver.index % queue->size] = head;
	__asm__ volatile("dmb sy" ::: "memory");
	queue->driver.index = (uint16_t)(queue->driver.index + by);
	__asm__ volatile("dsb sy" ::: "memory");
	device.notify(&device, kind->queue);
	ask();
}

static const struct {
	uint16_t flags[3], next[3], head, by;
} rings[] = {
	{ { NEXT }, { 0 }, 0, 1 }, /* its own next */
	{ { NEXT | WRITE }, { 0 }, 0, 1 },
	{ { NEXT, NEXT, NEXT }, { 1, 2, 0 }, 0, 1 },		     /* a longer loop */
	{ { NEXT, NEXT | WRITE, NEXT | WRITE }, { 1, 2, 1 }, 0, 1 }, /* one that is entered */
	{ { NEXT, WRITE }, { 0xffff }, 0, 1 },
	{ { NEXT | WRITE, 0 }, { 1 }, 0, 1 }, /* readable after writable */
	{ { 0 }, { 0 }, 0xffff, 1 }, { { 0 }, { 0 }, VIRTQ_SIZE, 1 },
	{ { WRITE }, { 0 }, 0, 0x8000 }, /* more than there are */
	{ { WRITE }, { 0 }, 0, 0xffff }, { { NEXT | INDIRECT }, { 1 }, 0, 1 },
	{ { 0xfff8 }, { 0 }, 0, 1 }, /* flags that mean nothing */
};

static void misuse_rings(void)
{
	for (unsigned i = 0; i < COUNT(rings); i++) {
		start(false);
		for (unsigned at = 0; at < 3; at++)
			raw(at, PART(at), 64, rings[i].flags[at], rings[i].next[at]);
		publish(rings[i].head, rings[i].by);
		tried_it(true);
	}
	/* All of it in one place; parts over parts, and over the rings that they are in. */
	for (unsigned i = 0; i < 4; i++) {
		uint64_t at[] = { PART(0), (uint64_t)queue->desc, (uint64_t)&queue->driver,
			(uint64_t)&queue->device };

		start(false);
		for (unsigned part = 0; part < count; part++)
			parts[part].addr = at[i] + part;
		offer();
		tried_it(i < 2); /* what the device writes over the rings may hide its answer */
	}
	report("rings");
}

/* ---- Addresses and lengths ---- */

static struct place {
	uint64_t addr;
	bool begins_in_memory;
} places[12];
static const uint32_t lens[] = { 0, 64, 1u << 31, UINT32_MAX };

static void find_places(const struct vmem *vmem)
{
	const struct place all[COUNT(places)] = {
		{ 0 },
		{ 0x08000000 },
		{ UART },
		{ (uint64_t)regs },
		{ HOLE },
		{ RAM - 16 },
		{ RAM + argument("ram", 64 * MiB) - 16, true },
		{ unplugged },
		{ vmem->addr + vmem->block - 16, true },
		{ vmem->addr + vmem->region - 16 },
		{ UINT64_MAX - 15 },
		{ UINT64_C(1) << 63 },
	};

	memcpy(places, all, sizeof(places));
}

/* This program would be gone, as it asked. */
static bool is_suicide(uint64_t addr, uint32_t len)
{
	return kind->frees && addr < REQUEST_BUFFERS && addr + len > RAM + REQUEST_BUFFER;
}

static void misuse_addresses(void)
{
	for (unsigned place = 0; place < COUNT(places); place++) {
		for (unsigned len = 0; len < COUNT(lens); len++) {
			if (is_suicide(places[place].addr, lens[len]))
				continue;
			start(false);
			parts[place % count] = (struct virtq_part){ places[place].addr, lens[len],
				parts[place % count].writable };
			offer();
			tried_it(true);
		}
		start(false);
		for (unsigned part = 0; part < count; part++)
			parts[part].addr = places[place].addr;
		offer();
		tried_it(true);
	}
	report("parts that are nowhere, or lie about their length");
}

static void misuse_indirect(void)
{
	static struct virtq_desc table[4];
	static const uint32_t table_lens[] = { 16, 48, 0, 15, 17, UINT32_MAX & ~15u, UINT32_MAX };

	for (unsigned place = 0; place < COUNT(places); place++) {
		start(false);
		raw(0, places[place].addr, 48, INDIRECT, 0);
		publish(0, 1);
		tried_it(true);
	}
	for (unsigned len = 0; len < COUNT(table_lens); len++)
		for (unsigned way = 0; way < 4; way++) {
			start(false);
			for (unsigned i = 0; i < COUNT(table); i++)
				table[i] = (struct virtq_desc){ PART(0), 64, NEXT,
					(uint16_t)(i + 1) };
			table[0].next = way == 1 ? 0 : way == 2 ? 0xffff : 1;
			table[1].flags = way == 3 ? INDIRECT : 0;
			raw(0, (uint64_t)table, table_lens[len], INDIRECT | (way == 2 ? WRITE : 0),
				0);
			publish(0, 1);
			tried_it(true);
		}
	report("indirect tables");
}

/* ---- Queues that are somewhere else, of another size, or change ---- */

static void set_address(unsigned reg, uint64_t to)
{
	put(reg, (uint32_t)to);
	put(reg + 1, (uint32_t)(to >> 32));
}

/* Sets the queue up anew; whether the device took it. */
static bool move_queue(uint32_t size, uint64_t desc, uint64_t driver, uint64_t used)
{
	put(QUEUE_SEL, kind->queue);
	put(QUEUE_READY, 0);
	put(QUEUE_NUM, size);
	set_address(QUEUE_DESC, desc);
	set_address(QUEUE_DRIVER, driver);
	set_address(QUEUE_DEVICE, used);
	put(QUEUE_READY, 1);
	return get(QUEUE_READY);
}

static void misuse_queues(void)
{
	static const uint32_t sizes[] = { 0, 1, 2, 3, 7, 0x100, 0x400, 0x800, 0x8000, 0x10000,
		UINT32_MAX };

	for (unsigned place = 0; place < COUNT(places); place++)
		for (unsigned part = 0; part < 3; part++) {
			uint64_t at[3] = { (uint64_t)queue->desc, (uint64_t)&queue->driver,
				(uint64_t)&queue->device };
			bool taken;

			start(false);
			at[part] = places[place].addr;
			taken = move_queue(queue->size, at[0], at[1], at[2]);
			offer();
			ask(); /* the queue begins anew: what works() has offered is there again */
			/* A ring of the driver's, or the device's, that is memory holds nothing, or the answer. */
			tried_it(taken && (part == 0 || !places[place].begins_in_memory));
		}
	for (unsigned i = 0; i < COUNT(sizes); i++) {
		start(false);
		(void)move_queue(sizes[i], (uint64_t)queue->desc + i % 2, (uint64_t)&queue->driver,
			(uint64_t)&queue->device);
		offer();
		tried_it(false);
		/* The same while it is ready, and in use. */
		start(false);
		offer();
		put(QUEUE_NUM, sizes[i]);
		set_address(QUEUE_DESC, places[i].addr);
		set_address(QUEUE_DEVICE, places[i].addr);
		offer();
		tried_it(true);
	}
	/* Queues that are not there. */
	for (uint32_t index = 1; index; index <<= 7) {
		start(false);
		put(QUEUE_SEL, kind->queue + index * 8);
		for (unsigned reg = QUEUE_NUM; reg < QUEUE_DEVICE + 2; reg++)
			if (reg != STATUS)
				put(reg, UINT32_MAX);
		put(QUEUE_NOTIFY, kind->queue + index * 8);
		offer();
		tried_it(true);
	}
	report("queues elsewhere, resized, or not there");
}

/* ---- The status, and resets ---- */

static void misuse_status(void)
{
	static const uint32_t orders[][3] = { { 4, 4, 4 }, { 15, 15, 15 }, { 8, 4, 1 }, { 1, 2, 4 },
		{ 0x80, 3, 15 }, { 0x40, 15, 15 }, { 0xffffffff, 0, 15 }, { 3, 11, 0xf0 } };

	for (unsigned i = 0; i < COUNT(orders); i++) {
		start(false);
		put(STATUS, 0);
		put(DRIVER_FEATURES_SEL, i);
		put(DRIVER_FEATURES, UINT32_MAX); /* none that was offered, or not these alone */
		for (unsigned step = 0; step < 3; step++) {
			put(STATUS, orders[i][step]);
			offer();
		}
		tried_it(false);
	}
	report("a status in any order");
}

/* 2.4.1: after the status reads 0 nothing of it touches memory. */
static void reset_in_the_middle(void)
{
	unsigned late = 0, running = 0, unfinished = 0;

	for (unsigned round = 0; round < 10; round++) {
		start(false);
		if (kind->large)
			parts[1] = (struct virtq_part){ (uint64_t)LARGE, kind->large, true };
		for (unsigned i = 0; i < queue->size / VIRTQ_PARTS; i++)
			offer();
		if (round % 2) {
			put(QUEUE_SEL, kind->queue);
			put(QUEUE_READY, 0);
		}
		put(STATUS, 0);
		running += get(STATUS) != 0;
		unfinished += queue->device.index != queue->driver.index;
		memset(buffers, 0x99, REQUEST_PARTS * REQUEST_BUFFER);
		memset(queue, 0x99, sizeof(*queue));
		memset(LARGE, 0x99, kind->large);
		wait_us(2000);
		for (unsigned i = 0; i < REQUEST_PARTS * REQUEST_BUFFER; i++)
			late += buffers[i] != 0x99;
		for (unsigned i = 0; i < kind->large; i += 512)
			late += LARGE[i] != 0x99;
		for (unsigned i = 0; i < sizeof(*queue); i++)
			late += ((uint8_t *)queue)[i] != 0x99;
		tried_it(false);
	}
	unanswered = late + running;
	printf("# %s: %u of 10 resets came while requests were in flight\n", kind->name,
		unfinished);
	report("reset in the middle");
}

/* ---- Registers ---- */

/* As normal memory at another address, where accesses need not be aligned. */
static uint64_t alias;

static const struct {
	unsigned load, store, size;
} widths[] = {
	{ ACCESS_LOAD8, ACCESS_STORE8, 1 },
	{ ACCESS_LOAD16, ACCESS_STORE16, 2 },
	{ ACCESS_LOAD32, ACCESS_STORE32, 4 },
	{ ACCESS_LOAD, ACCESS_STORE, 8 },
};

/*
 * Each width at each offset of `size` bytes, read and written, and across both ends. What no device is at
 * aborts; all else does not.
 */
static unsigned every_access(uint64_t gpa, uint64_t size, bool there)
{
	unsigned wrong = 0;

	for (uint64_t at = gpa - 8; at < gpa + size; at++)
		for (unsigned i = 0; i < COUNT(widths); i++) {
			bool inside = at >= gpa && at + widths[i].size <= gpa + size;
			struct fault fault;

			for (unsigned write = 0; write < 2; write++) {
				access_make(write ? widths[i].store : widths[i].load, alias + at,
					UINT64_MAX, &fault);
				if (inside && !fault.esr != there)
					wrong++;
			}
		}
	return wrong;
}

static void misuse_registers(void)
{
	unsigned wrong;

	start(true);
	offer();
	/* All registers, all that any has as its own, and the end. */
	wrong = every_access((uint64_t)regs, 0x160, true) +
		every_access((uint64_t)regs + 0x1f0, 0x10, true);
	result(works() && !wrong, "%s: each register at each width (%u went wrong)", kind->name,
		wrong);
}

static void misuse_machine(void)
{
	static const struct {
		const char *name;
		uint64_t gpa;
		bool there;
	} regions[] = {
		{ "pl031", 0x09010000, true },
		{ "pl061", 0x09030000, true },
		{ "sp805", 0x090d0000, true },
		{ "pl011", UART, true },
		{ "between the devices", UART + 0x1000, false },
		{ "behind the last", 0x0a004000, false },
		{ "rom", 0x1000, false },
		{ "hole", HOLE, false },
	};
	/* Where the PrimeCells have registers, ends and all; the rest of a page is tried by unit tests. */
	static const uint64_t parts_of[][2] = { { 0, 0x50 }, { 0x400, 0x28 }, { 0xc00, 8 },
		{ 0xf00, 8 }, { 0xfd0, 0x30 } };

	for (unsigned i = 0; i < COUNT(regions); i++) {
		unsigned wrong = 0;

		for (unsigned part = 0; part < (regions[i].there ? COUNT(parts_of) : 1); part++)
			wrong += every_access(regions[i].gpa + parts_of[part][0], parts_of[part][1],
				regions[i].there);
		console_init();
		printf("\n");
		result(!wrong, "%s: each register at each width (%u went wrong)", regions[i].name,
			wrong);
	}
}

/* Of these KVM gives no more than the address. The first that the host hears of. */
static void registers_by_pairs(void)
{
	static const unsigned ways[] = { ACCESS_STORE_WRITEBACK, ACCESS_LOAD_PAIR,
		ACCESS_STORE_PAIR };
	unsigned aborts = 0;

	for (unsigned i = 0; i < COUNT(ways); i++) {
		struct fault fault;

		access_make(ways[i], 0x09010000, UINT64_MAX, &fault);
		aborts += fault.esr != 0;
	}
	result(aborts == COUNT(ways), "pl031: pairs and writeback abort (%u)", aborts);
}

/* As guests without a tree search for devices: each place answers, those without one by its number 0. */
static void all_places(void)
{
	unsigned answer = 0, empty = 0;

	for (unsigned place = 0; place < VIRTIO_MMIO_PLACES; place++) {
		uint64_t at = 0x0a000000 + 0x200 * place;
		struct fault fault;

		answer += access_make(ACCESS_LOAD32, at, 0, &fault) == 0x74726976 && !fault.esr &&
			  access_make(ACCESS_LOAD32, at + 4, 0, &fault) == 2 && !fault.esr;
		if (access_make(ACCESS_LOAD32, at + 8, 0, &fault) || fault.esr)
			continue;
		empty++;
		access_make(ACCESS_STORE32, at + 0x70, 1, &fault); /* its status */
		answer -= fault.esr != 0 || access_make(ACCESS_LOAD32, at + 0x70, 0, &fault) ||
			  access_make(ACCESS_LOAD32, at + 0x100, 0, &fault) || fault.esr;
	}
	result(answer == VIRTIO_MMIO_PLACES && empty && empty < VIRTIO_MMIO_PLACES,
		"all places of virtio-mmio answer (%u, %u empty)", answer, empty);
}

int main(int argc, char **argv)
{
	static void (*const misuses[])(void) = { misuse_registers, misuse_rings, misuse_addresses,
		misuse_indirect, misuse_queues, misuse_status, reset_in_the_middle };
	struct vmem vmem;
	uint32_t id;

	(void)argc, (void)argv;
	if (!vmem_open(&vmem) || vmem_request(&vmem, VMEM_PLUG, vmem.addr, 1, NULL)) {
		result(false, "there is a window");
		return 1;
	}
	/* The host's networks are there once it has made this machine. */
	printf("begin?\n");
	fflush(stdout);
	while (console_get() != '\n')
		;
	unplugged = vmem.addr + vmem.block;
	alias = mmu_alias(0);
	registers_by_pairs();
	misuse_machine();
	all_places();
	for (unsigned place = 0; place < VIRTIO_MMIO_PLACES; place++) {
		bool known = false;

		if (!virtio_mmio_open(&device, place, &id))
			continue;
		regs = device.regs;
		in_kernel = id == 19 || (id == 1 && (device.config[1] >> 8 & 0xff) == 0xff);
		find_places(&vmem);
		for (kind = next_kind(NULL); kind; kind = next_kind(kind)) {
			if (kind->id != id)
				continue;
			known = true;
			result(works(), "%s: works", kind->name);
			for (unsigned i = 0; i < COUNT(misuses); i++)
				misuses[i]();
			printf("# %s: %u ms so far\n", kind->name, (unsigned)(now_us() / 1000));
		}
		if (!known)
			result(false, "device %u: no good request is known", id);
	}
	return 0;
}
