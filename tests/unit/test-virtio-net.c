/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net, with a network that the test makes up, and the kernel of vhost: tap.c is not linked, tap_open() and tap_create() are here. */
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/device.h"
#include "devices/netdev.h"
#include "devices/tap.h"
#include "devices/virtio-net-node.h"
#include "devices/virtio-net.h"
#include "driver.h"
#include "fake-loop.h"
#include "hyp/irq.h"
#include "hyp/util.h"
#include "mmio.h"
#include "unit.h"

#define QUEUE_SIZE 8
#define MRG	   (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define BUFFER	   0x100 /* bytes from one buffer to the next, from FREE_AT on */

enum { RECEIVE, TRANSMIT, QUEUES };

static struct driver rings[QUEUES]; /* the memory of both is rings[0]'s */
static unsigned interrupts;

static void count_interrupt(struct irq_line *line, bool level)
{
	assert_device_locked();
	interrupts += level;
}

static struct irq_line irq = { .set = count_interrupt };
static const struct device_env env = {
	.id = "net0",
	.machine = "machine",
	.loop = (struct loop *)&device,
	.mem = &rings[0].mem,
	.irq = &irq,
	.registers = registers,
};

/* ---- The network ---- */

static struct network {
	struct netdev netdev;
	uint8_t coming[4096]; /* one frame, with its header */
	int coming_len, sent_len;
	unsigned comes_again; /* so many more like it, at once */
	unsigned sent;
	uint8_t last[4096];
	bool full, listening;
	uint64_t offloads;
	int open_result;
} network;

/* Those of the second pair and on, of which only this is asked: whether they take part. */
#define PAIRS 3
static struct other {
	struct netdev netdev;
	bool active;
} others[PAIRS - 1];
static unsigned made, refuse_active;

static int network_send(struct netdev *netdev, const struct iovec *iov, unsigned count)
{
	if (network.full)
		return -EAGAIN;
	network.sent++;
	network.sent_len = 0;
	for (unsigned i = 0; i < count; i++) {
		memcpy(network.last + network.sent_len, iov[i].iov_base, iov[i].iov_len);
		network.sent_len += (int)iov[i].iov_len;
	}
	return 0;
}

static int network_receive(struct netdev *netdev, void *buf, size_t size)
{
	int len = network.coming_len;

	if (!len)
		return -EAGAIN;
	memcpy(buf, network.coming, (size_t)len);
	if (network.comes_again)
		network.comes_again--;
	else
		network.coming_len = 0;
	return len;
}

static void network_listen(struct netdev *netdev, bool on)
{
	network.listening = on;
}

static void network_set_offloads(struct netdev *netdev, uint64_t features)
{
	network.offloads = features;
}

static int network_set_active(struct netdev *netdev, bool on)
{
	struct other *other = container_of(netdev, struct other, netdev);

	if (on && refuse_active && other == &others[refuse_active - 1])
		return -ENOMEM;
	other->active = on;
	return 0;
}

static void network_destroy(struct netdev *netdev)
{
	made--;
}

static const struct netdev_ops network_ops = {
	.send = network_send,
	.receive = network_receive,
	.listen = network_listen,
	.set_offloads = network_set_offloads,
	.set_active = network_set_active,
	.destroy = network_destroy,
};

int __wrap_tap_open(const char *name, bool several, int *ret_fd);
int __wrap_tap_open(const char *name, bool several, int *ret_fd)
{
	*ret_fd = network.open_result ? -1 : dup(0);
	return network.open_result;
}

int __wrap_tap_adopt(int fd, int *ret_fd);
int __wrap_tap_adopt(int fd, int *ret_fd)
{
	return __wrap_tap_open("", false, ret_fd);
}

int __wrap_tap_create(int fd, struct loop *loop, struct netdev **ret);
int __wrap_tap_create(int fd, struct loop *loop, struct netdev **ret)
{
	close(fd);
	*ret = made ? &others[made - 1].netdev : &network.netdev;
	made++;
	(*ret)->ops = &network_ops;
	(*ret)->features = 1ull << VIRTIO_NET_F_GUEST_CSUM;
	return 0;
}

static void comes(int len)
{
	memset(network.coming, 0, NETDEV_HEADER);
	for (int i = NETDEV_HEADER; i < len; i++)
		network.coming[i] = (uint8_t)i;
	network.coming_len = len;
	if (network.listening)
		network.netdev.client->readable(network.netdev.client);
}

