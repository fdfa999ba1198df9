/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice console` on a terminal: what it shows, and when it says how to leave. */
#include "tests/unit/helpers/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "board/cli/client-command.h"
#include "board/console/console.h"

#define HINT	"[Ctrl-] detaches]"
#define WAIT_MS 60000

int __real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *set);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *set);

static unsigned polls_before_quiet; /* the machine says so much, then nothing for long */

/* In the child: quiet is a matter of what was said, not of how fast the machine is. */
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *set)
{
	if (timeout && !polls_before_quiet)
		return 0;
	if (timeout)
		polls_before_quiet--;
	return __real_ppoll(fds, count, NULL, set);
}

static char folder[64], output[65536];
static size_t output_len;
static int terminal, machine;
static pid_t child;

static void await_output(const char *text)
{
	while (!strstr(output, text)) {
		struct pollfd readable = { .fd = terminal, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&readable, 1, WAIT_MS), 1);
		n = read(terminal, output + output_len, sizeof(output) - 1 - output_len);
		if (n <= 0)
			fail_msg("ended without %s: %s", text, output);
		output_len += (size_t)n;
		output[output_len] = '\0';
	}
}

static char control[96];

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	return listener;
}

static int accept_one(int listener)
{
	struct pollfd caller = { .fd = listener, .events = POLLIN };

	assert_int_equal(poll(&caller, 1, WAIT_MS), 1);
	return accept(listener, NULL, NULL);
}

static void run(const char *port)
{
	char *argv[] = { (char *)"console", (char *)"--control", control, (char *)port, NULL };

	_exit(client_command_run(&console_command, port ? 4 : 3, argv));
}

static void make_place(void)
{
	strcpy(folder, "/tmp/test-attach-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(control, sizeof(control), "%s/m.sock", folder);
	output_len = 0;
	*output = '\0';
	fflush(NULL);
}

/* The command in a child of its own, on a terminal that is ours; `said` is what the machine said before. */
static void attach_to(const char *port, const char *said)
{
	struct termios attributes;
	char *path = console_port_path(control, port);
	int listener = listen_at(path);

	child = forkpty(&terminal, NULL, NULL, NULL);
	assert_true(child >= 0);
	if (!child)
		run(port);
	machine = accept_one(listener);
	assert_true(machine >= 0);
	close(listener);
	unlink(path);
	free(path);
	/* What is typed before the terminal is raw would be dropped with the change. */
	for (int ms = 0; tcgetattr(terminal, &attributes) || (attributes.c_lflag & ICANON); ms++) {
		assert_true(ms < WAIT_MS);
		usleep(1000);
	}
	if (*said)
		assert_int_equal(send(machine, said, strlen(said), 0), strlen(said));
}

static void attach(const char *said)
{
	make_place();
	attach_to(NULL, said);
	rmdir(folder);
}

static void detach(void)
{
	int status;

	assert_int_equal(write(terminal, "\x1d", 1), 1);
	await_output("[detached]");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(machine);
	close(terminal);
}

/* Above all that the guest said before, nobody would see it. */
static void the_hint_stands_last(void **state)
{
	polls_before_quiet = 1;
	attach("login: ");
	await_output(HINT);
	assert_true(strstr(output, "login: ") && strstr(output, "login: ") < strstr(output, HINT));
	detach();
}

static void there_is_a_hint_without_output(void **state)
{
	polls_before_quiet = 0;
	attach("");
	await_output(HINT);
	detach();
}

/* A guest that is never quiet does not hide the hint: typing shows it, once. */
static void typing_shows_the_hint(void **state)
{
	char byte;

	polls_before_quiet = 1000;
	attach("");
	assert_int_equal(write(terminal, "x", 1), 1);
	await_output(HINT);
	assert_int_equal(recv(machine, &byte, 1, MSG_WAITALL), 1);
	assert_int_equal(byte, 'x');
	detach();
	assert_null(strstr(strstr(output, HINT) + 1, HINT));
}

/* Input that ends is the guest's to see, and not the end: output goes on until the machine ends. */
static void input_ends(void **state)
{
	struct pollfd readable = { .events = POLLIN };
	int in[2], out[2], listener, status;
	char *path, got[8];

	make_place();
	path = console_port_path(control, NULL);
	listener = listen_at(path);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		run(NULL);
	}
	machine = readable.fd = accept_one(listener);
	close(in[0]);
	close(out[1]);
	assert_int_equal(write(in[1], "hi", 2), 2);
	assert_int_equal(recv(machine, got, 2, MSG_WAITALL), 2);
	close(in[1]);
	assert_int_equal(poll(&readable, 1, WAIT_MS), 1);
	assert_int_equal(recv(machine, got, 1, 0), 0);
	assert_int_equal(send(machine, "bye", 3, 0), 3);
	close(machine);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(out[0], got, sizeof(got)), 3);
	close(out[0]);
	close(listener);
	unlink(path);
	free(path);
	rmdir(folder);
}

/* A control socket's part in one command, whose line it returns until the next. */
static const char *take_command(int listener)
{
	static const char greeting[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";
	static char line[1024];
	int fd = accept_one(listener);

	assert_int_equal(send(fd, greeting, strlen(greeting), 0), strlen(greeting));
	for (unsigned i = 0; i < 2; i++) {
		ssize_t n = recv(fd, line, sizeof(line) - 1, 0);

		assert_true(n > 0);
		line[n] = '\0';
		assert_int_equal(send(fd, "{\"return\": {}}\n", 15, 0), 15);
	}
	close(fd);
	return line;
}

/* The guest's port has the size of the terminal that is attached, and each that it comes to have. */
static void the_terminal_changes_its_size(void **state)
{
	static const char *const columns[] = { "\"columns\": 80", "\"columns\": 101",
		"\"columns\": 7" };
	static const struct winsize sizes[] = { { 24, 80 }, { 50, 101 }, { 3, 7 } };
	const char *line;
	int listener;

	polls_before_quiet = 100000;
	make_place();
	listener = listen_at(control);
	attach_to("hvc0", "");
	/* None, or what the terminal began with. */
	line = take_command(listener);
	assert_non_null(strstr(line, "x-sluice-console-size"));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ioctl(terminal, TIOCSWINSZ, &sizes[i]), 0);
		line = take_command(listener);
		assert_non_null(strstr(line, "\"port\": \"hvc0\""));
		assert_non_null(strstr(line, columns[i]));
	}
	detach();
	close(listener);
	unlink(control);
	rmdir(folder);
}

#define TEST(function) { .name = #function, .test_func = function }

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_hint_stands_last),
		TEST(there_is_a_hint_without_output),
		TEST(typing_shows_the_hint),
		TEST(input_ends),
		TEST(the_terminal_changes_its_size),
	};

	return cmocka_run_group_tests_name("console-attach", tests, NULL, NULL);
}
