/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a window's blocks, on the real kernel, with each backing: an unplug frees
 * memory, commit charge, locked memory and page tables, and a host that refuses leaves no hole and
 * nothing exposed. It needs no guest: the kernel is asked what it has mapped. Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window-internal.h"
#include "tests/unit/helpers/fake-kvm.h"
#include "tests/unit/helpers/zero-page.h"

#define GPA    (4 * GiB)
#define BLOCK  (2 * MiB)
#define SLOT   (8 * MiB)
#define WINDOW (64 * MiB)

static const char *const kinds[] = { "anonymous", "memfd", "hugetlb", "file" };
static unsigned points, failures;

static void result(bool ok, const char *format, ...)
{
	va_list args;

	failures += !ok;
	printf("%sok %u - ", ok ? "" : "not ", ++points);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

struct bench {
	enum backing_kind kind;
	struct loop *loop;
	struct slots slots;
	struct kvm_slots kvm;
	struct window *window;
	struct loop_timer stop;
};

static void stop_loop(struct loop_timer *timer)
{
	loop_stop(container_of(timer, struct bench, stop)->loop);
}

static void run_for(struct bench *b, uint64_t ms)
{
	b->stop.fired = stop_loop;
	loop_timer_arm(b->loop, &b->stop, ms);
	CHECK(loop_run(b->loop) == 0);
}

static struct window *add_window(struct bench *b, uint64_t gpa)
{
	struct window_config config = {
		.name = "vmem0",
		.gpa = gpa,
		.size = WINDOW,
		.block_bytes = BLOCK,
		.slot_bytes = SLOT,
		.backing = b->kind,
	};
	struct window *window;

	CHECK(window_create(&config, b->loop, &window) == 0);
	window_attach(window, &b->slots);
	return window;
}

static void begin(struct bench *b, enum backing_kind kind)
{
	*b = (struct bench){ .kind = kind };
	fake_kvm_install();
	CHECK(loop_create(&b->loop) == 0);
	slots_init(&b->slots);
	kvm_slots_init(&b->kvm, 64);
	b->kvm.vm_fd = FAKE_KVM_FD;
	CHECK(slots_add_listener(&b->slots, &b->kvm.listener) == 0);
	b->window = add_window(b, GPA);
}

static void end(struct bench *b)
{
	slots_forget(&b->slots);
	CHECK(window_detach(b->window) == 0);
	window_destroy(b->window);
	slots_finish(&b->slots);
	loop_destroy(b->loop);
}

/* --- what the kernel says --- */

static uint64_t kib_of(const char *path, const char *format)
{
	FILE *file = fopen(path, "re");
	unsigned long long kib = 0;
	char line[256];

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, format, &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static uint64_t locked_kib(void)
{
	return kib_of("/proc/self/status", "VmLck: %llu kB");
}
static uint64_t tables_kib(void)
{
	return kib_of("/proc/self/status", "VmPTE: %llu kB");
}
static uint64_t huge_pages_free(void)
{
	return kib_of("/proc/meminfo", "HugePages_Free: %llu");
}
static uint64_t huge_pages_reserved(void)
{
	return kib_of("/proc/meminfo", "HugePages_Rsvd: %llu");
}

/* Mappings of the window that count against the commit limit (VmFlags: ac), in bytes. */
static uint64_t charged_bytes(const struct bench *b)
{
	uint64_t start = (uintptr_t)window_hva(b->window), sum = 0;
	unsigned long long from = 0, to = 0, new_from, new_to;
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[512];

	CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx-%llx ", &new_from, &new_to) == 2) {
			from = new_from;
			to = new_to;
		} else if (!strncmp(line, "VmFlags:", 8) && strstr(line, " ac") && from >= start &&
			   to <= start + WINDOW) {
			sum += to - from;
		}
	}
	fclose(file);
	return sum;
}

static uint64_t file_bytes(const struct bench *b)
{
	struct stat stat;

	if (b->window->backing.fd < 0)
		return 0;
	CHECK(fstat(b->window->backing.fd, &stat) == 0);
	return (uint64_t)stat.st_blocks * 512;
}

