/* SPDX-License-Identifier: Apache-2.0 */
/* Registers that are read without an exit; see registers.h. */
#include "hyp/kvm/registers.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/vm.h"

int registers_create(struct registers *registers, uint64_t gpa, uint64_t size)
{
	uint8_t *hva = aligned_alloc((size_t)sysconf(_SC_PAGESIZE), size);

	if (!hva)
		return -ENOMEM;
	memset(hva, 0, size);
	/* A page that cannot be swapped in would look like the guest's fault. Not all hosts permit mlock(). */
	(void)mlock(hva, size);
	*registers = (struct registers){ .gpa = gpa, .size = size, .hva = hva };
	return 0;
}

void registers_destroy(struct registers *registers)
{
	free(registers->hva);
}

int registers_map(const struct registers *registers, struct vm *vm, unsigned slot)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = registers->gpa,
		.memory_size = registers->size,
		.userspace_addr = (uintptr_t)registers->hva,
	};

	return registers->size ? kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) : 0;
}

/*
 * Without FEAT_S2FWB the guest reads this memory as device memory, bypassing the caches that we write through. So each
 * write is cleaned to memory (Arm ARM, B2.8: mismatched memory attributes).
 */
static void clean(const void *at)
{
#ifdef __aarch64__
	__asm__ volatile("dc cvac, %0" ::"r"(at) : "memory");
#endif
}

static void wait_for_clean(void)
{
#ifdef __aarch64__
	__asm__ volatile("dsb sy" ::: "memory");
#endif
}

void registers_show(uint8_t *at, const void *bytes, size_t len)
{
	bool changed = false;

	for (size_t i = 0; i < len; i += sizeof(uint32_t)) {
		uint32_t *word = (uint32_t *)(void *)(at + i), value;

		memcpy(&value, (const uint8_t *)bytes + i, sizeof(value));
		if (*word == value)
			continue;
		__atomic_store_n(word, value, __ATOMIC_RELEASE);
		clean(word);
		changed = true;
	}
	if (changed)
		wait_for_clean();
}
