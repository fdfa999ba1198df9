/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem: what the device says of itself, times and sizes at their edge, and the node's limits. */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include "devices/virtio/virtio.h"
#include "tests/unit/helpers/mem-node.h"

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
	device_destroy(device);
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

/* A plug that takes turns is answered after its last, and the next request waits behind it. */
static void a_plug_in_turns(void **unused)
{
	struct virtio_mem_req *req = (void *)(driver.ram + REQ_AT);
	struct virtio_mem_resp *resp = (void *)(driver.ram + RESP_AT);

	*req = (struct virtio_mem_req){ .type = PLUG, .u.plug = { .addr = GPA, .nb_blocks = 2 } };
	window.turns = 3;
	driver_offer(&driver, 0);
	driver_offer(&driver, 0);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	for (unsigned turn = 0; turn < 3; turn++) {
		assert_int_equal(fake_loop_serve(), 1);
		assert_int_equal(driver_used(&driver)->idx, 0);
		assert_int_equal(CONFIG(plugged_size), 0);
		assert_int_equal(window.turns, 2 - turn);
	}
	assert_int_equal(fake_loop_timers(), 0); /* it is not BUSY */
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(driver_used(&driver)->idx, 2);
	assert_int_equal(resp->type, ERROR); /* the second: plugged already */
	assert_int_equal(CONFIG(plugged_size), 2 * BLOCK);
	/* It is judged anew in each turn: what is asked for may have changed. */
	window.turns = 1;
	req->u.plug.addr = GPA + 2 * BLOCK;
	driver_offer(&driver, 0);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(virtio_mem_request(device, 0), 0);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(driver_used(&driver)->idx, 3);
	assert_int_equal(resp->type, NACK);
	window.turns = 0;
	/* And a driver that goes meanwhile is not answered. */
	window.turns = 1;
	assert_int_equal(virtio_mem_request(device, REQUESTED), 0);
	driver_offer(&driver, 0);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	assert_int_equal(fake_loop_serve(), 1);
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	fake_loop_serve();
	assert_int_equal(window.changes, 1);
	window.turns = 0;
}

/* An unplug that goes on over turns is answered at its end; nothing else is done before. */
static void an_unplug_in_turns(void **unused)
{
	struct virtio_mem_req *req = (void *)(driver.ram + REQ_AT);
	struct virtio_mem_resp *resp = (void *)(driver.ram + RESP_AT);

	for (unsigned all = 0; all < 2; all++) {
		uint16_t answered = driver_used(&driver)->idx;

		window.slow = false;
		assert_int_equal(ask(PLUG, 0, 2), ACK);
		assert_int_equal(virtio_mem_request(device, 0), 0);
		window.slow = true;
		*req = (struct virtio_mem_req){ .type = all ? UNPLUG_ALL : UNPLUG,
			.u.plug = { .addr = GPA, .nb_blocks = 2 } };
		driver_offer(&driver, 0);
		driver_offer(&driver, 0);
		mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
		fake_loop_serve();
		assert_int_equal(driver_used(&driver)->idx, answered + 1);
		mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
		fake_loop_serve();
		assert_int_equal(driver_used(&driver)->idx, answered + 1);
		assert_int_equal(resp->type, ERROR); /* as it was before: no reader of it is misled */
		assert_int_equal(CONFIG(plugged_size), 2 * BLOCK);
		if (all)
			virtio_mem_class.drain(device); /* drain() ends it now */
		else
			fake_window_end(&window);
		assert_int_equal(driver_used(&driver)->idx, answered + 2);
		assert_int_equal(resp->type, ACK);
		assert_int_equal(CONFIG(plugged_size), 0);
		assert_int_equal(CONFIG(usable_region_size) == 0, all);
		window.slow = false;
		fake_loop_serve();
		assert_int_equal(driver_used(&driver)->idx, answered + 3);
		assert_int_equal(resp->type, all ? ACK : ERROR);
		assert_int_equal(virtio_mem_request(device, REQUESTED), 0);
	}
	/* A device that goes has it end before. */
	assert_int_equal(ask(PLUG, 0, 2), ACK);
	window.slow = true;
	req->type = UNPLUG_ALL;
	driver_offer(&driver, 0);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	fake_loop_serve();
	assert_true(window.going);
	virtio_mem_class.reset(device);
	assert_false(window.going);
	window.slow = false;
}

