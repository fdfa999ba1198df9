/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each device with a vCPU in its registers while the loop serves it, and does to it what the board and the
 * host's ends do. Both hold the device's lock; ThreadSanitizer finds code that does not. What comes of the
 * accesses is for other tests.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/arm/cfi-flash.h"
#include "devices/arm/pl011.h"
#include "devices/arm/pl031.h"
#include "devices/arm/pl061.h"
#include "devices/arm/sp805.h"
#include "devices/backend/chardev.h"
#include "devices/backend/flash-file.h"
#include "devices/device.h"
#include "devices/state.h"
#include "devices/virtio/virtio-balloon.h"
#include "devices/virtio/virtio-blk.h"
#include "devices/virtio/virtio-console.h"
#include "devices/virtio/virtio-mem.h"
#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio-rng.h"
#include "tests/unit/helpers/fake-window.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/mmio.h"
#include "hyp/kvm/vm.h"
#include "hyp/memory/guestmem.h"
#include "tests/unit/helpers/unit.h"

#define BASE	   0x09000000
#define RAM_GPA	   UINT64_C(0x40000000)
#define WINDOW_GPA UINT64_C(0x100000000)
#define QUEUE_SPAN 0x8000 /* descriptors, then at these: */
#define AVAIL_AT   0x1000
#define USED_AT	   0x2000
#define BUFFER_AT  0x3000
#define QUEUES	   6
#define QUEUE_SIZE 16
#define OFFERED	   8 /* chains of each queue */
#define POKE_MS	   1
#define POKES	   150

static _Alignas(4096) uint8_t ram[QUEUES * QUEUE_SPAN];
static uint8_t shown[0x200];
static struct guestmem memory = { .ranges[0] = { RAM_GPA, sizeof(ram), ram, NULL }, .count = 1 };
static struct window window = {
	.config = { .gpa = WINDOW_GPA, .size = 64 * MiB, .block_bytes = 2 * MiB }
};
static struct mmio_bus bus;
static struct loop *loop;
static struct device *device;
static atomic_bool vcpu_ended;
static atomic_uint pokes; /* turns of the loop's own part: the vCPU goes on for so many */
static uint64_t driver_features;

/* Both come with the device's lock held; that another thread than this holds it cannot be tested. */
static atomic_bool unlocked;

static void expect_locked(void)
{
	if (!device || pthread_mutex_trylock(&device->lock))
		return;
	atomic_store(&unlocked, true);
	pthread_mutex_unlock(&device->lock);
}

static void set_line(struct irq_line *line, bool level)
{
	expect_locked();
}

static void no_log(enum log_level level, const char *line)
{
}

/* The host's end takes half of what it is given. */
static size_t end_write(struct chardev *chardev, const uint8_t *buf, size_t len)
{
	expect_locked();
	return (len + 1) / 2;
}

static void end_resume(struct chardev *chardev)
{
}

static const struct chardev_ops end_ops = { end_write, end_resume };
static struct chardev ends[2] = { { .ops = &end_ops }, { .ops = &end_ops } };
static struct chardev *const ports[] = { &ends[0], &ends[1] };
static struct irq_line irq = { set_line };
static struct device_env env = { .id = "tested",
	.transport = &virtio_mmio_transport,
	.mem = &memory,
	.irq = &irq,
	.registers = shown,
	.window = &window,
	.chardev = &ends[0],
	.ports = ports };

/* ---- The vCPU ---- */

static uint32_t get(uint64_t offset)
{
	uint64_t data = 0;

	mmio_bus_access(&bus, BASE + offset, 4, false, &data);
	return (uint32_t)data;
}

static void put(uint64_t offset, uint32_t value)
{
	uint64_t data = value;

	mmio_bus_access(&bus, BASE + offset, 4, true, &data);
}

static void end_vcpu(void)
{
	atomic_store(&vcpu_ended, true);
	loop_stop(loop);
}

/* Those of the device that count, each with small numbers and large ones. */
static unsigned first_register, end_of_registers;

static void *write_registers(void *unused)
{
	for (unsigned life = 0; atomic_load(&pokes) < POKES; life++)
		for (unsigned offset = first_register; offset < end_of_registers; offset += 4) {
			put(offset, (life * 7 + offset) % 256 << life % 3 * 8);
			get(offset);
		}
	end_vcpu();
	return NULL;
}

