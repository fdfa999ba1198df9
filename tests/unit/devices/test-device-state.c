/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of every class: its table describes all of its struct, what was put is there, and records that nobody can have
 * written change nothing.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "devices/arm/cfi-flash.h"
#include "devices/arm/pl011.h"
#include "devices/arm/pl031.h"
#include "devices/arm/pl061.h"
#include "devices/arm/primecell.h"
#include "devices/arm/sp805.h"
#include "devices/virtio/virtio-net.h"
#include "tests/unit/helpers/fake-network.h"
#include "tests/unit/helpers/state-bench.h"

#define ROUNDS 16

static bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

/* ---- Values ---- */

static uint64_t seed;

static uint64_t random64(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed ^ seed >> 29;
}

static void fill_field(const struct state_field *field)
{
	for (unsigned i = 0; i < field->count; i++) {
		uint64_t value = random64();

		if (field->boolean)
			value = value >> 7 & 1;
		else if (field->min || field->max)
			value = field->min + value % (field->max - field->min + 1);
		memcpy(at(field, i), &value, field->bytes);
	}
}

/* What a class checks beyond the bounds of each value. */
static void make_sound(void)
{
	if (device->class->kind == DEVICE_VIRTIO) {
		struct virtio_device *virtio = container_of(device, struct virtio_device, base);

		virtio->state.driver_features = virtio->features;
		virtio->state.status = 15 | (random64() & VIRTIO_CONFIG_S_NEEDS_RESET);
		for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
			struct virtq *queue = &virtio->state.queues[i];

			if (i >= virtio->class->queue_count)
				queue->ready = false;
			if (!queue->ready)
				continue;
			queue->size = 1 << random64() % 4;
			queue->desc_gpa &= ~15ull;
			queue->avail_gpa &= ~1ull;
			queue->used_gpa &= ~3ull;
			queue->next_avail = queue->next_used + random64() % (queue->size + 1);
			queue->event_idx = virtio->features >> VIRTIO_RING_F_EVENT_IDX & 1;
			queue->indirect = virtio->features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
		}
	}
	if (device->class == &pl011_class) /* else what is to be sent comes in */
		set("cr", 0, get("cr", 0) & ~0x80ull);
	if (device->class == &virtio_mem_class) {
		set("requested-size", 0, 3 * BLOCK);
		set("usable-region-size", 0, 7 * BLOCK);
	}
	if (device->class == &sp805_class) {
		set("taken-ns", 0, get("taken-ns", 0) | 1ull << 62);
		set("start-ns", 0, get("start-ns", 0) >> 2);
		set("bitten-ns", 0, get("bitten-ns", 0) >> 2);
	}
	if (device->class == &cfi_flash_class) { /* in the midst of a buffer */
		set("mode", 0, 1);
		set("cycle", 0, 5);
		set("status", 0, get("status", 0) & 0x32);
		set("count", 0, 1 + random64() % 64);
		set("filled", 0, random64() % get("count", 0));
		set("base", 0, get("base", 0) % 128 * 1024);
	}
	if (device->class == &virtio_net_class)
		set("active", 0, 1 + random64() % PAIRS);
}

/* A value of its own in each field; as records. */
static size_t fill(uint8_t *to)
{
	const struct state_field *field;

	device_take_state(device, to); /* what is fixed, as it is */
	for (unsigned i = 0; (field = field_at(device->class, i)); i++)
		if (!field->fixed)
			fill_field(field);
	make_sound();
	return write_all(to);
}

/* What a put device makes of these itself: from what is on its lines, and from the host's ends. */
static bool is_settled(const struct state_field *field)
{
	return !strcmp(field->name, "ris") || !strcmp(field->name, "port-pending") ||
	       (device->class == &pl061_class &&
		       (!strcmp(field->name, "seen") || !strcmp(field->name, "edges")));
}

/* ---- Every class ---- */

