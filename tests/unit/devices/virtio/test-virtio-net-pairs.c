/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net with several pairs of queues, of which the driver says how many it uses. */
#include "tests/unit/helpers/unit.h"

#include "hyp/base/util.h"
#include "tests/unit/helpers/net-driver.h"

#define SECOND(queue) (QUEUES + (queue)) /* of the second pair */

static int setup(void **unused)
{
	return net_setup(NULL);
}

static void pairs_are_used_as_the_driver_says(void **unused)
{
	start_pairs(MQ, CONTROL(PAIRS));
	assert_int_equal(
		mmio(VIRTIO_MMIO_CONFIG + offsetof(struct virtio_net_config, max_virtqueue_pairs),
			2, false, 0),
		PAIRS);
	assert_int_equal(active_pairs(), 1);
	assert_int_equal(use_pairs(3), VIRTIO_NET_OK);
	assert_int_equal(last_used(CONTROL(PAIRS)), 1);
	assert_int_equal(interrupts, 1);
	assert_int_equal(active_pairs(), 3);
	assert_int_equal(use_pairs(2), VIRTIO_NET_OK);
	assert_int_equal(active_pairs(), 2);
	/* The next driver begins with one, whatever this one had. */
	start(QUEUES, MRG);
	assert_int_equal(active_pairs(), 1);
}

/* Each change takes a lock of the host's: a driver that asks all the time waits, and is answered as ever. */
static void pairs_change_so_often(void **unused)
{
	unsigned said = 0;

	start_pairs(MQ, CONTROL(PAIRS));
	/* 2, 1, 2, ... */
	while (said < 100 && use_pairs(2 - said % 2) == VIRTIO_NET_OK)
		said++;
	assert_int_equal(said, 8);
	assert_int_equal(use_pairs(2 - said % 2), 0xff);
	fake_loop_advance(999);
	fake_loop_serve();
	assert_int_equal(*buffer(CONTROL(PAIRS), 1), 0xff);
	fake_loop_advance(1);
	fake_loop_serve();
	assert_int_equal(*buffer(CONTROL(PAIRS), 1), VIRTIO_NET_OK);
	assert_int_equal(active_pairs(), 2 - said % 2);
	/* To say the same again costs nothing. */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(use_pairs(active_pairs()), VIRTIO_NET_OK);
}

static void no_other_number_of_pairs(void **unused)
{
	static const struct {
		uint8_t bytes[4];
		uint32_t len;
	} bad[] = {
		{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 0, 0 }, 4 },
		{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, PAIRS + 1, 0 }, 4 },
		{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 1 }, 4 },
		{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0 }, 3 },
		{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET + 1, 2, 0 }, 4 },
		{ { VIRTIO_NET_CTRL_RX, 0, 2, 0 }, 4 },
	};

	start_pairs(MQ, CONTROL(PAIRS));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(command(CONTROL(PAIRS), bad[i].bytes, bad[i].len), VIRTIO_NET_ERR);
	assert_int_equal(active_pairs(), 1);
	refuse_active = PAIRS - 1;
	assert_int_equal(use_pairs(PAIRS), VIRTIO_NET_ERR);
	refuse_active = 0;
	assert_int_equal(active_pairs(), 1);
}

/* 5.1.2: the queue of control is the third then. */
static void a_driver_without_pairs(void **unused)
{
	const uint8_t bytes[4] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0 };

	start_pairs(1ull << VIRTIO_NET_F_CTRL_VQ, CONTROL(1));
	assert_int_equal(command(CONTROL(1), bytes, 4), VIRTIO_NET_ERR);
	assert_int_equal(active_pairs(), 1);
}

/* Before a pair is used its queues are left alone; then what waits in them goes, both ways. */
static void a_pair_begins_with_what_waits(void **unused)
{
	start_pairs(MQ, CONTROL(PAIRS));
	offer_bytes(SECOND(TRANSMIT), 0, "", 1);
	offer_at(SECOND(TRANSMIT), 1, gpa_of(buffer(SECOND(TRANSMIT), 1)), 100, 0);
	notify(SECOND(TRANSMIT));
	network.coming_len = 90;
	offer_room(SECOND(RECEIVE), 0, 100);
	notify(SECOND(RECEIVE));
	assert_int_equal(network.sent, 0);
	assert_int_equal(used(SECOND(RECEIVE))->idx, 0);
	assert_int_equal(use_pairs(2), VIRTIO_NET_OK);
	fake_loop_serve();
	assert_int_equal(network.sent, 1);
	assert_int_equal(used(SECOND(TRANSMIT))->idx, 2);
	assert_int_equal(used(SECOND(RECEIVE))->idx, 1);
}

/* A frame that a pair held for buffers is not delivered when that pair is used again. */
static void a_pair_ends_with_what_it_held(void **unused)
{
	start_pairs(MQ, CONTROL(PAIRS));
	network.coming_len = 90;
	assert_int_equal(use_pairs(2), VIRTIO_NET_OK);
	fake_loop_serve();
	assert_int_equal(network.coming_len, 0);
	assert_int_equal(use_pairs(1), VIRTIO_NET_OK);
	offer_room(SECOND(RECEIVE), 0, 100);
	assert_int_equal(use_pairs(2), VIRTIO_NET_OK);
	fake_loop_serve();
	assert_int_equal(used(SECOND(RECEIVE))->idx, 0);
}

/* One that may not begin undoes those that did before it, and the former number stays. */
static void a_pair_may_not_begin(void **unused)
{
	start_pairs(MQ, CONTROL(PAIRS));
	assert_int_equal(use_pairs(2), VIRTIO_NET_OK);
	refuse_active = PAIRS - 1;
	assert_int_equal(use_pairs(PAIRS), VIRTIO_NET_ERR);
	refuse_active = 0;
	assert_int_equal(active_pairs(), 2);
	assert_int_equal(use_pairs(PAIRS), VIRTIO_NET_OK);
	assert_int_equal(active_pairs(), PAIRS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pairs_are_used_as_the_driver_says),
		TEST(pairs_change_so_often),
		TEST(no_other_number_of_pairs),
		TEST(a_driver_without_pairs),
		TEST(a_pair_begins_with_what_waits),
		TEST(a_pair_ends_with_what_it_held),
		TEST(a_pair_may_not_begin),
	};

	return cmocka_run_group_tests_name("virtio-net-pairs", tests, NULL, NULL);
}
