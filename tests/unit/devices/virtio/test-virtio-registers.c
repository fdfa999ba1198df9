/* SPDX-License-Identifier: Apache-2.0 */
/* The MMIO transport's registers: when a write counts, and what a driver reads meanwhile, without exits too. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/helpers/core-driver.h"
#include "devices/virtio/virtio-mmio.h"

#define RUNS (ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)

static void offer_one(void)
{
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 1, 0, 0);
	driver_offer(&driver, 0);
}

/* All queues are served once with DRIVER_OK, and not with each write of it. */
static void driver_ok_kicks_once(void **unused)
{
	run_registers();
	assert_int_equal(fake_loop_serve(), QUEUES);
	assert_true(served[0] == 1 && served[1] == 1);
	set(VIRTIO_MMIO_STATUS, RUNS);
	set(VIRTIO_MMIO_STATUS, RUNS | FAILED);
	assert_int_equal(fake_loop_serve(), 0);
}

/* A queue that is made ready later is served as well. */
static void a_queue_made_ready_is_served(void **unused)
{
	run();
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	offer_one();
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_serve();
	assert_int_equal(popped, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 2); /* bit 0 counts */
	assert_int_equal(get(VIRTIO_MMIO_QUEUE_READY), 0);
	assert_int_equal(fake_loop_serve(), 0);
	set(VIRTIO_MMIO_QUEUE_READY, 3);
	assert_int_equal(get(VIRTIO_MMIO_QUEUE_READY), 1);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(popped, 1);
	/* It goes on where it is, however often that is said. */
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	fake_loop_serve();
	assert_int_equal(popped, 1);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	fake_loop_serve();
	assert_int_equal(popped, 2); /* from the ring's beginning */
}

/* Features are what was written last, half by half. */
static void features_are_replaced(void **unused)
{
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
	take_features(UINT64_MAX);
	take_features(NEEDED);
	assert_int_equal(tested.state.driver_features, NEEDED);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 0);
	assert_int_equal(tested.state.driver_features, NEEDED & ~(uint64_t)UINT32_MAX);
}

/* A notification of a queue that is not there is nobody's. */
static void notified_beyond_the_last_queue(void **unused)
{
	eventfd_t count;

	tested.kicks[QUEUES].watch.fd = eventfd(0, EFD_NONBLOCK);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, QUEUES);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
	assert_int_equal(eventfd_read(tested.kicks[QUEUES].watch.fd, &count), -1);
	close(tested.kicks[QUEUES].watch.fd);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, QUEUES - 1);
	assert_int_equal(fake_loop_serve(), 1);
}

