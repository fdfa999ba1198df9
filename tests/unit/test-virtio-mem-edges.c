/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem: what the device says of itself, times and sizes at their edge, and the node's limits. */
#include <errno.h>
#include <sys/mman.h>

#include "mem-node.h"

static int make(void **unused)
{
	make_node();
	set_u64("requested-size", REQUESTED);
	env.system_suspend = false;
	return 0;
}

static int setup(void **unused)
{
	make(NULL);
	create();
	start_driver(FEATURES);
	return 0;
}

static int teardown(void **unused)
{
	virtio_mem_class.destroy(device);
	device = NULL;
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	free(node);
	node = NULL;
	return 0;
}

/* Five seconds after each BUSY, and not a millisecond before; another answer or BUSY begins them anew. */
static void the_hint_comes_after_5_s(void **unused)
{
	window.busy = true;
	assert_int_equal(ask(PLUG, 0, 1), BUSY);
	fake_loop_advance(3000);
	assert_int_equal(ask(PLUG, 0, 1), BUSY);
	interrupts = 0;
	fake_loop_advance(4999);
	assert_int_equal(interrupts, 0);
	fake_loop_advance(1);
	assert_int_equal(interrupts, 1);
	fake_loop_advance(4999);
	assert_int_equal(interrupts, 1);
	fake_loop_advance(1);
	assert_int_equal(interrupts, 2);
	assert_int_equal(ask(UNPLUG_ALL, 0, 0), BUSY);
	assert_int_equal(fake_loop_timers(), 1);
	assert_int_equal(ask(PLUG, 0, 0), ERROR); /* says that it is wrong, not busy */
	assert_int_equal(fake_loop_timers(), 0);
}

/* A response that lay in what the request has just unplugged is not one: nothing was written. */
static void the_response_goes_with_the_block(void **unused)
{
	const size_t mapped = 2 * BLOCK;
	uint8_t *at = mmap(
		NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	driver.mem.ranges[driver.mem.count++] =
		(struct guestmem_range){ .gpa = GPA, .size = mapped, .hva = at, .window = &window };
	assert_int_equal(ask(PLUG, 0, 2), ACK);
	driver_set(&driver, 1, GPA + BLOCK, sizeof(struct virtio_mem_resp), VRING_DESC_F_WRITE, 0);
	ask(UNPLUG, 0, 1); /* another block than the response's */
	assert_int_equal(used_len, sizeof(struct virtio_mem_resp));
	assert_int_equal(((struct virtio_mem_resp *)(at + BLOCK))->type, ACK);
	ask(UNPLUG, 1, 1);
	assert_int_equal(used_len, 0);
	assert_false(window.plugged[1]);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 15);
	munmap(at, mapped);
}

/* Where blocks are larger than what is usable ahead, that is whole blocks too. */
static void the_usable_part_is_whole_blocks(void **unused)
{
	set_u64("block-size", 2 * GiB);
	set_u64("requested-size", 0);
	create();
	assert_int_equal(CONFIG(usable_region_size), 0);
	assert_int_equal(virtio_mem_request(device, 2 * GiB), 0);
	assert_int_equal(CONFIG(usable_region_size), 4 * GiB);
	assert_int_equal(virtio_mem_request(device, 1 * GiB), -EINVAL);
	assert_int_equal(virtio_mem_request(device, 4 * GiB), 0);
	assert_int_equal(virtio_mem_request(device, 6 * GiB), -ERANGE);
}

static void info(void **unused)
{
	struct virtio_mem_info found;

	set_u32("numa-node-id", 7);
	create();
	start_driver(FEATURES);
	assert_int_equal(ask(PLUG, 0, 3), ACK);
	virtio_mem_info(device, &found);
	assert_int_equal(found.gpa, GPA);
	assert_int_equal(found.region_bytes, WINDOW);
	assert_int_equal(found.block_bytes, BLOCK);
	assert_int_equal(found.usable_bytes, 2 * GiB);
	assert_int_equal(found.requested_bytes, REQUESTED);
	assert_int_equal(found.plugged_bytes, 3 * BLOCK);
	assert_int_equal(found.node, 7);
	assert_ptr_equal(virtio_mem_window(device), &window);
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 128);
}

/* What is plugged stays so while a guest sleeps, of a machine that lets it (virtio 1.3, 5.15.3: bit 2). */
static void sleeps_with_the_machine(void **unused)
{
	for (unsigned i = 0; i < 2; i++) {
		env.system_suspend = i;
		create();
		mmio(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, true, 0);
		assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) & 0xf, i ? 6 : 2);
		if (!i)
			virtio_mem_class.destroy(device);
	}
}

