/* SPDX-License-Identifier: Apache-2.0 */
/* The gate to guest memory; see guestmem.h. */
#include "hyp/guestmem.h"

#include <errno.h>
#include <string.h>

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

void *guestmem_at(const struct guestmem *mem, uint64_t gpa, uint64_t len)
{
	if (!len)
		return NULL;
	for (size_t i = 0; i < mem->count; i++) {
		const struct guestmem_range *range = &mem->ranges[i];
		uint64_t offset = gpa - range->gpa;

		if (gpa < range->gpa || offset >= range->size)
			continue;
		if (len > range->size - offset)
			return NULL; /* neighbours that touch stay two: nothing spans them */
		if (range->window && window_state(range->window, offset, len) != WINDOW_PLUGGED)
			return NULL;
		return range->hva + offset;
	}
	return NULL;
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
