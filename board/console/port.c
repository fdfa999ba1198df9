/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console's ports: Unix sockets to attach to, with any back end. A port has one peer at a time: a new peer replaces
 * the old one. A peer's input goes to the guest without escapes. If the guest does not read it, the peer has to wait.
 *
 * A peer of the machine's console first gets what is in the ring. A peer that falls behind loses output. A peer that is
 * replaced gets a message with the new peer's process id. None of this is so for a named port: its peer gets all output
 * from the moment it attaches, and the guest waits for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "board/console/console-internal.h"
#include "board/text/errors.h"

char *console_port_path(const char *control, const char *port)
{
	size_t len = strlen(control);
	char *path;

	if (len > 5 && !strcmp(control + len - 5, ".sock"))
		len -= 5;
	return asprintf(&path, "%.*s%s%s%s", (int)len, control, port ? "+" : "", port ? port : "",
		       port ? ".port" : ".console") < 0
		       ? NULL
		       : path;
}

static void set_attached(struct console *console, int change)
{
	pthread_mutex_lock(&console->lock);
	console->attached += change;
	pthread_mutex_unlock(&console->lock);
}

static void leave(struct console_port *port)
{
	if (port->peer.fd < 0)
		return;
	loop_fd_remove(&port->peer);
	close(port->peer.fd);
	port->peer.fd = -1;
	set_attached(port->console, -1);
}

/* Sends what the peer accepts now, a ring's worth at most. Returns whether more may be left to send. */
static bool send_output(struct console_port *port)
{
	uint8_t buf[CONSOLE_PIECE];

	for (size_t i = 0; i < CONSOLE_RING / CONSOLE_PIECE && !port->gone; i++) {
		size_t len = console_copy(port->console, &port->at, buf, sizeof(buf));
		ssize_t n = len ? send(port->peer.fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

		if (!len)
			return false;
		if (n > 0)
			port->at += n;
		else if (errno == EAGAIN)
			return true;
		else if (errno != EINTR)
			port->gone = true;
	}
	return !port->gone;
}

static void read_input(struct console_port *port)
{
	uint8_t buf[CONSOLE_READ];
	ssize_t n = recv(port->peer.fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		console_put_input(port->console, buf, n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		port->input_ended = true;
}

/* A disconnected peer is removed only after all of its input was read for the guest. */
static void serve(struct console_port *port, uint32_t events)
{
	uint32_t wanted = send_output(port) ? EPOLLOUT : 0;
	bool room = console_has_room(port->console);

	port->gone |= events & (EPOLLHUP | EPOLLERR);
	if (!port->input_ended && room && (port->gone || events & EPOLLIN)) {
		read_input(port);
		room = console_has_room(port->console);
	}
	if (port->gone && port->input_ended) {
		leave(port);
		return;
	}
	if (!port->input_ended && room)
		wanted |= EPOLLIN;
	/* epoll always reports hang-ups, so the peer is not watched until there is room. */
	if (port->gone && !room) {
		loop_fd_remove(&port->peer);
		return;
	}
	if (!port->peer.loop && loop_fd_add(port->console->loop, &port->peer))
		leave(port);
	else
		loop_fd_set_events(&port->peer, wanted);
}

static void peer_ready(struct loop_fd *watch, uint32_t events)
{
	struct console_port *port = container_of(watch, struct console_port, peer);

	serve(port, events);
	console_update(port->console);
}

void console_port_serve(struct console_port *port)
{
	if (port->peer.fd >= 0)
		serve(port, 0);
}

static void say_goodbye(struct console_port *port, int to)
{
	struct ucred by = { .pid = -1 };
	socklen_t len = sizeof(by);
	char text[80];

	getsockopt(to, SOL_SOCKET, SO_PEERCRED, &by, &len);
	snprintf(text, sizeof(text), "\r\n[taken over by process %d]\r\n", (int)by.pid);
	(void)!send(port->peer.fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void attach(struct server_socket *server, int fd)
{
	struct console_port *port = container_of(server, struct console_port, server);

	if (port->peer.fd >= 0) {
		if (!port->console->stream)
			say_goodbye(port, fd);
		leave(port);
		console_update(port->console);
	}
	port->peer = (struct loop_fd){ .fd = fd, .ready = peer_ready, .name = CONSOLE_NAME };
	port->gone = port->input_ended = false;
	port->at = console_start(port->console);
	set_attached(port->console, 1);
	serve(port, 0);
	console_update(port->console);
}

void console_port_init(struct console *console)
{
	for (size_t i = 0; i < CONSOLE_PORTS; i++)
		console->ports[i] = (struct console_port){
			.console = console,
			.server = { .accepted = attach,
				.watch = { .fd = -1, .name = CONSOLE_NAME } },
			.peer.fd = -1,
			.folder_fd = -1,
		};
}

int console_listen(struct console *console, const struct host_path *path, struct errors *errors)
{
	struct console_port *port = console->ports;
	struct errors unused = { 0 }; /* their texts are about control sockets */
	char *place = NULL;
	int err;

	while (port->server.watch.fd >= 0)
		CHECK(++port < console->ports + CONSOLE_PORTS);
	err = host_path_place(path, &port->folder_fd, &place);
	if (!err)
		err = server_socket_open(&port->server, console->loop, place, &unused);
	errors_finish(&unused);
	free(place);
	if (err)
		error_add(errors, path->name, NULL, "cannot be made a socket of the console: %s",
			strerror(-err));
	return err;
}

int console_open(struct loop *loop, const struct console_spec *spec, const char *node,
	const struct console_callbacks *callbacks, const char *control, struct errors *errors,
	struct console **ret)
{
	char *path = console_port_path(control, spec->port);
	int err = path ? console_create(loop, spec, callbacks, ret) : -ENOMEM;

	if (err && spec->port)
		error_add(errors, node, "ports", "%s: %s%s%s", spec->port,
			spec->path.name ? spec->path.name : "", spec->path.name ? ": " : "",
			strerror(-err));
	else if (err)
		error_add(errors, node, spec->path.name, "%s", strerror(-err));
	else
		err = console_listen(*ret, &(struct host_path){ .name = path }, errors);
	if (!err && spec->kind == CONSOLE_SOCKET)
		err = console_listen(*ret, &spec->path, errors);
	free(path);
	return err;
}

void console_port_finish(struct console_port *port)
{
	console_port_serve(port); /* the last of the output */
	leave(port);
	server_socket_close(&port->server);
	if (port->folder_fd >= 0)
		close(port->folder_fd);
}
