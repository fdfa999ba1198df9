/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM is asked for to make a VM, its GIC, lines, doorbells and vCPUs: every call, in order, with
 * what it carries; and that nothing is left where one of them is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/mmio.h"
#include "hyp/kvm/vm.h"
#include "hyp/vcpu/regs.h"
#include "hyp/vcpu/vcpu-internal.h"
#include "tests/unit/helpers/unit.h"

enum { KVM_FD = 2000, RUN_BYTES = 8192 };

/* --- a KVM that writes down what it is asked --- */

static char asked[4096]; /* a line for each call */
static unsigned calls, fail_at;
static unsigned without; /* a capability that this KVM has not */
static int made[16];	 /* descriptors that it gave */
static bool of_vcpu[16];
static unsigned made_count;

static void write_down(const char *format, ...)
{
	size_t at = strlen(asked);
	va_list args;

	va_start(args, format);
	vsnprintf(asked + at, sizeof(asked) - at, format, args);
	va_end(args);
}

static int make(void)
{
	int fd = memfd_create("fake", MFD_CLOEXEC);

	CHECK(fd >= 0 && made_count < ARRAY_SIZE(made));
	CHECK(ftruncate(fd, RUN_BYTES) == 0);
	of_vcpu[made_count] = false;
	made[made_count++] = fd;
	return fd;
}

/* Descriptors by the order in which they were made. */
static int name_of(int fd)
{
	for (unsigned i = 0; i < made_count; i++)
		if (made[i] == fd)
			return (int)i;
	return fd == KVM_FD ? -1 : -2;
}

static void write_down_attribute(int fd, const struct kvm_device_attr *attr)
{
	uint32_t address = of_vcpu[name_of(fd)] ? KVM_ARM_VCPU_PVTIME_CTRL
						: KVM_DEV_ARM_VGIC_GRP_ADDR;

	write_down(
		"%d attribute %u.%llu", name_of(fd), attr->group, (unsigned long long)attr->attr);
	if (attr->addr && attr->group == address)
		write_down(" 0x%llx", *(unsigned long long *)(uintptr_t)attr->addr);
	else if (attr->addr)
		write_down(" %u", *(uint32_t *)(uintptr_t)attr->addr);
	write_down("\n");
}

/*
 * The kind of CPU that the thread is on. On a host of two kinds it comes to another one after each question of its
 * target, until it is bound to one.
 */
static bool two_kinds;
static unsigned asked_target;

static unsigned kind_of_cpu(void)
{
	cpu_set_t set;

	if (!two_kinds || sched_getaffinity(0, sizeof(set), &set))
		return 5;
	return CPU_COUNT(&set) == 1 ? 4 : asked_target % 2 ? 5 : 0;
}

