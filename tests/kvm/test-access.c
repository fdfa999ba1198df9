/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one access of a guest does, on the real KVM of an arm64 host: to plugged blocks, unplugged
 * ones, closed slots, and memory that the host took away. Prints TAP.
 */
#include <inttypes.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "hyp/addrspace.h"
#include "hyp/guestmem.h"
#include "hyp/kvm-slots.h"
#include "hyp/kvm.h"
#include "hyp/log.h"
#include "hyp/loop.h"
#include "hyp/mmio.h"
#include "hyp/slots.h"
#include "hyp/util.h"
#include "hyp/vcpu.h"
#include "hyp/vm.h"
#include "hyp/window.h"

#define RAM_GPA	   UINT64_C(0x40000000)
#define RAM_SIZE   (2 * MiB)
#define ACCESS_GPA (RAM_GPA + MiB)
#define WINDOW_GPA (4 * GiB)
#define BLOCK	   (2 * MiB)
#define SLOT	   (8 * MiB)
#define WINDOW	   (32 * MiB)
#define WAIT_SEC   20

enum {
	ACCESS_LOAD,
	ACCESS_STORE,
	ACCESS_LOAD_PAIR,
	ACCESS_STORE_PAIR,
	ACCESS_STORE_WRITEBACK,
	ACCESS_EXCLUSIVE,
	ACCESS_ZERO,
	ACCESS_FETCH,
	ACCESS_SPIN,
	ACCESS_COUNT
};

static const char *const access_names[ACCESS_COUNT] = { "load", "store", "load-pair", "store-pair",
	"store-writeback", "exclusive", "dc-zva", "fetch", "spin" };

/* Shared with guest-access.S. */
struct access {
	uint64_t address, what, value;
	uint64_t esr, far, elr, come_back;
	uint64_t count, span, done;
};

extern const uint8_t guest_start[], guest_end[], guest_entry[];

struct machine {
	struct loop *loop;
	struct slots slots;
	struct kvm_slots kvm_slots;
	struct vm vm;
	struct mmio_bus bus;
	struct guestmem mem;
	struct window *window;
	struct vcpus *vcpus;
	uint8_t *ram;
	sem_t told;
	enum vcpus_event event;
	char text[256];
};

static int kvm_fd;
static unsigned gic_version, test_number, failures;

static void result(bool ok, const char *format, ...)
{
	va_list args;

	printf("%s %u - ", ok ? "ok" : "not ok", ++test_number);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	failures += !ok;
}

static void on_event(void *opaque, enum vcpus_event event, const char *text)
{
	struct machine *m = opaque;

	m->event = event;
	snprintf(m->text, sizeof(m->text), "%s", text);
	sem_post(&m->told);
}

static struct access *access_of(struct machine *m)
{
	return (struct access *)(m->ram + (ACCESS_GPA - RAM_GPA));
}

static void build(struct machine *m, enum stray_reads reads)
{
	static const uint64_t mpidr[] = { 0 };
	static const cpu_set_t anywhere;
	const struct gic_layout gic = { .version = gic_version,
		.dist_gpa = 0x08000000,
		.cpu_gpa = 0x08010000,
		.redist_gpa = 0x080a0000,
		.interrupts = 64 };
	const struct window_config window = { .name = "vmem0",
		.gpa = WINDOW_GPA,
		.size = WINDOW,
		.block_bytes = BLOCK,
		.slot_bytes = SLOT,
		.stray_reads = reads };
	struct memory_slot ram = { .gpa = RAM_GPA, .size = RAM_SIZE };
	int id = -1;
	struct vcpus_config vcpus = { .count = 1,
		.mpidr = mpidr,
		.host_cpus = &anywhere,
		.bus = &m->bus,
		.mem = &m->mem,
		.slots = &m->slots,
		.stray = STRAY_ABORT,
		.event = on_event,
		.opaque = m };

	memset(m, 0, sizeof(*m));
	sem_init(&m->told, 0, 0);
	CHECK(loop_create(&m->loop) == 0);
	slots_init(&m->slots);
	kvm_slots_init(&m->kvm_slots, 64);
	CHECK(slots_add_listener(&m->slots, &m->kvm_slots.listener) == 0);
	CHECK(vm_create(&m->vm, kvm_fd, 36) == 0);
	CHECK(gic_create(&m->vm, &gic) == 0);
	m->kvm_slots.vm_fd = m->vm.fd;
	CHECK(addrspace_reserve(RAM_GPA, RAM_SIZE, 0, PROT_NONE, &m->ram) == 0);
	CHECK(addrspace_make_writable(m->ram, RAM_SIZE) == 0);
	ram.hva = m->ram;
	CHECK(slot_open(&m->slots, &ram, &id) == 0);
	CHECK(window_create(&window, m->loop, &m->window) == 0);
	window_attach(m->window, &m->slots);
	CHECK(guestmem_add(&m->mem, &(struct guestmem_range){ RAM_GPA, RAM_SIZE, m->ram, NULL }) ==
		0);
	CHECK(guestmem_add(&m->mem, &(struct guestmem_range){ WINDOW_GPA, WINDOW,
					    window_hva(m->window), m->window }) == 0);
	CHECK(vcpus_create(&vcpus, &m->vcpus) == 0);
	CHECK(vcpus_build(m->vcpus, &m->vm) == 0);
	CHECK(gic_init(&m->vm) == 0);
	memcpy(m->ram, guest_start, (size_t)(guest_end - guest_start));
	CHECK(vcpus_set_entry(
		      m->vcpus, RAM_GPA + (uint64_t)(guest_entry - guest_start), ACCESS_GPA) == 0);
}

