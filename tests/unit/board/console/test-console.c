/* SPDX-License-Identifier: Apache-2.0 */
/* The console with every kind of stdin and stdout, and a terminal that comes back from everything. */
#include "tests/unit/helpers/console-bench.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>

#include "board/host/terminal.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/fds.h"

static int saved_in, saved_out, fds[4]; /* fds: the test's own, closed at its end */
static unsigned left, pressed, fds_before;

static void on_leave(void *opaque)
{
	left++;
}

static void on_power(void *opaque)
{
	pressed++;
}

static const struct console_spec stdio = { .kind = CONSOLE_STDIO };
static const struct console_callbacks callbacks = { .leave = on_leave, .power_button = on_power };

static int setup(void **state)
{
	fds_before = open_fds();
	saved_in = fcntl(0, F_DUPFD_CLOEXEC, 100);
	saved_out = fcntl(1, F_DUPFD_CLOEXEC, 100);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = -1;
	left = pressed = 0;
	return bench_create();
}

static int teardown(void **state)
{
	console_destroy(console);
	loop_destroy(loop);
	dup2(saved_in, 0);
	dup2(saved_out, 1);
	close(saved_in);
	close(saved_out);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return open_fds() - fds_before;
}

/* stdin and stdout become these (-1: closed), which are closed here; then a console on them. */
static void start(int in, int out)
{
	if (in >= 0)
		dup2(in, 0);
	else
		close(0);
	if (out >= 0)
		dup2(out, 1);
	else
		close(1);
	close(in);
	if (out != in)
		close(out);
	assert_int_equal(console_create(loop, &stdio, &callbacks, &console), 0);
	bench_connect();
}

/* fds[0] writes to stdin, fds[1] reads from stdout. */
static void start_pipes(void)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fds[0] = in[1];
	fds[1] = out[0];
	start(in[0], out[1]);
}

/* fds[0] is the terminal's other end, fds[1] the terminal. */
static struct termios cooked;

