/* SPDX-License-Identifier: Apache-2.0 */
/* The device core as a driver sees it through the MMIO transport's registers. */
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/helpers/core-driver.h"

static void identity(void **unused)
{
	assert_int_equal(get(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(get(VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(get(VIRTIO_MMIO_DEVICE_ID), 42);
	assert_int_equal(get(VIRTIO_MMIO_VENDOR_ID), 0x43554c53);
	assert_string_equal(tested.base.region.name, "test0");
	assert_ptr_equal(tested.base.region.lock, &tested.base.lock);
	assert_int_equal(tested.base.region.size, 512);
	assert_int_equal(tested.base.region.doorbell_count, QUEUES + 1);
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(tested.base.region.doorbells[i].offset, 0x50);
		assert_int_equal(tested.base.region.doorbells[i].value, i);
	}
	/* What a driver says after each interrupt does not come here, unless it was for more than buffers. */
	assert_int_equal(tested.base.region.doorbells[QUEUES].offset, VIRTIO_MMIO_INTERRUPT_ACK);
	assert_int_equal(tested.base.region.doorbells[QUEUES].value, VIRTIO_MMIO_INT_VRING);
	set(VIRTIO_MMIO_MAGIC_VALUE, 0);
	assert_int_equal(get(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
}

/* Registers that are not there, legacy ones too, and write-only ones read as zero. */
static void unknown_registers(void **unused)
{
	const uint64_t silent[] = { 0x18, 0x1c, 0x20, 0x28, 0x2c, 0x3c, 0x40, 0x48, 0x4c, 0x54,
		0x68, 0x74, 0x88, 0xa8, 0xc0, 0xf8, VIRTIO_MMIO_DEVICE_FEATURES_SEL,
		VIRTIO_MMIO_QUEUE_NUM, VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_QUEUE_DESC_LOW,
		VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
		VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_USED_LOW,
		VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_MMIO_DRIVER_FEATURES,
		VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_QUEUE_SEL };

	for (unsigned i = 0; i < ARRAY_SIZE(silent); i++) {
		if (silent[i] != VIRTIO_MMIO_QUEUE_NOTIFY)
			set(silent[i], UINT32_MAX);
		assert_int_equal(get(silent[i]), 0);
	}
	set(VIRTIO_MMIO_SHM_SEL, 0);
	assert_int_equal(get(VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	assert_int_equal(get(VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
	assert_int_equal(get(VIRTIO_MMIO_SHM_BASE_LOW), UINT32_MAX);
	assert_int_equal(get(VIRTIO_MMIO_SHM_BASE_HIGH), UINT32_MAX);
}

static void wrong_width(void **unused)
{
	assert_int_equal(mmio(VIRTIO_MMIO_VERSION, 1, false, 0), 0);
	assert_int_equal(mmio(VIRTIO_MMIO_VERSION, 2, false, 0), 0);
	assert_int_equal(mmio(VIRTIO_MMIO_MAGIC_VALUE, 8, false, 0), 0);
	assert_int_equal(mmio(VIRTIO_MMIO_VERSION - 2, 4, false, 0), 0);
	assert_int_equal(mmio(0xfe, 4, false, 0), 0);
	mmio(VIRTIO_MMIO_STATUS, 1, true, ACKNOWLEDGE);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), 0);
}

static void status_order(void **unused)
{
	/* U-Boot 2025.01 acknowledges nothing. */
	set(VIRTIO_MMIO_STATUS, DRIVER);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), DRIVER);
	take_features(NEEDED);
	set(VIRTIO_MMIO_STATUS, DRIVER | FEATURES_OK);
	set(VIRTIO_MMIO_STATUS, DRIVER | FEATURES_OK | DRIVER_OK);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), DRIVER | FEATURES_OK | DRIVER_OK);
	set(VIRTIO_MMIO_STATUS, 0);
	set(VIRTIO_MMIO_STATUS, FEATURES_OK);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), 0);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE);
	take_features(NEEDED);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | FEATURES_OK); /* nor this without a driver */
	assert_int_equal(get(VIRTIO_MMIO_STATUS), ACKNOWLEDGE);
	take_features(0);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), ACKNOWLEDGE | DRIVER);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), ACKNOWLEDGE | DRIVER);
	take_features(NEEDED);
	set(VIRTIO_MMIO_STATUS, FEATURES_OK); /* what was set stays */
	assert_int_equal(get(VIRTIO_MMIO_STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
	set(VIRTIO_MMIO_STATUS, DRIVER_OK | NEEDS_RESET | 0xffffff20);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	set(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), 0);
	set(VIRTIO_MMIO_STATUS, FAILED);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), FAILED);
}