static int answer(int fd, unsigned long request, void *arg)
{
	const struct kvm_vcpu_init *init = arg;
	const struct kvm_one_reg *reg = arg;
	const struct kvm_irq_level *level = arg;
	const struct kvm_irqfd *irqfd = arg;
	const struct kvm_ioeventfd *bell = arg;
	struct kvm_create_device *device = arg;

	if (request == KVM_CHECK_EXTENSION)
		return (uintptr_t)arg != without;
	if (++calls == fail_at)
		return -EIO;
	switch (request) {
	case KVM_CREATE_VM:
		write_down("%d VM 0x%llx\n", name_of(fd), (unsigned long long)(uintptr_t)arg);
		return make();
	case KVM_ENABLE_CAP:
		write_down("%d enable %u\n", name_of(fd), ((struct kvm_enable_cap *)arg)->cap);
		return 0;
	case KVM_CREATE_DEVICE:
		write_down("%d device %u\n", name_of(fd), device->type);
		device->fd = (uint32_t)make();
		return 0;
	case KVM_SET_DEVICE_ATTR:
		write_down_attribute(fd, arg);
		return 0;
	case KVM_IRQ_LINE:
		write_down("%d line 0x%x %u\n", name_of(fd), level->irq, level->level);
		return 0;
	case KVM_IRQFD:
		write_down("%d irqfd %u flags %u\n", name_of(fd), irqfd->gsi, irqfd->flags);
		return 0;
	case KVM_IOEVENTFD:
		write_down("%d doorbell 0x%llx %llu of %u to %d flags %u\n", name_of(fd),
			(unsigned long long)bell->addr, (unsigned long long)bell->datamatch,
			bell->len, bell->fd, bell->flags);
		return 0;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_BYTES;
	case KVM_ARM_PREFERRED_TARGET:
		*(struct kvm_vcpu_init *)arg = (struct kvm_vcpu_init){ .target = kind_of_cpu() };
		asked_target++;
		return 0;
	case KVM_CREATE_VCPU:
		write_down("%d vCPU 0x%llx\n", name_of(fd), (unsigned long long)(uintptr_t)arg);
		fd = make();
		of_vcpu[made_count - 1] = true;
		return fd;
	case KVM_ARM_VCPU_INIT:
		if (init->target != kind_of_cpu())
			return -EINVAL;
		write_down("%d init %u 0x%x\n", name_of(fd), init->target, init->features[0]);
		return 0;
	case KVM_ARM_VCPU_FINALIZE:
		write_down("%d finalize %d\n", name_of(fd), *(int *)arg);
		return 0;
	case KVM_SET_ONE_REG:
		write_down("%d %s 0x%llx\n", name_of(fd),
			reg->id == REG_PC   ? "pc"
			: reg->id == REG_X0 ? "x0"
					    : "other",
			*(unsigned long long *)(uintptr_t)reg->addr);
		return 0;
	}
	return -ENOTTY;
}

static bool interrupts; /* a signal comes in each call, once, before it has done anything */

static int interrupted_answer(int fd, unsigned long request, void *arg)
{
	static bool comes;

	comes = !comes;
	return interrupts && comes ? -EINTR : answer(fd, request, arg);
}

static const struct kvm_seam seam = { .ioctl = interrupted_answer };

static int begin(void **state)
{
	kvm_seam = &seam;
	asked[0] = 0;
	calls = fail_at = without = made_count = asked_target = 0;
	return 0;
}

static int begin_interrupted(void **state)
{
	interrupts = true;
	return begin(state);
}

static int finish(void **state)
{
	interrupts = false;
	kvm_seam = &kvm_kernel;
	return 0;
}

static void assert_all_closed(void)
{
	for (unsigned i = 0; i < made_count; i++)
		assert_int_equal(fcntl(made[i], F_GETFD), -1);
}

/* --- the VM --- */

