/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device under test (mmio.h) of any class, and records of its state that are written here, by a hand of their own, from
 * the tables of its class.
 */
#ifndef SLUICE_TESTS_UNIT_STATE_BENCH_H
#define SLUICE_TESTS_UNIT_STATE_BENCH_H

#include "tests/unit/helpers/unit.h"

#include <linux/virtio_ring.h>
#include <string.h>

#include "devices/state.h"
#include "devices/virtio/virtio-mem.h"
#include "devices/virtio/virtio-transport.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/any-device.h"
#include "tests/unit/helpers/fake-loop.h"
#include "tests/unit/helpers/mmio.h"

#define BLOCK	    (2 * MiB)
#define RECORDS_MAX 8192

static unsigned log_lines;

static inline void count_log(enum log_level severity, const char *line)
{
	log_lines++;
}

static inline void make(const struct device_class *class)
{
	memset(registers, 0, sizeof(registers));
	env.registers = registers;
	line_high = false;
	device = NULL;
	assert_int_equal(make_any(class, &device), 0);
}

static inline void end(void)
{
	device_destroy(device);
	device = NULL;
}

/* ---- Records ---- */

static uint8_t records[RECORDS_MAX], again[RECORDS_MAX], before[RECORDS_MAX];

/* Field number `index`, holes left out; NULL beyond the last. */
static inline const struct state_field *field_at(const struct device_class *class, unsigned index)
{
	for (unsigned i = 0; class->state[i]; i++)
		for (const struct state_field *f = class->state[i]->fields; f->bytes; f++)
			if (f->name && !index--)
				return f;
	return NULL;
}

static inline const struct state_field *field_named(const char *name)
{
	const struct state_field *field;
	unsigned i = 0;

	while ((field = field_at(device->class, i)) && strcmp(field->name, name))
		i++;
	assert_non_null(field);
	return field;
}

static inline uint8_t *at(const struct state_field *field, unsigned element)
{
	return (uint8_t *)device + field->offset + element * field->stride;
}

static inline uint64_t get(const char *name, unsigned element)
{
	const struct state_field *field = field_named(name);
	uint64_t value = 0;

	memcpy(&value, at(field, element), field->bytes);
	return value;
}

/* Into the struct. */
static inline void set(const char *name, unsigned element, uint64_t value)
{
	const struct state_field *field = field_named(name);

	memcpy(at(field, element), &value, field->bytes);
}

static inline size_t write_record(uint8_t *to, const struct state_field *field)
{
	size_t name = strlen(field->name);
	const uint32_t count = field->count;

	to[0] = (uint8_t)name;
	to[1] = (uint8_t)field->bytes;
	memset(to + 2, 0, 2);
	memcpy(to + 4, &count, sizeof(count));
	memcpy(to + 8, field->name, name);
	for (unsigned i = 0; i < field->count; i++)
		memcpy(to + 8 + name + i * field->bytes, at(field, i), field->bytes);
	return 8 + name + (size_t)field->count * field->bytes;
}

static inline size_t write_all(uint8_t *to)
{
	const struct state_field *field;
	size_t bytes = 0;

	for (unsigned i = 0; (field = field_at(device->class, i)); i++)
		bytes += write_record(to + bytes, field);
	assert_true(bytes <= RECORDS_MAX);
	return bytes;
}

/* How many values a record says that it has, and its length by what it says. */
static inline uint32_t count_of(const uint8_t *record)
{
	uint32_t count;

	memcpy(&count, record + 4, sizeof(count));
	return count;
}

static inline size_t bytes_of(const uint8_t *record)
{
	return 8 + record[0] + (size_t)record[1] * count_of(record);
}

/* Where the record of a field begins. */
static inline uint8_t *record_of(uint8_t *all, const char *name)
{
	while (all[0] != strlen(name) || memcmp(all + 8, name, all[0]))
		all += bytes_of(all);
	return all;
}

static inline void set_value(uint8_t *record, unsigned element, uint64_t value)
{
	memcpy(record + 8 + record[0] + element * record[1], &value, record[1]);
}

static size_t sound_bytes;

static inline void assert_refused(const char *what, const uint8_t *all, size_t bytes, int expected)
{
	const unsigned heard = interrupts;
	int err;

	device_take_state(device, before);
	err = device_put_state(device, all, bytes);
	if (err != expected)
		fail_msg("%s: %s: %d", device->class->compatible, what, err);
	write_all(again);
	assert_memory_equal(before, again, sound_bytes);
	assert_int_equal(interrupts, heard);
}

/* A device whose queue 0 is ready and the others are not. */
static inline void make_running(const struct device_class *class)
{
	struct virtio_device *virtio;

	make(class);
	virtio = container_of(device, struct virtio_device, base);
	virtio->state.status = 15;
	virtio->state.driver_features = virtio->features;
	virtio->state.interrupt_status = VIRTIO_USED_BUFFER;
	virtio->state.queues[0] = (struct virtq){
		.size = 4,
		.desc_gpa = 0x1000,
		.avail_gpa = 0x2000,
		.used_gpa = 0x3000,
		.next_avail = 2, /* four more than were returned, over the end of numbers */
		.next_used = 65534,
		.ready = true,
		.event_idx = virtio->features >> VIRTIO_RING_F_EVENT_IDX & 1,
		.indirect = virtio->features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
	};
	if (class == &virtio_mem_class)
		set("usable-region-size", 0, 7 * BLOCK);
	sound_bytes = write_all(records);
	end();
	make(class);
}

/* ---- A test ---- */

static inline int setup(void **unused)
{
	log_set_sink(count_log);
	window.config =
		(struct window_config){ .gpa = 4 * GiB, .size = 64 * BLOCK, .block_bytes = BLOCK };
	window.plugged[1] = window.plugged[5] = true;
	return 0;
}

static inline int teardown(void **unused)
{
	end();
	free_node();
	return fake_loop_watches() || fake_loop_timers();
}

#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
