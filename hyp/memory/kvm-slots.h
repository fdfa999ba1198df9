/* SPDX-License-Identifier: Apache-2.0 */
/* KVM as a listener: the memory slots of a VM (KVM_SET_USER_MEMORY_REGION). It need not know of blocks. */
#ifndef SLUICE_HYP_MEMORY_KVM_SLOTS_H
#define SLUICE_HYP_MEMORY_KVM_SLOTS_H

#include "hyp/memory/listener.h"

struct kvm_slots {
	struct listener listener;
	int vm_fd; /* not owned; -1 between VMs */
};

/* `limit` is struct kvm_limits' memslots. */
void kvm_slots_init(struct kvm_slots *slots, unsigned limit);

#endif
