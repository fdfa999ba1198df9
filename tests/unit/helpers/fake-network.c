/* SPDX-License-Identifier: Apache-2.0 */
/* The network; see fake-network.h. */
#include "tests/unit/helpers/fake-network.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/tap.h"
#include "hyp/base/util.h"

struct network network;
struct other others[PAIRS - 1];
unsigned made, refuse_active;

static int network_send(struct netdev *netdev, const struct iovec *iov, unsigned count)
{
	CHECK(!network.lock || pthread_mutex_trylock(network.lock) == EBUSY);
	if (network.full)
		return -EAGAIN;
	network.sent++;
	network.sent_len = 0;
	for (unsigned i = 0; i < count; i++) {
		CHECK((size_t)network.sent_len + iov[i].iov_len <= sizeof(network.last));
		memcpy(network.last + network.sent_len, iov[i].iov_base, iov[i].iov_len);
		network.sent_len += (int)iov[i].iov_len;
	}
	return 0;
}

static int network_receive(struct netdev *netdev, void *buf, size_t size)
{
	int len = network.coming_len;

	CHECK(size == NETDEV_FRAME_MAX);
	network.asked++;
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
	network.offloads_set++;
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
	int err = network.open_result;

	network.several = several;
	if (network.refuse_open && !--network.refuse_open)
		err = -EBUSY;
	*ret_fd = err ? -1 : dup(0);
	return err;
}

int __wrap_tap_adopt(int fd, int *ret_fd);
int __wrap_tap_adopt(int fd, int *ret_fd)
{
	network.adopted = fd;
	return __wrap_tap_open("", false, ret_fd);
}

int __wrap_tap_create(int fd, const char *id, struct loop *loop, struct netdev **ret);
int __wrap_tap_create(int fd, const char *id, struct loop *loop, struct netdev **ret)
{
	close(fd);
	*ret = made ? &others[made - 1].netdev : &network.netdev;
	made++;
	(*ret)->ops = &network_ops;
	(*ret)->fd = NETWORK_FD + (int)made;
	(*ret)->features = 1ull << VIRTIO_NET_F_GUEST_CSUM;
	return 0;
}

void network_init(void)
{
	memset(&network, 0, sizeof(network));
}

void network_comes(int len)
{
	memset(network.coming, 0, NETDEV_HEADER);
	for (int i = NETDEV_HEADER; i < len; i++)
		network.coming[i] = (uint8_t)i;
	network.coming_len = len;
	if (network.listening)
		network.netdev.client->readable(network.netdev.client);
}
