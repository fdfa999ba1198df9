/* SPDX-License-Identifier: Apache-2.0 */
/* Memory slots and their budget; see slots.h. */
#include "hyp/slots.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/kvm.h"
#include "hyp/loop.h"
#include "hyp/util.h"

/* How long the answer is taken to be the same when there was no room. */
#define COUNT_AGAIN_MS 1000

#define BITMAP_WORDS(n) (((n) + 63) / 64)

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

bool slots_take_mappings(struct slots *slots)
{
	uint64_t now;

	if (slots->mappings > slots->mappings_limit - 2) {
		now = loop_now_ms();
		if (now < slots->count_again_ms)
			return false;
		slots->mappings = count_mappings();
		if (slots->mappings > slots->mappings_limit - 2) {
			slots->count_again_ms = now + COUNT_AGAIN_MS;
			return false;
		}
	}
	slots->mappings += 2;
	return true;
}

int slots_init(struct slots *slots, unsigned limit)
{
	uint64_t mappings = max_map_count();

	*slots = (struct slots){ .vm_fd = -1, .limit = limit };
	slots->used = calloc(BITMAP_WORDS(limit), sizeof(uint64_t));
	slots->mappings_limit = mappings > MAPPINGS_MARGIN ? mappings - MAPPINGS_MARGIN : 2;
	slots->mappings = UINT64_MAX; /* not counted yet */
	return slots->used ? 0 : -ENOMEM;
}

void slots_finish(struct slots *slots)
{
	free(slots->used);
	slots->used = NULL;
}

int slots_reserve(struct slots *slots, const char *holder, unsigned count)
{
	if (count > slots->limit - slots->reserved || slots->holder_count == SLOTS_HOLDERS)
		return -ENOSPC;
	slots->holders[slots->holder_count++] = (struct slot_holder){ holder, count };
	slots->reserved += count;
	return 0;
}

void slots_set_vm(struct slots *slots, int vm_fd)
{
	memset(slots->used, 0, BITMAP_WORDS(slots->limit) * sizeof(uint64_t));
	slots->open = 0;
	slots->first_free = 0;
	slots->vm_fd = vm_fd;
}

static int set_region(struct slots *slots, unsigned id, uint64_t gpa, uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = id,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return kvm_ioctl(slots->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int slot_open(struct slots *slots, uint64_t gpa, uint64_t size, void *hva)
{
	unsigned id = slots->first_free;
	int err;

	while (id < slots->limit && (slots->used[id / 64] >> (id % 64) & 1))
		id++;
	if (id == slots->limit)
		return -ENOSPC;
	err = set_region(slots, id, gpa, size, hva);
	if (err < 0)
		return err;
	slots->used[id / 64] |= UINT64_C(1) << (id % 64);
	slots->first_free = id + 1;
	slots->open++;
	return (int)id;
}

int slot_close(struct slots *slots, unsigned id, uint64_t gpa)
{
	int err = set_region(slots, id, gpa, 0, NULL);

	if (err < 0)
		return err;
	slots->used[id / 64] &= ~(UINT64_C(1) << (id % 64));
	if (id < slots->first_free)
		slots->first_free = id;
	slots->open--;
	return 0;
}