static void open_terminal(void)
{
	assert_int_equal(openpty(&fds[0], &fds[1], NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(fds[1], &cooked), 0);
	assert_true(cooked.c_lflag & ICANON);
}

static void start_terminal(void)
{
	open_terminal();
	start(dup(fds[1]), dup(fds[1]));
}

static bool is_raw(void)
{
	struct termios now;

	memset(&now, 0, sizeof(now)); /* with what lies between its fields */
	assert_int_equal(tcgetattr(fds[1], &now), 0);
	if (!memcmp(&now, &cooked, sizeof(now)))
		return false;
	assert_int_equal(now.c_lflag & (ICANON | ECHO | ISIG), 0);
	assert_int_equal(now.c_iflag & (IXON | ICRNL), 0);
	assert_int_equal(now.c_oflag, cooked.c_oflag);
	return true;
}

static void feed(const char *text, size_t len)
{
	assert_int_equal(write(fds[0], text, len), len);
	run(1);
}

#define FEED(text) feed(text, sizeof(text) - 1)

#define GOT(text) assert_got(text, sizeof(text) - 1)

static void pipes_both_ways(void **state)
{
	start_pipes();
	FEED("hello\n");
	GOT("hello\n");
	assert_int_equal(say("login: "), 7);
	assert_said(fds[1], "login: ");
	assert_idle();
	assert_int_equal(writable, 0); /* nothing was refused */
}

static void escapes(void **state)
{
	char help[1000] = { 0 };

	start_pipes();
	FEED("a\001x");
	UNTIL(left == 1);
	FEED("\001");
	FEED("x"); /* cut anywhere */
	UNTIL(left == 2);
	FEED("b\001\001c\001ad");
	FEED("\001pe\001qf");
	GOT("ab\001c\001def");
	assert_int_equal(pressed, 1);
	assert_int_equal(left, 2);
	FEED("x\001\001x");
	GOT("x\001x");
	assert_int_equal(left, 2);
	FEED("\001h");
	assert_true(take_some(fds[1], help, sizeof(help) - 1) > 0);
	assert_non_null(strstr(help, "Ctrl-A x"));
	FEED("\001?");
	assert_true(take_some(fds[1], help, sizeof(help) - 1) > 0);
	assert_int_equal(got_len, 0);
}

static void end_of_input(void **state)
{
	start_pipes();
	feed("last", 4);
	close(fds[0]);
	fds[0] = -1;
	GOT("last");
	assert_idle();
	assert_int_equal(left, 0);
	assert_int_equal(say("still here"), 10);
	assert_said(fds[1], "still here");
}

/* The writer is gone, and the guest does not read what it left: nothing may spin, nor be lost. */
static void end_of_input_behind_a_guest_that_waits(void **state)
{
	static char data[10000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = 'a' + i % 23;
	start_pipes();
	room = 16;
	feed(data, sizeof(data));
	close(fds[0]);
	fds[0] = -1;
	UNTIL(got_len == 16);
	assert_idle();
	assert_int_equal(got_len, 16);
	while (got_len < sizeof(data)) {
		size_t before = got_len;

		room = 1000;
		chardev->ops->resume(chardev);
		UNTIL(got_len > before);
	}
	assert_memory_equal(got, data, sizeof(data));
	assert_idle();
}

static void input_before_the_device(void **state)
{
	start_pipes();
	chardev->client = NULL;
	FEED("early ");
	FEED("bird");
	assert_idle();
	chardev->client = &client;
	chardev->ops->resume(chardev);
	GOT("early bird");
}

static void input_from_a_file(void **state)
{
	static char data[20000];
	FILE *file = tmpfile();

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = 'a' + i % 19;
	fwrite(data, 1, sizeof(data), file);
	fflush(file);
	lseek(fileno(file), 0, SEEK_SET);
	room = 16;
	start(dup(fileno(file)), open("/dev/null", O_WRONLY));
	fclose(file);
	UNTIL(got_len == 16);
	assert_idle();
	while (got_len < sizeof(data)) {
		size_t before = got_len;

		room = 16;
		chardev->ops->resume(chardev);
		UNTIL(got_len > before);
	}
	assert_int_equal(got_len, sizeof(data));
	assert_memory_equal(got, data, sizeof(data));
	assert_idle();
}

static void input_from_dev_null(void **state)
{
	start(open("/dev/null", O_RDONLY), open("/dev/null", O_WRONLY));
	say("to nowhere");
	assert_idle();
	assert_int_equal(got_len, 0);
	assert_int_equal(left, 0);
}

static void all_closed(void **state)
{
	start(-1, -1);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(say("nobody"), 6);
	assert_idle();
	assert_int_equal(left, 0);
	/* claimed: nothing else gets these numbers */
	console_claim_stdio();
	assert_true(fcntl(0, F_GETFD) >= 0 && fcntl(1, F_GETFD) >= 0);
}

static void output_to_a_file(void **state)
{
	FILE *file = tmpfile();
	char buf[64] = { 0 };

	fputs("before ", file);
	fflush(file);
	fds[0] = dup(fileno(file));
	fclose(file);
	start(-1, dup(fds[0]));
	for (int i = 0; i < 10000; i++) {
		say("x");
		if (i % 1000 == 0)
			run(1);
	}
	UNTIL(lseek(fds[0], 0, SEEK_END) >= 10007);
	assert_int_equal(lseek(fds[0], 0, SEEK_END), 10007); /* the shared offset went along */
	assert_int_equal(pread(fds[0], buf, 9, 0), 9);
	assert_string_equal(buf, "before xx");
}

/*
 * Writes until it is refused for good, as the other end is full; a terminal may say that it is not and take
 * nothing. Returns how much was taken.
 */
static size_t fill(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
	size_t taken = 0;

	for (unsigned idle = 0; idle < 20; run(1), idle++) {
		while (say("0123456789abcdef0123456789abcde\n") == 32) {
			taken += 32;
			idle = 0;
		}
		if (poll(&out, 1, 0) == 0)
			break;
	}
	return taken;
}

static void drain(int fd, size_t want)
{
	static char buf[65536];

	for (size_t n = 0; n < want;) {
		ssize_t now = take_some(fd, buf, sizeof(buf));

		assert_true(now > 0);
		n += now;
	}
}

static void output_pressed_back(void **state)
{
	size_t taken;

	start_pipes();
	taken = fill();
	assert_true(taken >= 64 * KiB);
	assert_int_equal(say("x"), 0);
	run(50);
	assert_true(taken < 256 * KiB);
	assert_idle();
	if (say("y") == 0)
		writable = 0;
	drain(fds[1], taken);
	assert_true(writable >= 1);
	assert_int_equal(say("z"), 1);
	run(10);
	writable = 0;
	assert_idle();
	assert_int_equal(writable, 0); /* notified once */
}

/* A refusal is remembered, though a byte went meanwhile: the UART is notified of the room. */
static void refused_and_taken_between(void **state)
{
	static char some[8192];
	size_t taken;

	start_pipes();
	taken = fill();
	assert_int_equal(say("x"), 0);
	take(fds[1], some, sizeof(some));
	writable = 0;
	UNTIL(say("y") == 1);
	assert_int_equal(writable, 0); /* there is not much of it yet */
	drain(fds[1], taken - sizeof(some));
	UNTIL(writable);
	assert_int_equal(writable, 1);
}

/* All three are somebody's, so that no file of the machine's gets one of their numbers. */
static void closed_ones_are_claimed(void **state)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		for (int fd = 0; fd <= 2; fd++)
			close(fd);
		console_claim_stdio();
		status = 0;
		for (int fd = 0; fd <= 2; fd++)
			status |= fcntl(fd, F_GETFD) < 0;
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A terminal whose other end does not read: POLLOUT promises little there. */
static void output_to_a_stalled_terminal(void **state)
{
	size_t taken;

	start_terminal();
	taken = fill();
	run(50);
	assert_idle();
	feed("\001x", 2); /* and still it leaves */
	UNTIL(left == 1);
	drain(fds[0], taken);
	assert_true(writable);
}

/* The shared open files are left as they were. */
static void shared_files_keep_their_flags(void **state)
{
	int in_flags, out_flags;

	start_pipes();
	say("x");
	run(10);
	in_flags = fcntl(0, F_GETFL);
	out_flags = fcntl(1, F_GETFL);
	assert_int_equal((in_flags | out_flags) & O_NONBLOCK, 0);
}

static void output_closed_by_its_reader(void **state)
{
	start_pipes();
	close(fds[1]);
	fds[1] = -1;
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(say("gone"), 4);
		if (i % 500 == 0)
			run(1);
	}
	assert_idle();
	FEED("in");
	GOT("in");
}

static void closed_while_pressed_back(void **state)
{
	start_pipes();
	fill();
	assert_int_equal(say("x"), 0);
	writable = 0;
	close(fds[1]);
	fds[1] = -1;
	UNTIL(writable);
	assert_int_equal(say("x"), 1);
	assert_idle();
}

static void output_to_a_socket(void **state)
{
	int pair[2];
	size_t taken;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fds[0] = pair[0];
	start(dup(pair[1]), pair[1]);
	FEED("both");
	GOT("both");
	taken = fill();
	assert_idle();
	drain(fds[0], taken);
	close(fds[0]);
	fds[0] = -1;
	say("x");
	assert_idle();
}

static void rest_is_written_at_the_end(void **state)
{
	start_pipes();
	say("the end\n");
	console_destroy(console); /* the loop did not run */
	console = NULL;
	assert_said(fds[1], "the end\n");
}

static void end_is_bounded(void **state)
{
	uint64_t from;

	start_pipes();
	fill();
	from = loop_now_ms();
	console_destroy(console);
	console = NULL;
	assert_in_range(loop_now_ms() - from, 500, PATIENCE_MS);
}

static void terminal(void **state)
{
	start_terminal();
	assert_true(is_raw());
	FEED("\003\032\021\r"); /* Ctrl-C, Ctrl-Z and the rest are the guest's */
	GOT("\003\032\021\r");
	say("hi\n");
	assert_said(fds[0], "hi\r\n"); /* and no echo before it */
	console_destroy(console);
	console = NULL;
	assert_false(is_raw());
}

static void leave_a_guest_that_hangs(void **state)
{
	start_terminal();
	room = 0;
	for (int i = 0; i < 20; i++)
		FEED("0123456789012345678901234567890123456789012345678901234567890123456789"
		     "0123456789012345678901234567890123456789012345678901234567890123456789"
		     "0123456789012345678901234567890123456789012345678901234567890123456789"
		     "0123456789012345678901234567890123456789012345678901234567890123456789");
	assert_int_equal(left, 0);
	FEED("\001x");
	UNTIL(left == 1);
	room = sizeof(got);
	chardev->ops->resume(chardev);
	UNTIL(got_len >= 4096);
	assert_int_equal(got_len, 4096);
}

static void terminal_hangs_up(void **state)
{
	start_terminal();
	close(fds[0]);
	fds[0] = -1;
	assert_idle();
	say("gone");
	run(1);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(say("gone"), 4);
	assert_idle();
	assert_int_equal(left, 0);
}

static void second_console(void **state)
{
	struct console *second;

	start_terminal();
	assert_int_equal(console_create(loop, &stdio, &callbacks, &second), -EBUSY);
	assert_true(is_raw());
}

/* A child with the terminal raw ends in some way; returns its status. */
static int child(void (*end)(int), int number)
{
	struct rlimit no_core = { 0 };
	int status, ready[2], null;
	pid_t pid;

	open_terminal();
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		null = open("/dev/null", O_WRONLY);
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(null, 2);
		start(dup(fds[1]), dup(fds[1]));
		if (!is_raw() || write(ready[1], "r", 1) != 1)
			_exit(99);
		end(number);
		terminal_restore();
		_exit(98);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], got, 1), 1);
	close(ready[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(is_raw());
	close(fds[0]);
	close(fds[1]);
	fds[0] = fds[1] = -1;
	return status;
}

static void end_by_raise(int number)
{
	raise(number);
}

static void end_by_ignored(int number)
{
	raise(number);
	if (is_raw())
		exit(5);
}

static void end_by_exit(int number)
{
	exit(number);
}

static void end_by_abort(int number)
{
	abort();
}

static void end_by_fault(int number)
{
	volatile int *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*nowhere = number;
}

static void handler_of_its_own(int number)
{
	_exit(42);
}

static void restored_on_every_way_out(void **state)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSYS, SIGXCPU };
	int status;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		signal(signals[i], SIG_DFL);
		status = child(end_by_raise, signals[i]);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
	}
	status = child(end_by_abort, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	status = child(end_by_exit, 3);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	signal(SIGSEGV, SIG_DFL);
	status = child(end_by_fault, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	signal(SIGSEGV, handler_of_its_own);
	status = child(end_by_fault, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	status = child(end_by_ignored, SIGHUP);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	signal(SIGHUP, SIG_DFL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(restored_on_every_way_out), /* first: the handlers are not installed yet */
		T(pipes_both_ways),
		T(escapes),
		T(end_of_input),
		T(end_of_input_behind_a_guest_that_waits),
		T(input_before_the_device),
		T(input_from_a_file),
		T(input_from_dev_null),
		T(all_closed),
		T(output_to_a_file),
		T(output_pressed_back),
		T(refused_and_taken_between),
		T(closed_ones_are_claimed),
		T(output_to_a_stalled_terminal),
		T(shared_files_keep_their_flags),
		T(output_closed_by_its_reader),
		T(closed_while_pressed_back),
		T(output_to_a_socket),
		T(rest_is_written_at_the_end),
		T(end_is_bounded),
		T(terminal),
		T(leave_a_guest_that_hangs),
		T(terminal_hangs_up),
		T(second_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
