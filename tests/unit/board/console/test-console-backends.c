/* SPDX-License-Identifier: Apache-2.0 */
/* A console on each back end but stdio, and clients of its socket: some read, some do not, some leave. */
#include "tests/unit/helpers/console-bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "board/text/errors.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"

#define RING (64 * KiB)

static char folder[] = "/tmp/console-XXXXXX", path[64], logged[256];

static void leave(void *opaque)
{
	fail_msg("Ctrl-A x is nobody's but stdin's");
}

static const struct console_callbacks callbacks = { .leave = leave };

static void keep_log(enum log_level level, const char *line)
{
	snprintf(logged, sizeof(logged), "%s", line);
}

static int setup(void **state)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/it", folder);
	log_set_sink(keep_log);
	return bench_create();
}

static int teardown(void **state)
{
	console_destroy(console);
	loop_destroy(loop);
	unlink(path);
	return rmdir(folder); /* fails where a socket was left */
}

static void start_as(const char *text, const char *port)
{
	struct console_spec spec;
	char whole[256];
	char *at;

	assert_true(console_spec_read(text, &spec, &at));
	if (at) {
		snprintf(whole, sizeof(whole), "%s/%s", folder, at);
		spec.path.name = whole;
	}
	spec.port = port;
	assert_int_equal(console_create(loop, &spec, &callbacks, &console), 0);
	free(at);
	bench_connect();
}

static void start(const char *text)
{
	start_as(text, NULL);
}

static void listen_here(void)
{
	struct errors errors = { 0 };

	assert_int_equal(console_listen(console, &(struct host_path){ path }, &errors), 0);
}

