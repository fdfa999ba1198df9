/* SPDX-License-Identifier: Apache-2.0 */
/* The seam's kernel side, and what a KVM that is played says that it offers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "tests/unit/helpers/unit.h"

#ifndef KVM_CAP_ARM_EL2
#define KVM_CAP_ARM_EL2 240
#endif

static int open_errno;	 /* /dev/kvm is refused so; 0: it is there */
static int opened;	 /* what was given for it */
static int version;	 /* of its API */
static int offered[512]; /* by capability; negative: it fails */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/kvm") != 0)
		return __real_open64(path, flags);
	assert_int_equal(flags, O_RDWR | O_CLOEXEC);
	if (open_errno) {
		errno = open_errno;
		return -1;
	}
	opened = __real_open64("/dev/null", flags);
	return opened;
}

static unsigned gics; /* the kinds that a VM could have, a bit for each KVM_DEV_TYPE */
static int vm;	      /* the VM that was asked, and of which type it was made */
static uintptr_t vm_type;

static int answer(int fd, unsigned long request, void *arg)
{
	const struct kvm_create_device *device = arg;

	if (request == KVM_CREATE_VM) {
		vm_type = (uintptr_t)arg;
		vm = __real_open64("/dev/null", O_RDWR | O_CLOEXEC);
		return vm;
	}
	if (request == KVM_CREATE_DEVICE) {
		assert_int_equal(fd, vm);
		assert_int_equal(device->flags, KVM_CREATE_DEVICE_TEST); /* none is made */
		return gics & 1u << device->type ? 0 : -ENODEV;
	}
	if (request == KVM_GET_API_VERSION)
		return version;
	if (request == KVM_CHECK_EXTENSION)
		return (uintptr_t)arg < ARRAY_SIZE(offered) ? offered[(uintptr_t)arg] : 0;
	return -ENOTTY;
}

static unsigned calls, interrupt_at; /* in this call, counted from 1, a signal comes */

static int interrupted_answer(int fd, unsigned long request, void *arg)
{
	return ++calls == interrupt_at ? -EINTR : answer(fd, request, arg);
}

static const struct kvm_seam seam = { .ioctl = interrupted_answer };

int __real_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	if (++calls != interrupt_at)
		return __real_fallocate64(fd, mode, offset, len);
	errno = EINTR;
	return -1;
}

static int begin(void **state)
{
	kvm_seam = &seam;
	open_errno = 0;
	version = KVM_API_VERSION;
	calls = interrupt_at = 0;
	memset(offered, 0, sizeof(offered));
	return 0;
}

static int finish(void **state)
{
	kvm_seam = &kvm_kernel;
	return 0;
}

static void why_there_is_no_kvm(void **state)
{
	static const int cases[][2] = { { ENOENT, -ENOENT }, { ENODEV, -ENOENT },
		{ ENXIO, -ENOENT }, { ENOTDIR, -ENOENT }, { EACCES, -EACCES }, { EPERM, -EACCES },
		{ EMFILE, -EMFILE } };
	struct kvm_limits limits = { .vcpus = 7 };
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		open_errno = cases[i][0];
		assert_int_equal(kvm_open(), cases[i][1]);
		assert_int_equal(kvm_probe(&limits), cases[i][1]);
		assert_int_equal(limits.vcpus, 7);
	}
	open_errno = 0;
	version = 11;
	assert_int_equal(kvm_open(), -ENOTSUP);
	assert_int_equal(fcntl(opened, F_GETFD), -1);
	version = 12;
	fd = kvm_open();
	assert_int_equal(fd, opened);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void what_kvm_does_not_know_is_none(void **state)
{
	offered[KVM_CAP_NR_MEMSLOTS] = 512;
	offered[KVM_CAP_MAX_VCPUS] = -EINVAL;
	assert_int_equal(kvm_extension(3, KVM_CAP_NR_MEMSLOTS), 512);
	assert_int_equal(kvm_extension(3, KVM_CAP_MAX_VCPUS), 0);
	assert_int_equal(kvm_extension(3, 511), 0);
}

