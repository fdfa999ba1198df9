/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers that a guest reads without an exit: memory that KVM lets it read and not write
 * (KVM_MEM_READONLY), so that a write is an exit, or a doorbell, as ever. For registers whose reads
 * have no effect, and whose owner shows each change of what they read as.
 */
#ifndef SLUICE_HYP_REGISTERS_H
#define SLUICE_HYP_REGISTERS_H

#include <stddef.h>
#include <stdint.h>

struct vm;

struct registers {
	uint64_t gpa, size; /* bytes, whole pages of the host's; size 0: there are none */
	uint8_t *hva;
};

/* Memory for them, zeros. -ENOMEM, with nothing left. */
int registers_create(struct registers *registers, uint64_t gpa, uint64_t size);
void registers_destroy(struct registers *registers);
/* Into each new VM, as its memory slot `slot`. */
int registers_map(const struct registers *registers, struct vm *vm, unsigned slot);

/*
 * Registers at `at` read as the `len` bytes at `bytes` from now on, both multiples of 4, each of 32 bits
 * changing at once and the lower ones first. The lock that keeps others from showing there is the owner's.
 */
void registers_show(uint8_t *at, const void *bytes, size_t len);

#endif
