/* SPDX-License-Identifier: Apache-2.0 */
/* The stage-1 walk; see stage1.h. Bounded by the format: at most five levels. */
#include "hyp/stage1.h"

#define BITS(value, high, low) ((value) >> (low) & ((UINT64_C(1) << ((high) - (low) + 1)) - 1))

#define SCTLR_M	   UINT64_C(1)
#define TCR_DS_BIT 59
#define LEVEL_LAST 3

/* TCR_EL1.TG0 and TG1 number the granules differently. */
static unsigned granule_shift(uint64_t tcr, bool upper)
{
	static const unsigned tg0[] = { 12, 16, 14, 0 }, tg1[] = { 0, 14, 12, 16 };

	return upper ? tg1[BITS(tcr, 31, 30)] : tg0[BITS(tcr, 15, 14)];
}

/* The output address of a descriptor; bits above 47 move about with the granule and TCR_EL1.DS. */
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

enum stage1_result stage1_walk(const struct stage1 *stage1, uint64_t va, uint64_t *ret_gpa)
{
	bool upper = va >> 55 & 1, ds = stage1->tcr >> TCR_DS_BIT & 1;
	unsigned shift = granule_shift(stage1->tcr, upper), stride = shift - 3, va_bits;
	uint64_t ttbr = upper ? stage1->ttbr1 : stage1->ttbr0, table;
	int level;

	if (!(stage1->sctlr & SCTLR_M)) {
		*ret_gpa = va;
		return STAGE1_MAPPED;
	}
	va_bits = 64 - (unsigned)(upper ? BITS(stage1->tcr, 21, 16) : BITS(stage1->tcr, 5, 0));
	if (!shift || va_bits <= shift || va_bits > 52)
		return STAGE1_UNMAPPED;
	level = LEVEL_LAST + 1 - (int)((va_bits - shift + stride - 1) / stride);
	table = BITS(ttbr, 47, 1) << 1;
	if (va_bits > 48)
		table = (table & ~UINT64_C(0x3f)) | BITS(ttbr, 5, 2) << 48;
	va = BITS(va, va_bits - 1, 0);

	for (;; level++) {
		unsigned low = shift + stride * (unsigned)(LEVEL_LAST - level);
		unsigned high = low + stride < va_bits ? low + stride : va_bits;
		uint64_t at = table + BITS(va, high - 1, low) * 8, descriptor;

		if (!stage1->read(stage1->opaque, at, &descriptor)) {
			*ret_gpa = at;
			return STAGE1_TABLE;
		}
		if (!(descriptor & 1) || (level == LEVEL_LAST && !(descriptor & 2)))
			return STAGE1_UNMAPPED;
		if (level == LEVEL_LAST || !(descriptor & 2)) {
			uint64_t offset = BITS(va, low - 1, 0);

			*ret_gpa = (output_address(descriptor, shift, ds) >> low << low) | offset;
			return STAGE1_MAPPED;
		}
		table = output_address(descriptor, shift, ds);
	}
}
