/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs: the first one's start, the others by PSCI, and time. */
#include <stdio.h>
#include <stdlib.h>

#include "bare.h"

#define PSCI_CPU_ON  0xc4000003
#define PSCI_CPU_OFF 0x84000002
#define STACK_SIZE   (16 * KiB)

struct cpu cpus[CPUS_MAX];
extern char cpu_entry[];
void cpu_main(struct cpu *cpu);

struct cpu *cpu_self(void)
{
	struct cpu *cpu;

	__asm__ volatile("mrs %0, tpidr_el1" : "=r"(cpu));
	return cpu;
}

int64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	uint64_t level;

	__asm__ volatile("mrs %0, currentel" : "=r"(level));
	if (level >> 2 == 2) /* where an HVC would be to itself */
		__asm__ volatile("smc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3) : "memory");
	else
		__asm__ volatile("hvc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3) : "memory");
	return (int64_t)x0;
}

_Noreturn void power_off(void)
{
	for (;;)
		psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}

void cpu_main(struct cpu *cpu)
{
	mmu_enable();
	gic_init();
	cpu->run(cpu->index, cpu->opaque);
	cpu->done = true;
	psci(PSCI_CPU_OFF, 0, 0, 0);
}

bool cpu_start(unsigned index, void (*run)(unsigned index, void *opaque), void *opaque)
{
	static char stacks[CPUS_MAX][STACK_SIZE] __attribute__((aligned(16)));
	struct cpu *cpu = &cpus[index];

	if (index >= CPUS_MAX)
		return false;
	*cpu = (struct cpu){ .stack = (uint64_t)(stacks[index] + STACK_SIZE),
		.index = index,
		.run = run,
		.opaque = opaque };
	/* It starts without caches, and reads this from memory. */
	for (uint64_t at = (uint64_t)cpu; at < (uint64_t)(cpu + 1) + 63; at += 64)
		__asm__ volatile("dc civac, %0" ::"r"(at) : "memory");
	__asm__ volatile("dsb sy" ::: "memory");
	return psci(PSCI_CPU_ON, index / 16 << 8 | index % 16, (uint64_t)cpu_entry,
		       (uint64_t)cpu) == 0;
}

bool cpu_wait(unsigned index, uint64_t ms)
{
	for (uint64_t end = now_us() + ms * 1000; now_us() < end;)
		if (cpus[index].done)
			return true;
	return false;
}

uint64_t now_us(void)
{
	uint64_t count, frequency;

	__asm__ volatile("isb; mrs %0, cntvct_el0; mrs %1, cntfrq_el0"
			 : "=r"(count), "=r"(frequency));
	return count / (frequency / 1000000);
}

void wait_us(uint64_t us)
{
	for (uint64_t end = now_us() + us; now_us() < end;)
		;
}
