/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a guest reads without an exit, while it is shown; see rom.h. */
#include "hyp/kvm/rom.h"

#include <linux/kvm.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/vm.h"

void rom_init(struct rom *rom, const void *hva, uint64_t size)
{
	*rom = (struct rom){ .hva = hva, .size = size, .vm_fd = -1 };
}

void rom_attach(struct rom *rom, const struct vm *vm, uint64_t gpa, unsigned slot)
{
	CHECK(rom->vm_fd < 0);
	rom->vm_fd = vm->fd;
	rom->gpa = gpa;
	rom->slot = slot;
	rom->open = false;
}

void rom_forget(struct rom *rom)
{
	rom->vm_fd = -1;
	rom->open = false;
}

/* A size of 0 removes the slot. */
static int set_region(struct rom *rom, bool open)
{
	struct kvm_userspace_memory_region region = {
		.slot = rom->slot,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = rom->gpa,
		.memory_size = open ? rom->size : 0,
		.userspace_addr = (uintptr_t)rom->hva,
	};
	int err;

	if (rom->open == open || rom->vm_fd < 0)
		return 0;
	err = kvm_ioctl(rom->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
	if (!err)
		rom->open = open;
	return err;
}

int rom_show(struct rom *rom)
{
	return set_region(rom, true);
}

int rom_hide(struct rom *rom)
{
	return set_region(rom, false);
}
