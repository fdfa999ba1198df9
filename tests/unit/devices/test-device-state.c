/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of every class: its table describes all of its struct, what was taken out of one device and put into
 * another is the same there, and goes on; and records that nobody can have written change nothing.
 */
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/arm/pl011.h"
#include "devices/arm/pl031.h"
#include "devices/arm/pl061.h"
#include "devices/arm/primecell.h"
#include "devices/arm/sp805.h"
#include "devices/backend/chardev.h"
#include "devices/state.h"
#include "devices/virtio/virtio-balloon.h"
#include "devices/virtio/virtio-blk.h"
#include "devices/virtio/virtio-console.h"
#include "devices/virtio/virtio-mem.h"
#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio-net.h"
#include "devices/virtio/virtio-vsock.h"
#include "devices/virtio/virtio.h"
#include "tests/unit/helpers/fake-clock.h"
#include "tests/unit/helpers/fake-disk.h"
#include "tests/unit/helpers/fake-loop.h"
#include "tests/unit/helpers/fake-network.h"
#include "tests/unit/helpers/fake-window.h"
#include "hyp/base/log.h"
#include "hyp/kvm/irq.h"
#include "hyp/memory/guestmem.h"
#include "tests/unit/helpers/mmio.h"
#include "tests/unit/helpers/unit.h"

#define BLOCK	    (2 * MiB)
#define RECORDS_MAX 8192
#define ROUNDS	    16
#define PORT_COUNT  2

/* ---- What devices stand on ---- */

static bool no_memory;
static unsigned log_lines, interrupts;
static bool level;
static struct guestmem mem;
static struct window window;
static void *node;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	return strcmp(path, "/dev/vhost-vsock") ? __real_open64(path, flags, 0600) : dup(0);
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	va_start(args, request);
	if (request == VHOST_GET_FEATURES)
		*va_arg(args, uint64_t *) = UINT64_MAX;
	va_end(args);
	return 0;
}

static void set_line(struct irq_line *line, bool high)
{
	level = high;
	interrupts += high;
}

static void count_log(enum log_level severity, const char *line)
{
	log_lines++;
}

/* The host's end takes nothing unless a test says so. */
static bool end_takes;
static uint8_t end_written;
static unsigned end_resumed;

static size_t end_write(struct chardev *chardev, const uint8_t *buf, size_t len)
{
	end_written = buf[0];
	return end_takes ? len : 0;
}

static void end_resume(struct chardev *chardev)
{
	end_resumed++;
}

static const struct chardev_ops end_ops = { end_write, end_resume };
static struct chardev ends[PORT_COUNT] = { { .ops = &end_ops }, { .ops = &end_ops } };
static struct chardev *const ports[] = { &ends[0], &ends[1] };
static struct irq_line irq = { .set = set_line };
static struct device_env env = {
	.id = "tested",
	.identity = 0x1122605d48d4d766,
	.transport = &virtio_mmio_transport,
	.loop = (struct loop *)&env,
	.mem = &mem,
	.irq = &irq,
	.registers = registers,
	.window = &window,
	.chardev = &ends[0],
	.ports = ports,
};

static const struct device_class *const fixed_classes[] = { &pl011_class, &pl031_class, &pl061_class };

/* Class number `index`: those that every machine has, and those of the table; NULL beyond the last. */
static const struct device_class *class_at(unsigned index)
{
	return index < ARRAY_SIZE(fixed_classes) ? fixed_classes[index]
						 : device_table[index - ARRAY_SIZE(fixed_classes)];
}

/* What the properties need that no class can have a default for. */
static void fill_node(const struct device_class *class)
{
	static const struct property_ports named = { PORT_COUNT, { "one", "two" } };
	static const char *const tap = "tap0";
	static const uint32_t three = 3;

	free(node);
	node = calloc(1, class->config_bytes + 1);
	if (class->defaults)
		class->defaults(node);
	for (const struct property *p = class->properties; p && p->name; p++) {
		char *at = (char *)node + p->offset;

		if (p->type == PROPERTY_PORTS)
			memcpy(at, &named, sizeof(named));
		else if (!strcmp(p->name, "tap"))
			memcpy(at, &tap, sizeof(tap));
		else if (!strcmp(p->name, "cid") || !strcmp(p->name, "queue-pairs"))
			memcpy(at, &three, sizeof(three));
	}
}

