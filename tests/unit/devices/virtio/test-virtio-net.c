/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net, with a network that the test makes up (fake-network.h). */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/net-driver.h"

static int setup(void **unused)
{
	assert_int_equal(net_setup(NULL), 0);
	start(QUEUES, MRG);
	return 0;
}

/* ---- Tests ---- */

static void a_frame_comes(void **unused)
{
	const uint8_t *got = buffer(RECEIVE, 0);
	const struct virtio_net_hdr_v1 *header = (const void *)got;

	offer(0, 200);
	notify(RECEIVE);
	network_comes(112);
	assert_int_equal(used(RECEIVE)->idx, 1);
	assert_int_equal(used(RECEIVE)->ring[0].len, 112);
	assert_int_equal(header->num_buffers, 1);
	assert_memory_equal(got + NETDEV_HEADER, network.coming + NETDEV_HEADER, 100);
	assert_int_equal(interrupts, 1);
}

/* A frame of `len` bytes for so many buffers; how many bytes of it the driver gets in them. */
static unsigned received(int len, unsigned buffers, uint32_t buffer_bytes)
{
	unsigned before = used(RECEIVE)->idx, bytes = 0;

	for (unsigned i = 0; i < buffers; i++)
		offer_at(RECEIVE, i, gpa_of(ram + 4 * QUEUE_SPAN + i * buffer_bytes), buffer_bytes,
			VRING_DESC_F_WRITE);
	notify(RECEIVE);
	network_comes(len);
	assert_int_equal((uint16_t)(used(RECEIVE)->idx - before), buffers);
	for (unsigned i = 0; i < buffers; i++)
		bytes += used(RECEIVE)->ring[(before + i) % ring_size].len;
	return bytes;
}

/* The header alone may fill the first; of more buffers than 64 the frame is lost. */
static void buffers_at_their_edge(void **unused)
{
	assert_int_equal(received(NETDEV_HEADER + 12, 2, NETDEV_HEADER), NETDEV_HEADER + 12);
	assert_int_equal(received(NETDEV_HEADER, 1, NETDEV_HEADER - 1), 0);
	ring_size = 128;
	start(QUEUES, MRG);
	assert_int_equal(received(64 * 20, 64, 20), 64 * 20);
	assert_int_equal(received(64 * 20 + 1, 64, 20), 0);
	assert_true(network.listening);
}

static void it_takes_several_buffers(void **unused)
{
	for (unsigned i = 0; i < 4; i++)
		offer(i, 100);
	notify(RECEIVE);
	network_comes(250);
	assert_int_equal(used(RECEIVE)->idx, 3);
	assert_int_equal(used(RECEIVE)->ring[2].len, 50);
	assert_int_equal(((const struct virtio_net_hdr_v1 *)buffer(RECEIVE, 0))->num_buffers, 3);
	assert_memory_equal(buffer(RECEIVE, 2), network.coming + 200, 50);
}

static void it_waits_for_buffers(void **unused)
{
	offer(0, 100);
	notify(RECEIVE);
	network_comes(150);
	assert_int_equal(used(RECEIVE)->idx, 0);
	assert_false(network.listening);
	offer(1, 100);
	notify(RECEIVE);
	assert_int_equal(used(RECEIVE)->idx, 2);
	assert_true(network.listening);
	assert_memory_equal(buffer(RECEIVE, 1), network.coming + 100, 50);
}

/* One that all the buffers of the ring together are too small for is lost, not held for ever. */
static void what_can_never_fit_is_lost(void **unused)
{
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		offer(i, 50);
	notify(RECEIVE);
	network_comes(QUEUE_SIZE * 50 + 1);
	assert_int_equal(used(RECEIVE)->idx, 0);
	assert_true(network.listening);
	network_comes(QUEUE_SIZE * 50);
	assert_int_equal(used(RECEIVE)->idx, QUEUE_SIZE);
}

/* Without a driver nothing is read away: the network keeps what it has room for. */
static void without_a_driver_it_is_left_alone(void **unused)
{
	notify(RECEIVE);
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	network.comes_again = 100;
	network_comes(90);
	assert_false(network.listening);
	assert_true(network.comes_again >= 99);
}

