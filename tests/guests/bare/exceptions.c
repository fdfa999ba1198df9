/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: those that access_make() expects, interrupts, and all others, which fail the guest. */
#include <inttypes.h>
#include <stdio.h>

#include "bare.h"

#define VECTOR_IRQ 5 /* of this exception level, on SP_EL1 */

uint64_t access_one(unsigned kind, uint64_t address, uint64_t value);
uint64_t exception(uint64_t vector);

#define READ(name)                                                                                 \
	({                                                                                         \
		uint64_t value;                                                                    \
		__asm__ volatile("mrs %0, " #name : "=r"(value));                                  \
		value;                                                                             \
	})

uint64_t exception(uint64_t vector)
{
	struct cpu *cpu = cpu_self();
	uint64_t recover = cpu->recover;
	struct fault fault = { READ(esr_el1), READ(far_el1), READ(elr_el1) };

	if (vector == VECTOR_IRQ) {
		gic_interrupt();
		return 0;
	}
	if (recover) {
		cpu->recover = 0;
		cpu->fault = fault;
		return recover;
	}
	printf("\nBail out! CPU %u: exception (vector %" PRIu64 ", class 0x%x, syndrome 0x%" PRIx64
	       ") at 0x%" PRIx64 ", address 0x%" PRIx64 "\n",
		cpu->index, vector, ESR_EC(fault.esr), fault.esr, fault.elr, fault.far);
	result(false, "no unexpected exception");
	power_off();
}

uint64_t access_make(unsigned kind, uint64_t address, uint64_t value, struct fault *fault)
{
	struct cpu *cpu = cpu_self();
	uint64_t got;

	cpu->fault = (struct fault){ 0 };
	got = access_one(kind, address, value);
	/* An unknown instruction has the syndrome 0x02000000: never 0 (IL is set). */
	*fault = cpu->fault;
	return got;
}

bool has_atomics(void)
{
	return (READ(id_aa64isar0_el1) >> 20 & 0xf) >= 2;
}
