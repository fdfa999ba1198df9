/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out whether the guest or the host caused a fault. If the access reached neither memory nor a device, it is a
 * stray access of the guest, which gets a synchronous external abort, as from a bus with nothing there. If the block is
 * plugged, the host could not provide the memory: the guest must not see that, and the machine stops with the cause. If
 * the map has changed since the vCPU entered (slots->generation), the access is tried again.
 *
 * On arm64 EFAULT from KVM_RUN comes without an address; FAR_ELx has it once an abort is injected (at EL2, if a guest
 * hypervisor asks for its guests' aborts). So the abort is injected first, and committed by a KVM_RUN with
 * immediate_exit, which writes it into the registers and runs nothing. The guest's tables, walked from FAR (walk.h),
 * lead to the block; for a guest of the guest, so does its hypervisor's stage 2 behind them. If the guest is not to
 * blame, the registers that the abort overwrote are written back.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/mmio.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/guestmem.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"
#include "hyp/vcpu/regs.h"
#include "hyp/vcpu/stray.h"
#include "hyp/vcpu/vcpu-internal.h"
#include "hyp/vcpu/walk.h"

/*
 * How often in a row an access is retried before a final verdict: the guest's tables no longer map its address, or the
 * host has no memory. The walk comes after the fault, and another vCPU may have changed the tables in between.
 */
#define RETRIES 100

/* What is at a guest-physical address. */
struct place {
	bool owned; /* the guest may use it now; then `where` is not set */
	enum stray_where where;
	const char *window, *device;
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

bool fault_is_memory(const struct guestmem *mem, uint64_t gpa)
{
	return look_up(mem, gpa).owned;
}

/* The region there, if the guest can read memory of its own in it. */
static const struct mmio_region *shown_at(const struct mmio_bus *bus, uint64_t gpa)
{
	const struct mmio_region *region = mmio_bus_find(bus, gpa);

	return region && region->memory ? region : NULL;
}

static bool read_table(void *opaque, uint64_t gpa, uint64_t *ret)
{
	const struct vcpus_config *config = opaque;
	const struct guestmem *mem = config->mem;
	const struct mmio_region *shown = shown_at(config->bus, gpa);

	for (size_t i = 0; i < mem->count; i++) {
		const struct guestmem_range *range = &mem->ranges[i];

		if (gpa < range->gpa || gpa - range->gpa > range->size - sizeof(*ret))
			continue;
		if (range->window)
			return window_peek(range->window, gpa, ret, sizeof(*ret)) == 0;
		return addrspace_peek(range->hva + (gpa - range->gpa), ret, sizeof(*ret)) == 0;
	}
	/* UEFI's first tables are in its own memory. */
	return shown && gpa - shown->gpa <= shown->size - sizeof(*ret) &&
	       addrspace_peek(shown->memory + (gpa - shown->gpa), ret, sizeof(*ret)) == 0;
}

/* Registers that an injected abort overwrites: those of every vCPU, then those of EL2. */
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
enum { OLD_PC, OLD_PSTATE, WITHOUT_EL2 = 6 };

static bool has_el2(const struct vcpu *vcpu)
{
	return vcpu->vcpus->config.features & 1u << CPU_NESTED;
}

static size_t abort_register_count(const struct vcpu *vcpu)
{
	return has_el2(vcpu) ? ARRAY_SIZE(abort_registers) : WITHOUT_EL2;
}

enum { EL_MASK = 0xc, EL2 = 0x8, TGE = 1 << 27 };

static int pend_abort(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };
	int err = kvm_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);

	/* KVM before 7.x would complete an MMIO read at the next entry, and skip an instruction. */
	vcpu->run->exit_reason = 0;
	return err;
}