/* ---- The kernel that serves it with vhost: it takes what it is said to have ---- */

static struct kernel {
	unsigned base[QUEUES]; /* of the available rings, what it was told and tells */
	bool runs[QUEUES];
} kernel;

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	assert_string_equal(path, "/dev/vhost-net");
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
	else if (request == VHOST_SET_VRING_BASE)
		kernel.base[state->index] = state->num;
	else if (request == VHOST_GET_VRING_BASE)
		state->num = kernel.base[state->index];
	else if (request == VHOST_NET_SET_BACKEND)
		kernel.runs[backend->index] = backend->fd >= 0;
	return 0;
}

/* ---- The driver ---- */

static void write32(uint64_t offset, uint32_t value)
{
	mmio(offset, 4, true, value);
}

/* The second queue's rings stand 0x8000 behind the first's. */
#define SECOND 0x8000

static void start(uint64_t features)
{
	features |= 1ull << VIRTIO_F_VERSION_1;
	driver_init(&rings[0], QUEUE_SIZE);
	rings[1].size = QUEUE_SIZE;
	rings[1].next_avail = 0;
	for (uint32_t status = 0; status <= 3; status += status + 1)
		write32(VIRTIO_MMIO_STATUS, status);
	for (unsigned half = 0; half < 2; half++) {
		write32(VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		write32(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * half));
	}
	write32(VIRTIO_MMIO_STATUS, 11);
	for (unsigned q = 0; q < QUEUES; q++) {
		uint32_t at = RAM_GPA + q * SECOND;

		write32(VIRTIO_MMIO_QUEUE_SEL, q);
		write32(VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
		write32(VIRTIO_MMIO_QUEUE_DESC_LOW, at);
		write32(VIRTIO_MMIO_QUEUE_AVAIL_LOW, at + AVAIL_AT);
		write32(VIRTIO_MMIO_QUEUE_USED_LOW, at + USED_AT);
		write32(VIRTIO_MMIO_QUEUE_READY, 1);
	}
	write32(VIRTIO_MMIO_STATUS, 15);
	fake_loop_serve();
	interrupts = 0;
}

static uint8_t *at(unsigned queue, unsigned offset)
{
	return rings[0].ram + queue * SECOND + offset;
}

/* Offers descriptor `index` of a queue: a buffer of its own, of `len` bytes, or elsewhere. */
static void offer_at(unsigned queue, unsigned index, uint64_t gpa, uint32_t len, uint16_t flags)
{
	struct vring_desc *desc = (struct vring_desc *)at(queue, 0) + index;
	uint16_t *avail = (uint16_t *)at(queue, AVAIL_AT);

	*desc = (struct vring_desc){ .addr = gpa, .len = len, .flags = flags };
	avail[2 + rings[queue].next_avail++ % QUEUE_SIZE] = (uint16_t)index;
	avail[1] = rings[queue].next_avail;
}

static uint64_t buffer_gpa(unsigned queue, unsigned index)
{
	return RAM_GPA + queue * SECOND + FREE_AT + index * BUFFER;
}

static void notify(unsigned queue)
{
	write32(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	fake_loop_serve();
}

static void offer(unsigned index, uint32_t len)
{
	offer_at(RECEIVE, index, buffer_gpa(RECEIVE, index), len, VRING_DESC_F_WRITE);
}

static const struct vring_used *used(unsigned queue)
{
	return (const void *)at(queue, USED_AT);
}

static struct virtio_net_node *node;

static int setup(void **unused)
{
	memset(&network, 0, sizeof(network));
	node = calloc(1, sizeof(*node));
	virtio_net_class.defaults(node);
	node->tap = "tap0";
	assert_int_equal(virtio_net_class.create(node, &env, &device), 0);
	start(MRG);
	return 0;
}

static int teardown(void **unused)
{
	virtio_net_class.destroy(device);
	free(node);
	assert_int_equal(made, 0);
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	return 0;
}

/* ---- Tests ---- */

static void a_frame_comes(void **unused)
{
	const uint8_t *got = at(RECEIVE, FREE_AT);
	const struct virtio_net_hdr_v1 *header = (const void *)got;

	offer(0, 200);
	notify(RECEIVE);
	comes(112);
	assert_int_equal(used(RECEIVE)->idx, 1);
	assert_int_equal(used(RECEIVE)->ring[0].len, 112);
	assert_int_equal(header->num_buffers, 1);
	assert_memory_equal(got + NETDEV_HEADER, network.coming + NETDEV_HEADER, 100);
	assert_int_equal(interrupts, 1);
}

static void it_takes_several_buffers(void **unused)
{
	for (unsigned i = 0; i < 4; i++)
		offer(i, 100);
	notify(RECEIVE);
	comes(250);
	assert_int_equal(used(RECEIVE)->idx, 3);
	assert_int_equal(used(RECEIVE)->ring[2].len, 50);
	assert_int_equal(((const struct virtio_net_hdr_v1 *)at(RECEIVE, FREE_AT))->num_buffers, 3);
	assert_memory_equal(at(RECEIVE, FREE_AT + 2 * BUFFER), network.coming + 200, 50);
}

static void it_waits_for_buffers(void **unused)
{
	offer(0, 100);
	notify(RECEIVE);
	comes(150);
	assert_int_equal(used(RECEIVE)->idx, 0);
	assert_false(network.listening);
	offer(1, 100);
	notify(RECEIVE);
	assert_int_equal(used(RECEIVE)->idx, 2);
	assert_true(network.listening);
	assert_memory_equal(at(RECEIVE, FREE_AT + BUFFER), network.coming + 100, 50);
}

/* One that all the buffers of the ring together are too small for is lost, not kept for ever. */
static void what_can_never_fit_is_lost(void **unused)
{
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		offer(i, 50);
	notify(RECEIVE);
	comes(QUEUE_SIZE * 50 + 1);
	assert_int_equal(used(RECEIVE)->idx, 0);
	assert_true(network.listening);
	comes(QUEUE_SIZE * 50);
	assert_int_equal(used(RECEIVE)->idx, QUEUE_SIZE);
}

/* Without a driver nothing is read away: the network keeps what it has room for. */
static void without_a_driver_it_is_left_alone(void **unused)
{
	notify(RECEIVE);
	write32(VIRTIO_MMIO_STATUS, 0);
	network.comes_again = 100;
	comes(90);
	assert_false(network.listening);
	assert_true(network.comes_again >= 99);
}

/* However fast they come, others have their turn. */
static void a_flood_is_bounded(void **unused)
{
	virtio_net_set_link(device, false);
	notify(RECEIVE);
	network.comes_again = 100000;
	comes(90);
	assert_true(network.comes_again > 90000);
	assert_true(network.listening);
}

static void without_merging_it_is_one_or_none(void **unused)
{
	start(0);
	offer(0, 100);
	offer(1, 200);
	notify(RECEIVE);
	comes(150);
	assert_int_equal(used(RECEIVE)->idx, 1);
	assert_int_equal(used(RECEIVE)->ring[0].len, 0);
	comes(150);
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
		{ RAM_GPA + RAM_BYTES, 100, VRING_DESC_F_WRITE },
		{ RAM_GPA + RAM_BYTES - 50, 100, VRING_DESC_F_WRITE },
		{ UINT64_MAX - 10, 100, VRING_DESC_F_WRITE },
		{ RAM_GPA + FREE_AT, 100, 0 },
		{ RAM_GPA + FREE_AT, NETDEV_HEADER - 1, VRING_DESC_F_WRITE },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		offer_at(RECEIVE, 0, bad[i].gpa, bad[i].len, bad[i].flags);
		notify(RECEIVE);
		comes(90);
		assert_int_equal(used(RECEIVE)->idx, i + 1);
		assert_int_equal(used(RECEIVE)->ring[i % QUEUE_SIZE].len, 0);
	}
	offer(0, 100);
	notify(RECEIVE);
	comes(90);
	assert_int_equal(used(RECEIVE)->ring[ARRAY_SIZE(bad) % QUEUE_SIZE].len, 90);
}

static void a_frame_goes(void **unused)
{
	memset(at(TRANSMIT, FREE_AT), 7, 100);
	offer_at(TRANSMIT, 0, buffer_gpa(TRANSMIT, 0), 100, 0);
	notify(TRANSMIT);
	assert_int_equal(network.sent, 1);
	assert_int_equal(network.sent_len, 100);
	assert_memory_equal(network.last, at(TRANSMIT, FREE_AT), 100);
	assert_int_equal(used(TRANSMIT)->idx, 1);
}

static void it_waits_for_the_network(void **unused)
{
	network.full = true;
	offer_at(TRANSMIT, 0, buffer_gpa(TRANSMIT, 0), 100, 0);
	offer_at(TRANSMIT, 1, buffer_gpa(TRANSMIT, 1), 100, 0);
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
		{ RAM_GPA + RAM_BYTES, 100, 0 },
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
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 15);
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
	comes(90);
	offer_at(TRANSMIT, 0, buffer_gpa(TRANSMIT, 0), 100, 0);
	notify(TRANSMIT);
	assert_int_equal(used(RECEIVE)->idx, 0);
	assert_int_equal(network.sent, 0);
	virtio_net_set_link(device, true);
	comes(90);
	assert_int_equal(used(RECEIVE)->idx, 1);
}

