/* SPDX-License-Identifier: Apache-2.0 */
/* A machine around the fake vCPU: RAM, a window with a plugged block, and a region of registers. */
#ifndef SLUICE_TESTS_UNIT_VCPU_BENCH_H
#define SLUICE_TESTS_UNIT_VCPU_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/helpers/fake-vcpu.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/mmio.h"
#include "hyp/memory/guestmem.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"
#include "hyp/vcpu/regs.h"
#include "hyp/vcpu/stray.h"
#include "hyp/vcpu/vcpu-internal.h"
#include "tests/unit/helpers/unit.h"

#define RAM_GPA	     UINT64_C(0x40000000)
#define RAM_BYTES    (64 * KiB)
#define WINDOW_GPA   (4 * GiB)
#define WINDOW_BYTES (16 * MiB)
#define BLOCK_BYTES  (2 * MiB) /* the first is plugged */
#define SLOT_BYTES   (4 * MiB)
#define UART_GPA     UINT64_C(0x9000000)
#define UART_BYTES   UINT64_C(0x1000)

static struct bench {
	struct guestmem mem;
	struct loop *loop;
	struct slots slots;
	struct kvm_slots kvm_slots;
	struct window *window;
	struct strays strays;
	struct mmio_bus bus;
	struct mmio_region uart;
	pthread_mutex_t uart_lock;
	struct mmio_access access; /* the last of the region */
	unsigned accesses;
	uint64_t *ram;
	struct vcpus *vcpus;
	struct vcpu *vcpu;

	unsigned events; /* so many were reported */
	enum vcpus_event event;
	char text[256];
} bench;

static inline void bench_event(void *opaque, enum vcpus_event event, const char *text)
{
	assert_ptr_equal(opaque, &bench);
	bench.events++;
	bench.event = event;
	snprintf(bench.text, sizeof(bench.text), "%s", text);
}

static inline void bench_access(struct mmio_region *region, struct mmio_access *access)
{
	bench.accesses++;
	bench.access = *access;
	if (!access->write)
		access->data = UINT64_C(0x8877665544332211);
}

static inline void bench_begin(bool el2, enum stray_policy policy)
{
	static const struct window_config config = { .name = "vmem0",
		.gpa = WINDOW_GPA,
		.size = WINDOW_BYTES,
		.block_bytes = BLOCK_BYTES,
		.slot_bytes = SLOT_BYTES,
		.stray_reads = STRAY_READS_ZERO };

	memset(&bench, 0, sizeof(bench));
	fake_vcpu_install(el2);
	assert_int_equal(loop_create(&bench.loop), 0);
	slots_init(&bench.slots);
	kvm_slots_init(&bench.kvm_slots, 64);
	assert_int_equal(slots_add_listener(&bench.slots, &bench.kvm_slots.listener), 0);
	assert_int_equal(window_create(&config, bench.loop, &bench.window), 0);
	window_attach(bench.window, &bench.slots);
	assert_int_equal(window_plug(bench.window, 0, BLOCK_BYTES), 0);
	bench.ram = mmap(
		NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(bench.ram != MAP_FAILED);
	assert_int_equal(guestmem_add(&bench.mem, &(struct guestmem_range){ .gpa = RAM_GPA,
							  .size = RAM_BYTES,
							  .hva = (uint8_t *)bench.ram }),
		0);
	assert_int_equal(guestmem_add(&bench.mem, &(struct guestmem_range){ .gpa = WINDOW_GPA,
							  .size = WINDOW_BYTES,
							  .hva = window_hva(bench.window),
							  .window = bench.window }),
		0);
	pthread_mutex_init(&bench.uart_lock, NULL);
	bench.uart = (struct mmio_region){ .name = "uart",
		.gpa = UART_GPA,
		.size = UART_BYTES,
		.access = bench_access,
		.lock = &bench.uart_lock };
	assert_int_equal(mmio_bus_add(&bench.bus, &bench.uart), 0);
	strays_init(&bench.strays, policy, bench.loop);
	bench.vcpus = calloc(1, sizeof(*bench.vcpus) + 2 * sizeof(struct vcpu));
	assert_non_null(bench.vcpus);
	bench.vcpus->config = (struct vcpus_config){ .count = 1,
		.features = el2 ? 1u << CPU_NESTED : 0,
		.bus = &bench.bus,
		.mem = &bench.mem,
		.slots = &bench.slots,
		.strays = &bench.strays,
		.event = bench_event,
		.opaque = &bench };
	bench.vcpu = &bench.vcpus->vcpu[0];
	*bench.vcpu = (struct vcpu){ .vcpus = bench.vcpus,
		.index = 3,
		.fd = FAKE_VCPU_FD,
		.run = &fake_vcpu.run,
		.generation = atomic_load(&bench.slots.generation),
		.thread = pthread_self() };
	/* Another, which counts where a test says so. */
	bench.vcpus->vcpu[1] = (struct vcpu){ .vcpus = bench.vcpus,
		.fd = FAKE_OTHER_FD,
		.run = &fake_vcpu.other_run,
		.thread = pthread_self() };
}

static inline void bench_end(void)
{
	free(bench.vcpus);
	strays_finish(&bench.strays);
	pthread_mutex_destroy(&bench.uart_lock);
	munmap(bench.ram, RAM_BYTES);
	slots_forget(&bench.slots);
	assert_int_equal(window_detach(bench.window), 0);
	window_destroy(bench.window);
	slots_finish(&bench.slots);
	loop_destroy(bench.loop);
	kvm_seam = &kvm_kernel;
}

static inline uint64_t bench_strays(enum stray_kind kind, enum stray_where where)
{
	return atomic_load(&bench.strays.count[kind][where]);
}

#endif