static void feature_selection(void **unused)
{
	uint64_t offered;

	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	offered = get(VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(get(VIRTIO_MMIO_DEVICE_FEATURES), 0);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	offered |= get(VIRTIO_MMIO_DEVICE_FEATURES);
	assert_int_equal(offered, NEEDED | VIRTIO_FEATURE(OFFERED) | JOINED |
					  VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
					  VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
}

static void features_refused(void **unused)
{
	const uint64_t bad[] = { 0, VIRTIO_FEATURE(REQUIRED), VIRTIO_FEATURE(VIRTIO_F_VERSION_1),
		NEEDED | VIRTIO_FEATURE(5), NEEDED | VIRTIO_FEATURE(63), NEEDED | VIRTIO_FEATURE(8),
		NEEDED | VIRTIO_FEATURE(9) };

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		negotiate(bad[i]);
		assert_int_equal(get(VIRTIO_MMIO_STATUS), ACKNOWLEDGE | DRIVER);
		set(VIRTIO_MMIO_STATUS, 0);
	}
	negotiate(NEEDED | JOINED);
	assert_true(get(VIRTIO_MMIO_STATUS) & FEATURES_OK);
	set(VIRTIO_MMIO_STATUS, 0);
	negotiate(NEEDED);
	assert_true(get(VIRTIO_MMIO_STATUS) & FEATURES_OK);
	take_features(0); /* settled */
	assert_int_equal(tested.state.driver_features, NEEDED);
	/* a selector beyond the two halves writes nowhere */
	set(VIRTIO_MMIO_STATUS, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	set(VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	assert_int_equal(tested.state.driver_features, 0);
}

static void queue_setup(void **unused)
{
	const struct {
		uint32_t offset, value;
	} bad[] = {
		{ VIRTIO_MMIO_QUEUE_NUM, 0 },
		{ VIRTIO_MMIO_QUEUE_NUM, 5 },
		{ VIRTIO_MMIO_QUEUE_NUM, 2 * QUEUE_SIZE_MAX },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, 8 },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, 1 },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, 2 },
	};

	set_queue(0); /* before FEATURES_OK */
	assert_int_equal(get(VIRTIO_MMIO_QUEUE_READY), 0);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
	set_queue(0);
	assert_int_equal(get(VIRTIO_MMIO_QUEUE_READY), 0);
	negotiate(NEEDED);
	assert_int_equal(get(VIRTIO_MMIO_QUEUE_NUM_MAX), QUEUE_SIZE_MAX);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		set_queue(0);
		assert_int_equal(get(VIRTIO_MMIO_QUEUE_READY), 1);
		set(VIRTIO_MMIO_QUEUE_READY, 0);
		set(bad[i].offset, bad[i].value);
		set(VIRTIO_MMIO_QUEUE_READY, 1);
		assert_int_equal(get(VIRTIO_MMIO_QUEUE_READY), 0);
	}
	/* both halves of an address, and nothing moves under a queue that is ready */
	set(VIRTIO_MMIO_QUEUE_DESC_HIGH, 0x12);
	set(VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0x34);
	set(VIRTIO_MMIO_QUEUE_USED_HIGH, 0x56);
	set_queue(0);
	set(VIRTIO_MMIO_QUEUE_DESC_HIGH, 0x99);
	set(VIRTIO_MMIO_QUEUE_NUM, 2);
	assert_int_equal(tested.state.queues[0].desc_gpa, RAM_GPA | 0x12ull << 32);
	assert_int_equal(tested.state.queues[0].avail_gpa, (RAM_GPA + AVAIL_AT) | 0x34ull << 32);
	assert_int_equal(tested.state.queues[0].used_gpa, (RAM_GPA + USED_AT) | 0x56ull << 32);
	assert_int_equal(tested.state.queues[0].size, 8);
	assert_false(tested.state.queues[1].ready);
}

