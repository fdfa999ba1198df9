/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks of translation tables that a guest made (VMSAv8-64): its own, from a virtual address on
 * (stage 1), and those that a hypervisor in it made for its guests (stage 2). Rules: Arm ARM (DDI
 * 0487), D8. Bounded by the format: at most five levels.
 */
#ifndef SLUICE_HYP_WALK_H
#define SLUICE_HYP_WALK_H

#include <stdbool.h>
#include <stdint.h>

enum walk_result {
	WALK_MAPPED,   /* *ret is where the address leads */
	WALK_TABLE,    /* *ret is a table's descriptor that could not be read */
	WALK_UNMAPPED, /* the tables say nothing (any more) */
};

/* Reads a descriptor (8 bytes) of guest memory; false where the guest has none there. */
struct walk_memory {
	bool (*read)(void *opaque, uint64_t address, uint64_t *ret);
	void *opaque;
};

struct stage1 {
	uint64_t sctlr, tcr, ttbr0, ttbr1; /* as the vCPU has them */
	struct walk_memory memory;
};

/* From a virtual address to what stage 1 makes of it. */
enum walk_result stage1_walk(const struct stage1 *stage1, uint64_t va, uint64_t *ret);

struct stage2 {
	uint64_t hcr, vtcr,
		vttbr; /* as the vCPU has them; without 52-bit addresses, which KVM does not nest */
	struct walk_memory memory;
};

/* From an intermediate physical address of a guest of the guest to a guest-physical one. */
enum walk_result stage2_walk(const struct stage2 *stage2, uint64_t ipa, uint64_t *ret);

#endif
