/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose fault it is, on a vCPU with EL2: whose tables are walked, where an abort goes, and which registers
 * are as before where the guest is not to blame.
 */
#include "tests/unit/helpers/fault-bench.h"

/* A hypervisor's own access, and its processes' (TGE), go by EL2's tables. */
static void a_hypervisor_uses_its_own_tables(void **state)
{
	static const struct {
		unsigned pstate;
		uint64_t hcr;
	} cases[] = { { EL2H, HCR_VM }, { EL0, HCR_TGE | HCR_VM }, { EL0, HCR_TGE | HCR_TEA } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(true, cases[i].pstate, STRAY_ABORT);
		fake_vcpu_set(REG_HCR_EL2, cases[i].hcr);
		turn_tables_on(REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, RAM_GPA);
		turn_tables_on(REG_SCTLR_EL2, REG_TCR_EL2, REG_TTBR0_EL2, RAM_GPA + 0x1000);
		bench.ram[3] = 0x80000000 | 1;
		bench.ram[512 + 3] = UINT64_C(0xc0000000) | 1;
		assert_int_equal(fault((UINT64_C(3) << 30) + 0x42), VCPU_CONTINUE);
		assert_int_equal(bench.strays.latest.gpa, 0xc0000042);
		assert_int_equal(fake_vcpu_get(REG_FAR_EL2), (UINT64_C(3) << 30) + 0x42);
		assert_int_equal(fake_vcpu_get(REG_FAR_EL1), before[5]);
		assert_int_equal(fake_vcpu_get(REG_ELR_EL2), before[0]);
		bench_end();
	}
	/* The upper half of a hypervisor's. */
	begin(true, EL2H, STRAY_ABORT);
	turn_tables_on(REG_SCTLR_EL2, REG_TCR_EL2, REG_TTBR1_EL2, RAM_GPA);
	fake_vcpu_set(REG_TCR_EL2, UINT64_C(25) << 16 | UINT64_C(2) << 30 | 25);
	bench.ram[3] = 0x80000000 | 1;
	assert_int_equal(fault(UINT64_C(0xffffff8000000000) + (UINT64_C(3) << 30)), VCPU_CONTINUE);
	assert_int_equal(bench.strays.latest.gpa, 0x80000000);
	bench_end();
}

/* What an abort at EL2 overwrote is EL2's, and is restored as EL1's is. */
static void registers_of_el2_are_restored(void **state)
{
	static const unsigned levels[] = { EL2H, EL1H, EL0 };

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		begin(true, levels[i], STRAY_ABORT);
		for (unsigned n = 0; n < RETRIES; n++) {
			assert_int_equal(fault(RAM_GPA), VCPU_CONTINUE);
			assert_restored();
		}
		assert_int_equal(fault(RAM_GPA), VCPU_HOLD);
		assert_restored();
		bench_end();
	}
}

/* A stage 2 of a guest hypervisor's: 4K, from level 1, 39 bits. */
static void turn_stage_2_on(uint64_t table_gpa, uint64_t hcr)
{
	fake_vcpu_set(REG_HCR_EL2, hcr | HCR_VM);
	fake_vcpu_set(REG_VTCR_EL2, 25 | 1 << 6);
	fake_vcpu_set(REG_VTTBR_EL2, table_gpa);
}

static void a_guest_of_the_guest_is_walked_twice(void **state)
{
	const uint64_t ram_ipa = UINT64_C(2) << 30;

	begin(true, EL1H, STRAY_ABORT);
	turn_stage_2_on(RAM_GPA, 0);
	bench.ram[0] = UINT64_C(0xd0000000) | 1; /* where nothing should lead */
	bench.ram[2] = RAM_GPA | 1;		 /* the guest's RAM is ours */
	bench.ram[4] = UINT64_C(0xc0000000) | 1; /* and this is nothing of ours */
	/* Its stage 1 is off. */
	assert_int_equal(fault((UINT64_C(4) << 30) + 0x42), VCPU_CONTINUE);
	assert_int_equal(bench.strays.latest.gpa, 0xc0000042);
	/* On: its tables are behind stage 2, and so is where they lead. */
	fake_vcpu_set(REG_PSTATE, EL1H);
	turn_tables_on(REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, ram_ipa + 0x1000);
	bench.ram[512 + 7] = UINT64_C(4) << 30 | 1;
	assert_int_equal(fault((UINT64_C(7) << 30) + 0x99), VCPU_CONTINUE);
	assert_int_equal(bench.strays.latest.gpa, 0xc0000099);
	/* A table of stage 1 of which nothing is there: the descriptor is what was touched. */
	fake_vcpu_set(REG_PSTATE, EL1H);
	fake_vcpu_set(REG_TTBR0_EL1, UINT64_C(4) << 30);
	assert_int_equal(fault((UINT64_C(7) << 30) + 0x99), VCPU_CONTINUE);
	assert_int_equal(bench.strays.latest.gpa, 0xc0000000 + 7 * 8);
	assert_int_equal(bench_strays(STRAY_ACCESS, STRAY_NOWHERE), 3);
	/* Stage 1 says nothing, or stage 2. */
	fake_vcpu_set(REG_PSTATE, EL1H);
	fake_vcpu_set(REG_TTBR0_EL1, ram_ipa + 0x1000);
	assert_int_equal(fault(UINT64_C(8) << 30), VCPU_CONTINUE);
	assert_int_equal(bench.vcpu->retries, 1);
	bench.ram[512 + 7] = UINT64_C(9) << 30 | 1;
	assert_int_equal(fault(UINT64_C(7) << 30), VCPU_CONTINUE);
	assert_int_equal(bench.vcpu->retries, 2);
	assert_int_equal(strays_total(&bench.strays), 3);
	bench_end();
}