/* In a pause nothing is read, whether the cable is in or out, nor sent; and all of it after. */
static void in_a_pause_it_waits(void **unused)
{
	for (unsigned up = 0; up < 2; up++) {
		virtio_net_set_link(device, up);
		device->class->pause(device, true);
		network.asked = 0;
		network_comes(90);
		assert_int_equal(network.asked, 0);
		assert_false(network.listening);
	}
	offer_frame(0, 100);
	offer(0, 200);
	notify(TRANSMIT);
	notify(RECEIVE);
	assert_int_equal(network.asked, 0);
	assert_int_equal(network.sent, 0);
	device->class->pause(device, false);
	fake_loop_serve();
	assert_int_equal(network.sent, 1);
	assert_true(network.asked > 0);
	assert_true(network.listening);
	network_comes(90);
	assert_int_equal(used(RECEIVE)->idx, 1);
}

/* However fast they come, others have their turn. */
static void a_flood_is_bounded(void **unused)
{
	virtio_net_set_link(device, false);
	notify(RECEIVE);
	network.comes_again = 100000;
	network.asked = 0;
	network_comes(90);
	assert_int_equal(network.asked, 256);
	assert_true(network.listening);
}

static void without_merging_it_is_one_or_none(void **unused)
{
	start(QUEUES, 0);
	offer(0, 100);
	offer(1, 200);
	notify(RECEIVE);
	network_comes(150);
	assert_int_equal(used(RECEIVE)->idx, 1);
	assert_int_equal(used(RECEIVE)->ring[0].len, 0);
	network_comes(150);
	assert_int_equal(used(RECEIVE)->ring[1].len, 150);
}

/* Each costs its frame and its buffer, and nothing else. */
static void bad_buffers(void **unused)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags;
	} bad[] = {
		{ RAM_GPA + sizeof(ram), 100, VRING_DESC_F_WRITE },
		{ RAM_GPA + sizeof(ram) - 50, 100, VRING_DESC_F_WRITE },
		{ UINT64_MAX - 10, 100, VRING_DESC_F_WRITE },
		{ RAM_GPA + FREE_AT, 100, 0 },
		{ RAM_GPA + FREE_AT, NETDEV_HEADER - 1, VRING_DESC_F_WRITE },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		offer_at(RECEIVE, 0, bad[i].gpa, bad[i].len, bad[i].flags);
		notify(RECEIVE);
		network_comes(90);
		assert_int_equal(used(RECEIVE)->idx, i + 1);
		assert_int_equal(used(RECEIVE)->ring[i % QUEUE_SIZE].len, 0);
	}
	offer(0, 100);
	notify(RECEIVE);
	network_comes(90);
	assert_int_equal(used(RECEIVE)->ring[ARRAY_SIZE(bad) % QUEUE_SIZE].len, 90);
}

static void a_frame_goes(void **unused)
{
	memset(buffer(TRANSMIT, 0), 7, 100);
	offer_frame(0, 100);
	notify(TRANSMIT);
	assert_int_equal(network.sent, 1);
	assert_int_equal(network.sent_len, 100);
	assert_memory_equal(network.last, buffer(TRANSMIT, 0), 100);
	assert_int_equal(used(TRANSMIT)->idx, 1);
	assert_int_equal(last_used(TRANSMIT), 0);
	assert_int_equal(interrupts, 1);
}

/* The shortest and the longest that are frames; one byte less and one more are returned unsent. */
static void frames_at_their_edge(void **unused)
{
	static const uint32_t good[] = { NETDEV_HEADER + 1, NETDEV_FRAME_MAX };
	static const uint32_t bad[] = { NETDEV_HEADER, NETDEV_FRAME_MAX + 1 };
	const uint64_t gpa = gpa_of(ram + 4 * QUEUE_SPAN);

	for (unsigned i = 0; i < 2; i++) {
		offer_at(TRANSMIT, 0, gpa, good[i], 0);
		offer_at(TRANSMIT, 1, gpa, bad[i], 0);
		notify(TRANSMIT);
		assert_int_equal(network.sent, i + 1);
		assert_int_equal(network.sent_len, good[i]);
		assert_int_equal(used(TRANSMIT)->idx, 2 * i + 2);
	}
}

