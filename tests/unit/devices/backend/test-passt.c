/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt, with a peer that the test plays over the socket, and a process that only waits to be
 * ended. Started by the name of passt this program is one that prints how it was started.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/backend/netdev.h"
#include "devices/backend/passt.h"
#include "tests/unit/helpers/fds.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

#define LONGEST (NETDEV_FRAME_MAX - NETDEV_HEADER)

static struct loop *loop;
static struct netdev *netdev;
static int peer;
static pid_t child;
static unsigned readables, writables, losses, finds, lines;
static char line[200];
static const struct passt_config config;
static uint8_t got[NETDEV_FRAME_MAX], sent[NETDEV_FRAME_MAX + 1];

static void readable(struct netdev_client *client)
{
	readables++;
	netdev->ops->listen(netdev, false);
}

static bool has_enough; /* of what comes, once it could send */

static void writable(struct netdev_client *client)
{
	writables++;
	if (has_enough)
		netdev->ops->listen(netdev, false);
}

/* Whether the loop takes a descriptor more. */
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

static void changed(struct netdev_client *client, bool here)
{
	losses += !here;
	finds += here;
}

static struct netdev_client client = { readable, writable, changed };

/* What waits to start it again, which it does when the test says so; and how long what runs has run. */
static struct loop_timer *waiting;
static uint64_t pause_ms, runs_ms;

void __real_loop_timer_arm(struct loop *of, struct loop_timer *timer, uint64_t ms);
void __wrap_loop_timer_arm(struct loop *of, struct loop_timer *timer, uint64_t ms);
void __wrap_loop_timer_arm(struct loop *of, struct loop_timer *timer, uint64_t ms)
{
	assert_null(waiting);
	waiting = timer;
	pause_ms = ms;
}

static void pause_ends(void)
{
	struct loop_timer *timer = waiting;

	assert_non_null(timer);
	waiting = NULL;
	timer->fired(timer);
}

uint64_t __real_loop_now_ms(void);
uint64_t __wrap_loop_now_ms(void);
uint64_t __wrap_loop_now_ms(void)
{
	return __real_loop_now_ms() + runs_ms;
}

static void keep_line(enum log_level level, const char *text)
{
	lines++;
	snprintf(line, sizeof(line), "%s", text);
}

/* The loop runs until `count` is not what it was, ten seconds at most; false then. */
static void stop(struct loop_timer *timer)
{
	loop_stop(loop);
}

static bool serve(const unsigned *count)
{
	struct loop_timer timer = { .fired = stop };
	unsigned before = *count;

	for (int i = 0; i < 10000 && *count == before; i++) {
		__real_loop_timer_arm(loop, &timer, 1);
		loop_run(loop);
	}
	return *count != before;
}

/* The process: it waits, or ends by itself with a status. */
static void start(int status)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		if (status >= 0)
			_exit(status);
		for (;;)
			pause();
	}
	peer = fds[1];
	if (status >= 0) {
		close(peer);
		peer = -1;
	}
	if (peer >= 0) /* what does not come in ten seconds is lost */
		assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO,
					 &(struct timeval){ .tv_sec = 10 }, sizeof(struct timeval)),
			0);
	assert_int_equal(passt_create(&config, fds[0], child, "net0", loop, &netdev), 0);
	netdev->client = &client;
	assert_int_equal(netdev->features, 0);
}

static unsigned fds_before;

static int setup(void **state)
{
	readables = writables = losses = finds = lines = 0;
	waiting = NULL;
	has_enough = false;
	fds_before = open_fds();
	log_set_sink(keep_line);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i ^ i >> 8);
	assert_int_equal(loop_create(&loop), 0);
	start(-1);
	return 0;
}

static int teardown(void **state)
{
	netdev->ops->destroy(netdev);
	/* Ended, and no zombie. */
	assert_int_equal(kill(child, 0), -1);
	if (peer >= 0)
		close(peer);
	loop_destroy(loop);
	return open_fds() - fds_before;
}

