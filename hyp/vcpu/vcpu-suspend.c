/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYSTEM_SUSPEND (PSCI, DEN0022D.b, 5.19). KVM leaves the checks to us: the entry point must be in the guest's memory,
 * else the answer is INVALID_ADDRESS; every other CPU must be off, else DENIED. KVM says whether a vCPU is off only
 * while that vCPU is not in KVM_RUN, where one that is off waits too. So all are parked for the answer (vcpu.c).
 */
#include <errno.h>
#include <linux/psci.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "hyp/vcpu/regs.h"
#include "hyp/vcpu/vcpu-internal.h"

static int set_mp_state(struct vcpu *vcpu, uint32_t value)
{
	struct kvm_mp_state state = { .mp_state = value };

	return kvm_ioctl(vcpu->fd, KVM_SET_MP_STATE, &state);
}

static int answer(struct vcpu *vcpu, int64_t value)
{
	return reg_set(vcpu->fd, REG_X0, (uint64_t)value);
}

enum vcpu_next vcpu_suspend(struct vcpu *vcpu)
{
	uint64_t entry = 0;
	int err = reg_get(vcpu->fd, REG_X1, &entry);

	if (!err && entry % 4 == 0 && fault_is_memory(vcpu->vcpus->config.mem, entry)) {
		vcpu_ask_to_suspend(vcpu);
		return VCPU_HOLD;
	}
	if (!err)
		err = answer(vcpu, PSCI_RET_INVALID_ADDRESS);
	return err ? vcpu_cannot(vcpu, "suspend", err) : VCPU_CONTINUE;
}

/* -EBUSY: another CPU is on. */
static int check_others_off(const struct vcpu *vcpu)
{
	const struct vcpus *vcpus = vcpu->vcpus;

	for (unsigned i = 0; i < vcpus->config.count; i++) {
		struct kvm_mp_state state = { 0 };
		int err;

		if (&vcpus->vcpu[i] == vcpu)
			continue;
		err = kvm_ioctl(vcpus->vcpu[i].fd, KVM_GET_MP_STATE, &state);
		if (err || state.mp_state != KVM_MP_STATE_STOPPED)
			return err ? err : -EBUSY;
	}
	return 0;
}

/*
 * The parameters are still in the registers: x1 is where the vCPU resumes, as if reset, x2 what it finds in x0.
 * KVM waits for the interrupt that wakes it.
 */
int vcpu_answer_suspend(struct vcpu *vcpu)
{
	uint64_t entry = 0, context = 0;
	int err = check_others_off(vcpu);

	if (err == -EBUSY)
		return answer(vcpu, PSCI_RET_DENIED);
	if (!err)
		err = reg_get(vcpu->fd, REG_X1, &entry);
	if (!err)
		err = reg_get(vcpu->fd, REG_X2, &context);
	if (!err)
		err = vcpu_init(vcpu, false);
	if (!err)
		err = reg_set(vcpu->fd, REG_PC, entry);
	if (!err)
		err = reg_set(vcpu->fd, REG_X0, context);
	return err ? err : set_mp_state(vcpu, KVM_MP_STATE_SUSPENDED);
}

enum vcpu_next vcpu_wake(struct vcpu *vcpu)
{
	int err = set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE);

	return err ? vcpu_cannot(vcpu, "resume", err) : VCPU_CONTINUE;
}

static int init_here(struct vcpu *vcpu, bool first)
{
	struct kvm_vcpu_init preferred = { 0 };
	int err = first ? kvm_ioctl(vcpu->vcpus->vm_fd, KVM_ARM_PREFERRED_TARGET, &preferred) : 0;

	if (err)
		return err;
	if (first)
		vcpu->init.target = preferred.target;
	return kvm_ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &vcpu->init);
}

int vcpu_init(struct vcpu *vcpu, bool first)
{
	int err = kvm_ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &vcpu->init);
	int host_cpus = (int)sysconf(_SC_NPROCESSORS_CONF);
	cpu_set_t before;

	if (err != -EINVAL || sched_getaffinity(0, sizeof(before), &before))
		return err;
	for (int i = 0; i < host_cpus && i < CPU_SETSIZE && err == -EINVAL; i++) {
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(i, &one);
		if (!sched_setaffinity(0, sizeof(one), &one))
			err = init_here(vcpu, first);
	}
	sched_setaffinity(0, sizeof(before), &before);
	return err;
}
