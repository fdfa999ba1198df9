/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tap interface is asked of the kernel, with the kernel's part played here: it runs also where
 * there is no /dev/net/tun, which test-tap.c needs.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/backend/netdev.h"
#include "devices/backend/tap.h"
#include "tests/unit/helpers/fake-loop.h"
#include "tests/unit/helpers/fds.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

/* ---- The kernel ---- */

static struct kernel {
	unsigned long refuse; /* this request, or TUNSETOFFLOAD of these flags; 0: none */
	unsigned refused_offloads;
	int open_error;
	short flags; /* of the interface that is there */
	char name[IFNAMSIZ];
	unsigned offloads;
	int header;
	short queue; /* what was asked for last */
	unsigned queue_calls;
} kernel;

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	assert_string_equal(path, "/dev/net/tun");
	assert_int_equal(flags, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	errno = kernel.open_error;
	return kernel.open_error ? -1 : dup(0);
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct ifreq *ifreq;
	va_list args;
	void *arg;

	va_start(args, request);
	ifreq = arg = va_arg(args, void *);
	va_end(args);
	errno = EPERM;
	if (request == kernel.refuse)
		return -1;
	if (request == TUNSETIFF) {
		kernel.flags = ifreq->ifr_flags;
		memcpy(kernel.name, ifreq->ifr_name, IFNAMSIZ);
	} else if (request == TUNGETIFF) {
		ifreq->ifr_flags = kernel.flags;
	} else if (request == TUNSETVNETHDRSZ) {
		kernel.header = *(int *)arg;
	} else if (request == TUNSETOFFLOAD) {
		if ((unsigned)(uintptr_t)arg & kernel.refused_offloads)
			return -1;
		kernel.offloads = (unsigned)(uintptr_t)arg;
	} else if (request == TUNSETQUEUE) {
		kernel.queue = ifreq->ifr_flags;
		kernel.queue_calls++;
	} else {
		fail_msg("request %lx", request);
	}
	return 0;
}

static bool full;

ssize_t __wrap_writev(int fd, const struct iovec *iov, int count);
ssize_t __real_writev(int fd, const struct iovec *iov, int count);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int count)
{
	errno = EAGAIN;
	return full ? -1 : __real_writev(fd, iov, count);
}

/* ---- The interface: one end of a pair of sockets ---- */

static struct loop *const loop = (struct loop *)&kernel; /* any serves */
static struct netdev *netdev;
static int outside;
static unsigned readables, writables, fds_before;

static void readable(struct netdev_client *client)
{
	readables++;
}

/* Which sends what waited for room, and may have enough of what comes. */
static bool has_enough;

static void writable(struct netdev_client *client)
{
	writables++;
	if (has_enough)
		netdev->ops->listen(netdev, false);
}

static struct netdev_client client = { .readable = readable, .writable = writable };

static int setup(void **unused)
{
	int fds[2];

	kernel = (struct kernel){ .offloads = 99 };
	readables = writables = 0;
	full = has_enough = false;
	fds_before = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	outside = fds[1];
	assert_int_equal(tap_create(fds[0], "net0", loop, &netdev), 0);
	netdev->client = &client;
	assert_int_equal(netdev->fd, fds[0]);
	return 0;
}

static int teardown(void **unused)
{
	netdev->ops->destroy(netdev);
	close(outside);
	return fake_loop_watches() + open_fds() - fds_before;
}

/* ---- Tests ---- */

#define BIT(name) (1ull << VIRTIO_NET_F_##name)

static void what_it_can_do(void **unused)
{
	assert_int_equal(netdev->features,
		BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) | BIT(GUEST_CSUM) |
			BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN));
}

/* Each feature that a driver took is one of the kernel's; what that refuses is none at all. */
static void offloads(void **unused)
{
	static const struct {
		uint64_t features;
		unsigned offloads;
	} cases[] = {
		{ 0, 0 },
		{ BIT(GUEST_CSUM), TUN_F_CSUM },
		{ BIT(GUEST_TSO4), TUN_F_TSO4 },
		{ BIT(GUEST_TSO6), TUN_F_TSO6 },
		{ BIT(GUEST_ECN), TUN_F_TSO_ECN },
		{ UINT64_MAX, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN },
		{ ~(BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN)), 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		netdev->ops->set_offloads(netdev, cases[i].features);
		assert_int_equal(kernel.offloads, cases[i].offloads);
	}
	kernel.offloads = 99;
	kernel.refused_offloads = TUN_F_TSO4;
	netdev->ops->set_offloads(netdev, BIT(GUEST_TSO4));
	assert_int_equal(kernel.offloads, 0);
}

