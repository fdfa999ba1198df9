/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a device: what its guest has set up and must find again after a restore. It lies in structs of plain
 * data apart from the rest of the model (descriptors, timers, locks, watchers), and a table names each field, as a
 * table of properties does for a node. The state is written as records by these names and read from them.
 *
 * A record is a struct state_record, the name, and the values, all without gaps and little-endian. The records of a
 * device come in any order. Time is the guest's (a clock that stops while the state is stored), and an interrupt line
 * is not stored: the model drives it again.
 */
#ifndef SLUICE_DEVICES_STATE_H
#define SLUICE_DEVICES_STATE_H

#include "devices/device.h"
#include "hyp/base/util.h"

struct state_record {
	uint8_t name_bytes;  /* without a zero at its end */
	uint8_t value_bytes; /* of one value: 1, 2, 4 or 8 */
	uint16_t flags;	     /* STATE_OPTIONAL; no other */
	uint32_t count;	     /* values */
};

#define STATE_OPTIONAL 1 /* a reader that does not know the name skips the record */

/* An unsigned number, or several that lie `stride` bytes apart. */
struct state_field {
	/* Once in a class. NULL: a hole of the struct, which is neither written nor read. */
	const char *name;
	uint32_t offset; /* of the first, from the beginning of the model's struct */
	uint16_t bytes;	 /* of each; 0: the table's end */
	uint16_t count, stride;
	uint64_t min, max; /* inclusive; both 0: any */
	bool boolean;	   /* 0 or 1 */
	bool fixed;	   /* set by the node or the host: a record must have this value */
	bool optional;	   /* need not be among the records, and then stays as it was */
};

/* A struct of state in a model's struct. The table has each of its bytes once (unit/device-state). */
struct state_part {
	size_t offset, bytes;
	const struct state_field *fields;
	/* What follows may be NULL, and is called on the loop's thread with the device's lock. */
	/* Copies state that is stored elsewhere into the struct. The device continues as before. */
	void (*take)(struct device *device);
	/*
	 * Rules beyond min and max, which each value has passed. `candidate` is a copy of the device with the new
	 * state, to be read only. 0, or -EINVAL.
	 */
	int (*check)(const struct device *candidate);
	/* The struct has the new state: drives lines, arms timers, kicks queues. */
	void (*put)(struct device *device);
};

#define STATE_PART(model, member)                                                                  \
	.offset = offsetof(model, member), .bytes = sizeof(((model *)0)->member)

/* State is numbers only: a type without the operator `&` does not compile. */
#define STATE_NUMBER(value)                                                                        \
	.bytes = sizeof(value) + 0 * sizeof((value)&1),                                            \
	.boolean = __builtin_types_compatible_p(__typeof__(value), bool)
#define STATE_ONE(model, member)                                                                   \
	.offset = offsetof(model, member), STATE_NUMBER(((model *)0)->member), .count = 1
/* An array of numbers. */
#define STATE_ARRAY(model, array)                                                                  \
	.offset = offsetof(model, array), STATE_NUMBER(((model *)0)->array[0]),                    \
	.count = ARRAY_SIZE(((model *)0)->array), .stride = sizeof(((model *)0)->array[0])
/* A member of each struct of an array. */
#define STATE_EACH(model, array, member)                                                           \
	.offset = offsetof(model, array[0].member), STATE_NUMBER(((model *)0)->array[0].member),   \
	.count = ARRAY_SIZE(((model *)0)->array), .stride = sizeof(((model *)0)->array[0])
/* Padding, which has a name in the struct so that the table can list it; HOLES: in each struct of an array. */
#define STATE_HOLE(model, member)                                                                  \
	.offset = offsetof(model, member), .bytes = sizeof(((model *)0)->member), .count = 1
#define STATE_HOLES(model, array, member)                                                          \
	.offset = offsetof(model, array[0].member),                                                \
	.bytes = sizeof(((model *)0)->array[0].member), .count = ARRAY_SIZE(((model *)0)->array),  \
	.stride = sizeof(((model *)0)->array[0])

/* How many bytes the records of a device of this class have. */
size_t device_state_bytes(const struct device_class *class);

/*
 * Writes the records, device_state_bytes() of them, to `ret_buf`. On the loop's thread, with the vCPUs parked and the
 * device drained.
 */
void device_take_state(struct device *device, uint8_t *ret_buf);

/*
 * Gives a device that was just created, or reset, the state of `bytes` bytes of records, which anyone may have
 * written. On the loop's thread, with the vCPUs parked, guest memory and the device's window as they were. On failure
 * nothing has changed:
 * -EBADMSG	a record is cut short, or its struct makes no sense
 * -ENOTSUP	a name is not known, and not optional
 * -EINVAL	a field has another number of values or of their bytes, or the values do not fit together
 * -EEXIST	a field comes twice
 * -ERANGE	a value is out of its range, or not the device's where it is fixed
 * -ENODATA	a field is missing
 * -ENOMEM
 */
int device_put_state(struct device *device, const uint8_t *records, size_t bytes);

#endif