static uint64_t exposed(const struct bench *b)
{
	uint64_t bytes;

	CHECK(window_exposed_bytes(b->window, &bytes) == 0);
	return bytes;
}

static uint64_t resident(const struct bench *b)
{
	uint64_t bytes;

	CHECK(window_resident_bytes(b->window, &bytes) == 0);
	return bytes;
}

/* Every page of the window is mapped: no hole for another mapping to land in. */
static bool is_whole(const struct bench *b)
{
	static unsigned char pages[WINDOW / 4096];

	return mincore(window_hva(b->window), WINDOW, pages) == 0;
}

/* By the kernel, which says EFAULT where a guest would fault. */
static bool can_write(uint8_t *at)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	bool can = read(zero, at, 1) == 1;

	close(zero);
	return can;
}

static bool is_filled(const uint8_t *at, uint8_t byte, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		if (at[i] != byte)
			return false;
	return true;
}

/* --- points --- */

static void skip(const char *name, const char *why)
{
	printf("ok %u - %s # SKIP %s\n", ++points, name, why);
}

static void contents(struct bench *b)
{
	uint8_t *hva = window_hva(b->window);
	bool ok;

	CHECK(window_plug(b->window, BLOCK, 6 * BLOCK) == 0);
	memset(hva + BLOCK, 0x5a, 6 * BLOCK);
	result(exposed(b) == 6 * BLOCK && resident(b) == 6 * BLOCK, "%s: plugged is exposed",
		kinds[b->kind]);
	CHECK(window_unplug(b->window, 3 * BLOCK, 2 * BLOCK) == 0);
	result(exposed(b) == 4 * BLOCK && resident(b) == 4 * BLOCK,
		"%s: unplugged blocks hold no memory (%llu KiB held for %llu)", kinds[b->kind],
		(unsigned long long)(resident(b) / KiB), (unsigned long long)(4 * BLOCK / KiB));
	ok = is_filled(hva + BLOCK, 0x5a, 2 * BLOCK) && is_filled(hva + 5 * BLOCK, 0x5a, 2 * BLOCK);
	result(ok, "%s: an unplug leaves its neighbours", kinds[b->kind]);
	result(!can_write(hva + 3 * BLOCK) && is_filled(hva + 3 * BLOCK, 0, 2 * BLOCK),
		"%s: unplugged blocks read as zeros and cannot be written", kinds[b->kind]);
	if (zero_page_is_shared())
		result(resident(b) == 4 * BLOCK, "%s: what was read holds none (%llu KiB held for %llu)",
			kinds[b->kind], (unsigned long long)(resident(b) / KiB),
			(unsigned long long)(4 * BLOCK / KiB));
	else
		skip("what was read holds none", "this machine's kernel shares no page of zeros");
	CHECK(window_plug(b->window, 3 * BLOCK, 2 * BLOCK) == 0);
	result(is_filled(hva + 3 * BLOCK, 0, 2 * BLOCK), "%s: plugged again, they are zeros",
		kinds[b->kind]);
	CHECK(window_unplug_all(b->window) == 0);
	result(!exposed(b) && !resident(b) && !file_bytes(b), "%s: unplug-all takes everything",
		kinds[b->kind]);
}