static void it_waits_for_the_network(void **unused)
{
	network.full = true;
	offer_frame(0, 100);
	offer_frame(1, 100);
	notify(TRANSMIT);
	assert_int_equal(used(TRANSMIT)->idx, 0);
	network.full = false;
	network.netdev.client->writable(network.netdev.client);
	assert_int_equal(network.sent, 2);
	assert_int_equal(used(TRANSMIT)->idx, 2);
}

static void what_is_no_frame_is_dropped(void **unused)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags;
	} bad[] = {
		{ RAM_GPA + sizeof(ram), 100, 0 },
		{ UINT64_MAX - 10, 100, 0 },
		{ RAM_GPA + FREE_AT, NETDEV_HEADER, 0 },
		{ RAM_GPA, NETDEV_FRAME_MAX + 1, 0 },
		{ RAM_GPA + FREE_AT, 100, VRING_DESC_F_WRITE },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		offer_at(TRANSMIT, i, bad[i].gpa, bad[i].len, bad[i].flags);
		notify(TRANSMIT);
		assert_int_equal(used(TRANSMIT)->idx, i + 1);
	}
	assert_int_equal(network.sent, 0);
	assert_int_equal(net_status(), 15);
}

static uint16_t status(void)
{
	return (uint16_t)mmio(
		VIRTIO_MMIO_CONFIG + offsetof(struct virtio_net_config, status), 2, false, 0);
}

static void the_cable_is_pulled(void **unused)
{
	assert_int_equal(status(), VIRTIO_NET_S_LINK_UP);
	virtio_net_set_link(device, false);
	assert_int_equal(status(), 0);
	assert_int_equal(interrupts, 1);
	offer(0, 100);
	notify(RECEIVE);
	network_comes(90);
	offer_frame(0, 100);
	notify(TRANSMIT);
	assert_int_equal(used(RECEIVE)->idx, 0);
	assert_int_equal(used(TRANSMIT)->idx, 1);
	assert_int_equal(network.sent, 0);
	virtio_net_set_link(device, true);
	network_comes(90);
	assert_int_equal(used(RECEIVE)->idx, 1);
}

