/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk of a guest's own (stage 1, EL1&0) translation tables: from the virtual address that a
 * fault left in FAR_EL1 to the guest-physical one. Rules: Arm ARM (DDI 0487), D8.
 */
#ifndef SLUICE_HYP_STAGE1_H
#define SLUICE_HYP_STAGE1_H

#include <stdbool.h>
#include <stdint.h>

struct stage1 {
	uint64_t sctlr, tcr, ttbr0, ttbr1; /* as the vCPU has them */
	/* Reads a descriptor (8 bytes) of guest memory; false where the guest has none there. */
	bool (*read)(void *opaque, uint64_t gpa, uint64_t *ret);
	void *opaque;
};

enum stage1_result {
	STAGE1_MAPPED,	 /* *ret_gpa is where the address leads */
	STAGE1_TABLE,	 /* *ret_gpa is a table's descriptor outside the guest's memory */
	STAGE1_UNMAPPED, /* the tables say nothing (any more) */
};

enum stage1_result stage1_walk(const struct stage1 *stage1, uint64_t va, uint64_t *ret_gpa);

#endif