/* Nothing in a struct of state is left out of its table, and nothing is in it twice. */
static void tables_cover_all(void **unused)
{
	const struct device_class *class;

	for (unsigned c = 0; (class = class_at(c)); c++) {
		bool common = false;
		unsigned count = 0;

		assert_non_null(class->state[0]);
		for (unsigned i = 0; class->state[i]; i++) {
			const struct state_part *part = class->state[i];
			uint8_t *covered = calloc(1, part->bytes);

			common |= part == (class->kind == DEVICE_VIRTIO ? &virtio_state
									: &primecell_state) ||
				  class == &cfi_flash_class; /* the only one of its kind */
			assert_true(part->offset + part->bytes <= class->bytes);
			for (const struct state_field *f = part->fields; f->bytes; f++)
				for (unsigned n = 0; n < f->count; n++)
					for (unsigned byte = 0; byte < f->bytes; byte++) {
						size_t where = f->offset + n * f->stride + byte;

						assert_in_range(where, part->offset,
							part->offset + part->bytes - 1);
						covered[where - part->offset]++;
					}
			for (size_t byte = 0; byte < part->bytes; byte++)
				if (covered[byte] != 1)
					fail_msg("%s: byte %zu of part %u is covered %u times",
						class->compatible, byte, i, covered[byte]);
			free(covered);
		}
		assert_true(common);
		for (const struct state_field *f; (f = field_at(class, count)); count++) {
			assert_in_range(strlen(f->name), 1, 255);
			assert_true(
				f->bytes == 1 || f->bytes == 2 || f->bytes == 4 || f->bytes == 8);
			for (unsigned other = 0; other < count; other++)
				assert_string_not_equal(f->name, field_at(class, other)->name);
		}
		assert_in_range(count, 1, 64);
	}
}

static void what_is_put_is_there(void **unused)
{
	const struct device_class *class;
	const struct state_field *field;

	for (unsigned c = 0; (class = class_at(c)); c++)
		for (seed = 1; seed <= ROUNDS; seed += 1) {
			uint64_t round = seed;
			size_t bytes, record;

			make(class);
			assert_true(device_state_bytes(class) <= RECORDS_MAX);
			bytes = fill(records);
			assert_int_equal(bytes, device_state_bytes(class));
			end();
			make(class);
			assert_int_equal(device_put_state(device, records, bytes), 0);
			for (unsigned i = 0; (field = field_at(class, i)); i++) {
				record = write_record(again, field);
				if (!is_settled(field) &&
					memcmp(record_of(records, field->name), again, record))
					fail_msg("%s: %s is not what was put", class->compatible,
						field->name);
			}
			memset(before, 0, sizeof(before));
			device_take_state(device, before);
			write_all(again);
			assert_memory_equal(before, again, bytes);
			end();
			make(class);
			assert_int_equal(device_put_state(device, before, bytes), 0);
			device_take_state(device, again);
			assert_memory_equal(before, again, bytes);
			end();
			seed = round;
		}
}

/* ---- Records that nobody wrote ---- */

/* Calls it for each class, with a device and its sound records; and these still are, after. */
static void for_each_class(void (*call)(void))
{
	const struct device_class *class;

	for (unsigned c = 0; (class = class_at(c)); c++) {
		seed = c + 1;
		make(class);
		sound_bytes = fill(records);
		end();
		make(class);
		call();
		end();
	}
}

static void cut_short(void)
{
	uint8_t *exact;

	for (size_t bytes = 0; bytes < sound_bytes; bytes++) {
		const uint8_t *record = records;

		while (record < records + bytes)
			record += bytes_of(record);
		exact = __real_malloc(bytes + 1); /* the sanitizers see a read beyond */
		memcpy(exact, records, bytes);
		assert_refused(
			"cut short", exact, bytes, record == records + bytes ? -ENODATA : -EBADMSG);
		free(exact);
	}
}

static void set_count(uint8_t *record, uint32_t count)
{
	memcpy(record + 4, &count, sizeof(count));
}