static void selector_out_of_range(void **unused)
{
	const uint32_t bad[] = { QUEUES, VIRTIO_QUEUES_MAX, 1u << 31, UINT32_MAX };
	struct virtq before[VIRTIO_QUEUES_MAX];

	negotiate(NEEDED);
	memcpy(before, tested.state.queues, sizeof(before));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		set_queue(bad[i]);
		assert_int_equal(get(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		assert_int_equal(get(VIRTIO_MMIO_QUEUE_READY), 0);
		set(VIRTIO_MMIO_QUEUE_NOTIFY, bad[i]);
	}
	assert_memory_equal(before, tested.state.queues, sizeof(before));
	assert_int_equal(fake_loop_serve(), 0);
}

static void notify(void **unused)
{
	uint64_t one = 1;

	run();
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 1, 0, 0);
	driver_offer(&driver, 0);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1); /* as an exit */
	assert_int_equal(popped, 0);	  /* not on this thread */
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(popped, 1);
	assert_int_equal(served[0], 0);
	assert_int_equal(interrupts, 1);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);

	driver_offer(&driver, 0);
	assert_int_equal(write(tested.base.region.doorbells[1].fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(popped, 2);
	assert_int_equal(interrupts, 2); /* an edge each time, acknowledged or not */
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_int_equal(fake_loop_serve(), 0);
}

/* What was made available before DRIVER_OK is served with it, and not before. */
static void buffers_before_driver_ok(void **unused)
{
	negotiate(NEEDED);
	set_queue(1);
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 1, 0, 0);
	driver_offer(&driver, 0);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_serve();
	assert_int_equal(popped, 0);
	set(VIRTIO_MMIO_STATUS, DRIVER_OK);
	fake_loop_serve();
	assert_int_equal(popped, 1);
}

/* A ring that never runs dry does not keep the loop. */
static void budget(void **unused)
{
	run();
	for (unsigned i = 0; i < driver.size; i++)
		driver_set(&driver, i, RAM_GPA + FREE_AT, 1, 0, 0);
	tested.budget = 3;
	tested.turn_ends_ms = UINT64_MAX;
	pthread_mutex_lock(&tested.base.lock);
	for (unsigned i = 0; i < driver.size; i++)
		driver_offer(&driver, i);
	for (unsigned i = 0; i < driver.size; i++) {
		struct virtq_chain chain;

		assert_int_equal(virtio_pop(&tested, 1, &chain), i < 3);
	}
	pthread_mutex_unlock(&tested.base.lock);
	assert_int_equal(fake_loop_serve(), 1); /* it has notified itself */
	assert_int_equal(popped, driver.size - 3);
}

/* Requests that take long leave the loop to others in between, however many wait. */
static void a_turn_ends_in_time(void **unused)
{
	unsigned turns = 1;

	run();
	for (unsigned i = 0; i < driver.size; i++) {
		driver_set(&driver, i, RAM_GPA + FREE_AT, 1, 0, 0);
		driver_offer(&driver, i);
	}
	request_ms = 2;
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(popped, 3);
	while (fake_loop_serve())
		turns++;
	request_ms = 0;
	assert_int_equal(popped, driver.size);
	assert_int_equal(turns, (driver.size + 2) / 3);
}

