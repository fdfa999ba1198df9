/* SPDX-License-Identifier: Apache-2.0 */
/* A tap interface; see tap.h. The kernel speaks virtio's own header here, offloads included. */
#include "devices/backend/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/backend/netdev.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

/* What the tap may hand to a driver that took these features. */
static const struct {
	unsigned feature, offload;
} offloads[] = {
	{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
	{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
	{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
	{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
};

/* What the tap takes from every driver. */
#define SENDS                                                                                      \
	(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |                              \
		1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN)

struct tap {
	struct netdev netdev;
	struct loop *loop;
	struct loop_fd watch;
	bool listening, blocked; /* what is waited for: a frame, room for one */
};

static void watch(struct tap *tap)
{
	if (tap->watch.loop) /* else the interface has gone */
		loop_fd_set_events(&tap->watch,
			(tap->listening ? EPOLLIN : 0) | (tap->blocked ? EPOLLOUT : 0));
}

static void ready(struct loop_fd *loop_fd, uint32_t events)
{
	struct tap *tap = container_of(loop_fd, struct tap, watch);
	bool gone = events & EPOLLERR && !(events & (EPOLLIN | EPOLLOUT));

	/* The interface was deleted: no frame comes any more, and those that are sent are lost. */
	if (gone)
		loop_fd_remove(loop_fd);
	if ((gone || events & EPOLLOUT) && tap->blocked) {
		tap->blocked = false;
		watch(tap);
		tap->netdev.client->writable(tap->netdev.client);
	}
	if (events & EPOLLIN && tap->listening)
		tap->netdev.client->readable(tap->netdev.client);
}

static int tap_send(struct netdev *netdev, const struct iovec *iov, unsigned count)
{
	struct tap *tap = container_of(netdev, struct tap, netdev);
	ssize_t n = RETRY_EINTR(writev(tap->watch.fd, iov, (int)count));

	/* Other errors: the kernel rejects the frame, or the interface is down. The frame is dropped. */
	if (n >= 0 || errno != EAGAIN)
		return 0;
	tap->blocked = true;
	watch(tap);
	return -EAGAIN;
}

static int tap_receive(struct netdev *netdev, void *buf, size_t size)
{
	struct tap *tap = container_of(netdev, struct tap, netdev);
	ssize_t n = RETRY_EINTR(read(tap->watch.fd, buf, size));

	return n < NETDEV_HEADER ? -EAGAIN : (int)n;
}

static void tap_listen(struct netdev *netdev, bool on)
{
	struct tap *tap = container_of(netdev, struct tap, netdev);

	if (tap->listening == on)
		return;
	tap->listening = on;
	watch(tap);
}

static void tap_set_offloads(struct netdev *netdev, uint64_t features)
{
	struct tap *tap = container_of(netdev, struct tap, netdev);
	unsigned flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if (features >> offloads[i].feature & 1)
			flags |= offloads[i].offload;
	/* If the kernel refuses them, as segmentation without checksums, frames come without offloads. */
	if (ioctl(tap->watch.fd, TUNSETOFFLOAD, flags))
		(void)ioctl(tap->watch.fd, TUNSETOFFLOAD, 0);
}

/* Frames that the interface holds for a queue that is detached are lost. */
static int tap_set_active(struct netdev *netdev, bool active)
{
	struct tap *tap = container_of(netdev, struct tap, netdev);
	struct ifreq request = { .ifr_flags = active ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };
	struct loop *loop = tap->loop;

	if (active == !!tap->watch.loop)
		return 0;
	if (ioctl(tap->watch.fd, TUNSETQUEUE, &request))
		return -errno;
	if (active) {
		int err = loop_fd_add(loop, &tap->watch);

		request.ifr_flags = IFF_DETACH_QUEUE;
		if (err)
			(void)ioctl(tap->watch.fd, TUNSETQUEUE, &request);
		return err;
	}
	/* epoll would report EPOLLERR continuously for a detached queue. */
	loop_fd_remove(&tap->watch);
	tap->listening = tap->blocked = false;
	tap->watch.events = 0;
	return 0;
}

static void tap_destroy(struct netdev *netdev)
{
	struct tap *tap = container_of(netdev, struct tap, netdev);

	loop_fd_remove(&tap->watch);
	close(tap->watch.fd);
	free(tap);
}

static const struct netdev_ops tap_ops = {
	.send = tap_send,
	.receive = tap_receive,
	.listen = tap_listen,
	.set_offloads = tap_set_offloads,
	.set_active = tap_set_active,
	.destroy = tap_destroy,
};

/* Frames with virtio's header, and without offloads until a driver negotiates them. */
static int prepare(int fd)
{
	int header = NETDEV_HEADER;

	return ioctl(fd, TUNSETVNETHDRSZ, &header) || ioctl(fd, TUNSETOFFLOAD, 0) ? -errno : 0;
}

int tap_open(const char *name, bool several, int *ret_fd)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd, err;

	if (!*name || strlen(name) >= sizeof(request.ifr_name))
		return -ENAMETOOLONG;
	strcpy(request.ifr_name, name);
	if (several)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = ioctl(fd, TUNSETIFF, &request) ? -errno : prepare(fd);
	if (err) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int tap_adopt(int inherited_fd, int *ret_fd)
{
	struct ifreq request = { 0 };
	int fd = fcntl(inherited_fd, F_DUPFD_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	fcntl(inherited_fd, F_SETFD,
		FD_CLOEXEC); /* no program that is started has any use for it */
	if (ioctl(fd, TUNGETIFF, &request))
		err = -errno;
	else if ((request.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) !=
		 (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		err = -EINVAL;
	else if (fcntl(fd, F_SETFL, O_NONBLOCK))
		err = -errno;
	if (!err)
		err = prepare(fd);
	if (err) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int tap_create(int fd, const char *id, struct loop *loop, struct netdev **ret)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	int err = tap ? 0 : -ENOMEM;

	if (tap) {
		tap->netdev.ops = &tap_ops;
		tap->netdev.fd = fd;
		tap->loop = loop;
		tap->netdev.features = SENDS;
		for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
			tap->netdev.features |= 1ull << offloads[i].feature;
		tap->watch = (struct loop_fd){ .fd = fd, .ready = ready, .name = id };
		err = loop_fd_add(loop, &tap->watch);
	}
	if (err) {
		free(tap);
		close(fd);
		return err;
	}
	*ret = &tap->netdev;
	return 0;
}
