/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a window really costs and exposes, as the kernel sees it: read from its lists of our
 * mappings and not from our own books, so that the two can be held against each other.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hyp/util.h"
#include "hyp/window.h"

struct mapping {
	uint64_t start, end;
	bool writable;
};

/* The header line of a mapping, in maps and smaps alike. */
static bool parse_mapping(const char *line, struct mapping *ret)
{
	unsigned long long start, end;
	char write;

	if (sscanf(line, "%llx-%llx %*c%c", &start, &end, &write) != 3)
		return false;
	*ret = (struct mapping){ start, end, write == 'w' };
	return true;
}

static uint64_t overlap(const struct window *window, const struct mapping *mapping)
{
	uint64_t start = (uintptr_t)window_hva(window), end = start + window_config(window)->size;

	if (mapping->start > start)
		start = mapping->start;
	if (mapping->end < end)
		end = mapping->end;
	return start < end ? end - start : 0;
}

int window_exposed_bytes(const struct window *window, uint64_t *ret)
{
	FILE *file = fopen("/proc/self/maps", "re");
	struct mapping mapping;
	char line[512];
	uint64_t sum = 0;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (parse_mapping(line, &mapping) && mapping.writable)
			sum += overlap(window, &mapping);
	fclose(file);
	*ret = sum;
	return 0;
}

int window_resident_bytes(const struct window *window, uint64_t *ret)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	struct mapping mapping = { 0 };
	unsigned long long rss;
	char line[512];
	uint64_t sum = 0;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		/* Huge pages of the pool are not in Rss. */
		if (sscanf(line, "Rss: %llu kB", &rss) == 1 ||
			sscanf(line, "Shared_Hugetlb: %llu kB", &rss) == 1 ||
			sscanf(line, "Private_Hugetlb: %llu kB", &rss) == 1) {
			if (overlap(window, &mapping))
				sum += rss * KiB;
		} else {
			parse_mapping(line, &mapping);
		}
	fclose(file);
	*ret = sum;
	return 0;
}