static void gives_back(struct bench *b)
{
	uint64_t reserved = huge_pages_reserved(), free_pages = huge_pages_free(), tables;
	uint8_t *hva = window_hva(b->window);

	run_for(b, 1300); /* slots close, and with them go the tables */
	tables = tables_kib();
	CHECK(window_plug(b->window, 0, WINDOW / 2) == 0);
	memset(hva, 1, WINDOW / 4); /* one half of it was never touched */
	result(b->kind == BACKING_ANONYMOUS ? charged_bytes(b) == WINDOW / 2
		: b->kind == BACKING_MEMFD
			? file_bytes(b) == WINDOW / 4
			: huge_pages_free() - huge_pages_reserved() ==
				  free_pages - reserved - WINDOW / 2 / backing_huge_page_bytes(),
		"%s: the host is charged for what is plugged", kinds[b->kind]);
	/* The sanitizers make mlock() do nothing. */
	CHECK(syscall(SYS_mlock, hva, WINDOW / 4) == 0);
	CHECK(locked_kib() == WINDOW / 4 / KiB || b->kind == BACKING_HUGETLB);
	CHECK(window_unplug(b->window, 0, WINDOW / 2) == 0);
	run_for(b, 1300);
	result(!resident(b) && !charged_bytes(b) && !file_bytes(b) &&
			huge_pages_free() == free_pages && huge_pages_reserved() == reserved,
		"%s: an unplug frees memory, charge and reservation", kinds[b->kind]);
	result(locked_kib() == 0, "%s: locked memory too", kinds[b->kind]);
	/* A page of tables may be the process's own, for what it allocates meanwhile. */
	result(tables_kib() <= tables + (uint64_t)getpagesize() / KiB,
		"%s: page tables too (%llu KiB, before %llu)", kinds[b->kind],
		(unsigned long long)tables_kib(), (unsigned long long)tables);
}

/* Each call of a plug and an unplug fails in turn; what follows the failure works again. */
static void failures_in_turn(enum backing_kind kind)
{
	unsigned busy = 0, at;
	bool ok = true;

	for (at = 1; at < 50; at++) {
		struct bench b;
		uint8_t *hva;
		bool plugged, unplugged;

		begin(&b, kind);
		hva = window_hva(b.window);
		CHECK(window_plug(b.window, 0, BLOCK) == 0);
		memset(hva, 0x33, BLOCK);
		fake_kvm.calls = 0;
		fake_kvm.fail_at = at;
		plugged = window_plug(b.window, 2 * BLOCK, SLOT) == 0;
		ok &= exposed(&b) == BLOCK + (plugged ? SLOT : 0) && is_whole(&b);
		unplugged = window_unplug(b.window, 0, BLOCK) == 0;
		ok &= is_whole(&b) && (unplugged || is_filled(hva, 0x33, BLOCK));
		ok &= exposed(&b) == (unplugged ? 0 : BLOCK) + (plugged ? SLOT : 0);
		fake_kvm.fail_at = 0;
		busy += !plugged + !unplugged;
		run_for(&b, 1300); /* what is pending is done */
		ok &= !b.window->reclaim_size;
		ok &= plugged || window_plug(b.window, 2 * BLOCK, SLOT) == 0;
		ok &= unplugged || window_unplug(b.window, 0, BLOCK) == 0;
		ok &= exposed(&b) == SLOT && !resident(&b) && !file_bytes(&b);
		end(&b);
		if (!fake_kvm.failed)
			break;
	}
	result(ok && busy >= 3 && at < 50,
		"%s: each of %u calls failed in turn: nothing exposed, no hole, nothing lost",
		kinds[kind], at - 1);
}

/* The host takes nothing back for a while: everything waits, nothing is exposed, and then it goes on. */
static void pending(enum backing_kind kind)
{
	uint8_t *hva;
	struct bench b;
	bool ok;

	begin(&b, kind);
	hva = window_hva(b.window);
	CHECK(window_plug(b.window, 0, 2 * BLOCK) == 0);
	memset(hva, 0x44, 2 * BLOCK);
	fake_kvm.fail_punching = true;
	CHECK(window_unplug(b.window, 0, BLOCK) == 0); /* protected, which is what counts */
	ok = !can_write(hva) && exposed(&b) == BLOCK;
	ok &= window_plug(b.window, 0, BLOCK) == -EBUSY &&
	      window_unplug(b.window, BLOCK, BLOCK) == -EBUSY &&
	      window_unplug_all(b.window) == -EBUSY;
	run_for(&b, 1300);
	ok &= file_bytes(&b) == 2 * BLOCK && window_plug(b.window, 0, BLOCK) == -EBUSY;
	fake_kvm.fail_punching = false;
	run_for(&b, 1300);
	ok &= file_bytes(&b) == BLOCK && window_plug(b.window, 0, BLOCK) == 0 &&
	      is_filled(hva, 0, BLOCK) && is_filled(hva + BLOCK, 0x44, BLOCK);
	result(ok, "%s: what the host does not reclaim at once is asked for again", kinds[kind]);
	end(&b);
}