static void a_vm_has_the_bits_that_it_needs(void **state)
{
	static const struct {
		unsigned bits;
		bool sized;
		const char *asked;
	} cases[] = {
		{ 44, true, "-1 VM 0x2c\n0 enable 177\n0 enable 216\n" },
		{ 32, true, "-1 VM 0x20\n0 enable 177\n0 enable 216\n" },
		{ 31, true, "-1 VM 0x20\n0 enable 177\n0 enable 216\n" }, /* KVM takes no less */
		{ 44, false, "-1 VM 0x0\n0 enable 177\n0 enable 216\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm vm;

		begin(state);
		without = cases[i].sized ? 0 : KVM_CAP_ARM_VM_IPA_SIZE;
		assert_int_equal(vm_create(&vm, KVM_FD, cases[i].bits), 0);
		assert_string_equal(asked, cases[i].asked);
		assert_int_equal(vm.kvm_fd, KVM_FD);
		assert_int_equal(vm.fd, made[0]);
		vm_destroy(&vm);
		assert_true(vm.fd == -1 && vm.gic_fd == -1 && vm.its_fd == -1);
		vm_destroy(&vm); /* harmless twice */
		assert_all_closed();
	}
	/* What a kernel does not know it refuses; only the VM must be. */
	for (unsigned at = 1; at <= 3; at++) {
		struct vm vm = { .fd = -7 };

		begin(state);
		fail_at = at;
		assert_int_equal(vm_create(&vm, KVM_FD, 40), at == 1 ? -EIO : 0);
		if (at == 1)
			assert_int_equal(vm.fd, -7);
		else
			vm_destroy(&vm);
		assert_all_closed();
	}
}

/* --- the GIC --- */

static const struct {
	struct gic_layout layout;
	const char *asked;
} gics[] = {
	{ { .version = 2,
		  .dist_gpa = 0x8000000,
		  .cpu_gpa = 0x8010000,
		  .its_gpa = 0x8080000,
		  .interrupts = 256 },
		"0 device 5\n1 attribute 0.0 0x8000000\n1 attribute 0.1 0x8010000\n1 attribute 3.0 "
		"256\n" },
	{ { .version = 3,
		  .dist_gpa = 0x8000000,
		  .redist = { { 0x80a0000, 123 } },
		  .interrupts = 288 },
		"0 device 7\n1 attribute 0.2 0x8000000\n1 attribute 0.5 0x7b00000080a0000\n"
		"1 attribute 3.0 288\n" },
	{ { .version = 3,
		  .dist_gpa = 0x8000000,
		  .redist = { { 0x80a0000, 123 }, { 0x4000000000, 5 } },
		  .its_gpa = 0x8080000,
		  .nested = true,
		  .interrupts = 64 },
		"0 device 7\n1 attribute 0.2 0x8000000\n1 attribute 0.5 0x7b00000080a0000\n"
		"1 attribute 0.5 0x50004000000001\n0 device 8\n2 attribute 0.4 0x8080000\n"
		"1 attribute 9.0 25\n1 attribute 3.0 64\n" },
};

static void a_gic_is_laid_out(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(gics); i++) {
		bool its = gics[i].layout.version == 3 && gics[i].layout.its_gpa;
		struct vm vm;
		unsigned of_create;

		begin(state);
		assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
		asked[0] = 0;
		calls = 0;
		assert_int_equal(gic_create(&vm, &gics[i].layout), 0);
		of_create = calls;
		assert_string_equal(asked, gics[i].asked);
		assert_int_equal(vm.gic_version, gics[i].layout.version);
		assert_int_equal(vm.its_fd >= 0, its);
		asked[0] = 0;
		assert_int_equal(gic_init(&vm), 0);
		assert_string_equal(
			asked, its ? "1 attribute 4.0\n2 attribute 4.0\n" : "1 attribute 4.0\n");
		for (unsigned at = 1; at <= (its ? 2 : 1); at++) {
			calls = 0;
			fail_at = at;
			assert_int_equal(gic_init(&vm), -EIO);
		}
		vm_destroy(&vm);
		assert_all_closed();
		/* Each call that is refused is the end of it. */
		for (unsigned at = 1; at <= of_create; at++) {
			begin(state);
			assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
			calls = 0;
			fail_at = at;
			assert_int_equal(gic_create(&vm, &gics[i].layout), -EIO);
			assert_int_equal(calls, at);
			vm_destroy(&vm);
			assert_all_closed();
		}
	}
}

/* --- lines --- */

static void edge_lines_pulse(void **state)
{
	struct irq_pin pin;
	struct loop *loop;
	uint64_t pulses;
	struct vm vm;

	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
	assert_int_equal(irq_pin_init(&pin, loop, 33, true), 0);
	pin.line.set(&pin.line, true);
	asked[0] = 0;
	assert_int_equal(irq_pin_connect(&pin, &vm), 0);
	assert_string_equal(asked, "0 irqfd 33 flags 2\n");
	/* What was meant for the VM before is forgotten. */
	assert_int_equal(read(pin.line.event_fd, &pulses, sizeof(pulses)), -1);
	assert_int_equal(errno, EAGAIN);
	pin.line.set(&pin.line, false);
	assert_int_equal(read(pin.line.event_fd, &pulses, sizeof(pulses)), -1);
	pin.line.set(&pin.line, true);
	assert_int_equal(read(pin.line.event_fd, &pulses, sizeof(pulses)), sizeof(pulses));
	assert_int_equal(pulses, 1);
	fail_at = calls + 1;
	assert_int_equal(irq_pin_connect(&pin, &vm), -EIO);
	irq_pin_finish(&pin);
	irq_pin_finish(&pin);
	assert_int_equal(pin.line.event_fd, -1);
	vm_destroy(&vm);
	loop_destroy(loop);
}