/* One at a time: some of what they stand on is for one. */
static void make(const struct device_class *class)
{
	memset(registers, 0, sizeof(registers));
	fill_node(class);
	level = false;
	device = NULL;
	assert_int_equal(device_create(class, node, &env, &device), 0);
}

static void end(void)
{
	device_destroy(device);
	device = NULL;
}

/* ---- Records, by a hand of their own ---- */

static uint8_t records[RECORDS_MAX], again[RECORDS_MAX], before[RECORDS_MAX];

/* Field number `index`, holes left out; NULL beyond the last. */
static const struct state_field *field_at(const struct device_class *class, unsigned index)
{
	for (unsigned i = 0; class->state[i]; i++)
		for (const struct state_field *f = class->state[i]->fields; f->bytes; f++)
			if (f->name && !index--)
				return f;
	return NULL;
}

static const struct state_field *field_named(const char *name)
{
	const struct state_field *field;
	unsigned i = 0;

	while ((field = field_at(device->class, i)) && strcmp(field->name, name))
		i++;
	assert_non_null(field);
	return field;
}

static uint8_t *at(const struct state_field *field, unsigned element)
{
	return (uint8_t *)device + field->offset + element * field->stride;
}

static uint64_t get(const char *name, unsigned element)
{
	const struct state_field *field = field_named(name);
	uint64_t value = 0;

	memcpy(&value, at(field, element), field->bytes);
	return value;
}

/* Into the struct. */
static void set(const char *name, unsigned element, uint64_t value)
{
	const struct state_field *field = field_named(name);

	memcpy(at(field, element), &value, field->bytes);
}

static size_t write_record(uint8_t *to, const struct state_field *field)
{
	size_t name = strlen(field->name);

	to[0] = (uint8_t)name;
	to[1] = (uint8_t)field->bytes;
	memset(to + 2, 0, 6);
	to[4] = (uint8_t)field->count;
	memcpy(to + 8, field->name, name);
	for (unsigned i = 0; i < field->count; i++)
		memcpy(to + 8 + name + i * field->bytes, at(field, i), field->bytes);
	return 8 + name + (size_t)field->count * field->bytes;
}

static size_t write_all(uint8_t *to)
{
	const struct state_field *field;
	size_t bytes = 0;

	for (unsigned i = 0; (field = field_at(device->class, i)); i++)
		bytes += write_record(to + bytes, field);
	assert_true(bytes <= RECORDS_MAX);
	return bytes;
}

/* Where the record of a field begins. */
static uint8_t *record_of(uint8_t *all, const char *name)
{
	while (all[0] != strlen(name) || memcmp(all + 8, name, all[0]))
		all += 8 + all[0] + all[1] * all[4];
	return all;
}

