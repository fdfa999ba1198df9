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
#include <asm/hwcap.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/mmio.h"
#include "hyp/kvm/vm.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/guestmem.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"
#include "hyp/vcpu/stray.h"
#include "hyp/vcpu/vcpu.h"
#include "outcome.h"

#define RAM_GPA	   UINT64_C(0x40000000)
#define RAM_SIZE   (2 * MiB)
#define ACCESS_GPA (RAM_GPA + MiB)
#define WINDOW_GPA (4 * GiB)
#define BLOCK	   (2 * MiB)
#define SLOT	   (8 * MiB)
#define WINDOW	   (32 * MiB)
#define WAIT_SEC   120

#define TABLES_GPA (RAM_GPA + MiB + 64 * KiB)
/* What ACCESS_WALK loads: its level 2 table is where the test says. */
#define WALK_VA (8 * GiB)

/* Stores without end, a byte a page; the other kinds are enum access_kind. */
#define ACCESS_SPIN ACCESS_KINDS

static const char *const access_names[ACCESS_KINDS] = {
	[ACCESS_LOAD] = "load",
	[ACCESS_STORE] = "store",
	[ACCESS_LOAD_PAIR] = "load-pair",
	[ACCESS_STORE_PAIR] = "store-pair",
	[ACCESS_STORE_WRITEBACK] = "store-writeback",
	[ACCESS_EXCLUSIVE] = "exclusive",
	[ACCESS_ATOMIC] = "atomic",
	[ACCESS_ZERO] = "dc-zva",
	[ACCESS_FETCH] = "fetch",
	[ACCESS_WALK] = "table-walk",
	[ACCESS_CLEAN] = "dc-civac",
	[ACCESS_ACROSS_IN] = "load-across-into",
	[ACCESS_ACROSS_OUT] = "load-across-out-of",
};

/* Shared with guest-access.S. */
struct access {
	uint64_t address, what, value;
	uint64_t esr, far, elr, come_back;
	uint64_t count, span, done;
	uint64_t tables;
};

extern const uint8_t guest_start[], guest_end[], guest_entry[];

struct machine {
	struct loop *loop;
	struct slots slots;
	struct kvm_slots kvm_slots;
	struct strays strays;
	struct vm vm;
	struct mmio_bus bus;
	struct guestmem mem;
	struct window *window;
	struct vcpus *vcpus;
	uint8_t *ram;
	sem_t reported;
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
	sem_post(&m->reported);
}

static struct access *access_of(struct machine *m)
{
	return (struct access *)(m->ram + (ACCESS_GPA - RAM_GPA));
}

/* Address for address, 1 GiB an entry; WALK_VA is the walk's (Arm ARM, D8.3). */
static void make_tables(struct machine *m, uint64_t walk_gpa)
{
	enum { BLOCK_ENTRY = 1, TABLE_ENTRY = 3, INNER = 3 << 8, ACCESSED = 1 << 10 };
	uint64_t *table = (uint64_t *)(m->ram + (TABLES_GPA - RAM_GPA));

	for (uint64_t i = 0; i < 64; i++)
		table[i] = i * GiB | BLOCK_ENTRY | INNER | ACCESSED;
	table[WALK_VA / GiB] = walk_gpa | TABLE_ENTRY;
}

static void build(struct machine *m, enum stray_reads reads, enum stray_policy policy)
{
	static const struct vcpu_config vcpu = { .mpidr = 0 };
	const struct gic_layout gic = { .version = gic_version,
		.dist_gpa = 0x08000000,
		.cpu_gpa = 0x08010000,
		.redist = { { 0x080a0000, 1 } },
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
		.vcpu = &vcpu,
		.bus = &m->bus,
		.mem = &m->mem,
		.slots = &m->slots,
		.strays = &m->strays,
		.event = on_event,
		.opaque = m };

	memset(m, 0, sizeof(*m));
	sem_init(&m->reported, 0, 0);
	CHECK(loop_create(&m->loop) == 0);
	strays_init(&m->strays, policy, m->loop);
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
	strays_finish(&m->strays);
	slots_finish(&m->slots);
	loop_destroy(m->loop);
	sem_destroy(&m->reported);
}

/* Runs until the vCPU reports an event; false when it reports none. */
static bool wait_event(struct machine *m)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SEC;
	return sem_timedwait(&m->reported, &until) == 0;
}

/* Makes one access at `at`, through tables that lie there if it is a walk. False: nothing was reported. */
static bool run_access(struct machine *m, unsigned what, uint64_t at)
{
	*access_of(m) = (struct access){ .address = what == ACCESS_WALK ? WALK_VA : at,
		.what = what,
		.value = 0x1234,
		.tables = TABLES_GPA };
	make_tables(m, at & ~UINT64_C(0xfff));
	vcpus_run(m->vcpus);
	return wait_event(m);
}

/* Besides what the table knows, memory that the guest has. */
#define PLUGGED PLACE_COUNT

static const char *const place_names[] = { "open-slot-zero", "open-slot-abort", "closed-slot",
	"nowhere", "plugged" };

