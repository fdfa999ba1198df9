/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks translation tables that a guest made (VMSAv8-64): its own, from a virtual address (stage 1), and those that a
 * hypervisor in it made for its guests (stage 2). Rules: Arm ARM (DDI
 * 0487), D8. Bounded by the format: at most five levels.
 */
#ifndef SLUICE_HYP_VCPU_WALK_H
#define SLUICE_HYP_VCPU_WALK_H

#include <stdbool.h>
#include <stdint.h>

enum walk_result {
	WALK_MAPPED,   /* *ret is where the address leads */
	WALK_TABLE,    /* *ret is a table's descriptor that could not be read */
	WALK_UNMAPPED, /* the tables have no entry for it (any more) */
};

/* Reads a descriptor (8 bytes) from guest memory; false if the guest has no memory there. */
struct walk_memory {
	bool (*read)(void *opaque, uint64_t address, uint64_t *ret);
	void *opaque;
};

struct stage1 {
	uint64_t sctlr, tcr, ttbr0, ttbr1; /* as the vCPU has them */
	struct walk_memory memory;
};

/* Translates a virtual address by stage 1. */
enum walk_result stage1_walk(const struct stage1 *stage1, uint64_t va, uint64_t *ret);

struct stage2 {
	uint64_t hcr, vtcr,
		vttbr; /* as the vCPU has them; without 52-bit addresses, which KVM does not nest */
	struct walk_memory memory;
};

/* From an intermediate physical address of a guest of the guest to a guest-physical one. */
enum walk_result stage2_walk(const struct stage2 *stage2, uint64_t ipa, uint64_t *ret);

#endif
