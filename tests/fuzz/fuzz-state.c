/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what gives a device its state (devices/state.h), of every class: its own records, which the input spoils as it
 * likes. Where they are refused nothing of it may have changed; where they are taken, another device takes what is taken
 * out of it and is the same, and the guest and the host go on with it. It is reset and ends like any other.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "devices/state.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/helpers/any-device.h"
#include "tests/unit/helpers/fake-disk.h"
#include "tests/unit/helpers/fake-loop.h"

#define RECORDS_MAX 16384

enum {
	STEP_VALUE = STEPS_OF_MEMORY,
	STEP_HEAD,
	STEP_DROP,
	STEP_COPY,
	STEP_BYTES,
	STEP_CUT,
	STEP_PUT,
	STEP_ACCESS,
	STEP_HOST,
	STEP_TIME,
	STEP_RESET,
	STEP_RUN,
	STEPS
};

static struct device *device;
static _Alignas(8) uint8_t registers[0x200];

/* As the input has made them; and whether the device may be given them, as one that is new or was reset. */
static uint8_t records[RECORDS_MAX];
static size_t bytes;
static bool fresh;

static struct virtio_device *virtio_of(void)
{
	return device->class->kind == DEVICE_VIRTIO
		       ? container_of(device, struct virtio_device, base)
		       : NULL;
}

/* ---- Records ---- */

/* Where number `which` begins, of those whose lengths are still good, and how many bytes it has; NULL if there is none. */
static uint8_t *record_at(unsigned which, size_t *ret_bytes)
{
	uint8_t *found[256];
	size_t lens[ARRAY_SIZE(found)];
	unsigned count = 0;

	for (size_t at = 0; count < ARRAY_SIZE(found) && bytes - at >= sizeof(struct state_record);
		count++) {
		struct state_record record;
		uint64_t len;

		memcpy(&record, records + at, sizeof(record));
		len = sizeof(record) + record.name_bytes +
		      (uint64_t)record.count * record.value_bytes;
		if (len > bytes - at)
			break;
		found[count] = records + at;
		lens[count] = len;
		at += len;
	}
	if (!count)
		return NULL;
	*ret_bytes = lens[which % count];
	return found[which % count];
}

/* One that a field may have: small, an address, or anything. */
static uint64_t take_value(struct input *input)
{
	uint8_t how = input_take(input, 1);

	switch (how & 7) {
	case 0:
		return input_take(input, 8);
	case 1:
		return input_gpa(input);
	case 2:
		return UINT64_MAX >> (how >> 3);
	case 3:
		return RAM_GPA + (how >> 3) * (QUEUE_AT / 8); /* parts of rings */
	case 4:
		return (how >> 3) * BLOCK_BYTES;
	default:
		return how >> 3;
	}
}

static void set_value(uint8_t *record, struct input *input)
{
	struct state_record head;
	uint8_t element = input_take(input, 1);
	uint64_t value = take_value(input);

	memcpy(&head, record, sizeof(head));
	if (head.count)
		memcpy(record + sizeof(head) + head.name_bytes +
				element % head.count * head.value_bytes,
			&value, head.value_bytes < 8 ? head.value_bytes : 8);
}

static void set_named(const char *name, unsigned element, uint64_t value)
{
	struct state_record head;
	uint8_t *record;
	size_t len;

	for (unsigned i = 0; i < 64; i++) {
		record = record_at(i, &len);
		if (!record)
			return;
		memcpy(&head, record, sizeof(head));
		if (head.name_bytes == strlen(name) && head.value_bytes <= 8 &&
			element < head.count &&
			!memcmp(record + sizeof(head), name, head.name_bytes))
			memcpy(record + sizeof(head) + head.name_bytes + element * head.value_bytes,
				&value, head.value_bytes);
	}
}

