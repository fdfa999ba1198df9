/* SPDX-License-Identifier: Apache-2.0 */
/* The walks of both stages on tables made here, for each granule (Arm ARM, D8.3). */
#include <string.h>

#include "hyp/base/util.h"
#include "hyp/vcpu/walk.h"
#include "tests/unit/helpers/unit.h"

#define MEMORY_GPA UINT64_C(0x40000000)
#define MEMORY	   (1 * MiB)

/* Descriptor bits: valid, and table or page (bit 1). */
#define TABLE 3
#define PAGE  3
#define BLOCK 1

static uint64_t memory[MEMORY / 8];

static bool read_memory(void *opaque, uint64_t gpa, uint64_t *ret)
{
	(void)opaque;
	if (gpa < MEMORY_GPA || gpa - MEMORY_GPA > MEMORY - 8 || gpa % 8)
		return false;
	*ret = memory[(gpa - MEMORY_GPA) / 8];
	return true;
}

static void put(uint64_t table_gpa, uint64_t index, uint64_t descriptor)
{
	memory[(table_gpa - MEMORY_GPA) / 8 + index] = descriptor;
}

static struct stage1 regime(uint64_t tcr)
{
	memset(memory, 0, sizeof(memory));
	return (struct stage1){
		.sctlr = 1,
		.tcr = tcr,
		.ttbr0 = MEMORY_GPA | UINT64_C(0x7) << 48, /* an ASID */
		.ttbr1 = MEMORY_GPA + 0x80000,
		.memory.read = read_memory,
	};
}

