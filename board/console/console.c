/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console; see console.h. Output goes through a ring: any thread fills it, the loop's thread empties it. Nothing
 * here may block. stdin's and stdout's open files are shared with the shell, so they must not be made non-blocking: a
 * terminal or pipe is opened once more for that. If that is not allowed, no more is written than poll() has promised.
 *
 * Other back ends, and the sockets to attach to, are described in console-internal.h.
 *
 * Input that the UART does not take is held in `in`. Then a pipe or file is not read further. A terminal is, so that
 * Ctrl-A x can leave a guest that hangs; input that does not fit is dropped.
 */
#include "board/console/console-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/host/terminal.h"

_Static_assert(CONSOLE_PIECE == PIPE_BUF, "what poll() promises");
#define LAST_FLUSH_MS 1000
#define ESCAPE	      0x01 /* Ctrl-A */

static const char help[] = "\r\n"
			   "Ctrl-A x  leave: end the machine now\r\n"
			   "Ctrl-A p  press the power button\r\n"
			   "Ctrl-A a  send Ctrl-A to the guest (or Ctrl-A twice)\r\n"
			   "Ctrl-A h  this help\r\n";

static void close_input(struct console *console)
{
	loop_fd_remove(&console->in_watch);
	if (console->in_tty)
		terminal_restore();
	console->in_tty = false;
	if (console->in_fd >= 0)
		close(console->in_fd);
	console->in_fd = -1;
}

size_t console_copy(struct console *console, uint64_t *at, uint8_t *ret_buf, size_t max)
{
	size_t len;

	pthread_mutex_lock(&console->lock);
	if (console->head - *at > CONSOLE_RING)
		*at = console->head - CONSOLE_RING;
	len = console->head - *at < max ? console->head - *at : max;
	for (size_t i = 0; i < len; i++)
		ret_buf[i] = console->ring[(*at + i) % CONSOLE_RING];
	pthread_mutex_unlock(&console->lock);
	return len;
}

uint64_t console_start(struct console *console)
{
	return console->stream ? console->head : 0;
}

/* Unread bytes in the ring that the UART must wait for. Needs the lock. */
static uint64_t retained(const struct console *console)
{
	bool loses = console->gone || console->loses || (console->full && !console->stream);
	uint64_t most = loses ? 0 : console->head - console->at;

	for (size_t i = 0; console->stream && i < CONSOLE_PORTS; i++) {
		const struct console_port *port = &console->ports[i];

		if (port->peer.fd >= 0 && !port->gone && console->head - port->at > most)
			most = console->head - port->at;
	}
	return most;
}

static size_t console_write(struct chardev *chardev, const uint8_t *buf, size_t len)
{
	struct console *console = container_of(chardev, struct console, chardev);
	size_t n = len;
	bool wanted;

	pthread_mutex_lock(&console->lock);
	if (CONSOLE_RING - retained(console) < n)
		n = CONSOLE_RING - retained(console);
	for (size_t i = 0; i < n; i++)
		console->ring[console->head++ % CONSOLE_RING] = buf[i];
	if (console->gone)
		console->at = console->head;
	else if (console->head - console->at > CONSOLE_RING) {
		console->lost_bytes += console->head - console->at - CONSOLE_RING;
		console->at = console->head - CONSOLE_RING;
	}
	console->refused |= n < len;
	wanted = !console->gone || console->attached;
	pthread_mutex_unlock(&console->lock);
	/* Refused bytes need no task: one is posted already, or the descriptor is watched. */
	if (n && wanted)
		loop_post(console->loop, &console->out_task);
	return n;
}

/* How many of `len` bytes can be written now without blocking. */
static size_t promised(struct console *console, size_t len)
{
	struct pollfd out = { .fd = console->out_fd, .events = POLLOUT };

	if (console->out_nonblocking || console->out_socket)
		return len;
	if (poll(&out, 1, 0) < 1)
		return 0;
	if (console->out_tty)
		return 1; /* poll() guarantees no more for a terminal */
	return len < PIPE_BUF ? len : PIPE_BUF;
}

static bool waits(struct console *console, uint64_t *ret_at)
{
	bool some;

	pthread_mutex_lock(&console->lock);
	*ret_at = console->at;
	some = console->at != console->head;
	pthread_mutex_unlock(&console->lock);
	return some;
}

/* Writes a piece of the ring. Returns false when no more can be written now. */
static bool flush_piece(struct console *console)
{
	uint8_t buf[CONSOLE_PIECE];
	uint64_t from;
	size_t len;
	ssize_t n;

	if (!waits(console, &from) || console->again.loop)
		return false;
	len = promised(console, console_copy(console, &from, buf, sizeof(buf)));
	if (!len)
		return false;
	n = console->out_socket ? send(console->out_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL)
	    : console->out_file ? console_file_write(console, buf, len)
				: write(console->out_fd, buf, len);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return errno == EINTR;

	pthread_mutex_lock(&console->lock);
	if (n < 0) {
		console->gone = true;
		console->at = console->head;
	} else if (console->at < from + n) { /* else lost bytes moved it further */
		console->at = from + n;
	}
	pthread_mutex_unlock(&console->lock);
	return !console->gone;
}

