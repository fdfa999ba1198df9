/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this machine's kernel shares one page of zeros among all that is only read. */
#ifndef SLUICE_TESTS_ZERO_PAGE_H
#define SLUICE_TESTS_ZERO_PAGE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static inline long resident_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long whole, resident = -1;

	if (file && fscanf(file, "%ld %ld", &whole, &resident) != 2)
		resident = -1;
	if (file)
		fclose(file);
	return resident;
}

/*
 * Linux does, unless configured not to, as some hosts of virtual machines are. There a read of what was never
 * written takes a page of its own, and what is said of memory that is only read cannot be tried.
 */
static inline bool zero_page_is_shared(void)
{
	enum { PAGES = 4096 }; /* far more than the kernel's count may be off by */
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	long before = resident_pages();
	volatile char *at = mmap(NULL, PAGES * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	bool shared;

	if (at == MAP_FAILED)
		return false;
	for (size_t i = 0; i < PAGES; i++)
		(void)at[i * page];
	shared = resident_pages() - before < PAGES / 2;
	munmap((void *)at, PAGES * page);
	return shared;
}

#endif