/* Of `len` bytes, the header's in the first of ten parts. */
static int send_frame(size_t len)
{
	enum { PARTS = 10 };
	const size_t step = (len - 5) / (PARTS - 2);
	struct iovec iov[PARTS] = {
		{ sent, NETDEV_HEADER - 5 },
		{ sent + NETDEV_HEADER - 5, 10 },
	};

	for (unsigned i = 2; i < PARTS; i++)
		iov[i] = (struct iovec){ sent + NETDEV_HEADER + 5 + (i - 2) * step, step };
	iov[PARTS - 1].iov_len = len - 5 - (PARTS - 3) * step;
	return netdev->ops->send(netdev, iov, PARTS);
}

static void put(const void *data, size_t len)
{
	assert_int_equal(write(peer, data, len), len);
}

static void put_length(uint32_t len)
{
	len = htonl(len);
	put(&len, sizeof(len));
}

static uint32_t take(uint8_t *frame)
{
	uint32_t len;

	assert_int_equal(recv(peer, &len, sizeof(len), MSG_WAITALL), sizeof(len));
	len = ntohl(len);
	assert_true(len <= sizeof(got));
	assert_int_equal(recv(peer, frame, len, MSG_WAITALL), len);
	return len;
}

static int receive(void)
{
	return netdev->ops->receive(netdev, got, sizeof(got));
}

static void a_frame_goes(void **state)
{
	assert_int_equal(send_frame(100), 0);
	assert_int_equal(take(got), 100);
	assert_memory_equal(got, sent + NETDEV_HEADER, 100);
}

/* passt would end. */
static void what_passt_does_not_take_is_dropped(void **state)
{
	assert_int_equal(send_frame(13), 0);
	assert_int_equal(send_frame(65536), 0);
	assert_int_equal(recv(peer, got, 1, MSG_DONTWAIT), -1);
	assert_int_equal(send_frame(65535), 0);
	assert_int_equal(take(got), 65535);
	assert_int_equal(send_frame(14), 0);
	assert_int_equal(take(got), 14);
	assert_int_equal(recv(peer, got, 1, MSG_DONTWAIT), -1);
}

static void frames_come(void **state)
{
	static const uint8_t zeros[NETDEV_HEADER];

	netdev->ops->listen(netdev, true);
	put_length(100);
	put(sent, 100);
	put_length(14);
	put(sent + 100, 14);
	assert_true(serve(&readables));
	assert_int_equal(receive(), NETDEV_HEADER + 100);
	assert_memory_equal(got, zeros, NETDEV_HEADER);
	assert_memory_equal(got + NETDEV_HEADER, sent, 100);
	/* The second is still seen, though the first was read with its length. */
	netdev->ops->listen(netdev, true);
	assert_true(serve(&readables));
	assert_int_equal(receive(), NETDEV_HEADER + 14);
	assert_memory_equal(got + NETDEV_HEADER, sent + 100, 14);
	assert_int_equal(receive(), -EAGAIN);
}

static void a_byte_at_a_time(void **state)
{
	uint32_t len = htonl(40);

	for (unsigned i = 0; i < 4 + 40; i++) {
		assert_int_equal(receive(), -EAGAIN);
		put(i < 4 ? (uint8_t *)&len + i : sent + i, 1);
	}
	assert_int_equal(receive(), NETDEV_HEADER + 40);
	assert_memory_equal(got + NETDEV_HEADER, sent + 4, 40);
}

/* Frames of all lengths, in pieces that heed none of them. */
static void random_pieces(void **state)
{
	static uint8_t stream[1 << 21];
	size_t len = 0, at = 0;
	unsigned put_in = 0, received = 0;
	uint32_t lens[64];

	srand(1);
	for (; put_in < ARRAY_SIZE(lens) - 1; put_in++)
		lens[put_in] = 14 + (uint32_t)rand() % (put_in % 8 ? 100 : LONGEST - 13);
	lens[put_in++] = LONGEST;
	for (unsigned i = 0; i < put_in; i++) {
		uint32_t length = htonl(lens[i]);

		memcpy(stream + len, &length, 4);
		memset(stream + len + 4, (int)i, lens[i]);
		len += 4 + lens[i];
		assert_true(len < sizeof(stream));
	}
	while (received < put_in) {
		size_t piece = 1 + (size_t)rand() % (rand() % 2 ? 10 : 30000);
		int n;

		if (piece > len - at)
			piece = len - at;
		put(stream + at, piece);
		at += piece;
		while ((n = receive()) != -EAGAIN) {
			assert_int_equal(n, NETDEV_HEADER + lens[received]);
			assert_int_equal(got[NETDEV_HEADER], received);
			assert_int_equal(got[n - 1], received++);
		}
	}
	assert_int_equal(at, len);
}