/* Each cause is acknowledged by itself. */
static void causes_are_acknowledged_one_by_one(void **unused)
{
	run();
	virtio_config_changed(&tested);
	offer_one();
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_serve();
	assert_int_equal(
		get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING | 4);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

/* The kernel serves the queues: it may have used a buffer at any time, once the driver runs. */
static void external_backend(void **unused)
{
	tested.external_backend = true;
	virtio_mmio_transport.show(&tested);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	run();
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
}

/* For a driver that takes the interrupt as a level: others have used a buffer since that was asked last. */
static void used_elsewhere(void **unused)
{
	virtio_external_backend(&tested);
	run();
	assert_false(env.irq->signalled(env.irq));
	driver_used(&driver)->idx = 3;
	assert_true(env.irq->signalled(env.irq));
	assert_false(env.irq->signalled(env.irq));
	driver_used(&driver)->idx = 4;
	assert_true(env.irq->signalled(env.irq));
	/* A queue that does not run says nothing. */
	set(VIRTIO_MMIO_STATUS, 0);
	driver_used(&driver)->idx = 5;
	assert_true(env.irq->signalled(env.irq));
	driver_used(&driver)->idx = 6;
	assert_false(env.irq->signalled(env.irq));
	env.irq->signalled = NULL;
}

/* Places without a device answer as such, and take nothing. */
static void placeholders(void **unused)
{
	struct mmio_region places = { .gpa = 0x0a000200, .size = 31 * 0x200 };
	struct mmio_bus bus = { 0 };
	static uint8_t shown[0x200] __attribute__((aligned(8)));

	virtio_mmio_placeholders(&places);
	assert_int_equal(mmio_bus_add(&bus, &places), 0);
	virtio_mmio_show_placeholder(shown);
	for (uint64_t gpa = 0x0a000200; gpa < 0x0a004000; gpa += 4) {
		uint64_t data = UINT64_MAX, offset = gpa % 0x200;
		uint32_t seen;

		assert_true(mmio_bus_access(&bus, gpa, 4, true, &data));
		assert_true(mmio_bus_access(&bus, gpa, 4, false, &data));
		assert_int_equal(data, offset == VIRTIO_MMIO_MAGIC_VALUE ? 0x74726976
				       : offset == VIRTIO_MMIO_VERSION	 ? 2
				       : offset == VIRTIO_MMIO_VENDOR_ID ? 0x43554c53
									 : 0);
		memcpy(&seen, shown + offset, 4);
		assert_int_equal(seen, data);
		assert_true(mmio_bus_access(&bus, gpa, 1, false, &data));
		assert_true(mmio_bus_access(&bus, gpa, 2, false, &data));
		assert_int_equal(data, 0);
	}
}

/* ---- What a driver reads without an exit ---- */

void __real_registers_show(uint8_t *at, const void *bytes, size_t len);
void __wrap_registers_show(uint8_t *at, const void *bytes, size_t len);

/* Each step of a change, as the page has it then. */
static struct {
	uint32_t generation;
	uint8_t first;
} steps[16];
static unsigned step_count = ARRAY_SIZE(steps);

void __wrap_registers_show(uint8_t *at, const void *bytes, size_t len)
{
	__real_registers_show(at, bytes, len);
	if (step_count == ARRAY_SIZE(steps))
		return; /* nobody records */
	memcpy(&steps[step_count].generation, registers + VIRTIO_MMIO_CONFIG_GENERATION, 4);
	steps[step_count++].first = registers[VIRTIO_MMIO_CONFIG];
}

/* 2.5.1: a driver that reads some of it before it changes, and some after, finds another generation. */
static void a_change_shows_in_the_generation(void **unused)
{
	uint32_t before = (uint32_t)get(VIRTIO_MMIO_CONFIG_GENERATION), at_change = before;
	uint8_t first = config[0];
	unsigned changed = 0;

	step_count = 0;
	config[0]++;
	virtio_config_changed_silently(&tested);
	for (unsigned i = 0; i < step_count; i++)
		if (steps[i].first != first) {
			changed = i;
			break;
		}
	assert_true(changed > 0 && changed + 1 < step_count);
	at_change = steps[changed].generation;
	assert_int_not_equal(at_change, before);
	assert_int_equal(steps[changed - 1].generation, at_change); /* it was there first */
	assert_int_equal(steps[step_count - 1].generation, before + 2);
	assert_int_not_equal(at_change, before + 2);
	config[0]--;
	virtio_config_changed_silently(&tested);
	/* What does not change it keeps the generation. */
	step_count = 0;
	before = (uint32_t)get(VIRTIO_MMIO_CONFIG_GENERATION);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE);
	for (unsigned i = 0; i < step_count; i++)
		assert_int_equal(steps[i].generation, before);
	step_count = ARRAY_SIZE(steps);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(driver_ok_kicks_once),
		TEST(a_queue_made_ready_is_served),
		TEST(features_are_replaced),
		TEST(notified_beyond_the_last_queue),
		TEST(causes_are_acknowledged_one_by_one),
		TEST(external_backend),
		TEST(used_elsewhere),
		TEST(placeholders),
		TEST(a_change_shows_in_the_generation),
	};

	return cmocka_run_group_tests_name("virtio-registers", tests, NULL, NULL);
}
