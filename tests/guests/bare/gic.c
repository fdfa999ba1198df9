/* SPDX-License-Identifier: Apache-2.0 */
/* The interrupt controller, a GICv3 or GICv2, as far as the timer needs it. */
#include "bare.h"

#define TIMER_PPI 27 /* the virtual timer's */

#define DIST	  ((volatile uint32_t *)0x08000000)
#define CPU_V2	  ((volatile uint32_t *)0x08010000)
#define REDIST(i) ((volatile uint32_t *)(UINT64_C(0x080a0000) + (i)*0x20000))

#define GICD_CTLR	0
#define GICD_ISENABLER0 (0x100 / 4)
#define GICC_CTLR	0
#define GICC_PMR	(0x4 / 4)
#define GICC_IAR	(0xc / 4)
#define GICC_EOIR	(0x10 / 4)
#define GICR_WAKER	(0x14 / 4)
#define GICR_SGI_FRAME	(0x10000 / 4)
#define GICR_IGROUPR0	(GICR_SGI_FRAME + 0x80 / 4)
#define GICR_ISENABLER0 (GICR_SGI_FRAME + 0x100 / 4)

static bool is_v3(void)
{
	uint64_t features;

	__asm__ volatile("mrs %0, id_aa64pfr0_el1" : "=r"(features));
	return (features >> 24 & 0xf) != 0;
}

void gic_init(void)
{
	volatile uint32_t *redist = REDIST(cpu_self()->index);

	if (is_v3()) {
		DIST[GICD_CTLR] = 0x12; /* affinity routing, group 1 */
		redist[GICR_WAKER] &= ~UINT32_C(2);
		while (redist[GICR_WAKER] & 4)
			;
		redist[GICR_IGROUPR0] = ~UINT32_C(0);
		redist[GICR_ISENABLER0] = UINT32_C(1) << TIMER_PPI;
		__asm__ volatile("msr s3_0_c12_c12_5, %0; isb" ::"r"(UINT64_C(1))); /* ICC_SRE */
		__asm__ volatile("msr s3_0_c4_c6_0, %0" ::"r"(UINT64_C(0xff)));	    /* ICC_PMR */
		__asm__ volatile(
			"msr s3_0_c12_c12_7, %0; isb" ::"r"(UINT64_C(1))); /* ICC_IGRPEN1 */
	} else {
		DIST[GICD_CTLR] = 1;
		DIST[GICD_ISENABLER0] = UINT32_C(1) << TIMER_PPI;
		CPU_V2[GICC_PMR] = 0xff;
		CPU_V2[GICC_CTLR] = 1;
	}
	__asm__ volatile("msr daifclr, #2");
}

void timer_arm(uint64_t us)
{
	uint64_t frequency;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
	__asm__ volatile("msr cntv_tval_el0, %0" ::"r"(frequency / 1000000 * us));
	__asm__ volatile("msr cntv_ctl_el0, %0; isb" ::"r"(UINT64_C(1)));
}

void gic_interrupt(void)
{
	uint64_t id;

	if (is_v3())
		__asm__ volatile("mrs %0, s3_0_c12_c12_0; dsb sy" : "=r"(id)); /* ICC_IAR1 */
	else
		id = CPU_V2[GICC_IAR];
	if ((id & 0x3ff) == TIMER_PPI) {
		__asm__ volatile("msr cntv_ctl_el0, xzr; isb");
		cpu_self()->ticks++;
	}
	if (is_v3())
		__asm__ volatile("msr s3_0_c12_c12_1, %0; isb" ::"r"(id)); /* ICC_EOIR1 */
	else
		CPU_V2[GICC_EOIR] = (uint32_t)id;
}
