/* SPDX-License-Identifier: Apache-2.0 */
/* The gate to guest memory; see guestmem.h. */
#include "hyp/guestmem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hyp/addrspace.h"
#include "hyp/util.h"
#include "hyp/window.h"

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
	mem->ranges[mem->count++] = *range;
	return 0;
}

/* The range that holds all of [gpa, gpa + len). Neighbours that touch stay two: nothing spans them. */
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

void *guestmem_at(const struct guestmem *mem, uint64_t gpa, uint64_t len)
{
	const struct guestmem_range *range = find(mem, gpa, len);

	if (!range || (range->window &&
			      window_state(range->window, gpa - range->gpa, len) != WINDOW_PLUGGED))
		return NULL;
	return range->hva + (gpa - range->gpa);
}

/* How many bytes there are from `gpa` to the end of its range. */
static uint64_t left_of_range(const struct guestmem *mem, uint64_t gpa)
{
	const struct guestmem_range *range = find(mem, gpa, 1);

	return range ? range->size - (gpa - range->gpa) : 0;
}

int guestmem_parts(
	const struct guestmem *mem, uint64_t gpa, uint64_t len, struct iovec *ret, unsigned room)
{
	int count = 0;

	while (len) {
		uint64_t part = left_of_range(mem, gpa);
		void *at;

		part = part < len ? part : len;
		at = room-- ? guestmem_at(mem, gpa, part) : NULL;
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
	const void *from = guestmem_at(mem, gpa, len);

	if (!from)
		return -EFAULT;
	memcpy(ret_buf, from, len);
	return 0;
}

int guestmem_write(const struct guestmem *mem, uint64_t gpa, const void *buf, size_t len)
{
	void *to = guestmem_at(mem, gpa, len);

	if (!to)
		return -EFAULT;
	memcpy(to, buf, len);
	return 0;
}

/* All in one range. */
static int discard_part(const struct guestmem *mem, uint64_t gpa, uint64_t len)
{
	const struct guestmem_range *range = find(mem, gpa, len);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = align_up(gpa, page);
	uint64_t to = align_down(gpa + len, page);

	if (!guestmem_at(mem, gpa, len))
		return -EFAULT;
	if (guestmem_pinned(mem, gpa, len))
		return -EBUSY;
	if (from >= to)
		return 0;
	return range->window ? window_discard(range->window, from - range->gpa, to - from)
			     : addrspace_empty(range->hva + (from - range->gpa), to - from);
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

bool guestmem_pinned(const struct guestmem *mem, uint64_t gpa, uint64_t size)
{
	const struct guestmem_range *range = find(mem, gpa, size);
	uint64_t from = range ? (uint64_t)(uintptr_t)range->hva + (gpa - range->gpa) : 0;

	for (const struct guestmem_pin *pin = range ? mem->pins : NULL; pin; pin = pin->next)
		for (size_t i = 0; i < pin->count; i++)
			if (pin->parts[i].iov_len &&
				ranges_overlap((uintptr_t)pin->parts[i].iov_base,
					pin->parts[i].iov_len, from, size))
				return true;
	return false;
}
