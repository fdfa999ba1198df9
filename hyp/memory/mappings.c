/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of mappings; see mappings.h. */
#include "hyp/memory/mappings.h"

#include <stdio.h>

#include "hyp/base/loop.h"

/* Counting reads the whole list of mappings, so near the limit it is done at most once in this time. */
#define COUNT_AGAIN_MS 1000

/* The kernel's default where the file cannot be read (Documentation/admin-guide/sysctl/vm.rst). */
#define MAX_MAP_COUNT_DEFAULT 65530

static uint64_t max_map_count(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long long value;
	bool got;

	if (!file)
		return MAX_MAP_COUNT_DEFAULT;
	got = fscanf(file, "%llu", &value) == 1;
	fclose(file);
	return got ? value : MAX_MAP_COUNT_DEFAULT;
}

/* Lines of /proc/self/maps; UINT64_MAX where it cannot be read. */
static uint64_t count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	uint64_t lines = 0;
	int c;

	if (!file)
		return UINT64_MAX;
	while ((c = getc_unlocked(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

bool mappings_take(struct mappings *mappings)
{
	uint64_t now;

	if (mappings->count > mappings->limit - 2) {
		now = loop_now_ms();
		if (now < mappings->count_again_ms)
			return false;
		mappings->count = count_mappings();
		mappings->count_again_ms = now + COUNT_AGAIN_MS;
		if (mappings->count > mappings->limit - 2)
			return false;
	}
	mappings->count += 2;
	return true;
}

void mappings_init(struct mappings *mappings)
{
	uint64_t max = max_map_count();

	*mappings = (struct mappings){
		.limit = max > MAPPINGS_MARGIN + 2 ? max - MAPPINGS_MARGIN : 2,
		.count = UINT64_MAX, /* not counted yet */
	};
}
