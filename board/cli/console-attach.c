/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice console`: attaches this terminal, or a pipe, to a running machine's console or one of its named ports.
 * Terminal input that the guest does not read is dropped, so that the user can always detach.
 */
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/console/console.h"
#include "board/host/terminal.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "hyp/base/util.h"

#define DETACH	   0x1d /* Ctrl-] */
#define READ_BYTES 1024
#define QUIET_MS   300 /* the hint is printed after the output so far, which arrives at once */

struct attached {
	int socket;
	const char *control,
		*port; /* where the terminal's size is sent; port NULL: it is not sent */
	bool tty;
	bool in_ended, out_ended, detached;
	sigset_t while_polling;		 /* the signals that are blocked then: not SIGWINCH */
	bool hint;			 /* the hint how to detach is not printed yet */
	uint8_t waiting[4 * READ_BYTES]; /* for the guest */
	size_t len;
};

static void read_input(struct attached *a)
{
	uint8_t buf[READ_BYTES];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	a->in_ended = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
	for (ssize_t i = 0; i < n && !a->detached; i++) {
		a->detached = buf[i] == DETACH;
		if (!a->detached && a->len < sizeof(a->waiting))
			a->waiting[a->len++] = buf[i];
	}
}

static void send_input(struct attached *a)
{
	ssize_t n = send(a->socket, a->waiting, a->len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0) {
		a->len -= n;
		memmove(a->waiting, a->waiting + n, a->len);
	}
}

static void show_output(struct attached *a)
{
	uint8_t buf[4 * READ_BYTES];
	ssize_t n = recv(a->socket, buf, sizeof(buf), MSG_DONTWAIT);

	a->out_ended = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
	for (ssize_t done = 0, m; done < n; done += m) {
		struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

		m = RETRY_EINTR(write(STDOUT_FILENO, buf + done, n - done));
		if (m < 0 && errno == EAGAIN) { /* another process made it non-blocking */
			m = 0;
			poll(&out, 1, -1);
		} else if (m < 0) {
			a->out_ended = true;
			return;
		}
	}
}

static volatile sig_atomic_t resized;

static void on_resize(int number)
{
	resized = true;
}

/* Ignores errors: an older machine does not have the command. */
static void report_size(const struct attached *a)
{
	struct errors unused = { 0 };
	struct client *client;
	struct winsize size;

	resized = false;
	if (!a->port || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
		return;
	if (!client_open(a->control, &unused, &client)) {
		json_decref(client_call(client, "x-sluice-console-size",
			json_pack("{s:s,s:i,s:i}", "port", a->port, "columns", size.ws_col, "rows",
				size.ws_row),
			&unused));
		client_close(client);
	}
	errors_finish(&unused);
}

/* SIGWINCH interrupts ppoll() at each change; between two of these it waits, so that none is lost. */
static void watch_size(void)
{
	const struct sigaction action = { .sa_handler = on_resize };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGWINCH, &action, NULL);
	resized = true;
}

static void say_hint(struct attached *a)
{
	fputs("\r\n[Ctrl-] detaches]\r\n", stderr);
	a->hint = false;
}

static void relay(struct attached *a)
{
	bool sent_end = false;

	while (!a->out_ended && !(a->detached && !a->len)) {
		bool room = a->tty || a->len + READ_BYTES <= sizeof(a->waiting);
		struct pollfd fds[] = {
			{ .fd = a->in_ended || !room ? -1 : STDIN_FILENO, .events = POLLIN },
			{ .fd = a->socket, .events = POLLIN | (a->len ? POLLOUT : 0) },
		};

		const struct timespec quiet = { .tv_nsec = QUIET_MS * 1000000L };
		int ready;

		if (resized)
			report_size(a);
		ready = ppoll(fds, ARRAY_SIZE(fds), a->hint ? &quiet : NULL, &a->while_polling);
		/* Typing brings the hint too, if the guest is never quiet. */
		if (a->hint && (!ready || (ready > 0 && fds[0].revents)))
			say_hint(a);
		if (ready < 0)
			continue;
		if (fds[0].revents)
			read_input(a);
		if (fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			show_output(a);
		if (a->len)
			send_input(a);
		if (a->detached && a->tty)
			return; /* even if the guest reads no input */
		if (a->in_ended && !a->len && !sent_end)
			sent_end = !shutdown(a->socket, SHUT_WR);
	}
}

/* The ports of a running machine, "a, b", malloc'ed; NULL: none. */
static char *list_ports(const char *control)
{
	char *pattern = console_port_path(control, "*"), *list = NULL;
	size_t skip = pattern ? strlen(pattern) - strlen("*.port") : 0;
	glob_t found = { 0 };

	if (pattern && !glob(pattern, 0, NULL, &found))
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *name = found.gl_pathv[i] + skip;

			list_add(&list, "%.*s", (int)(strlen(name) - strlen(".port")), name);
		}
	globfree(&found);
	free(pattern);
	return list;
}

static int connect_to(const char *control, const char *port, struct errors *errors)
{
	char *path = console_port_path(control, port), *ports;
	int fd;

	if (!path)
		return -ENOMEM;
	if (port && access(path, F_OK) < 0 && access(control, F_OK) == 0) {
		ports = list_ports(control);
		error_add(errors, port, NULL, "no such port; the machine has: %s",
			ports ? ports : "none");
		free(ports);
		fd = -ENOENT;
	} else {
		fd = client_connect(path, errors);
	}
	free(path);
	return fd;
}

static int attach(struct client *client, const struct client_line *line, struct errors *errors)
{
	struct attached a = {
		.tty = isatty(STDIN_FILENO),
		.control = line->path,
		.port = line->word,
	};

	a.socket = connect_to(line->path, line->word, errors);
	if (a.socket < 0)
		return EXIT_WRONG;
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, NULL, &a.while_polling);
	sigdelset(&a.while_polling, SIGWINCH);
	a.hint = a.tty && !terminal_raw(STDIN_FILENO);
	if (a.tty && a.port)
		watch_size();
	relay(&a);
	terminal_restore();
	if (a.tty)
		fputs(a.detached ? "\r\n[detached]\r\n" : "\r\n[closed by the machine]\r\n",
			stderr);
	close(a.socket);
	return EXIT_OK;
}

const struct client_command console_command = {
	.words = " [PORT]",
	.about =
		"Attaches to a running machine's console, whatever its back end is, and shows the last of what\n"
		"it said. Ctrl-] detaches; the machine runs on. One at a time is attached: the newest takes\n"
		"over, and the one before is detached. Input that ends is not the end: output goes on until the\n"
		"machine ends. With PORT it is that port of a virtio-console device, which shows nothing\n"
		"from before, and whose guest waits for a slow reader.",
	.word = true,
	.unconnected = true,
	.run = attach,
};
