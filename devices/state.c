/* SPDX-License-Identifier: Apache-2.0 */
/* The state of devices as records; see state.h. */
#include "devices/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they are");
_Static_assert(sizeof(struct state_record) == 8, "no gaps");

#define FIELDS_MAX 64 /* of a class: a bit for each */

/* Field number `index` of the class, or NULL beyond the last. */
static const struct state_field *field_at(const struct device_class *class, unsigned index)
{
	for (unsigned i = 0; class->state[i]; i++)
		for (const struct state_field *field = class->state[i]->fields; field->bytes;
			field++)
			if (field->name && !index--)
				return field;
	return NULL;
}

static uint8_t *value_at(struct device *device, const struct state_field *field, uint32_t index)
{
	return (uint8_t *)device + field->offset + (size_t)index * field->stride;
}

static size_t record_bytes(const struct state_field *field)
{
	return sizeof(struct state_record) + strlen(field->name) +
	       (size_t)field->count * field->bytes;
}

size_t device_state_bytes(const struct device_class *class)
{
	const struct state_field *field;
	size_t bytes = 0;

	for (unsigned i = 0; (field = field_at(class, i)); i++)
		bytes += record_bytes(field);
	return bytes;
}

/* Returns where the next record goes. */
static uint8_t *write_record(struct device *device, const struct state_field *field, uint8_t *to)
{
	const struct state_record record = {
		.name_bytes = (uint8_t)strlen(field->name),
		.value_bytes = (uint8_t)field->bytes,
		.flags = field->optional ? STATE_OPTIONAL : 0,
		.count = field->count,
	};

	memcpy(to, &record, sizeof(record));
	memcpy(to + sizeof(record), field->name, record.name_bytes);
	to += sizeof(record) + record.name_bytes;
	for (unsigned i = 0; i < field->count; i++, to += field->bytes)
		memcpy(to, value_at(device, field, i), field->bytes);
	return to;
}

/* With the lock. */
static void take(struct device *device)
{
	const struct state_part *const *part = device->class->state;

	for (; *part; part++)
		if ((*part)->take)
			(*part)->take(device);
}

void device_take_state(struct device *device, uint8_t *ret_buf)
{
	const struct state_field *field;

	pthread_mutex_lock(&device->lock);
	take(device);
	for (unsigned i = 0; (field = field_at(device->class, i)); i++)
		ret_buf = write_record(device, field, ret_buf);
	pthread_mutex_unlock(&device->lock);
}

/* One value, to its place in the candidate. */
static int read_value(const struct state_field *field, const uint8_t *from, uint8_t *to)
{
	uint64_t value = 0;

	memcpy(&value, from, field->bytes);
	if (field->boolean && value > 1)
		return -ERANGE;
	if ((field->min || field->max) && (value < field->min || value > field->max))
		return -ERANGE;
	if (field->fixed && memcmp(from, to, field->bytes))
		return -ERANGE;
	memcpy(to, from, field->bytes);
	return 0;
}

static int read_values(struct device *candidate, const struct state_record *record,
	const uint8_t *name, uint64_t *seen)
{
	const uint8_t *values = name + record->name_bytes;
	const struct state_field *field;
	unsigned index = 0;
	int err = 0;

	while ((field = field_at(candidate->class, index)) &&
		(strlen(field->name) != record->name_bytes ||
			memcmp(field->name, name, record->name_bytes)))
		index++;
	CHECK(index < FIELDS_MAX);
	if (!field)
		return record->flags & STATE_OPTIONAL ? 0 : -ENOTSUP;
	if (*seen >> index & 1)
		return -EEXIST;
	if (record->value_bytes != field->bytes || record->count != field->count)
		return -EINVAL;
	*seen |= UINT64_C(1) << index;
	for (unsigned i = 0; i < field->count && !err; i++)
		err = read_value(
			field, values + (size_t)i * field->bytes, value_at(candidate, field, i));
	return err;
}

static int read_records(struct device *candidate, const uint8_t *at, size_t left)
{
	const struct state_field *field;
	struct state_record record;
	uint64_t seen = 0, bytes;
	int err = 0;

	while (left && !err) {
		if (left < sizeof(record))
			return -EBADMSG;
		memcpy(&record, at, sizeof(record));
		bytes = record.name_bytes + (uint64_t)record.count * record.value_bytes;
		if (record.flags & ~STATE_OPTIONAL || bytes > left - sizeof(record))
			return -EBADMSG;
		err = read_values(candidate, &record, at + sizeof(record), &seen);
		at += sizeof(record) + bytes;
		left -= sizeof(record) + bytes;
	}
	for (unsigned i = 0; !err && (field = field_at(candidate->class, i)); i++)
		if (!(seen >> i & 1) && !field->optional)
			err = -ENODATA;
	return err;
}

static int check(const struct device *candidate)
{
	const struct state_part *const *part = candidate->class->state;
	int err = 0;

	for (; *part && !err; part++)
		if ((*part)->check)
			err = (*part)->check(candidate);
	return err;
}

/* With the lock. */
static void put(struct device *device, const struct device *candidate)
{
	const struct state_part *const *part;

	for (part = device->class->state; *part; part++)
		memcpy((char *)device + (*part)->offset, (const char *)candidate + (*part)->offset,
			(*part)->bytes);
	for (part = device->class->state; *part; part++)
		if ((*part)->put)
			(*part)->put(device);
}

int device_put_state(struct device *device, const uint8_t *records, size_t bytes)
{
	struct device *candidate = malloc(device->class->bytes);
	int err;

	if (!candidate)
		return -ENOMEM;
	pthread_mutex_lock(&device->lock);
	take(device); /* so that fixed fields have their current values */
	memcpy(candidate, device, device->class->bytes);
	err = read_records(candidate, records, bytes);
	if (!err)
		err = check(candidate);
	if (!err)
		put(device, candidate);
	pthread_mutex_unlock(&device->lock);
	free(candidate);
	return err;
}
