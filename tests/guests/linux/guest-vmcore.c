/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads all of /proc/vmcore, the memory of a guest that crashed, and searches it for the pages of a
 * pattern that guest-tool had filled there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-tool.h"

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool counts_up(const uint64_t *page)
{
	for (size_t w = 1; w < WORDS; w++)
		if (page[w] != page[0] + w)
			return false;
	return true;
}

int vmcore_search(const char *mib, const char *seed)
{
	static uint64_t page[WORDS];
	size_t pages = strtoul(mib, NULL, 0) * (MIB / PAGE), found = 0, total = 0;
	uint64_t *firsts = calloc(pages, sizeof(*firsts)), *at;
	bool *seen = calloc(pages, sizeof(*seen));
	int fd = open("/proc/vmcore", O_RDONLY);
	ssize_t n = -1;

	for (size_t p = 0; p < pages; p++)
		firsts[p] = page_word(strtoull(seed, NULL, 0), p);
	qsort(firsts, pages, sizeof(*firsts), compare);
	/* Whatever is in it begins at a page's border; and its headers are small. */
	while (fd >= 0 && (n = pread(fd, page, sizeof(page), total)) > 0) {
		total += n;
		if (n != sizeof(page))
			break;
		at = bsearch(page, firsts, pages, sizeof(*firsts), compare);
		if (at && counts_up(page) && !seen[at - firsts]) {
			seen[at - firsts] = true;
			found++;
		}
	}
	if (n)
		printf("vmcore: at %zu: %s\n", total, n < 0 ? strerror(errno) : "not whole pages");
	printf("vmcore: %zu MiB, %zu of %zu pages found\n", total / MIB, found, pages);
	return n || found != pages;
}
