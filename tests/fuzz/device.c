/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio device and a driver that the input makes up; see device.h. */
#include "tests/fuzz/device.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "tests/unit/helpers/fake-loop.h"

enum {
	STEP_NOTIFY = STEPS_OF_MEMORY,
	STEP_ACCESS,
	STEP_REGISTER, /* 4 bytes, aligned: what does something */
	STEP_HOST,
	STEP_TIME,
	STEP_START,
	STEP_RESET,
	STEPS
};

static struct device *device;
static struct virtio_device *virtio;

static void set_line(struct irq_line *line, bool level)
{
	(void)line, (void)level;
}

/* What the driver would read without an exit. */
static _Alignas(8) uint8_t registers[0x200];

static struct irq_line line = { .set = set_line };

void *fuzz_property(void *node, const char *name, enum property_type type)
{
	const struct property *property = fuzz_target.class->properties;

	while (strcmp(property->name, name) || property->type != type)
		property++;
	return (char *)node + property->offset;
}

/* What waits for requests in flight would wait for ever here: there is no other thread to end them. */
static bool waits(const struct mmio_access *access)
{
	return access->write &&
	       (access->offset == VIRTIO_MMIO_STATUS || access->offset == VIRTIO_MMIO_QUEUE_READY);
}

/* Of the configuration space its bytes, and zeros beyond. */
static void check_config_read(uint64_t offset, unsigned size, uint64_t data)
{
	for (unsigned i = 0; i < size; i++)
		CHECK((uint8_t)(data >> 8 * i) ==
			(offset + i < virtio->class->config_bytes
					? ((const uint8_t *)virtio->config)[offset + i]
					: 0));
}

static uint64_t access_at(uint64_t offset, unsigned size, bool write, uint64_t data)
{
	struct mmio_access one = { .offset = offset, .size = size, .write = write };
	struct virtio_state before = virtio->state;

	one.data = write ? data : 0;
	if (waits(&one))
		virtio_drain(virtio);
	pthread_mutex_lock(&device->lock);
	device->region.access(&device->region, &one);
	pthread_mutex_unlock(&device->lock);
	/* A read changes nothing, nor does what is no register; and gives no more than its width. */
	if (!write || offset >= VIRTIO_MMIO_CONFIG || size != 4 || offset % 4)
		CHECK(!memcmp(&before, &virtio->state, sizeof(before)));
	if (!write && offset < VIRTIO_MMIO_CONFIG && (size != 4 || offset % 4))
		CHECK(!one.data);
	CHECK(write || size == 8 || !(one.data >> (8 * size)));
	if (!write && offset + size <= sizeof(registers) &&
		(offset >= VIRTIO_MMIO_CONFIG || (size == 4 && offset % 4 == 0)))
		CHECK(!memcmp(registers + offset, &one.data, size));
	if (!write && offset >= VIRTIO_MMIO_CONFIG)
		check_config_read(offset - VIRTIO_MMIO_CONFIG, size, one.data);
	return one.data;
}

static void set(uint64_t offset, uint32_t value)
{
	access_at(offset, 4, true, value);
}

static void start(struct input *input)
{
	uint8_t how = input_take(input, 1);
	uint64_t features = virtio->features;
	uint32_t size = RING_MAX < virtio->class->queue_size_max ? RING_MAX
								 : virtio->class->queue_size_max;

	/* Without some of the features, or by the input's, which may be none of the device's. */
	if (how & 1)
		features &= ~(input_take(input, 8) & 0xffffffff);
	if (how & 2)
		features = input_take(input, 8);
	set(VIRTIO_MMIO_STATUS, 0);
	set(VIRTIO_MMIO_STATUS, 3);
	for (unsigned half = 0; half < 2; half++) {
		set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		set(VIRTIO_MMIO_DRIVER_FEATURES, features >> 32 * half);
	}
	set(VIRTIO_MMIO_STATUS, 11);
	for (unsigned q = 0; q < QUEUES; q++) {
		memset(fuzz_ram + q * QUEUE_AT, 0, QUEUE_AT);
		set(VIRTIO_MMIO_QUEUE_SEL, q);
		set(VIRTIO_MMIO_QUEUE_NUM, how & 4 ? input_take(input, 2) : size);
		set(VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA + q * QUEUE_AT);
		set(VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + q * QUEUE_AT + AVAIL_AT);
		set(VIRTIO_MMIO_QUEUE_USED_LOW, RAM_GPA + q * QUEUE_AT + USED_AT);
		set(VIRTIO_MMIO_QUEUE_READY, 1);
	}
	set(VIRTIO_MMIO_STATUS, 15);
}