/* What it took goes whole and in order, though the socket takes a part at a time. */
static void fill_and_empty(size_t len)
{
	unsigned taken = 0;

	writables = 0;
	while (!send_frame(len + taken))
		taken++;
	assert_true(taken > 1);
	assert_int_equal(send_frame(100), -EAGAIN);
	for (unsigned i = 0; i < taken; i++) {
		assert_int_equal(take(got), len + i);
		assert_memory_equal(got, sent + NETDEV_HEADER, len + i);
		if (i == taken - 2) /* nearly empty again */
			assert_true(serve(&writables));
	}
	assert_int_equal(send_frame(100), 0);
	assert_int_equal(take(got), 100);
}

/* And the next time as the first; long frames too, of which the socket takes a part. */
static void a_full_socket_waits(void **state)
{
	fill_and_empty(9000);
	fill_and_empty(9000);
	fill_and_empty(60000);
}

/* A device that could send, and then has enough of what comes, is not notified of that in the same turn. */
static void only_a_listener_is_notified(void **state)
{
	while (!send_frame(9000))
		;
	netdev->ops->listen(netdev, true);
	has_enough = true;
	put_length(50);
	put(sent, 50);
	while (recv(peer, got, sizeof(got), MSG_DONTWAIT) > 0)
		;
	assert_true(serve(&writables));
	assert_int_equal(readables, 0);
}

