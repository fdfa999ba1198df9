/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam to the kernel: the calls that change what a guest may reach go through it. Tests replace it and nothing
 * else. Results are 0 or more, or -errno.
 */
#ifndef SLUICE_HYP_KVM_KVM_H
#define SLUICE_HYP_KVM_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm_seam {
	int (*ioctl)(int fd, unsigned long request, void *arg);
	/* A mapping at exactly `addr` (MAP_FIXED), or anywhere if it is NULL; fd -1: anonymous. */
	int (*map)(
		void *addr, size_t size, int prot, int flags, int fd, uint64_t offset, void **ret);
	/* Moves a mapping to exactly `to`, and replaces what is there. */
	int (*move)(void *from, size_t size, void *to);
	int (*unmap)(void *addr, size_t size);
	int (*protect)(void *addr, size_t size, int prot);
	int (*advise)(void *addr, size_t size, int advice);
	/* Frees the memory of a part of a file (FALLOC_FL_PUNCH_HOLE). */
	int (*punch)(int fd, uint64_t offset, uint64_t size);
};

/* The kernel's own. */
extern const struct kvm_seam kvm_kernel;
/* In force; a test points it elsewhere. */
extern const struct kvm_seam *kvm_seam;

/*
 * ioctl with a pointer or a number. It is repeated on EINTR, except KVM_RUN, whose EINTR is the caller's to handle.
 * KVM_CREATE_VM gives EINTR while any signal is pending (mm_take_all_locks()); SIGSTOP, a debugger and the
 * cgroup freezer count as one. The seam's mappings give EINTR only to a process that is being killed.
 */
int kvm_ioctl(int fd, unsigned long request, void *arg);
int kvm_ioctl_value(int fd, unsigned long request, unsigned long value);

/*
 * Opens /dev/kvm. -ENOENT: no such device (module, processor, or a host that is itself a guest);
 * -EACCES: its group; -ENOTSUP: a KVM whose API is not version 12.
 */
int kvm_open(void);

/* KVM_CHECK_EXTENSION of a KVM or VM descriptor; 0 if the kernel does not know it. */
int kvm_extension(int fd, unsigned capability);

/* Features that a vCPU may have if the host has them. */
enum cpu_feature {
	CPU_PMU,
	CPU_SVE,
	CPU_POINTER_AUTH,
	CPU_STOLEN_TIME,
	CPU_NESTED, /* EL2, for a hypervisor in the guest */
	CPU_FEATURES
};

/* Memory slots that are in none of hyp/memory's tables: their ids begin at kvm_limits.memslots. */
enum kvm_own_slot {
	KVM_SLOT_REGISTERS, /* registers.h */
	KVM_SLOT_FIRMWARE,  /* rom.h */
	KVM_SLOT_FLASH,	    /* the same */
	KVM_OWN_SLOTS
};

/* What this host's KVM offers. */
struct kvm_limits {
	unsigned memslots;     /* of a VM, less KVM_OWN_SLOTS */
	bool readonly_slots;   /* KVM_CAP_READONLY_MEM */
	unsigned vcpus;	       /* of a VM */
	unsigned ipa_bits;     /* guest-physical address bits; 0 if KVM does not say (x86-64) */
	bool nisv;	       /* KVM_CAP_ARM_NISV_TO_USER: exact addresses of stray pairs */
	bool system_suspend;   /* KVM_CAP_ARM_SYSTEM_SUSPEND */
	unsigned cpu_features; /* a bit 1 << enum cpu_feature each */
};

/* In-kernel interrupt controllers. */
struct kvm_gics {
	bool v2, v3;
	bool its; /* message-signalled interrupts of a GICv3 */
};

/* Opens /dev/kvm and asks. Errors as kvm_open(). */
int kvm_probe(struct kvm_limits *ret);

/*
 * Creates a VM with guest addresses of `ipa_bits`, as kvm_create_vm(), and asks which GICs it may have. The VM goes to
 * `ret_vm`, for a machine to use; if that is NULL it is closed. -errno if there can be no such VM.
 */
int kvm_probe_gics(unsigned ipa_bits, struct kvm_gics *ret, int *ret_vm);

/* A VM's descriptor, or -errno. KVM takes guest addresses of 32 bits and more; if it does not say, all have 40. */
int kvm_create_vm(int kvm_fd, unsigned ipa_bits);

#endif