/* Nothing waits on the wire or in a ring for the cable to be in again; and the kernel goes on behind it. */
static void the_cable_of_the_kernel_s_is_pulled(void **unused)
{
	virtio_net_class.destroy(device);
	node->vhost = true;
	assert_int_equal(virtio_net_class.create(node, &env, &device), 0);
	start(MRG);
	assert_true(kernel.runs[RECEIVE] && kernel.runs[TRANSMIT]);
	/* It has sent one, and another is in the ring when the cable goes, and one comes to it later. */
	offer_at(TRANSMIT, 0, buffer_gpa(TRANSMIT, 0), 100, 0);
	((struct vring_used *)at(TRANSMIT, USED_AT))->idx = 1;
	kernel.base[TRANSMIT] = 1;
	offer_at(TRANSMIT, 1, buffer_gpa(TRANSMIT, 1), 100, 0);
	virtio_net_set_link(device, false);
	assert_false(kernel.runs[RECEIVE] || kernel.runs[TRANSMIT]);
	fake_loop_serve();
	assert_int_equal(used(TRANSMIT)->idx, 2);
	assert_int_equal(used(TRANSMIT)->ring[1].id, 1);
	fake_loop_serve(); /* for what came meanwhile */
	offer_at(TRANSMIT, 2, buffer_gpa(TRANSMIT, 2), 100, 0);
	/* The doorbell is the worker's, and so nobody hears it. */
	comes(90);
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

/* A whole ring of them at once, and of chains that take too long to look at, or are none. */
static void all_that_waited_for_the_cable_is_lost(void **unused)
{
	struct vring_avail *avail = (void *)at(TRANSMIT, AVAIL_AT);

	virtio_net_class.destroy(device);
	node->vhost = true;
	assert_int_equal(virtio_net_class.create(node, &env, &device), 0);
	start(MRG);
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
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0) & 0x40, 0x40);
}