/* Calls writable() only when half the ring is free. */
void console_update(struct console *console)
{
	struct chardev_client *client = console->chardev.client;
	bool connected, tell;

	pthread_mutex_lock(&console->lock);
	connected = !console->gone || console->attached || console->in_len;
	tell = console->refused && retained(console) <= CONSOLE_RING / 2;
	if (tell)
		console->refused = false;
	pthread_mutex_unlock(&console->lock);
	if (connected != console->chardev.connected) {
		console->chardev.connected = connected;
		if (client && client->connected)
			client->connected(client);
	}
	if (tell && client)
		client->writable(client);
}

static void flush(struct console *console)
{
	uint64_t at;

	/* A ring's worth at most, so that a fast guest cannot keep the loop here. */
	for (size_t i = 0; i < CONSOLE_RING / CONSOLE_PIECE && flush_piece(console); i++)
		;
	if (!waits(console, &at) || console->again.loop) {
		loop_fd_remove(&console->out_watch);
	} else if (!console->out_watch.loop) {
		console->out_watch.fd = console->out_fd;
		console->out_watch.events = EPOLLOUT;
		/* epoll refuses files, which can always be written to. */
		if (loop_fd_add(console->loop, &console->out_watch) < 0)
			loop_post(console->loop, &console->out_task);
	}
	for (size_t i = 0; i < CONSOLE_PORTS; i++)
		console_port_serve(&console->ports[i]);
	console_update(console);
}

static void out_ready(struct loop_fd *watch, uint32_t events)
{
	flush(container_of(watch, struct console, out_watch));
}

static void out_again(struct loop_timer *timer)
{
	flush(container_of(timer, struct console, again));
}

static void out_posted(struct loop_task *task)
{
	flush(container_of(task, struct console, out_task));
}

/* Passes buffered input to the client. Returns true when none is left. */
static bool offer(struct console *console)
{
	struct chardev_client *client = console->chardev.client;
	size_t n;

	while (console->in_len && client) {
		n = client->receive(client, console->in, console->in_len);
		console->in_len -= n;
		memmove(console->in, console->in + n, console->in_len);
		if (!n)
			break;
	}
	return !console->in_len;
}

bool console_has_room(const struct console *console)
{
	return console->in_len <= CONSOLE_IN_BYTES - CONSOLE_READ;
}

static void in_push(struct console *console, uint8_t byte)
{
	if (console->in_len < CONSOLE_IN_BYTES)
		console->in[console->in_len++] = byte;
}

void console_put_input(struct console *console, const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		in_push(console, buf[i]);
	offer(console);
}

static void escaped(struct console *console, uint8_t byte)
{
	const struct console_callbacks *callbacks = &console->callbacks;

	switch (byte) {
	case 'x':
		if (callbacks->leave)
			callbacks->leave(callbacks->opaque);
		break;
	case 'p':
		if (callbacks->power_button)
			callbacks->power_button(callbacks->opaque);
		break;
	case 'a':
	case ESCAPE:
		in_push(console, ESCAPE);
		break;
	case 'h':
	case '?':
		console_write(&console->chardev, (const uint8_t *)help, sizeof(help) - 1);
		break;
	}
}

/* Reads once. Returns false if there is no input now, or at its end. */
static bool read_input(struct console *console)
{
	uint8_t buf[CONSOLE_READ];
	ssize_t n = read(console->in_fd, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) {
		close_input(console);
		return false;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (console->escape) {
			console->escape = false;
			escaped(console, buf[i]);
		} else if (buf[i] == ESCAPE && console->escapes) {
			console->escape = true;
		} else {
			in_push(console, buf[i]);
		}
	}
	return true;
}

/*
 * Passes buffered input to the client, then reads the descriptor if a whole read fits (a terminal is always read).
 * To pause, it removes the watch: epoll would report a pipe whose writer is gone continuously.
 */
static void serve_input(struct console *console, bool readable)
{
	bool room;

	offer(console);
	room = console_has_room(console);
	if (console->in_fd >= 0 && readable && (room || console->in_tty)) {
		if (read_input(console))
			offer(console);
		room = console_has_room(console);
	}
	if (console->in_fd < 0)
		return;
	if (console->in_file) {
		/* If the client took only a part, it calls resume() later. */
		if (!console->in_len)
			loop_post(console->loop, &console->in_task);
	} else if (!room && !console->in_tty) {
		loop_fd_remove(&console->in_watch);
	} else if (!console->in_watch.loop && loop_fd_add(console->loop, &console->in_watch) < 0) {
		close_input(console);
	}
}

static void in_ready(struct loop_fd *watch, uint32_t events)
{
	serve_input(container_of(watch, struct console, in_watch), true);
}