/* WdogLock, at 0xc00, stays open; it bites in some microseconds. */
static void *feed_watchdog(void *unused)
{
	for (unsigned life = 0; atomic_load(&pokes) < POKES; life++) {
		put(0, 100 + life % 100);
		put(8, life % 4);
		for (unsigned offset = 0; offset < 0x18; offset += 4)
			get(offset);
		if (life % 3)
			put(0xc, 1);
		/* The loop is notified of writes alone. */
		for (unsigned i = 0; life % 16 == 0 && i < 2000; i++)
			get(4);
	}
	end_vcpu();
	return NULL;
}

static void *run_driver(void *unused)
{
	for (unsigned life = 0; atomic_load(&pokes) < POKES; life++) {
		put(VIRTIO_MMIO_STATUS, 0);
		put(VIRTIO_MMIO_STATUS, 3);
		for (unsigned half = 0; half < 2; half++) {
			put(VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
			put(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(driver_features >> 32 * half));
		}
		put(VIRTIO_MMIO_STATUS, 11);
		for (unsigned q = 0; q < QUEUES; q++) {
			uint32_t desc = RAM_GPA + q * QUEUE_SPAN;

			put(VIRTIO_MMIO_QUEUE_SEL, q);
			put(VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
			put(VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
			put(VIRTIO_MMIO_QUEUE_AVAIL_LOW, desc + AVAIL_AT);
			put(VIRTIO_MMIO_QUEUE_USED_LOW, desc + USED_AT);
			put(VIRTIO_MMIO_QUEUE_READY, 1);
		}
		put(VIRTIO_MMIO_QUEUE_SEL, life % 2);
		put(VIRTIO_MMIO_STATUS, 15);
		for (unsigned q = 0; q < QUEUES; q++)
			put(VIRTIO_MMIO_QUEUE_NOTIFY, q);
		put(VIRTIO_MMIO_CONFIG + 4, life);
		for (unsigned i = 0; i < 20; i++)
			for (unsigned offset = 0; offset < 0x140; offset += 4)
				get(offset);
		put(VIRTIO_MMIO_INTERRUPT_ACK, 3);
	}
	end_vcpu();
	return NULL;
}

/* The rings do not change while a driver lives: the next one finds them as this did. */
static void offer(unsigned queue, uint16_t flags, const void *bytes, size_t len)
{
	uint8_t *at = ram + queue * QUEUE_SPAN;
	struct vring_desc *desc = (void *)at;
	uint16_t *avail = (void *)(at + AVAIL_AT);

	for (unsigned i = 0; i < OFFERED; i++) {
		desc[i] = (struct vring_desc){
			.addr = RAM_GPA + queue * QUEUE_SPAN + BUFFER_AT + i * 0x400,
			.len = (uint32_t)len,
			.flags = flags,
		};
		if (bytes)
			memcpy(at + BUFFER_AT + i * 0x400, bytes, len);
		avail[2 + i] = i;
	}
	avail[1] = OFFERED;
}

/* ---- What else the loop does ---- */

static void (*poke)(void);
static unsigned reset_every;

/* As clients do at any time. */
static void read_values(const struct device_value *value)
{
	for (; value && value->name; value++) {
		if (value->get)
			value->get(device, value->index);
		read_values(value->members);
	}
}

static void poke_due(struct loop_timer *timer)
{
	for (unsigned i = 0; i < 8; i++)
		read_values(device->class->values);
	pokes++;
	if (poke)
		poke();
	/* As if the vCPUs were parked. */
	if (pokes % reset_every == 0)
		device->class->reset(device);
	loop_timer_arm(loop, timer, POKE_MS);
}

static void poke_ends(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		struct chardev_client *client = ends[i].client;

		if (!client)
			continue;
		client->receive(client, (const uint8_t *)"hello", 5);
		client->writable(client);
		ends[i].connected = pokes % 2;
		if (client->connected)
			client->connected(client);
	}
	if (device->class == &virtio_console_class)
		virtio_console_open_ports(device);
}

static void poke_button(void)
{
	pl061_pulse(device, pokes % PL061_LINES);
}

static void poke_watchdog(void)
{
	device->class->pause(device, pokes % 2);
}

/* As at a system reset, and for what is saved. */
static void poke_flash(void)
{
	static const struct vm vm;
	uint8_t *records = malloc(device_state_bytes(&cfi_flash_class));

	device->class->attach(device, pokes % 3 ? &vm : NULL, 1);
	device_take_state(device, records);
	free(records);
}

static int set_slot(int fd, unsigned long request, void *arg)
{
	expect_locked();
	return 0;
}

static void poke_balloon(void)
{
	virtio_balloon_request(device, pokes % 5 * MiB);
}

static void poke_mem(void)
{
	assert_int_equal(virtio_mem_request(device, pokes % 5 * 2 * MiB), 0);
}

static void race(const struct device_class *class, const void *config, void *(*vcpu)(void *),
	void (*loops)(void))
{
	struct loop_timer timer = { .fired = poke_due };
	pthread_t thread;

	log_set_sink(no_log);
	poke = loops;
	reset_every = loops == poke_button ? 128 : 8; /* a press takes longer */
	atomic_store(&pokes, 0);
	memset(shown, 0, sizeof(shown));
	atomic_store(&vcpu_ended, false);
	atomic_store(&unlocked, false);
	assert_int_equal(loop_create(&loop), 0);
	env.loop = loop;
	device = NULL;
	assert_int_equal(device_create(class, config, &env, &device), 0);
	device->region.gpa = BASE;
	bus.count = 0;
	assert_int_equal(mmio_bus_add(&bus, &device->region), 0);
	loop_timer_arm(loop, &timer, POKE_MS);
	assert_int_equal(pthread_create(&thread, NULL, vcpu, NULL), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_true(atomic_load(&vcpu_ended));
	pthread_join(thread, NULL);
	loop_timer_cancel(&timer);
	if (class->drain)
		class->drain(device);
	if (class->quiesce)
		class->quiesce(device);
	class->reset(device);
	device_destroy(device);
	loop_destroy(loop);
	assert_false(atomic_load(&unlocked));
}

static void race_virtio(const struct device_class *class, const void *config, uint64_t features,
	void (*loops)(void))
{
	driver_features = 1ull << VIRTIO_F_VERSION_1 | features;
	race(class, config, run_driver, loops);
}

/* ---- The devices ---- */

static void uart(void **state)
{
	first_register = 0;
	end_of_registers = 0x4c;
	race(&pl011_class, NULL, write_registers, poke_ends);
}

static void clock_(void **state)
{
	first_register = 0;
	end_of_registers = 0x20;
	race(&pl031_class, NULL, write_registers, NULL);
}

static void buttons(void **state)
{
	first_register = 0x3f8; /* the data of all lines but one, and of all */
	end_of_registers = 0x424;
	race(&pl061_class, NULL, write_registers, poke_button);
}

static void watchdog(void **state)
{
	void *node = calloc(1, sp805_class.config_bytes + 1);

	race(&sp805_class, node, feed_watchdog, poke_watchdog);
	free(node);
}

static void flash(void **state)
{
	char path[] = "/tmp/test-device-race.XXXXXX";
	const struct flash_config config = { .path.name = path };
	struct kvm_seam seam = kvm_kernel;
	int fd = mkstemp(path);

	assert_int_equal(ftruncate(fd, FLASH_BYTES_MIN), 0);
	close(fd);
	seam.ioctl = set_slot;
	kvm_seam = &seam;
	first_register = 0;
	end_of_registers = 0x100;
	race(&cfi_flash_class, &config, write_registers, poke_flash);
	kvm_seam = &kvm_kernel;
	unlink(path);
}

static void entropy(void **state)
{
	memset(ram, 0, sizeof(ram));
	offer(0, VRING_DESC_F_WRITE, NULL, 64);
	race_virtio(&virtio_rng_class, NULL, 0, NULL);
}

static void balloon(void **state)
{
	const uint32_t pfn = RAM_GPA / 4096 + 5 * QUEUE_SPAN / 4096;
	void *node = calloc(1, virtio_balloon_class.config_bytes);

	virtio_balloon_class.defaults(node);
	memset(ram, 0, sizeof(ram));
	for (unsigned q = 0; q < 2; q++)
		offer(q, 0, &pfn, sizeof(pfn));
	race_virtio(
		&virtio_balloon_class, node, 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM, poke_balloon);
	free(node);
}

static void console(void **state)
{
	static union {
		struct property_ports ports;
		uint8_t bytes[256];
	} node = { .ports = { 2, { "agent", "log" } } };
	/* Of the device and of the second port that they are there, and of this that it is open. */
	static const struct virtio_console_control messages[] = {
		{ 0, VIRTIO_CONSOLE_DEVICE_READY, 1 },
		{ 1, VIRTIO_CONSOLE_PORT_READY, 1 },
		{ 1, VIRTIO_CONSOLE_PORT_OPEN, 1 },
	};

	memset(ram, 0, sizeof(ram));
	for (unsigned q = 0; q < QUEUES; q++)
		offer(q, q % 2 ? 0 : VRING_DESC_F_WRITE, q % 2 ? (const uint8_t[64]){ 7 } : NULL,
			64);
	offer(3, 0, &messages[0], sizeof(messages[0]));
	for (unsigned i = 1; i < ARRAY_SIZE(messages); i++)
		memcpy(ram + 3 * QUEUE_SPAN + BUFFER_AT + i * 0x400, &messages[i],
			sizeof(messages[i]));
	race_virtio(&virtio_console_class, &node, 1 << VIRTIO_CONSOLE_F_MULTIPORT, poke_ends);
}

static void disk(void **state)
{
	char path[] = "/tmp/test-device-race.XXXXXX";
	const char *file = path;
	const struct property *property = virtio_blk_class.properties;
	uint8_t *node = calloc(1, virtio_blk_class.config_bytes);
	int fd = mkstemp(path);

	assert_int_equal(ftruncate(fd, MiB), 0);
	close(fd);
	virtio_blk_class.defaults(node);
	while (strcmp(property->name, "file"))
		property++;
	memcpy(node + property->offset, &file, sizeof(file));
	memset(ram, 0, sizeof(ram));
	/* Reads: a header of zeros, then room for a sector and the status. */
	offer(0, VRING_DESC_F_NEXT, NULL, 16);
	for (unsigned i = 0; i < OFFERED; i++) {
		struct vring_desc *desc = (struct vring_desc *)ram;

		desc[i].next = OFFERED + i;
		desc[OFFERED + i] = (struct vring_desc){
			.addr = desc[i].addr + 16, .len = 513, .flags = VRING_DESC_F_WRITE
		};
	}
	race_virtio(&virtio_blk_class, node, 0, NULL);
	free(node);
	unlink(path);
}

static void memory_device(void **state)
{
	const struct property_region region = { .gpa = WINDOW_GPA, .size = 64 * MiB };
	uint8_t *node = calloc(1, virtio_mem_class.config_bytes);
	const struct property *property = virtio_mem_class.properties;

	virtio_mem_class.defaults(node);
	while (strcmp(property->name, "memory-region"))
		property++;
	memcpy(node + property->offset, &region, sizeof(region));
	memset(ram, 0, sizeof(ram));
	/* UNPLUG_ALL, and an answer. */
	offer(0, VRING_DESC_F_NEXT, (const uint8_t[24]){ 2 }, 24);
	for (unsigned i = 0; i < OFFERED; i++) {
		struct vring_desc *desc = (struct vring_desc *)ram;

		desc[i].next = OFFERED + i;
		desc[OFFERED + i] = (struct vring_desc){
			.addr = desc[i].addr + 32, .len = 10, .flags = VRING_DESC_F_WRITE
		};
	}
	race_virtio(&virtio_mem_class, node, 1 << 1, poke_mem);
	free(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uart),
		cmocka_unit_test(clock_),
		cmocka_unit_test(buttons),
		cmocka_unit_test(watchdog),
		cmocka_unit_test(flash),
		cmocka_unit_test(entropy),
		cmocka_unit_test(balloon),
		cmocka_unit_test(console),
		cmocka_unit_test(disk),
		cmocka_unit_test(memory_device),
	};

	return cmocka_run_group_tests_name("device-race", tests, NULL, NULL);
}