/* Makes KVM write the pending abort into the registers, without running the guest. */
static void commit(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	kvm_ioctl_value(vcpu->fd, KVM_RUN, 0);
	/* A kick may have set the flag too: run() checks vcpus->park before it enters again. */
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

/* --- aborts of a guest of the guest that its hypervisor takes (Arm ARM, D1.3.6, and D19: HCR_EL2.TEA, HCRX_EL2.TMEA) --- */

static const struct route {
	uint64_t reg, bit;
} routes[] = {
	{ REG_HCR_EL2, UINT64_C(1) << 37 },
	{ REG_HCRX_EL2, UINT64_C(1) << 19 },
};

/* Whether a vCPU with EL2 is in a guest of the guest, one of whose aborts may go to EL2. */
static bool goes_to_el2(const struct vcpu *vcpu, uint64_t ret_old[])
{
	uint64_t pstate = 0;
	bool routed = false;

	if (!has_el2(vcpu) || reg_get(vcpu->fd, REG_PSTATE, &pstate) || (pstate & EL_MASK) == EL2)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		ret_old[i] = 0; /* a register that is not there */
		reg_get(vcpu->fd, routes[i].reg, &ret_old[i]);
		routed = routed || ret_old[i] & routes[i].bit;
	}
	return routed && !(ret_old[0] & TGE);
}

/*
 * KVM of 7.x faults in the host kernel if it is asked for an abort to another exception level while the vCPU is not
 * loaded (KVM_SET_VCPU_EVENTS, kvm_inject_nested()). So the abort is injected at EL1, whose FAR has its address, and
 * then moved to EL2 by hand.
 */
static int abort_at_el2(struct vcpu *vcpu, const uint64_t old_routes[])
{
	enum { EC_DABT_LOWER = 0x24, IL = 1 << 25, FSC_EXTERNAL = 0x10, VECTOR_LOWER = 0x400 };
	enum { EL2H_MASKED = 0x3c9, PAN = 1 << 22, SPAN = 1 << 23 };
	uint64_t old[ARRAY_SIZE(abort_registers)], far = 0, vbar = 0, sctlr = 0;
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(old) && !err; i++)
		err = reg_get(vcpu->fd, abort_registers[i], &old[i]);
	for (size_t i = 0; i < ARRAY_SIZE(routes) && !err; i++)
		if (old_routes[i] & routes[i].bit)
			err = reg_set(vcpu->fd, routes[i].reg, old_routes[i] & ~routes[i].bit);
	if (!err)
		err = pend_abort(vcpu);
	if (err)
		return err;
	commit(vcpu);
	err = reg_get(vcpu->fd, REG_FAR_EL1, &far);
	for (size_t i = 0; i < ARRAY_SIZE(routes) && !err; i++)
		if (old_routes[i] & routes[i].bit)
			err = reg_set(vcpu->fd, routes[i].reg, old_routes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(old) && !err; i++)
		err = reg_set(vcpu->fd, abort_registers[i], old[i]);
	if (!err)
		err = reg_get(vcpu->fd, REG_VBAR_EL2, &vbar);
	if (!err)
		err = reg_get(vcpu->fd, REG_SCTLR_EL2, &sctlr);
	const uint64_t entry[][2] = {
		{ REG_ELR_EL2, old[OLD_PC] },
		{ REG_SPSR_EL2, old[OLD_PSTATE] },
		{ REG_ESR_EL2, (uint64_t)EC_DABT_LOWER << 26 | IL | FSC_EXTERNAL },
		{ REG_FAR_EL2, far },
		{ REG_PC, vbar + VECTOR_LOWER },
		{ REG_PSTATE, EL2H_MASKED | (sctlr & SPAN ? 0 : PAN) },
	};
	for (size_t i = 0; i < ARRAY_SIZE(entry) && !err; i++)
		err = reg_set(vcpu->fd, entry[i][0], entry[i][1]);
	return err;
}

/* The vCPU gets a synchronous external abort at its next entry. */
static int inject_abort(struct vcpu *vcpu)
{
	uint64_t old_routes[ARRAY_SIZE(routes)];

	return goes_to_el2(vcpu, old_routes) ? abort_at_el2(vcpu, old_routes) : pend_abort(vcpu);
}

