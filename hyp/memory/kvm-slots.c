/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's memory slots; see kvm-slots.h. */
#include "hyp/memory/kvm-slots.h"

#include <linux/kvm.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"

static int set_region(struct listener *listener, const struct memory_slot *slot, uint64_t size)
{
	struct kvm_slots *slots = container_of(listener, struct kvm_slots, listener);
	struct kvm_userspace_memory_region region = {
		.slot = slot->id,
		.guest_phys_addr = slot->gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)slot->hva,
	};

	return kvm_ioctl(slots->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static int open_slot(struct listener *listener, const struct memory_slot *slot)
{
	return set_region(listener, slot, slot->size);
}

static int close_slot(struct listener *listener, const struct memory_slot *slot)
{
	return set_region(listener, slot, 0);
}

static void forget(struct listener *listener)
{
	container_of(listener, struct kvm_slots, listener)->vm_fd = -1;
}

void kvm_slots_init(struct kvm_slots *slots, unsigned limit)
{
	static const struct listener_ops ops = {
		.open = open_slot,
		.close = close_slot,
		.forget = forget,
	};

	*slots = (struct kvm_slots){
		.listener = { .ops = &ops, .name = "KVM", .limit = limit },
		.vm_fd = -1,
	};
}
