/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues; see virtq.h. The pattern throughout: ask the gate for the few bytes wanted, load or store them
 * once, and store no pointer.
 */
#include "devices/virtio/virtq.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "virtio's fields are used as they are");

/*
 * The rings' layout (2.7.6, 2.7.8): u16 flags, u16 idx, entries, and behind the entries the u16
 * event field that the other side reads. Indices run freely modulo 2^16.
 */
#define RING_FLAGS 0
#define RING_IDX   2
#define RING_START 4

static uint64_t avail_entry_gpa(const struct virtq *queue, uint16_t index)
{
	return queue->avail_gpa + RING_START + sizeof(uint16_t) * (index & (queue->size - 1));
}

static uint64_t used_event_gpa(const struct virtq *queue)
{
	return queue->avail_gpa + RING_START + sizeof(uint16_t) * queue->size;
}

static uint64_t used_entry_gpa(const struct virtq *queue, uint16_t index)
{
	return queue->used_gpa + RING_START +
	       sizeof(struct vring_used_elem) * (index & (queue->size - 1));
}

static uint64_t avail_event_gpa(const struct virtq *queue)
{
	return queue->used_gpa + RING_START + sizeof(struct vring_used_elem) * queue->size;
}

/* The address is aligned: the rings are (virtq_start), and the gate preserves alignment. */
static int load_u16(const struct guestmem *mem, uint64_t gpa, uint16_t *ret)
{
	const uint16_t *at = guestmem_read_at(mem, gpa, sizeof(*at));

	if (!at)
		return -EPROTO;
	/* Acquire: what the driver wrote before this value is seen after it (2.7.13.3). */
	*ret = __atomic_load_n(at, __ATOMIC_ACQUIRE);
	return 0;
}

static int store_u16(const struct guestmem *mem, uint64_t gpa, uint16_t value)
{
	uint16_t *at = guestmem_write_at(mem, gpa, sizeof(*at));

	if (!at)
		return -EPROTO;
	/* Release: the driver that sees this value sees what we wrote before it (2.7.14). */
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
	return 0;
}

static bool is_laid_out(const struct virtq *queue, uint32_t size_max)
{
	return queue->size <= size_max && is_power_of_two(queue->size) &&
	       is_aligned(queue->desc_gpa, VRING_DESC_ALIGN_SIZE) &&
	       is_aligned(queue->avail_gpa, VRING_AVAIL_ALIGN_SIZE) &&
	       is_aligned(queue->used_gpa, VRING_USED_ALIGN_SIZE);
}

static bool has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

bool virtq_is_sound(const struct virtq *queue, uint32_t size_max, uint64_t features)
{
	return is_laid_out(queue, size_max) &&
	       (uint16_t)(queue->next_avail - queue->next_used) <= queue->size &&
	       queue->event_idx == has(features, VIRTIO_RING_F_EVENT_IDX) &&
	       queue->indirect == has(features, VIRTIO_RING_F_INDIRECT_DESC);
}

int virtq_start(struct virtq *queue, uint32_t size_max, uint64_t features)
{
	if (!is_laid_out(queue, size_max))
		return -EINVAL;
	queue->next_avail = queue->next_used = queue->notified_used = 0;
	queue->event_idx = has(features, VIRTIO_RING_F_EVENT_IDX);
	queue->indirect = has(features, VIRTIO_RING_F_INDIRECT_DESC);
	queue->ready = true;
	return 0;
}

/* How many chains are available. More than the ring holds: it is broken. */
static int count_available(const struct virtq *queue, const struct guestmem *mem, uint16_t *ret)
{
	uint16_t idx, count;
	int err = load_u16(mem, queue->avail_gpa + RING_IDX, &idx);

	if (err)
		return err;
	count = idx - queue->next_avail;
	if (count > queue->size)
		return -EPROTO;
	*ret = count;
	return 0;
}

static int add_segment(struct virtq_chain *chain, const struct vring_desc *desc)
{
	uint64_t total = (uint64_t)chain->readable_bytes + chain->writable_bytes + desc->len;

	/* Skip an empty descriptor: nothing forbids one, and drivers queue them, for a flush with empty data. */
	if (!desc->len)
		return 0;
	/* 2.7.4: fewer than 2^32 bytes in all; 2.7.4.2: writable ones come last. */
	if (total > UINT32_MAX || chain->readable + chain->writable == VIRTQ_SEGMENTS_MAX)
		return -EPROTO;
	chain->segments[chain->readable + chain->writable] =
		(struct virtq_segment){ .gpa = desc->addr, .len = desc->len };
	if (desc->flags & VRING_DESC_F_WRITE) {
		chain->writable++;
		chain->writable_bytes += desc->len;
		return 0;
	}
	if (chain->writable)
		return -EPROTO;
	chain->readable++;
	chain->readable_bytes += desc->len;
	return 0;
}

/*
 * Follows a chain through a table of `entries` descriptors from `index` on. A chain with more steps than entries is a
 * loop. An indirect descriptor, which may end a chain in the ring, goes to *ret_indirect. -EFAULT: the table is not in
 * memory.
 */
static int walk_table(const struct guestmem *mem, uint64_t table_gpa, uint32_t entries,
	uint32_t index, struct virtq_chain *chain, struct vring_desc *ret_indirect)
{
	for (uint32_t steps = 0; steps < entries; steps++) {
		struct vring_desc desc;
		int err;

		if (index >= entries)
			return -EPROTO;
		if (guestmem_read(mem, table_gpa + index * sizeof(desc), &desc, sizeof(desc)))
			return -EFAULT;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			/* 2.7.5.3.1: not in an indirect table, and not with NEXT. */
			if (!ret_indirect || desc.flags & VRING_DESC_F_NEXT)
				return -EPROTO;
			*ret_indirect = desc;
			return 0;
		}
		err = add_segment(chain, &desc);
		if (err)
			return err;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		index = desc.next;
	}
	return -EPROTO;
}

