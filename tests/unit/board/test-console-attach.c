/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice console` on a terminal: what it shows, and when it says how to leave. */
#include "tests/unit/helpers/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "board/cli/client-command.h"
#include "board/console/console.h"

#define HINT	"[Ctrl-] detaches]"
#define WAIT_MS 60000

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

static unsigned polls_before_quiet; /* the machine says so much, then nothing for long */

/* In the child: quiet is a matter of what was said, not of how fast the machine is. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (timeout > 0 && !polls_before_quiet)
		return 0;
	if (timeout > 0)
		polls_before_quiet--;
	return __real_poll(fds, count, -1);
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

		assert_int_equal(__real_poll(&readable, 1, WAIT_MS), 1);
		n = read(terminal, output + output_len, sizeof(output) - 1 - output_len);
		if (n <= 0)
			fail_msg("ended without %s: %s", text, output);
		output_len += (size_t)n;
		output[output_len] = '\0';
	}
}

/* The command in a child of its own, on a terminal that is ours; `said` is what the machine said before. */
static void attach(const char *said)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct termios attributes;
	char control[96], *path;
	int listener;

	strcpy(folder, "/tmp/test-attach-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(control, sizeof(control), "%s/m.sock", folder);
	path = console_port_path(control, NULL);
	strcpy(address.sun_path, path);
	free(path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	output_len = 0;
	*output = '\0';
	fflush(NULL);
	child = forkpty(&terminal, NULL, NULL, NULL);
	assert_true(child >= 0);
	if (!child) {
		char *argv[] = { (char *)"console", (char *)"--control", control, NULL };

		_exit(client_command_run(&console_command, 3, argv));
	}
	machine = accept(listener, NULL, NULL);
	assert_true(machine >= 0);
	close(listener);
	unlink(address.sun_path);
	rmdir(folder);
	/* What is typed before the terminal is raw would be dropped with the change. */
	for (int ms = 0; tcgetattr(terminal, &attributes) || (attributes.c_lflag & ICANON); ms++) {
		assert_true(ms < WAIT_MS);
		usleep(1000);
	}
	if (*said)
		assert_int_equal(send(machine, said, strlen(said), 0), strlen(said));
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

/* A guest that is never quiet keeps nobody from knowing: who types is told, once. */
static void who_types_is_told(void **state)
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

#define TEST(function) { .name = #function, .test_func = function }

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_hint_stands_last), TEST(there_is_a_hint_without_output), TEST(who_types_is_told),
	};

	return cmocka_run_group_tests_name("console-attach", tests, NULL, NULL);
}
