/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's statistics; see balloon-statistics.h. */
#include "devices/virtio/balloon-statistics.h"

#include <endian.h>
#include <time.h>

#include "devices/virtio/virtq.h"
#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"
#include "hyp/memory/window.h"

/* More entries than there are tags: unknown ones may be among them. Entries beyond this are ignored. */
#define ENTRIES_MAX 32

/* As on the wire. */
struct entry {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));

void balloon_statistics_reset(struct balloon_statistics *statistics)
{
	for (unsigned i = 0; i < BALLOON_STATISTICS; i++)
		statistics->value[i] = BALLOON_STATISTIC_UNKNOWN;
	statistics->updated_sec = 0;
}

void balloon_statistics_read(struct balloon_statistics *statistics, const struct guestmem *mem,
	const struct virtq_chain *chain)
{
	struct entry entries[ENTRIES_MAX];
	uint32_t count = chain->readable_bytes / sizeof(entries[0]);

	count = count < ENTRIES_MAX ? count : ENTRIES_MAX;
	balloon_statistics_reset(statistics);
	if (!count || virtq_chain_read_at(chain, mem, 0, entries, count * sizeof(entries[0])))
		return;
	for (uint32_t i = 0; i < count; i++)
		if (le16toh(entries[i].tag) < BALLOON_STATISTICS)
			statistics->value[le16toh(entries[i].tag)] = le64toh(entries[i].value);
	statistics->updated_sec = (uint64_t)time(NULL);
	statistics->plugged_bytes = 0;
	for (size_t i = 0; i < mem->count; i++)
		if (mem->ranges[i].window)
			statistics->plugged_bytes += window_plugged_bytes(mem->ranges[i].window);
}