/* Nothing is left of one that the loop does not take: neither the socket nor the process. */
static void it_cannot_be_watched(void **state)
{
	struct netdev *none = NULL;
	int fds[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	unwatchable = true;
	assert_int_equal(passt_create(&config, fds[0], pid, "net1", loop, &none), -ENOSPC);
	unwatchable = false;
	assert_null(none);
	assert_int_equal(kill(pid, 0), -1);
	close(fds[1]);
}

static void end_child(int signal)
{
	_exit(7);
}

/* Memory that the host cannot provide is touched, which raises a signal; the frame is not dropped silently. */
static void memory_that_is_not_there(void **state)
{
	void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov[] = { { sent, NETDEV_HEADER }, { page, 100 } };
	pid_t pid;
	int status;

	assert_ptr_not_equal(page, MAP_FAILED);
	pid = fork();
	if (!pid) {
		signal(SIGSEGV, end_child);
		netdev->ops->send(netdev, iov, ARRAY_SIZE(iov));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	munmap(page, 4096);
}

static void what_is_no_frame_ends_it(void **state)
{
	static const uint32_t bad[] = { 0, 13, LONGEST + 1, 0x80000000, UINT32_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		if (i) {
			teardown(NULL);
			setup(NULL);
		}
		netdev->ops->listen(netdev, true);
		put_length(50);
		put(sent, 50);
		put_length(bad[i]);
		put(sent, 5000);
		assert_true(serve(&readables));
		assert_int_equal(receive(), NETDEV_HEADER + 50);
		assert_int_equal(receive(), -EAGAIN);
		assert_int_equal(receive(), -EAGAIN);
		assert_int_equal(lines, 1);
		assert_non_null(strstr(line, "passt sent a frame of"));
		assert_true(serve(&losses));
		assert_int_equal(losses, 1);
		assert_int_equal(lines, 2);
		assert_string_equal(line,
			"net0: passt has ended (signal 9): the cable is out until it runs again");
	}
}

static void its_end_is_reported_once(void **state)
{
	teardown(NULL);
	setup(NULL);
	teardown(NULL);
	assert_int_equal(loop_create(&loop), 0);
	start(3);
	/* Not listening: a hang-up is heard all the same. */
	assert_true(serve(&losses));
	assert_string_equal(
		line, "net0: passt has ended (status 3): the cable is out until it runs again");
	netdev->ops->listen(netdev, true);
	assert_int_equal(send_frame(100), 0);
	assert_int_equal(receive(), -EAGAIN);
	assert_int_equal(losses, 1);
	assert_int_equal(lines, 1);
}

/* A peer that has stopped speaking is not read for ever; and a sender that waited for room does not wait for it. */
static void it_stops_speaking(void **state)
{
	while (!send_frame(1000))
		;
	netdev->ops->listen(netdev, true);
	assert_int_equal(shutdown(peer, SHUT_WR), 0);
	assert_true(serve(&readables));
	assert_int_equal(netdev->ops->receive(netdev, got, sizeof(got)), -EAGAIN);
	assert_true(serve(&losses));
	assert_int_equal(losses, 1);
	assert_int_equal(writables, 1);
	assert_int_equal(send_frame(1000), 0);
}

static void forwards(void **state)
{
	static const char *const good[] = { "1", "65535", "2222:22", "2222:22,80",
		"127.0.0.1/2222:22,8080:80", "::1/22", "80,::1/22,127.0.0.1/22:22,23",
		"::1/1,::1/2,::1/3,::1/4,::1/5,::1/6,::1/7,::1/8" };
	static const char *const bad[] = { "", "0", "65536", "99999999999999999999", "022", " 22",
		"+22", "-1", "22 ", "22,", ",22", "22:", ":22", "22:0", "22:23:24", "22-30", "all",
		"/22", "127.0.0/22", "localhost/22", "127.0.0.1/", "127.0.0.1%eth0/22", "1/2/3",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/22", "22;", "~22", "22,/22",
		"22,::1/", "::1/22,1/2/3",
		"::1/1,::1/2,::1/3,::1/4,::1/5,::1/6,::1/7,::1/8,::1/9" };

	for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(passt_forwards(good[i]));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(passt_forwards(bad[i]));
}

/* ---- How it is started ---- */

/* It ends when the socket does, so nobody else has the other end. */
static int be_passt(int argc, char **argv)
{
	char text[500] = "";
	sigset_t mask;

	alarm(300);
	for (int i = 1; i < argc; i++)
		strcat(strcat(text, argv[i]), " ");
	sigprocmask(SIG_SETMASK, NULL, &mask);
	if (sigismember(&mask, SIGTERM) || signal(SIGPIPE, SIG_DFL) != SIG_DFL ||
		getsid(0) != getpid())
		return 1;
	if (write(3, text, strlen(text) + 1) < 0)
		return 2;
	while (read(3, text, sizeof(text)) > 0)
		;
	return 7;
}

static void it_is_started(void **state)
{
	static const struct {
		struct passt_config config;
		const char *arguments;
	} cases[] = {
		{ { 0 }, "--foreground --quiet --fd 3 --udp-ports none --tcp-ports none "
			 "--no-map-gw " },
		{ { .forward_tcp = "2222:22", .host_loopback = true, .mtu = 1400 },
			"--foreground --quiet --fd 3 --udp-ports none --tcp-ports 2222:22 --mtu "
			"1400 " },
		{ { .forward_tcp = "80,127.0.0.1/2222:22,8080:80,::1/2222:22",
			  .forward_udp = "53" },
			"--foreground --quiet --fd 3 --udp-ports 53 --tcp-ports 80 --tcp-ports "
			"127.0.0.1/2222:22,8080:80 --tcp-ports ::1/2222:22 --no-map-gw " },
	};
	char folder[] = "/tmp/test-passt.XXXXXX", path[64], self[4096], text[500];
	char *before = strdup(getenv("PATH"));
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd, status,
		low = dup(
			0); /* else the other end of the socket might be the one that is replaced */
	sigset_t term, old;
	pid_t pid;

	assert_true(len > 0);
	self[len] = '\0';
	assert_non_null(mkdtemp(folder));
	setenv("PATH", folder, 1);
	fds_before = open_fds();
	assert_int_equal(passt_start(&cases[0].config, &fd, &pid), -ENOENT);
	snprintf(path, sizeof(path), "%s/passt", folder);
	assert_int_equal(symlink(self, path), 0);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &old);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(passt_start(&cases[i].config, &fd, &pid), 0);
		assert_int_equal(recv(fd, text, sizeof(text), 0), strlen(cases[i].arguments) + 1);
		assert_string_equal(text, cases[i].arguments);
		close(fd);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 7);
	}
	assert_int_equal(open_fds(), fds_before);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	setenv("PATH", before, 1);
	free(before);
	close(low);
	unlink(path);
	rmdir(folder);
}

