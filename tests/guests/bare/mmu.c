/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 1: an identity map of 512 GiB in entries of 1 GiB (Arm ARM, D8). */
#include "bare.h"

#define ENTRY_BLOCK    1
#define ENTRY_TABLE    3
#define ATTRIBUTE(n)   ((n) << 2)
#define INNER	       (3 << 8)
#define ACCESSED       (1 << 10)
#define NEVER_EXECUTED (UINT64_C(3) << 53)
#define NORMAL	       0
#define DEVICE	       1

/* The GiB that mmu_walk_through() gives a table of its own. */
#define WALK_INDEX 500
/* And the one that mmu_alias() maps elsewhere. */
#define ALIAS_INDEX 499

static uint64_t table[512] __attribute__((aligned(4096)));

void mmu_enable(void)
{
	uint64_t sctlr, features;

	if (!table[1])
		for (uint64_t i = 0; i < 512; i++)
			table[i] = i * GiB | ENTRY_BLOCK | INNER | ACCESSED |
				   (i ? ATTRIBUTE(NORMAL) : ATTRIBUTE(DEVICE) | NEVER_EXECUTED);
	__asm__ volatile("mrs %0, id_aa64mmfr0_el1" : "=r"(features));
	__asm__ volatile("msr mair_el1, %0" ::"r"(UINT64_C(0x00ff)));
	/* 39 bits in 4K pages, write-back, inner shareable; no TTBR1; as many IPA bits as there are. */
	__asm__ volatile("msr tcr_el1, %0" ::"r"(
		UINT64_C(25) | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | (features & 7) << 32));
	__asm__ volatile("msr ttbr0_el1, %0; dsb sy; isb; tlbi vmalle1; dsb sy; isb" ::"r"(table)
			 : "memory");
	__asm__ volatile("mrs %0, sctlr_el1" : "=r"(sctlr));
	sctlr |= 1 << 0 | 1 << 2 | 1 << 12; /* MMU, caches */
	sctlr &= ~UINT64_C(2);		    /* unaligned loads are allowed */
	__asm__ volatile("msr sctlr_el1, %0; isb" ::"r"(sctlr) : "memory");
}

uint64_t mmu_walk_through(uint64_t gpa)
{
	uint64_t va = WALK_INDEX * GiB;

	table[WALK_INDEX] = gpa | ENTRY_TABLE;
	__asm__ volatile("dsb sy; tlbi vaae1is, %0; dsb sy; isb" ::"r"(va >> 12) : "memory");
	return va;
}

uint64_t mmu_alias(uint64_t gpa)
{
	uint64_t va = ALIAS_INDEX * GiB;

	table[ALIAS_INDEX] = gpa | ENTRY_BLOCK | INNER | ACCESSED | ATTRIBUTE(NORMAL) |
			     NEVER_EXECUTED;
	__asm__ volatile("dsb sy; tlbi vaae1is, %0; dsb sy; isb" ::"r"(va >> 12) : "memory");
	return va;
}