/* Those of the kernel are long, so that frames need no tables of their own. */
static void rings_and_tables(void **unused)
{
	for (unsigned vhost = 0; vhost < 2; vhost++) {
		virtio_net_class.destroy(device);
		node->vhost = vhost;
		assert_int_equal(virtio_net_class.create(node, &env, &device), 0);
		for (unsigned q = 0; q < QUEUES; q++) {
			write32(VIRTIO_MMIO_QUEUE_SEL, q);
			assert_int_equal(
				mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), vhost ? 1024 : 256);
		}
		write32(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
		assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) >>
						 VIRTIO_RING_F_INDIRECT_DESC &
					 1,
			!vhost);
		/* What is not offered cannot be taken. */
		start(MRG | 1ull << VIRTIO_RING_F_INDIRECT_DESC);
		assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0) & 8, vhost ? 0 : 8);
	}
}

static void only_what_the_driver_took_is_offloaded(void **unused)
{
	start(MRG | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	assert_int_equal(network.offloads, 1ull << VIRTIO_NET_F_GUEST_CSUM);
	start(MRG);
	assert_int_equal(network.offloads, 0);
}

/* What was kept for one guest is not the next one's. */
/* Nor may a driver that comes again and again, with other features each time, keep the host's lock. */
static void offloads_change_so_often(void **unused)
{
	unsigned changed = 0;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t before = network.offloads;

		start(i % 2 ? 1ull << VIRTIO_NET_F_GUEST_CSUM : 0);
		notify(RECEIVE);
		changed += network.offloads != before;
	}
	assert_in_range(changed, 2, 20);
	/* The last one's frame waits for it, and nobody is told of frames that come. */
	assert_true(network.offloads == 0);
	offer(0, 200);
	notify(RECEIVE);
	assert_false(network.listening);
	offer_at(TRANSMIT, 0, buffer_gpa(TRANSMIT, 0), 100, 0);
	notify(TRANSMIT);
	assert_int_equal(network.sent, 0);
	fake_loop_advance(1000);
	fake_loop_serve();
	assert_true(network.offloads == 1ull << VIRTIO_NET_F_GUEST_CSUM);
	assert_int_equal(network.sent, 1);
	assert_true(network.listening);
}

