/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-mem device for tests, `device`, made of a node whose properties are set by name, over the window of
 * fake-window.h. With mem-driver.h.
 */
#ifndef SLUICE_TESTS_UNIT_MEM_NODE_H
#define SLUICE_TESTS_UNIT_MEM_NODE_H

#include <stdlib.h>

#include "devices/device.h"
#include "devices/virtio/virtio-mem.h"
#include "devices/virtio/virtio-mmio.h"
#include "tests/unit/helpers/fake-window.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "tests/unit/helpers/mem-driver.h"

#define BLOCK	  (2 * MiB)
#define WINDOW	  (4 * GiB)
#define BLOCKS	  (WINDOW / BLOCK)
#define GPA	  UINT64_C(0x100000000)
#define REQUESTED (1 * GiB)
static struct window window;
static void *node;
static unsigned log_lines;

static inline void count_interrupt(struct irq_line *line, bool level)
{
	assert_device_locked();
	interrupts += level;
}

static struct irq_line irq = { .set = count_interrupt };
static struct device_env env = {
	.id = "vmem0",
	.transport = &virtio_mmio_transport,
	.loop = (struct loop *)&driver,
	.mem = &driver.mem,
	.irq = &irq,
	.registers = registers,
	.window = &window,
};

/* ---- The node, written by property name as the board does ---- */

static inline const struct property *find_property(const char *name)
{
	const struct property *property = virtio_mem_class.properties;

	while (strcmp(property->name, name))
		property++;
	return property;
}

static inline void set_u64(const char *name, uint64_t value)
{
	memcpy((char *)node + find_property(name)->offset, &value, sizeof(value));
}

static inline void set_u32(const char *name, uint32_t value)
{
	memcpy((char *)node + find_property(name)->offset, &value, sizeof(value));
}

static inline void set_region(uint64_t gpa, uint64_t size)
{
	const struct property_region region = { .gpa = gpa, .size = size };

	memcpy((char *)node + find_property("memory-region")->offset, &region, sizeof(region));
}

static inline void make_node(void)
{
	free(node);
	node = calloc(1, virtio_mem_class.config_bytes);
	virtio_mem_class.defaults(node);
	set_region(GPA, WINDOW);
}

/* By block number. */
static inline int ask(unsigned type, uint64_t block, unsigned blocks)
{
	return request(type, GPA + block * BLOCK, blocks);
}

static inline void count_log(enum log_level level, const char *line)
{
	log_lines++;
}

static inline void create(void)
{
	const struct window_limits limits = { .host_page_bytes = 4 * KiB, .max_slots = 1024 };

	memset(&window, 0, sizeof(window));
	virtio_mem_class.window(node, &limits, &window.config);
	assert_int_equal(device_create(&virtio_mem_class, node, &env, &device), 0);
}

#endif
