/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host address space for guest memory. Guest and host addresses agree modulo the host's huge page,
 * without which KVM maps only small pages. What is behind a window's blocks is hyp/backing.h's.
 */
#ifndef SLUICE_HYP_ADDRSPACE_H
#define SLUICE_HYP_ADDRSPACE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reserves `size` bytes for guest memory at `gpa`, private and anonymous, with PROT_READ or
 * PROT_NONE: it costs address space only. Guest and host address agree modulo `align` too, 0 or a
 * power of two. -ENOMEM where there is not that much of it.
 */
int addrspace_reserve(uint64_t gpa, uint64_t size, uint64_t align, int protection, uint8_t **ret);

/*
 * Puts fresh pages that nobody can write over [hva, hva+size) in one step (mmap over it): what was
 * there is gone, its commit charge and page tables too. `protection` is PROT_READ or PROT_NONE,
 * and for these alone the step is safe: for writable memory Linux before 6.12 unmaps first and
 * then asks for the charge, and a refusal leaves a hole behind (seen on 6.1: the next mapping of
 * the process lands in it, within the guest's reach). On -errno nothing has changed.
 */
int addrspace_discard(uint8_t *hva, uint64_t size, int protection);

/*
 * Makes discarded memory writable: zeros, huge pages where the host has them. The charge is asked
 * for by mprotect(), which on -errno has changed nothing, on every kernel.
 */
int addrspace_make_writable(uint8_t *hva, uint64_t size);

/* Empties writable memory, which keeps its charge, so that it cannot fail for want of it. */
int addrspace_empty(uint8_t *hva, uint64_t size);

/*
 * Copies out of guest memory that the host may not be able to provide: -EFAULT then, where a plain
 * read would end the process by a signal. Any thread.
 */
int addrspace_peek(const uint8_t *hva, void *ret_buf, size_t len);

void addrspace_unmap(uint8_t *hva, uint64_t size);

#endif
