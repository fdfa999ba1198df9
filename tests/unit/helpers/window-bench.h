/* SPDX-License-Identifier: Apache-2.0 */
/* One window on the fake KVM, or a real one, with a loop; and what the kernel says of it. */
#ifndef SLUICE_TESTS_UNIT_WINDOW_BENCH_H
#define SLUICE_TESTS_UNIT_WINDOW_BENCH_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helpers/fake-kvm.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"
#include "tests/unit/helpers/unit.h"

#define GPA   (4 * GiB)
#define BLOCK (2 * MiB)
#define SLOT  (16 * MiB)

struct fixture {
	struct loop *loop;
	struct slots slots;
	struct kvm_slots kvm_slots;
	struct window *window;
	int vm_fd;
	struct loop_timer stop;
};

static inline void stop_loop(struct loop_timer *timer)
{
	loop_stop(container_of(timer, struct fixture, stop)->loop);
}

static inline void run_for(struct fixture *f, uint64_t ms)
{
	f->stop.fired = stop_loop;
	loop_timer_arm(f->loop, &f->stop, ms);
	assert_int_equal(loop_run(f->loop), 0);
}

static inline void open_configured(
	struct fixture *f, const struct window_config *config, int vm_fd, unsigned limit)
{
	*f = (struct fixture){ .vm_fd = vm_fd };
	assert_int_equal(loop_create(&f->loop), 0);
	slots_init(&f->slots);
	kvm_slots_init(&f->kvm_slots, limit);
	assert_int_equal(slots_add_listener(&f->slots, &f->kvm_slots.listener), 0);
	f->kvm_slots.vm_fd = vm_fd;
	assert_int_equal(window_create(config, f->loop, &f->window), 0);
	window_attach(f->window, &f->slots);
}

static inline void open_slots_of(struct fixture *f, uint64_t slot_bytes, uint64_t size,
	enum stray_reads reads, int vm_fd, unsigned limit)
{
	struct window_config config = {
		.name = "test",
		.gpa = GPA,
		.size = size,
		.block_bytes = BLOCK,
		.slot_bytes = slot_bytes,
		.stray_reads = reads,
	};

	open_configured(f, &config, vm_fd, limit);
}

static inline void open_fixture(
	struct fixture *f, uint64_t size, enum stray_reads reads, int vm_fd, unsigned limit)
{
	open_slots_of(f, SLOT, size, reads, vm_fd, limit);
}

static inline void close_fixture(struct fixture *f)
{
	slots_forget(&f->slots);
	assert_int_equal(window_detach(f->window), 0);
	window_destroy(f->window);
	slots_finish(&f->slots);
	loop_destroy(f->loop);
}

static inline uint64_t exposed(struct fixture *f)
{
	uint64_t bytes;

	assert_int_equal(window_exposed_bytes(f->window, &bytes), 0);
	return bytes;
}

static inline uint64_t resident(struct fixture *f)
{
	uint64_t bytes;

	assert_int_equal(window_resident_bytes(f->window, &bytes), 0);
	return bytes;
}

/* A write such as a hostile guest makes, by the kernel: EFAULT instead of a signal. */
static inline bool can_write(uint8_t *at)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	bool can = read(zero, at, 1) == 1;

	close(zero);
	return can;
}

/* A read, by the kernel too. */
static inline bool can_read(const uint8_t *at)
{
	int null[2];
	bool can;

	assert_int_equal(pipe(null), 0);
	can = write(null[1], at, 1) == 1;
	close(null[0]);
	close(null[1]);
	return can;
}

static inline uint64_t real_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	uint64_t lines = 0;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		lines += strchr(line, '\n') != NULL;
	fclose(file);
	return lines;
}

#endif