static void broken_ring_needs_reset(void **unused)
{
	run();
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 1, VRING_DESC_F_NEXT, 0); /* a loop */
	driver_offer(&driver, 0);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_serve();
	assert_true(get(VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(interrupts, 1);

	/* nothing moves, and no write but 0 helps */
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 1, 0, 0);
	set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_serve();
	assert_int_equal(popped, 0);
	assert_true(get(VIRTIO_MMIO_STATUS) & NEEDS_RESET);

	set(VIRTIO_MMIO_STATUS, 0);
	run();
	fake_loop_serve();
	assert_int_equal(popped, 1);
}

static void used_ring_outside_memory(void **unused)
{
	negotiate(NEEDED);
	set_queue(1);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	set(VIRTIO_MMIO_QUEUE_USED_LOW, 0x1000);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 1, 0, 0);
	driver_offer(&driver, 0);
	set(VIRTIO_MMIO_STATUS, DRIVER_OK);
	fake_loop_serve();
	assert_true(get(VIRTIO_MMIO_STATUS) & NEEDS_RESET);
}

static void driver_reset(void **unused)
{
	run();
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 1, 0, 0);
	driver_offer(&driver, 0);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	set(VIRTIO_MMIO_STATUS, 0); /* before the loop gets to it */
	fake_loop_serve();
	assert_int_equal(popped, 0);
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	assert_int_equal(get(VIRTIO_MMIO_QUEUE_READY), 0);
	assert_int_equal(tested.state.driver_features, 0);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void system_reset(void **unused)
{
	run();
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	virtio_system_reset(&tested);
	assert_int_equal(
		fake_loop_serve(), 0); /* a notification of the last guest's is forgotten */
	assert_int_equal(get(VIRTIO_MMIO_STATUS), 0);
}

static void config_space(void **unused)
{
	assert_int_equal(mmio(0x100, 1, false, 0), 1);
	assert_int_equal(mmio(0x102, 2, false, 0), 0x0403);
	assert_int_equal(mmio(0x104, 4, false, 0), 0x08070605);
	assert_int_equal(mmio(0x100, 8, false, 0), 0x0807060504030201);
	assert_int_equal(mmio(0x108, 8, false, 0), 0x0c0b0a09); /* zeros beyond its end */
	assert_int_equal(mmio(0x10c, 4, false, 0), 0);
	assert_int_equal(mmio(0x1f8, 8, false, 0), 0);
	mmio(0x100, 4, true, 0xffffffff);
	assert_int_equal(mmio(0x100, 4, false, 0), 0x04030201);
}

static struct {
	unsigned resets, writes, size;
	uint64_t offset, value;
} hooked;

static void on_reset(struct virtio_device *virtio)
{
	hooked.resets++;
}

static void on_write(struct virtio_device *virtio, uint64_t offset, unsigned size, uint64_t value)
{
	hooked.writes++;
	hooked.offset = offset;
	hooked.size = size;
	hooked.value = value;
}

