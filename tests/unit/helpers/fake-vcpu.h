/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU of KVM's on arm64, as the files of hyp/ that handle one see it: registers, and an abort that
 * KVM_RUN delivers as the architecture does (Arm ARM, D1.3), without running anything else. It is the
 * seam's ioctl; the seam's mappings stay the kernel's. A call fails when asked to.
 */
#ifndef SLUICE_TESTS_UNIT_FAKE_VCPU_H
#define SLUICE_TESTS_UNIT_FAKE_VCPU_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_VCPU_FD  1001
#define FAKE_OTHER_FD 1002 /* another vCPU, of which KVM only says whether it is off, and runs it */

/* A register that hyp/ has no use for. */
#define FAKE_VBAR_EL1 ARM64_SYS_REG(3, 0, 12, 0, 0)

struct fake_vcpu {
	struct fake_register {
		uint64_t id, value;
	} registers[64];
	unsigned count;
	struct kvm_run run;
	bool el2; /* it has EL2, and aborts go there as its registers say */

	uint64_t far; /* of the access that failed: where the abort says it went */
	bool pending; /* KVM_SET_VCPU_EVENTS asked for an abort */
	bool misrouted; /* ... that would leave for EL2 while the vCPU is not loaded: no KVM takes that well */
	unsigned runs;	       /* that were to exit at once */
	int (*enter)(void);    /* the others, which run the guest */
	void (*running)(void); /* in KVM_RUN, if not NULL */

	struct kvm_vcpu_init init; /* of the last KVM_ARM_VCPU_INIT */
	struct kvm_vcpu_init made; /* the first: KVM of before Linux 6.2 refuses other features, EINVAL */
	unsigned initialised;	   /* so often */
	uint32_t mp_state, other_mp_state;
	struct kvm_run other_run;
	int (*enter_other)(void);
	unsigned
		refused_inits; /* so many more are refused with EINVAL, as on a host's CPU of another kind */

	unsigned calls;	  /* but for KVM_RUN, which never fails here */
	unsigned fail_at; /* this call fails (counted from 1 since the last reset); 0: none */
};

extern struct fake_vcpu fake_vcpu;

/* Starts anew, with every register that hyp/vcpu/regs.h names but HCRX_EL2, and puts the fake in force. */
void fake_vcpu_install(bool el2);
/* A register, which must be there, or is added. */
uint64_t fake_vcpu_get(uint64_t id);
void fake_vcpu_set(uint64_t id, uint64_t value);

#endif