static void a_reset_forgets(void **unused)
{
	start(MRG | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	notify(RECEIVE);
	network.comes_again = 3;
	comes(90);
	virtio_net_class.quiesce(device);
	assert_int_equal(network.coming_len, 0);
	assert_int_equal(network.offloads, 0);
	virtio_net_class.reset(device);
	assert_false(network.listening);
	start(MRG);
	offer(0, 100);
	notify(RECEIVE);
	assert_int_equal(used(RECEIVE)->idx, 0);
}

/* ---- Pairs ---- */

#define MQ	   (1ull << VIRTIO_NET_F_MQ | 1ull << VIRTIO_NET_F_CTRL_VQ)
#define CONTROL(n) (2 * (n))

static unsigned active(void)
{
	unsigned count = 1;

	for (unsigned i = 0; i < PAIRS - 1; i++)
		count += others[i].active;
	return count;
}

/* A queue of control at `queue`, in the place of the transmit queue's memory. */
static void start_pairs(uint64_t features, unsigned queue)
{
	virtio_net_class.destroy(device);
	node->queue_pairs = PAIRS;
	for (unsigned i = 0; i < PAIRS - 1; i++)
		others[i].active = true; /* as the host makes them */
	assert_int_equal(virtio_net_class.create(node, &env, &device), 0);
	start(MRG | features);
	write32(VIRTIO_MMIO_QUEUE_SEL, TRANSMIT);
	write32(VIRTIO_MMIO_QUEUE_READY, 0);
	write32(VIRTIO_MMIO_QUEUE_SEL, queue);
	write32(VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
	write32(VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA + SECOND);
	write32(VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + SECOND + AVAIL_AT);
	write32(VIRTIO_MMIO_QUEUE_USED_LOW, RAM_GPA + SECOND + USED_AT);
	write32(VIRTIO_MMIO_QUEUE_READY, 1);
}

/* The answer to a command of control, of so many bytes. */
static uint8_t command(unsigned queue, const uint8_t bytes[4], uint32_t len)
{
	struct vring_desc *desc = (void *)at(TRANSMIT, 0);
	uint16_t *avail = (uint16_t *)at(TRANSMIT, AVAIL_AT);
	uint8_t *ack = at(TRANSMIT, FREE_AT + BUFFER);

	memcpy(at(TRANSMIT, FREE_AT), bytes, 4);
	*ack = 0xff;
	desc[0] = (struct vring_desc){ RAM_GPA + SECOND + FREE_AT, len, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ RAM_GPA + SECOND + FREE_AT + BUFFER, 1, VRING_DESC_F_WRITE,
		0 };
	avail[2 + rings[TRANSMIT].next_avail++ % QUEUE_SIZE] = 0;
	avail[1] = rings[TRANSMIT].next_avail;
	notify(queue);
	return *ack;
}

static uint8_t use(unsigned count)
{
	const uint8_t bytes[4] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
		(uint8_t)count, (uint8_t)(count >> 8) };

	return command(CONTROL(PAIRS), bytes, 4);
}

static void pairs_are_used_as_the_driver_says(void **unused)
{
	start_pairs(MQ, CONTROL(PAIRS));
	assert_int_equal(
		mmio(VIRTIO_MMIO_CONFIG + offsetof(struct virtio_net_config, max_virtqueue_pairs),
			2, false, 0),
		PAIRS);
	assert_int_equal(active(), 1);
	assert_int_equal(use(3), VIRTIO_NET_OK);
	assert_int_equal(active(), 3);
	assert_int_equal(use(2), VIRTIO_NET_OK);
	assert_int_equal(active(), 2);
	/* The next driver begins with one, whatever this one had. */
	start(MRG);
	assert_int_equal(active(), 1);
}

/* Each change takes a lock of the host's: who asks all the time waits, and is answered as ever. */
static void pairs_change_so_often(void **unused)
{
	unsigned said = 0;

	start_pairs(MQ, CONTROL(PAIRS));
	/* 2, 1, 2, ... */
	while (said < 100 && use(2 - said % 2) == VIRTIO_NET_OK)
		said++;
	assert_in_range(said, 2, 20);
	assert_int_equal(use(2 - said % 2), 0xff);
	fake_loop_advance(999);
	fake_loop_serve();
	assert_int_equal(*at(TRANSMIT, FREE_AT + BUFFER), 0xff);
	fake_loop_advance(1);
	fake_loop_serve();
	assert_int_equal(*at(TRANSMIT, FREE_AT + BUFFER), VIRTIO_NET_OK);
	assert_int_equal(active(), 2 - said % 2);
	/* To say the same again costs nothing. */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(use(active()), VIRTIO_NET_OK);
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
	assert_int_equal(active(), 1);
	refuse_active = PAIRS - 1;
	assert_int_equal(use(PAIRS), VIRTIO_NET_ERR);
	refuse_active = 0;
	assert_int_equal(active(), 1);
}

/* 5.1.2: the queue of control is the third then. */
static void a_driver_without_pairs(void **unused)
{
	const uint8_t bytes[4] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0 };

	start_pairs(1ull << VIRTIO_NET_F_CTRL_VQ, CONTROL(1));
	assert_int_equal(command(CONTROL(1), bytes, 4), VIRTIO_NET_ERR);
	assert_int_equal(active(), 1);
}