static void mmu_off_is_identity(void **state)
{
	struct stage1 stage1 = regime(16);
	uint64_t gpa;

	(void)state;
	stage1.sctlr = 0;
	assert_int_equal(stage1_walk(&stage1, 0x123456789, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x123456789);
}

static void four_kib_pages_in_four_levels(void **state)
{
	struct stage1 stage1 = regime(16); /* T0SZ 16: 48 bits */
	uint64_t gpa, va = UINT64_C(1) << 39 | UINT64_C(2) << 30 | 3 << 21 | 4 << 12 | 0x567;

	(void)state;
	put(MEMORY_GPA, 1, (MEMORY_GPA + 0x1000) | TABLE);
	put(MEMORY_GPA + 0x1000, 2, (MEMORY_GPA + 0x2000) | TABLE);
	put(MEMORY_GPA + 0x2000, 3, (MEMORY_GPA + 0x3000) | TABLE);
	put(MEMORY_GPA + 0x3000, 4, UINT64_C(0x0060000123456000) | PAGE); /* XN bits */
	assert_int_equal(stage1_walk(&stage1, va, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x123456567);
	/* A tag in the top byte is ignored. */
	assert_int_equal(stage1_walk(&stage1, va | UINT64_C(0x1f) << 56, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x123456567);
	/* Blocks end the walk early. */
	put(MEMORY_GPA + 0x2000, 3, UINT64_C(0x180000000) | BLOCK);
	assert_int_equal(stage1_walk(&stage1, va, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x180004567);
	put(MEMORY_GPA + 0x1000, 2, UINT64_C(0x200000000) | BLOCK);
	assert_int_equal(stage1_walk(&stage1, va, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x200000000 + (va & (GiB - 1)));
	put(MEMORY_GPA + 0x1000, 2, 0);
	assert_int_equal(stage1_walk(&stage1, va, &gpa), WALK_UNMAPPED);
}

static void upper_half_has_its_own_table_and_size(void **state)
{
	/* T1SZ 25: 39 bits, three levels; TG1 2: 4K. */
	struct stage1 stage1 = regime(UINT64_C(25) << 16 | UINT64_C(2) << 30 | 16);
	uint64_t gpa, va = UINT64_C(0xffffff8000000000) | UINT64_C(5) << 30 | 0x1234;

	(void)state;
	put(MEMORY_GPA + 0x80000, 5, UINT64_C(0x340000000) | BLOCK);
	assert_int_equal(stage1_walk(&stage1, va, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x340001234);
}

static void sixteen_and_sixtyfour_kib_granules(void **state)
{
	/* TG0 2: 16K, T0SZ 17: 47 bits, three levels of 11 bits. */
	struct stage1 stage1 = regime(UINT64_C(2) << 14 | 17);
	uint64_t gpa, va = UINT64_C(1) << 36 | 2 << 25 | 3 << 14 | 0x2345;

	(void)state;
	put(MEMORY_GPA, 1, (MEMORY_GPA + 0x4000) | TABLE);
	put(MEMORY_GPA + 0x4000, 2, (MEMORY_GPA + 0x8000) | TABLE);
	put(MEMORY_GPA + 0x8000, 3, UINT64_C(0x50004000) | PAGE);
	assert_int_equal(stage1_walk(&stage1, va, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x50006345);

	/* TG0 1: 64K, T0SZ 16: 48 bits, the first level 6 bits; bits 51:48 of the address in 15:12. */
	stage1 = regime(UINT64_C(1) << 14 | 16);
	va = UINT64_C(3) << 42 | UINT64_C(4) << 29 | 5 << 16 | 0xabcd;
	put(MEMORY_GPA, 3, (MEMORY_GPA + 0x10000) | TABLE);
	put(MEMORY_GPA + 0x10000, 4, (MEMORY_GPA + 0x20000) | TABLE);
	put(MEMORY_GPA + 0x20000, 5, UINT64_C(0x70000) | 0x2000 | PAGE);
	assert_int_equal(stage1_walk(&stage1, va, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, UINT64_C(0x200000007abcd));
}

static void large_addresses_with_ds(void **state)
{
	/* TCR_EL1.DS: 52 bits with 4K pages, five levels; bits 51:50 of the address in 9:8. */
	struct stage1 stage1 = regime(UINT64_C(1) << 59 | 12);
	uint64_t gpa, va = UINT64_C(9) << 48 | UINT64_C(7) << 39 | UINT64_C(6) << 30 | 0x42;

	(void)state;
	put(MEMORY_GPA, 9, (MEMORY_GPA + 0x1000) | TABLE);
	put(MEMORY_GPA + 0x1000, 7, (MEMORY_GPA + 0x2000) | TABLE);
	put(MEMORY_GPA + 0x2000, 6, UINT64_C(0x40000000) | 0x300 | BLOCK);
	assert_int_equal(stage1_walk(&stage1, va, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, UINT64_C(0xc000040000042));
}

/* VTCR_EL2 with its granule (TG0), where it begins (SL0) and bits of the address. */
static struct stage2 stage2_of(unsigned tg0, unsigned sl0, unsigned bits)
{
	memset(memory, 0, sizeof(memory));
	return (struct stage2){
		.hcr = 1,
		.vtcr = (64 - bits) | sl0 << 6 | tg0 << 14,
		.vttbr = MEMORY_GPA | UINT64_C(0x7) << 48 | 1, /* a VMID, and CnP */
		.memory.read = read_memory,
	};
}

/* Every descriptor is good, so that only the registers can say that there is none. */
static void fill_with_pages(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(memory); i++)
		memory[i] = UINT64_C(0x123450000) | PAGE;
}

/* Bit 1 of a last level's descriptor: without it the descriptor is reserved, and maps nothing. */
static void a_reserved_descriptor_maps_nothing(void **state)
{
	struct stage1 stage1 = regime(52 - 1); /* 13 bits: two pages */
	struct stage2 stage2;
	uint64_t gpa;

	put(MEMORY_GPA, 1, UINT64_C(0x123456000) | PAGE);
	assert_int_equal(stage1_walk(&stage1, 0x1567, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x123456567);
	put(MEMORY_GPA, 1, UINT64_C(0x123456000) | BLOCK);
	assert_int_equal(stage1_walk(&stage1, 0x1567, &gpa), WALK_UNMAPPED);
	put(MEMORY_GPA, 1, UINT64_C(0x123456000) | 2);
	assert_int_equal(stage1_walk(&stage1, 0x1567, &gpa), WALK_UNMAPPED);

	stage2 = stage2_of(1, 0, 29); /* 64K, from level 3 */
	put(MEMORY_GPA, 1, UINT64_C(0x123450000) | PAGE);
	assert_int_equal(stage2_walk(&stage2, 0x11567, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x123451567);
	put(MEMORY_GPA, 1, UINT64_C(0x123450000) | BLOCK);
	assert_int_equal(stage2_walk(&stage2, 0x11567, &gpa), WALK_UNMAPPED);
}

/* With addresses of 52 bits TTBR's bits 5:2 are the table's bits 51:48, and none of its lower ones. */
static void a_table_above_48_bits(void **state)
{
	struct stage1 stage1 = regime(UINT64_C(1) << 59 | 12);
	uint64_t gpa;

	stage1.ttbr0 = MEMORY_GPA | 0x3f;
	assert_int_equal(stage1_walk(&stage1, UINT64_C(9) << 48, &gpa), WALK_TABLE);
	assert_int_equal(gpa, (UINT64_C(0xf) << 48 | MEMORY_GPA) + 9 * 8);
	stage1.ttbr0 = MEMORY_GPA | 0x3; /* CnP, and what is reserved */
	put(MEMORY_GPA, 9, (MEMORY_GPA + 0x1000) | TABLE);
	assert_int_equal(stage1_walk(&stage1, UINT64_C(9) << 48, &gpa), WALK_UNMAPPED);
	/* 48 bits and less: these are bits of the address, but for CnP. */
	stage1 = regime(16);
	stage1.ttbr0 = MEMORY_GPA | 0x21;
	stage1.memory.read = read_memory;
	put(MEMORY_GPA + 0x20, 1, UINT64_C(0x200000000) | TABLE);
	assert_int_equal(stage1_walk(&stage1, UINT64_C(1) << 39, &gpa), WALK_TABLE);
	assert_int_equal(gpa, 0x200000000);
}

/* An address has 52 bits at most and more than a page's; and there are three granules. */
static void stage_1_has_so_many_bits(void **state)
{
	static const struct {
		uint64_t tcr, va;
		enum walk_result result;
	} cases[] = {
		{ 51, 0, WALK_MAPPED },	  /* 4K: 13 bits */
		{ 52, 0, WALK_UNMAPPED }, /* 12 */
		{ UINT64_C(1) << 14 | 47, 0, WALK_MAPPED },
		{ UINT64_C(1) << 14 | 48, 0, WALK_UNMAPPED },
		{ UINT64_C(2) << 14 | 49, 0, WALK_MAPPED },
		{ UINT64_C(2) << 14 | 50, 0, WALK_UNMAPPED },
		{ UINT64_C(3) << 14 | 47, 0, WALK_UNMAPPED },
		{ 63, 0, WALK_UNMAPPED },
		/* TG1 counts otherwise. */
		{ UINT64_C(2) << 30 | UINT64_C(51) << 16, UINT64_MAX, WALK_MAPPED },
		{ UINT64_C(2) << 30 | UINT64_C(52) << 16, UINT64_MAX, WALK_UNMAPPED },
		{ UINT64_C(1) << 30 | UINT64_C(49) << 16, UINT64_MAX, WALK_MAPPED },
		{ UINT64_C(1) << 30 | UINT64_C(50) << 16, UINT64_MAX, WALK_UNMAPPED },
		{ UINT64_C(3) << 30 | UINT64_C(47) << 16, UINT64_MAX, WALK_MAPPED },
		{ UINT64_C(3) << 30 | UINT64_C(48) << 16, UINT64_MAX, WALK_UNMAPPED },
		{ UINT64_C(0) << 30 | UINT64_C(47) << 16, UINT64_MAX, WALK_UNMAPPED },
	};
	uint64_t gpa;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct stage1 stage1 = regime(cases[i].tcr);

		fill_with_pages();
		assert_int_equal(stage1_walk(&stage1, cases[i].va, &gpa), cases[i].result);
	}
	/* 52 bits, and 53. */
	for (unsigned size = 12; size > 10; size--) {
		struct stage1 stage1 = regime(UINT64_C(1) << 59 | size);

		put(MEMORY_GPA, 0, (MEMORY_GPA + 0x1000) | TABLE);
		put(MEMORY_GPA + 0x1000, 0, (MEMORY_GPA + 0x2000) | TABLE);
		put(MEMORY_GPA + 0x2000, 0, UINT64_C(0x40000000) | BLOCK);
		assert_int_equal(
			stage1_walk(&stage1, 0x42, &gpa), size == 12 ? WALK_MAPPED : WALK_UNMAPPED);
	}
	/* Bit 55 chooses the half. */
	{
		struct stage1 stage1 = regime(UINT64_C(2) << 30 | UINT64_C(51) << 16 | 51);

		put(MEMORY_GPA, 0, UINT64_C(0x1000) | PAGE);
		put(MEMORY_GPA + 0x80000, 0, UINT64_C(0x2000) | PAGE);
		assert_int_equal(stage1_walk(&stage1, UINT64_C(1) << 55, &gpa), WALK_MAPPED);
		assert_int_equal(gpa, 0x2000);
		assert_int_equal(stage1_walk(&stage1, UINT64_C(0x17f) << 48, &gpa), WALK_MAPPED);
		assert_int_equal(gpa, 0x1000);
	}
}

/* Of a descriptor only the address counts: to bit 47, or with DS to 49 and two more from below. */
static void attributes_are_no_address(void **state)
{
	static const struct {
		uint64_t tcr, descriptor, gpa;
	} cases[] = {
		{ 51, UINT64_C(0xffff800000000fff), UINT64_C(0x800000000000) },
		{ 51, UINT64_C(0x0000fffffffff003), UINT64_C(0xfffffffff000) },
		{ UINT64_C(1) << 59 | 51, UINT64_C(0xfffe000000000cff), UINT64_C(0x2000000000000) },
		{ UINT64_C(1) << 59 | 51, UINT64_C(0x0003fffffffff303), UINT64_C(0xffffffffff000) },
		/* 16K with DS as 4K; 64K has its own way, DS or not. */
		{ UINT64_C(1) << 59 | UINT64_C(2) << 14 | 49, UINT64_C(0xfffe000000003dff),
			UINT64_C(0x6000000000000) },
		{ UINT64_C(1) << 59 | UINT64_C(1) << 14 | 47, UINT64_C(0xffff800000002fff),
			UINT64_C(0x2800000000000) },
		{ UINT64_C(1) << 14 | 47, UINT64_C(0xffff800000008fff), UINT64_C(0x8800000000000) },
	};
	uint64_t gpa;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct stage1 stage1 = regime(cases[i].tcr);

		put(MEMORY_GPA, 0, cases[i].descriptor);
		assert_int_equal(stage1_walk(&stage1, 0, &gpa), WALK_MAPPED);
		assert_int_equal(gpa, cases[i].gpa);
	}
	/* Of a block's (nT, and what is reserved) nothing below its size. */
	{
		struct stage1 stage1 = regime(64 - 30);

		put(MEMORY_GPA, 1, UINT64_C(0x8001ffffc) | BLOCK);
		assert_int_equal(stage1_walk(&stage1, (1 << 21) + 5, &gpa), WALK_MAPPED);
		assert_int_equal(gpa, 0x800000005);
	}
}

static void a_table_outside_memory_is_reported(void **state)
{
	struct stage1 stage1 = regime(16);
	uint64_t gpa;

	(void)state;
	put(MEMORY_GPA, 1, UINT64_C(0x100000000) | TABLE);
	assert_int_equal(
		stage1_walk(&stage1, UINT64_C(1) << 39 | UINT64_C(2) << 30, &gpa), WALK_TABLE);
	assert_int_equal(gpa, UINT64_C(0x100000000) + 2 * 8);
}

static void stage_2_begins_where_it_says(void **state)
{
	struct stage2 stage2 = stage2_of(0, 1, 39); /* 4K, from level 1 */
	uint64_t gpa, ipa = UINT64_C(9) << 30 | 3 << 21 | 4 << 12 | 0x567;

	(void)state;
	put(MEMORY_GPA, 9, UINT64_C(0x1c0000000) | BLOCK);
	assert_int_equal(stage2_walk(&stage2, ipa, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x1c0000000 + (ipa & (GiB - 1)));
	put(MEMORY_GPA, 9, (MEMORY_GPA + 0x1000) | TABLE);
	put(MEMORY_GPA + 0x1000, 3, (MEMORY_GPA + 0x2000) | TABLE);
	put(MEMORY_GPA + 0x2000, 4, UINT64_C(0x123456000) | PAGE);
	assert_int_equal(stage2_walk(&stage2, ipa, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x123456567);
	assert_int_equal(stage2_walk(&stage2, UINT64_C(1) << 39 | ipa, &gpa), WALK_UNMAPPED);
	put(MEMORY_GPA + 0x1000, 3, UINT64_C(0x100000000) | TABLE);
	assert_int_equal(stage2_walk(&stage2, ipa, &gpa), WALK_TABLE);
	assert_int_equal(gpa, 0x100000000 + 4 * 8);
	/* Turned off it is not there. */
	stage2.hcr = 0;
	assert_int_equal(stage2_walk(&stage2, ipa, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, ipa);

	/* From level 0: 48 bits; from level 2: 30. */
	stage2 = stage2_of(0, 2, 48);
	put(MEMORY_GPA, 1, (MEMORY_GPA + 0x1000) | TABLE);
	put(MEMORY_GPA + 0x1000, 9, UINT64_C(0x240000000) | BLOCK);
	assert_int_equal(stage2_walk(&stage2, UINT64_C(1) << 39 | ipa, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x240000000 + (ipa & (GiB - 1)));
	stage2 = stage2_of(0, 0, 30);
	put(MEMORY_GPA, 3, UINT64_C(0x80200000) | BLOCK);
	assert_int_equal(stage2_walk(&stage2, 3 << 21 | 0x42, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x80200042);
	/* 64K, from level 2: 42 bits; 16K, from level 1: 47. */
	stage2 = stage2_of(1, 1, 42);
	put(MEMORY_GPA, 5, UINT64_C(0x60000000) | BLOCK);
	assert_int_equal(stage2_walk(&stage2, UINT64_C(5) << 29 | 0x1234567, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x61234567);
	stage2 = stage2_of(2, 2, 47);
	put(MEMORY_GPA, 1, (MEMORY_GPA + 0x4000) | TABLE);
	put(MEMORY_GPA + 0x4000, 2, UINT64_C(0x62000000) | BLOCK);
	assert_int_equal(
		stage2_walk(&stage2, UINT64_C(1) << 36 | 2 << 25 | 0x12345, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x62012345);
}

/* Four more bits at most go into tables side by side, on a base that is aligned to all of them. */
static void stage_2_roots_stand_side_by_side(void **state)
{
	/* No format has more than 48 bits and sixteen tables, nor less than an entry, nor what is reserved. */
	static const struct {
		unsigned tg0, sl0, bits;
		bool last; /* it begins at the last level, of pages */
		enum walk_result result;
	} limits[] = {
		{ 0, 1, 43, false, WALK_MAPPED },
		{ 0, 1, 44, false, WALK_UNMAPPED },
		{ 0, 1, 31, false, WALK_MAPPED },
		{ 0, 1, 30, false, WALK_UNMAPPED },
		{ 0, 0, 34, false, WALK_MAPPED },
		{ 0, 0, 35, false, WALK_UNMAPPED },
		{ 0, 2, 48, false, WALK_MAPPED },
		{ 0, 2, 49, false, WALK_UNMAPPED },
		{ 0, 3, 39, false, WALK_UNMAPPED },
		{ 1, 0, 33, true, WALK_MAPPED }, /* 64K */
		{ 1, 0, 34, true, WALK_UNMAPPED },
		{ 1, 0, 17, true, WALK_MAPPED },
		{ 1, 0, 16, true, WALK_UNMAPPED },
		{ 2, 1, 40, false, WALK_MAPPED }, /* 16K */
		{ 2, 1, 41, false, WALK_UNMAPPED },
		{ 2, 3, 48, false, WALK_MAPPED },
		{ 3, 1, 39, false, WALK_UNMAPPED },
	};
	struct stage2 stage2 = stage2_of(0, 1, 40); /* two tables at level 1 */
	uint64_t gpa;

	(void)state;
	put(MEMORY_GPA + 0x1000, 7, UINT64_C(0x180000000) | BLOCK);
	stage2.vttbr |= 0x1000; /* RES0 */
	assert_int_equal(stage2_walk(&stage2, UINT64_C(1) << 39 | UINT64_C(7) << 30 | 0x99, &gpa),
		WALK_MAPPED);
	assert_int_equal(gpa, 0x180000099);
	stage2 = stage2_of(0, 1, 43); /* sixteen */
	put(MEMORY_GPA + 0xf000, 511, UINT64_C(0x280000000) | BLOCK);
	assert_int_equal(stage2_walk(&stage2, UINT64_C(0x1fff) << 30, &gpa), WALK_MAPPED);
	assert_int_equal(gpa, 0x280000000);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		stage2 = stage2_of(limits[i].tg0, limits[i].sl0, limits[i].bits);
		for (size_t j = 0; j < ARRAY_SIZE(memory); j++)
			memory[j] = UINT64_C(0x180000000) | (limits[i].last ? PAGE : BLOCK);
		assert_int_equal(stage2_walk(&stage2, 0, &gpa), limits[i].result);
	}
}

/* Whatever a guest writes into its registers, the walks end. */
static void hostile_registers_end(void **state)
{
	struct stage1 stage1 = regime(0);
	struct stage2 stage2 = { .hcr = 1, .memory.read = read_memory };
	uint64_t gpa, seed = 1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(memory);
		i++) /* every descriptor leads back into memory */
		memory[i] = (MEMORY_GPA + (i * 4096) % MEMORY) | TABLE;
	for (int i = 0; i < 200000; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		stage1.tcr = seed ^ seed << 17;
		stage1.ttbr0 = i % 2 ? seed : MEMORY_GPA;
		stage1.ttbr1 = i % 3 ? seed >> 3 : MEMORY_GPA;
		stage1_walk(&stage1, seed * 3, &gpa);
		stage2.vtcr = seed ^ seed << 23;
		stage2.vttbr = stage1.ttbr0;
		stage2_walk(&stage2, seed >> seed % 64, &gpa);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mmu_off_is_identity),
		cmocka_unit_test(four_kib_pages_in_four_levels),
		cmocka_unit_test(upper_half_has_its_own_table_and_size),
		cmocka_unit_test(sixteen_and_sixtyfour_kib_granules),
		cmocka_unit_test(large_addresses_with_ds),
		cmocka_unit_test(a_reserved_descriptor_maps_nothing),
		cmocka_unit_test(a_table_above_48_bits),
		cmocka_unit_test(stage_1_has_so_many_bits),
		cmocka_unit_test(attributes_are_no_address),
		cmocka_unit_test(a_table_outside_memory_is_reported),
		cmocka_unit_test(stage_2_begins_where_it_says),
		cmocka_unit_test(stage_2_roots_stand_side_by_side),
		cmocka_unit_test(hostile_registers_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