static void how_it_is_opened(void **unused)
{
	static const unsigned long requests[] = { TUNSETIFF, TUNSETVNETHDRSZ, TUNSETOFFLOAD };
	int fd = -1;

	kernel.offloads = 99;
	assert_int_equal(tap_open("fifteen-letters", false, &fd), 0);
	close(fd);
	assert_string_equal(kernel.name, "fifteen-letters");
	assert_int_equal(kernel.flags, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	assert_int_equal(kernel.header, 12);
	assert_int_equal(kernel.offloads, 0);
	assert_int_equal(tap_open("tap0", true, &fd), 0);
	close(fd);
	assert_int_equal(kernel.flags, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	fd = -1;
	assert_int_equal(tap_open("", false, &fd), -ENAMETOOLONG);
	assert_int_equal(tap_open("sixteen-letters-", false, &fd), -ENAMETOOLONG);
	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		kernel.refuse = requests[i];
		assert_int_equal(tap_open("tap0", false, &fd), -EPERM);
	}
	kernel.refuse = 0;
	kernel.open_error = ENOENT;
	assert_int_equal(tap_open("tap0", false, &fd), -ENOENT);
	assert_int_equal(fd, -1);
}

/* One that was inherited has to be made as ours are: each flag is asked for. */
static void how_it_is_adopted(void **unused)
{
	static const unsigned long requests[] = { TUNGETIFF, TUNSETVNETHDRSZ, TUNSETOFFLOAD };
	const short good = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	int inherited = dup(outside), fd = -1;

	kernel.flags = good | IFF_MULTI_QUEUE;
	assert_int_equal(fcntl(inherited, F_SETFL, 0), 0);
	assert_int_equal(tap_adopt(inherited, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(inherited, F_GETFD), FD_CLOEXEC);
	assert_int_equal(kernel.header, 12);
	close(fd);
	fd = -1;
	for (short flag = 1; flag > 0 && flag < 0x4000; flag <<= 1) {
		kernel.flags = good & ~flag;
		if (kernel.flags != good)
			assert_int_equal(tap_adopt(inherited, &fd), -EINVAL);
	}
	kernel.flags = good;
	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		kernel.refuse = requests[i];
		assert_int_equal(tap_adopt(inherited, &fd), -EPERM);
	}
	close(inherited);
	assert_int_equal(tap_adopt(inherited, &fd), -EBADF);
	assert_int_equal(fd, -1);
}

/* A queue that takes no part is not watched, and is asked for once. */
static void a_queue_leaves_and_comes_back(void **unused)
{
	char byte = 0;

	assert_int_equal(netdev->ops->set_active(netdev, true), 0); /* as it is */
	assert_int_equal(kernel.queue_calls, 0);
	netdev->ops->listen(netdev, true);
	assert_int_equal(send(outside, &byte, 1, 0), 1);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(readables, 1);
	kernel.refuse = TUNSETQUEUE;
	assert_int_equal(netdev->ops->set_active(netdev, false), -EPERM);
	assert_int_equal(fake_loop_watches(), 1);
	kernel.refuse = 0;
	assert_int_equal(netdev->ops->set_active(netdev, false), 0);
	assert_int_equal(kernel.queue, IFF_DETACH_QUEUE);
	assert_int_equal(fake_loop_watches(), 0);
	assert_int_equal(netdev->ops->set_active(netdev, false), 0);
	assert_int_equal(kernel.queue_calls, 1);
	fake_loop_refuse(1);
	assert_int_equal(netdev->ops->set_active(netdev, true), -ENOSPC);
	assert_int_equal(kernel.queue, IFF_DETACH_QUEUE);
	assert_int_equal(kernel.queue_calls, 3);
	assert_int_equal(netdev->ops->set_active(netdev, true), 0);
	assert_int_equal(kernel.queue, IFF_ATTACH_QUEUE);
	/* It listened before, and has to be asked anew. */
	assert_int_equal(fake_loop_serve(), 0);
	netdev->ops->listen(netdev, true);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(readables, 2);
}

/* A frame is what has a header; less is none. */
static void frames_at_their_edge(void **unused)
{
	static const uint8_t bytes[NETDEV_HEADER];
	uint8_t got[100];

	assert_int_equal(send(outside, bytes, NETDEV_HEADER - 1, 0), NETDEV_HEADER - 1);
	assert_int_equal(netdev->ops->receive(netdev, got, sizeof(got)), -EAGAIN);
	assert_int_equal(send(outside, bytes, NETDEV_HEADER, 0), NETDEV_HEADER);
	assert_int_equal(netdev->ops->receive(netdev, got, sizeof(got)), NETDEV_HEADER);
	assert_int_equal(netdev->ops->receive(netdev, got, sizeof(got)), -EAGAIN);
}

/* A sender that was refused is notified once of room; and of frames only a device that still listens. */
static void room_for_a_frame(void **unused)
{
	uint8_t bytes[NETDEV_HEADER + 1] = { 0 };
	const struct iovec iov = { bytes, sizeof(bytes) };

	assert_int_equal(netdev->ops->send(netdev, &iov, 1), 0);
	assert_int_equal(recv(outside, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(fake_loop_serve(), 0);
	full = true;
	assert_int_equal(netdev->ops->send(netdev, &iov, 1), -EAGAIN);
	full = false;
	netdev->ops->listen(netdev, true);
	assert_int_equal(send(outside, bytes, sizeof(bytes), 0), sizeof(bytes));
	has_enough = true;
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(writables, 1);
	assert_int_equal(readables, 0);
	assert_int_equal(fake_loop_serve(), 0);
	netdev->ops->listen(netdev, true);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(writables, 1);
	assert_int_equal(readables, 1);
}

/* Nothing is left of one that the loop does not take. */
static void it_cannot_be_watched(void **unused)
{
	struct netdev *none = NULL;

	fake_loop_refuse(1);
	assert_int_equal(tap_create(dup(outside), "net0", loop, &none), -ENOSPC);
	assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_it_can_do),
		TEST(offloads),
		TEST(how_it_is_opened),
		TEST(how_it_is_adopted),
		TEST(a_queue_leaves_and_comes_back),
		TEST(frames_at_their_edge),
		TEST(room_for_a_frame),
		TEST(it_cannot_be_watched),
	};

	return cmocka_run_group_tests_name("tap-calls", tests, NULL, NULL);
}
