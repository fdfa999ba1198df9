/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sluice, with a copier of its guest's memory in it: it holds the gate's log (hyp/memory/guestmem.h) against a real
 * guest on a real KVM. Before the guest starts the copier copies all; then, ten times a second and while the guest
 * runs, only pages that the gate's log names, which devices wrote, or KVM's, which vCPUs wrote. Each two seconds it
 * pauses the machine, copies once more, and compares: each page that the guest has is in the copy as it is.
 *
 * Appends a line for each comparison to the file that $COPIER_REPORT names. The first page that differs ends the
 * process with status 99. With $COPIER_FORGETS the copier ignores the gate's log, so that a script sees it notice.
 * The machine's windows have anonymous memory, and it has no reset.
 */
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/machine/machine-internal.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/guestmem.h"

#define ROUND_MS   100
#define ROUNDS	   20 /* from one comparison to the next */
#define SLOTS	   4096
#define PAGE_LIMIT 65536

int __real_machine_start(struct machine *machine);
int __wrap_machine_start(struct machine *machine);
void __real_machine_destroy(struct machine *machine);
void __wrap_machine_destroy(struct machine *machine);

/* Memory slots that KVM has and that the guest may write to, by id. */
static struct kvm_userspace_memory_region slots[SLOTS];
static int vm_fd;
static struct machine *copied;
static uint8_t *copies[GUESTMEM_RANGES];
static uint64_t *by_devices[GUESTMEM_RANGES],
	*by_vcpus[GUESTMEM_RANGES]; /* a bit a page, to be copied */
static uint64_t page;
static unsigned long device_pages,
	vcpu_pages; /* copied because one log alone named them, and that had changed */
static unsigned comparisons, rounds;
static bool forgets;
static FILE *report;

static __attribute__((noreturn)) void give_up(const char *what)
{
	fprintf(report, "%s\n", what);
	fclose(report);
	_exit(99);
}

static struct guestmem_range *range_at(const void *hva, size_t *ret_index)
{
	for (size_t i = 0; copied && i < copied->mem.count; i++) {
		struct guestmem_range *range = &copied->mem.ranges[i];

		if ((uintptr_t)hva - (uintptr_t)range->hva < range->size) {
			*ret_index = i;
			return range;
		}
	}
	return NULL;
}

static uint64_t pages_of(size_t index)
{
	return copied->mem.ranges[index].size / page;
}

/* Of a log of all its pages, 64 bits each. */
static size_t words_of(size_t index)
{
	return pages_of(index) / 64 + 1;
}

/* ---- The seam: KVM keeps its log of each slot, and memory that is mapped anew is zeros in the copy too ---- */

static int seam_ioctl(int fd, unsigned long request, void *arg)
{
	struct kvm_userspace_memory_region *region = arg;
	int result;

	if (request != KVM_SET_USER_MEMORY_REGION || region->flags & KVM_MEM_READONLY)
		return kvm_kernel.ioctl(fd, request, arg);
	if (region->slot >= SLOTS)
		give_up("too many slots");
	if (region->memory_size)
		region->flags |= KVM_MEM_LOG_DIRTY_PAGES;
	result = kvm_kernel.ioctl(fd, request, arg);
	if (!result) {
		slots[region->slot] = *region;
		vm_fd = fd;
	}
	return result;
}

static int seam_map(
	void *addr, size_t size, int prot, int flags, int fd, uint64_t offset, void **ret)
{
	int result = kvm_kernel.map(addr, size, prot, flags, fd, offset, ret);
	size_t index;
	struct guestmem_range *range = addr && !result ? range_at(addr, &index) : NULL;

	if (range) {
		if (fd != -1)
			give_up("memory of a file in a window");
		memset(copies[index] + ((uint8_t *)addr - range->hva), 0, size);
	}
	return result;
}

static struct kvm_seam seam;

static __attribute__((constructor)) void begin(void)
{
	seam = kvm_kernel;
	seam.ioctl = seam_ioctl;
	seam.map = seam_map;
	kvm_seam = &seam;
}

/* ---- The copier ---- */

static void ask_kvm(const struct kvm_userspace_memory_region *slot)
{
	uint64_t pages = slot->memory_size / page;
	uint64_t *bits = calloc(pages / 64 + 1, sizeof(*bits));
	struct kvm_dirty_log log = { .slot = slot->slot, .dirty_bitmap = bits };
	size_t index;
	const struct guestmem_range *range = range_at(
		(void *)(uintptr_t)slot->userspace_addr, &index);

	/* Stolen time has a slot, and no range: no device reaches it. */
	if (range) {
		uint64_t first = (slot->userspace_addr - (uintptr_t)range->hva) / page;

		if (!bits || kvm_ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log))
			give_up("KVM's log cannot be read");
		for (uint64_t at = 0; at < pages; at++)
			if (bits[at / 64] >> at % 64 & 1)
				by_vcpus[index][(first + at) / 64] |= UINT64_C(1)
								      << (first + at) % 64;
	}
	free(bits);
}