static void step(struct input *input)
{
	unsigned what = input_take(input, 1) % STEPS, size;
	uint32_t offset;

	if (fuzz_memory_step(what, input))
		return;
	switch (what) {
	case STEP_NOTIFY:
		set(VIRTIO_MMIO_QUEUE_NOTIFY, input_take(input, 1) % QUEUES);
		fake_loop_serve();
		break;
	case STEP_ACCESS:
		size = input_take(input, 1);
		offset = input_take(input, 2) % (VIRTIO_MMIO_CONFIG * 3);
		access_at(offset, 1u << size % 4, size & 128, input_take(input, 8));
		break;
	case STEP_REGISTER:
		offset = input_take(input, 1);
		if (offset & 1)
			set(offset & ~3u, input_take(input, 4));
		else
			access_at(offset & ~3u, 4, false, 0);
		break;
	case STEP_HOST:
		if (fuzz_target.host)
			fuzz_target.host(device, input);
		break;
	case STEP_TIME:
		fake_loop_advance(input_take(input, 1) * UINT64_C(100));
		fake_loop_serve();
		break;
	case STEP_START:
		start(input);
		break;
	case STEP_RESET:
		device->class->reset(device);
		break;
	}
}

/* What the transport says of itself holds, whatever the driver did (2.1, 2.2, 2.7). */
static void check(void)
{
	const struct virtio_state *state = &virtio->state;
	const uint32_t known = 15 | VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;
	unsigned in_flight = 0;

	CHECK(!(state->status & ~known) && state->interrupt_status <= 3);
	if (state->status & VIRTIO_CONFIG_S_DRIVER_OK)
		CHECK(state->status & VIRTIO_CONFIG_S_FEATURES_OK);
	if (state->status & VIRTIO_CONFIG_S_FEATURES_OK)
		CHECK(!(state->driver_features & ~virtio->features) &&
			state->driver_features & VIRTIO_FEATURE(VIRTIO_F_VERSION_1));
	for (unsigned q = 0; q < VIRTIO_QUEUES_MAX; q++) {
		const struct virtq *queue = &state->queues[q];

		in_flight += virtio->in_flight[q];
		if (queue->ready)
			CHECK(q < virtio->class->queue_count && is_power_of_two(queue->size) &&
				queue->size <= virtio->class->queue_size_max &&
				virtio->in_flight[q] <= queue->size &&
				state->status & VIRTIO_CONFIG_S_FEATURES_OK);
	}
	CHECK(in_flight == virtio->all_in_flight);
	for (uint64_t offset = 0; offset < sizeof(registers); offset += 4)
		access_at(offset, 4, false, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(16) uint8_t node[1024];
	const struct device_env env = {
		.id = "fuzz",
		.transport = &virtio_mmio_transport,
		.loop = (struct loop *)&device,
		.irq = &line,
		.registers = registers,
		.mem = &fuzz_mem,
		.window = &fuzz_window,
		.ports = fuzz_target.ports,
	};
	const struct device_class *class = fuzz_target.class;
	struct input input = { data, data + size };

	CHECK(sizeof(node) >= class->config_bytes);
	memset(node, 0, sizeof(node));
	if (class->defaults)
		class->defaults(node);
	if (fuzz_target.node)
		fuzz_target.node(node, input_take(&input, 1));
	fuzz_mem_start();
	CHECK(!device_create(class, node, &env, &device));
	virtio = container_of(device, struct virtio_device, base);
	start(&input);
	while (input.at < input.end) {
		step(&input);
		check();
		if (fuzz_target.check)
			fuzz_target.check(device, false);
	}
	class->reset(device);
	check();
	CHECK(!virtio->state.status && !virtio->all_in_flight && !fuzz_mem.pins);
	if (fuzz_target.check)
		fuzz_target.check(device, true);
	device_destroy(device);
	CHECK(!fake_loop_watches() && !fake_loop_timers());
	return 0;
}