/* As of a device that runs, with queues where the memory's steps have them. */
static void run(struct input *input)
{
	const struct virtio_device *virtio = virtio_of();
	uint32_t size = RING_MAX;
	uint64_t features;

	if (!virtio)
		return;
	features = virtio->features & ~(uint64_t)input_take(input, 4);
	if (size > virtio->class->queue_size_max)
		size = virtio->class->queue_size_max;
	set_named("status", 0, 15);
	set_named("driver-features", 0, features);
	for (unsigned q = 0; q < QUEUES && q < virtio->class->queue_count; q++) {
		set_named("queue-size", q, size);
		set_named("queue-desc", q, RAM_GPA + q * QUEUE_AT);
		set_named("queue-avail", q, RAM_GPA + q * QUEUE_AT + AVAIL_AT);
		set_named("queue-used", q, RAM_GPA + q * QUEUE_AT + USED_AT);
		set_named("queue-ready", q, 1);
		set_named("queue-event-idx", q, features >> VIRTIO_RING_F_EVENT_IDX & 1);
		set_named("queue-indirect", q, features >> VIRTIO_RING_F_INDIRECT_DESC & 1);
	}
}

static void append(const uint8_t *from, size_t len)
{
	if (len > RECORDS_MAX - bytes)
		return;
	memmove(records + bytes, from, len);
	bytes += len;
}

/* True if `what` was a step that spoils the records. */
static bool spoil(unsigned what, struct input *input)
{
	uint8_t *record = NULL, more[16];
	size_t len = 0, at;

	if (what == STEP_VALUE || what == STEP_HEAD || what == STEP_DROP || what == STEP_COPY) {
		record = record_at(input_take(input, 1), &len);
		if (!record)
			return true;
	}
	switch (what) {
	case STEP_VALUE:
		set_value(record, input);
		return true;
	case STEP_HEAD: /* a byte of its struct or its name */
		at = input_take(input, 1);
		record[at % len] = input_take(input, 1);
		return true;
	case STEP_DROP:
		bytes -= len;
		memmove(record, record + len, records + bytes - record);
		return true;
	case STEP_COPY:
		append(record, len);
		return true;
	case STEP_BYTES:
		len = input_take(input, 1) % sizeof(more);
		for (at = 0; at < len; at++)
			more[at] = input_take(input, 1);
		append(more, len);
		return true;
	case STEP_CUT:
		len = input_take(input, 1);
		bytes -= len < bytes ? len : bytes;
		return true;
	}
	return false;
}

/* ---- The device ---- */

static void make(const struct device_class *class)
{
	memset(registers, 0, sizeof(registers));
	CHECK(!make_any(class, &device));
}

static void take_records(void)
{
	bytes = device_state_bytes(device->class);
	CHECK(bytes <= RECORDS_MAX);
	device_take_state(device, records);
	fresh = true;
}

/* As the board does. */
static void reset(void)
{
	const struct device_class *class = device->class;

	if (class->drain)
		class->drain(device);
	if (class->quiesce)
		class->quiesce(device);
	class->reset(device);
	CHECK(!fuzz_mem.pins && !fake_disk_flight());
	CHECK(!virtio_of() || (!virtio_of()->state.status && !virtio_of()->all_in_flight));
}

static void check_queues(const struct virtio_device *virtio)
{
	for (unsigned q = 0; q < VIRTIO_QUEUES_MAX; q++) {
		const struct virtq *queue = &virtio->state.queues[q];

		CHECK(!queue->ready ||
			(q < virtio->class->queue_count && is_power_of_two(queue->size) &&
				queue->size <= virtio->class->queue_size_max &&
				is_aligned(queue->desc_gpa, 16) &&
				is_aligned(queue->avail_gpa, 2) && is_aligned(queue->used_gpa, 4)));
	}
}

/* What was put is taken out again, and put into another device. */
static void move(void)
{
	static uint8_t first[RECORDS_MAX], second[RECORDS_MAX];
	const struct device_class *class = device->class;
	const size_t len = device_state_bytes(class);

	device_take_state(device, first);
	device_destroy(device);
	make(class);
	CHECK(!device_put_state(device, first, len));
	device_take_state(device, second);
	CHECK(!memcmp(first, second, len));
}