/* False: the guest does not have this page, or not now. */
static bool read_page(size_t index, uint64_t at, uint8_t *ret)
{
	const struct guestmem_range *range = &copied->mem.ranges[index];

	if (!guestmem_read_at(&copied->mem, range->gpa + at * page, page))
		return false;
	if (addrspace_peek(range->hva + at * page, ret, page))
		give_up("the host does not have a page that the guest has");
	return true;
}

static void copy_page(size_t index, uint64_t at, bool device, bool vcpu)
{
	static uint8_t now[PAGE_LIMIT];

	if (!read_page(index, at, now))
		return;
	if (memcmp(copies[index] + at * page, now, page)) {
		device_pages += device && !vcpu;
		vcpu_pages += vcpu && !device;
	}
	memcpy(copies[index] + at * page, now, page);
}

/* First the logs, then the pages: what is written between is in the logs again. */
static void copy(void)
{
	for (size_t i = 0; i < copied->mem.count; i++) {
		guestmem_log_take(&copied->mem, i, 0, pages_of(i), by_devices[i]);
		if (forgets)
			memset(by_devices[i], 0, words_of(i) * sizeof(uint64_t));
		memset(by_vcpus[i], 0, words_of(i) * sizeof(uint64_t));
	}
	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i].memory_size)
			ask_kvm(&slots[i]);
	for (size_t i = 0; i < copied->mem.count; i++)
		for (uint64_t word = 0; word < words_of(i); word++) {
			uint64_t device = by_devices[i][word], vcpu = by_vcpus[i][word];

			for (uint64_t bits = device | vcpu; bits; bits &= bits - 1) {
				unsigned bit = (unsigned)__builtin_ctzll(bits);

				copy_page(i, word * 64 + bit, device >> bit & 1, vcpu >> bit & 1);
			}
		}
}

static void compare(void)
{
	static uint8_t now[PAGE_LIMIT];
	unsigned long compared = 0;
	char text[128];

	for (size_t i = 0; i < copied->mem.count; i++)
		for (uint64_t at = 0; at < pages_of(i); at++) {
			if (!read_page(i, at, now))
				continue;
			compared++;
			if (!memcmp(copies[i] + at * page, now, page))
				continue;
			snprintf(text, sizeof(text), "%#lx was written, and is in no log",
				(unsigned long)(copied->mem.ranges[i].gpa + at * page));
			give_up(text);
		}
	fprintf(report,
		"compared %lu pages, time %u; written by devices alone: %lu, by vCPUs alone: %lu\n",
		compared, ++comparisons, device_pages, vcpu_pages);
	fflush(report);
}

static void round_is_due(struct loop_timer *timer)
{
	if (machine_state(copied) == MACHINE_RUNNING) {
		if (++rounds % ROUNDS == 0) {
			machine_pause(copied);
			copy();
			compare();
			machine_resume(copied);
		} else {
			copy();
		}
	}
	loop_timer_arm(copied->loop, timer, ROUND_MS);
}

static struct loop_timer next_round = { .fired = round_is_due, .name = "copier" };

int __wrap_machine_start(struct machine *machine)
{
	const char *path = getenv("COPIER_REPORT");

	forgets = getenv("COPIER_FORGETS");
	page = (uint64_t)sysconf(_SC_PAGESIZE);
	report = path ? fopen(path, "a") : NULL;
	if (!report || page > PAGE_LIMIT)
		return -1;
	copied = machine;
	if (guestmem_log_start(&machine->mem))
		give_up("the log does not start");
	for (size_t i = 0; i < machine->mem.count; i++) {
		copies[i] = mmap(NULL, machine->mem.ranges[i].size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		by_devices[i] = calloc(words_of(i), sizeof(uint64_t));
		by_vcpus[i] = calloc(words_of(i), sizeof(uint64_t));
		if (copies[i] == MAP_FAILED || !by_devices[i] || !by_vcpus[i])
			give_up("no memory for the copy");
		for (uint64_t at = 0; at < pages_of(i); at++)
			copy_page(i, at, false, false);
	}
	loop_timer_arm(machine->loop, &next_round, ROUND_MS);
	return __real_machine_start(machine);
}

void __wrap_machine_destroy(struct machine *machine)
{
	if (copied) {
		loop_timer_cancel(&next_round);
		guestmem_log_stop(&copied->mem);
		copied = NULL;
		fclose(report);
	}
	__real_machine_destroy(machine);
}
