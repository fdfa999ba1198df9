/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM keeps for the slots of a window of 1 TiB with 1 GiB plugged, cut in several ways: kernel
 * memory as the process's memory cgroup counts it, and again with dirty pages logged, as a live
 * migration would. Prints a table. It needs /dev/kvm and no guest, so it runs on x86-64 as well,
 * where KVM keeps far more than on arm64. 77 (skipped) where something it needs is not there.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"

#define GPA	(4 * GiB)
#define WINDOW	(1 * TiB)
#define PLUGGED (1 * GiB)
#define BLOCK	(2 * MiB)
#define SKIPPED 77

/* The bars, for a window that is cut. */
#define METADATA_MAX (4 * MiB)
#define DIRTY_MAX    (128 * KiB)

/* Knows which slots are open; KVM's own flags are not Sluice's to set. */
struct recorder {
	struct listener listener;
	struct memory_slot slot[2048];
	unsigned count;
};

static int record(struct listener *listener, const struct memory_slot *slot)
{
	struct recorder *recorder = container_of(listener, struct recorder, listener);

	CHECK(recorder->count < ARRAY_SIZE(recorder->slot));
	recorder->slot[recorder->count++] = *slot;
	return 0;
}

static int forget(struct listener *listener, const struct memory_slot *slot)
{
	return 0;
}

/* Bytes of kernel memory that the cgroup of this process is charged for (cgroup v1 or v2); -1: unknown. */
static int64_t kernel_bytes(void)
{
	static const struct {
		const char *controller, *file, *format;
	} kinds[] = {
		{ ":memory:", "/sys/fs/cgroup/memory%s/memory.kmem.usage_in_bytes", "%lld" },
		{ "0::", "/sys/fs/cgroup%s/memory.stat", "kernel %lld" },
	};
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[512], path[640];
	long long bytes = -1;

	while (file && bytes < 0 && fgets(line, sizeof(line), file))
		for (unsigned i = 0; i < ARRAY_SIZE(kinds) && bytes < 0; i++) {
			char *at = strstr(line, kinds[i].controller), text[128];
			FILE *usage;

			if (!at)
				continue;
			at += strlen(kinds[i].controller);
			at[strcspn(at, "\n")] = '\0';
			snprintf(path, sizeof(path), kinds[i].file, strcmp(at, "/") ? at : "");
			usage = fopen(path, "re");
			while (usage && bytes < 0 && fgets(text, sizeof(text), usage))
				if (sscanf(text, kinds[i].format, &bytes) != 1)
					bytes = -1;
			if (usage)
				fclose(usage);
		}
	if (file)
		fclose(file);
	return bytes;
}

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Whether a figure keeps its bar, which is none where the window is not cut. */
static const char *bar(uint64_t slot_bytes, int64_t bytes, uint64_t max)
{
	return slot_bytes == WINDOW ? "-" : bytes <= (int64_t)max ? "met" : "missed";
}

static void measure(int kvm, const char *name, uint64_t slot_bytes)
{
	static const struct listener_ops ops = { .open = record, .close = forget };
	struct window_config config = {
		.name = "vmem0",
		.gpa = GPA,
		.size = WINDOW,
		.block_bytes = BLOCK,
		.slot_bytes = slot_bytes,
		.stray_reads = STRAY_READS_ABORT,
	};
	struct recorder recorder = { .listener = { &ops, "recorder", UINT32_MAX } };
	int bits = kvm_extension(kvm, KVM_CAP_ARM_VM_IPA_SIZE);
	struct kvm_slots kvm_slots;
	struct window *window;
	struct slots slots;
	struct loop *loop;
	int64_t before, with_slots, with_dirty;
	double start;
	int vm;

	CHECK(loop_create(&loop) == 0);
	vm = kvm_ioctl_value(kvm, KVM_CREATE_VM, bits > 0 ? (unsigned)bits : 0);
	CHECK(vm >= 0);
	slots_init(&slots);
	kvm_slots_init(&kvm_slots, (unsigned)kvm_extension(kvm, KVM_CAP_NR_MEMSLOTS));
	kvm_slots.vm_fd = vm;
	CHECK(slots_add_listener(&slots, &kvm_slots.listener) == 0);
	CHECK(slots_add_listener(&slots, &recorder.listener) == 0);
	CHECK(window_create(&config, loop, &window) == 0);
	window_attach(window, &slots);

	before = kernel_bytes();
	start = milliseconds();
	CHECK(window_plug(window, 0, PLUGGED) == 0);
	start = milliseconds() - start;
	with_slots = kernel_bytes();
	for (unsigned i = 0; i < recorder.count; i++) {
		struct kvm_userspace_memory_region region = {
			.slot = recorder.slot[i].id,
			.flags = KVM_MEM_LOG_DIRTY_PAGES,
			.guest_phys_addr = recorder.slot[i].gpa,
			.memory_size = recorder.slot[i].size,
			.userspace_addr = (uintptr_t)recorder.slot[i].hva,
		};

		CHECK(kvm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
	}
	with_dirty = kernel_bytes();
	with_dirty -= with_slots;
	with_slots -= before;
	printf("| %s | %u | %" PRIu64 " MiB | %.1f MiB | %s | %.2f MiB | %s | %.1f ms |\n", name,
		recorder.count, slot_bytes / MiB, (double)with_slots / (double)MiB,
		bar(slot_bytes, with_slots, METADATA_MAX), (double)with_dirty / (double)MiB,
		bar(slot_bytes, with_dirty, DIRTY_MAX), start);
	fflush(stdout);
	slots_forget(&slots);
	close(vm);
	CHECK(window_detach(window) == 0);
	window_destroy(window);
	slots_finish(&slots);
	loop_destroy(loop);
}

int main(void)
{
	struct utsname host;
	int kvm = kvm_open();

	if (kvm < 0 || kernel_bytes() < 0) {
		printf("skipped: %s\n",
			kvm < 0 ? "no usable /dev/kvm" : "no memory cgroup to read");
		return SKIPPED;
	}
	uname(&host);
	host.release[strcspn(host.release, "-+")] = 0;
	printf("Host: Linux %s on %s\n\n", host.release, host.machine);
	printf("| window cut into | slots open | of | metadata | bar: %.3f MiB | dirty bitmaps "
	       "| bar: %.3f MiB | time to plug |\n|---|---|---|---|---|---|---|---|\n",
		(double)METADATA_MAX / (double)MiB, (double)DIRTY_MAX / (double)MiB);
	measure(kvm, "one slot", WINDOW);
	measure(kvm, "chosen slots", GiB);
	measure(kvm, "slots of 128 MiB", 128 * MiB);
	measure(kvm, "slots of 64 MiB", 64 * MiB);
	close(kvm);
	return 0;
}