static enum vcpu_next stray(
	struct vcpu *vcpu, uint64_t gpa, const struct place *place, enum stray_kind kind)
{
	struct strays *strays = vcpu->vcpus->config.strays;
	struct stray stray = { vcpu->index, gpa, kind, place->where, place->window, place->device };
	char text[200];

	strays_add(strays, &stray);
	if (strays->policy == STRAY_ABORT)
		return VCPU_CONTINUE;
	stray_print(&stray, text, sizeof(text));
	return vcpu_report(
		vcpu, strays->policy == STRAY_PAUSE ? VCPUS_PAUSE : VCPUS_STOP, "%s", text);
}

/* A base register that the instruction would have changed stays as it is: KVM does not tell it. */
static int pass_over(struct vcpu *vcpu)
{
	uint64_t pc;
	int err = reg_get(vcpu->fd, REG_PC, &pc);

	if (!err)
		err = reg_set(vcpu->fd, REG_PC, pc + 4);
	if (!err)
		vcpu->run->exit_reason = 0;
	return err;
}

enum vcpu_next fault_at(struct vcpu *vcpu, uint64_t gpa, bool write)
{
	struct place place = look_up(vcpu->vcpus->config.mem, gpa);
	const struct mmio_region *region = mmio_bus_find(vcpu->vcpus->config.bus, gpa);

	if (region) {
		place.where = STRAY_REGISTERS;
		place.device = region->name;
	}
	if (place.owned) { /* plugged since the access: the guest repeats it */
		vcpu->run->exit_reason = 0;
		return VCPU_CONTINUE;
	}
	if (region && mmio_bus_ignores(vcpu->vcpus->config.bus, gpa, write) && !pass_over(vcpu))
		return VCPU_CONTINUE;
	if (inject_abort(vcpu) != 0)
		return vcpu_report(
			vcpu, VCPUS_ERROR, "vCPU %u: cannot inject an abort", vcpu->index);
	return stray(vcpu, gpa, &place, write ? STRAY_STORE : STRAY_LOAD);
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
	commit(vcpu);
	return 0;
}

/* The translation regimes that a vCPU may have been in. */
static const struct regime {
	uint64_t sctlr, tcr, ttbr0, ttbr1;
} regimes[] = {
	{ REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, REG_TTBR1_EL1 },
	{ REG_SCTLR_EL2, REG_TCR_EL2, REG_TTBR0_EL2, REG_TTBR1_EL2 },
};

/* Reads a descriptor of a guest of the guest, whose addresses pass its hypervisor's stage 2. */
static bool read_below(void *opaque, uint64_t ipa, uint64_t *ret)
{
	const struct stage2 *stage2 = opaque;
	uint64_t gpa;

	return stage2_walk(stage2, ipa, &gpa) == WALK_MAPPED &&
	       stage2->memory.read(stage2->memory.opaque, gpa, ret);
}

/* The virtual address, from FAR of the level that took the abort: EL1, or a hypervisor's EL2 (HCR_EL2.TEA). */
static int faulting_address(struct vcpu *vcpu, uint64_t *ret)
{
	uint64_t pstate = 0;
	int err = reg_get(vcpu->fd, REG_PSTATE, &pstate);

	return err ? err
		   : reg_get(vcpu->fd, (pstate & EL_MASK) == EL2 ? REG_FAR_EL2 : REG_FAR_EL1, ret);
}

/*
 * If the vCPU has EL2, a hypervisor and its processes (HCR_EL2.TGE) use EL2's tables. A guest of the guest uses EL1's,
 * and behind these its hypervisor's stage 2.
 */
static enum walk_result find_gpa(struct vcpu *vcpu, uint64_t pstate, uint64_t *ret_gpa)
{
	const struct walk_memory memory = { .read = read_table, .opaque = &vcpu->vcpus->config };
	struct stage2 stage2 = { .memory = memory };
	struct stage1 stage1 = { .memory = memory };
	const struct regime *regime = &regimes[0];
	uint64_t ipa = 0, far = 0;
	bool below = has_el2(vcpu);

