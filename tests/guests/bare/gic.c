/* SPDX-License-Identifier: Apache-2.0 */
/* The interrupt controller, a GICv3 or GICv2, as far as the timer and one line need it. */
#include "bare.h"

#define TIMER_PPI 27 /* the virtual timer's */

#define DIST	  ((volatile uint32_t *)0x08000000)
#define CPU_V2	  ((volatile uint32_t *)0x08010000)
#define REDIST(i) ((volatile uint32_t *)(UINT64_C(0x080a0000) + (i)*0x20000))

#define GICD_CTLR	   0
#define GICD_IGROUPR(id)   (0x080 / 4 + (id) / 32)
#define GICD_ISENABLER(id) (0x100 / 4 + (id) / 32)
#define GICD_ICENABLER(id) (0x180 / 4 + (id) / 32)
#define GICD_ITARGETSR	   0x800 /* a byte each */
#define GICD_ICFGR(id)	   (0xc00 / 4 + (id) / 16)
#define GICD_IROUTER	   (0x6000 / 4)
#define GICC_CTLR	   0
#define GICC_PMR	   (0x4 / 4)
#define GICC_IAR	   (0xc / 4)
#define GICC_EOIR	   (0x10 / 4)
#define GICR_WAKER	   (0x14 / 4)
#define GICR_SGI_FRAME	   (0x10000 / 4)
#define GICR_IGROUPR0	   (GICR_SGI_FRAME + 0x80 / 4)
#define GICR_ISENABLER0	   (GICR_SGI_FRAME + 0x100 / 4)

static unsigned spi_id; /* of the line; 0: none */
static void (*spi_handler)(void);

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
		DIST[GICD_ISENABLER(0)] = UINT32_C(1) << TIMER_PPI;
		CPU_V2[GICC_PMR] = 0xff;
		CPU_V2[GICC_CTLR] = 1;
	}
	__asm__ volatile("msr daifclr, #2");
}

/* To this CPU. */
static void enable(unsigned id)
{
	unsigned index = cpu_self()->index;

	if (is_v3()) {
		DIST[GICD_IGROUPR(id)] |= UINT32_C(1) << id % 32;
		DIST[GICD_IROUTER + 2 * id] = index / 16 << 8 | index % 16;
	} else {
		((volatile uint8_t *)DIST)[GICD_ITARGETSR + id] = (uint8_t)(1u << index);
	}
	DIST[GICD_ISENABLER(id)] = UINT32_C(1) << id % 32;
}

void gic_enable_once(unsigned intid)
{
	enable(intid);
}

void gic_enable_spi(unsigned spi, bool edge, void (*handler)(void))
{
	unsigned id = spi + 32, field = id % 16 * 2;

	spi_handler = handler;
	spi_id = id;
	DIST[GICD_ICENABLER(id)] = UINT32_C(1) << id % 32; /* not while it changes */
	DIST[GICD_ICFGR(id)] = (DIST[GICD_ICFGR(id)] & ~(UINT32_C(2) << field)) |
			       (edge ? UINT32_C(2) << field : 0);
	enable(id);
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
	if (spi_id && (id & 0x3ff) == spi_id)
		spi_handler();
	else if ((id & 0x3ff) >= 32 && (id & 0x3ff) < 1020)
		DIST[GICD_ICENABLER(id & 0x3ff)] = UINT32_C(1) << (id & 31);
	if (is_v3())
		__asm__ volatile("msr s3_0_c12_c12_1, %0; isb" ::"r"(id)); /* ICC_EOIR1 */
	else
		CPU_V2[GICC_EOIR] = (uint32_t)id;
}