static bool by_others; /* have signalled it */

static bool have_signalled(struct irq_line *line)
{
	assert_ptr_equal(line->owner, &by_others);
	return by_others;
}

/* How often it was signalled since this was asked last. */
static uint64_t signals(struct irq_pin *pin)
{
	uint64_t count = 0;

	return read(pin->line.event_fd, &count, sizeof(count)) < 0 ? 0 : count;
}

/* KVM says that the guest has ended the interrupt, and that the line has gone down. */
static void guest_ends(struct irq_pin *pin)
{
	uint64_t one = 1;

	assert_int_equal(write(pin->ended.fd, &one, sizeof(one)), sizeof(one));
	pin->ended.ready(&pin->ended, 1);
	assert_int_equal(read(pin->ended.fd, &one, sizeof(one)), -1);
}

/* For a guest that takes it as a level the line goes up again after the next two ends, and no more. */
static void edge_lines_taken_as_levels(void **state)
{
	struct irq_pin pin;
	struct loop *loop;
	struct vm vm;

	assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(irq_pin_init(&pin, loop, 33, true), 0);
	assert_ptr_equal(pin.ended.loop, loop);
	assert_int_equal(irq_pin_connect(&pin, &vm), 0);
	for (unsigned round = 0; round < 2; round++) {
		pin.line.set(&pin.line, true);
		assert_int_equal(signals(&pin), 1);
		guest_ends(&pin);
		assert_int_equal(signals(&pin), 1);
		pin.line.set(&pin.line, true);
		assert_int_equal(signals(&pin), 1);
		for (unsigned end = 0; end < 4; end++) {
			guest_ends(&pin);
			assert_int_equal(signals(&pin), end < 2);
		}
	}
	/* What others have signalled counts as well. */
	pin.line.signalled = have_signalled;
	pin.line.owner = &by_others;
	for (unsigned end = 0; end < 4; end++) {
		by_others = !end;
		guest_ends(&pin);
		assert_int_equal(signals(&pin), end < 2);
	}
	/* A new VM's line is down. */
	pin.line.set(&pin.line, true);
	pin.line.set(&pin.line, true);
	assert_int_equal(irq_pin_connect(&pin, &vm), 0);
	guest_ends(&pin);
	assert_int_equal(signals(&pin), 0);
	irq_pin_finish(&pin);
	assert_null(pin.ended.loop);
	vm_destroy(&vm);
	loop_destroy(loop);
}

/*
 * Whatever the order in which a device sets the line, KVM's worker raises it, the guest takes and ends the interrupt, and
 * the loop is notified of the end: the guest sees each time that it was set. It reads the line as it takes it.
 */
static void levels_are_heard_of(void **state)
{
	enum { SET, RAISE, TAKE, END, HEAR, STEPS };
	struct irq_pin pin;
	struct loop *loop;
	struct vm vm;

	assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(irq_pin_init(&pin, loop, 33, true), 0);
	assert_int_equal(irq_pin_connect(&pin, &vm), 0);
	srandom(1);
	for (unsigned round = 0; round < 20000; round++) {
		bool line = false, active = false, ended = false, by_worker = round % 2;
		unsigned set = 0, heard = 0, idle = 0;

		pin.line.signalled = by_worker ? have_signalled : NULL;
		pin.line.owner = &by_others;
		by_others = false;
		while (idle < 200) {
			uint64_t one = 1;
			unsigned step = (unsigned)random() % STEPS;

			idle++;
			if (step == SET && set < 6) {
				set++;
				by_others = by_worker;
				if (by_worker)
					assert_int_equal(
						write(pin.line.event_fd, &one, sizeof(one)),
						sizeof(one));
				else
					pin.line.set(&pin.line, true);
			} else if (step == RAISE && signals(&pin)) {
				line = true;
			} else if (step == TAKE && line && !active) {
				active = true;
				heard = set;
			} else if (step == END && active) {
				active = line = false;
				ended = true;
				assert_int_equal(
					write(pin.ended.fd, &one, sizeof(one)), sizeof(one));
			} else if (step == HEAR && ended) {
				ended = false;
				pin.ended.ready(&pin.ended, 1);
				by_others = false;
			} else {
				continue;
			}
			idle = 0;
		}
		if (heard != set || line || active || ended)
			fail_msg("round %u: heard of %u of %u", round, heard, set);
	}
	irq_pin_finish(&pin);
	vm_destroy(&vm);
	loop_destroy(loop);
}

