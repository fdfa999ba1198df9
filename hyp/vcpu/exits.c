/* SPDX-License-Identifier: Apache-2.0 */
/* What a vCPU does when KVM_RUN returns: a table with one small handler for each exit reason. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hyp/base/util.h"
#include "hyp/kvm/mmio.h"
#include "hyp/vcpu/vcpu-internal.h"

#ifndef KVM_EXIT_ARM_LDST64B
#define KVM_EXIT_ARM_LDST64B 41
#endif

enum vcpu_next vcpu_report(struct vcpu *vcpu, enum vcpus_event event, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	vcpu->vcpus->config.event(vcpu->vcpus->config.opaque, event, text);
	return VCPU_HOLD;
}

static enum vcpu_next exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t data = 0;

	if (run->mmio.len > sizeof(data))
		return fault_at(vcpu, run->mmio.phys_addr, run->mmio.is_write);
	if (run->mmio.is_write)
		memcpy(&data, run->mmio.data, run->mmio.len);
	if (!mmio_bus_access(vcpu->vcpus->config.bus, run->mmio.phys_addr, run->mmio.len,
		    run->mmio.is_write, &data))
		return fault_at(vcpu, run->mmio.phys_addr, run->mmio.is_write);
	if (!run->mmio.is_write)
		memcpy(run->mmio.data, &data, run->mmio.len);
	return VCPU_CONTINUE;
}

/*
 * A load or store without a syndrome (pair, writeback) outside every slot, or a store into a page of registers.h. LD64B
 * and ST64B outside every slot (KVM of 7.x) are laid out in the same way.
 */
static enum vcpu_next exit_nisv(struct vcpu *vcpu)
{
	bool write = vcpu->run->arm_nisv.esr_iss >> 6 & 1; /* ISS.WnR */

	return fault_at(vcpu, vcpu->run->arm_nisv.fault_ipa, write);
}

enum vcpu_next vcpu_cannot(struct vcpu *vcpu, const char *what, int err)
{
	return vcpu_report(
		vcpu, VCPUS_ERROR, "vCPU %u: cannot %s: %s", vcpu->index, what, strerror(-err));
}

static enum vcpu_next exit_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return vcpu_report(vcpu, VCPUS_POWER_OFF, "the guest powered off");
	case KVM_SYSTEM_EVENT_RESET:
		return vcpu_report(vcpu, VCPUS_RESET, "the guest asked for a reset");
	case KVM_SYSTEM_EVENT_SUSPEND:
		return vcpu_suspend(vcpu);
	case KVM_SYSTEM_EVENT_WAKEUP:
		return vcpu_wake(vcpu);
	default:
		return vcpu_report(vcpu, VCPUS_ERROR, "vCPU %u: unexpected system event %u",
			vcpu->index, vcpu->run->system_event.type);
	}
}

static enum vcpu_next exit_fail_entry(struct vcpu *vcpu)
{
	return vcpu_report(vcpu, VCPUS_ERROR, "vCPU %u: KVM cannot enter the guest (reason 0x%llx)",
		vcpu->index,
		(unsigned long long)vcpu->run->fail_entry.hardware_entry_failure_reason);
}

static enum vcpu_next exit_internal_error(struct vcpu *vcpu)
{
	return vcpu_report(vcpu, VCPUS_ERROR, "vCPU %u: KVM internal error (suberror %u)",
		vcpu->index, vcpu->run->internal.suberror);
}

static enum vcpu_next exit_intr(struct vcpu *vcpu)
{
	return VCPU_CONTINUE;
}

static enum vcpu_next (*const exits[])(struct vcpu *vcpu) = {
	[KVM_EXIT_INTR] = exit_intr,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_ARM_NISV] = exit_nisv,
	[KVM_EXIT_ARM_LDST64B] = exit_nisv,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
};

enum vcpu_next exit_dispatch(struct vcpu *vcpu)
{
	uint32_t reason = vcpu->run->exit_reason;

	if (reason >= ARRAY_SIZE(exits) || !exits[reason])
		return vcpu_report(
			vcpu, VCPUS_ERROR, "vCPU %u: unexpected KVM exit %u", vcpu->index, reason);
	return exits[reason](vcpu);
}
