/* SPDX-License-Identifier: Apache-2.0 */
/* The pages in a balloon; see balloon-pages.h. */
#include "devices/virtio/balloon-pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"

#define PAGE 4096 /* the balloon's (virtio 1.2, 5.5.6) */

void balloon_pages_init(struct balloon_pages *pages, const struct guestmem *mem)
{
	*pages = (struct balloon_pages){ .mem = mem, .host_page = (uint64_t)sysconf(_SC_PAGESIZE) };
}

static uint64_t map_bytes(const struct guestmem_range *range)
{
	return (range->size / PAGE + 63) / 64 * sizeof(uint64_t);
}

void balloon_pages_finish(struct balloon_pages *pages)
{
	for (size_t i = 0; i < GUESTMEM_RANGES; i++)
		if (pages->in[i])
			munmap(pages->in[i], map_bytes(&pages->mem->ranges[i]));
}

void balloon_pages_reset(struct balloon_pages *pages)
{
	balloon_pages_finish(pages);
	balloon_pages_init(pages, pages->mem);
}

/* The bits of a range, mapped at first use: zeros, and no memory until written. NULL if the host refuses. */
static uint64_t *bits_of(struct balloon_pages *pages, size_t index)
{
	void *map;

	if (pages->in[index])
		return pages->in[index];
	map = mmap(NULL, map_bytes(&pages->mem->ranges[index]), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map != MAP_FAILED)
		pages->in[index] = map;
	return pages->in[index];
}

static bool is_in(const uint64_t *bits, uint64_t page)
{
	return bits[page / 64] >> page % 64 & 1;
}

/* Whether all parts of the host page at `offset` into a range are in. */
static bool is_whole(const struct balloon_pages *pages, const uint64_t *bits, uint64_t offset,
	uint64_t range_size)
{
	uint64_t page = offset / PAGE, end = page + pages->host_page / PAGE;

	if (offset + pages->host_page > range_size)
		return false;
	while (page < end && is_in(bits, page))
		page++;
	return page == end;
}

/* Bytes of whole host pages in [from, to) that count as freed. */
static uint64_t given(const struct balloon_pages *pages, const uint64_t *bits, uint64_t from,
	uint64_t to, uint64_t range_size)
{
	uint64_t bytes = 0;

	for (; from < to; from += pages->host_page)
		bytes += is_whole(pages, bits, from, range_size) ? pages->host_page : 0;
	return bytes;
}

static void mark(uint64_t *bits, uint64_t from, uint64_t to, bool in)
{
	for (uint64_t page = from / PAGE; page < to / PAGE; page++) {
		uint64_t bit = UINT64_C(1) << page % 64;

		bits[page / 64] = in ? bits[page / 64] | bit : bits[page / 64] & ~bit;
	}
}

/* [from, to) are offsets into the range; `bits` are the range's. */
static void put_in(struct balloon_pages *pages, const struct guestmem_range *range, uint64_t *bits,
	uint64_t from, uint64_t to, bool remember)
{
	const uint64_t host_page = pages->host_page;
	uint64_t first, last, start, end, before;

	if (!remember) {
		from = align_up(from, host_page);
		to = align_down(to, host_page);
		if (from >= to)
			return;
	}
	first = start = align_down(from, host_page);
	last = end = align_up(to, host_page);
	before = given(pages, bits, first, last, range->size);
	mark(bits, from, to, true);
	/* Only the first and the last host page may be partly in. */
	if (!is_whole(pages, bits, start, range->size))
		start += host_page;
	if (start < end && !is_whole(pages, bits, end - host_page, range->size))
		end -= host_page;
	/* Refused (pinned memory, huge pages): the guest retains the memory. */
	if (start < end && guestmem_discard(pages->mem, range->gpa + start, end - start))
		mark(bits, start, end, false);
	pages->given_bytes += given(pages, bits, first, last, range->size) - before;
}

static void take_out(struct balloon_pages *pages, const struct guestmem_range *range,
	uint64_t *bits, uint64_t from, uint64_t to)
{
	uint64_t first = align_down(from, pages->host_page);
	uint64_t last = align_up(to, pages->host_page);
	uint64_t before = given(pages, bits, first, last, range->size);

	mark(bits, from, to, false);
	pages->given_bytes -= before - given(pages, bits, first, last, range->size);
}

/* Calls put_in() or take_out() for the part in each range that is the guest's memory. */
static void for_each_part(
	struct balloon_pages *pages, uint64_t gpa, uint64_t size, bool in, bool remember)
{
	for (size_t i = 0; i < pages->mem->count; i++) {
		const struct guestmem_range *range = &pages->mem->ranges[i];
		uint64_t from = gpa > range->gpa ? gpa - range->gpa : 0;
		uint64_t to = gpa + size > range->gpa ? gpa + size - range->gpa : 0;
		uint64_t *bits;

		to = to < range->size ? to : range->size;
		if (from >= to || !guestmem_read_at(pages->mem, range->gpa + from, to - from))
			continue;
		bits = bits_of(pages, i);
		if (!bits && in) /* no memory for the bits */
			(void)guestmem_discard(pages->mem, range->gpa + from, to - from);
		else if (bits && in)
			put_in(pages, range, bits, from, to, remember);
		else if (bits)
			take_out(pages, range, bits, from, to);
	}
}

void balloon_pages_inflate(struct balloon_pages *pages, uint64_t gpa, uint64_t size, bool remember)
{
	for_each_part(pages, gpa, size, true, remember);
}

void balloon_pages_deflate(struct balloon_pages *pages, uint64_t gpa, uint64_t size)
{
	for_each_part(pages, gpa, size, false, false);
}
