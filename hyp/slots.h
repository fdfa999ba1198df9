/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory slots of a VM and their budget. Whoever may ever open slots reserves them first, by
 * name, so that no opening fails for want of a number later. Mappings (VMAs) of the process are
 * the second budget: beyond vm.max_map_count malloc and thread creation fail, so windows stay
 * MAPPINGS_MARGIN below it. Used by the event loop's thread only, but for `generation`.
 *
 * Which mappings the kernel merges is not ours to know (neighbours that were written apart stay
 * apart). So each change is taken to add two for good, and the real number is read from
 * /proc/self/maps when their sum reaches the limit.
 */
#ifndef SLUICE_HYP_SLOTS_H
#define SLUICE_HYP_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SLOTS_HOLDERS	64
#define MAPPINGS_MARGIN 4096

struct slot_holder {
	const char *name;
	unsigned count;
};

struct slots {
	int vm_fd;	/* -1 between VMs */
	unsigned limit; /* KVM_CAP_NR_MEMSLOTS */
	unsigned open;
	uint64_t *used; /* bitmap of ids, `limit` bits */
	unsigned first_free;

	struct slot_holder holders[SLOTS_HOLDERS];
	unsigned holder_count;
	unsigned reserved;

	uint64_t mappings, mappings_limit; /* at most so many there are, and may be */
	uint64_t count_again_ms; /* counting is not for each request of a guest at the limit */

	/* Goes up with every change of what a guest may reach; a vCPU compares it over a fault. */
	_Atomic uint64_t generation;
};

int slots_init(struct slots *slots, unsigned limit);
void slots_finish(struct slots *slots);

/* -ENOSPC where `count` more do not fit: slots->limit - slots->reserved are free, the holders have the rest. */
int slots_reserve(struct slots *slots, const char *holder, unsigned count);

/* Every slot is gone with the old VM; fd is the new one's, or -1. */
void slots_set_vm(struct slots *slots, int vm_fd);

/* Whether the process may split a mapping in two places; takes them from the budget. */
bool slots_take_mappings(struct slots *slots);

/* Opens a slot (KVM_SET_USER_MEMORY_REGION). Returns its id, or -errno with nothing changed. */
int slot_open(struct slots *slots, uint64_t gpa, uint64_t size, void *hva);
/* Closes it; on -errno it is still open. */
int slot_close(struct slots *slots, unsigned id, uint64_t gpa);

#endif