static void put(void)
{
	const size_t size = device->class->bytes;
	const unsigned heard = interrupts, watches = fake_loop_watches(),
		       timers = fake_loop_timers();
	uint8_t *exact, *before, *after;
	int err;

	if (!fresh)
		return;
	/* Of the device all that it is, after what taking its state makes of it. */
	exact = malloc(bytes + !bytes);
	before = malloc(size);
	after = malloc(device_state_bytes(device->class));
	CHECK(exact && before && after);
	memcpy(exact, records, bytes);
	device_take_state(device, after);
	memcpy(before, device, size);
	err = device_put_state(device, exact, bytes);
	if (err) {
		CHECK(err == -EBADMSG || err == -ENOTSUP || err == -EINVAL || err == -EEXIST ||
			err == -ERANGE || err == -ENODATA);
		CHECK(!memcmp(before, device, size) && interrupts == heard);
		CHECK(fake_loop_watches() == watches && fake_loop_timers() == timers);
	} else {
		fresh = false;
		if (virtio_of())
			check_queues(virtio_of());
		move();
	}
	free(exact);
	free(before);
	free(after);
}

static void access_at(uint64_t offset, unsigned width, bool write, uint64_t data)
{
	struct mmio_access one = { .offset = offset, .size = width, .write = write };

	one.data = write ? data : 0;
	/* There is no other thread to end what a driver's reset waits for. */
	if (virtio_of())
		virtio_drain(virtio_of());
	pthread_mutex_lock(&device->lock);
	device->region.access(&device->region, &one);
	pthread_mutex_unlock(&device->lock);
}

static void host(uint8_t what, uint8_t len)
{
	static const uint8_t coming[256];
	struct chardev *end = &ends[what % PORT_COUNT];

	if (fake_disk_flight())
		fake_disk_end(len % fake_disk_flight(), what & 32 ? -EIO : 0);
	if (!end->client)
		return;
	end_takes = what & 16;
	if (what & 128) {
		end->connected = what & 64;
		if (end->client->connected)
			end->client->connected(end->client);
	} else if (what & 64) {
		end->client->writable(end->client);
	} else {
		CHECK(end->client->receive(end->client, coming, len) <= len);
	}
}

static void step(struct input *input)
{
	unsigned what = input_take(input, 1) % STEPS;
	uint8_t how;
	uint16_t offset;

	if (fuzz_memory_step(what, input) || spoil(what, input))
		return;
	switch (what) {
	case STEP_PUT:
		put();
		break;
	case STEP_ACCESS:
		how = input_take(input, 1);
		offset = input_take(input, 2) % 0x1000;
		access_at(how & 64 ? offset : offset & ~3u, how & 64 ? 1u << how % 4 : 4, how & 128,
			input_take(input, 4));
		fresh = false;
		break;
	case STEP_HOST:
		how = input_take(input, 1);
		host(how, input_take(input, 1));
		break;
	case STEP_TIME:
		fake_loop_advance(input_take(input, 1) * UINT64_C(100));
		break;
	case STEP_RUN:
		run(input);
		break;
	case STEP_RESET:
		reset();
		take_records();
		break;
	}
	fake_loop_run_tasks();
	fake_loop_serve();
}

static void no_log(enum log_level severity, const char *line)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	unsigned classes = 0;

	while (class_at(classes))
		classes++;
	log_set_sink(no_log);
	fuzz_mem_start();
	env.mem = &fuzz_mem;
	env.window = &fuzz_window;
	env.registers = registers;
	end_takes = false;
	make(class_at(input_take(&input, 1) % classes));
	take_records();
	while (input.at < input.end)
		step(&input);
	put();
	fake_loop_run_tasks();
	fake_loop_serve();
	reset();
	device_destroy(device);
	free_node();
	fake_loop_run_tasks();
	CHECK(!fake_loop_watches() && !fake_loop_timers());
	return 0;
}
