/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What <linux/kvm.h> includes, as it is on arm64, as far as hyp/ uses it: so a machine of another
 * kind can compile the files of vCPUs, and try them on a KVM that is played. Names, numbers and layouts
 * are the kernel's (Documentation/virt/kvm/api.rst, 4.68 and on; devices/arm-vgic.rst, vcpu.rst).
 */
#ifndef SLUICE_TESTS_UNIT_ARM64_ASM_KVM_H
#define SLUICE_TESTS_UNIT_ARM64_ASM_KVM_H

#include <linux/types.h>

#define __KVM_HAVE_VCPU_EVENTS

/* Registers. */
enum { KVM_SPSR_EL1, KVM_NR_SPSR = 5 };

struct kvm_regs {
	struct {
		__u64 regs[31], sp, pc, pstate;
	} regs;
	__u64 sp_el1, elr_el1, spsr[KVM_NR_SPSR];
	__u64 vregs[32][2] __attribute__((aligned(16)));
	__u32 fpsr, fpcr, reserved[2];
};

#define KVM_REG_ARM_CORE (0x0010 << 16)
#define ARM64_SYS_REG(op0, op1, crn, crm, op2)                                                     \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | 0x0013 << 16 | (op0) << 14 | (op1) << 11 |             \
		(crn) << 7 | (crm) << 3 | (op2))

/* vCPUs. */
struct kvm_vcpu_init {
	__u32 target, features[7];
};

#define KVM_ARM_VCPU_POWER_OFF	     0
#define KVM_ARM_VCPU_PSCI_0_2	     2
#define KVM_ARM_VCPU_PMU_V3	     3
#define KVM_ARM_VCPU_SVE	     4
#define KVM_ARM_VCPU_PTRAUTH_ADDRESS 5
#define KVM_ARM_VCPU_PTRAUTH_GENERIC 6

struct kvm_vcpu_events {
	struct {
		__u8 serror_pending, serror_has_esr, ext_dabt_pending, pad[5];
		__u64 serror_esr;
	} exception;
	__u32 reserved[12];
};

#define KVM_ARM_VCPU_PMU_V3_CTRL 0
#define KVM_ARM_VCPU_PMU_V3_IRQ	 0
#define KVM_ARM_VCPU_PMU_V3_INIT 1
#define KVM_ARM_VCPU_PVTIME_CTRL 2
#define KVM_ARM_VCPU_PVTIME_IPA	 0

/* Parts of struct kvm_run and of what hyp/ does not use. */
struct kvm_debug_exit_arch {
	__u32 hsr, hsr_high;
	__u64 far;
};
struct kvm_sync_regs {
	__u64 device_irq_level;
};
struct kvm_guest_debug_arch {
	__u64 registers[4][16];
};

/* The GIC. */
#define KVM_VGIC_V2_ADDR_TYPE_DIST	    0
#define KVM_VGIC_V2_ADDR_TYPE_CPU	    1
#define KVM_VGIC_V3_ADDR_TYPE_DIST	    2
#define KVM_VGIC_ITS_ADDR_TYPE		    4
#define KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION 5
#define KVM_DEV_ARM_VGIC_GRP_ADDR	    0
#define KVM_DEV_ARM_VGIC_GRP_NR_IRQS	    3
#define KVM_DEV_ARM_VGIC_GRP_CTRL	    4
#define KVM_DEV_ARM_VGIC_CTRL_INIT	    0
#define KVM_ARM_IRQ_TYPE_SHIFT		    24
#define KVM_ARM_IRQ_TYPE_SPI		    1

#endif
