/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one change of the map takes with 1 to 8,192 slots of a window open: the calls to the kernel,
 * counted in the seam, and the time in ms, median and fastest; with the most slots, that beside a
 * vCPU that runs without end too, and how much is Sluice's own. Each slot of the window is half
 * plugged, so that each has a mapping of its own; before a slot opens, the lowest number was given
 * back and taken again, so that a free one has to be found. Prints a table; 77 (skipped) without a
 * usable /dev/kvm.
 *
 * With numbers of slots as arguments only these, each beside a vCPU that runs, and only the rows'
 * names and times; after `el2` the vCPU has EL2 and runs a guest of its own, at EL1: so KVM keeps a
 * shadow of that guest's stage 2, and walks it whole whenever memory of the VM goes.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/vm.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"

#define BLOCK	   (2 * MiB)
#define SLOT	   (2 * BLOCK)
#define SPARE_GPA  (1 * GiB)
#define WINDOW_GPA (4 * GiB)
#define ROUNDS	   101
#define CLOSINGS   7 /* each waits for the second that an emptied slot stays open */
#define SKIPPED	   77

static const unsigned open_counts[] = { 1, 32, 1024, 8192 };
#define OPEN_MAX     8192
#define COLUMNS_MAX  ARRAY_SIZE(open_counts)
#define COLUMN_ROUND 3 /* of all changes, where only some numbers are asked for */

enum vcpu_kind { NO_VCPU, RUNNING, HYPERVISOR };

/* --- time and calls --- */

enum call { IOCTL, MMAP, MREMAP, MUNMAP, MPROTECT, MADVISE, CALLS };
static const char *const call_names[CALLS] = { "ioctl", "mmap", "mremap", "munmap", "mprotect",
	"madvise" };

static struct {
	unsigned count[CALLS];
	double first, last, sum; /* ms: start of the first, end of the last, spent in all */
} calls;

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double begin_call(enum call call)
{
	double start;

	calls.count[call]++;
	start = now_ms();
	if (!calls.first)
		calls.first = start;
	return start;
}

static int end_call(double start, int result)
{
	calls.last = now_ms();
	calls.sum += calls.last - start;
	return result;
}

static int seam_ioctl(int fd, unsigned long request, void *arg)
{
	double start = begin_call(IOCTL);

	return end_call(start, kvm_kernel.ioctl(fd, request, arg));
}

static int seam_map(
	void *addr, size_t size, int prot, int flags, int fd, uint64_t offset, void **ret)
{
	double start = begin_call(MMAP);

	return end_call(start, kvm_kernel.map(addr, size, prot, flags, fd, offset, ret));
}

static int seam_move(void *from, size_t size, void *to)
{
	double start = begin_call(MREMAP);

	return end_call(start, kvm_kernel.move(from, size, to));
}

static int seam_unmap(void *addr, size_t size)
{
	double start = begin_call(MUNMAP);

	return end_call(start, kvm_kernel.unmap(addr, size));
}

static int seam_protect(void *addr, size_t size, int prot)
{
	double start = begin_call(MPROTECT);

	return end_call(start, kvm_kernel.protect(addr, size, prot));
}

static int seam_advise(void *addr, size_t size, int advice)
{
	double start = begin_call(MADVISE);

	return end_call(start, kvm_kernel.advise(addr, size, advice));
}

/* --- a vCPU that does nothing but run: a branch to itself, where it starts after a reset --- */

#ifdef __aarch64__
#define CODE_GPA    0
#define CODE_OFFSET 0
static const uint8_t code[] = { 0x00, 0x00, 0x00, 0x14 }; /* b . */

#ifndef KVM_ARM_VCPU_HAS_EL2
#define KVM_ARM_VCPU_HAS_EL2 7
#endif

/* At EL2: the branch to itself is a guest's, at EL1 without translation. */
static const uint32_t hypervisor_code[] = {
	0xd2b00000, /* mov x0, #0x80000000 (RW) */
	0xd51c1100, /* msr hcr_el2, x0 */
	0xd28078a0, /* mov x0, #0x3c5 (EL1h, all masked) */
	0xd51c4000, /* msr spsr_el2, x0 */
	0x10000080, /* adr x0, . + 16 */
	0xd51c4020, /* msr elr_el2, x0 */
	0xd5033fdf, /* isb */
	0xd69f03e0, /* eret */
	0xb9000000, /* str w0, [x0] (over itself: it is seen to run) */
	0x14000000, /* b . */
};
#define GUEST_WORD 8

