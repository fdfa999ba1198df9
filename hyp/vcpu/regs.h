/* SPDX-License-Identifier: Apache-2.0 */
/* Names of a vCPU's registers for KVM_{GET,SET}_ONE_REG (arm64 only), as hyp/ uses them. */
#ifndef SLUICE_HYP_VCPU_REGS_H
#define SLUICE_HYP_VCPU_REGS_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/kvm/kvm.h"

#define REG_CORE(field)                                                                            \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |                                     \
		(offsetof(struct kvm_regs, field) / sizeof(uint32_t)))

#define REG_X0	     REG_CORE(regs.regs[0])
#define REG_X1	     REG_CORE(regs.regs[1])
#define REG_X2	     REG_CORE(regs.regs[2])
#define REG_PC	     REG_CORE(regs.pc)
#define REG_PSTATE   REG_CORE(regs.pstate)
#define REG_ELR_EL1  REG_CORE(elr_el1)
#define REG_SPSR_EL1 REG_CORE(spsr[KVM_SPSR_EL1])

/* CNTVCT_EL0; KVM has its number and that of CNTV_CVAL_EL0 the wrong way round (api.rst, 4.68). */
#define REG_TIMER_COUNT ARM64_SYS_REG(3, 3, 14, 3, 2)

#define REG_SCTLR_EL1 ARM64_SYS_REG(3, 0, 1, 0, 0)
#define REG_TTBR0_EL1 ARM64_SYS_REG(3, 0, 2, 0, 0)
#define REG_TTBR1_EL1 ARM64_SYS_REG(3, 0, 2, 0, 1)
#define REG_TCR_EL1   ARM64_SYS_REG(3, 0, 2, 0, 2)
#define REG_ESR_EL1   ARM64_SYS_REG(3, 0, 5, 2, 0)
#define REG_FAR_EL1   ARM64_SYS_REG(3, 0, 6, 0, 0)

#define REG_SCTLR_EL2 ARM64_SYS_REG(3, 4, 1, 0, 0)
#define REG_HCR_EL2   ARM64_SYS_REG(3, 4, 1, 1, 0)
#define REG_TTBR0_EL2 ARM64_SYS_REG(3, 4, 2, 0, 0)
#define REG_TTBR1_EL2 ARM64_SYS_REG(3, 4, 2, 0, 1)
#define REG_TCR_EL2   ARM64_SYS_REG(3, 4, 2, 0, 2)
#define REG_SPSR_EL2  ARM64_SYS_REG(3, 4, 4, 0, 0)
#define REG_ELR_EL2   ARM64_SYS_REG(3, 4, 4, 0, 1)
#define REG_ESR_EL2   ARM64_SYS_REG(3, 4, 5, 2, 0)
#define REG_FAR_EL2   ARM64_SYS_REG(3, 4, 6, 0, 0)
#define REG_VBAR_EL2  ARM64_SYS_REG(3, 4, 12, 0, 0)
#define REG_HCRX_EL2  ARM64_SYS_REG(3, 4, 1, 2, 2)
#define REG_VTTBR_EL2 ARM64_SYS_REG(3, 4, 2, 1, 0)
#define REG_VTCR_EL2  ARM64_SYS_REG(3, 4, 2, 1, 2)

static inline int reg_get(int vcpu_fd, uint64_t id, uint64_t *ret)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)ret };

	return kvm_ioctl(vcpu_fd, KVM_GET_ONE_REG, &reg);
}

static inline int reg_set(int vcpu_fd, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return kvm_ioctl(vcpu_fd, KVM_SET_ONE_REG, &reg);
}

#endif