static void level_lines_follow(void **state)
{
	struct irq_pin pin;
	struct vm vm;

	assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
	assert_int_equal(irq_pin_init(&pin, NULL, 1, false), 0);
	assert_int_equal(pin.line.event_fd, -1);
	asked[0] = 0;
	pin.line.set(&pin.line, true); /* to nobody */
	assert_string_equal(asked, "");
	assert_int_equal(irq_pin_connect(&pin, &vm), 0);
	assert_string_equal(asked, "");
	pin.line.set(&pin.line, true);
	pin.line.set(&pin.line, false);
	assert_string_equal(asked, "0 line 0x1000021 1\n0 line 0x1000021 0\n");
	irq_pin_disconnect(&pin);
	pin.line.set(&pin.line, true);
	assert_string_equal(asked, "0 line 0x1000021 1\n0 line 0x1000021 0\n");
	irq_pin_finish(&pin);
	vm_destroy(&vm);
}

static void doorbells_are_of_four_bytes(void **state)
{
	static const struct mmio_doorbell bells[] = { { 0x50, 0, 11 }, { 0x50, 1, 12 },
		{ 0x64, 3, 13 } };
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct mmio_region with = { .gpa = 0xa000000,
		.size = 0x200,
		.lock = &lock,
		.doorbells = bells,
		.doorbell_count = 2 },
			   other = { .gpa = 0xa000200,
				   .size = 0x200,
				   .lock = &lock,
				   .doorbells = bells + 2,
				   .doorbell_count = 1 },
			   none = { .gpa = 0x9000000, .size = 0x1000, .lock = &lock };
	struct mmio_bus bus = { 0 };
	struct vm vm;

	assert_int_equal(mmio_bus_add(&bus, &with), 0);
	assert_int_equal(mmio_bus_add(&bus, &other), 0);
	assert_int_equal(mmio_bus_add(&bus, &none), 0);
	assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
	asked[0] = 0;
	assert_int_equal(vm_add_doorbells(&vm, &bus), 0);
	assert_string_equal(asked, "0 doorbell 0xa000050 0 of 4 to 11 flags 1\n"
				   "0 doorbell 0xa000050 1 of 4 to 12 flags 1\n"
				   "0 doorbell 0xa000264 3 of 4 to 13 flags 1\n");
	for (unsigned at = 1; at <= 3; at++) {
		calls = 0;
		fail_at = at;
		assert_int_equal(vm_add_doorbells(&vm, &bus), -EIO);
		assert_int_equal(calls, at);
	}
	vm_destroy(&vm);
}

/* --- vCPUs --- */

static void kvm_numbers_vcpus_by_affinity(void **state)
{
	assert_int_equal(vcpu_id(0), 0);
	assert_int_equal(vcpu_id(15), 15);
	assert_int_equal(vcpu_id(16), -EINVAL);
	assert_int_equal(vcpu_id(0x100), 16);
	assert_int_equal(vcpu_id(0x10f), 31);
	assert_int_equal(vcpu_id(0xff00), 255 << 4);
	assert_int_equal(vcpu_id(0x10000), 1 << 12);
	assert_int_equal(vcpu_id(0xffff0f), 15 | 255 << 4 | 255 << 12);
	assert_int_equal(vcpu_id(0x1000000), -EINVAL);
	assert_int_equal(vcpu_id(UINT64_C(1) << 32), -EINVAL);
}

static struct vcpus *vcpus_of(unsigned features)
{
	static const struct vcpu_config each[] = { { .mpidr = 0 }, { .mpidr = 0x101 } };
	const struct vcpus_config config = {
		.count = 2, .vcpu = each, .features = features, .stolen_time_gpa = 0x80100000
	};
	struct vcpus *vcpus;

