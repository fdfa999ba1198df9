/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device of no kind, `tested`, whose two queues have their rings in `driver`: queue 1 is the one that
 * run() sets up. With fake-loop.h.
 */
#ifndef SLUICE_TESTS_UNIT_CORE_DRIVER_H
#define SLUICE_TESTS_UNIT_CORE_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio.h"
#include "tests/unit/helpers/driver.h"
#include "tests/unit/helpers/fake-loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "tests/unit/helpers/mmio.h"
#include "tests/unit/helpers/unit.h"

#define ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	    VIRTIO_CONFIG_S_DRIVER
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define FAILED	    VIRTIO_CONFIG_S_FAILED
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET

#define QUEUES	       2
#define QUEUE_SIZE_MAX 16
#define REQUIRED       3
#define OFFERED	       40

static struct driver driver;
static struct virtio_device tested;
static unsigned interrupts, served[QUEUES], popped;
static uint64_t request_ms; /* how long each takes */
/* The bytes behind it are no guest's to read. */
enum { CONFIG_BYTES = 12 };
static uint8_t config[CONFIG_BYTES + 8] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0xaa, 0xaa, 0xaa,
	0xaa, 0xaa, 0xaa, 0xaa, 0xaa };

static inline void count_interrupt(struct irq_line *line, bool level)
{
	interrupts += level;
}

static inline void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtq_chain chain;

	pthread_mutex_lock(&virtio->base.lock);
	served[index]++;
	while (virtio_pop(virtio, index, &chain)) {
		popped++;
		fake_loop_advance(request_ms);
		virtio_push(virtio, index, chain.head, 0);
	}
	virtio_interrupt(virtio, index);
	pthread_mutex_unlock(&virtio->base.lock);
}

/* A device that has these offers both; a driver takes both or none. */
#define JOINED (VIRTIO_FEATURE(8) | VIRTIO_FEATURE(9))

static const struct virtio_class class = {
	.device_id = 42,
	.queue_count = QUEUES,
	.queue_size_max = QUEUE_SIZE_MAX,
	.features = VIRTIO_FEATURE(REQUIRED) | VIRTIO_FEATURE(OFFERED) | JOINED,
	.required_features = VIRTIO_FEATURE(REQUIRED),
	.joined_features = JOINED,
	.config_bytes = CONFIG_BYTES,
	.serve = serve,
};

static struct irq_line irq = { .set = count_interrupt };
static const struct device_env env = { .id = "test0",
	.transport = &virtio_mmio_transport,
	.loop = (struct loop *)&driver,
	.mem = &driver.mem,
	.irq = &irq,
	.registers = registers };

static inline uint64_t get(uint64_t offset)
{
	return mmio(offset, 4, false, 0);
}

static inline void set(uint64_t offset, uint32_t value)
{
	mmio(offset, 4, true, value);
}

static inline int setup(void **unused)
{
	driver_init(&driver, 8);
	interrupts = popped = 0;
	memset(served, 0, sizeof(served));
	memset(&tested, 0, sizeof(tested));
	tested.base.id = env.id;
	assert_int_equal(virtio_init(&tested, &class, &env, 0, config), 0);
	device = &tested.base;
	return 0;
}

static inline int teardown(void **unused)
{
	virtio_finish(&tested);
	assert_int_equal(fake_loop_watches(), 0);
	return 0;
}

static inline void take_features(uint64_t features)
{
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES, features);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, features >> 32);
}

#define NEEDED (VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(REQUIRED))

static inline void negotiate(uint64_t features)
{
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
	take_features(features);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

static inline void set_queue(unsigned index)
{
	set(VIRTIO_MMIO_QUEUE_SEL, index);
	set(VIRTIO_MMIO_QUEUE_NUM, driver.size);
	set(VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA);
	set(VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + AVAIL_AT);
	set(VIRTIO_MMIO_QUEUE_USED_LOW, RAM_GPA + USED_AT);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
}

static inline void run_registers(void)
{
	negotiate(NEEDED);
	set_queue(1);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static inline void run(void)
{
	run_registers();
	fake_loop_serve();
	memset(served, 0, sizeof(served));
}

#endif