static int read_chain(
	const struct virtq *queue, const struct guestmem *mem, struct virtq_chain *chain)
{
	struct vring_desc indirect = { .flags = 0 };
	int err = walk_table(mem, queue->desc_gpa, queue->size, chain->head, chain, &indirect);

	if (err)
		return -EPROTO;
	if (!indirect.flags)
		return 0;
	if (!queue->indirect || indirect.len % sizeof(struct vring_desc))
		return -EPROTO;
	err = walk_table(
		mem, indirect.addr, indirect.len / sizeof(struct vring_desc), 0, chain, NULL);
	if (err == -EFAULT) {
		/* The ring is sound, but this request is not: return it without segments. */
		chain->readable = chain->writable = 0;
		chain->readable_bytes = chain->writable_bytes = 0;
		err = 0;
	}
	return err;
}

uint16_t virtq_used_idx(const struct virtq *queue, const struct guestmem *mem)
{
	uint16_t idx = 0;

	(void)load_u16(mem, queue->used_gpa + RING_IDX, &idx);
	return idx;
}

bool virtq_waits(const struct virtq *queue, const struct guestmem *mem)
{
	uint16_t waiting;

	return count_available(queue, mem, &waiting) || waiting;
}

/* As count_available(); if there is none, also asks the driver to notify about the next one. */
static int look_for_available(struct virtq *queue, const struct guestmem *mem, uint16_t *ret)
{
	int err = count_available(queue, mem, ret);

	if (err || *ret || !queue->event_idx)
		return err;
	/* 2.7.10.1: ask for a notification, then check again. The fence orders the store before the load. */
	err = store_u16(mem, avail_event_gpa(queue), queue->next_avail);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return err ? err : count_available(queue, mem, ret);
}

int virtq_pop(struct virtq *queue, const struct guestmem *mem, struct virtq_chain *ret)
{
	uint16_t waiting;
	int err = look_for_available(queue, mem, &waiting);

	if (err)
		return err;
	if (!waiting)
		return 0;

	ret->readable = ret->writable = 0;
	ret->readable_bytes = ret->writable_bytes = 0;
	err = load_u16(mem, avail_entry_gpa(queue, queue->next_avail), &ret->head);
	if (!err)
		err = read_chain(queue, mem, ret);
	if (err)
		return err;
	queue->next_avail++;
	return 1;
}

void virtq_unpop(struct virtq *queue, unsigned count)
{
	queue->next_avail -= count;
}

int virtq_push_many(struct virtq *queue, const struct guestmem *mem, const struct virtq_used *used,
	unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct vring_used_elem elem = { .id = used[i].head, .len = used[i].written };

		if (guestmem_write(
			    mem, used_entry_gpa(queue, queue->next_used + i), &elem, sizeof(elem)))
			return -EPROTO;
	}
	queue->next_used += count;
	return store_u16(mem, queue->used_gpa + RING_IDX, queue->next_used);
}

int virtq_push(struct virtq *queue, const struct guestmem *mem, uint16_t head, uint32_t written)
{
	return virtq_push_many(queue, mem, &(struct virtq_used){ head, written }, 1);
}

int virtq_drop(struct virtq *queue, const struct guestmem *mem)
{
	uint16_t waiting, head;
	int err = look_for_available(queue, mem, &waiting);

	for (unsigned i = 0; i < waiting && !err; i++) {
		err = load_u16(mem, avail_entry_gpa(queue, queue->next_avail), &head);
		if (!err) {
			queue->next_avail++;
			err = virtq_push(queue, mem, head, 0);
		}
	}
	return err ? err : waiting;
}

int virtq_wants_interrupt(struct virtq *queue, const struct guestmem *mem)
{
	uint16_t notified = queue->notified_used, value;
	int err;

	if (notified == queue->next_used)
		return 0;
	queue->notified_used = queue->next_used;
	/* The store of the used idx must come before the load of what the driver waits for (2.7.8.2). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	err = load_u16(mem,
		queue->event_idx ? used_event_gpa(queue) : queue->avail_gpa + RING_FLAGS, &value);
	if (err)
		return err;
	if (!queue->event_idx)
		return !(value & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(value, queue->next_used, notified);
}

int virtq_chain_read_at(const struct virtq_chain *chain, const struct guestmem *mem, uint32_t at,
	void *ret_buf, size_t len)
{
	uint8_t *buf = ret_buf;

	if (at > chain->readable_bytes || len > chain->readable_bytes - at)
		return -EMSGSIZE;
	for (const struct virtq_segment *segment = chain->segments; len; segment++) {
		uint32_t skip = at < segment->len ? at : segment->len;
		size_t part = len < segment->len - skip ? len : segment->len - skip;

		if (part && guestmem_read(mem, segment->gpa + skip, buf, part))
			return -EFAULT;
		at -= skip;
		buf += part;
		len -= part;
	}
	return 0;
}

int virtq_chain_read(
	const struct virtq_chain *chain, const struct guestmem *mem, void *ret_buf, size_t len)
{
	return virtq_chain_read_at(chain, mem, 0, ret_buf, len);
}

int virtq_chain_write(
	const struct virtq_chain *chain, const struct guestmem *mem, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	if (len > chain->writable_bytes)
		return -EMSGSIZE;
	for (const struct virtq_segment *segment = chain->segments + chain->readable; len;
		segment++) {
		size_t part = len < segment->len ? len : segment->len;

		if (guestmem_write(mem, segment->gpa, from, part))
			return -EFAULT;
		from += part;
		len -= part;
	}
	return 0;
}
