/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng: what is filled, how much of it in one turn, and what a hostile driver offers. */
#include <linux/virtio_ring.h>

#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio-rng.h"
#include "tests/unit/helpers/fake-window.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/kvm/irq.h"
#include "tests/unit/helpers/mmio-driver.h"
#include "tests/unit/helpers/unit.h"

#define QUEUE_SIZE  8
#define WINDOW_GPA  UINT64_C(0x100000000)
#define BLOCK	    4096
#define CHAIN_BYTES 4096 /* as many as a buffer gets at most */

static uint8_t blocks[2 * BLOCK];
static struct window window = {
	.config = { .gpa = WINDOW_GPA, .size = sizeof(blocks), .block_bytes = BLOCK },
	.plugged = { true, false },
};

static void count_interrupt(struct irq_line *line, bool level)
{
	assert_device_locked();
	interrupts += level;
}

static struct irq_line irq = { .set = count_interrupt };
static const struct device_env env = {
	.id = "rng0",
	.transport = &virtio_mmio_transport,
	.loop = (struct loop *)&driver,
	.mem = &driver.mem,
	.irq = &irq,
	.registers = registers,
};

/* How the host's random bytes were asked for, how many it gives once if not 0, and what was wiped. */
static struct {
	ssize_t less;
	size_t asked, wiped_bytes;
	unsigned flags;
	const void *filled, *wiped;
} host;

ssize_t __real_getrandom(void *ret, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *ret, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *ret, size_t len, unsigned flags)
{
	ssize_t less = host.less;

	host.asked = len;
	host.flags = flags;
	host.filled = ret;
	host.wiped = NULL;
	host.less = 0;
	return less < 0 ? less : __real_getrandom(ret, less ? (size_t)less : len, flags);
}

void __real_explicit_bzero(void *at, size_t len);
void __wrap_explicit_bzero(void *at, size_t len);

void __wrap_explicit_bzero(void *at, size_t len)
{
	host.wiped = at;
	host.wiped_bytes = len;
	__real_explicit_bzero(at, len);
}

static void no_log(enum log_level level, const char *line)
{
}

static void start(void)
{
	driver_init(&driver, QUEUE_SIZE);
	driver_run(UINT64_C(1) << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_INDIRECT_DESC);
	driver.mem.ranges[1] = (struct guestmem_range){
		.gpa = WINDOW_GPA, .size = sizeof(blocks), .hva = blocks, .window = &window
	};
	driver.mem.count = 2;
	memset(blocks, 0, sizeof(blocks));
}

static int setup(void **unused)
{
	log_set_sink(no_log);
	assert_int_equal(device_create(&virtio_rng_class, NULL, &env, &device), 0);
	start();
	return 0;
}

static int teardown(void **unused)
{
	device_destroy(device);
	assert_int_equal(fake_loop_watches(), 0);
	return 0;
}

static void notify(void)
{
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	fake_loop_serve();
}

/* Offers the chain that starts at descriptor 0; what came back in it. */
static uint32_t ask(void)
{
	driver_offer(&driver, 0);
	notify();
	assert_int_equal(driver_used(&driver)->idx, driver.next_avail);
	return driver_used(&driver)->ring[(driver.next_avail - 1) % driver.size].len;
}

static bool zeros(const uint8_t *at, size_t len)
{
	while (len && !*at)
		at++, len--;
	return !len;
}

static void fills(void **unused)
{
	uint8_t before[64];

	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_ID, 4, false, 0), 4);
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 40, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	driver_set(&driver, 1, RAM_GPA + FREE_AT + 40, 24, VRING_DESC_F_WRITE, 0);
	assert_int_equal(ask(), 64);
	assert_int_equal(interrupts, 1);
	/* 16 bytes all zero by chance: once in 2^128. */
	assert_false(zeros(driver.ram + FREE_AT, 16));
	assert_false(zeros(driver.ram + FREE_AT + 48, 16));
	assert_true(zeros(driver.ram + FREE_AT + 64, 64));
	memcpy(before, driver.ram + FREE_AT, 64);
	assert_int_equal(ask(), 64);
	assert_memory_not_equal(before, driver.ram + FREE_AT, 64);
}

static void much_is_filled_in_part(void **unused)
{
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 2 * CHAIN_BYTES, VRING_DESC_F_WRITE, 0);
	assert_int_equal(ask(), CHAIN_BYTES);
	assert_false(zeros(driver.ram + FREE_AT + CHAIN_BYTES - 16, 16));
	assert_true(zeros(driver.ram + FREE_AT + CHAIN_BYTES, CHAIN_BYTES));
}

static void readable_parts_stay(void **unused)
{
	memset(driver.ram + FREE_AT, 7, 128);
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 64, VRING_DESC_F_NEXT, 1);
	driver_set(&driver, 1, RAM_GPA + FREE_AT + 64, 64, VRING_DESC_F_WRITE, 0);
	assert_int_equal(ask(), 64);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(driver.ram[FREE_AT + i], 7);
	/* Nothing to write to. */
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 64, 0, 0);
	assert_int_equal(ask(), 0);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(driver.ram[FREE_AT + i], 7);
}

