/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio-mem device's node in the machine's tree (dts/bindings/sluice,virtio-mem.yaml). */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_MEM_NODE_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_MEM_NODE_H

#include "devices/device.h"

struct virtio_mem_node {
	struct property_region region;
	uint64_t block_size; /* 0: by the host's page */
	uint64_t slot_size;  /* 0: by memslots */
	uint64_t requested_size;
	uint32_t memslots;    /* 0: chosen by the slot limit */
	uint32_t stray_reads; /* enum stray_reads, or VIRTIO_MEM_UNSET: by the slot */
	uint32_t numa_node;   /* or VIRTIO_MEM_UNSET */
	uint32_t backing;     /* enum backing_kind */
	bool mergeable;
};

#define VIRTIO_MEM_UNSET UINT32_MAX

/* The class's part that concerns the node; see struct device_class. */
extern const struct property virtio_mem_properties[];
void virtio_mem_defaults(void *config);
void virtio_mem_check(const void *config, struct device_check *check);
void virtio_mem_describe(
	const void *config, const struct window_limits *limits, struct window_config *ret);

/*
 * The size of a window's slots: `slot_size` if not 0; else at most `memslots` slots if that is not
 * 0; else chosen, so that there are at most `max_slots` (0 counts as 1). The last two give a multiple
 * of max(128 MiB, block). `size` is a multiple of `block`, a power of two.
 */
uint64_t virtio_mem_slot_bytes(
	uint64_t size, uint64_t block, uint32_t memslots, uint64_t slot_size, unsigned max_slots);

#endif