static int attach(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Says n KiB, each byte showing which KiB it is of. */
static size_t flood(unsigned kib)
{
	size_t taken = 0;
	char text[KiB + 1];

	for (unsigned i = 0; i < kib; i++) {
		memset(text, 'a' + i % 26, KiB);
		text[KiB] = '\0';
		taken += say(text);
		if (i % 32 == 0)
			run(1);
	}
	return taken;
}

static void specs(void **state)
{
	static const struct {
		const char *text;
		int kind; /* -1: none */
		const char *path;
		uint64_t size_bytes;
	} cases[] = {
		{ "stdio", CONSOLE_STDIO },
		{ "null", CONSOLE_NULL },
		{ "pty", CONSOLE_PTY },
		{ "file:log", CONSOLE_FILE, "log" },
		{ "file:/log", CONSOLE_FILE, "/log" },
		{ "socket:a:b", CONSOLE_SOCKET, "a:b" },
		{ "file:log,size=64MiB", CONSOLE_FILE, "log", 64 * MiB },
		{ "file:a,size=1,b,size=4096", CONSOLE_FILE, "a,size=1,b", 4096 },
		{ "file:a,b", CONSOLE_FILE, "a,b" },
		{ "file:a,size=1,b", CONSOLE_FILE, "a,size=1,b" },
		{ "socket:a,size=4096", CONSOLE_SOCKET, "a,size=4096" },
		{ "file:,size=4096", -1 },
		{ "file:a,size=", -1 },
		{ "file:a,size=4095", -1 },
		{ "file:a,size=much", -1 },
		{ "file:a,size=-1", -1 },
		{ "file:a,size=99999999999999999999", -1 },
		{ "file", -1 },
		{ "file:", -1 },
		{ "socket", -1 },
		{ "pty:x", -1 },
		{ "stdio:", -1 },
		{ "nul", -1 },
		{ "nulls", -1 },
		{ "", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct console_spec spec = { .kind = -1 };
		char *at = NULL;

		assert_int_equal(console_spec_read(cases[i].text, &spec, &at), cases[i].kind >= 0);
		assert_int_equal((int)spec.kind, cases[i].kind);
		assert_int_equal(spec.size_bytes, cases[i].size_bytes);
		if (cases[i].path)
			assert_string_equal(at, cases[i].path);
		else
			assert_null(at);
		free(at);
	}
	for (unsigned i = 0; i < 2; i++) {
		char *port = console_port_path(i ? "/run/x" : "/run/x.sock", NULL);

		assert_string_equal(port, "/run/x.console");
		free(port);
		port = console_port_path(i ? "/run/x" : "/run/x.sock", "agent");
		assert_string_equal(port, "/run/x+agent.port");
		free(port);
	}
}

static void null_takes_all(void **state)
{
	start("null");
	assert_int_equal(flood(1024), MiB);
	assert_idle();
	assert_int_equal(writable, 0);
}

static void file_is_appended(void **state)
{
	char buf[32] = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		start("file:it");
		assert_int_equal(say(i ? "two" : "one\n"), i ? 3 : 4);
		console_destroy(console);
	}
	console = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(read(fd, buf, sizeof(buf)), 7);
	assert_string_equal(buf, "one\ntwo");
	close(fd);
}

static void files_that_are_none(void **state)
{
	char full[] = "/dev/full";
	struct console_spec spec = { .kind = CONSOLE_FILE, .path = { folder } };

	assert_int_equal(console_create(loop, &spec, &callbacks, &console), -EISDIR);
	assert_int_equal(mkfifo(path, 0600), 0);
	spec.path.name = path; /* with no reader: would wait for ever */
	assert_int_equal(console_create(loop, &spec, &callbacks, &console), -ENXIO);
	spec.path.name = full;
	assert_int_equal(console_create(loop, &spec, &callbacks, &console), 0);
	chardev = console_chardev(console);
	assert_int_equal(flood(256), 256 * KiB);
	assert_idle();
}

static void pty(void **state)
{
	int fd;

	start("pty");
	assert_memory_equal(logged, "the console is /dev/pts/", 24);
	assert_int_equal(say("before anyone came\n"), 19);
	run(20);
	assert_idle();
	for (unsigned i = 0; i < 2; i++) { /* the second time after a hang-up */
		fd = open(strchr(logged, '/'), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		assert_true(fd >= 0);
		if (!i)
			assert_said(fd, "before anyone came\n");
		assert_int_equal(say("login: "), 7);
		assert_said(fd, "login: ");
		assert_int_equal(write(fd, "\001xroot\003\r", 8), 8);
		assert_got("\001xroot\003\r", sizeof("\001xroot\003\r") - 1);
		close(fd);
		assert_idle();
	}
	/* Nobody reads: the guest never waits. */
	assert_int_equal(flood(1024), MiB);
	assert_idle();
	assert_int_equal(writable, 0);
}

static void attached_both_ways(void **state)
{
	char *buf = malloc(RING + 1);
	int fd;

	start("null");
	listen_here();
	say("before; ");
	fd = attach();
	assert_said(fd, "before; ");
	say("after");
	assert_said(fd, "after");
	assert_int_equal(write(fd, "\001x\035\n", 4), 4);
	assert_got("\001x\035\n", sizeof("\001x\035\n") - 1);
	close(fd);
	run(20);
	assert_idle();
	/* What the ring remembers of much more, to the byte. */
	flood(256);
	say("end");
	fd = attach();
	take(fd, buf, RING);
	assert_memory_equal(buf + RING - 3, "end", 3);
	assert_int_equal(buf[RING - 4], 'a' + 255 % 26);
	assert_int_equal(buf[0], 'a' + 192 % 26);
	assert_int_equal(read(fd, buf, 1), -1);
	close(fd);
	free(buf);
}

static void newest_takes_over(void **state)
{
	char text[80];
	int first, second;

	start("null");
	listen_here();
	first = attach();
	say("one");
	assert_said(first, "one");
	second = attach();
	assert_said(second, "one");
	snprintf(text, sizeof(text), "\r\n[taken over by process %d]\r\n", (int)getpid());
	take(first, got, strlen(text));
	assert_memory_equal(got, text, strlen(text));
	assert_int_equal(read(first, got, 1), 0);
	say("two");
	assert_said(second, "two");
	assert_int_equal(write(second, "in", 2), 2);
	assert_got("in", sizeof("in") - 1);
	close(first);
	close(second);
}

/* A client that never reads, nor takes the last output. */
static void deaf(void **state)
{
	int fd;

	start("null");
	listen_here();
	fd = attach();
	run(20);
	assert_int_equal(flood(4096), 4 * MiB);
	assert_idle();
	assert_int_equal(write(fd, "heard", 5), 5); /* it may still speak */
	assert_got("heard", sizeof("heard") - 1);
	close(attach());
	run(20);
	assert_idle();
	close(fd);
}

/* A guest that does not listen makes the peer wait, whatever it sends, and no one else. */
static void guest_does_not_listen(void **state)
{
	char text[KiB];
	size_t sent = 0;
	ssize_t n;
	int fd;

	room = 0;
	memset(text, 'x', sizeof(text));
	start("null");
	listen_here();
	fd = attach();
	while ((n = write(fd, text, sizeof(text))) > 0) {
		sent += n;
		run(1);
	}
	assert_int_equal(errno, EAGAIN);
	assert_true(sent > 4096);
	assert_idle();
	say("still here");
	assert_said(fd, "still here");
	close(fd); /* what it sent is the guest's still */
	assert_idle();
	for (uint64_t end = loop_now_ms() + PATIENCE_MS; sent; sent -= got_len) {
		assert_true(loop_now_ms() < end);
		got_len = 0;
		room = sizeof(got);
		chardev->ops->resume(chardev);
		run(5);
	}
	fd = attach();
	assert_int_equal(write(fd, "next", 4), 4);
	got_len = 0;
	room = sizeof(got);
	assert_got("next", sizeof("next") - 1);
	close(fd);
}

static void half_closed_still_listens(void **state)
{
	int fd;

	start("null");
	listen_here();
	fd = attach();
	assert_int_equal(write(fd, "bye", 3), 3);
	shutdown(fd, SHUT_WR);
	assert_got("bye", sizeof("bye") - 1);
	assert_idle();
	say("still");
	assert_said(fd, "still");
	console_destroy(console);
	console = NULL;
	assert_int_equal(read(fd, got, 1), 0);
	assert_int_equal(access(path, F_OK), -1);
	close(fd);
}

static void the_end_is_heard(void **state)
{
	int fd;

	start("null");
	listen_here();
	fd = attach();
	run(20);
	say("last words");
	console_destroy(console);
	console = NULL;
	assert_int_equal(read(fd, got, sizeof(got)), 10);
	assert_memory_equal(got, "last words", 10);
	close(fd);
}

/* A named port: the device is notified of each client, which gets what is said from then on. */
static void a_port_is_joined(void **state)
{
	int first, second;

	start_as("null", "agent");
	listen_here();
	assert_false(chardev->connected);
	assert_int_equal(say("to nobody"), 9);
	first = attach();
	run(20);
	assert_int_equal(joined, 1);
	say("one");
	assert_said(first, "one");
	second = attach();
	run(20);
	assert_int_equal(read(first, got, 1), 0); /* and not a word in its stream */
	assert_int_equal(parted, 1);
	assert_int_equal(joined, 2);
	say("two");
	assert_said(second, "two");
	room = 2; /* what it sent before it left comes before its leaving */
	assert_int_equal(write(second, "abcd", 4), 4);
	close(second);
	run(20);
	assert_int_equal(parted, 1);
	room = sizeof(got);
	chardev->ops->resume(chardev);
	assert_got("abcd", 4);
	run(20);
	assert_int_equal(parted, 2);
	assert_false(chardev->connected);
	close(first);
	assert_idle();
}

/* The guest waits for a client of a port that does not read, in bounded memory, until it reads or leaves. */
static void a_port_waits_for_a_slow_client(void **state)
{
	char *buf = malloc(4 * MiB);
	size_t taken;
	int fd;

	start_as("null", "agent");
	listen_here();
	fd = attach();
	run(20);
	taken = flood(4096);
	assert_in_range(taken, RING, 2 * MiB);
	assert_int_equal(say("x"), 0);
	assert_int_equal(writable, 0);
	assert_idle();
	for (size_t done = 0; done < taken; done += KiB) {
		take(fd, buf, KiB);
		assert_int_equal(buf[0], 'a' + done / KiB % 26);
	}
	run(20);
	assert_int_equal(writable, 1);
	flood(4096);
	assert_int_equal(say("x"), 0);
	close(fd);
	run(20);
	assert_int_equal(writable, 2);
	assert_int_equal(flood(1024), MiB);
	free(buf);
}

static void a_port_with_a_file_is_joined(void **state)
{
	char full[] = "/dev/full";
	struct console_spec spec = { .kind = CONSOLE_FILE, .path = { full }, .port = "log" };

	assert_int_equal(console_create(loop, &spec, &callbacks, &console), 0);
	chardev = console_chardev(console);
	chardev->client = &client;
	assert_true(chardev->connected);
	say("too much");
	run(20);
	assert_int_equal(parted, 0); /* the file is full, and may be written again */
	assert_idle();
}

static void place_is_taken(void **state)
{
	struct errors errors = { 0 };
	struct stat st;
	int fd;

	start("null");
	listen_here();
	fd = attach();
	say("one");
	assert_said(fd, "one");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(console_listen(console, &(struct host_path){ path }, &errors), -EADDRINUSE);
	assert_int_equal(errors.count, 1);
	errors_finish(&errors);
	/* A client that was attached to it has not noticed. */
	run(20);
	say("two");
	assert_said(fd, "two");
	close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(specs),
		T(null_takes_all),
		T(file_is_appended),
		T(files_that_are_none),
		T(pty),
		T(attached_both_ways),
		T(newest_takes_over),
		T(deaf),
		T(guest_does_not_listen),
		T(half_closed_still_listens),
		T(the_end_is_heard),
		T(a_port_is_joined),
		T(a_port_waits_for_a_slow_client),
		T(a_port_with_a_file_is_joined),
		T(place_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