/*
 * In slot 0 block 1 is unplugged and the others are not; slot 1 is closed; slot 2 begins with a
 * plugged block. So each place has memory on both sides, for the loads across.
 */
static void plug_around(struct machine *m)
{
	CHECK(window_plug(m->window, 0, BLOCK) == 0);
	CHECK(window_plug(m->window, 2 * BLOCK, 2 * BLOCK) == 0);
	CHECK(window_plug(m->window, 2 * SLOT, BLOCK) == 0);
}

static uint64_t address_of(unsigned what, unsigned place)
{
	static const struct {
		uint64_t start, end;
	} places[] = {
		[PLACE_OPEN_ZERO] = { WINDOW_GPA + BLOCK, WINDOW_GPA + 2 * BLOCK },
		[PLACE_OPEN_ABORT] = { WINDOW_GPA + BLOCK, WINDOW_GPA + 2 * BLOCK },
		[PLACE_CLOSED] = { WINDOW_GPA + SLOT, WINDOW_GPA + 2 * SLOT },
		[PLACE_NOWHERE] = { RAM_GPA + RAM_SIZE, RAM_GPA },
		[PLUGGED] = { WINDOW_GPA + 3 * BLOCK, WINDOW_GPA + 3 * BLOCK },
	};

	switch (what) {
	case ACCESS_ACROSS_IN:
		return places[place].start - 4;
	case ACCESS_ACROSS_OUT:
		return places[place].end - 4;
	default:
		return places[place].start + 0x1000;
	}
}

static enum stray_where where_of(unsigned place)
{
	return place == PLACE_CLOSED	? STRAY_SLOT
	       : place == PLACE_NOWHERE ? STRAY_NOWHERE
					: STRAY_BLOCK;
}

/* How many were counted as being in the place that they were in; UINT64_MAX if any was not. */
static uint64_t counted(struct machine *m, unsigned place)
{
	uint64_t right = 0;

	for (unsigned kind = 0; kind < STRAY_KINDS; kind++)
		right += m->strays.count[kind][where_of(place)];
	return right == strays_total(&m->strays) ? right : UINT64_MAX;
}

/* Whether the guest saw what the outcome says. */
static bool saw(const struct access *access, unsigned what, enum stray_outcome outcome, uint64_t at)
{
	struct seen seen = { access->esr, access->far, access->value };

	/* The guest's handler says done where nothing was unexpected; an unknown instruction has IL. */
	return !access->done == (access->esr != 0) &&
	       outcome_is(outcome, what, what == ACCESS_WALK ? WALK_VA : at, &seen);
}

/* What the same does to plugged memory, which is zeros here. */
static enum stray_outcome to_memory(unsigned what)
{
	return what == ACCESS_FETCH  ? STRAY_UNDEFINED
	       : what == ACCESS_WALK ? STRAY_NO_ENTRY
				     : STRAY_NOTHING;
}

static void try_access(unsigned what, unsigned place, enum stray_policy policy)
{
	static const enum vcpus_event reported_event[] = {
		[STRAY_ABORT] = VCPUS_POWER_OFF, /* by the guest's handler of the abort */
		[STRAY_PAUSE] = VCPUS_PAUSE,
		[STRAY_STOP] = VCPUS_STOP,
	};
	enum stray_outcome outcome = place == PLUGGED ? to_memory(what) : stray_table[what][place];
	bool reported = outcome == STRAY_REPORTED, ok;
	uint64_t at = address_of(what, place), resident = 0, count;
	struct access *access;
	struct machine m;

	build(&m, place == PLACE_OPEN_ABORT ? STRAY_READS_ABORT : STRAY_READS_ZERO, policy);
	access = access_of(&m);
	plug_around(&m);
	ok = run_access(&m, what, at);
	count = counted(&m, place);
	/* An emulated CPU does no cache maintenance; a real one may fault for it, and have it reported. */
	if (what == ACCESS_CLEAN && reported && !count)
		reported = false;
	ok = ok && m.event == (reported ? reported_event[policy] : VCPUS_POWER_OFF);
	ok = ok && count == reported;
	if (m.event == VCPUS_POWER_OFF)
		ok = ok && saw(access, what,
				   what == ACCESS_CLEAN && !reported ? STRAY_NOTHING : outcome, at);
	window_resident_bytes(m.window, &resident);
	ok = ok && (place == PLUGGED ? resident <= BLOCK : resident == 0);
	result(ok, "%s-%s-%s", access_names[what], place_names[place], stray_policy_names[policy]);
	if (!ok)
		printf("# outcome %d event %d (%s) counted %" PRIu64 " done %" PRIu64
		       " esr %" PRIx64 " far %" PRIx64 " value %" PRIx64 " resident %" PRIu64 "\n",
			outcome, m.event, m.text, count, access->done, access->esr, access->far,
			access->value, resident);
	unbuild(&m);
}

/* --- memory that the guest owns and the host cannot provide --- */

/* The ways in which a plugged block's memory goes missing; false: not on this host. */

static bool protect_block(uint8_t *hva)
{
	return mprotect(hva, BLOCK, PROT_NONE) == 0;
}

