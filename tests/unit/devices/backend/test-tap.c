/* SPDX-License-Identifier: Apache-2.0 */
/* A real tap interface in a network of its own: frames both ways, a full one, and one that is deleted under the device. */
#include "tests/unit/helpers/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/backend/netdev.h"
#include "devices/backend/tap.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

#define NAME	    "sluice0"
#define PATIENCE_MS 60000
#define TYPE	    0x88b5 /* for experiments: nobody else speaks here */

static struct loop *loop;
static struct netdev *netdev;
static int outside; /* a socket that sees the interface's frames from the host's side */
static bool full;
static unsigned readable, writable, turns, waits;

ssize_t __real_writev(int fd, const struct iovec *iov, int count);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int count);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int count)
{
	if (!full)
		return __real_writev(fd, iov, count);
	errno = EAGAIN;
	return -1;
}

int __real_epoll_wait(int fd, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	waits++;
	return __real_epoll_wait(fd, events, max, timeout);
}

static bool unwatchable;

int __real_epoll_ctl(int fd, int op, int of, struct epoll_event *event);
int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *event);
int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *event)
{
	if (!unwatchable || op != EPOLL_CTL_ADD)
		return __real_epoll_ctl(fd, op, of, event);
	errno = ENOSPC;
	return -1;
}

static void on_readable(struct netdev_client *client)
{
	readable++;
	loop_stop(loop);
}

static void on_writable(struct netdev_client *client)
{
	writable++;
	loop_stop(loop);
}

static struct netdev_client client = { .readable = on_readable, .writable = on_writable };

static void late(struct loop_timer *timer)
{
	fail_msg("nothing came");
}

static struct loop_timer patience = { .fired = late };

/* Serves the loop until one of the above happens. */
static void wait_for(unsigned *what, unsigned count)
{
	loop_timer_arm(loop, &patience, PATIENCE_MS);
	while (*what < count)
		assert_int_equal(loop_run(loop), 0);
	loop_timer_cancel(&patience);
	assert_int_equal(*what, count);
}

static void another_turn(struct loop_task *task)
{
	turns++;
	loop_stop(loop);
}

/* What is ready now is served, several times over if it stays so. */
static void serve(void)
{
	static struct loop_task task = { .run = another_turn };

	for (unsigned i = 0; i < 8; i++) {
		unsigned before = turns;

		loop_post(loop, &task);
		wait_for(&turns, before + 1);
	}
}

static void enough(struct loop_timer *timer)
{
	loop_stop(loop);
}

/* The loop has nothing to do. */
static void assert_idle(void)
{
	static struct loop_timer timer = { .fired = enough };

	serve();
	waits = 0;
	loop_timer_arm(loop, &timer, 50);
	assert_int_equal(loop_run(loop), 0);
	assert_in_range(waits, 1, 3);
}

static void bring_up(void)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE) };
	struct ifreq request = { .ifr_name = NAME };

	outside = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
	assert_true(outside >= 0);
	assert_int_equal(ioctl(outside, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(outside, SIOCSIFFLAGS, &request), 0);
	address.sll_ifindex = (int)if_nametoindex(NAME);
	assert_int_equal(bind(outside, (struct sockaddr *)&address, sizeof(address)), 0);
}