static void *reset_as_driver(void *unused)
{
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	return NULL;
}

/* A driver's own reset waits in its vCPU for the unplug's end: the loop has the device's lock, and its turns, meanwhile. */
static void a_driver_waits_alone(void **unused)
{
	struct virtio_device *virtio = container_of(device, struct virtio_device, base);
	unsigned waiting = 0;
	time_t began = time(NULL);
	pthread_t vcpu;

	assert_int_equal(ask(PLUG, 0, 2), ACK);
	window.slow = true;
	((struct virtio_mem_req *)(driver.ram + REQ_AT))->type = UNPLUG_ALL;
	driver_offer(&driver, 0);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	fake_loop_serve();
	assert_true(window.going);
	assert_int_equal(pthread_create(&vcpu, NULL, reset_as_driver, NULL), 0);
	while (!waiting && time(NULL) - began < 60) {
		pthread_mutex_lock(&device->lock);
		waiting = virtio->resets;
		pthread_mutex_unlock(&device->lock);
	}
	assert_int_equal(waiting, 1);
	assert_true(window.going);
	fake_window_end(&window);
	assert_int_equal(pthread_join(vcpu, NULL), 0);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 0);
	window.slow = false;
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
	struct device_memory found;

	set_u32("numa-node-id", 7);
	create();
	start_driver(FEATURES);
	assert_int_equal(ask(PLUG, 0, 3), ACK);
	device->class->memory(device, &found);
	assert_int_equal(found.gpa, GPA);
	assert_int_equal(found.region_bytes, WINDOW);
	assert_int_equal(found.block_bytes, BLOCK);
	assert_int_equal(found.usable_bytes, 2 * GiB);
	assert_int_equal(found.requested_bytes, REQUESTED);
	assert_int_equal(found.plugged_bytes, 3 * BLOCK);
	assert_int_equal(found.node, 7);
	assert_ptr_equal(found.window, &window);
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 128);
}

/* What qom-set sets, and the words for what it does not. */
static void requested_by_its_name(void **unused)
{
	const struct device_value *value;
	char why[200] = "";

	create();
	value = device_value(device, "requested-size");
	assert_non_null(value);
	assert_null(device_value(device, "requested"));
	assert_true(value->guest_memory);
	assert_int_equal(value->set(device, 5 * BLOCK, why, sizeof(why)), 0);
	assert_string_equal(why, "");
	assert_int_equal(value->get(device, value->index), 5 * BLOCK);
	assert_int_equal(value->set(device, BLOCK + 1, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "has to be multiples of 'block-size' (0x200000)");
	assert_int_equal(value->set(device, WINDOW + BLOCK, why, sizeof(why)), -ERANGE);
	assert_non_null(strstr(why, "cannot exceed the memory backend size (0x"));
	assert_int_equal(value->get(device, value->index), 5 * BLOCK);
	value = device_value(device, "block-size");
	assert_int_equal(value->get(device, value->index), BLOCK);
	assert_null(value->set);
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
			device_destroy(device);
	}
}

/* A system reset that changes the sizes changes the generation. */
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
		RUNNING(a_plug_in_turns),
		RUNNING(an_unplug_in_turns),
		RUNNING(a_driver_waits_alone),
		CREATES(the_usable_part_is_whole_blocks),
		CREATES(info),
		CREATES(requested_by_its_name),
		CREATES(sleeps_with_the_machine),
		RUNNING(a_reset_moves_the_generation),
		CREATES(node_at_its_limits),
		CREATES(window_at_its_limits),
	};

	return cmocka_run_group_tests_name("virtio-mem-edges", tests, NULL, NULL);
}