/* With the record of each field spoilt. */
static void spoilt(void)
{
	static uint8_t spoil[RECORDS_MAX + 1024];
	const struct state_field *field;

	for (unsigned i = 0; (field = field_at(device->class, i)); i++) {
		uint8_t *record;
		size_t bytes;

		memcpy(spoil, records, sound_bytes);
		record = record_of(spoil, field->name);
		bytes = bytes_of(record);
		/* Behind the others, so that its length may be another. */
		memmove(record, record + bytes, sound_bytes - bytes - (record - spoil));
		assert_refused(field->name, spoil, sound_bytes - bytes, -ENODATA);
		record = spoil + sound_bytes - bytes;
		memset(record, 0, sizeof(spoil) - sound_bytes);
		write_record(record, field);
		memcpy(record, record_of(records, field->name), bytes);
		set_count(record, field->count + 1u);
		assert_refused("one more", spoil, sound_bytes + record[1], -EINVAL);
		set_count(record, field->count - 1u);
		assert_refused("one less", spoil, sound_bytes - record[1], -EINVAL);
		set_count(record, field->count);
		record[1]++;
		assert_refused("wider", spoil, sound_bytes + field->count, -EINVAL);
		record[1] = 0;
		assert_refused("of no width", spoil,
			sound_bytes - (size_t)field->count * field->bytes, -EINVAL);
		record[1] = (uint8_t)field->bytes;
		record[6] = record[7] = 0xff;
		assert_refused("far more", spoil, sound_bytes, -EBADMSG);
		record[6] = record[7] = 0;
		record[2] = 2;
		assert_refused("a flag that is none", spoil, sound_bytes, -EBADMSG);
		record[2] = 0;
		record[8] ^= 0x80;
		assert_refused("an unknown name", spoil, sound_bytes, -ENOTSUP);
		record[2] = STATE_OPTIONAL;
		assert_refused("one that may be left out, and none in its place", spoil,
			sound_bytes, -ENODATA);
		record[2] = 0;
		record[8] ^= 0x80;
		write_record(spoil + sound_bytes, field);
		assert_refused("twice", spoil, sound_bytes + bytes, -EEXIST);
		for (unsigned n = 0; n<field->count; n += field->count> 1 ? field->count - 1u : 1) {
			uint64_t value = 0;

			memcpy(&value, at(field, n), field->bytes);
			if (field->fixed)
				set_value(record, n, value ^ 1);
			else if (field->boolean)
				set_value(record, n, 2);
			else if (field->max && field->max + 1 < 1ull << (8 * field->bytes - 1))
				set_value(record, n, field->max + 1);
			else
				continue;
			assert_refused(field->name, spoil, sound_bytes, -ERANGE);
			if (field->min) {
				set_value(record, n, field->min - 1);
				assert_refused(field->name, spoil, sound_bytes, -ERANGE);
			}
			memcpy(record, record_of(records, field->name), bytes);
		}
	}
	assert_refused("no memory", (no_memory = true, records), sound_bytes, -ENOMEM);
	no_memory = false;
}

static void records_cut_short(void **unused)
{
	for_each_class(cut_short);
}

static void spoilt_records(void **unused)
{
	for_each_class(spoilt);
}

/* A newer writer's record, which may be left out; and the records in another order. */
static void records_of_others(void **unused)
{
	static const uint8_t newer[] = { 4, 8, 1, 0, 1, 0, 0, 0, 'n', 'e', 'w', '1', 1, 2, 3, 4, 5,
		6, 7, 8 };
	size_t first;

	make(&pl031_class);
	sound_bytes = write_all(records);
	first = bytes_of(records);
	memcpy(again, records + first, sound_bytes - first);
	memcpy(again + sound_bytes - first, newer, sizeof(newer));
	memcpy(again + sound_bytes - first + sizeof(newer), records, first);
	assert_int_equal(device_put_state(device, again, sound_bytes + sizeof(newer)), 0);
	write_all(again);
	assert_memory_equal(again, records, sound_bytes);
	end();
}

/* A field that older writers had not: it stays as it is where it is missing, and says so in its record. */
static void fields_that_may_be_missing(void **unused)
{
	struct {
		struct device base;
		struct {
			uint32_t old, newer;
		} state;
	} one = { .base.lock = PTHREAD_MUTEX_INITIALIZER, .state = { 1, 2 } };
	const struct state_field fields[] = {
		{ "old", STATE_ONE(__typeof__(one), state.old) },
		{ "newer", STATE_ONE(__typeof__(one), state.newer), .optional = true },
		{ 0 },
	};
	const struct state_part part = { STATE_PART(__typeof__(one), state), .fields = fields };
	const struct device_class class = { .bytes = sizeof(one), .state = { &part } };

	one.base.class = &class;
	assert_int_equal(device_state_bytes(&class), 8 + 3 + 4 + 8 + 5 + 4);
	device_take_state(&one.base, records);
	assert_int_equal(records[2], 0);
	assert_int_equal(records[15 + 2], STATE_OPTIONAL);
	one.state.old = one.state.newer = 7;
	assert_int_equal(device_put_state(&one.base, records, 15), 0);
	assert_int_equal(one.state.old, 1);
	assert_int_equal(one.state.newer, 7);
	assert_int_equal(device_put_state(&one.base, records + 15, 17), -ENODATA);
	assert_int_equal(one.state.newer, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STATE_TEST(tables_cover_all),
		STATE_TEST(what_is_put_is_there),
		STATE_TEST(records_cut_short),
		STATE_TEST(spoilt_records),
		STATE_TEST(records_of_others),
		STATE_TEST(fields_that_may_be_missing),
	};

	return cmocka_run_group_tests_name("device-state", tests, NULL, NULL);
}
