/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console's back ends: how they are spelled, and how they are opened. Sluice holds a pty's slave end open too:
 * otherwise epoll would report a hang-up continuously while no other program has it open.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>

#include "board/console/console-internal.h"
#include "board/text/size.h"
#include "hyp/base/log.h"

#define SIZE_OPTION ",size="

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

/* Reads the size at the end of "PATH,size=SIZE", if there is one. False: it is wrong, or below CONSOLE_PIECE. */
static bool read_size(const char *path, size_t *path_len, uint64_t *ret_bytes)
{
	const char *comma = strrchr(path, ',');

	if (!comma || strncmp(comma, SIZE_OPTION, strlen(SIZE_OPTION)) != 0)
		return true;
	*path_len = (size_t)(comma - path);
	return *path_len && !size_parse(comma + strlen(SIZE_OPTION), ret_bytes) &&
	       *ret_bytes >= CONSOLE_PIECE;
}

bool console_spec_read(const char *text, struct console_spec *ret, char **ret_path)
{
	size_t len = strcspn(text, ":");
	const char *path = text[len] ? text + len + 1 : NULL;
	size_t path_len = path ? strlen(path) : 0;
	uint64_t size_bytes = 0;
	char *name = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i].name) != len || strncmp(kinds[i].name, text, len))
			continue;
		if (kinds[i].path ? !path || !*path : path != NULL)
			return false;
		if (i == CONSOLE_FILE && !read_size(path, &path_len, &size_bytes))
			return false;
		if (path && !(name = strndup(path, path_len)))
			return false;
		*ret = (struct console_spec){ .kind = i, .size_bytes = size_bytes };
		*ret_path = name;
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

static int open_file(struct console *console, const struct console_spec *spec)
{
	/* O_NONBLOCK: opening a FIFO without a reader fails with ENXIO instead of blocking. */
	int fd = host_path_open(&spec->path,
		O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return fd;
	console->out_fd = fd;
	console->out_nonblocking = true;
	return console_file_init(console, spec);
}

int console_open_backend(struct console *console, const struct console_spec *spec)
{
	switch (spec->kind) {
	case CONSOLE_PTY:
		return open_pty(console, spec->port);
	case CONSOLE_FILE:
		return open_file(console, spec);
	default: /* null and socket: only clients of ports read */
		console->gone = true;
		return 0;
	}
}
