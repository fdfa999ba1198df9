/* SPDX-License-Identifier: Apache-2.0 */
/* The gate to guest memory; see guestmem.h. */
#include "hyp/memory/guestmem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/backing.h"
#include "hyp/memory/window.h"

int guestmem_add(struct guestmem *mem, const struct guestmem_range *range)
{
	if (!range->size || range->gpa + range->size < range->gpa)
		return -EINVAL;
	for (size_t i = 0; i < mem->count; i++)
		if (ranges_overlap(
			    range->gpa, range->size, mem->ranges[i].gpa, mem->ranges[i].size))
			return -EEXIST;
	if (mem->count == GUESTMEM_RANGES)
		return -ENOSPC;
	CHECK(!mem->logging);
	mem->ranges[mem->count] = *range;
	mem->ranges[mem->count++].written = NULL;
	return 0;
}

static uint64_t page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Marks the pages of bytes [offset, offset + len) of a range in the log. */
static void mark(const struct guestmem_range *range, uint64_t offset, uint64_t len)
{
	uint64_t page = page_bytes(), last = (offset + len - 1) / page;

	for (uint64_t i = offset / page; i <= last; i++)
		range->written[i / 64] |= UINT64_C(1) << i % 64;
}

/* The range that holds all of [gpa, gpa + len). Adjacent ranges are not joined. */
static const struct guestmem_range *find(const struct guestmem *mem, uint64_t gpa, uint64_t len)
{
	for (size_t i = 0; i < mem->count; i++) {
		const struct guestmem_range *range = &mem->ranges[i];
		uint64_t offset = gpa - range->gpa;

		if (gpa >= range->gpa && offset < range->size)
			return len && len <= range->size - offset ? range : NULL;
	}
	return NULL;
}

static uint8_t *find_bytes(
	const struct guestmem *mem, uint64_t gpa, uint64_t len, enum guestmem_use use)
{
	const struct guestmem_range *range = find(mem, gpa, len);

	if (!range || (range->window &&
			      window_state(range->window, gpa - range->gpa, len) != WINDOW_PLUGGED))
		return NULL;
	if (range->written && use == GUESTMEM_WRITE)
		mark(range, gpa - range->gpa, len);
	return range->hva + (gpa - range->gpa);
}

const void *guestmem_read_at(const struct guestmem *mem, uint64_t gpa, uint64_t len)
{
	return find_bytes(mem, gpa, len, GUESTMEM_READ);
}

void *guestmem_write_at(const struct guestmem *mem, uint64_t gpa, uint64_t len)
{
	return find_bytes(mem, gpa, len, GUESTMEM_WRITE);
}

/* How many bytes there are from `gpa` to the end of its range. */
static uint64_t left_of_range(const struct guestmem *mem, uint64_t gpa)
{
	const struct guestmem_range *range = find(mem, gpa, 1);

	return range ? range->size - (gpa - range->gpa) : 0;
}

int guestmem_parts(const struct guestmem *mem, uint64_t gpa, uint64_t len, enum guestmem_use use,
	struct iovec *ret, unsigned room)
{
	int count = 0;

	while (len) {
		uint64_t part = left_of_range(mem, gpa);
		void *at;

		part = part < len ? part : len;
		at = room-- ? find_bytes(mem, gpa, part, use) : NULL;
		if (!at)
			return -EFAULT;
		ret[count++] = (struct iovec){ .iov_base = at, .iov_len = part };
		gpa += part;
		len -= part;
	}
	return count;
}

int guestmem_read(const struct guestmem *mem, uint64_t gpa, void *ret_buf, size_t len)
{
	const void *from = guestmem_read_at(mem, gpa, len);

	if (!from)
		return -EFAULT;
	memcpy(ret_buf, from, len);
	return 0;
}

int guestmem_write(const struct guestmem *mem, uint64_t gpa, const void *buf, size_t len)
{
	void *to = guestmem_write_at(mem, gpa, len);

	if (!to)
		return -EFAULT;
	memcpy(to, buf, len);
	return 0;
}

/* All in one range. */
static int discard_part(const struct guestmem *mem, uint64_t gpa, uint64_t len)
{
	const struct guestmem_range *range = find(mem, gpa, len);
	uint64_t page = page_bytes(), from = align_up(gpa, page);
	uint64_t to = align_down(gpa + len, page);

	if (!guestmem_read_at(mem, gpa, len))
		return -EFAULT;
	if (guestmem_pinned(mem, gpa, len))
		return -EBUSY;
	if (from >= to)
		return 0;
	if (range->written)
		mark(range, from - range->gpa, to - from);
	from -= range->gpa;
	to -= range->gpa;
	if (range->window)
		return window_discard(range->window, from, to - from);
	if (range->backing)
		return backing_discard(range->backing, from, to - from);
	return addrspace_empty(range->hva + from, to - from);
}

int guestmem_discard(const struct guestmem *mem, uint64_t gpa, uint64_t len)
{
	while (len) {
		uint64_t part = left_of_range(mem, gpa);
		int err;

		part = part < len ? part : len;
		err = part ? discard_part(mem, gpa, part) : -EFAULT;
		if (err)
			return err;
		gpa += part;
		len -= part;
	}
	return 0;
}

