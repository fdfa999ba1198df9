/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log on a standard error that nobody reads: a terminal, a pipe and a socket that are full, or nearly. No thread
 * that logs waits for them, and the log says what was dropped.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "board/host/log-stderr.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"

#define LINES 1000 /* more than any of them takes */

static bool refuse; /* nobody may open once more what is open */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	if (refuse && !strncmp(path, "/proc/self/fd/", 14)) {
		errno = EACCES;
		return -1;
	}
	return __real_open64(path, flags, mode);
}

static int saved; /* standard error of the test */
static int reader, writer;

/* Standard error is the writer from here on; it blocks, as a shell's does. */
static void become_stderr(void)
{
	assert_int_equal(dup2(writer, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	log_to_stderr();
}

static void open_terminal(void)
{
	struct termios raw;

	reader = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(reader >= 0 && !grantpt(reader) && !unlockpt(reader));
	writer = __real_open64(ptsname(reader), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(tcgetattr(writer, &raw), 0);
	cfmakeraw(&raw);
	raw.c_oflag = OPOST; /* as a shell has it: then it takes exactly what it has room for */
	assert_int_equal(tcsetattr(writer, TCSANOW, &raw), 0);
	become_stderr();
}

static void open_pipe(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	reader = fds[0];
	writer = fds[1];
	become_stderr();
}

static void open_socket(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	reader = fds[0];
	writer = fds[1];
	become_stderr();
}

static void (*const kinds[])(void) = { open_terminal, open_pipe, open_socket };

/* As much as it takes, byte by byte, so that it is full to the last. */
static void fill(void)
{
	struct pollfd out = { .fd = writer, .events = POLLOUT };
	int flags = fcntl(writer, F_GETFL);

	assert_int_equal(fcntl(writer, F_SETFL, flags | O_NONBLOCK), 0);
	for (int idle = 0; idle < 3;) { /* a terminal moves on what it has a little later */
		if (write(writer, "x", 1) == 1)
			idle = 0;
		else if (!poll(&out, 1, 20))
			idle++;
	}
	assert_int_equal(fcntl(writer, F_SETFL, flags), 0);
}

/* Reads all that is there, or `len` bytes. */
static const char *drain(size_t len)
{
	static char text[1 << 20];
	struct pollfd in = { .fd = reader, .events = POLLIN };
	size_t have = 0;
	ssize_t n = 1;

	while (n > 0 && have < len && have < sizeof(text) - 1 && poll(&in, 1, 50) == 1) {
		size_t room = (len < sizeof(text) ? len : sizeof(text) - 1) - have;

		n = read(reader, text + have, room);
		have += n > 0 ? (size_t)n : 0;
	}
	text[have] = '\0';
	return text;
}

static int setup(void **state)
{
	refuse = false;
	saved = dup(STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	alarm(300); /* a write that waits for a reader never returns */
	return 0;
}

static int teardown(void **state)
{
	log_set_sink(NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(reader);
	close(writer);
	alarm(0);
	return 0;
}

static void log_long(void)
{
	char line[501];

	memset(line, 'l', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	log_print(LOG_WARNING, "%s", line);
}

static void lines_have_their_level(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds) * 2; i++) {
		refuse = i % 2;
		kinds[i / 2]();
		log_print(LOG_ERROR, "one");
		log_print(LOG_WARNING, "two");
		log_print(LOG_INFO, "three\x1b\xc2\x9b"); /* not what a terminal obeys */
		assert_string_equal(drain(SIZE_MAX),
			"sluice: one\nsluice: warning: two\nsluice: three???\n");
		/* The shell's own end stays as it was. */
		assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
		if (i + 1 < ARRAY_SIZE(kinds) * 2) {
			close(reader);
			close(writer);
		}
	}
}

/* Room for a part of a line is no room to wait in. */
static void nobody_is_waited_for(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds) * 2; i++) {
		unsigned whole = 0, dropped = 0;
		const char *said;
		bool cut;

		refuse = i % 2;
		kinds[i / 2]();
		fill();
		drain(64);
		usleep(20000); /* a terminal then says that it has room again */
		for (unsigned line = 0; line < LINES; line++)
			log_long();
		said = drain(SIZE_MAX);
		cut = *said && !strchr("\nx", said[strlen(said) - 1]);
		for (; (said = strstr(said, "l\n")); said++)
			whole++;
		log_print(LOG_ERROR, "heard");
		log_print(LOG_ERROR, "again");
		/* A line that was cut off ends where the next begins. */
		said = drain(SIZE_MAX);
		assert_int_equal(*said == '\n', cut);
		said += cut;
		assert_int_equal(sscanf(said, "sluice: %u lines found", &dropped), 1);
		assert_string_equal(strchr(said, '\n'), "\nsluice: heard\nsluice: again\n");
		assert_true(dropped > 0);
		assert_int_equal(whole + dropped, LINES);
		if (i + 1 < ARRAY_SIZE(kinds) * 2) {
			close(reader);
			close(writer);
		}
	}
}

static void nobody_is_there(void **state)
{
	open_pipe();
	close(reader);
	log_print(LOG_ERROR, "unheard");
	close(writer);
	open_socket();
	close(reader);
	log_print(LOG_ERROR, "unheard");
	reader = dup(writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_have_their_level, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_is_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_is_there, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
