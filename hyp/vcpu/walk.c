/* SPDX-License-Identifier: Apache-2.0 */
/* The walks of both stages; see walk.h. They differ in where they start. */
#include "hyp/vcpu/walk.h"

#define BITS(value, high, low) ((value) >> (low) & ((UINT64_C(1) << ((high) - (low) + 1)) - 1))

#define SCTLR_M	   UINT64_C(1)
#define TCR_DS_BIT 59
#define HCR_VM	   UINT64_C(1)
#define LEVEL_LAST 3

/* TCR_ELx.TG0, VTCR_EL2.TG0 and TCR_ELx.TG1; 0: there is no such granule. */
static const unsigned tg0_shift[] = { 12, 16, 14, 0 }, tg1_shift[] = { 0, 14, 12, 16 };

/* The output address of a descriptor; the place of bits above 47 depends on the granule and TCR_EL1.DS. */
static uint64_t output_address(uint64_t descriptor, unsigned shift, bool ds)
{
	uint64_t address;

	if (ds && shift != 16)
		return (BITS(descriptor, 49, shift) << shift) | BITS(descriptor, 9, 8) << 50;
	address = BITS(descriptor, 47, shift) << shift;
	if (shift == 16)
		address |= BITS(descriptor, 15, 12) << 48;
	return address;
}

struct start {
	unsigned shift; /* the granule's */
	unsigned bits;	/* of the address, all above the first level's index in its table */
	int level;
	uint64_t table;
	bool ds;
};

static enum walk_result walk(
	const struct walk_memory *memory, struct start at, uint64_t address, uint64_t *ret)
{
	unsigned stride = at.shift - 3, high = at.bits;

	for (;; at.level++) {
		unsigned low = at.shift + stride * (unsigned)(LEVEL_LAST - at.level);
		uint64_t entry = at.table + BITS(address, high - 1, low) * 8, descriptor;

		if (!memory->read(memory->opaque, entry, &descriptor)) {
			*ret = entry;
			return WALK_TABLE;
		}
		if (!(descriptor & 1) || (at.level == LEVEL_LAST && !(descriptor & 2)))
			return WALK_UNMAPPED;
		at.table = output_address(descriptor, at.shift, at.ds);
		if (at.level == LEVEL_LAST || !(descriptor & 2)) {
			*ret = (at.table >> low << low) | BITS(address, low - 1, 0);
			return WALK_MAPPED;
		}
		high = low;
	}
}

enum walk_result stage1_walk(const struct stage1 *stage1, uint64_t va, uint64_t *ret)
{
	bool upper = va >> 55 & 1;
	uint64_t tcr = stage1->tcr, ttbr = upper ? stage1->ttbr1 : stage1->ttbr0;
	struct start at = {
		.shift = upper ? tg1_shift[BITS(tcr, 31, 30)] : tg0_shift[BITS(tcr, 15, 14)],
		.bits = 64 - (unsigned)(upper ? BITS(tcr, 21, 16) : BITS(tcr, 5, 0)),
		.table = BITS(ttbr, 47, 1) << 1,
		.ds = tcr >> TCR_DS_BIT & 1,
	};
	unsigned stride = at.shift - 3;

	if (!(stage1->sctlr & SCTLR_M)) {
		*ret = va;
		return WALK_MAPPED;
	}
	if (!at.shift || at.bits <= at.shift || at.bits > 52)
		return WALK_UNMAPPED;
	at.level = LEVEL_LAST + 1 - (int)((at.bits - at.shift + stride - 1) / stride);
	if (at.bits > 48)
		at.table = (at.table & ~UINT64_C(0x3f)) | BITS(ttbr, 5, 2) << 48;
	return walk(&stage1->memory, at, va, ret);
}

/* VTCR_EL2.SL0 gives the first level, at which up to 16 tables are concatenated. */
enum walk_result stage2_walk(const struct stage2 *stage2, uint64_t ipa, uint64_t *ret)
{
	struct start at = {
		.shift = tg0_shift[BITS(stage2->vtcr, 15, 14)],
		.bits = 64 - (unsigned)BITS(stage2->vtcr, 5, 0),
	};
	unsigned stride = at.shift - 3, below;

	if (!(stage2->hcr & HCR_VM)) {
		*ret = ipa;
		return WALK_MAPPED;
	}
	if (!at.shift || at.bits > 48 || ipa >> at.bits)
		return WALK_UNMAPPED;
	at.level = (at.shift == 12 ? 2 : 3) - (int)BITS(stage2->vtcr, 7, 6);
	if (at.level < 0)
		return WALK_UNMAPPED;
	below = at.shift + stride * (unsigned)(LEVEL_LAST - at.level);
	if (at.bits <= below || at.bits > below + stride + 4)
		return WALK_UNMAPPED;
	/* The base is aligned to the size of all its tables. */
	below = at.bits - below + 3;
	at.table = BITS(stage2->vttbr, 47, below) << below;
	return walk(&stage2->memory, at, ipa, ret);
}
