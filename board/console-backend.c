/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a console's back end may be, how it is spelled, and how it is opened. A terminal's own end is
 * held open too: else its other end would report a hang-up without end while nobody has it open.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "board/console-internal.h"
#include "hyp/log.h"

static const struct {
	const char *name;
	bool path; /* ":PATH" follows */
} kinds[] = {
	[CONSOLE_STDIO] = { "stdio" },
	[CONSOLE_NULL] = { "null" },
	[CONSOLE_PTY] = { "pty" },
	[CONSOLE_FILE] = { "file", .path = true },
	[CONSOLE_SOCKET] = { "socket", .path = true },
};

bool console_spec_read(const char *text, const char *folder, struct console_spec *ret)
{
	size_t len = strcspn(text, ":");
	const char *path = text[len] ? text + len + 1 : NULL;
	char *full = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i].name) != len || strncmp(kinds[i].name, text, len))
			continue;
		if (kinds[i].path ? !path || !*path : path != NULL)
			return false;
		if (path && asprintf(&full, "%s%s", *path == '/' ? "" : folder, path) < 0)
			return false;
		*ret = (struct console_spec){ .kind = i, .path = full };
		return true;
	}
	return false;
}

static int open_pty(struct console *console, const char *port)
{
	struct termios termios;
	char name[64];
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0)
		return -errno;
	console->out_fd = fd;
	if (grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, name, sizeof(name)))
		return -errno;
	console->pty_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (console->pty_fd < 0 || tcgetattr(console->pty_fd, &termios) < 0)
		return -errno;
	cfmakeraw(&termios);
	if (tcsetattr(console->pty_fd, TCSANOW, &termios) < 0)
		return -errno;
	console->in_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	err = console->in_fd < 0 ? -errno : 0;
	console->out_nonblocking = console->loses = true;
	if (!err)
		log_print(LOG_INFO, "%s%s is %s", console->stream ? "port " : "the console",
			console->stream ? port : "", name);
	return err;
}

static int open_file(struct console *console, const char *path)
{
	/* Not waiting for a pipe's reader either: ENXIO where it has none. */
	console->out_fd = open(
		path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
	console->out_nonblocking = true;
	return console->out_fd < 0 ? -errno : 0;
}

int console_open_backend(struct console *console, const struct console_spec *spec)
{
	switch (spec->kind) {
	case CONSOLE_PTY:
		return open_pty(console, spec->port);
	case CONSOLE_FILE:
		return open_file(console, spec->path);
	default: /* null, and what only ports read */
		console->gone = true;
		return 0;
	}
}
