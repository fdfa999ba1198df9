/* SPDX-License-Identifier: Apache-2.0 */
/* The fake KVM; see fake-kvm.h. */
#include "tests/unit/helpers/fake-kvm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"

struct fake_kvm fake_kvm;

static bool fails(void)
{
	fake_kvm.calls++;
	if (fake_kvm.calls != fake_kvm.fail_at &&
		!(fake_kvm.fail_one_in && rand_r(&fake_kvm.seed) % fake_kvm.fail_one_in == 0))
		return false;
	fake_kvm.failed++;
	return true;
}

static void flush(void *hva, uint64_t size)
{
	for (size_t i = 0; i < FAKE_KVM_SLOTS; i++)
		fake_kvm.flushes += fake_kvm.slots[i].size &&
				    ranges_overlap((uintptr_t)hva, size, fake_kvm.slots[i].hva,
					    fake_kvm.slots[i].size);
}

static int set_region(const struct kvm_userspace_memory_region *region)
{
	struct fake_slot *slot;

	if (region->slot >= FAKE_KVM_SLOTS)
		return -EINVAL;
	slot = &fake_kvm.slots[region->slot];
	if (!region->memory_size) {
		if (!slot->size)
			return -EINVAL;
		if (fake_kvm.fail_closing) {
			fake_kvm.failed++;
			return -ENOMEM;
		}
		usleep(fake_kvm.close_ms * 1000);
		*slot = (struct fake_slot){ 0 };
		fake_kvm.open--;
		fake_kvm.flushes++;
		return 0;
	}
	if (slot->size)
		return -EINVAL; /* a live slot is never resized */
	for (size_t i = 0; i < FAKE_KVM_SLOTS; i++)
		if (fake_kvm.slots[i].size &&
			ranges_overlap(region->guest_phys_addr, region->memory_size,
				fake_kvm.slots[i].gpa, fake_kvm.slots[i].size))
			return -EEXIST;
	*slot = (struct fake_slot){ region->guest_phys_addr, region->memory_size,
		region->userspace_addr };
	fake_kvm.open++;
	return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	if (fails())
		return -ENOMEM;
	if (fd != FAKE_KVM_FD || request != KVM_SET_USER_MEMORY_REGION)
		return -EINVAL;
	return set_region(arg);
}

static int fake_map(
	void *addr, size_t size, int prot, int flags, int fd, uint64_t offset, void **ret)
{
	bool failing = fails();

	flush(addr, size);
	if (fake_kvm.fail_mapping) {
		fake_kvm.failed++;
		failing = true;
	}
	usleep(fake_kvm.map_ms * 1000);
	/* Linux before 6.12 has unmapped by the time it refuses to charge writable memory. */
	if (failing && addr && (prot & PROT_WRITE))
		kvm_kernel.unmap(addr, size);
	return failing ? -ENOMEM : kvm_kernel.map(addr, size, prot, flags, fd, offset, ret);
}

static int fake_move(void *from, size_t size, void *to)
{
	flush(to, size);
	if (fails()) { /* what was there has gone by then */
		kvm_kernel.unmap(to, size);
		return -ENOMEM;
	}
	return kvm_kernel.move(from, size, to);
}

static int fake_punch(int fd, uint64_t offset, uint64_t size)
{
	if (fails() || fake_kvm.fail_punching)
		return -ENOMEM;
	return kvm_kernel.punch(fd, offset, size);
}

static int fake_unmap(void *addr, size_t size)
{
	flush(addr, size);
	return kvm_kernel.unmap(addr, size);
}

static int fake_protect(void *addr, size_t size, int prot)
{
	flush(addr, size);
	if (fails())
		return -ENOMEM;
	return kvm_kernel.protect(addr, size, prot);
}

static int fake_advise(void *addr, size_t size, int advice)
{
	if (advice == MADV_DONTNEED)
		flush(addr, size);
	if (fails())
		return -EINVAL;
	return kvm_kernel.advise(addr, size, advice);
}

static const struct kvm_seam fake_seam = {
	.ioctl = fake_ioctl,
	.map = fake_map,
	.move = fake_move,
	.unmap = fake_unmap,
	.protect = fake_protect,
	.advise = fake_advise,
	.punch = fake_punch,
};

void fake_kvm_install(void)
{
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	kvm_seam = &fake_seam;
}

const struct fake_slot *fake_kvm_slot_at(uint64_t gpa)
{
	for (size_t i = 0; i < FAKE_KVM_SLOTS; i++)
		if (gpa - fake_kvm.slots[i].gpa < fake_kvm.slots[i].size)
			return &fake_kvm.slots[i];
	return NULL;
}