static void unbuild(struct machine *m)
{
	vcpus_park(m->vcpus);
	slots_forget(&m->slots);
	CHECK(window_detach(m->window) == 0);
	vcpus_destroy(m->vcpus);
	vm_destroy(&m->vm);
	window_destroy(m->window);
	addrspace_unmap(m->ram, RAM_SIZE);
	slots_finish(&m->slots);
	loop_destroy(m->loop);
	sem_destroy(&m->told);
}

/* Runs until the vCPU tells an event; false when it tells none. */
static bool wait_told(struct machine *m)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SEC;
	return sem_timedwait(&m->told, &until) == 0;
}

static bool run_access(struct machine *m, uint64_t what, uint64_t address, uint64_t value)
{
	*access_of(m) = (struct access){ .address = address, .what = what, .value = value };
	vcpus_run(m->vcpus);
	return wait_told(m);
}

#define ESR_EC(esr) ((esr) >> 26 & 0x3f)
#define EC_UNKNOWN  0x00
#define EC_IABT	    0x21
#define EC_DABT	    0x25

enum where { PLUGGED, UNPLUGGED, CLOSED, NOWHERE };

static const char *const where_names[] = { "plugged", "unplugged", "closed", "nowhere" };

static const uint64_t where_gpa[] = {
	[PLUGGED] = WINDOW_GPA + 0x100,
	[UNPLUGGED] = WINDOW_GPA + BLOCK + 0x100,
	[CLOSED] = WINDOW_GPA + SLOT + 0x100,
	[NOWHERE] = 3 * GiB,
};

/* What each comes to: done (memory or zeros), or an abort at the address. */
static bool expect_done(unsigned what, enum where where, enum stray_reads reads)
{
	bool read = what == ACCESS_LOAD || what == ACCESS_LOAD_PAIR;

	if (where == PLUGGED)
		return true;
	return where == UNPLUGGED && reads == STRAY_READS_ZERO && read;
}

static void try_access(unsigned what, enum where where, enum stray_reads reads)
{
	uint64_t resident = 0, gpa = where_gpa[where];
	struct machine m;
	struct access *access;
	bool told, ok;

	build(&m, reads);
	access = access_of(&m);
	CHECK(window_plug(m.window, 0, BLOCK) == 0);
	if (where == PLUGGED && what == ACCESS_FETCH)
		memcpy(window_hva(m.window) + 0x100, &(uint32_t){ 0x00000000 }, 4); /* UDF */
	told = run_access(&m, what, gpa, 0x1234);
	ok = told && m.event == VCPUS_POWER_OFF;
	if (what == ACCESS_FETCH) {
		/* Zeros execute as UDF, wherever they can be read. */
		bool zeros = where == PLUGGED || (where == UNPLUGGED && reads == STRAY_READS_ZERO);

		ok = ok && !access->done && access->far == (zeros ? access->far : gpa);
		if (zeros)
			ok = ok && ESR_EC(access->esr) == EC_UNKNOWN;
		else
			ok = ok &&
			     (ESR_EC(access->esr) == EC_IABT || ESR_EC(access->esr) == EC_DABT);
	} else if (expect_done(what, where, reads)) {
		ok = ok && access->done && !access->esr;
		if (where != PLUGGED)
			ok = ok && access->value == 0;
	} else {
		ok = ok && !access->done && ESR_EC(access->esr) == EC_DABT && access->far == gpa;
	}
	window_resident_bytes(m.window, &resident);
	ok = ok && resident <= BLOCK && (where == PLUGGED || resident == 0);
	result(ok, "%s-%s-%s", access_names[what], where_names[where],
		reads == STRAY_READS_ZERO ? "zero" : "abort");
	if (!ok)
		printf("# told %d event %d (%s) done %" PRIu64 " esr %" PRIx64 " far %" PRIx64
		       " value %" PRIx64 " resident %" PRIu64 "\n",
			told, m.event, m.text, access->done, access->esr, access->far,
			access->value, resident);
	unbuild(&m);
}

