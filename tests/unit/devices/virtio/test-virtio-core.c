/* SPDX-License-Identifier: Apache-2.0 */
/* The device core: turns, what is in flight, what is dropped, and what the host refuses. */
#include <errno.h>
#include <sys/eventfd.h>

#include "tests/unit/helpers/core-driver.h"
#include "devices/state.h"
#include "tests/unit/helpers/fds.h"

#define RUNS (ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)

static void lock(void)
{
	pthread_mutex_lock(&tested.base.lock);
}

static void unlock(void)
{
	pthread_mutex_unlock(&tested.base.lock);
}

static void offer(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		driver_set(&driver, i % driver.size, RAM_GPA + FREE_AT, 1, 0, 0);
		driver_offer(&driver, (uint16_t)(i % driver.size));
	}
}

static bool pop(void)
{
	struct virtq_chain chain;
	bool got;

	lock();
	got = virtio_pop(&tested, 1, &chain);
	unlock();
	return got;
}

/* ---- Turns ---- */

static unsigned offers_more; /* which the driver makes as each one is served */

static void serve_and_offer(struct virtio_device *virtio, unsigned index)
{
	struct virtq_chain chain;

	lock();
	while (virtio_pop(virtio, index, &chain)) {
		popped++;
		virtio_push(virtio, index, chain.head, 0);
		if (offers_more) {
			offers_more--;
			driver_offer(&driver, chain.head);
		}
	}
	unlock();
}

/* However fast a driver offers, a turn is a ring full of the largest; the next comes by itself. */
static void a_turn_is_a_ring_full(void **unused)
{
	struct virtio_class greedy = class;

	greedy.serve = serve_and_offer;
	run();
	tested.class = &greedy;
	offers_more = 40 - 1;
	offer(1);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	for (unsigned turns = 1; turns <= 2; turns++) {
		assert_int_equal(fake_loop_serve(), 1);
		assert_int_equal(popped, turns * QUEUE_SIZE_MAX);
	}
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(popped, 40);
	assert_int_equal(fake_loop_serve(), 0);
	tested.class = &class;
}

/* A turn is 5 ms: over after that, and not at it. */
static void a_turn_is_over_after_5_ms(void **unused)
{
	run();
	virtio_begin_turn(&tested);
	assert_false(virtio_turn_is_over(&tested));
	fake_loop_advance(5);
	assert_false(virtio_turn_is_over(&tested));
	offer(2);
	assert_true(pop());
	assert_int_equal(fake_loop_serve(), 0);
	virtio_begin_turn(&tested);
	fake_loop_advance(6);
	assert_true(virtio_turn_is_over(&tested));
	assert_false(pop());
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(popped, 1);
}

/* ---- Features ---- */

/* What a device offers beyond its class's, and what it does not of the core's. */
static void features_of_a_device(void **unused)
{
	static struct virtio_device other;
	struct virtio_class without = class;

	without.without_features = VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX);
	assert_int_equal(virtio_init(&other, &without, &env, VIRTIO_FEATURE(20), config), 0);
	assert_int_equal(other.features, NEEDED | VIRTIO_FEATURE(OFFERED) | JOINED |
						 VIRTIO_FEATURE(20) |
						 VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
	virtio_finish(&other);
	memset(&other, 0, sizeof(other));
}

/* ---- Broken ---- */

/* That it needs a reset is seen also where a change of the configuration has not been acknowledged. */
static void needs_reset_is_shown(void **unused)
{
	run();
	offer(1);
	virtio_config_changed(&tested);
	interrupts = 0;
	lock();
	virtio_needs_reset(&tested, "so");
	assert_false(virtio_waits(&tested, 1)); /* or a device would poll for ever */
	unlock();
	assert_int_equal(get(VIRTIO_MMIO_STATUS), RUNS | NEEDS_RESET);
	assert_int_equal(interrupts, 1);
}

