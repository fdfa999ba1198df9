/* SPDX-License-Identifier: Apache-2.0 */
/* An access of the fake vCPU's that fails, and registers of which each holds what no other does. */
#ifndef SLUICE_TESTS_UNIT_FAULT_BENCH_H
#define SLUICE_TESTS_UNIT_FAULT_BENCH_H

#include "tests/unit/helpers/vcpu-bench.h"

enum {
	RETRIES = 100,
	EL1H = 0x5,
	EL0 = 0,
	EL2H = 0x9,
};
#define ESR_LOWER UINT64_C(0x92000010)
#define ESR_SAME  UINT64_C(0x96000010)
#define HCR_VM	  (UINT64_C(1) << 0)
#define HCR_TGE	  (UINT64_C(1) << 27)
#define HCR_TEA	  (UINT64_C(1) << 37)
#define HCRX_TMEA (UINT64_C(1) << 19)
#define SPAN	  (UINT64_C(1) << 23)

/* What an abort overwrites. */
static const uint64_t overwritten[] = { REG_PC, REG_PSTATE, REG_ELR_EL1, REG_SPSR_EL1, REG_ESR_EL1,
	REG_FAR_EL1, REG_ELR_EL2, REG_SPSR_EL2, REG_ESR_EL2, REG_FAR_EL2 };
enum { OF_EL1 = 6 };

static uint64_t before[ARRAY_SIZE(overwritten)];

static inline size_t overwritten_count(void)
{
	return fake_vcpu.el2 ? ARRAY_SIZE(overwritten) : OF_EL1;
}

/* The vCPU at an exception level, each register with a value of its own. */
static inline void begin(bool el2, unsigned pstate, enum stray_policy policy)
{
	bench_begin(el2, policy);
	for (size_t i = 0; i < overwritten_count(); i++)
		fake_vcpu_set(overwritten[i], UINT64_C(0xab00000000) + i * 0x1111);
	fake_vcpu_set(REG_PSTATE, pstate);
	fake_vcpu_set(FAKE_VBAR_EL1, 0x77000);
	if (el2)
		fake_vcpu_set(REG_VBAR_EL2, 0x99000);
	for (size_t i = 0; i < overwritten_count(); i++)
		before[i] = fake_vcpu_get(overwritten[i]);
}

static inline void assert_restored(void)
{
	for (size_t i = 0; i < overwritten_count(); i++)
		assert_int_equal(fake_vcpu_get(overwritten[i]), before[i]);
	assert_false(fake_vcpu.pending);
}

/* An access to `far` failed, and KVM did not say where. */
static inline enum vcpu_next fault(uint64_t far)
{
	fake_vcpu.far = far;
	bench.vcpu->generation = atomic_load(&bench.slots.generation);
	return fault_unknown(bench.vcpu);
}

/* Stage 1 of EL1 (or EL2): 4K pages, 39 bits, so that one table of 1 GiB blocks is enough. */
static inline void turn_tables_on(uint64_t sctlr, uint64_t tcr, uint64_t ttbr0, uint64_t table_gpa)
{
	fake_vcpu_set(sctlr, 1);
	fake_vcpu_set(tcr, 25);
	fake_vcpu_set(ttbr0, table_gpa);
}

#endif