/* As `ip link delete` does. */
static void delete_interface(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} ask = {
		.header = { .nlmsg_len = sizeof(ask),
			.nlmsg_type = RTM_DELLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.info = { .ifi_index = (int)if_nametoindex(NAME) },
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
	assert_true(recv(fd, &answer, sizeof(answer), 0) >= (ssize_t)sizeof(answer));
	assert_int_equal(answer.error.error, 0);
	close(fd);
}

static int setup(void **state)
{
	int fd;

	outside = -1;
	full = false;
	readable = writable = 0;
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(tap_open(NAME, false, &fd), 0);
	assert_int_equal(tap_create(fd, "net0", loop, &netdev), 0);
	netdev->client = &client;
	bring_up();
	return 0;
}

static int teardown(void **state)
{
	netdev->ops->destroy(netdev);
	loop_destroy(loop);
	close(outside);
	assert_int_equal(if_nametoindex(NAME), 0); /* it goes with its descriptor */
	return 0;
}

struct frame {
	uint8_t header[NETDEV_HEADER];
	struct ether_header ethernet;
	uint8_t data[64];
};

static struct frame frame_of(uint8_t byte)
{
	struct frame frame = { .ethernet = { .ether_type = htons(TYPE) } };

	memset(frame.ethernet.ether_dhost, 0xff, sizeof(frame.ethernet.ether_dhost));
	memset(frame.data, byte, sizeof(frame.data));
	return frame;
}

/* In two pieces, as guests do. */
static int send_frame(uint8_t byte)
{
	struct frame frame = frame_of(byte);
	const struct iovec iov[] = {
		{ frame.header, NETDEV_HEADER },
		{ &frame.ethernet, sizeof(frame) - NETDEV_HEADER },
	};

	return netdev->ops->send(netdev, iov, ARRAY_SIZE(iov));
}

/* A frame of the host's own, which comes to the device. */
static void host_sends(uint8_t byte)
{
	struct frame frame = frame_of(byte);
	size_t len = sizeof(frame) - NETDEV_HEADER;

	assert_int_equal(send(outside, &frame.ethernet, len, 0), len);
}

static int receive_frame(struct frame *ret)
{
	return netdev->ops->receive(netdev, ret, sizeof(*ret));
}

static void frames_both_ways(void **state)
{
	struct frame frame, wanted = frame_of('b');

	assert_int_equal(send_frame('a'), 0);
	assert_int_equal(recv(outside, &frame.ethernet, sizeof(frame) - NETDEV_HEADER, 0),
		sizeof(frame) - NETDEV_HEADER);
	assert_int_equal(frame.data[63], 'a');
	netdev->ops->listen(netdev, true);
	host_sends('b');
	wait_for(&readable, 1);
	/* Others of this host may speak first. */
	do
		assert_true(receive_frame(&frame) > 0);
	while (frame.ethernet.ether_type != htons(TYPE));
	assert_memory_equal(
		&frame.ethernet.ether_type, &wanted.ethernet.ether_type, sizeof(frame.data) + 2);
}

static void unheard_while_not_listening(void **state)
{
	host_sends('c');
	serve();
	assert_int_equal(readable, 0);
	netdev->ops->listen(netdev, true);
	wait_for(&readable, 1);
}

static void a_full_one_notifies_when_there_is_room(void **state)
{
	full = true;
	assert_int_equal(send_frame('d'), -EAGAIN);
	full = false;
	wait_for(&writable, 1);
	assert_int_equal(send_frame('d'), 0);
	serve();
	assert_int_equal(writable, 1); /* notified once */
}

/* The rest of its life it is a network that loses all; nothing spins, nobody is notified for ever. */
static void deleted_under_it(void **state)
{
	struct frame frame;

	netdev->ops->listen(netdev, true);
	delete_interface();
	serve();
	readable = 0; /* what other frames there were */
	assert_idle();
	for (unsigned on = 0; on < 4; on++) {
		netdev->ops->listen(netdev, on % 2);
		netdev->ops->set_offloads(netdev, on);
		assert_int_equal(send_frame('e'), 0);
		assert_int_equal(receive_frame(&frame), -EAGAIN);
	}
	assert_idle();
	assert_int_equal(readable + writable, 0);
}

/* The device waits until it is notified that it may go on, as it then may: what it sends is lost. */
static void deleted_while_it_waits(void **state)
{
	full = true;
	assert_int_equal(send_frame('f'), -EAGAIN);
	delete_interface();
	full = false;
	wait_for(&writable, 1);
	assert_int_equal(send_frame('f'), 0);
	assert_idle();
	assert_int_equal(writable, 1);
}

static void is_refused(void **state)
{
	int fd = -1;

	assert_int_equal(tap_open("", false, &fd), -ENAMETOOLONG);
	assert_int_equal(tap_open("sixteen-letters-", false, &fd), -ENAMETOOLONG);
	assert_int_equal(tap_open("lo", false, &fd), -EINVAL);
	assert_int_equal(tap_open(NAME, false, &fd), -EBUSY);
	assert_int_equal(fd, -1);
}

/* A program that is started, as passt is, has neither of the two. */
static void an_inherited_one_is_handed_no_further(void **state)
{
	int inherited, fd;

	assert_int_equal(tap_open("sluice1", false, &inherited), 0);
	assert_int_equal(fcntl(inherited, F_SETFD, 0), 0);
	assert_int_equal(tap_adopt(inherited, &fd), 0);
	assert_int_equal(fcntl(inherited, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	close(inherited);
}

/* Frames would go to a queue that nobody reads: it takes no part then, until it can be watched. */
static void a_queue_that_cannot_be_watched(void **state)
{
	struct ifreq detach = { .ifr_flags = IFF_DETACH_QUEUE };
	struct netdev *queue;
	int fd;

	assert_int_equal(tap_open("sluice1", true, &fd), 0);
	assert_int_equal(tap_create(fd, "net0", loop, &queue), 0);
	assert_int_equal(queue->ops->set_active(queue, false), 0);
	unwatchable = true;
	assert_int_equal(queue->ops->set_active(queue, true), -ENOSPC);
	unwatchable = false;
	assert_int_equal(ioctl(fd, TUNSETQUEUE, &detach), -1); /* as it is already */
	assert_int_equal(queue->ops->set_active(queue, true), 0);
	assert_int_equal(ioctl(fd, TUNSETQUEUE, &detach), 0);
	queue->ops->destroy(queue);
}

/* A network that nobody else sees; as root, too, since a test is to leave the host's alone. NULL, or why there is none. */
static const char *own_network(void)
{
	int fd;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET))
		return "this user may have no network of its own";
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return "no usable /dev/net/tun";
	close(fd);
	return NULL;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(frames_both_ways),
		T(unheard_while_not_listening),
		T(a_full_one_notifies_when_there_is_room),
		T(deleted_under_it),
		T(deleted_while_it_waits),
		T(is_refused),
		T(an_inherited_one_is_handed_no_further),
		T(a_queue_that_cannot_be_watched),
	};

	const char *missing = own_network();

	if (missing) {
		printf("1..1\nok 1 - tap # SKIP %s\n", missing);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