static uint64_t mac(void)
{
	uint64_t mac = 0;

	for (unsigned i = 0; i < 6; i++)
		mac |= mmio(VIRTIO_MMIO_CONFIG + i, 1, false, 0) << 8 * i;
	return mac;
}

static void addresses_are_stable(void **unused)
{
	struct device_env other = env;
	uint64_t before = mac();

	assert_int_equal(before & 3, 2);
	virtio_net_class.destroy(device);
	assert_int_equal(virtio_net_class.create(node, &env, &device), 0);
	assert_int_equal(mac(), before);
	virtio_net_class.destroy(device);
	other.machine = "another";
	assert_int_equal(virtio_net_class.create(node, &other, &device), 0);
	assert_int_not_equal(mac(), before);
}

static char said[128];

static void note_error(struct device_check *check, const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

static void the_tap_that_cannot_be_had(void **unused)
{
	static const struct {
		int err;
		const char *says;
	} cases[] = { { 0, "" }, { -EPERM, "this user may not have it" }, { -EBUSY, "another's" },
		{ -EINVAL, "no tap interface" }, { -ENOENT, "modprobe tun" },
		{ -ENODEV, "nothing behind /dev/net/tun" }, { -EACCES, "chmod 666 /dev/net/tun" },
		{ -ENAMETOOLONG, "1 to 15 bytes" },
		{ -EMFILE, "cannot be opened: Too many open files" } };
	struct device_check check = { .error = note_error };
	struct device *none;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		said[0] = '\0';
		network.open_result = cases[i].err;
		virtio_net_class.look(node, &check);
		assert_non_null(strstr(said, cases[i].says));
		assert_int_equal(!said[0], !cases[i].err);
		if (cases[i].err)
			assert_int_equal(virtio_net_class.create(node, &env, &none), cases[i].err);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_frame_comes),
		TEST(it_takes_several_buffers),
		TEST(it_waits_for_buffers),
		TEST(what_can_never_fit_is_lost),
		TEST(without_a_driver_it_is_left_alone),
		TEST(a_flood_is_bounded),
		TEST(without_merging_it_is_one_or_none),
		TEST(bad_buffers),
		TEST(a_frame_goes),
		TEST(it_waits_for_the_network),
		TEST(what_is_no_frame_is_dropped),
		TEST(the_cable_is_pulled),
		TEST(the_cable_of_the_kernel_s_is_pulled),
		TEST(all_that_waited_for_the_cable_is_lost),
		TEST(rings_and_tables),
		TEST(only_what_the_driver_took_is_offloaded),
		TEST(offloads_change_so_often),
		TEST(a_reset_forgets),
		TEST(pairs_are_used_as_the_driver_says),
		TEST(pairs_change_so_often),
		TEST(no_other_number_of_pairs),
		TEST(a_driver_without_pairs),
		TEST(addresses_are_stable),
		TEST(the_tap_that_cannot_be_had),
	};

	return cmocka_run_group_tests_name("virtio-net", tests, NULL, NULL);
}
