/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose fault is it? A guest's access that reached neither memory nor device is a stray access,
 * the guest's: it gets a synchronous external abort, as from a bus with nothing there. If the
 * block is plugged it is the host's: the guest must not see it, and the machine stops with the
 * cause. If the map changed since the vCPU entered, the access is simply tried again.
 *
 * On arm64 EFAULT from KVM_RUN comes without an address; FAR_EL1 has it once an abort is injected.
 * So the abort is injected first, committed by a KVM_RUN that exits at once, and taken back by
 * restoring the registers where it turns out that the guest is not to blame.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "hyp/addrspace.h"
#include "hyp/guestmem.h"
#include "hyp/kvm.h"
#include "hyp/regs.h"
#include "hyp/slots.h"
#include "hyp/stage1.h"
#include "hyp/stray.h"
#include "hyp/util.h"
#include "hyp/vcpu-internal.h"
#include "hyp/window.h"

/*
 * How often in a row an access is tried again before a verdict that cannot be taken back: that the
 * guest's tables no longer tell its address, or that the host has no memory. The walk comes after
 * the fact, and another vCPU may have changed the tables in between.
 */
#define RETRIES 100

/* What stands at a guest-physical address. */
struct place {
	bool owned; /* the guest may use it now; `where` says nothing then */
	enum stray_where where;
	const char *window;
};

static struct place look_up(const struct guestmem *mem, uint64_t gpa)
{
	for (size_t i = 0; i < mem->count; i++) {
		const struct guestmem_range *range = &mem->ranges[i];
		struct place place = { 0 };

		if (gpa < range->gpa || gpa - range->gpa >= range->size)
			continue;
		place.owned = true;
		if (!range->window)
			return place;
		place.window = window_config(range->window)->name;
		switch (window_lookup(range->window, gpa)) {
		case WINDOW_BLOCK_PLUGGED:
			return place;
		case WINDOW_BLOCK_UNPLUGGED:
			place.where = STRAY_BLOCK;
			break;
		default:
			place.where = STRAY_SLOT;
			break;
		}
		place.owned = false;
		return place;
	}
	return (struct place){ .where = STRAY_NOWHERE };
}

static bool read_table(void *opaque, uint64_t gpa, uint64_t *ret)
{
	const struct guestmem *mem = opaque;

	for (size_t i = 0; i < mem->count; i++) {
		const struct guestmem_range *range = &mem->ranges[i];

		if (gpa < range->gpa || gpa - range->gpa > range->size - sizeof(*ret))
			continue;
		if (range->window)
			return window_peek(range->window, gpa, ret, sizeof(*ret)) == 0;
		return addrspace_peek(range->hva + (gpa - range->gpa), ret, sizeof(*ret)) == 0;
	}
	return false;
}

static int inject_abort(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };
	int err = kvm_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);

	/* KVM before 7.x would complete an MMIO read at the next entry, and skip an instruction. */
	vcpu->run->exit_reason = 0;
	return err;
}

static enum vcpu_next stray(
	struct vcpu *vcpu, uint64_t gpa, const struct place *place, enum stray_kind kind)
{
	struct strays *strays = vcpu->vcpus->config.strays;
	struct stray stray = { vcpu->index, gpa, kind, place->where, place->window };
	char text[200];

	strays_add(strays, &stray);
	if (strays->policy == STRAY_ABORT)
		return VCPU_CONTINUE;
	stray_print(&stray, text, sizeof(text));
	return vcpu_tell(
		vcpu, strays->policy == STRAY_PAUSE ? VCPUS_PAUSE : VCPUS_STOP, "%s", text);
}

enum vcpu_next fault_at(struct vcpu *vcpu, uint64_t gpa, bool write)
{
	struct place place = look_up(vcpu->vcpus->config.mem, gpa);

	if (place.owned) { /* plugged after the guest had touched it: the access is made anew */
		vcpu->run->exit_reason = 0;
		return VCPU_CONTINUE;
	}
	if (inject_abort(vcpu) != 0)
		return vcpu_tell(vcpu, VCPUS_ERROR, "vCPU %u: cannot inject an abort", vcpu->index);
	return stray(vcpu, gpa, &place, write ? STRAY_STORE : STRAY_LOAD);
}

/* What an injected abort overwrites: first what every vCPU has, then what is of EL2. */
static const uint64_t abort_registers[] = {
	REG_PC,
	REG_PSTATE,
	REG_ELR_EL1,
	REG_SPSR_EL1,
	REG_ESR_EL1,
	REG_FAR_EL1,
	REG_ELR_EL2,
	REG_SPSR_EL2,
	REG_ESR_EL2,
	REG_FAR_EL2,
};
enum { OLD_PSTATE = 1, WITHOUT_EL2 = 6 };

static bool has_el2(const struct vcpu *vcpu)
{
	return vcpu->vcpus->config.features & 1u << CPU_NESTED;
}

static size_t abort_register_count(const struct vcpu *vcpu)
{
	return has_el2(vcpu) ? ARRAY_SIZE(abort_registers) : WITHOUT_EL2;
}

