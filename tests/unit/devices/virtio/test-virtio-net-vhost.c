/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net that the host's kernel serves, with the part of its vhost-net played here, which takes what it is said to have. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/net-driver.h"

/* ---- The kernel ---- */

static struct kernel {
	unsigned base[QUEUES]; /* of all workers' available rings, as set and as returned */
	bool runs[QUEUES];
	uint64_t features;
	int backend;	  /* the last that it was given */
	unsigned running; /* rings of all workers */
	unsigned opened, refused_worker;
} kernel;

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	assert_string_equal(path, "/dev/vhost-net");
	if (++kernel.opened == kernel.refused_worker) {
		errno = EMFILE;
		return -1;
	}
	return dup(0);
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	struct vhost_vring_state *state;
	const struct vhost_vring_file *backend;

	va_start(args, request);
	state = arg = va_arg(args, void *);
	backend = arg;
	va_end(args);
	if (request == VHOST_GET_FEATURES)
		*(uint64_t *)arg = UINT64_MAX;
	else if (request == VHOST_SET_FEATURES)
		kernel.features = *(uint64_t *)arg;
	else if (request == VHOST_SET_VRING_BASE)
		kernel.base[state->index] = state->num;
	else if (request == VHOST_GET_VRING_BASE)
		state->num = kernel.base[state->index];
	else if (request == VHOST_NET_SET_BACKEND) {
		kernel.runs[backend->index] = backend->fd >= 0;
		kernel.running += backend->fd >= 0 ? 1 : -1;
		kernel.backend = backend->fd;
	}
	return 0;
}

/* The card with vhost, or without, and its driver. */
static void create(bool vhost, uint64_t features)
{
	device_destroy(device);
	node->vhost = vhost;
	assert_int_equal(device_create(&virtio_net_class, node, &env, &device), 0);
	start(QUEUES, features);
}

static int setup(void **unused)
{
	kernel = (struct kernel){ 0 };
	assert_int_equal(net_setup(NULL), 0);
	create(true, MRG);
	return 0;
}

/* ---- Tests ---- */

/* Nothing waits on the wire or in a ring for the cable to be in again; and the kernel goes on behind it. */
static void the_cable_of_the_kernel_s_is_pulled(void **unused)
{
	assert_true(kernel.runs[RECEIVE] && kernel.runs[TRANSMIT]);
	/* It has sent one, and another is in the ring when the cable goes, and one comes to it later. */
	offer_frame(0, 100);
	((struct vring_used *)at(TRANSMIT, USED_AT))->idx = 1;
	kernel.base[TRANSMIT] = 1;
	offer_frame(1, 100);
	virtio_net_set_link(device, false);
	assert_false(kernel.runs[RECEIVE] || kernel.runs[TRANSMIT]);
	fake_loop_serve();
	assert_int_equal(used(TRANSMIT)->idx, 2);
	assert_int_equal(used(TRANSMIT)->ring[1].id, 1);
	fake_loop_serve(); /* for what came meanwhile */
	offer_frame(2, 100);
	/* The doorbell is the worker's, so the loop does not see it. */
	network_comes(90);
	fake_loop_serve();
	assert_false(kernel.runs[RECEIVE] || kernel.runs[TRANSMIT]);
	assert_int_equal(used(TRANSMIT)->idx, 2);
	virtio_net_set_link(device, true);
	assert_int_equal(network.coming_len, 0);
	assert_int_equal(used(TRANSMIT)->idx, 3);
	assert_int_equal(used(RECEIVE)->idx, 0);
	fake_loop_serve();
	assert_true(kernel.runs[RECEIVE] && kernel.runs[TRANSMIT]);
	assert_int_equal(kernel.base[TRANSMIT], 3);
	assert_int_equal(kernel.base[RECEIVE], 0);
	assert_int_equal(network.sent, 0);
}