/* As of a memfd that somebody cut short; Sluice's own are sealed against it. */
static bool cut_file_short(uint8_t *hva)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);
	bool ok = fd >= 0 && ftruncate(fd, BLOCK) == 0 &&
		  mmap(hva, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == hva &&
		  ftruncate(fd, 0) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* The pool is empty here: pages that were not reserved are not there when they are touched. */
static bool use_up_pool(uint8_t *hva)
{
	return mmap(hva, BLOCK, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE | MAP_FIXED, -1,
		       0) == hva;
}

static const struct {
	const char *name;
	bool (*take)(uint8_t *hva);
} host_faults[] = {
	{ "protected", protect_block },
	{ "file-cut-short", cut_file_short },
	{ "hugetlb-pool-used-up", use_up_pool },
};

/* Never the guest's fault: it sees nothing of it, and goes on when the memory is there. */
static void host_fault(unsigned what, unsigned fault)
{
	uint64_t at = WINDOW_GPA + (what == ACCESS_ACROSS_OUT ? BLOCK - 4 : 0x1000);
	struct access *access;
	struct machine m;
	bool reported, after;
	uint8_t *hva;
	char text[80];

	snprintf(text, sizeof(text), "plugged block of the guest's at 0x%" PRIx64 " in vmem0", at);

	build(&m, STRAY_READS_ZERO, STRAY_ABORT);
	access = access_of(&m);
	hva = window_hva(m.window);
	CHECK(window_plug(m.window, 0, 2 * BLOCK) == 0);
	CHECK(host_faults[fault].take(hva));
	reported = run_access(&m, what, at) && m.event == VCPUS_HOST_FAULT &&
		   strstr(m.text, text) && !access->esr && !access->done &&
		   !strays_total(&m.strays);
	vcpus_park(m.vcpus);
	CHECK(mmap(hva, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		      0) == hva);
	vcpus_run(m.vcpus);
	after = wait_event(&m) && m.event == VCPUS_POWER_OFF &&
		saw(access, what, to_memory(what), at);
	result(reported && after, "host-fault-%s-%s", host_faults[fault].name, access_names[what]);
	if (!reported || !after)
		printf("# %s: event %d (%s) done %" PRIu64 " esr %" PRIx64 " far %" PRIx64 "\n",
			reported ? "reported, and then" : "not reported", m.event, m.text,
			access->done, access->esr, access->far);
	unbuild(&m);
}

/* A vCPU that stores without end is parked and run again, many times. */
static void park_and_run(void)
{
	struct machine m;
	uint64_t last = 0;
	bool moved = true;

	build(&m, STRAY_READS_ZERO, STRAY_ABORT);
	CHECK(window_plug(m.window, 0, BLOCK) == 0);
	*access_of(&m) = (struct access){
		.address = WINDOW_GPA, .what = ACCESS_SPIN, .span = BLOCK, .tables = TABLES_GPA
	};
	make_tables(&m, 0);
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

	build(&m, STRAY_READS_ZERO, STRAY_ABORT);
	access = access_of(&m);
	*access = (struct access){ .address = WINDOW_GPA,
		.what = ACCESS_SPIN,
		.span = BLOCK,
		.come_back = 1,
		.tables = TABLES_GPA };
	make_tables(&m, 0);
	CHECK(window_plug(m.window, 0, BLOCK) == 0);
	vcpus_run(m.vcpus);
	for (; rounds < ROUNDS && sem_trywait(&m.reported) != 0; rounds++) {
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
	struct kvm_gics gics;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (kvm_probe(&limits) != 0 || kvm_probe_gics(limits.ipa_bits, &gics, NULL) != 0 ||
		(!gics.v2 && !gics.v3)) {
		puts("1..0 # SKIP no usable /dev/kvm");
		return 0;
	}
	log_set_sink(print_log);
	gic_version = gics.v3 ? 3 : 2;
	kvm_fd = kvm_open();
	for (unsigned what = 0; what < ACCESS_KINDS; what++) {
		if (what == ACCESS_ATOMIC && !(getauxval(AT_HWCAP) & HWCAP_ATOMICS)) {
			puts("# this CPU has no FEAT_LSE: no atomic instructions tried");
			continue;
		}
		for (unsigned place = 0; place <= PLUGGED; place++)
			try_access(what, place, STRAY_ABORT);
		for (unsigned place = PLACE_OPEN_ZERO; place <= PLACE_CLOSED; place++)
			for (unsigned policy = STRAY_PAUSE; policy <= STRAY_STOP; policy++)
				try_access(what, place, (enum stray_policy)policy);
	}
	for (unsigned fault = 0; fault < ARRAY_SIZE(host_faults); fault++)
		for (unsigned what = 0; what < ACCESS_KINDS; what++)
			if (what != ACCESS_CLEAN && what != ACCESS_ATOMIC &&
				what != ACCESS_ACROSS_IN)
				host_fault(what, fault);
	park_and_run();
	hammer_while_unplugging();
	printf("1..%u\n", test_number);
	return failures != 0;
}