	if (below && (reg_get(vcpu->fd, REG_HCR_EL2, &stage2.hcr) ||
			     reg_get(vcpu->fd, REG_VTCR_EL2, &stage2.vtcr) ||
			     reg_get(vcpu->fd, REG_VTTBR_EL2, &stage2.vttbr)))
		return WALK_UNMAPPED;
	if (below && ((pstate & EL_MASK) == EL2 || stage2.hcr & TGE)) {
		below = false;
		regime = &regimes[1];
	}
	if (below)
		stage1.memory = (struct walk_memory){ .read = read_below, .opaque = &stage2 };
	if (faulting_address(vcpu, &far) || reg_get(vcpu->fd, regime->sctlr, &stage1.sctlr) ||
		reg_get(vcpu->fd, regime->tcr, &stage1.tcr) ||
		reg_get(vcpu->fd, regime->ttbr0, &stage1.ttbr0) ||
		reg_get(vcpu->fd, regime->ttbr1, &stage1.ttbr1))
		return WALK_UNMAPPED;
	if (!below) {
		*ret_gpa = far;
		return stage1_walk(&stage1, far, ret_gpa);
	}
	/* `ipa` is the translated address, or that of a descriptor that could not be read. */
	if (stage1_walk(&stage1, far, &ipa) == WALK_UNMAPPED)
		return WALK_UNMAPPED;
	return stage2_walk(&stage2, ipa, ret_gpa);
}

enum vcpu_next fault_unknown(struct vcpu *vcpu)
{
	struct vcpus *vcpus = vcpu->vcpus;
	uint64_t old[ARRAY_SIZE(abort_registers)], gpa = 0;
	struct place place = { .where = STRAY_UNMAPPED };
	const struct mmio_region *shown;
	enum walk_result walk;
	bool changed;

	/* The map has changed since the vCPU entered, which may explain the fault: try again. */
	if (atomic_load(&vcpus->config.slots->generation) != vcpu->generation)
		return VCPU_CONTINUE;
	if (inject_and_commit(vcpu, old) != 0)
		return vcpu_report(
			vcpu, VCPUS_ERROR, "vCPU %u: cannot inject an abort", vcpu->index);
	walk = find_gpa(vcpu, old[OLD_PSTATE], &gpa);
	if (walk != WALK_UNMAPPED)
		place = look_up(vcpus->config.mem, gpa);
	shown = walk != WALK_UNMAPPED ? shown_at(vcpus->config.bus, gpa) : NULL;
	place.owned |= shown != NULL;
	changed = atomic_load(&vcpus->config.slots->generation) != vcpu->generation;
	vcpu->retries = changed ? 0 : vcpu->retries + 1;

	if (walk != WALK_UNMAPPED && !place.owned && !changed) {
		vcpu->retries = 0;
		return stray(vcpu, gpa, &place, STRAY_ACCESS);
	}
	if (walk == WALK_UNMAPPED && vcpu->retries > RETRIES)
		return stray(vcpu, gpa, &place, STRAY_ACCESS);
	for (size_t i = 0; i < abort_register_count(vcpu); i++)
		if (reg_set(vcpu->fd, abort_registers[i], old[i]) != 0)
			return vcpu_report(vcpu, VCPUS_ERROR, "vCPU %u: cannot restore registers",
				vcpu->index);
	if (vcpu->retries <= RETRIES)
		return VCPU_CONTINUE;
	return vcpu_report(vcpu, VCPUS_HOST_FAULT,
		"vCPU %u: the host has no memory for %s of the guest's at 0x%" PRIx64
		"%s%s (out of memory, a cgroup's limit, huge pages used up, or a file cut short)",
		vcpu->index,
		shown	       ? shown->name
		: place.window ? "a plugged block"
			       : "RAM",
		gpa, place.window ? " in " : "", place.window ? place.window : "");
}