/* Injects an abort and makes it visible in the registers, whose old values go to `ret_old`. */
static int inject_and_commit(struct vcpu *vcpu, uint64_t ret_old[])
{
	int err = 0;

	for (size_t i = 0; i < abort_register_count(vcpu) && !err; i++)
		err = reg_get(vcpu->fd, abort_registers[i], &ret_old[i]);
	if (!err)
		err = inject_abort(vcpu);
	if (err)
		return err;
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	kvm_ioctl_value(vcpu->fd, KVM_RUN, 0);
	/* A kick may have been meant by that flag: run() looks at the goal before it enters again. */
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	return 0;
}

/* The translation regimes that a vCPU may have been in. */
static const struct regime {
	uint64_t far, sctlr, tcr, ttbr0, ttbr1;
} regimes[] = {
	{ REG_FAR_EL1, REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, REG_TTBR1_EL1 },
	{ REG_FAR_EL2, REG_SCTLR_EL2, REG_TCR_EL2, REG_TTBR0_EL2, REG_TTBR1_EL2 },
};

/*
 * Where the vCPU has EL2, a hypervisor and its processes (HCR_EL2.TGE) use EL2's tables. A guest of
 * the guest is behind a stage 2 of the guest's as well, so NULL: its addresses are none of ours.
 */
static const struct regime *regime_of(const struct vcpu *vcpu, uint64_t pstate)
{
	enum { EL_MASK = 0xc, EL2 = 0x8, TGE = 1 << 27 };
	uint64_t hcr = 0;

	if (!has_el2(vcpu))
		return &regimes[0];
	if ((pstate & EL_MASK) == EL2)
		return &regimes[1];
	return reg_get(vcpu->fd, REG_HCR_EL2, &hcr) || !(hcr & TGE) ? NULL : &regimes[1];
}

static enum stage1_result find_gpa(struct vcpu *vcpu, uint64_t pstate, uint64_t *ret_gpa)
{
	const struct regime *regime = regime_of(vcpu, pstate);
	struct stage1 stage1 = {
		.read = read_table,
		.opaque = (void *)(uintptr_t)vcpu->vcpus->config.mem,
	};
	uint64_t far = 0;

	if (!regime || reg_get(vcpu->fd, regime->far, &far) ||
		reg_get(vcpu->fd, regime->sctlr, &stage1.sctlr) ||
		reg_get(vcpu->fd, regime->tcr, &stage1.tcr) ||
		reg_get(vcpu->fd, regime->ttbr0, &stage1.ttbr0) ||
		reg_get(vcpu->fd, regime->ttbr1, &stage1.ttbr1))
		return STAGE1_UNMAPPED;
	*ret_gpa = far;
	return stage1_walk(&stage1, far, ret_gpa);
}

enum vcpu_next fault_unknown(struct vcpu *vcpu)
{
	struct vcpus *vcpus = vcpu->vcpus;
	uint64_t old[ARRAY_SIZE(abort_registers)], gpa = 0;
	struct place place = { .where = STRAY_UNMAPPED };
	enum stage1_result walk;
	bool changed;

	/* A change since the vCPU entered explains it; and the next try tells better. */
	if (atomic_load(&vcpus->config.slots->generation) != vcpu->generation)
		return VCPU_CONTINUE;
	if (inject_and_commit(vcpu, old) != 0)
		return vcpu_tell(vcpu, VCPUS_ERROR, "vCPU %u: cannot inject an abort", vcpu->index);
	walk = find_gpa(vcpu, old[OLD_PSTATE], &gpa);
	if (walk != STAGE1_UNMAPPED)
		place = look_up(vcpus->config.mem, gpa);
	changed = atomic_load(&vcpus->config.slots->generation) != vcpu->generation;
	vcpu->retries = changed ? 0 : vcpu->retries + 1;

	if (walk != STAGE1_UNMAPPED && !place.owned && !changed) {
		vcpu->retries = 0;
		return stray(vcpu, gpa, &place, STRAY_ACCESS);
	}
	if (walk == STAGE1_UNMAPPED && vcpu->retries > RETRIES)
		return stray(vcpu, gpa, &place, STRAY_ACCESS);
	for (size_t i = 0; i < abort_register_count(vcpu); i++)
		if (reg_set(vcpu->fd, abort_registers[i], old[i]) != 0)
			return vcpu_tell(vcpu, VCPUS_ERROR, "vCPU %u: cannot restore registers",
				vcpu->index);
	if (vcpu->retries <= RETRIES)
		return VCPU_CONTINUE;
	return vcpu_tell(vcpu, VCPUS_HOST_FAULT,
		"vCPU %u: the host has no memory for %s of the guest's at 0x%" PRIx64
		"%s%s (out of memory, a cgroup's limit, huge pages used up, or a file cut short)",
		vcpu->index, place.window ? "a plugged block" : "RAM", gpa,
		place.window ? " in " : "", place.window ? place.window : "");
}