/* What the program at /proc/self/exe is called there, so that it is found. */
static void be_found(const char *folder, bool found)
{
	char path[100], self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(len > 0);
	self[len] = '\0';
	snprintf(path, sizeof(path), "%s/passt", folder);
	if (found)
		assert_int_equal(symlink(self, path), 0);
	else
		unlink(path);
}

/* It has written what is no frame, at which it is ended. */
static void end_it(void)
{
	netdev->ops->listen(netdev, true);
	assert_true(serve(&readables));
	assert_int_equal(receive(), -EAGAIN);
	assert_true(serve(&losses));
}

static void it_is_started_again(void **state)
{
	static const uint64_t waits[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	char folder[] = "/tmp/test-passt.XXXXXX", *before = strdup(getenv("PATH"));

	assert_non_null(mkdtemp(folder));
	setenv("PATH", folder, 1);
	teardown(NULL);
	setup(NULL);
	teardown(NULL);
	assert_int_equal(loop_create(&loop), 0);
	start(3);
	assert_true(serve(&losses));
	assert_string_equal(
		line, "net0: passt has ended (status 3): the cable is out until it runs again");
	/* Ever more rarely while there is none, which is not logged again. */
	for (unsigned i = 0; i < ARRAY_SIZE(waits); i++) {
		assert_int_equal(pause_ms, waits[i] * 1000);
		pause_ends();
	}
	assert_int_equal(losses, 1);
	assert_int_equal(finds, 0);
	assert_int_equal(lines, 1);
	be_found(folder, true);
	pause_ends();
	assert_int_equal(finds, 1);
	assert_null(waiting);
	assert_int_equal(lines, 2);
	assert_string_equal(line, "net0: passt runs again: the cable is in");
	/* Frames go to the new one. */
	assert_int_equal(send_frame(100), 0);
	/* One that ends soon is not logged again, and is waited for longer. */
	end_it();
	assert_int_equal(lines, 3); /* what it sent */
	assert_int_equal(pause_ms, 60000);
	pause_ends();
	assert_int_equal(finds, 2);
	assert_int_equal(lines, 3);
	/* One that ran for a minute is. */
	runs_ms = 60000;
	end_it();
	assert_int_equal(pause_ms, 1000);
	assert_int_equal(lines, 5);
	assert_non_null(strstr(line, "net0: passt has ended"));
	pause_ends();
	assert_int_equal(lines, 6);
	assert_string_equal(line, "net0: passt runs again: the cable is in");
	end_it();
	be_found(folder, false);
	runs_ms = 0;
	rmdir(folder);
	setenv("PATH", before, 1);
	free(before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_frame_goes),
		TEST(what_passt_does_not_take_is_dropped),
		TEST(frames_come),
		TEST(a_byte_at_a_time),
		TEST(random_pieces),
		TEST(a_full_socket_waits),
		TEST(only_a_listener_is_notified),
		TEST(it_cannot_be_watched),
		TEST(memory_that_is_not_there),
		TEST(what_is_no_frame_ends_it),
		TEST(its_end_is_reported_once),
		TEST(it_stops_speaking),
		TEST(it_is_started_again),
		cmocka_unit_test(forwards),
		cmocka_unit_test(it_is_started),
	};

	if (!strcmp(argv[0], "passt"))
		return be_passt(argc, argv);
	return cmocka_run_group_tests_name("passt", tests, NULL, NULL);
}