/* Memory that the guest owns and the host cannot provide is never the guest's fault. */
static void host_fault(void)
{
	struct machine m;
	bool ok;

	build(&m, STRAY_READS_ZERO);
	CHECK(window_plug(m.window, 0, BLOCK) == 0);
	CHECK(mprotect(window_hva(m.window), BLOCK, PROT_NONE) == 0);
	ok = run_access(&m, ACCESS_STORE, WINDOW_GPA, 1) && m.event == VCPUS_HOST_FAULT &&
	     strstr(m.text, "0x100000000") && !access_of(&m)->esr && !access_of(&m)->done;
	result(ok, "host-fault-is-not-the-guests");
	if (!ok)
		printf("# event %d (%s)\n", m.event, m.text);
	/* The access was not undone half: given the memory, the same vCPU completes it. */
	vcpus_park(m.vcpus);
	CHECK(mprotect(window_hva(m.window), BLOCK, PROT_READ | PROT_WRITE) == 0);
	vcpus_run(m.vcpus);
	ok = wait_told(&m) && m.event == VCPUS_POWER_OFF && access_of(&m)->done &&
	     window_hva(m.window)[0] == 1;
	result(ok, "host-fault-leaves-the-guest-as-it-was");
	unbuild(&m);
}

/* A vCPU that stores without end is parked and run again, many times. */
static void park_and_run(void)
{
	struct machine m;
	uint64_t last = 0;
	bool moved = true;

	build(&m, STRAY_READS_ZERO);
	CHECK(window_plug(m.window, 0, BLOCK) == 0);
	*access_of(
		&m) = (struct access){ .address = WINDOW_GPA, .what = ACCESS_SPIN, .span = BLOCK };
	for (int i = 0; i < 200; i++) {
		vcpus_run(m.vcpus);
		while (i % 20 == 0 && *(volatile uint64_t *)&access_of(&m)->count == last)
			usleep(1000);
		vcpus_park(m.vcpus);
		moved = moved && access_of(&m)->count >= last;
		last = access_of(&m)->count;
		usleep(100);
		moved = moved && access_of(&m)->count == last; /* parked is parked */
	}
	result(moved && last > 0, "park-and-run");
	unbuild(&m);
}

/* One vCPU hammers a block that comes and goes: nothing stays, and nobody is blamed wrongly. */
static void hammer_while_unplugging(void)
{
	enum { ROUNDS = 300 };
	struct machine m;
	struct access *access;
	uint64_t resident = 0;
	unsigned leaks = 0, rounds = 0;

	build(&m, STRAY_READS_ZERO);
	access = access_of(&m);
	*access = (struct access){
		.address = WINDOW_GPA, .what = ACCESS_SPIN, .span = BLOCK, .come_back = 1
	};
	CHECK(window_plug(m.window, 0, BLOCK) == 0);
	vcpus_run(m.vcpus);
	for (; rounds < ROUNDS && sem_trywait(&m.told) != 0; rounds++) {
		CHECK(window_unplug(m.window, 0, BLOCK) == 0);
		usleep(500);
		window_resident_bytes(m.window, &resident);
		leaks += resident != 0;
		CHECK(window_plug(m.window, 0, BLOCK) == 0);
		usleep(500);
	}
	result(rounds == ROUNDS && !leaks && access->esr, "hammer-while-unplugging");
	if (rounds != ROUNDS || leaks)
		printf("# %u rounds, %u leaks, event %d (%s)\n", rounds, leaks, m.event, m.text);
	unbuild(&m);
}

static void print_log(enum log_level level, const char *line)
{
	(void)level;
	printf("# log: %s\n", line);
}

int main(void)
{
	struct kvm_limits limits;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (kvm_probe(&limits) != 0 || (!limits.gicv2 && !limits.gicv3)) {
		puts("1..0 # SKIP no usable /dev/kvm");
		return 0;
	}
	log_set_sink(print_log);
	gic_version = limits.gicv3 ? 3 : 2;
	kvm_fd = kvm_open();
	for (unsigned reads = STRAY_READS_ZERO; reads <= STRAY_READS_ABORT; reads++)
		for (unsigned what = ACCESS_LOAD; what < ACCESS_SPIN; what++)
			for (unsigned where = PLUGGED; where <= NOWHERE; where++)
				try_access(what, (enum where)where, (enum stray_reads)reads);
	host_fault();
	park_and_run();
	hammer_while_unplugging();
	printf("1..%u\n", test_number);
	return failures != 0;
}