/* The cable comes in again in a pause: what waited for it is lost all the same, before the kernel goes on. */
static void the_cable_comes_in_a_pause(void **unused)
{
	virtio_net_set_link(device, false);
	fake_loop_serve();
	device->class->pause(device, true);
	offer_frame(0, 100);
	virtio_net_set_link(device, true);
	fake_loop_serve();
	assert_int_equal(used(TRANSMIT)->idx, 0);
	assert_false(kernel.runs[RECEIVE] || kernel.runs[TRANSMIT]);
	device->class->pause(device, false);
	assert_int_equal(used(TRANSMIT)->idx, 1);
	fake_loop_serve();
	assert_true(kernel.runs[RECEIVE] && kernel.runs[TRANSMIT]);
	assert_int_equal(kernel.base[TRANSMIT], 1);
	/* And a pause alone has the kernel let go of its rings, and go on where it was. */
	device->class->pause(device, true);
	assert_false(kernel.runs[RECEIVE] || kernel.runs[TRANSMIT]);
	device->class->pause(device, false);
	fake_loop_serve();
	assert_true(kernel.runs[RECEIVE] && kernel.runs[TRANSMIT]);
	assert_int_equal(kernel.base[TRANSMIT], 1);
}

/* The kernel has interrupted for the chains that it returned, so the device does not do it again. */
static void what_the_kernel_signalled_is_signalled(void **unused)
{
	start(QUEUES, MRG | 1ull << VIRTIO_RING_F_EVENT_IDX);
	/* The driver wants an interrupt for the first returned chain, and the kernel has returned that. */
	((uint16_t *)at(TRANSMIT, AVAIL_AT))[2 + QUEUE_SIZE] = 0;
	offer_frame(0, 100);
	((struct vring_used *)at(TRANSMIT, USED_AT))->idx = 1;
	kernel.base[TRANSMIT] = 1;
	offer_frame(1, 100);
	virtio_net_set_link(device, false);
	assert_int_equal(interrupts, 1); /* of the cable */
	fake_loop_serve();
	assert_int_equal(used(TRANSMIT)->idx, 2);
	assert_int_equal(interrupts, 1);
}