static void in_posted(struct loop_task *task)
{
	struct console *console = container_of(task, struct console, in_task);

	serve_input(console, console->in_file);
	for (size_t i = 0; i < CONSOLE_PORTS; i++)
		console_port_serve(&console->ports[i]);
	console_update(console);
}

static void console_resume(struct chardev *chardev)
{
	struct console *console = container_of(chardev, struct console, chardev);

	loop_post(console->loop, &console->in_task);
}

static const struct chardev_ops console_ops = {
	.write = console_write,
	.resume = console_resume,
};

static int watch_input(struct console *console)
{
	int err;

	console->in_watch.fd = console->in_fd;
	err = loop_fd_add(console->loop, &console->in_watch);
	if (err == -EPERM) {
		console->in_file = true;
		loop_post(console->loop, &console->in_task);
		err = 0;
	}
	return err;
}

/* Continues without input if stdin is closed, or a terminal in whose background this process runs. */
static int open_stdin(struct console *console)
{
	bool nonblocking;
	int err;

	console->escapes = true;
	console->in_fd = terminal_open_own(STDIN_FILENO, O_RDONLY, &nonblocking);
	if (console->in_fd < 0 || !isatty(console->in_fd))
		return 0;
	err = terminal_raw(console->in_fd);
	console->in_tty = !err;
	if (err)
		close_input(console);
	return err == -EBUSY ? err : 0;
}

static int open_stdout(struct console *console, const struct console_spec *spec)
{
	struct stat st;

	console->out_fd = terminal_open_own(STDOUT_FILENO, O_WRONLY, &console->out_nonblocking);
	console->gone = console->out_fd < 0;
	console->out_tty = isatty(console->out_fd);
	if (fstat(console->out_fd, &st) < 0)
		return 0;
	console->out_socket = S_ISSOCK(st.st_mode);
	return S_ISREG(st.st_mode) ? console_file_init(console, spec) : 0;
}

void console_claim_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDWR); /* gets the lowest free number, `fd` */
}

int console_create(struct loop *loop, const struct console_spec *spec,
	const struct console_callbacks *callbacks, struct console **ret)
{
	struct console *console = malloc(sizeof(*console));
	int err;

	if (!console)
		return -ENOMEM;
	memset(console, 0, offsetof(struct console, ring));
	console->chardev.ops = &console_ops;
	console->callbacks = *callbacks;
	console->loop = loop;
	console->in_task = (struct loop_task){ .run = in_posted, .name = CONSOLE_NAME };
	console->in_watch =
		(struct loop_fd){ .events = EPOLLIN, .ready = in_ready, .name = CONSOLE_NAME };
	console->in_watch.first = !spec->port; /* Ctrl-A comes from the machine's owner */
	console->out_task = (struct loop_task){ .run = out_posted, .name = CONSOLE_NAME };
	console->out_watch = (struct loop_fd){ .ready = out_ready, .name = CONSOLE_NAME };
	console->again = (struct loop_timer){ .fired = out_again, .name = CONSOLE_NAME };
	console->in_fd = console->out_fd = console->pty_fd = console->folder_fd = -1;
	console->stream = spec->port != NULL;
	console_port_init(console);
	pthread_mutex_init(&console->lock, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit: EFBIG instead */
	err = spec->kind == CONSOLE_STDIO ? open_stdin(console)
					  : console_open_backend(console, spec);
	if (!err && spec->kind == CONSOLE_STDIO)
		err = open_stdout(console, spec);
	if (!err && console->in_fd >= 0)
		err = watch_input(console);
	if (err < 0) {
		console_destroy(console);
		return err;
	}
	console->chardev.connected = !console->gone;
	*ret = console;
	return 0;
}

struct chardev *console_chardev(struct console *console)
{
	return &console->chardev;
}

/* Flushes pending output for up to LAST_FLUSH_MS; a lossy back end gets only what it accepts at once. */
static void flush_last(struct console *console)
{
	uint64_t deadline = loop_now_ms() + (console->loses ? 0 : LAST_FLUSH_MS), now, at;

	loop_timer_cancel(&console->again); /* flush_piece() then retries a file */
	while (flush_piece(console))
		;
	if (console->full) {
		console_file_end(console);
		return;
	}
	while (waits(console, &at) && (now = loop_now_ms()) < deadline) {
		struct pollfd out = { .fd = console->out_fd, .events = POLLOUT };

		if (!flush_piece(console) && waits(console, &at))
			poll(&out, 1, deadline - now);
	}
}

void console_destroy(struct console *console)
{
	if (!console)
		return;
	flush_last(console);
	for (size_t i = 0; i < CONSOLE_PORTS; i++)
		console_port_finish(&console->ports[i]);
	loop_task_cancel(console->loop, &console->in_task);
	loop_task_cancel(console->loop, &console->out_task);
	loop_fd_remove(&console->out_watch);
	console_file_finish(console);
	close_input(console);
	if (console->out_fd >= 0)
		close(console->out_fd);
	if (console->pty_fd >= 0)
		close(console->pty_fd);
	pthread_mutex_destroy(&console->lock);
	free(console);
}