/* What is emulated for the guest hypervisor needs a GICv3. */
static void start_gic(struct vm *vm, bool before)
{
	struct gic_layout layout = { .version = 3,
		.dist_gpa = 0x08000000,
		.redist = { { 0x080a0000, 1 } },
		.nested = true,
		.interrupts = 64 };

	CHECK((before ? gic_create(vm, &layout) : gic_init(vm)) == 0);
}
#else
#define CODE_GPA    UINT64_C(0xfffff000)
#define CODE_OFFSET 0xff0
static const uint8_t code[] = { 0xeb, 0xfe }; /* jmp . */
static const uint32_t hypervisor_code[] = { 0 };
#define GUEST_WORD  0

static void start_gic(struct vm *vm, bool before)
{
	(void)vm;
	(void)before;
}
#endif

struct spinner {
	int fd;
	struct kvm_run *run;
	size_t run_bytes;
	pthread_t thread;
	double cpu_ms;
};

static void ignore_signal(int number)
{
	(void)number;
}

static void *spin(void *opaque)
{
	struct spinner *spinner = opaque;
	struct timespec used;

	while (!*(volatile uint8_t *)&spinner->run->immediate_exit)
		CHECK(ioctl(spinner->fd, KVM_RUN, 0) < 0 && errno == EINTR);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	spinner->cpu_ms = (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
	return NULL;
}

static void start_spinner(struct spinner *spinner, struct vm *vm, enum vcpu_kind kind)
{
	struct sigaction ignore = { .sa_handler = ignore_signal };

	sigaction(SIGUSR1, &ignore, NULL);
#ifndef __aarch64__
	CHECK(kvm_ioctl_value(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000) == 0);
#endif
	if (kind == HYPERVISOR)
		start_gic(vm, true);
	spinner->fd = kvm_ioctl_value(vm->fd, KVM_CREATE_VCPU, 0);
	CHECK(spinner->fd >= 0);
#ifdef __aarch64__
	struct kvm_vcpu_init init;

	CHECK(kvm_ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init) == 0);
	if (kind == HYPERVISOR)
		init.features[0] |= 1u << KVM_ARM_VCPU_HAS_EL2;
	CHECK(kvm_ioctl(spinner->fd, KVM_ARM_VCPU_INIT, &init) == 0);
#endif
	if (kind == HYPERVISOR)
		start_gic(vm, false);
	spinner->run_bytes = (size_t)kvm_ioctl_value(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	spinner->run = mmap(
		NULL, spinner->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, spinner->fd, 0);
	CHECK(spinner->run != MAP_FAILED);
	CHECK(pthread_create(&spinner->thread, NULL, spin, spinner) == 0);
}

/* It ran all the while, or what was measured beside it means nothing. */
static void stop_spinner(struct spinner *spinner)
{
	*(volatile uint8_t *)&spinner->run->immediate_exit = 1;
	pthread_kill(spinner->thread, SIGUSR1);
	pthread_join(spinner->thread, NULL);
	CHECK(spinner->cpu_ms > 1);
	munmap(spinner->run, spinner->run_bytes);
	close(spinner->fd);
}

/* --- the machine and what is done to it --- */

struct machine {
	struct loop *loop;
	struct slots slots;
	struct kvm_slots kvm_slots;
	struct window *window;
	uint8_t *code, *spare;
	int low, more;	/* ids of the spare slots: the lowest number, and the one more */
	uint64_t empty; /* offset of the window's first closed slot */
};

static struct memory_slot spare_slot(const struct machine *m, unsigned index)
{
	return (struct memory_slot){
		.gpa = SPARE_GPA + index * SLOT, .size = SLOT, .hva = m->spare + index * SLOT
	};
}

static void open_more(struct machine *m)
{
	struct memory_slot slot = spare_slot(m, 1);

	CHECK(slot_open(&m->slots, &slot, &m->more) == 0);
}

static void close_more(struct machine *m)
{
	CHECK(slot_close(&m->slots, (unsigned)m->more) == 0);
	m->more = -1;
}

static void free_low_number(struct machine *m)
{
	struct memory_slot slot = spare_slot(m, 0);
	int id = -1;

	CHECK(slot_close(&m->slots, (unsigned)m->low) == 0);
	CHECK(slot_open(&m->slots, &slot, &id) == 0 && id == m->low);
}

static void plug(struct machine *m)
{
	CHECK(window_plug(m->window, BLOCK, BLOCK) == 0);
}

static void unplug(struct machine *m)
{
	CHECK(window_unplug(m->window, BLOCK, BLOCK) == 0);
}

static void plug_closed(struct machine *m)
{
	CHECK(window_plug(m->window, m->empty, BLOCK) == 0);
}

static void empty_slot(struct machine *m)
{
	CHECK(window_unplug(m->window, m->empty, BLOCK) == 0);
}

struct wait {
	struct loop_timer timer;
	struct machine *m;
	unsigned open;
};

static void stop_once_closed(struct loop_timer *timer)
{
	struct wait *wait = container_of(timer, struct wait, timer);

	if (window_open_slots(wait->m->window) < wait->open)
		loop_stop(wait->m->loop);
	else
		loop_timer_arm(wait->m->loop, timer, 10);
}

/* The loop closes it, when its time has come. */
static void let_close(struct machine *m)
{
	struct wait wait = {
		.timer.fired = stop_once_closed, .m = m, .open = window_open_slots(m->window)
	};

	loop_timer_arm(m->loop, &wait.timer, 10);
	CHECK(loop_run(m->loop) == 0);
}

/* In this order each leaves what the next one, and the first of the next round, finds. */
static const struct change {
	const char *name;
	void (*before)(struct machine *m), (*make)(struct machine *m);
	unsigned rounds;
} changes[] = {
	{ "opening one more slot", free_low_number, open_more, ROUNDS },
	{ "closing it", NULL, close_more, ROUNDS },
	{ "plugging a block of an open slot", NULL, plug, ROUNDS },
	{ "unplugging it", NULL, unplug, ROUNDS },
	{ "plugging the first block of a slot", NULL, plug_closed, CLOSINGS },
	{ "unplugging it", NULL, empty_slot, CLOSINGS },
	{ "closing the emptied slot", NULL, let_close, CLOSINGS },
};

struct samples {
	unsigned count;
	double whole[ROUNDS], own[ROUNDS];
	unsigned calls[CALLS]; /* the most of any round */
};

static void sample(const struct change *change, struct machine *m, struct samples *samples)
{
	double whole;

	if (change->before)
		change->before(m);
	memset(&calls, 0, sizeof(calls));
	whole = now_ms();
	change->make(m);
	whole = now_ms() - whole;
	if (change->make == let_close) /* but for the wait */
		whole = calls.last - calls.first;
	samples->own[samples->count] = whole - calls.sum;
	samples->whole[samples->count++] = whole;
	for (unsigned i = 0; i < CALLS; i++)
		if (calls.count[i] > samples->calls[i])
			samples->calls[i] = calls.count[i];
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

/* The median, and the fastest, which a busy machine leaves alone. */
static void print_times(struct samples *samples)
{
	double middle = median(samples->whole, samples->count);

	printf(" | %.3f (%.3f)", middle, samples->whole[0]);
}

static void measure(
	int kvm, unsigned open, enum vcpu_kind kind, unsigned most, struct samples *samples)
{
	struct window_config config = { .name = "vmem0",
		.gpa = WINDOW_GPA,
		.size = (OPEN_MAX + 1) * SLOT,
		.block_bytes = BLOCK,
		.slot_bytes = SLOT };
	struct memory_slot low, ram = { .gpa = CODE_GPA, .size = (uint64_t)getpagesize() };
	int bits = kvm_extension(kvm, KVM_CAP_ARM_VM_IPA_SIZE), id = -1;
	struct machine m = { .low = -1, .more = -1, .empty = open * SLOT };
	struct spinner spinner;
	struct vm vm = { .kvm_fd = kvm,
		.fd = kvm_ioctl_value(kvm, KVM_CREATE_VM, bits > 0 ? (unsigned)bits : 0),
		.gic_fd = -1,
		.its_fd = -1 };

	CHECK(vm.fd >= 0 && loop_create(&m.loop) == 0);
	slots_init(&m.slots);
	kvm_slots_init(&m.kvm_slots, (unsigned)kvm_extension(kvm, KVM_CAP_NR_MEMSLOTS));
	m.kvm_slots.vm_fd = vm.fd;
	CHECK(slots_add_listener(&m.slots, &m.kvm_slots.listener) == 0);
	CHECK(addrspace_reserve(CODE_GPA, ram.size, 0, PROT_NONE, &m.code) == 0);
	CHECK(addrspace_make_writable(m.code, ram.size) == 0);
	memcpy(m.code + CODE_OFFSET, kind == HYPERVISOR ? (const void *)hypervisor_code : code,
		kind == HYPERVISOR ? sizeof(hypervisor_code) : sizeof(code));
	ram.hva = m.code;
	CHECK(slot_open(&m.slots, &ram, &id) == 0);
	CHECK(addrspace_reserve(SPARE_GPA, 2 * SLOT, 0, PROT_READ, &m.spare) == 0);
	low = spare_slot(&m, 0);
	CHECK(slot_open(&m.slots, &low, &m.low) == 0);
	CHECK(window_create(&config, m.loop, &m.window) == 0);
	window_attach(m.window, &m.slots);
	for (unsigned i = 0; i < open; i++)
		CHECK(window_plug(m.window, i * SLOT, BLOCK) == 0);
	if (kind != NO_VCPU)
		start_spinner(&spinner, &vm, kind);
	if (kind == HYPERVISOR)
		while (((volatile uint32_t *)m.code)[GUEST_WORD] == hypervisor_code[GUEST_WORD])
			usleep(1000);

	for (unsigned round = 0; round < most; round++)
		for (unsigned i = 0; i < ARRAY_SIZE(changes); i++)
			if (round < changes[i].rounds)
				sample(&changes[i], &m, &samples[i]);
	CHECK(window_open_slots(m.window) == open);

	if (kind != NO_VCPU)
		stop_spinner(&spinner);
	slots_forget(&m.slots);
	if (vm.gic_fd >= 0)
		close(vm.gic_fd);
	close(vm.fd);
	CHECK(window_detach(m.window) == 0);
	window_destroy(m.window);
	addrspace_unmap(m.spare, 2 * SLOT);
	addrspace_unmap(m.code, ram.size);
	slots_finish(&m.slots);
	loop_destroy(m.loop);
}

/* One change at each number of open slots; samples[number][beside a vCPU or not][change]. */
static void print_row(unsigned change, struct samples samples[][2][ARRAY_SIZE(changes)])
{
	struct samples *most = &samples[ARRAY_SIZE(open_counts) - 1][0][change];
	const char *separator = "";

	printf("| %s | ", changes[change].name);
	for (unsigned i = 0; i < CALLS; i++) {
		if (!most->calls[i])
			continue;
		printf("%s%u %s", separator, most->calls[i], call_names[i]);
		separator = ", ";
	}
	for (unsigned i = 0; i < ARRAY_SIZE(open_counts); i++)
		print_times(&samples[i][0][change]);
	print_times(&most[ARRAY_SIZE(changes)]);
	printf(" | %.3f |\n", median(most->own, most->count));
}

/* `el2` or not, and numbers of open slots: of each change its name and the times. */
static int print_columns(int kvm, int count, char *argument[])
{
	static struct samples samples[COLUMNS_MAX][ARRAY_SIZE(changes)];
	enum vcpu_kind kind = strcmp(argument[0], "el2") == 0 ? HYPERVISOR : RUNNING;

	argument += kind == HYPERVISOR;
	count -= kind == HYPERVISOR;
	CHECK(count <= (int)COLUMNS_MAX);
	for (int i = 0; i < count; i++) {
		unsigned long open = strtoul(argument[i], NULL, 10);

		CHECK(open && open <= OPEN_MAX);
		measure(kvm, (unsigned)open, kind, COLUMN_ROUND, samples[i]);
	}
	for (unsigned change = 0; change < ARRAY_SIZE(changes); change++) {
		fputs(changes[change].name, stdout);
		for (int i = 0; i < count; i++)
			print_times(&samples[i][change]);
		puts("");
	}
	return 0;
}

int main(int argc, char *argv[])
{
	static const struct kvm_seam counting = { .ioctl = seam_ioctl,
		.map = seam_map,
		.move = seam_move,
		.unmap = seam_unmap,
		.protect = seam_protect,
		.advise = seam_advise };
	static struct samples samples[ARRAY_SIZE(open_counts)][2][ARRAY_SIZE(changes)];
	struct utsname host;
	int kvm = kvm_open();

	if (kvm < 0) {
		puts("skipped: no usable /dev/kvm");
		return SKIPPED;
	}
	kvm_seam = &counting;
	if (argc > 1)
		return print_columns(kvm, argc - 1, argv + 1);
	uname(&host);
	host.release[strcspn(host.release, "-+")] = 0;
	printf("Host: Linux %s on %s\n\n", host.release, host.machine);
	fputs("| change | calls", stdout);
	for (unsigned i = 0; i < ARRAY_SIZE(open_counts); i++)
		printf(" | %u open", open_counts[i]);
	puts(" | and a vCPU that runs | Sluice's own |\n|---|---|---|---|---|---|---|---|");
	for (unsigned i = 0; i < ARRAY_SIZE(open_counts); i++)
		for (unsigned kind = NO_VCPU; kind <= RUNNING; kind++)
			measure(kvm, open_counts[i], kind, ROUNDS, samples[i][kind]);
	for (unsigned change = 0; change < ARRAY_SIZE(changes); change++)
		print_row(change, samples);
	close(kvm);
	return 0;
}
