/* SPDX-License-Identifier: Apache-2.0 */
/* The fake vCPU; see fake-vcpu.h. */
#include "tests/unit/helpers/fake-vcpu.h"

#include <errno.h>
#include <string.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/vcpu/regs.h"

#define HCR_TGE	   (UINT64_C(1) << 27)
#define HCR_TEA	   (UINT64_C(1) << 37)
#define HCRX_TMEA  (UINT64_C(1) << 19)
#define SCTLR_SPAN (UINT64_C(1) << 23)
#define PSTATE_PAN (UINT64_C(1) << 22)

struct fake_vcpu fake_vcpu;

static struct fake_register *find(uint64_t id)
{
	for (unsigned i = 0; i < fake_vcpu.count; i++)
		if (fake_vcpu.registers[i].id == id)
			return &fake_vcpu.registers[i];
	return NULL;
}

uint64_t fake_vcpu_get(uint64_t id)
{
	CHECK(find(id));
	return find(id)->value;
}

void fake_vcpu_set(uint64_t id, uint64_t value)
{
	struct fake_register *reg = find(id);

	if (!reg) {
		CHECK(fake_vcpu.count < ARRAY_SIZE(fake_vcpu.registers));
		reg = &fake_vcpu.registers[fake_vcpu.count++];
	}
	*reg = (struct fake_register){ id, value };
}

static bool is_at_el2(void)
{
	return (fake_vcpu_get(REG_PSTATE) & 0xc) == 8;
}

/* Whether EL2 takes an abort of an exception level below it. */
static bool el2_asks_for_it(void)
{
	return fake_vcpu.el2 &&
	       ((fake_vcpu_get(REG_HCR_EL2) & HCR_TEA) ||
		       (find(REG_HCRX_EL2) && find(REG_HCRX_EL2)->value & HCRX_TMEA));
}

static bool is_routed_to_el2(void)
{
	return fake_vcpu.el2 && (is_at_el2() || fake_vcpu_get(REG_HCR_EL2) & HCR_TGE);
}

static void deliver(void)
{
	static const uint64_t el1[] = { REG_ELR_EL1, REG_SPSR_EL1, REG_ESR_EL1, REG_FAR_EL1 },
			      el2[] = { REG_ELR_EL2, REG_SPSR_EL2, REG_ESR_EL2, REG_FAR_EL2 };
	bool to_el2 = is_routed_to_el2();
	const uint64_t *into = to_el2 ? el2 : el1;
	uint64_t pstate = fake_vcpu_get(REG_PSTATE), level = pstate & 0xc;
	bool same = level == (to_el2 ? 8 : 4);

	fake_vcpu_set(into[0], fake_vcpu_get(REG_PC));
	fake_vcpu_set(into[1], pstate);
	fake_vcpu_set(into[2], (UINT64_C(0x24) + same) << 26 | 1 << 25 | 0x10);
	fake_vcpu_set(into[3], fake_vcpu.far);
	fake_vcpu_set(REG_PC,
		fake_vcpu_get(to_el2 ? REG_VBAR_EL2 : FAKE_VBAR_EL1) + (same ? 0x200 : 0x400));
	fake_vcpu_set(REG_PSTATE, to_el2 ? 0x3c9 : 0x3c5);
}

static int set_events(const struct kvm_vcpu_events *events)
{
	CHECK(events->exception.ext_dabt_pending && !events->exception.serror_pending);
	/* KVM of 7.x takes a fault in the host where the abort would leave the exception level. */
	fake_vcpu.misrouted |= el2_asks_for_it() && !is_routed_to_el2();
	fake_vcpu.pending = true;
	return 0;
}

/* With immediate_exit set, nothing of the guest runs: what is pending goes into the registers. */
static int run(void)
{
	if (!__atomic_load_n(&fake_vcpu.run.immediate_exit, __ATOMIC_SEQ_CST)) {
		CHECK(fake_vcpu.enter);
		return fake_vcpu.enter();
	}
	fake_vcpu.runs++;
	if (fake_vcpu.running)
		fake_vcpu.running();
	if (fake_vcpu.pending)
		deliver();
	fake_vcpu.pending = false;
	return -EINTR;
}

static int one_register(unsigned long request, const struct kvm_one_reg *one)
{
	struct fake_register *reg = find(one->id);
	uint64_t *value = (uint64_t *)(uintptr_t)one->addr;

	if (!reg)
		return -ENOENT;
	if (request == KVM_GET_ONE_REG)
		*value = reg->value;
	else
		reg->value = *value;
	return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	/* Of a window's slots, whatever descriptor. */
	if (request == KVM_SET_USER_MEMORY_REGION)
		return 0;
	if (fd == FAKE_OTHER_FD && request == KVM_RUN)
		return fake_vcpu.enter_other();
	CHECK(fd == FAKE_VCPU_FD || (fd == FAKE_OTHER_FD && request == KVM_GET_MP_STATE));
	if (request == KVM_RUN)
		return run();
	if (++fake_vcpu.calls == fake_vcpu.fail_at)
		return -EIO;
	switch (request) {
	case KVM_GET_ONE_REG:
	case KVM_SET_ONE_REG:
		return one_register(request, arg);
	case KVM_SET_VCPU_EVENTS:
		return set_events(arg);
	case KVM_GET_MP_STATE:
		((struct kvm_mp_state *)arg)->mp_state = fake_vcpu.other_mp_state;
		return 0;
	case KVM_ARM_VCPU_INIT: /* a reset: what was in the registers is gone */
		if (fake_vcpu.refused_inits) {
			fake_vcpu.refused_inits--;
			return -EINVAL;
		}
		if (memcmp(fake_vcpu.made.features, ((const struct kvm_vcpu_init *)arg)->features,
			    sizeof(fake_vcpu.made.features)))
			return -EINVAL;
		for (unsigned i = 0; i < fake_vcpu.count; i++)
			fake_vcpu.registers[i].value = 0;
		fake_vcpu.init = *(const struct kvm_vcpu_init *)arg;
		fake_vcpu.initialised++;
		return 0;
	case KVM_SET_MP_STATE:
		fake_vcpu.mp_state = ((const struct kvm_mp_state *)arg)->mp_state;
		return 0;
	}
	return -ENOTTY;
}

void fake_vcpu_install(bool el2)
{
	static const uint64_t of_all[] = { REG_PC, REG_PSTATE, REG_ELR_EL1, REG_SPSR_EL1,
		REG_ESR_EL1, REG_FAR_EL1, REG_SCTLR_EL1, REG_TTBR0_EL1, REG_TTBR1_EL1, REG_TCR_EL1,
		FAKE_VBAR_EL1 };
	static const uint64_t of_el2[] = { REG_ELR_EL2, REG_SPSR_EL2, REG_ESR_EL2, REG_FAR_EL2,
		REG_SCTLR_EL2, REG_HCR_EL2, REG_TTBR0_EL2, REG_TTBR1_EL2, REG_TCR_EL2, REG_VBAR_EL2,
		REG_VTTBR_EL2, REG_VTCR_EL2 };
	static struct kvm_seam seam;

	memset(&fake_vcpu, 0, sizeof(fake_vcpu));
	fake_vcpu.el2 = el2;
	for (size_t i = 0; i < ARRAY_SIZE(of_all); i++)
		fake_vcpu_set(of_all[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(of_el2) && el2; i++)
		fake_vcpu_set(of_el2[i], 0);
	seam = kvm_kernel;
	seam.ioctl = fake_ioctl;
	kvm_seam = &seam;
}
