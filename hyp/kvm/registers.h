/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers that a guest reads without an exit: memory that KVM lets it read and not write (KVM_MEM_READONLY),
 * so that a write is an exit, or a doorbell, as before. Only for registers whose reads have no side effect; the
 * device must call registers_show() after each change.
 *
 * Without FEAT_S2FWB (Cortex-A72, A76, Neoverse N1) the guest's reads bypass the caches, so registers_show()
 * cleans what it writes to memory (dc cvac); no emulated host can show that it does not. With FEAT_S2FWB the
 * reads are those of cached memory to the processor: a driver needs the barriers that Linux's readl() has. The
 * price of both: cache maintenance by the guest in these pages is a stray store.
 */
#ifndef SLUICE_HYP_KVM_REGISTERS_H
#define SLUICE_HYP_KVM_REGISTERS_H

#include <stddef.h>
#include <stdint.h>

struct vm;

struct registers {
	uint64_t gpa, size; /* bytes, whole host pages; size 0: there are none */
	uint8_t *hva;
};

/* Allocates memory for them, all zeros. -ENOMEM, with nothing left to free. */
int registers_create(struct registers *registers, uint64_t gpa, uint64_t size);
void registers_destroy(struct registers *registers);
/* Maps them into a new VM, as its memory slot `slot`. */
int registers_map(const struct registers *registers, struct vm *vm, unsigned slot);

/*
 * From now on the registers at `at` read as the `len` bytes at `bytes`; both are multiples of 4. Each register of 32
 * bits changes at once, lower ones first. The caller's lock excludes other writers of these registers.
 */
void registers_show(uint8_t *at, const void *bytes, size_t len);

#endif
