/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes a network device's buffers, both ways, on a network that comes, goes and is full: the tap is here. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/netdev.h"
#include "devices/backend/tap.h"
#include "devices/virtio/virtio-net-node.h"
#include "devices/virtio/virtio-net.h"
#include "hyp/base/util.h"
#include "tests/fuzz/device.h"

static struct netdev network;
static bool full, listening;
static unsigned waiting; /* frames for the guest, all of one length */
static size_t length;
static volatile uint8_t sum;

/* Reads each byte: all of it is the guest's. */
static int network_send(struct netdev *netdev, const struct iovec *iov, unsigned count)
{
	size_t total = 0;

	if (full)
		return -EAGAIN;
	for (unsigned i = 0; i < count; i++) {
		CHECK(iov[i].iov_len);
		total += iov[i].iov_len;
		for (size_t at = 0; at < iov[i].iov_len; at++)
			sum += ((uint8_t *)iov[i].iov_base)[at];
	}
	CHECK(total > NETDEV_HEADER && total <= NETDEV_FRAME_MAX);
	return 0;
}

static int network_receive(struct netdev *netdev, void *buf, size_t size)
{
	CHECK(size >= NETDEV_FRAME_MAX);
	if (!waiting)
		return -EAGAIN;
	waiting--;
	memset(buf, 0, NETDEV_HEADER);
	memset((char *)buf + NETDEV_HEADER, 0x5a, length - NETDEV_HEADER);
	return (int)length;
}

static void network_listen(struct netdev *netdev, bool on)
{
	listening = on;
}

static void network_set_offloads(struct netdev *netdev, uint64_t features)
{
	CHECK(!(features & ~netdev->features));
}

static int network_set_active(struct netdev *netdev, bool active)
{
	return 0;
}

static void network_destroy(struct netdev *netdev)
{
}

static const struct netdev_ops network_ops = {
	network_send,
	network_receive,
	network_listen,
	network_set_offloads,
	network_set_active,
	network_destroy,
};

int tap_open(const char *name, bool several, int *ret_fd)
{
	*ret_fd = -1;
	return 0;
}

int tap_adopt(int inherited_fd, int *ret_fd)
{
	return tap_open("", false, ret_fd);
}

int tap_create(int fd, const char *id, struct loop *loop, struct netdev **ret)
{
	network = (struct netdev){ .ops = &network_ops, .features = 1ull << 1 | 1ull << 7 };
	full = listening = false;
	waiting = 0;
	*ret = &network;
	return 0;
}

static void host(struct device *device, struct input *input)
{
	uint8_t what = input_take(input, 1);

	if (what & 128)
		virtio_net_set_link(device, what & 64);
	full = what & 32;
	if (!full)
		network.client->writable(network.client);
	if (what & 7) {
		waiting = what & 7;
		length = NETDEV_HEADER + 1 +
			 input_take(input, 2) % (NETDEV_FRAME_MAX - NETDEV_HEADER);
	}
	if (listening && waiting)
		network.client->readable(network.client);
}

/* With several pairs the network is the last one's, and a driver has to bring it into use. */
static void node(void *at, uint8_t how)
{
	struct virtio_net_node *net = at;

	net->tap = "tap0";
	net->queue_pairs = how % 4 ? 1 : 2;
}

const struct fuzz_target fuzz_target = { .class = &virtio_net_class, .node = node, .host = host };