/* Into and across what is not there; then it goes on. */
static void unplugged_or_nowhere(void **unused)
{
	static const uint64_t wrong[] = { WINDOW_GPA + BLOCK, WINDOW_GPA + BLOCK - 8, 0,
		RAM_GPA + RAM_BYTES - 8, UINT64_MAX - 8 };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		driver_set(&driver, 0, wrong[i], 16, VRING_DESC_F_WRITE, 0);
		assert_int_equal(ask(), 0);
		assert_true(zeros(blocks, sizeof(blocks)));
	}
	driver_set(&driver, 0, WINDOW_GPA, BLOCK, VRING_DESC_F_WRITE, 0);
	assert_int_equal(ask(), BLOCK);
	assert_false(zeros(blocks + BLOCK - 16, 16));
	assert_true(zeros(blocks + BLOCK, BLOCK));
	/* An indirect table that is in an unplugged block. */
	driver_set(&driver, 0, WINDOW_GPA + BLOCK, 16, VRING_DESC_F_INDIRECT, 0);
	assert_int_equal(ask(), 0);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 15);
}

/* What has room for nothing gets nothing. */
static void empty_segment(void **unused)
{
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 0, VRING_DESC_F_WRITE, 0);
	assert_int_equal(ask(), 0);
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 8, VRING_DESC_F_WRITE, 0);
	assert_int_equal(ask(), 8);
}

/* A driver that offers on and on gets a ring's worth, and the loop goes to others in between. */
static void one_turn_is_a_ring(void **unused)
{
	driver_set(&driver, 0, RAM_GPA + FREE_AT, CHAIN_BYTES, VRING_DESC_F_WRITE, 0);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		driver_offer(&driver, 0);
	notify();
	assert_int_equal(driver_used(&driver)->idx, QUEUE_SIZE);
	assert_int_equal(interrupts, 1);
	assert_true(QUEUE_SIZE >= mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0));
}

/* What the host gives less of, or not at all, is less, or nothing; and no byte of it stays here. */
static void the_host_gives_less(void **unused)
{
	static const struct {
		ssize_t less;
		uint32_t used;
	} cases[] = { { 5, 5 }, { 1, 1 }, { -1, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(driver.ram + FREE_AT, 0, 64);
		driver_set(&driver, 0, RAM_GPA + FREE_AT, 64, VRING_DESC_F_WRITE, 0);
		host.less = cases[i].less;
		assert_int_equal(ask(), cases[i].used);
		assert_int_equal(host.asked, 64);
		assert_int_equal(host.flags, 0);
		assert_true(zeros(driver.ram + FREE_AT + cases[i].used, 64 - cases[i].used));
		assert_ptr_equal(host.wiped, host.filled);
		assert_true(host.wiped_bytes >= host.asked);
	}
	assert_int_equal(ask(), 64);
}

/* A byte below what a buffer gets at most, that, and one more. */
static void chain_bytes_at_their_edge(void **unused)
{
	for (uint32_t len = CHAIN_BYTES - 1; len <= CHAIN_BYTES + 1; len++) {
		driver_set(&driver, 0, RAM_GPA + FREE_AT, len, VRING_DESC_F_WRITE, 0);
		assert_int_equal(ask(), len < CHAIN_BYTES ? len : CHAIN_BYTES);
		assert_int_equal(host.asked, len < CHAIN_BYTES ? len : CHAIN_BYTES);
	}
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 8);
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, 1);
	assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 0);
}

/* The loop takes no more: nothing is left, as the sanitizers see. */
static void create_fails_cleanly(void **unused)
{
	struct loop_fd filler[32] = { 0 };
	struct device *none = NULL;
	unsigned fillers = 0;

	while (!loop_fd_add(env.loop, &filler[fillers]))
		fillers++;
	assert_int_not_equal(device_create(&virtio_rng_class, NULL, &env, &none), 0);
	while (fillers)
		loop_fd_remove(&filler[--fillers]);
	assert_null(none);
	device_destroy(NULL);
}

static void reset_forgets(void **unused)
{
	driver_set(&driver, 0, RAM_GPA + FREE_AT, 8, VRING_DESC_F_WRITE, 0);
	driver_offer(&driver, 0);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	virtio_rng_class.reset(device);
	fake_loop_serve();
	assert_int_equal(driver_used(&driver)->idx, 0);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(fills),
		T(much_is_filled_in_part),
		T(readable_parts_stay),
		T(unplugged_or_nowhere),
		T(empty_segment),
		T(one_turn_is_a_ring),
		T(the_host_gives_less),
		T(chain_bytes_at_their_edge),
		T(create_fails_cleanly),
		T(reset_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