/* A class that is called for resets, and for what the driver writes to the configuration space. */
static void hooks(void **unused)
{
	struct virtio_class hooking = class;

	hooking.reset = on_reset;
	hooking.write_config = on_write;
	tested.class = &hooking;
	set(VIRTIO_MMIO_STATUS, 1);
	assert_int_equal(hooked.resets, 0);
	set(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(hooked.resets, 1);
	virtio_system_reset(&tested);
	assert_int_equal(hooked.resets, 2);
	mmio(0x104, 2, true, 0x1234);
	assert_true(hooked.writes == 1 && hooked.offset == 4 && hooked.size == 2 &&
		    hooked.value == 0x1234);
	mmio(0x10c, 4, true, 1); /* beyond it */
	mmio(0x1fc, 4, true, 1);
	assert_int_equal(hooked.writes, 1);
	assert_int_equal(mmio(0x104, 4, false, 0), 0x08070605);
	tested.class = &class;
}

static void config_generation(void **unused)
{
	uint64_t before = get(VIRTIO_MMIO_CONFIG_GENERATION);

	assert_false(virtio_config_changed(&tested)); /* no driver: no interrupt */
	assert_int_equal(get(VIRTIO_MMIO_CONFIG_GENERATION), before + 2);
	assert_int_equal(interrupts, 0);
	run();
	assert_true(virtio_config_changed(&tested));
	assert_int_equal(interrupts, 1);
	assert_int_equal(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	virtio_config_changed_silently(&tested);
	assert_int_equal(interrupts, 1);
	set(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(get(VIRTIO_MMIO_CONFIG_GENERATION), before + 6);
	set(VIRTIO_MMIO_CONFIG_GENERATION, 0);
	assert_int_equal(get(VIRTIO_MMIO_CONFIG_GENERATION), before + 6);
}

/* Every register, every width, with every kind of value: nothing to see but that it ends. */
static void any_access(void **unused)
{
	uint64_t seed = 1;

	driver_set(&driver, 0, RAM_GPA + FREE_AT, 1, 0, 0);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned size = 1u << (seed >> 8) % 4;
		uint64_t offset = (seed >> 16) % (512 - size + 1);

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		if (seed >> 63)
			offset &= 0xfc;
		mmio(offset, seed >> 62 & 1 ? 4 : size, seed >> 61 & 1,
			seed >> 60 & 1 ? seed >> 20 : seed >> 20 & 0xf);
		if (i % 16 == 0)
			fake_loop_serve();
	}
}

int __real_close(int fd);
int __wrap_close(int fd);

/* Nothing is closed twice, which might be somebody else's by then. */
int __wrap_close(int fd)
{
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	return __real_close(fd);
}

static int next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* The loop takes the first queue's descriptor and not the second's: nothing stays behind. */
static void half_made(void **unused)
{
	static struct virtio_device other;
	struct loop_fd filler[32] = { 0 };
	unsigned fillers = 0, watches = fake_loop_watches();
	int fd = next_fd();

	while (!loop_fd_add(env.loop, &filler[fillers]))
		fillers++;
	loop_fd_remove(&filler[fillers - 1]);
	assert_int_not_equal(virtio_init(&other, &class, &env, 0, config), 0);
	virtio_finish(&other);
	while (fillers--)
		loop_fd_remove(&filler[fillers]);
	assert_int_equal(fake_loop_watches(), watches);
	/* neither the first queue's descriptor nor the second's */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(fcntl(fd + 1, F_GETFD), -1);
}

static atomic_bool stop;

/* A vCPU that sets the device up, notifies it and resets it, again and again. */
static void *reset_for_ever(void *unused)
{
	while (!atomic_load(&stop)) {
		run_registers();
		set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
		get(VIRTIO_MMIO_INTERRUPT_STATUS);
		set(VIRTIO_MMIO_STATUS, 0);
	}
	return NULL;
}

/* Handlers beside a driver that resets the device under them; for the sanitizers to judge. */
static void reset_beside_handler(void **unused)
{
	pthread_t vcpu;
	unsigned handled = 0;

	for (unsigned i = 0; i < driver.size; i++) {
		driver_set(&driver, i, RAM_GPA + FREE_AT, 1, 0, 0);
		driver_offer(&driver, i);
	}
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&vcpu, NULL, reset_for_ever, NULL), 0);
	while (handled < 1000)
		handled += fake_loop_serve();
	atomic_store(&stop, true);
	pthread_join(vcpu, NULL);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), 0);
	assert_true(popped > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(identity),
		TEST(unknown_registers),
		TEST(wrong_width),
		TEST(status_order),
		TEST(feature_selection),
		TEST(features_refused),
		TEST(queue_setup),
		TEST(selector_out_of_range),
		TEST(notify),
		TEST(buffers_before_driver_ok),
		TEST(budget),
		TEST(a_turn_ends_in_time),
		TEST(broken_ring_needs_reset),
		TEST(used_ring_outside_memory),
		TEST(driver_reset),
		TEST(system_reset),
		TEST(config_space),
		TEST(hooks),
		TEST(config_generation),
		TEST(any_access),
		TEST(half_made),
		TEST(reset_beside_handler),
	};

	return cmocka_run_group_tests_name("virtio-mmio", tests, NULL, NULL);
}