static void limits_are_what_kvm_says(void **state)
{
	struct kvm_limits limits;

	assert_int_equal(kvm_probe(&limits), 0);
	assert_int_equal(fcntl(opened, F_GETFD), -1);
	assert_int_equal(limits.memslots, 0);
	assert_int_equal(limits.cpu_features, 0);
	assert_false(limits.readonly_slots || limits.nisv || limits.system_suspend);
	offered[KVM_CAP_NR_MEMSLOTS] = 32767; /* the last is for registers */
	offered[KVM_CAP_MAX_VCPUS] = 512;
	offered[KVM_CAP_ARM_VM_IPA_SIZE] = 44;
	assert_int_equal(kvm_probe(&limits), 0);
	assert_int_equal(limits.memslots, 32767 - KVM_OWN_SLOTS);
	assert_int_equal(limits.vcpus, 512);
	assert_int_equal(limits.ipa_bits, 44);
	offered[KVM_CAP_READONLY_MEM] = 1;
	assert_int_equal(kvm_probe(&limits), 0);
	assert_true(limits.readonly_slots && !limits.nisv && !limits.system_suspend);
	offered[KVM_CAP_READONLY_MEM] = 0;
	offered[KVM_CAP_ARM_NISV_TO_USER] = 1;
	assert_int_equal(kvm_probe(&limits), 0);
	assert_true(!limits.readonly_slots && limits.nisv && !limits.system_suspend);
	offered[KVM_CAP_ARM_NISV_TO_USER] = 0;
	offered[KVM_CAP_ARM_SYSTEM_SUSPEND] = 1;
	assert_int_equal(kvm_probe(&limits), 0);
	assert_true(!limits.readonly_slots && !limits.nisv && limits.system_suspend);
}

/* A VM is asked, which is gone then, or the caller's; an ITS without a GICv3 is none. */
static void gics_of_a_vm(void **state)
{
	static const struct {
		unsigned gics;
		bool gicv2, gicv3, its;
	} cases[] = {
		{ 0, false, false, false },
		{ 1u << KVM_DEV_TYPE_ARM_VGIC_V2, true, false, false },
		{ 1u << KVM_DEV_TYPE_ARM_VGIC_V3, false, true, false },
		{ 1u << KVM_DEV_TYPE_ARM_VGIC_V3 | 1u << KVM_DEV_TYPE_ARM_VGIC_ITS, false, true,
			true },
		{ 1u << KVM_DEV_TYPE_ARM_VGIC_V2 | 1u << KVM_DEV_TYPE_ARM_VGIC_ITS, true, false,
			false },
	};
	struct kvm_gics got;
	int retained;

	offered[KVM_CAP_ARM_VM_IPA_SIZE] = 48;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned bits = 0; bits <= 48; bits += 8) {
			gics = cases[i].gics;
			assert_int_equal(kvm_probe_gics(bits, &got, NULL), 0);
			assert_int_equal(got.v2, cases[i].gicv2);
			assert_int_equal(got.v3, cases[i].gicv3);
			assert_int_equal(got.its, cases[i].its);
			assert_int_equal(vm_type, bits < 32 ? 32 : bits);
			assert_int_equal(fcntl(vm, F_GETFD), -1);
		}
	assert_int_equal(kvm_probe_gics(40, &got, &retained), 0);
	assert_int_equal(retained, vm);
	assert_int_equal(close(retained), 0);
	/* Before Linux 4.20 all have 40 bits, and nobody says so. */
	offered[KVM_CAP_ARM_VM_IPA_SIZE] = 0;
	assert_int_equal(kvm_probe_gics(36, &got, NULL), 0);
	assert_int_equal(vm_type, 0);
}

/* Pointer authentication takes two of KVM's, each other feature one. */
static void features_by_capability(void **state)
{
	static const unsigned cases[][2] = {
		{ KVM_CAP_ARM_PMU_V3, 1u << CPU_PMU },
		{ KVM_CAP_ARM_SVE, 1u << CPU_SVE },
		{ KVM_CAP_STEAL_TIME, 1u << CPU_STOLEN_TIME },
		{ KVM_CAP_ARM_EL2, 1u << CPU_NESTED },
		{ KVM_CAP_ARM_PTRAUTH_ADDRESS, 0 },
		{ KVM_CAP_ARM_PTRAUTH_GENERIC, 0 },
	};
	struct kvm_limits limits;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(state);
		offered[cases[i][0]] = 1;
		assert_int_equal(kvm_probe(&limits), 0);
		assert_int_equal(limits.cpu_features, cases[i][1]);
	}
	offered[KVM_CAP_ARM_PTRAUTH_ADDRESS] = offered[KVM_CAP_ARM_PTRAUTH_GENERIC] = 1;
	assert_int_equal(kvm_probe(&limits), 0);
	assert_int_equal(limits.cpu_features, 1u << CPU_POINTER_AUTH);
}