void guestmem_pin(struct guestmem *mem, struct guestmem_pin *pin)
{
	pin->from = UINTPTR_MAX;
	pin->to = 0;
	for (size_t i = 0; i < pin->count; i++) {
		uintptr_t from = (uintptr_t)pin->parts[i].iov_base;
		uintptr_t to = from + pin->parts[i].iov_len;

		pin->from = from < pin->from ? from : pin->from;
		pin->to = to > pin->to ? to : pin->to;
	}
	pin->next = mem->pins;
	pin->at = &mem->pins;
	if (pin->next)
		pin->next->at = &pin->next;
	mem->pins = pin;
}

void guestmem_unpin(struct guestmem_pin *pin)
{
	*pin->at = pin->next;
	if (pin->next)
		pin->next->at = pin->at;
}

/*
 * The most pins and parts to compare with a range: some tenths of a millisecond, and as many as a disk's queue has with
 * 256 requests of 255 parts. A guest may have 16 million in flight on all its disks.
 */
#define COMPARED_MAX 65536

bool guestmem_pinned(const struct guestmem *mem, uint64_t gpa, uint64_t size)
{
	const struct guestmem_range *range = find(mem, gpa, size);
	uint64_t from = range ? (uint64_t)(uintptr_t)range->hva + (gpa - range->gpa) : 0;
	size_t compared = 0;

	for (const struct guestmem_pin *pin = range ? mem->pins : NULL; pin; pin = pin->next) {
		bool near = from < pin->to && pin->from < from + size;

		compared += 1 + (near ? pin->count : 0);
		if (compared > COMPARED_MAX)
			return true;
		for (size_t i = 0; near && i < pin->count; i++)
			if (pin->parts[i].iov_len &&
				ranges_overlap((uintptr_t)pin->parts[i].iov_base,
					pin->parts[i].iov_len, from, size))
				return true;
	}
	return false;
}

/* ---- The log ---- */

static uint64_t pages_of(const struct guestmem_range *range)
{
	return (range->size + page_bytes() - 1) / page_bytes();
}

/* Marks what requests in flight may write of [offset, offset + len) of a range; all of it if they are too many. */
static void mark_in_flight(const struct guestmem *mem, const struct guestmem_range *range,
	uint64_t offset, uint64_t len)
{
	uintptr_t from = (uintptr_t)range->hva + offset, to = from + len;
	size_t compared = 0;

	for (const struct guestmem_pin *pin = mem->pins; pin; pin = pin->next) {
		bool near = from < pin->to && pin->from < to;

		compared += 1 + (near ? pin->count : 0);
		if (compared > COMPARED_MAX) {
			mark(range, offset, len);
			return;
		}
		for (size_t i = near ? pin->first_written : pin->count; i < pin->count; i++) {
			uintptr_t first = (uintptr_t)pin->parts[i].iov_base;
			uintptr_t end = first + pin->parts[i].iov_len;

			first = first > from ? first : from;
			end = end < to ? end : to;
			if (first < end)
				mark(range, first - (uintptr_t)range->hva, end - first);
		}
	}
}

int guestmem_log_start(struct guestmem *mem)
{
	CHECK(!mem->logging);
	if (mem->unseen)
		return -EOPNOTSUPP;
	mem->logging = true;
	for (size_t i = 0; i < mem->count; i++) {
		struct guestmem_range *range = &mem->ranges[i];

		/* calloc()'s zeros take no memory until they are written. */
		range->written = calloc(pages_of(range) / 64 + 1, sizeof(uint64_t));
		if (!range->written) {
			guestmem_log_stop(mem);
			return -ENOMEM;
		}
		mark_in_flight(mem, range, 0, range->size);
	}
	return 0;
}

void guestmem_log_stop(struct guestmem *mem)
{
	for (size_t i = 0; i < mem->count; i++) {
		free(mem->ranges[i].written);
		mem->ranges[i].written = NULL;
	}
	mem->logging = false;
}

void guestmem_log_take(
	struct guestmem *mem, size_t index, uint64_t first, uint64_t count, uint64_t *ret)
{
	const struct guestmem_range *range = &mem->ranges[index];
	uint64_t offset = first * page_bytes(), len = count * page_bytes();
	size_t bytes = (count + 63) / 64 * sizeof(uint64_t);

	CHECK(mem->logging && index < mem->count && count && first <= pages_of(range) &&
		count <= pages_of(range) - first && first % 64 == 0 &&
		(count % 64 == 0 || first + count == pages_of(range)));
	memcpy(ret, range->written + first / 64, bytes);
	memset(range->written + first / 64, 0, bytes);
	mark_in_flight(mem, range, offset, len < range->size - offset ? len : range->size - offset);
}

void guestmem_begin_unseen(struct guestmem *mem)
{
	CHECK(!mem->logging);
	mem->unseen++;
}

void guestmem_end_unseen(struct guestmem *mem)
{
	CHECK(mem->unseen--);
}