	assert_int_equal(vcpus_create(&config, &vcpus), 0);
	return vcpus;
}

static const struct {
	unsigned features;
	const char *built, *started;
} kinds[] = {
	/* PSCI; and but for the first, off. */
	{ 0, "0 vCPU 0x0\n1 init 5 0x4\n0 vCPU 0x11\n2 init 5 0x5\n", "" },
	{ 1u << CPU_PMU, "0 vCPU 0x0\n1 init 5 0xc\n0 vCPU 0x11\n2 init 5 0xd\n",
		"1 attribute 0.0 23\n1 attribute 0.1\n2 attribute 0.0 23\n2 attribute 0.1\n" },
	{ 1u << CPU_SVE,
		"0 vCPU 0x0\n1 init 5 0x14\n1 finalize 4\n0 vCPU 0x11\n2 init 5 0x15\n2 finalize "
		"4\n",
		"" },
	{ 1u << CPU_POINTER_AUTH, "0 vCPU 0x0\n1 init 5 0x64\n0 vCPU 0x11\n2 init 5 0x65\n", "" },
	{ 1u << CPU_STOLEN_TIME, "0 vCPU 0x0\n1 init 5 0x4\n0 vCPU 0x11\n2 init 5 0x5\n",
		"1 attribute 2.0 0x80100000\n2 attribute 2.0 0x80100040\n" },
	{ 1u << CPU_NESTED, "0 vCPU 0x0\n1 init 5 0x84\n0 vCPU 0x11\n2 init 5 0x85\n", "" },
	{ 1u << CPU_PMU | 1u << CPU_STOLEN_TIME,
		"0 vCPU 0x0\n1 init 5 0xc\n0 vCPU 0x11\n2 init 5 0xd\n",
		"1 attribute 0.0 23\n1 attribute 0.1\n1 attribute 2.0 0x80100000\n"
		"2 attribute 0.0 23\n2 attribute 0.1\n2 attribute 2.0 0x80100040\n" },
};

static void vcpus_have_the_features_asked_for(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct vcpus *vcpus = vcpus_of(kinds[i].features);
		unsigned of_build, of_start;
		struct vm vm;

		begin(state);
		vcpus_park(vcpus); /* harmless: they are, and there is none that runs */
		assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
		asked[0] = 0;
		calls = 0;
		vcpus->vcpu[1].retries = 99; /* of the guest before */
		assert_int_equal(vcpus_build(vcpus, &vm), 0);
		assert_int_equal(vcpus->vcpu[1].retries, 0);
		of_build = calls;
		assert_string_equal(asked, kinds[i].built);
		asked[0] = 0;
		calls = 0;
		assert_int_equal(vcpus_start_features(vcpus), 0);
		of_start = calls;
		assert_string_equal(asked, kinds[i].started);
		asked[0] = 0;
		assert_int_equal(vcpus_set_entry(vcpus, 0x40200000, 0x48000000), 0);
		assert_string_equal(asked, "1 pc 0x40200000\n1 x0 0x48000000\n");
		for (unsigned at = 1; at <= 2; at++) {
			calls = 0;
			fail_at = at;
			assert_int_equal(vcpus_set_entry(vcpus, 1, 2), -EIO);
			assert_int_equal(calls, at);
		}
		for (unsigned at = 1; at <= of_start; at++) {
			calls = 0;
			fail_at = at;
			assert_int_equal(vcpus_start_features(vcpus), -EIO);
			assert_int_equal(calls, at);
		}
		vcpus_teardown(vcpus);
		for (unsigned j = 1; j < made_count; j++)
			assert_int_equal(fcntl(made[j], F_GETFD), -1);
		vcpus_teardown(vcpus); /* harmless twice */
		vm_destroy(&vm);
		/* Each call that is refused leaves none of them. */
		for (unsigned at = 1; at <= of_build; at++) {
			begin(state);
			assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
			calls = 0;
			fail_at = at;
			assert_int_equal(vcpus_build(vcpus, &vm), -EIO);
			assert_int_equal(calls, at);
			for (unsigned j = 1; j < made_count; j++)
				assert_int_equal(fcntl(made[j], F_GETFD), -1);
			vm_destroy(&vm);
		}
		/* And they can be built anew. */
		begin(state);
		assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
		assert_int_equal(vcpus_build(vcpus, &vm), 0);
		vcpus_destroy(vcpus);
		vm_destroy(&vm);
		assert_all_closed();
	}
	vcpus_destroy(NULL);
}