/* Rings that have left memory are the driver's fault, whichever call finds it. */
static void rings_that_left_memory(void **unused)
{
	const struct virtq_used used[] = { { 0, 0 }, { 1, 0 } };

	for (unsigned i = 0; i < 4; i++) {
		set(VIRTIO_MMIO_STATUS, 0);
		driver.next_avail = driver_avail(&driver)[1] = 0;
		run();
		lock();
		if (i == 0) {
			tested.state.queues[1].used_gpa = 0;
			virtio_push_many(&tested, 1, used, 2);
		} else if (i == 1) {
			virtio_push(&tested, 1, 0, 0);
			tested.state.queues[1].avail_gpa = 0;
			virtio_interrupt(&tested, 1);
		} else if (i == 2) {
			tested.state.queues[1].avail_gpa = 0;
			virtio_drop(&tested, 1);
		} else {
			tested.state.queues[1].avail_gpa = 0;
			assert_true(virtio_waits(&tested, 1)); /* for virtio_pop() to say */
			unlock();
			virtio_begin_turn(&tested);
			assert_false(pop());
			lock();
		}
		unlock();
		assert_true(get(VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	}
}

/* ---- A driver that has gone in between ---- */

static void nothing_after_a_reset(void **unused)
{
	const struct virtq_used used[] = { { 0, 0 }, { 1, 0 } };
	uint8_t before[RAM_BYTES];

	run();
	offer(2);
	virtio_begin_turn(&tested);
	assert_true(pop() && pop());
	set(VIRTIO_MMIO_STATUS, 0);
	memcpy(before, driver.ram, RAM_BYTES);
	interrupts = 0;
	lock();
	virtio_unpop(&tested, 1, 2);
	virtio_push(&tested, 1, 0, 0);
	virtio_push_many(&tested, 1, used, 2);
	virtio_interrupt(&tested, 1);
	virtio_drop(&tested, 1);
	assert_false(virtio_waits(&tested, 1));
	assert_false(virtio_queue_runs(&tested, 1));
	unlock();
	assert_int_equal(tested.state.queues[1].next_avail, 0);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(interrupts, 0);
	assert_memory_equal(before, driver.ram, RAM_BYTES);
	assert_int_equal(fake_loop_serve(), 0);
}

/* Taken and not used: the next turn finds them again. */
static void unpop(void **unused)
{
	run();
	offer(3);
	virtio_begin_turn(&tested);
	assert_true(pop() && pop() && pop());
	lock();
	virtio_unpop(&tested, 1, 2);
	assert_true(virtio_waits(&tested, 1));
	unlock();
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_serve();
	assert_int_equal(popped, 2);
}

/* What is dropped is returned without an interrupt; chains that came meanwhile are dropped in the next turn. */
static void drop(void **unused)
{
	run();
	offer(3);
	interrupts = 0;
	lock();
	virtio_drop(&tested, 1);
	unlock();
	assert_int_equal(driver_used(&driver)->idx, 3);
	assert_int_equal(interrupts, 0);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(popped, 0);
	lock();
	virtio_drop(&tested, 1);
	unlock();
	assert_int_equal(fake_loop_serve(), 0);
}

/* ---- Others that serve queues ---- */

static unsigned halted[QUEUES], halts_seen_by_reset;
static bool was_ready;

static void on_halt(struct virtio_device *virtio, unsigned index)
{
	halted[index]++;
	was_ready = virtio->state.queues[index].ready;
}

static void on_reset(struct virtio_device *virtio)
{
	halts_seen_by_reset = halted[0] + halted[1];
	assert_int_equal(virtio->state.status, 0);
}

/* They let go of a queue before it is stopped, and of all before the driver's reset is over. */
static void its_server_lets_go_first(void **unused)
{
	struct virtio_class halting = class;
	unsigned runs;

	halting.halt = on_halt;
	halting.reset = on_reset;
	tested.class = &halting;
	run();
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	assert_true(halted[0] == 0 && halted[1] == 1);
	assert_true(was_ready);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	runs = tested.runs;
	set(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(tested.runs, runs + 1);
	assert_true(halted[0] == 1 && halted[1] == 2);
	assert_true(was_ready);
	assert_int_equal(halts_seen_by_reset, 3);
	tested.class = &class;
}

/* When its state is taken they say how far they are, and go on in the next turn. */
static void its_server_goes_on_after_a_state(void **unused)
{
	struct virtio_class halting = class;

	run();
	lock();
	virtio_state.take(device);
	unlock();
	assert_int_equal(fake_loop_serve(), 0); /* a device that serves itself has nothing to say */
	halting.halt = on_halt;
	tested.class = &halting;
	memset(halted, 0, sizeof(halted));
	lock();
	virtio_state.take(device);
	unlock();
	assert_true(halted[0] == 1 && halted[1] == 1);
	assert_int_equal(fake_loop_serve(), 2);
	tested.class = &class;
}

/* ---- In flight ---- */

static unsigned waits;

static void end_one(struct virtio_device *virtio)
{
	waits++;
	lock();
	virtio_end(virtio, 1, 0, 7);
	unlock();
}

/* The end of one pushes it and interrupts; a system reset ends all, and pushes what its driver still hears of. */
static void begun_and_ended(void **unused)
{
	struct virtio_class waiting = class;

	waiting.wait = end_one;
	run();
	tested.class = &waiting;
	virtio_begin_turn(&tested);
	offer(3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(pop());
		lock();
		virtio_begin(&tested, 1);
		unlock();
	}
	assert_int_equal(tested.all_in_flight, 3);
	interrupts = 0;
	end_one(&tested);
	assert_int_equal(driver_used(&driver)->idx, 1);
	assert_int_equal(driver_used(&driver)->ring[0].len, 7);
	assert_int_equal(interrupts, 1);
	assert_int_equal(tested.in_flight[1], 2);
	waits = 0;
	virtio_system_reset(&tested);
	assert_int_equal(waits, 2);
	assert_int_equal(driver_used(&driver)->idx, 3);
	assert_int_equal(tested.all_in_flight, 0);
	assert_int_equal(get(VIRTIO_MMIO_STATUS), 0);
	tested.class = &class;
}

/* Notifications of any queue's. */
static void a_system_reset_forgets_all_notifications(void **unused)
{
	run();
	for (unsigned i = 0; i < QUEUES; i++)
		set(VIRTIO_MMIO_QUEUE_NOTIFY, i);
	virtio_system_reset(&tested);
	assert_int_equal(fake_loop_serve(), 0);
}

/* ---- Pauses ---- */

static unsigned let_go_of; /* a bit for each queue */

static void let_go(struct virtio_device *virtio, unsigned index)
{
	let_go_of |= 1u << index;
}

/* Paused it takes nothing, and others have let go of its queues; what is in flight ends. Then it goes on. */
static void paused_it_takes_nothing(void **unused)
{
	struct virtio_class waiting = class;

	waiting.wait = end_one;
	waiting.halt = let_go;
	run();
	tested.class = &waiting;
	virtio_begin_turn(&tested);
	offer(1);
	assert_true(pop());
	lock();
	virtio_begin(&tested, 1);
	unlock();
	let_go_of = 0;
	virtio_pause(&tested.base, true);
	assert_int_equal(let_go_of, (1u << QUEUES) - 1);
	assert_int_equal(tested.all_in_flight, 1);
	virtio_drain(&tested);
	assert_int_equal(tested.all_in_flight, 0);
	assert_int_equal(driver_used(&driver)->idx, 1);
	offer(2);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_int_equal(fake_loop_serve(), 1); /* which is forgotten */
	virtio_begin_turn(&tested);
	assert_false(pop());
	lock();
	assert_false(virtio_waits(&tested, 1));
	virtio_drop(&tested, 1);
	unlock();
	assert_int_equal(popped, 0);
	assert_int_equal(driver_used(&driver)->idx, 1);
	let_go_of = 0;
	virtio_pause(&tested.base, false);
	assert_int_equal(let_go_of, 0);
	assert_int_equal(fake_loop_serve(), QUEUES);
	assert_int_equal(popped, 2);
	/* A system reset ends it too. */
	virtio_pause(&tested.base, true);
	virtio_system_reset(&tested);
	tested.class = &class;
	run();
	popped = 0;
	offer(1);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_serve();
	assert_true(popped > 0);
}

/* ---- Descriptors that run out ---- */

static unsigned refused = UINT32_MAX; /* the eventfd after so many others */

int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);

int __wrap_eventfd(unsigned count, int flags)
{
	if (refused-- > 0)
		return __real_eventfd(count, flags);
	refused = UINT32_MAX;
	errno = EMFILE;
	return -1;
}

/* Each of a device's descriptors is refused in turn: nothing is left, and nobody else's is closed. */
static void no_descriptors(void **unused)
{
	static struct virtio_device other;
	unsigned watches = fake_loop_watches(), fds = open_fds();

	for (unsigned i = 0; i < QUEUES + 1; i++) {
		memset(&other, 0, sizeof(other));
		refused = i;
		assert_int_equal(virtio_init(&other, &class, &env, 0, config), -EMFILE);
		virtio_finish(&other);
		assert_int_equal(fake_loop_watches(), watches);
		assert_int_equal(open_fds(), fds);
	}
	memset(&other, 0, sizeof(other));
	refused = UINT32_MAX;
	assert_int_equal(virtio_init(&other, &class, &env, 0, config), 0);
	assert_int_equal(open_fds(), fds + QUEUES + 1);
	virtio_finish(&other);
	assert_int_equal(fake_loop_watches(), watches);
	assert_int_equal(open_fds(), fds);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_turn_is_a_ring_full),
		TEST(a_turn_is_over_after_5_ms),
		TEST(features_of_a_device),
		TEST(needs_reset_is_shown),
		TEST(rings_that_left_memory),
		TEST(nothing_after_a_reset),
		TEST(unpop),
		TEST(drop),
		TEST(its_server_lets_go_first),
		TEST(its_server_goes_on_after_a_state),
		TEST(begun_and_ended),
		TEST(a_system_reset_forgets_all_notifications),
		TEST(paused_it_takes_nothing),
		TEST(no_descriptors),
	};

	return cmocka_run_group_tests_name("virtio-core", tests, NULL, NULL);
}