static void is_sealed(void)
{
	struct bench b;
	char path[64];
	int fd;

	begin(&b, BACKING_MEMFD);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", b.window->backing.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	result(fd >= 0 && ftruncate(fd, 0) < 0 && errno == EPERM && ftruncate(fd, 2 * WINDOW) < 0 &&
			fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0,
		"memfd: no process that is given the file can cut it short");
	close(fd);
	end(&b);
}

/* Two windows want more than there is. */
static void pool_used_up(void)
{
	uint64_t blocks = (huge_pages_free() - huge_pages_reserved()) /
			  (BLOCK / backing_huge_page_bytes());
	unsigned plugged = 0;
	struct bench b;
	struct window *first, *second;
	bool ok;

	begin(&b, BACKING_HUGETLB);
	first = b.window;
	second = b.window = add_window(&b, 2 * GPA);
	CHECK(window_plug(first, 0, WINDOW) == 0);
	while (plugged < WINDOW / BLOCK && window_plug(second, plugged * BLOCK, BLOCK) == 0)
		plugged++;
	ok = plugged == blocks - WINDOW / BLOCK && is_whole(&b) && exposed(&b) == plugged * BLOCK;
	CHECK(window_unplug_all(first) == 0);
	result(ok && window_plug(second, WINDOW - BLOCK, BLOCK) == 0,
		"hugetlb: a pool that is used up is BUSY, no hole, and goes on when there is room");
	slots_forget(&b.slots);
	CHECK(window_detach(first) == 0);
	window_destroy(first);
	end(&b);
}

/* --- RAM: filled, emptied as at a reset, and freed in the end --- */

#define RAM (32 * MiB)

static uint64_t shmem_kib(void)
{
	return kib_of("/proc/meminfo", "Shmem: %llu kB");
}

static void ram(enum backing_kind kind)
{
	char path[] = "/tmp/test-backing.XXXXXX";
	int fd = kind == BACKING_FILE ? mkstemp(path) : -1;
	uint64_t pages = huge_pages_free(), shared = shmem_kib();
	struct backing backing;

	kvm_seam = &kvm_kernel;
	CHECK(fd < 0 || ftruncate(fd, RAM) == 0);
	CHECK(backing_create_ram(&backing, kind, GPA, RAM, fd) == 0);
	result(is_filled(backing.hva, 0, RAM), "%s: RAM is zeros", kinds[kind]);
	for (unsigned life = 0; life < 2; life++) {
		memset(backing.hva, 0x5a, RAM);
		CHECK(backing_empty_ram(&backing, 0, backing.size) == 0);
		result(is_filled(backing.hva, 0, RAM), "%s: and again after a reset", kinds[kind]);
	}
	if (kind == BACKING_FILE)
		unlink(path); /* so that its memory goes with the last descriptor */
	backing_destroy(&backing);
	result(huge_pages_free() == pages && shmem_kib() < shared + RAM / KiB / 2,
		"%s: RAM is freed", kinds[kind]);
}

int main(void)
{
	uint64_t huge = backing_huge_page_bytes();

	for (unsigned kind = 0; kind <= BACKING_HUGETLB; kind++) {
		struct bench b;

		if (kind == BACKING_HUGETLB &&
			(!huge || BLOCK % huge || huge_pages_free() < WINDOW / huge ||
				huge_pages_free() >= 2 * WINDOW / huge)) {
			skip("hugetlb",
				"wants a pool of 64 to 126 MiB of huge pages (vm.nr_hugepages)");
			continue;
		}
		ram(kind);
		begin(&b, kind);
		contents(&b);
		gives_back(&b);
		end(&b);
		failures_in_turn(kind);
		if (kind == BACKING_MEMFD) {
			pending(kind);
			is_sealed();
		} else if (kind == BACKING_HUGETLB) {
			pool_used_up();
		}
	}
	ram(BACKING_FILE);
	printf("1..%u\n", points);
	return failures ? 1 : 0;
}
