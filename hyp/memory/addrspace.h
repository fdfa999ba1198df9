/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host address space for guest memory. Guest and host addresses agree modulo the host's huge page,
 * without which KVM maps only small pages. What is behind a window's blocks is hyp/memory/backing.h's.
 */
#ifndef SLUICE_HYP_MEMORY_ADDRSPACE_H
#define SLUICE_HYP_MEMORY_ADDRSPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reserves `size` bytes for guest memory at `gpa`, private and anonymous, with PROT_READ or
 * PROT_NONE: it costs address space only. Guest and host address agree modulo `align` too, 0 or a
 * power of two. -ENOMEM where there is not that much of it.
 */
int addrspace_reserve(uint64_t gpa, uint64_t size, uint64_t align, int protection, uint8_t **ret);

/* Reserves memory that is writable from the start, as addrspace_make_writable() makes it. */
int addrspace_allocate(uint64_t gpa, uint64_t size, uint8_t **ret);

/*
 * Maps fresh pages without write access over [hva, hva+size) in one step. The old contents are gone, with their commit
 * charge and page tables. `protection` is PROT_READ or PROT_NONE; only for these is the step safe: for writable memory
 * Linux before 6.12 unmaps first and then asks for the charge, and a refusal leaves a hole behind (seen on 6.1: the
 * next mapping of the process lands in it, within the guest's reach). On -errno nothing has changed.
 */
int addrspace_discard(uint8_t *hva, uint64_t size, int protection);

/*
 * Drops small pages of zeros that were read of discarded memory: in memory that becomes writable they would prevent
 * huge pages, and mapping over them would take as long. False: there were none, which is found out quickly.
 */
bool addrspace_drop_zeros(uint8_t *hva, uint64_t size);

/*
 * Makes discarded memory writable: zeros, huge pages where the host has them. The charge is asked
 * for by mprotect(), which on -errno has changed nothing, on every kernel.
 */
int addrspace_make_writable(uint8_t *hva, uint64_t size);

/*
 * Excludes writable guest memory, which is large and holds the guest's secrets, from this process's core files. Code
 * that maps such memory calls it; addrspace_make_writable() does so itself. A mapping over it ends the exclusion.
 * Memory that is not writable is never dumped. addrspace_dump_guests(), called before any is reserved, disables the
 * exclusion.
 */
void addrspace_hide(void *hva, uint64_t size);
void addrspace_dump_guests(void);

/*
 * Lets the host merge equal pages of writable memory (KSM), until it is mapped over. A host without KSM refuses,
 * harmlessly.
 */
void addrspace_make_mergeable(uint8_t *hva, uint64_t size);

/* Empties writable memory. Its commit charge is unchanged, so this cannot fail for lack of it. */
int addrspace_empty(uint8_t *hva, uint64_t size);

/*
 * Copies out of guest memory that the host may not be able to provide: -EFAULT then, where a plain
 * read would end the process by a signal. Any thread.
 */
int addrspace_peek(const uint8_t *hva, void *ret_buf, size_t len);

void addrspace_unmap(uint8_t *hva, uint64_t size);

#endif