/* Of what the driver took, what concerns the worker; and it serves the interface of its pair. */
static void what_the_worker_gets(void **unused)
{
	const uint64_t rings = MRG | 1ull << VIRTIO_RING_F_EVENT_IDX;

	assert_int_equal(kernel.features, MRG | 1ull << VIRTIO_F_VERSION_1);
	assert_int_equal(kernel.backend, NETWORK_FD + 1);
	start(QUEUES, rings | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	assert_int_equal(kernel.features, rings | 1ull << VIRTIO_F_VERSION_1);
	start_pairs(MQ, CONTROL(PAIRS));
	assert_int_equal(use_pairs(2), VIRTIO_NET_OK);
	fake_loop_serve();
	assert_int_equal(kernel.backend, NETWORK_FD + 2);
}

/* Of a pair that is used no more the kernel lets go, and it serves it again when it is. */
static void pairs_of_the_kernel_s(void **unused)
{
	start_pairs(MQ, CONTROL(PAIRS));
	assert_int_equal(kernel.running, QUEUES);
	assert_int_equal(use_pairs(PAIRS), VIRTIO_NET_OK);
	fake_loop_serve();
	assert_int_equal(kernel.running, PAIRS * QUEUES);
	assert_int_equal(use_pairs(1), VIRTIO_NET_OK);
	assert_int_equal(kernel.running, QUEUES);
	assert_int_equal(use_pairs(2), VIRTIO_NET_OK);
	fake_loop_serve();
	assert_int_equal(kernel.running, 2 * QUEUES);
	/* The cable is that of all of them. */
	virtio_net_set_link(device, false);
	assert_int_equal(kernel.running, 0);
	virtio_net_set_link(device, true);
	fake_loop_serve();
	assert_int_equal(kernel.running, 2 * QUEUES);
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	assert_int_equal(kernel.running, 0);
}

/* A driver that takes pairs takes the queue of control, and the other way round: else its place is a worker's. */
static void pairs_and_control_are_taken_together(void **unused)
{
	start_pairs(1ull << VIRTIO_NET_F_MQ, CONTROL(PAIRS));
	assert_int_equal(net_status() & 8, 0);
	start_pairs(1ull << VIRTIO_NET_F_CTRL_VQ, CONTROL(PAIRS));
	assert_int_equal(net_status() & 8, 0);
	start_pairs(0, CONTROL(1));
	assert_int_equal(net_status(), 15);
}

/* One worker a pair has its table; without vhost there are none. */
static void listeners_are_the_workers(void **unused)
{
	start_pairs(MQ, CONTROL(PAIRS));
	for (unsigned i = 0; i < PAIRS; i++) {
		assert_non_null(virtio_net_class.listener(device, i));
		assert_ptr_equal(
			virtio_net_class.listener(device, i), virtio_net_class.listener(device, i));
	}
	assert_ptr_not_equal(
		virtio_net_class.listener(device, 0), virtio_net_class.listener(device, 1));
	assert_null(virtio_net_class.listener(device, PAIRS));
	assert_int_equal(virtio_net_class.vhost_workers(node), PAIRS);
	node->queue_pairs = 1;
	create(false, MRG);
	assert_null(virtio_net_class.listener(device, 0));
	assert_int_equal(virtio_net_class.vhost_workers(node), 0);
}

/* Whatever is refused on the way to a card, nothing of it is left (net_teardown() counts). */
static void a_card_that_cannot_be_made(void **unused)
{
	struct device *none = NULL;

	device_destroy(device);
	device = NULL;
	node->queue_pairs = PAIRS;
	for (unsigned i = 1; i <= PAIRS; i++) {
		kernel.refused_worker = kernel.opened + i;
		assert_int_equal(device_create(&virtio_net_class, node, &env, &none), -EMFILE);
		assert_null(none);
		assert_int_equal(made, 0);
	}
}

/* A whole ring of them at once, and of chains that take too long to read, or are none. */
static void all_that_waited_for_the_cable_is_lost(void **unused)
{
	struct vring_avail *avail = (void *)at(TRANSMIT, AVAIL_AT);

	virtio_net_set_link(device, false);
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		((struct vring_desc *)at(TRANSMIT, 0))[i] =
			(struct vring_desc){ .len = 1, .flags = VRING_DESC_F_NEXT, .next = i };
		avail->ring[i] = i;
	}
	avail->idx = QUEUE_SIZE;
	virtio_net_set_link(device, true);
	assert_int_equal(used(TRANSMIT)->idx, QUEUE_SIZE);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		assert_true(used(TRANSMIT)->ring[i].id == i && !used(TRANSMIT)->ring[i].len);
	fake_loop_serve();
	assert_true(kernel.runs[TRANSMIT]);
	assert_int_equal(kernel.base[TRANSMIT], QUEUE_SIZE);
	/* One that says to have more than its ring is broken. */
	virtio_net_set_link(device, false);
	avail->idx += QUEUE_SIZE + 1;
	virtio_net_set_link(device, true);
	assert_int_equal(net_status() & 0x40, 0x40);
}

/* Those of the kernel are long, so that frames need no tables of their own. */
static void rings_and_tables(void **unused)
{
	for (unsigned vhost = 0; vhost < 2; vhost++) {
		create(vhost, MRG);
		mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
		for (unsigned q = 0; q < QUEUES; q++) {
			mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, q);
			assert_int_equal(
				mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), vhost ? 1024 : 256);
		}
		mmio(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, true, 0);
		assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) >>
						 VIRTIO_RING_F_INDIRECT_DESC &
					 1,
			!vhost);
		/* What is not offered cannot be taken. */
		start(QUEUES, MRG | 1ull << VIRTIO_RING_F_INDIRECT_DESC);
		assert_int_equal(net_status() & 8, vhost ? 0 : 8);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_cable_of_the_kernel_s_is_pulled),
		TEST(the_cable_comes_in_a_pause),
		TEST(what_the_kernel_signalled_is_signalled),
		TEST(what_the_worker_gets),
		TEST(pairs_of_the_kernel_s),
		TEST(pairs_and_control_are_taken_together),
		TEST(listeners_are_the_workers),
		TEST(a_card_that_cannot_be_made),
		TEST(all_that_waited_for_the_cable_is_lost),
		TEST(rings_and_tables),
	};

	return cmocka_run_group_tests_name("virtio-net-vhost", tests, NULL, NULL);
}
