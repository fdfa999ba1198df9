/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to the kernel and what its KVM offers; see kvm.h. */
#include "hyp/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"

#ifndef KVM_CAP_ARM_EL2
#define KVM_CAP_ARM_EL2 240
#endif

static int kernel_ioctl(int fd, unsigned long request, void *arg)
{
	int result = ioctl(fd, request, arg);

	return result < 0 ? -errno : result;
}

static int kernel_map(
	void *addr, size_t size, int prot, int flags, int fd, uint64_t offset, void **ret)
{
	void *at = mmap(addr, size, prot, flags | (addr ? MAP_FIXED : 0), fd, (off_t)offset);

	if (at == MAP_FAILED)
		return -errno;
	if (ret)
		*ret = at;
	return 0;
}

static int kernel_move(void *from, size_t size, void *to)
{
	void *at = mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	return at == MAP_FAILED ? -errno : 0;
}

static int kernel_unmap(void *addr, size_t size)
{
	return munmap(addr, size) < 0 ? -errno : 0;
}

static int kernel_protect(void *addr, size_t size, int prot)
{
	return mprotect(addr, size, prot) < 0 ? -errno : 0;
}

static int kernel_advise(void *addr, size_t size, int advice)
{
	return madvise(addr, size, advice) < 0 ? -errno : 0;
}

static int kernel_punch(int fd, uint64_t offset, uint64_t size)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return RETRY_EINTR(fallocate(fd, mode, (off_t)offset, (off_t)size)) < 0 ? -errno : 0;
}

const struct kvm_seam kvm_kernel = {
	.ioctl = kernel_ioctl,
	.map = kernel_map,
	.move = kernel_move,
	.unmap = kernel_unmap,
	.protect = kernel_protect,
	.advise = kernel_advise,
	.punch = kernel_punch,
};

const struct kvm_seam *kvm_seam = &kvm_kernel;

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int result;

	do
		result = kvm_seam->ioctl(fd, request, arg);
	while (result == -EINTR && request != KVM_RUN);
	return result;
}

int kvm_ioctl_value(int fd, unsigned long request, unsigned long value)
{
	return kvm_ioctl(fd, request, (void *)value);
}

int kvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENODEV || errno == ENXIO || errno == ENOTDIR ? -ENOENT
		       : errno == EPERM					     ? -EACCES
									     : -errno;
	if (kvm_ioctl_value(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		close(fd);
		return -ENOTSUP;
	}
	return fd;
}

int kvm_extension(int fd, unsigned capability)
{
	int result = kvm_ioctl_value(fd, KVM_CHECK_EXTENSION, capability);

	return result < 0 ? 0 : result;
}

/* Whether the VM could have this interrupt controller. */
static bool can_create(int vm, unsigned type)
{
	struct kvm_create_device device = { .type = type, .flags = KVM_CREATE_DEVICE_TEST };

	return kvm_ioctl(vm, KVM_CREATE_DEVICE, &device) == 0;
}

/* KVM_CREATE_VM takes sizes from here (Documentation/virt/kvm/api.rst, 4.2); type 0 means 40. */
#define IPA_BITS_MIN 32

int kvm_create_vm(int kvm_fd, unsigned ipa_bits)
{
	if (ipa_bits < IPA_BITS_MIN)
		ipa_bits = IPA_BITS_MIN;
	if (!kvm_extension(kvm_fd, KVM_CAP_ARM_VM_IPA_SIZE)) /* before Linux 4.20 */
		ipa_bits = 0;
	return kvm_ioctl_value(kvm_fd, KVM_CREATE_VM, ipa_bits);
}

int kvm_probe_gics(unsigned ipa_bits, struct kvm_gics *ret, int *ret_vm)
{
	int fd = kvm_open(), vm;

	if (fd < 0)
		return fd;
	vm = kvm_create_vm(fd, ipa_bits);
	close(fd);
	if (vm < 0)
		return vm;
	ret->v2 = can_create(vm, KVM_DEV_TYPE_ARM_VGIC_V2);
	ret->v3 = can_create(vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	ret->its = ret->v3 && can_create(vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (ret_vm)
		*ret_vm = vm;
	else
		close(vm);
	return 0;
}

static unsigned cpu_features(int fd)
{
	static const unsigned capabilities[CPU_FEATURES][2] = {
		[CPU_PMU] = { KVM_CAP_ARM_PMU_V3 },
		[CPU_SVE] = { KVM_CAP_ARM_SVE },
		[CPU_POINTER_AUTH] = { KVM_CAP_ARM_PTRAUTH_ADDRESS, KVM_CAP_ARM_PTRAUTH_GENERIC },
		[CPU_STOLEN_TIME] = { KVM_CAP_STEAL_TIME },
		[CPU_NESTED] = { KVM_CAP_ARM_EL2 },
	};
	unsigned features = 0;

	for (unsigned i = 0; i < CPU_FEATURES; i++)
		if (kvm_extension(fd, capabilities[i][0]) &&
			(!capabilities[i][1] || kvm_extension(fd, capabilities[i][1])))
			features |= 1u << i;
	return features;
}

int kvm_probe(struct kvm_limits *ret)
{
	struct kvm_limits limits = { 0 };
	int fd = kvm_open();

	if (fd < 0)
		return fd;
	limits.memslots = (unsigned)kvm_extension(fd, KVM_CAP_NR_MEMSLOTS);
	limits.memslots -= limits.memslots < KVM_OWN_SLOTS ? limits.memslots : KVM_OWN_SLOTS;
	limits.readonly_slots = kvm_extension(fd, KVM_CAP_READONLY_MEM) > 0;
	limits.vcpus = (unsigned)kvm_extension(fd, KVM_CAP_MAX_VCPUS);
	limits.ipa_bits = (unsigned)kvm_extension(fd, KVM_CAP_ARM_VM_IPA_SIZE);
	limits.nisv = kvm_extension(fd, KVM_CAP_ARM_NISV_TO_USER) > 0;
	limits.system_suspend = kvm_extension(fd, KVM_CAP_ARM_SYSTEM_SUSPEND) > 0;
	limits.cpu_features = cpu_features(fd);
	close(fd);
	*ret = limits;
	return 0;
}