/* An abort of a guest of the guest that its hypervisor asked for, carried there by hand. */
static void assert_at_el2(uint64_t far, bool pan)
{
	assert_int_equal(fake_vcpu_get(REG_ELR_EL2), before[0]);
	assert_int_equal(fake_vcpu_get(REG_SPSR_EL2), before[1]);
	assert_int_equal(fake_vcpu_get(REG_ESR_EL2), ESR_LOWER);
	assert_int_equal(fake_vcpu_get(REG_FAR_EL2), far);
	assert_int_equal(fake_vcpu_get(REG_PC), 0x99400);
	assert_int_equal(fake_vcpu_get(REG_PSTATE), 0x3c9 | (pan ? 1 << 22 : 0));
	for (size_t i = 2; i < OF_EL1; i++) /* EL1 has seen nothing */
		assert_int_equal(fake_vcpu_get(overwritten[i]), before[i]);
	assert_false(fake_vcpu.pending);
	assert_false(fake_vcpu.misrouted);
}

static void a_hypervisor_gets_the_aborts_that_it_asks_for(void **state)
{
	static const struct {
		unsigned pstate;
		uint64_t hcr, hcrx, sctlr;
	} cases[] = {
		{ EL1H, HCR_TEA, 0, 0 },
		{ EL0, HCR_TEA, 0, SPAN },
		{ EL1H, 0, HCRX_TMEA, SPAN },
		{ EL1H, HCR_TEA, HCRX_TMEA, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(true, cases[i].pstate, STRAY_ABORT);
		turn_stage_2_on(RAM_GPA, cases[i].hcr);
		fake_vcpu_set(REG_HCRX_EL2, cases[i].hcrx);
		fake_vcpu_set(REG_SCTLR_EL2, cases[i].sctlr);
		bench.ram[4] = UINT64_C(0xc0000000) | 1;
		bench.ram[5] = RAM_GPA | 1;
		/* Without its address, and it is not the guest's: all is as before. */
		assert_int_equal(fault((UINT64_C(5) << 30) + 0x10), VCPU_CONTINUE);
		assert_restored();
		assert_int_equal(fake_vcpu_get(REG_HCR_EL2), cases[i].hcr | HCR_VM);
		assert_int_equal(fake_vcpu_get(REG_HCRX_EL2), cases[i].hcrx);
		/* And it is. */
		assert_int_equal(fault((UINT64_C(4) << 30) + 0x42), VCPU_CONTINUE);
		assert_at_el2((UINT64_C(4) << 30) + 0x42, !(cases[i].sctlr & SPAN));
		assert_int_equal(bench.strays.latest.gpa, 0xc0000042);
		assert_int_equal(fake_vcpu_get(REG_HCR_EL2), cases[i].hcr | HCR_VM);
		assert_int_equal(fake_vcpu_get(REG_HCRX_EL2), cases[i].hcrx);
		bench_end();

		/* With its address. */
		begin(true, cases[i].pstate, STRAY_ABORT);
		turn_stage_2_on(RAM_GPA, cases[i].hcr);
		fake_vcpu_set(REG_HCRX_EL2, cases[i].hcrx);
		fake_vcpu_set(REG_SCTLR_EL2, cases[i].sctlr);
		fake_vcpu.far = 0x5678;
		assert_int_equal(fault_at(bench.vcpu, 0x1234567, false), VCPU_CONTINUE);
		assert_at_el2(0x5678, !(cases[i].sctlr & SPAN));
		assert_int_equal(bench_strays(STRAY_LOAD, STRAY_NOWHERE), 1);
		bench_end();
	}
}

/* Aborts stay where they are if HCR_EL2.TEA is clear, if no guest of the guest runs, or if there is no EL2. */
static void other_aborts_go_where_they_belong(void **state)
{
	static const struct {
		bool el2;
		unsigned pstate;
		uint64_t hcr;
		bool at_el2;
	} cases[] = {
		{ false, EL1H, 0, false },
		{ true, EL1H, 0, false },
		{ true, EL2H, HCR_TEA, true },
		{ true, EL0, HCR_TEA | HCR_TGE, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(cases[i].el2, cases[i].pstate, STRAY_ABORT);
		if (cases[i].el2)
			fake_vcpu_set(REG_HCR_EL2, cases[i].hcr);
		assert_int_equal(fault_at(bench.vcpu, 0x1234567, false), VCPU_CONTINUE);
		assert_true(fake_vcpu.pending); /* KVM delivers it, at the next entry */
		assert_int_equal(fake_vcpu.runs, 0);
		fake_vcpu.pending = false;
		assert_restored();
		assert_int_equal(fault(0x1234567), VCPU_CONTINUE);
		if (cases[i].el2)
			assert_int_equal(fake_vcpu_get(REG_FAR_EL2) == 0x1234567, cases[i].at_el2);
		assert_int_equal(fake_vcpu_get(REG_FAR_EL1) == 0x1234567, !cases[i].at_el2);
		bench_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hypervisor_uses_its_own_tables),
		cmocka_unit_test(registers_of_el2_are_restored),
		cmocka_unit_test(a_guest_of_the_guest_is_walked_twice),
		cmocka_unit_test(a_hypervisor_gets_the_aborts_that_it_asks_for),
		cmocka_unit_test(other_aborts_go_where_they_belong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