/* The kernel's own calls: 0 or what they give, or -errno; a place that is given is taken exactly. */
static void the_kernels_calls(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const struct kvm_seam *kernel = &kvm_kernel;
	int fd = memfd_create("test", MFD_CLOEXEC);
	void *at = NULL, *to = NULL;
	uint8_t byte = 0x5a;

	assert_int_equal(ftruncate(fd, 4 * page), 0);
	assert_int_equal(kernel->map(NULL, 2 * page, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &at),
		0);
	assert_int_equal(kernel->map((uint8_t *)at + page, page, PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, 2 * page, &to),
		0);
	assert_ptr_equal(to, (uint8_t *)at + page);
	assert_int_equal(pwrite(fd, &byte, 1, 2 * page), 1);
	assert_int_equal(*(uint8_t *)to, 0x5a);
	/* What was written goes, and the file is as long. */
	assert_int_equal(kernel->punch(fd, 2 * page, page), 0);
	assert_int_equal(*(uint8_t *)to, 0);
	assert_int_equal(kernel->punch(fd, 3 * page, 4 * page), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 4 * page);
	assert_int_equal(kernel->punch(fd, 0, 0), -EINVAL);
	*(uint8_t *)at = 0x77;
	assert_int_equal(kernel->move(at, page, to), 0);
	assert_int_equal(*(uint8_t *)to, 0x77);
	assert_int_equal(
		kernel->protect(at, page, PROT_READ), -ENOMEM); /* nothing there any more */
	assert_int_equal(kernel->protect(to, page, PROT_READ), 0);
	assert_int_equal(kernel->advise(to, page, MADV_DONTNEED), 0);
	assert_int_equal(*(uint8_t *)to, 0);
	assert_int_equal(kernel->advise(to, page, 9999), -EINVAL);
	assert_int_equal(kernel->unmap(to, page), 0);
	assert_int_equal(kernel->unmap((uint8_t *)to + 1, page), -EINVAL);
	assert_int_equal(kernel->move(at, page, to), -EFAULT);
	to = (void *)1;
	assert_int_equal(
		kernel->map(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &to), -EINVAL);
	assert_ptr_equal(to, (void *)1);
	assert_int_equal(kernel->ioctl(fd, KVM_GET_API_VERSION, NULL), -ENOTTY);
	close(fd);
}

/* KVM_CREATE_VM gives EINTR with a signal pending; of KVM_RUN that is what its caller waits for. */
static void a_signal_changes_no_answer(void **state)
{
	struct kvm_limits without, limits;
	struct kvm_gics got;
	unsigned all;
	int fd;

	for (unsigned i = 1; i < ARRAY_SIZE(offered); i++)
		offered[i] = 48;
	gics = ~0u;
	assert_int_equal(kvm_probe(&without), 0);
	assert_int_equal(kvm_probe_gics(48, &got, NULL), 0);
	all = calls;
	for (unsigned at = 1; at <= all; at++) {
		calls = 0;
		interrupt_at = at;
		memset(&limits, 0, sizeof(limits));
		memset(&got, 0, sizeof(got));
		assert_int_equal(kvm_probe(&limits), 0);
		assert_int_equal(kvm_probe_gics(48, &got, NULL), 0);
		assert_true(got.v2 && got.v3 && got.its);
		assert_int_equal(limits.memslots, without.memslots);
		assert_int_equal(limits.readonly_slots, without.readonly_slots);
		assert_int_equal(limits.vcpus, without.vcpus);
		assert_int_equal(limits.ipa_bits, without.ipa_bits);
		assert_int_equal(limits.nisv, without.nisv);
		assert_int_equal(limits.system_suspend, without.system_suspend);
		assert_int_equal(limits.cpu_features, without.cpu_features);
		assert_int_equal(calls, all + 1);
	}
	calls = 0;
	interrupt_at = 1;
	assert_int_equal(kvm_ioctl_value(3, KVM_RUN, 0), -EINTR);
	/* Nor does memory stay that was to go. */
	fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 4096), 0);
	calls = 0;
	assert_int_equal(kvm_kernel.punch(fd, 0, 4096), 0);
	assert_int_equal(calls, 2);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(why_there_is_no_kvm, begin, finish),
		cmocka_unit_test_setup_teardown(what_kvm_does_not_know_is_none, begin, finish),
		cmocka_unit_test_setup_teardown(limits_are_what_kvm_says, begin, finish),
		cmocka_unit_test_setup_teardown(gics_of_a_vm, begin, finish),
		cmocka_unit_test_setup_teardown(features_by_capability, begin, finish),
		cmocka_unit_test(the_kernels_calls),
		cmocka_unit_test_setup_teardown(a_signal_changes_no_answer, begin, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
