/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypervisor: at EL2 (of a CPU with sluice,nested) it makes a stage 2 for a guest of its own, at EL1
 * with tables of its own, whose accesses lead through both into the window. Where nothing is plugged
 * they are aborts, at EL1 or, where HCR_EL2.TEA asks for it, at EL2. The first block is plugged, a slot
 * is at least two, and what was not plugged aborts loads too.
 */
#include <inttypes.h>

#include "bare.h"

#define READ(name)                                                                                 \
	({                                                                                         \
		uint64_t value;                                                                    \
		__asm__ volatile("mrs %0, " name : "=r"(value));                                   \
		value;                                                                             \
	})
#define WRITE(name, value) __asm__ volatile("msr " name ", %0" ::"r"((uint64_t)(value)) : "memory")

/* As HCR_EL2.E2H has them: EL1's by these names, EL2's by those of EL1. */
#define SCTLR_EL12 "s3_5_c1_c0_0"
#define TTBR0_EL12 "s3_5_c2_c0_0"
#define TCR_EL12   "s3_5_c2_c0_2"
#define MAIR_EL12  "s3_5_c10_c2_0"

#define HCR_VM	(UINT64_C(1) << 0)
#define HCR_RW	(UINT64_C(1) << 31)
#define HCR_E2H (UINT64_C(1) << 34)
#define HCR_TEA (UINT64_C(1) << 37)

#define EC_DABT_LOWER 0x24
#define EC_HVC	      0x16

#define BLOCK	  1
#define TABLE	  3
#define SHARED	  (3 << 8)
#define ACCESSED  (1 << 10)
#define STAGE2_RW (0xf << 2 | 3 << 6) /* normal memory */

/* The guest's GiB that is the window: where it sees it, and where its hypervisor has it. */
#define VA_GIB	   300
#define IPA_GIB	   256
#define VA_OF_WALK 301

static uint64_t stage1[512] __attribute__((aligned(4096)));
static uint64_t stage2[512] __attribute__((aligned(4096)));

/* What the guest ended with: 0 and what it loaded, or its own ESR_EL1 and FAR_EL1. */
struct left {
	uint64_t esr, value;
};
struct left below_run(uint64_t address, uint64_t value, uint64_t store);

__asm__(".text\n"
	".balign 2048\n"
	"vectors_of_host: .skip 0x400\n" /* only: a synchronous exception from below */
	"msr vbar_el1, x4\n"
	"isb\n"
	"ret\n"
	".balign 2048\n"
	"vectors_of_guest: .skip 0x200\n" /* only: one of its own */
	"mrs x0, esr_el1\n"
	"mrs x1, far_el1\n"
	"hvc #1\n"
	".balign 2048\n"
	".global below_run\n"
	"below_run: mrs x4, vbar_el1\n"
	"ldr x3, =vectors_of_host\n"
	"msr vbar_el1, x3\n"
	"ldr x3, =vectors_of_guest\n"
	"msr s3_5_c12_c0_0, x3\n" /* VBAR_EL12 */
	"ldr x3, =guest\n"
	"msr elr_el2, x3\n"
	"mov x3, #0x3c5\n" /* EL1h, all masked */
	"msr spsr_el2, x3\n"
	"isb\n"
	"eret\n"
	"guest: cbnz x2, 1f\n"
	"ldr x1, [x0]\n"
	"b 2f\n"
	"1: str x1, [x0]\n"
	"dsb sy\n"
	"2: mov x0, #0\n"
	"hvc #0\n"
	".ltorg\n");

static void make_tables(const struct vmem *vmem)
{
	for (uint64_t i = 0; i < 512; i++) {
		stage1[i] = i * GiB | BLOCK | SHARED | ACCESSED;
		stage2[i] = i * GiB | BLOCK | SHARED | ACCESSED | STAGE2_RW;
	}
	stage1[VA_GIB] = IPA_GIB * GiB | BLOCK | SHARED | ACCESSED;
	stage1[VA_OF_WALK] = (IPA_GIB * GiB + vmem->block) | TABLE;
	stage2[IPA_GIB] = vmem->addr | BLOCK | SHARED | ACCESSED | STAGE2_RW;
	WRITE(MAIR_EL12, READ("mair_el1"));
	WRITE(TCR_EL12, READ("tcr_el1"));
	WRITE(SCTLR_EL12, READ("sctlr_el1"));
	WRITE(TTBR0_EL12, stage1);
	/* 39 bits in 4K pages from level 1 on, as stage 1; as many bits of output as there are. */
	WRITE("vtcr_el2", UINT64_C(1) << 31 | (READ("id_aa64mmfr0_el1") & 7) << 16 | 3 << 12 |
				  1 << 10 | 1 << 8 | 1 << 6 | 25);
	WRITE("vttbr_el2", (uint64_t)stage2 | UINT64_C(1) << 48);
	__asm__ volatile("dsb sy; tlbi alle1; dsb sy; isb" ::: "memory");
}

static void strays(const char *what, uint64_t va, bool store, bool to_host)
{
	uint64_t esr, far;
	struct left left;

	WRITE("hcr_el2", HCR_RW | HCR_VM | HCR_E2H | (to_host ? HCR_TEA : 0));
	left = below_run(va, 0x77, store);
	esr = READ("esr_el2");
	far = READ("s3_4_c6_c0_0"); /* FAR_EL2 */
	if (to_host)
		result(ESR_EC(esr) == EC_DABT_LOWER && far == va && ESR_FSC(esr) >= FSC_EXTERNAL,
			"%s aborts at EL2 (0x%" PRIx64 " at 0x%" PRIx64 ")", what, esr, far);
	else
		result(ESR_EC(esr) == EC_HVC && ESR_EC(left.esr) == EC_DABT && left.value == va &&
				ESR_FSC(left.esr) >= FSC_EXTERNAL,
			"%s aborts at EL1 (0x%" PRIx64 ": 0x%" PRIx64 " at 0x%" PRIx64 ")", what,
			esr, left.esr, left.value);
}

int main(void)
{
	uint64_t window = VA_GIB * GiB, slot = argument("slot", 0);
	struct vmem vmem;
	struct left left;

	result(READ("currentel") >> 2 == 2, "starts at EL2");
	result(vmem_open(&vmem) && vmem_request(&vmem, VMEM_PLUG, vmem.addr, 1, NULL) == 0,
		"a block is plugged");
	make_tables(&vmem);
	WRITE("hcr_el2", HCR_RW | HCR_VM | HCR_E2H);
	left = below_run(window + 8, 0x1234, true);
	result(!left.esr && *(volatile uint64_t *)(vmem.addr + 8) == 0x1234,
		"its guest stores where plugged");
	left = below_run(window + 8, 0, false);
	result(!left.esr && left.value == 0x1234, "and loads it");
	for (unsigned to_host = 0; to_host < 2; to_host++) {
		uint64_t at = to_host * 0x100;

		strays("a store to an open slot", window + vmem.block + at, true, to_host);
		strays("a load from an open slot", window + vmem.block + at + 0x10, false, to_host);
		strays("a store to a closed slot", window + slot + at + 0x20, true, to_host);
		strays("a walk through an open slot", VA_OF_WALK * GiB + at + 0x30, false, to_host);
	}
	left = below_run(window + 8, 0, false);
	result(!left.esr && left.value == 0x1234, "and its guest runs on");
	return 0;
}
