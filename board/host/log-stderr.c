/* SPDX-License-Identifier: Apache-2.0 */
/* The log on standard error; see log-stderr.h. */
#include "board/host/log-stderr.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/host/terminal.h"
#include "board/text/plain.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"

/* One thread at a time uses it: the log has a lock. */
static struct {
	int fd;
	bool nonblocking, tty, socket;
	unsigned dropped; /* lines, since the last that was written */
	bool broken;	  /* a line was cut off in its middle */
} out = { .fd = -1 };

static bool has_room(void)
{
	struct pollfd writable = { .fd = out.fd, .events = POLLOUT };

	return poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT);
}

/* Writes what it can without blocking. Returns how many bytes. */
static size_t put(const char *text, size_t len)
{
	size_t done = 0;
	ssize_t n;

	if (out.socket)
		n = RETRY_EINTR(send(out.fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL));
	else if (out.nonblocking)
		n = RETRY_EINTR(write(out.fd, text, len));
	else if (!out.tty)
		n = has_room() ? RETRY_EINTR(write(out.fd, text, len)) : 0;
	else { /* a terminal that may not be opened again: poll() guarantees one byte */
		for (; done < len && has_room() && RETRY_EINTR(write(out.fd, text + done, 1)) == 1;
			done++)
			;
		return done;
	}
	return n > 0 ? (size_t)n : 0;
}

static void print(enum log_level level, const char *line)
{
	static const char *const prefix[] = {
		[LOG_ERROR] = "",
		[LOG_WARNING] = "warning: ",
		[LOG_INFO] = "",
	};
	char text[1024], plain[700], missing[80] = "";
	size_t len, done;

	if (out.dropped)
		snprintf(missing, sizeof(missing),
			"sluice: %u lines found no room here and were dropped\n", out.dropped);
	/* Guests, helpers and trees have a say in it. */
	snprintf(plain, sizeof(plain), "%s", line);
	len = (size_t)snprintf(text, sizeof(text), "%s%ssluice: %s%s\n", out.broken ? "\n" : "",
		missing, prefix[level], plain_text(plain));
	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	done = put(text, len);
	if (done == len)
		out.dropped = 0;
	else
		out.dropped++;
	if (done)
		out.broken = done < len && text[done - 1] != '\n';
}

void log_to_stderr(void)
{
	struct stat st;

	if (out.fd >= 0)
		close(out.fd);
	out.fd = terminal_open_own(STDERR_FILENO, O_WRONLY | O_APPEND, &out.nonblocking);
	out.tty = isatty(out.fd);
	out.socket = fstat(out.fd, &st) == 0 && S_ISSOCK(st.st_mode);
	out.dropped = 0;
	out.broken = false;
	log_set_sink(print);
}
