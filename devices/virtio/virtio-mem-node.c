/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio-mem node: its properties, the rules between them, and the window that follows of them. */
#include "devices/virtio/virtio-mem-node.h"

#include <inttypes.h>

#include "hyp/base/util.h"
#include "hyp/memory/window.h"

#define SLOT_UNIT    (128 * MiB)
#define MEMSLOTS_MAX 1024
/* In slots above this, page tables for reads as zero would cost too much. */
#define STRAY_ZERO_MAX (1 * GiB)

uint64_t virtio_mem_slot_bytes(
	uint64_t size, uint64_t block, uint32_t memslots, uint64_t slot_size, unsigned max_slots)
{
	uint64_t unit = block > SLOT_UNIT ? block : SLOT_UNIT, slot = unit;

	if (slot_size)
		return slot_size;
	if (memslots)
		return align_up(size / memslots + (size % memslots != 0), unit);
	while (slot < size && (size - 1) / slot + 1 > max_slots)
		slot *= 2;
	return slot;
}

/* The default block, defined only here: the huge page, but 2 MiB if that is 512 MiB (64K pages). */
static uint64_t block_bytes(const struct virtio_mem_node *node, uint64_t host_page_bytes)
{
	if (node->block_size)
		return node->block_size;
	return host_page_bytes == 16 * KiB ? 32 * MiB : 2 * MiB;
}

void virtio_mem_defaults(void *config)
{
	struct virtio_mem_node *node = config;

	node->stray_reads = VIRTIO_MEM_UNSET;
	node->numa_node = VIRTIO_MEM_UNSET;
}

void virtio_mem_check(const void *config, struct device_check *check)
{
	const struct virtio_mem_node *node = config;
	uint64_t block = block_bytes(node, check->host_page_bytes), size = node->region.size;

	if (!is_power_of_two(block) || block < check->host_page_bytes) {
		check->error(check, "block-size",
			"0x%" PRIx64
			" is not a power of two of at least the host's page, 0x%" PRIx64,
			block, check->host_page_bytes);
		return; /* the rest is counted in blocks */
	}
	if (node->memslots && node->slot_size)
		check->error(
			check, "slot-size", "takes the place of memslots: give one of the two");
	if (!is_aligned(node->slot_size, block))
		check->error(check, "slot-size",
			"0x%" PRIx64 " is not a multiple of the block, 0x%" PRIx64, node->slot_size,
			block);
	if (!is_aligned(node->requested_size, block))
		check->error(check, "requested-size",
			"0x%" PRIx64 " is not a multiple of the block, 0x%" PRIx64,
			node->requested_size, block);
	if (node->mergeable && node->backing != BACKING_ANONYMOUS)
		check->error(check, "mergeable",
			"the host merges equal pages of backing = \"anonymous\" alone: leave one of the two out");
	if (!size)
		return; /* missing: the property table has reported it */
	if (!is_aligned(node->region.gpa, block) || !is_aligned(size, block))
		check->error(check, "memory-region",
			"window 0x%" PRIx64 "+0x%" PRIx64 " is not made of blocks of 0x%" PRIx64,
			node->region.gpa, size, block);
	if (node->requested_size > size)
		check->error(check, "requested-size",
			"0x%" PRIx64 " is more than the window's 0x%" PRIx64, node->requested_size,
			size);
}

void virtio_mem_describe(
	const void *config, const struct window_limits *limits, struct window_config *ret)
{
	const struct virtio_mem_node *node = config;

	ret->gpa = node->region.gpa;
	ret->size = node->region.size;
	ret->block_bytes = block_bytes(node, limits->host_page_bytes);
	ret->slot_bytes = virtio_mem_slot_bytes(ret->size, ret->block_bytes, node->memslots,
		node->slot_size,
		limits->max_slots < MEMSLOTS_MAX ? limits->max_slots : MEMSLOTS_MAX);
	ret->stray_reads = node->stray_reads != VIRTIO_MEM_UNSET ? node->stray_reads
			   : ret->slot_bytes > STRAY_ZERO_MAX	 ? STRAY_READS_ABORT
								 : STRAY_READS_ZERO;
	ret->backing = node->backing;
	ret->mergeable = node->mergeable;
}

static const char *const stray_reads_choices[] = {
	[STRAY_READS_ZERO] = "zero",
	[STRAY_READS_ABORT] = "abort",
	NULL,
};

static const char *const backing_choices[] = {
	[BACKING_ANONYMOUS] = "anonymous",
	[BACKING_MEMFD] = "memfd",
	[BACKING_HUGETLB] = "hugetlb",
	NULL,
};

#define FIELD(name) offsetof(struct virtio_mem_node, name)

const struct property virtio_mem_properties[] = {
	{ "memory-region", PROPERTY_REGION, FIELD(region), .required = true },
	{ "block-size", PROPERTY_U64, FIELD(block_size) },
	{ "requested-size", PROPERTY_U64, FIELD(requested_size) },
	{ "memslots", PROPERTY_U32, FIELD(memslots), .min = 0, .max = MEMSLOTS_MAX },
	{ "slot-size", PROPERTY_U64, FIELD(slot_size) },
	{ "stray-reads", PROPERTY_CHOICE, FIELD(stray_reads), .choices = stray_reads_choices },
	{ "backing", PROPERTY_CHOICE, FIELD(backing), .choices = backing_choices },
	{ "mergeable", PROPERTY_FLAG, FIELD(mergeable) },
	{ "numa-node-id", PROPERTY_U32, FIELD(numa_node), .min = 0, .max = UINT16_MAX },
	{ NULL },
};
