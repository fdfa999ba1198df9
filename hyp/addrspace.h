/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host address space for guest memory. Guest and host addresses agree modulo the host's huge page,
 * without which KVM maps only small pages.
 */
#ifndef SLUICE_HYP_ADDRSPACE_H
#define SLUICE_HYP_ADDRSPACE_H

#include <stdint.h>

/*
 * Maps `size` bytes for guest memory at `gpa`, private and anonymous, with mmap's `protection` and
 * further `flags`. -ENOMEM where address space or the commit limit does not allow it.
 */
int addrspace_map(uint64_t gpa, uint64_t size, int protection, int flags, uint8_t **ret);

/*
 * Puts fresh private anonymous pages over [hva, hva+size) in one step: what was there is gone, its
 * commit charge too. On -errno nothing has changed.
 */
int addrspace_replace(uint8_t *hva, uint64_t size, int protection, int flags);

/* Guest memory for use: huge pages where the host has them. */
int addrspace_replace_memory(uint8_t *hva, uint64_t size);

void addrspace_unmap(uint8_t *hva, uint64_t size);

#endif