/* A system reset that changes the sizes tells so by the generation. */
static void a_reset_moves_the_generation(void **unused)
{
	uint64_t before;

	assert_int_equal(ask(PLUG, 0, 3), ACK);
	before = mmio(VIRTIO_MMIO_CONFIG_GENERATION, 4, false, 0);
	memset(window.plugged, 0, sizeof(window.plugged)); /* what the board does */
	virtio_mem_class.reset(device);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG_GENERATION, 4, false, 0), before + 2);
	virtio_mem_class.reset(device);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG_GENERATION, 4, false, 0), before + 2);
}

/* ---- The node ---- */

static unsigned complaints;

static void complain(struct device_check *check, const char *property, const char *format, ...)
{
	complaints++;
}

static unsigned check(uint64_t host_page_bytes)
{
	struct device_check one = { .error = complain, .host_page_bytes = host_page_bytes };

	complaints = 0;
	virtio_mem_class.check(node, &one);
	return complaints;
}

/* A block of just the host's page, and what is just the window. */
static void node_at_its_limits(void **unused)
{
	static const uint32_t most[] = { 1024, UINT16_MAX };
	static const char *const names[] = { "memslots", "numa-node-id" };

	set_u64("block-size", 64 * KiB);
	assert_int_equal(check(64 * KiB), 0);
	set_u64("block-size", 32 * KiB);
	assert_int_equal(check(64 * KiB), 1);
	set_u64("block-size", BLOCK);
	set_u64("requested-size", WINDOW);
	assert_int_equal(check(4 * KiB), 0);
	set_u64("requested-size", WINDOW + BLOCK);
	assert_int_equal(check(4 * KiB), 1);
	set_u64("requested-size", BLOCK);
	set_u64("slot-size", BLOCK);
	assert_int_equal(check(4 * KiB), 0);
	set_u64("slot-size", BLOCK + 4 * KiB);
	assert_int_equal(check(4 * KiB), 1);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(find_property(names[i])->min, 0);
		assert_int_equal(find_property(names[i])->max, most[i]);
	}
	create();
}

/* No more slots than a window may have, however many there are; and what the node says, as it says it. */
static void window_at_its_limits(void **unused)
{
	struct window_limits limits = { .host_page_bytes = 4 * KiB, .max_slots = 4096 };
	struct window_config config = { 0 };
	const struct property *backing = find_property("backing"),
			      *stray = find_property("stray-reads");

	set_region(GPA, 128 * GiB);
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.slot_bytes, 128 * MiB); /* 1024 */
	set_region(GPA, 128 * GiB + BLOCK);
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.slot_bytes, 256 * MiB);
	limits.max_slots = 1025;
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.slot_bytes, 256 * MiB);
	set_u64("slot-size", 1 * GiB);
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.stray_reads, STRAY_READS_ZERO);
	set_u64("slot-size", 1 * GiB + BLOCK);
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.stray_reads, STRAY_READS_ABORT);
	assert_int_equal(config.backing, BACKING_ANONYMOUS);
	set_u32("backing", BACKING_HUGETLB);
	set_u32("stray-reads", STRAY_READS_ZERO);
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.backing, BACKING_HUGETLB);
	assert_int_equal(config.stray_reads, STRAY_READS_ZERO);
	assert_string_equal(backing->choices[BACKING_ANONYMOUS], "anonymous");
	assert_string_equal(backing->choices[BACKING_MEMFD], "memfd");
	assert_string_equal(backing->choices[BACKING_HUGETLB], "hugetlb");
	assert_string_equal(stray->choices[STRAY_READS_ZERO], "zero");
	assert_string_equal(stray->choices[STRAY_READS_ABORT], "abort");
	make(NULL);
	create();
}

int main(void)
{
#define RUNNING(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define CREATES(test) cmocka_unit_test_setup_teardown(test, make, teardown)
	const struct CMUnitTest tests[] = {
		RUNNING(the_hint_comes_after_5_s),
		RUNNING(the_response_goes_with_the_block),
		CREATES(the_usable_part_is_whole_blocks),
		CREATES(info),
		CREATES(sleeps_with_the_machine),
		RUNNING(a_reset_moves_the_generation),
		CREATES(node_at_its_limits),
		CREATES(window_at_its_limits),
	};

	return cmocka_run_group_tests_name("virtio-mem-edges", tests, NULL, NULL);
}
