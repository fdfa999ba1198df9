/* SPDX-License-Identifier: Apache-2.0 */
/* A PrimeCell model on its own: its registers through the bus, its line recorded, a real loop (or fake-loop.c). */
#ifndef SLUICE_TESTS_UNIT_PL0XX_H
#define SLUICE_TESTS_UNIT_PL0XX_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/device.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "hyp/kvm/mmio.h"

#define BASE 0x09000000

struct bench {
	struct loop *loop;
	struct device *device;
	struct mmio_bus bus;
	struct irq_line irq;
	bool level;
	unsigned changes; /* of the line */
	struct loop_timer stop;
};

static inline void bench_irq_set(struct irq_line *line, bool level)
{
	struct bench *bench = container_of(line, struct bench, irq);

	/* A line changes with its device locked; a device that is being created has no lock yet. */
	if (bench->device)
		CHECK(pthread_mutex_trylock(&bench->device->lock) == EBUSY);
	bench->changes++;
	bench->level = level;
}

/* `config` is as the class's property table fills it. */
static inline void bench_start_node(struct bench *bench, const struct device_class *class,
	const void *config, struct chardev *chardev)
{
	struct device_env env = { .id = class->compatible, .irq = &bench->irq, .chardev = chardev };

	memset(bench, 0, sizeof(*bench));
	bench->irq.set = bench_irq_set;
	assert_int_equal(loop_create(&bench->loop), 0);
	env.loop = bench->loop;
	assert_int_equal(device_create(class, config, &env, &bench->device), 0);
	bench->device->region.gpa = BASE;
	assert_int_equal(mmio_bus_add(&bench->bus, &bench->device->region), 0);
}

static inline void bench_start(
	struct bench *bench, const struct device_class *class, struct chardev *chardev)
{
	bench_start_node(bench, class, NULL, chardev);
}

static inline void bench_end(struct bench *bench)
{
	device_destroy(bench->device);
	loop_timer_cancel(&bench->stop);
	loop_destroy(bench->loop);
}

static inline void bench_stop(struct loop_timer *timer)
{
	loop_stop(container_of(timer, struct bench, stop)->loop);
}

/* Serves the loop for `ms`. */
static inline void bench_run(struct bench *bench, unsigned ms)
{
	bench->stop.fired = bench_stop;
	loop_timer_arm(bench->loop, &bench->stop, ms);
	assert_int_equal(loop_run(bench->loop), 0);
}

static inline uint64_t get_sized(struct bench *bench, uint64_t offset, unsigned size)
{
	uint64_t data = 0;

	assert_true(mmio_bus_access(&bench->bus, BASE + offset, size, false, &data));
	return data;
}

static inline void put_sized(struct bench *bench, uint64_t offset, unsigned size, uint64_t data)
{
	assert_true(mmio_bus_access(&bench->bus, BASE + offset, size, true, &data));
}

static inline uint32_t get(struct bench *bench, uint64_t offset)
{
	return get_sized(bench, offset, 4);
}

static inline void put(struct bench *bench, uint64_t offset, uint32_t data)
{
	put_sized(bench, offset, 4, data);
}

/* The ids as Linux' AMBA bus reads them. */
static inline void check_ids(struct bench *bench, uint32_t periph_id)
{
	uint32_t pid = 0, cid = 0;

	for (unsigned i = 0; i < 4; i++) {
		pid |= (get(bench, 0xfe0 + 4 * i) & 255) << (i * 8);
		cid |= (get(bench, 0xff0 + 4 * i) & 255) << (i * 8);
	}
	assert_int_equal(cid, 0xb105f00d);
	assert_int_equal(pid, periph_id);
}

/* Every offset at every size, read and written: nothing may break, what is not there reads 0. */
static inline void check_every_offset(struct bench *bench)
{
	static const unsigned sizes[] = { 1, 2, 4, 8 };

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (unsigned offset = 0; offset + sizes[i] <= 4096; offset++) {
			uint64_t data = get_sized(bench, offset, sizes[i]);

			put_sized(bench, offset, sizes[i], UINT64_MAX);
			if (sizes[i] == 8 || offset % 4)
				assert_int_equal(data, 0);
			else if (sizes[i] < 4)
				assert_int_equal(data >> (8 * sizes[i]), 0);
		}
	}
}

#endif