/* Reported once, and not in again while the other end is gone; then as its owner has it. */
static void the_cable_is_lost(void **unused)
{
	virtio_net_set_link(device, true);
	assert_int_equal(interrupts, 0);
	network.netdev.client->changed(network.netdev.client, false);
	assert_int_equal(status(), 0);
	assert_int_equal(interrupts, 1);
	virtio_net_set_link(device, false);
	virtio_net_set_link(device, true);
	assert_int_equal(status(), 0);
	assert_int_equal(interrupts, 1);
	network.netdev.client->changed(network.netdev.client, true);
	assert_int_equal(status(), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(interrupts, 2);
	network.netdev.client->changed(network.netdev.client, false);
	virtio_net_set_link(device, false);
	network.netdev.client->changed(network.netdev.client, true);
	assert_int_equal(status(), 0);
	virtio_net_set_link(device, true);
	assert_int_equal(status(), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(interrupts, 4);
}

static void only_what_the_driver_took_is_offloaded(void **unused)
{
	start(QUEUES, MRG | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	assert_int_equal(network.offloads, 1ull << VIRTIO_NET_F_GUEST_CSUM);
	start(QUEUES, MRG);
	assert_int_equal(network.offloads, 0);
}

/* What waits for buffers was made for a driver that took more. */
static void a_frame_is_not_the_next_driver_s(void **unused)
{
	start(QUEUES, MRG | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	notify(RECEIVE);
	network_comes(90);
	assert_int_equal(network.coming_len, 0);
	start(QUEUES, MRG);
	offer(0, 100);
	notify(RECEIVE);
	assert_int_equal(used(RECEIVE)->idx, 0);
	network_comes(80);
	assert_int_equal(last_used(RECEIVE), 80);
}

/*
 * Nor is what the network holds for that driver, where the next one comes without a system reset, as by kexec:
 * frames whose checksums it was to fill, and longer ones than it can take (5.1.6.4).
 */
static void queued_frames_are_not_the_next_driver_s(void **unused)
{
	start(QUEUES, MRG | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	network.comes_again = 2;
	network.coming_len = 90;
	start(QUEUES, MRG);
	assert_int_equal(network.offloads, 0);
	offer(0, 100);
	notify(RECEIVE);
	assert_int_equal(used(RECEIVE)->idx, 0);
	assert_int_equal(network.coming_len, 0);
	network_comes(80);
	assert_int_equal(last_used(RECEIVE), 80);
	/* Of a driver that takes the same they stay. */
	network.coming_len = 70;
	start(QUEUES, MRG);
	offer(0, 100);
	notify(RECEIVE);
	assert_int_equal(last_used(RECEIVE), 70);
}

/* Nor may a driver that comes again and again, with other features each time, keep the host's lock. */
static void offloads_change_so_often(void **unused)
{
	unsigned changed = 0;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t before = network.offloads;

		start(QUEUES, i % 2 ? 1ull << VIRTIO_NET_F_GUEST_CSUM : 0);
		notify(RECEIVE);
		changed += network.offloads != before;
	}
	assert_int_equal(changed, 8);
	/* The last one's frame waits for it, and the device does not listen for frames that come. */
	assert_true(network.offloads == 0);
	offer(0, 200);
	notify(RECEIVE);
	assert_false(network.listening);
	offer_frame(0, 100);
	notify(TRANSMIT);
	assert_int_equal(network.sent, 0);
	fake_loop_advance(1000);
	fake_loop_serve();
	assert_true(network.offloads == 1ull << VIRTIO_NET_F_GUEST_CSUM);
	assert_int_equal(network.sent, 1);
	assert_true(network.listening);
}

/* Of what came for one guest so much is lost as a tap keeps, and nobody listens meanwhile. */
static void a_reset_loses_what_came(void **unused)
{
	notify(RECEIVE);
	assert_true(network.listening);
	network.comes_again = 5000;
	network.coming_len = 90;
	network.asked = 0;
	virtio_net_class.quiesce(device);
	assert_int_equal(network.asked, 1024);
	assert_false(network.listening);
}

/* What was held for one guest is not the next one's. */
static void a_reset_forgets(void **unused)
{
	start(QUEUES, MRG | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	notify(RECEIVE);
	network.comes_again = 3;
	network_comes(90);
	virtio_net_class.quiesce(device);
	assert_int_equal(network.coming_len, 0);
	assert_int_equal(network.offloads, 0);
	virtio_net_class.reset(device);
	assert_false(network.listening);
	start(QUEUES, MRG);
	offer(0, 100);
	notify(RECEIVE);
	assert_int_equal(used(RECEIVE)->idx, 0);
}

#define MAC UINT64_C(0x605d48d4d766)
#define OFFERED                                                                                    \
	(MRG | 1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS |                            \
		1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_F_VERSION_1 |                     \
		1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX)

static uint64_t offered_features(void)
{
	uint64_t features = 0;

	for (unsigned half = 0; half < 2; half++) {
		mmio(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, true, half);
		features |= mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) << 32 * half;
	}
	return features;
}

static uint64_t mac(void)
{
	uint64_t mac = 0;

	for (unsigned i = 0; i < 6; i++)
		mac |= mmio(VIRTIO_MMIO_CONFIG + i, 1, false, 0) << 8 * i;
	return mac;
}

static void create(const struct device_env *where)
{
	device_destroy(device);
	assert_int_equal(device_create(&virtio_net_class, node, where, &device), 0);
}

/* A guest knows its card by it: 48 bits of the identity, of a local station; and it is what is printed. */
static void the_address_is_the_identity_s(void **unused)
{
	static struct device_env other; /* outlives the card, which teardown destroys */
	char text[64];

	other = env;
	assert_int_equal(mac(), MAC);
	virtio_net_class.identify(node, env.identity, text, sizeof(text));
	assert_string_equal(text, "MAC 66:d7:d4:48:5d:60");
	for (unsigned bit = 0; bit < 48; bit++) {
		other.identity = env.identity ^ 1ull << bit;
		create(&other);
		/* The two lowest bits say what kind of address it is. */
		assert_int_equal(mac() ^ MAC, bit < 2 ? 0 : 1ull << bit);
	}
	memcpy(node->mac, "\x02\x03\x04\x05\x06\x07", 6);
	virtio_net_class.identify(node, env.identity, text, sizeof(text));
	assert_string_equal(text, "MAC 02:03:04:05:06:07");
}

/* What the node says is what the driver reads, and it is offered then only. */
static void the_node_s_address_and_mtu(void **unused)
{
	static const uint8_t bytes[6] = { 2, 3, 4, 5, 6, 7 };
	const uint64_t speed_at = VIRTIO_MMIO_CONFIG + offsetof(struct virtio_net_config, speed);
	const uint64_t mtu_at = VIRTIO_MMIO_CONFIG + offsetof(struct virtio_net_config, mtu);

	assert_int_equal(offered_features(), OFFERED);
	memcpy(node->mac, bytes, sizeof(bytes));
	node->mtu = 1400;
	create(&env);
	assert_int_equal(mac(), 0x070605040302);
	assert_int_equal(mmio(mtu_at, 2, false, 0), 1400);
	assert_int_equal(offered_features(), OFFERED | 1ull << VIRTIO_NET_F_MTU);
	node->mtu = 0;
	node->speed = 10000;
	create(&env);
	assert_int_equal(mmio(speed_at, 4, false, 0), 10000);
	assert_int_equal(mmio(speed_at + 4, 1, false, 0), 1);
	assert_int_equal(offered_features(), OFFERED | 1ull << VIRTIO_NET_F_SPEED_DUPLEX);
	node->speed = 0;
	node->queue_pairs = PAIRS;
	create(&env);
	assert_int_equal(offered_features(),
		OFFERED | 1ull << VIRTIO_NET_F_MQ | 1ull << VIRTIO_NET_F_CTRL_VQ);
}

/* Whatever is refused on the way to a card, nothing of it is left (net_teardown() counts). */
static void a_card_that_cannot_be_made(void **unused)
{
	struct device *none = NULL;
	unsigned queues = CONTROL(PAIRS) + 1;

	device_destroy(device);
	device = NULL;
	node->queue_pairs = PAIRS;
	for (unsigned i = 1; i <= queues; i++) {
		fake_loop_refuse(i);
		assert_int_equal(device_create(&virtio_net_class, node, &env, &none), -ENOSPC);
		assert_int_equal(fake_loop_watches() + made, 0);
	}
	fake_loop_refuse(0);
	for (unsigned i = 1; i <= PAIRS; i++) {
		network.refuse_open = i;
		assert_int_equal(device_create(&virtio_net_class, node, &env, &none), -EBUSY);
		assert_int_equal(made, 0);
	}
	assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_frame_comes),
		TEST(it_takes_several_buffers),
		TEST(it_waits_for_buffers),
		TEST(what_can_never_fit_is_lost),
		TEST(without_a_driver_it_is_left_alone), TEST(in_a_pause_it_waits),
		TEST(a_flood_is_bounded),
		TEST(without_merging_it_is_one_or_none),
		TEST(bad_buffers),
		TEST(buffers_at_their_edge),
		TEST(a_frame_goes),
		TEST(frames_at_their_edge),
		TEST(it_waits_for_the_network),
		TEST(what_is_no_frame_is_dropped),
		TEST(the_cable_is_pulled),
		TEST(the_cable_is_lost),
		TEST(only_what_the_driver_took_is_offloaded),
		TEST(a_frame_is_not_the_next_driver_s),
		TEST(queued_frames_are_not_the_next_driver_s),
		TEST(offloads_change_so_often),
		TEST(a_reset_loses_what_came),
		TEST(a_reset_forgets),
		TEST(the_address_is_the_identity_s),
		TEST(the_node_s_address_and_mtu),
		TEST(a_card_that_cannot_be_made),
	};

	return cmocka_run_group_tests_name("virtio-net", tests, NULL, NULL);
}
