/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues (virtio 1.2, 2.7), the device's side, with indirect descriptors and the event index. The rings are
 * in guest memory, and the guest may write anything there at any time. So every address goes through the gate at each
 * use, and every value is read once and checked. An inconsistent ring is broken (-EPROTO); the device core then sets
 * DEVICE_NEEDS_RESET.
 *
 * Registers (size, addresses) are set on vCPU threads, the rest runs on the event loop's thread. The device's lock is
 * held around all of it.
 */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTQ_H
#define SLUICE_DEVICES_VIRTIO_VIRTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guestmem;

/* The most descriptors of a queue, and the most segments of a chain in a queue that Sluice serves. */
#define VIRTQ_SIZE_MAX	   1024
#define VIRTQ_SEGMENTS_MAX 256

/* Plain data: the whole state of a queue. */
struct virtq {
	uint64_t desc_gpa, avail_gpa, used_gpa;
	uint32_t size;		/* descriptors, a power of two while ready */
	uint16_t next_avail;	/* the available ring's next entry to pop */
	uint16_t next_used;	/* the used ring's idx */
	uint16_t notified_used; /* next_used when an interrupt was last decided on */
	bool ready;
	bool event_idx, indirect; /* negotiated */
	uint8_t hole[3];
};

/* A part of a buffer. The guest gives the range; the gate checks it when it is used. */
struct virtq_segment {
	uint64_t gpa;
	uint32_t len; /* bytes, not 0 */
};

/* A request: device-readable segments first, then device-writable ones. */
struct virtq_chain {
	uint16_t head;		     /* virtq_push() takes it */
	uint16_t readable, writable; /* segments */
	/* Sums of the segments' len; together below 2^32. Both are 0 if the chain has an
	 * indirect table that is not in memory: then it is too short for any request. */
	uint32_t readable_bytes, writable_bytes;
	struct virtq_segment segments[VIRTQ_SEGMENTS_MAX];
};

/*
 * Makes the queue ready with the size and addresses it was given, from the rings' beginning. `features` are the
 * negotiated ones. -EINVAL, and not ready, if size is not a power of two up to `size_max` or an address is not aligned
 * (2.7, 2.7.10.1). Whether the addresses are memory is checked at each use.
 */
int virtq_start(struct virtq *queue, uint32_t size_max, uint64_t features);

/*
 * Whether a restored queue, ready and with no chain in flight, is valid for a device with these. Its rings are checked
 * when they are used.
 */
bool virtq_is_sound(const struct virtq *queue, uint32_t size_max, uint64_t features);

/* The index in the used ring, which vhost may have written: chains used modulo 2^16; 0 if the ring is not in memory. */
uint16_t virtq_used_idx(const struct virtq *queue, const struct guestmem *mem);

/*
 * Takes the next available chain. 1 with *ret filled, 0 when there is none (the driver has then
 * been asked to notify about the next one), -EPROTO when the ring is broken.
 */
int virtq_pop(struct virtq *queue, const struct guestmem *mem, struct virtq_chain *ret);

/* Whether virtq_pop() would return something other than 0. Does not ask the driver for a notification. */
bool virtq_waits(const struct virtq *queue, const struct guestmem *mem);

/* Makes the last `count` chains that were popped, none of which was pushed, available again. */
void virtq_unpop(struct virtq *queue, unsigned count);

/* Returns a chain to the driver, with `written` bytes in its writable segments. -EPROTO as above. */
int virtq_push(struct virtq *queue, const struct guestmem *mem, uint16_t head, uint32_t written);

/* Returns all available chains, unread. How many; 0 and -EPROTO as for virtq_pop(). */
int virtq_drop(struct virtq *queue, const struct guestmem *mem);

/* A chain that is returned to the driver. */
struct virtq_used {
	uint32_t head, written;
};

/* Returns several at once: the driver sees all or none (at most the queue's size). */
int virtq_push_many(struct virtq *queue, const struct guestmem *mem, const struct virtq_used *used,
	unsigned count);

/*
 * Whether the driver wants an interrupt for the chains pushed since the last call: 1, 0 or -EPROTO.
 */
int virtq_wants_interrupt(struct virtq *queue, const struct guestmem *mem);

/*
 * Copies between `buf` and the first `len` bytes of the chain's readable (writable) segments, or those from byte `at`
 * on. -EMSGSIZE if they hold less; -EFAULT if the gate refuses a segment, and then those before it may have been
 * copied.
 */
int virtq_chain_read(
	const struct virtq_chain *chain, const struct guestmem *mem, void *ret_buf, size_t len);
int virtq_chain_read_at(const struct virtq_chain *chain, const struct guestmem *mem, uint32_t at,
	void *ret_buf, size_t len);
int virtq_chain_write(
	const struct virtq_chain *chain, const struct guestmem *mem, const void *buf, size_t len);

#endif