/* KVM before Linux 6.2 takes the target of the CPU that it is on, which may be another than was asked. */
static void a_host_with_two_kinds_of_cpus(void **state)
{
	struct vcpus *vcpus = vcpus_of(0);
	cpu_set_t before, after;
	struct vm vm;

	sched_getaffinity(0, sizeof(before), &before);
	two_kinds = CPU_COUNT(&before) > 1; /* else there is nowhere to come to */
	assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
	asked[0] = 0;
	assert_int_equal(vcpus_build(vcpus, &vm), 0);
	if (two_kinds)
		assert_string_equal(asked, "0 vCPU 0x0\n1 init 4 0x4\n0 vCPU 0x11\n2 init 0 0x5\n");
	sched_getaffinity(0, sizeof(after), &after);
	assert_true(CPU_EQUAL(&before, &after));
	two_kinds = false;
	vcpus_destroy(vcpus);
	vm_destroy(&vm);
	assert_all_closed();
}

/* A vCPU that KVM can give no number: nothing of the others is left. */
static void a_vcpu_without_a_number(void **state)
{
	static const struct vcpu_config each[] = { { .mpidr = 0 }, { .mpidr = 16 } };
	struct vcpus *vcpus;
	struct vm vm;

	assert_int_equal(
		vcpus_create(&(struct vcpus_config){ .count = 2, .vcpu = each }, &vcpus), 0);
	assert_int_equal(vm_create(&vm, KVM_FD, 40), 0);
	assert_int_equal(vcpus_build(vcpus, &vm), -EINVAL);
	vm_destroy(&vm);
	assert_all_closed();
	vcpus_destroy(vcpus);
}

/* Threads that may not run where, or as urgently as, they should are none. */
static void threads_run_where_they_should(void **state)
{
	struct vcpu_config each = { .mpidr = 0 };
	struct vcpus *vcpus = NULL;

	CPU_SET(CPU_SETSIZE - 1, &each.host_cpus); /* no host has it */
	assert_int_equal(
		vcpus_create(&(struct vcpus_config){ .count = 1, .vcpu = &each }, &vcpus), -EINVAL);
	assert_null(vcpus);
}

#define INTERRUPTED(test)                                                                          \
	{                                                                                          \
#test "_interrupted", test, begin_interrupted, finish, NULL                        \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_vm_has_the_bits_that_it_needs, begin, finish),
		cmocka_unit_test_setup_teardown(a_gic_is_laid_out, begin, finish),
		cmocka_unit_test_setup_teardown(edge_lines_pulse, begin, finish),
		cmocka_unit_test_setup_teardown(edge_lines_taken_as_levels, begin, finish),
		cmocka_unit_test_setup_teardown(levels_are_heard_of, begin, finish),
		cmocka_unit_test_setup_teardown(level_lines_follow, begin, finish),
		cmocka_unit_test_setup_teardown(doorbells_are_of_four_bytes, begin, finish),
		cmocka_unit_test(kvm_numbers_vcpus_by_affinity),
		cmocka_unit_test_setup_teardown(vcpus_have_the_features_asked_for, begin, finish),
		cmocka_unit_test_setup_teardown(a_host_with_two_kinds_of_cpus, begin, finish),
		cmocka_unit_test_setup_teardown(a_vcpu_without_a_number, begin, finish),
		cmocka_unit_test_setup_teardown(threads_run_where_they_should, begin, finish),
		/* The same, while a signal comes in every call. */
		INTERRUPTED(a_vm_has_the_bits_that_it_needs),
		INTERRUPTED(a_gic_is_laid_out),
		INTERRUPTED(edge_lines_pulse),
		INTERRUPTED(level_lines_follow),
		INTERRUPTED(doorbells_are_of_four_bytes),
		INTERRUPTED(vcpus_have_the_features_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
