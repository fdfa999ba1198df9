/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KVM that keeps slots as the kernel does (overlap is EEXIST, an absent slot is EINVAL) and that
 * fails when asked to. Mappings are real ones, so that what they expose can be examined.
 */
#ifndef SLUICE_TESTS_FAKE_KVM_H
#define SLUICE_TESTS_FAKE_KVM_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_KVM_SLOTS 4096
#define FAKE_KVM_FD    1000

struct fake_kvm {
	struct fake_slot {
		uint64_t gpa, size, hva;
	} slots[FAKE_KVM_SLOTS];
	unsigned open;

	unsigned calls;	      /* of the seam, all kinds */
	unsigned fail_at;     /* this call fails (counted from 1 since the last reset); 0: none */
	unsigned fail_one_in; /* each call fails with this chance, of the seed's; 0: none */
	unsigned seed;
	bool fail_closing;  /* every removal of a slot fails */
	bool fail_mapping;  /* every mapping fails */
	bool fail_punching; /* no file gives memory back */
	unsigned map_ms;    /* how long a mapping takes: page tables that have to go */
	unsigned close_ms;  /* how long a removal of a slot takes */
	unsigned failed;    /* how often it did */
	unsigned flushes; /* of a guest hypervisor's shadow tables, as KVM makes them; see below */
};

extern struct fake_kvm fake_kvm;

/*
 * KVM forgets all that it knows of the guest's own guests when a slot goes, and for each slot in which
 * a mapping is replaced, discarded or given another protection (kvm_unmap_gfn_range), touched or not.
 */

/* Starts anew and puts the fake in force. */
void fake_kvm_install(void);
/* The slot that covers `gpa`, or NULL. */
const struct fake_slot *fake_kvm_slot_at(uint64_t gpa);

#endif
