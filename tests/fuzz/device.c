/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio device and a driver that the input makes up; see device.h. */
#include "tests/fuzz/device.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "tests/unit/helpers/direct-transport.h"
#include "tests/unit/helpers/fake-loop.h"

enum {
	STEP_NOTIFY = STEPS_OF_MEMORY,
	STEP_ACCESS,
	STEP_OTHER,
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

_Alignas(8) uint8_t fuzz_registers[0x200];

static struct irq_line line = { .set = set_line };

void *fuzz_property(void *node, const char *name, enum property_type type)
{
	const struct property *property = fuzz_target.class->properties;

	while (strcmp(property->name, name) || property->type != type)
		property++;
	return (char *)node + property->offset;
}

/* ---- The driver that calls the core ---- */

static uint8_t shown[VIRTIO_MMIO_CONFIG];
static unsigned selected;

/* As of a transport that has a page for it: what the device has not said of its configuration space is found missing. */
static void show(const struct virtio_device *of)
{
	CHECK(of->class->config_bytes <= sizeof(shown));
	if (of->class->config_bytes)
		memcpy(shown, of->config, of->class->config_bytes);
}

static int init(struct virtio_device *of)
{
	selected = 0;
	show(of);
	return direct_init(of);
}

static const struct virtio_transport transport = {
	.init = init,
	.finish = direct_nothing,
	.show = show,
	.interrupt = direct_interrupt,
};

static void notify(struct virtio_device *of, unsigned index)
{
	if (index < of->class->queue_count)
		virtio_kick(of, index);
}

static void start_queue(struct virtio_device *of, unsigned index, const struct virtq *asked)
{
	if (index < of->class->queue_count)
		direct_start_queue(of, index, asked);
}

static void access_config(struct virtio_device *of, struct input *input)
{
	unsigned size = input_take(input, 1);
	uint64_t offset = input_take(input, 2) % (VIRTIO_MMIO_CONFIG * 3) - VIRTIO_MMIO_CONFIG;
	uint64_t data = input_take(input, 8);

	if (size & 128 && offset < of->class->config_bytes && of->class->write_config) {
		pthread_mutex_lock(&of->base.lock);
		of->class->write_config(of, offset, 1u << size % 4, data);
		pthread_mutex_unlock(&of->base.lock);
	}
}

/* What it can do at any time, by the numbers of the registers that are for it. */
static void call(struct virtio_device *of, struct input *input)
{
	uint8_t what = input_take(input, 1);
	uint32_t value = what & 1 ? input_take(input, 4) : 0;
	struct virtq *queue = selected < of->class->queue_count ? &of->state.queues[selected]
								: NULL;

	if (!(what & 1))
		return;
	virtio_drain(of);
	pthread_mutex_lock(&of->base.lock);
	switch (what & ~3) {
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_take_features(of, UINT32_MAX, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		selected = value;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
		if (queue && !queue->ready)
			queue->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		if (queue && value & 1)
			virtio_start_queue(of, selected);
		else if (queue)
			virtio_stop_queue(of, selected);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		notify(of, value);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_write_status(of, value);
		break;
	}
	pthread_mutex_unlock(&of->base.lock);
}

static void check_shown(struct virtio_device *of)
{
	CHECK(!of->class->config_bytes || !memcmp(shown, of->config, of->class->config_bytes));
}

static const struct fuzz_driver direct = {
	.transport = &transport,
	.negotiate = direct_negotiate,
	.start_queue = start_queue,
	.write_status = direct_write_status,
	.notify = notify,
	.access = access_config,
	.other = call,
	.check = check_shown,
};

static const struct fuzz_driver *driver(void)
{
	return fuzz_target.driver ? fuzz_target.driver : &direct;
}

/* ---- A run ---- */

/* A transport shows what has changed by what the driver did; one that is fuzzed does so itself. */
static void after_driver(void)
{
	if (driver() != &direct)
		return;
	pthread_mutex_lock(&device->lock);
	show(virtio);
	pthread_mutex_unlock(&device->lock);
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
	virtio_drain(virtio);
	driver()->negotiate(virtio, features);
	for (unsigned q = 0; q < QUEUES; q++) {
		const uint64_t at = RAM_GPA + q * QUEUE_AT;

		memset(fuzz_ram + q * QUEUE_AT, 0, QUEUE_AT);
		driver()->start_queue(virtio, q,
			&(struct virtq){ .size = how & 4 ? input_take(input, 2) : size,
				.desc_gpa = at,
				.avail_gpa = at + AVAIL_AT,
				.used_gpa = at + USED_AT });
	}
	driver()->write_status(virtio, 15);
}

static void step(struct input *input)
{
	unsigned what = input_take(input, 1) % STEPS;

	if (fuzz_memory_step(what, input))
		return;
	switch (what) {
	case STEP_NOTIFY:
		driver()->notify(virtio, input_take(input, 1) % QUEUES);
		fake_loop_serve();
		break;
	case STEP_ACCESS:
		driver()->access(virtio, input);
		after_driver();
		break;
	case STEP_OTHER:
		driver()->other(virtio, input);
		after_driver();
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
		after_driver();
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
	driver()->check(virtio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(16) uint8_t node[1024];
	const struct device_env env = {
		.id = "fuzz",
		.transport = driver()->transport,
		.loop = (struct loop *)&device,
		.irq = &line,
		.registers = fuzz_registers,
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
	after_driver();
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