static void set_value(uint8_t *record, unsigned element, uint64_t value)
{
	memcpy(record + 8 + record[0] + element * record[1], &value, record[1]);
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

/* What a class looks at beyond the bounds of each value. */
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

/* Nothing in a struct of state is left out of its table, and nothing is told twice. */
static void tables_tell_all(void **unused)
{
	const struct device_class *class;

	for (unsigned c = 0; (class = class_at(c)); c++) {
		bool common = false;
		unsigned count = 0;

		assert_non_null(class->state[0]);
		for (unsigned i = 0; class->state[i]; i++) {
			const struct state_part *part = class->state[i];
			uint8_t *told = calloc(1, part->bytes);

			common |= part == (class->kind == DEVICE_VIRTIO ? &virtio_state : &primecell_state);
			assert_true(part->offset + part->bytes <= class->bytes);
			for (const struct state_field *f = part->fields; f->bytes; f++)
				for (unsigned n = 0; n < f->count; n++)
					for (unsigned byte = 0; byte < f->bytes; byte++) {
						size_t where = f->offset + n * f->stride + byte;

						assert_in_range(where, part->offset,
							part->offset + part->bytes - 1);
						told[where - part->offset]++;
					}
			for (size_t byte = 0; byte < part->bytes; byte++)
				if (told[byte] != 1)
					fail_msg("%s: byte %zu of part %u is told %u times",
						class->compatible, byte, i, told[byte]);
			free(told);
		}
		assert_true(common);
		for (const struct state_field *f; (f = field_at(class, count)); count++) {
			assert_in_range(strlen(f->name), 1, 255);
			assert_true(f->bytes == 1 || f->bytes == 2 || f->bytes == 4 || f->bytes == 8);
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

static size_t sound_bytes;

static void assert_refused(const char *what, const uint8_t *all, size_t bytes, int expected)
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
			record += 8 + record[0] + record[1] * record[4];
		exact = __real_malloc(bytes + 1); /* the sanitizers see a look beyond */
		memcpy(exact, records, bytes);
		assert_refused("cut short", exact, bytes,
			record == records + bytes ? -ENODATA : -EBADMSG);
		free(exact);
	}
}

/* With what stands in the record of each field spoilt. */
static void spoilt(void)
{
	static uint8_t spoil[RECORDS_MAX + 1024];
	const struct state_field *field;

	for (unsigned i = 0; (field = field_at(device->class, i)); i++) {
		uint8_t *record;
		size_t bytes;

		memcpy(spoil, records, sound_bytes);
		record = record_of(spoil, field->name);
		bytes = 8 + record[0] + record[1] * record[4];
		/* Behind the others, so that its length may be another. */
		memmove(record, record + bytes, sound_bytes - bytes - (record - spoil));
		assert_refused(field->name, spoil, sound_bytes - bytes, -ENODATA);
		record = spoil + sound_bytes - bytes;
		memset(record, 0, sizeof(spoil) - sound_bytes);
		write_record(record, field);
		memcpy(record, record_of(records, field->name), bytes);
		record[4]++;
		assert_refused("one more", spoil, sound_bytes + record[1], -EINVAL);
		record[4] -= 2;
		assert_refused("one less", spoil, sound_bytes - record[1], -EINVAL);
		record[4]++;
		record[1]++;
		assert_refused("wider", spoil, sound_bytes + record[4], -EINVAL);
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
		for (unsigned n = 0; n < field->count; n += field->count > 1 ? field->count - 1u : 1) {
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
	static const uint8_t newer[] = { 4, 8, 1, 0, 1, 0, 0, 0, 'n', 'e', 'w', '1', 1, 2, 3, 4, 5, 6, 7, 8 };
	size_t first;

	make(&pl031_class);
	sound_bytes = write_all(records);
	first = 8 + records[0] + records[1] * records[4];
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

/* ---- Values that do not fit together ---- */

static void assert_unfit(const char *name, unsigned element, uint64_t value)
{
	uint8_t wrong[RECORDS_MAX];

	memcpy(wrong, records, sound_bytes);
	set_value(record_of(wrong, name), element, value);
	assert_refused(name, wrong, sound_bytes, -EINVAL);
}

/* A device whose queue 0 is ready and the others are not. */
static void make_running(const struct device_class *class)
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
		.next_avail = 2, /* four more than were given back, over the end of numbers */
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

static void queues_that_cannot_be(void **unused)
{
	struct virtio_device *virtio;

	make_running(&virtio_mem_class);
	virtio = container_of(device, struct virtio_device, base);
	assert_unfit("status", 0, 31);
	assert_unfit("status", 0, 7);  /* DRIVER_OK without FEATURES_OK */
	assert_unfit("status", 0, 13); /* FEATURES_OK without DRIVER */
	assert_unfit("status", 0, 3); /* a queue is ready before FEATURES_OK */
	assert_unfit("driver-features", 0, virtio->features | 1ull << 60);
	assert_unfit("driver-features", 0, virtio->features & ~(1ull << VIRTIO_F_VERSION_1));
	assert_unfit("queue-size", 0, 3);
	assert_unfit("queue-size", 0, 0);
	assert_unfit("queue-size", 0, 256);
	assert_unfit("queue-desc", 0, 0x1008);
	assert_unfit("queue-avail", 0, 0x2001);
	assert_unfit("queue-used", 0, 0x3002);
	assert_unfit("queue-next-avail", 0, 3);
	assert_unfit("queue-next-avail", 0, 65533);
	assert_unfit("queue-event-idx", 0, 0);
	assert_unfit("queue-indirect", 0, 0);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	/* One more than the device has. */
	virtio->state.queues[1] = virtio->state.queues[0];
	write_all(records);
	assert_refused("two queues", records, sound_bytes, -EINVAL);
	end();
}

static void sizes_that_cannot_be(void **unused)
{
	make_running(&virtio_mem_class);
	assert_unfit("usable-region-size", 0, window.config.size + BLOCK);
	assert_unfit("usable-region-size", 0, BLOCK); /* less than is plugged */
	assert_unfit("requested-size", 0, BLOCK / 2);
	assert_unfit("requested-size", 0, window.config.size + BLOCK);
	end();
	make(&virtio_net_class);
	sound_bytes = write_all(records);
	assert_unfit("active", 0, PAIRS + 1);
	end();
	make(&sp805_class);
	set("taken-ns", 0, 100);
	sound_bytes = write_all(records);
	assert_unfit("start-ns", 0, 101);
	assert_unfit("bitten-ns", 0, 101);
	end();
}

/* Those on which a model relies, or which would make it do another thing than it could come to. */
static void values_out_of_bounds(void **unused)
{
	static const struct {
		const struct device_class *class;
		const char *name;
		uint64_t value;
	} cases[] = {
		{ &pl011_class, "rx-first", 16 },
		{ &pl011_class, "rx-count", 17 },
		{ &pl011_class, "tx-first", 16 },
		{ &pl011_class, "tx-count", 17 },
		{ &pl011_class, "idle-reads", 9 },
		{ &pl011_class, "cr", 0x10000 },
		{ &pl011_class, "imsc", 0x800 },
		{ &pl061_class, "in", 0x100 },
		{ &pl061_class, "held", PL061_PULSES_MAX + 1 },
		{ &sp805_class, "control", 4 },
		{ &sp805_class, "counts", 2 },
		{ &sp805_class, "taken-ns", 1ull << 63 },
		{ &virtio_balloon_class, "interrupt-status", 4 },
		{ &virtio_balloon_class, "again-ms", 4999 },
		{ &virtio_balloon_class, "again-ms", 60001 },
		{ &virtio_balloon_class, "again-left-ms", 60001 },
		{ &virtio_balloon_class, "interval-sec", VIRTIO_BALLOON_INTERVAL_MAX + 1 },
		{ &virtio_blk_class, "disk-bytes", FAKE_DISK_BYTES - 512 },
		{ &virtio_console_class, "port-pending", 1 << 5 },
		{ &virtio_console_class, "ports", PORT_COUNT + 1 },
		{ &virtio_mem_class, "block-size", BLOCK / 2 },
		{ &virtio_mem_class, "node", 1 },
		{ &virtio_mem_class, "addr", 8 * GiB },
		{ &virtio_mem_class, "region-size", 2 * BLOCK },
		{ &virtio_mem_class, "plugged-size", BLOCK },
		{ &virtio_net_class, "active", 0 },
		{ &virtio_net_class, "active", 256 - 1 },
		{ &virtio_vsock_class, "cid", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t wrong[RECORDS_MAX];

		make(cases[i].class);
		device_take_state(device, wrong);
		sound_bytes = device_state_bytes(cases[i].class);
		set_value(record_of(wrong, cases[i].name), 0, cases[i].value);
		assert_refused(cases[i].name, wrong, sound_bytes, -ERANGE);
		end();
	}
}

/* ---- What goes on ---- */

/* The state of `device` in another of its class, after the host has been away for an hour. */
static void move(void)
{
	const struct device_class *class = device->class;

	device_take_state(device, records);
	end();
	fake_loop_run_tasks();
	fake_clock_epoch_ms += 3600 * 1000;
	fake_loop_advance_alone(3600 * 1000);
	make(class);
	assert_int_equal(device_put_state(device, records, device_state_bytes(class)), 0);
	fake_loop_run_tasks();
}

static uint32_t read32(uint64_t offset)
{
	return (uint32_t)mmio(offset, 4, false, 0);
}

static void write32(uint64_t offset, uint32_t value)
{
	mmio(offset, 4, true, value);
	fake_loop_run_tasks();
}

/* The line is driven, whichever way it was. */
static void lines_are_driven_again(void **unused)
{
	make(&pl031_class);
	set("ris", 0, 1);
	set("imsc", 0, 1);
	move();
	assert_true(level);
	sound_bytes = write_all(records);
	set_value(record_of(records, "imsc"), 0, 0);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_false(level);
	level = true; /* as a controller may have it that was restored */
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_false(level);
	end();
}

static void clock_stood_still(void **unused)
{
	uint32_t now;

	make(&pl031_class);
	write32(0x008, 1000); /* RTCLR */
	write32(0x010, 1);    /* RTCIMSC */
	write32(0x004, 1010); /* RTCMR */
	now = read32(0x000);
	move();
	assert_int_equal(read32(0x000), now);
	fake_loop_advance(8000);
	assert_false(level);
	fake_loop_advance(3000);
	assert_true(level);
	/* A reset makes it the host's again. */
	device->class->reset(device);
	assert_int_equal(read32(0x000), fake_clock_s());
	end();
}

static unsigned bites;

static void bitten(struct device *watchdog, enum watchdog_action action, void *opaque)
{
	bites++;
}

static void watchdog_goes_on(void **unused)
{
	bites = 0;
	make(&sp805_class);
	write32(0x000, 24000000 * 2u); /* WdogLoad: two seconds */
	write32(0x008, 3);	       /* WdogControl */
	fake_loop_advance(1500);
	move();
	sp805_class.watchdog(device, bitten, NULL);
	fake_loop_advance(300);
	assert_false(level);
	fake_loop_advance(400);
	assert_true(level);
	fake_loop_run_tasks();
	fake_loop_advance(1500);
	assert_int_equal(bites, 0);
	fake_loop_advance(1000);
	assert_int_equal(bites, 1);
	end();
}

/* Time that passes in a pause before its state is taken, or after it was put, is none for it. */
static void watchdog_that_was_paused(void **unused)
{
	make(&sp805_class);
	write32(0x000, 24000000 * 2u);
	write32(0x008, 3);
	fake_loop_advance(1500);
	device->class->pause(device, true);
	fake_loop_advance(5000);
	move();
	device->class->pause(device, true);
	fake_loop_advance(5000);
	assert_false(level);
	/* Of a machine that was paused before. */
	sound_bytes = write_all(records);
	device->class->pause(device, false);
	fake_loop_advance(300);
	device->class->pause(device, true);
	fake_loop_advance(5000);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	fake_loop_run_tasks();
	fake_loop_advance(5000);
	assert_false(level);
	device->class->pause(device, false);
	fake_loop_run_tasks();
	fake_loop_advance(300);
	assert_false(level);
	fake_loop_advance(400);
	assert_true(level);
	end();
}

static void uart_goes_on(void **unused)
{
	make(&pl011_class);
	write32(0x038, 0x10); /* UARTIMSC: receive */
	write32(0x030, 0x301);
	assert_int_equal(ends[0].client->receive(ends[0].client, (const uint8_t *)"ab", 2), 1);
	write32(0x000, 'x');  /* which the host's end does not take yet */
	mmio(0x044, 4, true, 0x10);
	assert_false(level);
	move();
	fake_loop_advance(10);
	assert_true(level); /* for what was not read */
	assert_int_equal(read32(0x000), 'a');
	assert_int_equal(read32(0x018) & 0x08, 0x08); /* busy */
	/* The new end offered something before, and takes what the old one did not. */
	sound_bytes = write_all(records);
	end();
	make(&pl011_class);
	assert_int_equal(ends[0].client->receive(ends[0].client, (const uint8_t *)"c", 1), 0);
	end_takes = true;
	end_resumed = 0;
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	end_takes = false;
	assert_int_equal(end_written, 'x');
	assert_int_equal(end_resumed, 1);
	assert_int_equal(read32(0x018) & 0x08, 0);
	end();
}

static void press_goes_on(void **unused)
{
	make(&pl061_class);
	pl061_pulse(device, 3);
	pl061_pulse(device, 3);
	move();
	assert_int_equal(get("in", 0), 8);
	assert_int_equal(get("presses", 3), 1);
	fake_loop_advance(PL061_PULSE_MS);
	assert_int_equal(get("in", 0), 0);
	fake_loop_advance(PL061_PULSE_MS);
	assert_int_equal(get("in", 0), 8);
	assert_int_equal(get("presses", 3), 0);
	end();
}

/* Of a driver that runs all is looked at, interrupted for and shown again. */
static void driver_goes_on(void **unused)
{
	struct virtio_device *virtio;
	eventfd_t kicked;

	make_running(&virtio_console_class);
	virtio = container_of(device, struct virtio_device, base);
	interrupts = 0;
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_int_equal(interrupts, 1);
	assert_int_equal(read32(VIRTIO_MMIO_STATUS), 15); /* and what is shown is the same (mmio.h) */
	assert_int_equal(read32(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_USED_BUFFER);
	for (unsigned i = 0; i < virtio->class->queue_count; i++)
		assert_int_equal(eventfd_read(virtio->kicks[i].watch.fd, &kicked), 0);
	end();
}

static void memory_is_hinted_at(void **unused)
{
	make_running(&virtio_mem_class);
	set_value(record_of(records, "requested-size"), 0, 3 * BLOCK);
	for (unsigned busy = 0; busy < 2; busy++) {
		set_value(record_of(records, "busy"), 0, busy);
		assert_int_equal(device_put_state(device, records, sound_bytes), 0);
		interrupts = 0;
		assert_int_equal(fake_loop_timers(), busy);
		fake_loop_advance(5000);
		assert_int_equal(interrupts, busy);
		move();
		assert_int_equal(fake_loop_timers(), busy);
	}
	/* It has what it is to have: told once more, and no more. The window is the board's to fill before. */
	set("requested-size", 0, get("plugged-size", 0));
	fake_loop_advance(5000);
	window.plugged[6] = true;
	move();
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(get("plugged-size", 0), 3 * BLOCK);
	window.plugged[6] = false;
	end();
}

static void balloon_is_left_alone(void **unused)
{
	make_running(&virtio_balloon_class);
	set_value(record_of(records, "requested"), 0, 512);
	set_value(record_of(records, "num-pages"), 0, 100);
	set_value(record_of(records, "again-left-ms"), 0, 4000);
	set_value(record_of(records, "interval-sec"), 0, 7);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_int_equal(virtio_balloon_interval(device), 7);
	fake_loop_advance(1000);
	move();
	fake_loop_advance(2900);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 4, false, 0), 100);
	fake_loop_advance(200);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 4, false, 0), 512);
	assert_int_equal(fake_loop_timers(), 1); /* the interval's */
	device_take_state(device, again);
	assert_int_equal(get("again-left-ms", 0), 0);
	end();
}

/* One that is due, and not yet told, is asked again at once. */
static void balloon_that_is_due(void **unused)
{
	make_running(&virtio_balloon_class);
	set_value(record_of(records, "again-left-ms"), 0, 4000);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	fake_loop_advance_alone(9000);
	device_take_state(device, again);
	assert_int_equal(get("again-left-ms", 0), 1);
	set_value(record_of(records, "again-left-ms"), 0, 0);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_int_equal(fake_loop_timers(), 0);
	end();
}

static void ports_are_told_again(void **unused)
{
	make_running(&virtio_console_class);
	set_value(record_of(records, "port-ready"), 1, 1);
	set_value(record_of(records, "port-ready"), 5, 1); /* which it has not */
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_int_equal(get("port-pending", 0), 0);
	assert_int_not_equal(get("port-pending", 1), 0);
	assert_int_equal(get("port-pending", 5), 0);
	end();
}

static void lost_disk_stays_lost(void **unused)
{
	make(&virtio_blk_class);
	move();
	assert_int_equal(get("lost", 0), 0);
	sound_bytes = write_all(records);
	set_value(record_of(records, "lost"), 0, 1);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_true(fake_disk_lost);
	device_take_state(device, records);
	end();
	make(&virtio_blk_class);
	assert_false(fake_disk_lost);
	fake_disk_lost = true;
	device_take_state(device, records);
	assert_int_equal(get("lost", 0), 1);
	assert_int_equal(get("disk-bytes", 0), FAKE_DISK_BYTES);
	end();
	/* Somebody has cut it meanwhile. */
	fake_disk_bytes -= 512;
	make(&virtio_blk_class);
	assert_int_equal(device_put_state(device, records, sound_bytes), -ERANGE);
	fake_disk_bytes += 512;
	end();
}

/* Its address is the guest's, its pairs and its cable as they were. */
static void card_goes_on(void **unused)
{
	make_running(&virtio_net_class);
	for (unsigned i = 0; i < 6; i++)
		set_value(record_of(records, "mac"), i, 2 * i + 2);
	set_value(record_of(records, "active"), 0, 2);
	set_value(record_of(records, "pulled"), 0, 1);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	move();
	assert_true(mmio(VIRTIO_MMIO_CONFIG, 8, false, 0) == 0x00000c0a08060402);
	assert_true(others[0].active);
	assert_false(others[1].active);
	virtio_net_set_link(device, true);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG + 6, 2, false, 0), 1);
	/* A driver that was reset, which the device has not noticed yet, has one pair. */
	write32(VIRTIO_MMIO_STATUS, 0);
	set_value(record_of(records, "active"), 0, 3);
	device_take_state(device, again);
	assert_int_equal(get("active", 0), 1);
	assert_int_equal(device_put_state(device, records, device_state_bytes(device->class)), 0);
	device_take_state(device, again);
	assert_int_equal(get("active", 0), 3);
	end();
}

static void card_without_all_pairs(void **unused)
{
	make_running(&virtio_net_class);
	set_value(record_of(records, "active"), 0, 3);
	log_lines = 0;
	refuse_active = 2;
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	refuse_active = 0;
	assert_int_equal(log_lines, 1);
	device_take_state(device, records);
	assert_int_equal(get("active", 0), 2);
	end();
}

static int setup(void **unused)
{
	log_set_sink(count_log);
	window.config = (struct window_config){
		.gpa = 4 * GiB, .size = 64 * BLOCK, .block_bytes = BLOCK
	};
	window.plugged[1] = window.plugged[5] = true;
	return 0;
}

static int teardown(void **unused)
{
	end();
	free(node);
	node = NULL;
	return fake_loop_watches() || fake_loop_timers();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables_tell_all),
		TEST(what_is_put_is_there),
		TEST(records_cut_short),
		TEST(spoilt_records),
		TEST(records_of_others),
		TEST(fields_that_may_be_missing),
		TEST(queues_that_cannot_be),
		TEST(sizes_that_cannot_be),
		TEST(values_out_of_bounds),
		TEST(lines_are_driven_again),
		TEST(clock_stood_still),
		TEST(watchdog_goes_on),
		TEST(watchdog_that_was_paused),
		TEST(uart_goes_on),
		TEST(press_goes_on),
		TEST(driver_goes_on),
		TEST(memory_is_hinted_at),
		TEST(balloon_is_left_alone),
		TEST(balloon_that_is_due),
		TEST(ports_are_told_again),
		TEST(lost_disk_stays_lost),
		TEST(card_goes_on),
		TEST(card_without_all_pairs),
	};

	return cmocka_run_group_tests_name("device-state", tests, NULL, NULL);
}
