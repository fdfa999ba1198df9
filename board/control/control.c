/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's clients and events; see control.h. Nothing here waits for a client. A client's unread output is
 * buffered up to OUTPUT_MAX; beyond that it is disconnected. Beyond OUTPUT_HOLD its requests are not read, so that only
 * events can add more. While the loop runs, only a client's own handler closes it. Other code calls client_fail(), and
 * the hang-up calls the handler.
 */
#include "board/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "board/config/config.h"
#include "board/control/commands.h"
#include "board/control/query-map.h"
#include "board/control/query-memory.h"
#include "board/control/values.h"
#include "board/host/libraries.h"
#include "board/host/socket.h"
#include "board/machine/machine.h"
#include "board/text/errors.h"
#include "devices/device.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/vcpu/stray.h"

#define INPUT_BYTES 4096
#define OUTPUT_HOLD (64 * KiB)
#define OUTPUT_MAX  (4 * MiB) /* more than the longest answer and the longest id */
#define EVENT_MS    1000      /* between events of one device, as QEMU's */
#define LOOP_NAME   "control socket"

struct client {
	struct loop_fd watch; /* fd -1: this entry is free */
	struct control *control;
	struct qmp qmp;
	uint64_t turn_ends_ms; /* after this, no request is begun in this turn */
	bool failed;	       /* its handler is to close it */
	bool deaf;	       /* hung up: its earlier requests are executed without answers */
	bool input_ended;      /* close it when all output is sent */
	char *in;	       /* INPUT_BYTES, while it is connected */
	size_t in_start, in_end;
	char *out;
	size_t out_start, out_end, out_capacity;
};

/* A device whose changes are reported: at once, then at most once in EVENT_MS, and always its last state. */
struct device_watch {
	struct control *control;
	struct device *device;
	struct loop_timer timer; /* armed: reported less than EVENT_MS ago */
	bool changed;		 /* since it was reported */
	unsigned reported;	 /* ports that are open, bits */
};

struct control {
	struct server_socket server;
	struct client clients[CONTROL_CLIENTS];
	struct qmp_scope scope;
	struct map_query map;
	struct device_watch devices[CONFIG_DEVICES];
	size_t device_count;
};

/* Clients. */

static void client_fail(struct client *client)
{
	client->failed = true;
	shutdown(client->watch.fd, SHUT_RDWR);
}

static void client_close(struct client *client)
{
	loop_fd_remove(&client->watch);
	close(client->watch.fd);
	client->watch.fd = -1;
	qmp_finish(&client->qmp);
	free(client->in);
	free(client->out);
	client->in = client->out = NULL;
}

static size_t client_waiting(const struct client *client)
{
	return client->out_end - client->out_start;
}

/* Sends what the socket accepts now. */
static void client_flush(struct client *client)
{
	while (client_waiting(client) && !client->deaf) {
		ssize_t n = RETRY_EINTR(send(client->watch.fd, client->out + client->out_start,
			client_waiting(client), MSG_NOSIGNAL | MSG_DONTWAIT));

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			client->deaf = true;
		else if (n < 0 && errno != EAGAIN)
			client_fail(client);
		if (n <= 0)
			break;
		client->out_start += (size_t)n;
	}
	if (client->deaf)
		client->out_start = client->out_end;
	if (!client_waiting(client)) {
		free(client->out);
		client->out = NULL;
		client->out_start = client->out_end = client->out_capacity = 0;
	}
	client->qmp.hold = client_waiting(client) > OUTPUT_HOLD ||
			   loop_now_ms() > client->turn_ends_ms;
}

static bool client_has_input(const struct client *client)
{
	return client->in_start < client->in_end;
}

/* Input left over from this turn: EPOLLOUT calls the handler again as soon as output can be sent. */
static void client_watch(struct client *client)
{
	bool input = client_has_input(client) && !client->qmp.later;
	bool full = client_waiting(client) > OUTPUT_HOLD;
	bool read = !client->input_ended && !full && !client_has_input(client) &&
		    !client->qmp.later;
	bool write = client_waiting(client) || input;

	loop_fd_set_events(&client->watch, (read ? EPOLLIN : 0) | (write ? EPOLLOUT : 0));
}

static void client_send(struct client *client, const char *line, size_t len)
{
	if (client->failed || client->deaf)
		return;
	if (client_waiting(client) + len > OUTPUT_MAX) {
		client_fail(client);
		return;
	}
	if (client->out_end + len > client->out_capacity) {
		size_t waiting = client_waiting(client), capacity = waiting + len;
		char *grown;

		if (client->out_start)
			memmove(client->out, client->out + client->out_start, waiting);
		client->out_start = 0;
		client->out_end = waiting;
		if (capacity > client->out_capacity) {
			capacity += capacity / 2;
			grown = realloc(client->out, capacity);
			if (!grown) {
				client_fail(client);
				return;
			}
			client->out = grown;
			client->out_capacity = capacity;
		}
	}
	memcpy(client->out + client->out_end, line, len);
	client->out_end += len;
	client_flush(client);
}

static void client_reply(struct qmp *qmp, const char *line, size_t len)
{
	client_send(container_of(qmp, struct client, qmp), line, len);
}

/* Executes the requests that were read, until `hold` or `later` is set. */
static void client_serve(struct client *client)
{
	ssize_t n = qmp_feed(
		&client->qmp, client->in + client->in_start, client->in_end - client->in_start);

	if (n < 0)
		client->failed = true;
	else
		client->in_start += (size_t)n;
}

static void client_read(struct client *client)
{
	ssize_t n = recv(client->watch.fd, client->in, INPUT_BYTES, MSG_DONTWAIT);

	if (n > 0) {
		client->in_start = 0;
		client->in_end = (size_t)n;
	} else if (n == 0) {
		client->input_ended = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		client->failed = true;
	}
}

static void client_ready(struct loop_fd *watch, uint32_t events)
{
	struct client *client = container_of(watch, struct client, watch);

	if (events & (EPOLLHUP | EPOLLERR))
		client->deaf = true;
	client->turn_ends_ms = loop_now_ms() + LOOP_TURN_MS;
	client_flush(client);
	if ((events & EPOLLIN) && !client_has_input(client) && !client->failed)
		client_read(client);
	if (client_has_input(client) && !client->failed)
		client_serve(client);
	if (client->failed ||
		(client->input_ended && !client_waiting(client) && !client->qmp.later))
		client_close(client);
	else
		client_watch(client);
}

static void refuse(int fd)
{
	size_t len;
	char *line = qmp_error_line("All 16 connections of this control socket are in use", &len);

	_Static_assert(CONTROL_CLIENTS == 16, "the message says so");
	/* Best effort. */
	if (line)
		(void)!send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(line);
	close(fd);
}

static void accept_client(struct server_socket *server, int fd)
{
	struct control *control = container_of(server, struct control, server);
	struct client *client = control->clients;

	while (client < control->clients + CONTROL_CLIENTS && client->watch.fd >= 0)
		client++;
	if (!library_load(LIBRARY_JANSSON)) {
		close(fd);
		return;
	}
	if (client == control->clients + CONTROL_CLIENTS) {
		refuse(fd);
		return;
	}
	*client = (struct client){
		.watch = { .fd = fd,
			.events = EPOLLIN,
			.first = true,
			.ready = client_ready,
			.name = LOOP_NAME },
		.control = control,
		.qmp = { .commands = control_commands,
			.scope = &control->scope,
			.send = client_reply },
		.in = malloc(INPUT_BYTES),
	};
	if (!client->in || loop_fd_add(control->scope.loop, &client->watch)) {
		client_close(client);
		return;
	}
	qmp_greet(&client->qmp);
	client_watch(client);
}

/* Events. Without a client that gets them none is built, so that jansson is not loaded for them. */

static bool is_heard(const struct control *control)
{
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (control->clients[i].watch.fd >= 0 && control->clients[i].qmp.negotiated)
			return true;
	return false;
}

void control_event(struct control *control, const char *name, json_t *data)
{
	size_t len;
	char *line = qmp_event_line(name, data, &len);

	for (struct client *c = control->clients; line && c < control->clients + CONTROL_CLIENTS;
		c++) {
		if (c->watch.fd < 0 || !c->qmp.negotiated)
			continue;
		client_send(c, line, len);
		client_watch(c);
	}
	free(line);
}

void control_notify(struct control *control, enum machine_notice notice, const char *reason)
{
	static const char *const names[] = {
		[MACHINE_POWERDOWN] = "POWERDOWN",
		[MACHINE_STOP] = "STOP",
		[MACHINE_RESUME] = "RESUME",
		[MACHINE_RESET] = "RESET",
		[MACHINE_SHUTDOWN] = "SHUTDOWN",
		[MACHINE_WATCHDOG] = "WATCHDOG",
	};
	json_t *data = NULL;

	if (!is_heard(control))
		return;
	if (notice == MACHINE_RESET || notice == MACHINE_SHUTDOWN)
		data = json_pack(
			"{s:b,s:s}", "guest", !strncmp(reason, "guest-", 6), "reason", reason);
	else if (notice == MACHINE_WATCHDOG)
		data = json_pack("{s:s}", "action", reason);
	control_event(control, names[notice], data);
}

static void report_value(struct device_watch *watch)
{
	struct device *device = watch->device;
	const struct device_value *value = device->class->event.value;

	control_event(watch->control, device->class->event.name,
		json_pack("{s:s,s:I,s:s+}", "id", device->id, value->name,
			(json_int_t)value->get(device, value->index), "qom-path", PERIPHERAL_PATH,
			device->id));
}

/* The memory left to the guest, as query-balloon reports it. */
static void report_left(struct device_watch *watch)
{
	struct device *device = watch->device;
	const struct device_value *value = device->class->event.value;

	control_event(watch->control, device->class->event.name,
		json_pack("{s:I}", "actual",
			(json_int_t)qmp_balloon_left(
				watch->control->scope.machine, value->get(device, value->index))));
}

static void report_ports(struct device_watch *watch)
{
	const struct device_ports *ports = watch->device->class->ports;
	unsigned open = ports->open(watch->device), changed = open ^ watch->reported;

	watch->reported = open;
	for (unsigned i = 0; is_heard(watch->control) && changed >> i; i++)
		if (changed >> i & 1)
			control_event(watch->control, watch->device->class->event.name,
				json_pack("{s:s,s:b}", "id", ports->name(watch->device, i), "open",
					open >> i & 1));
}

static void report_device(struct device_watch *watch)
{
	watch->changed = false;
	loop_timer_arm(watch->control->scope.loop, &watch->timer, EVENT_MS);
	switch (watch->device->class->event.kind) {
	case EVENT_VALUE:
		if (is_heard(watch->control))
			report_value(watch);
		break;
	case EVENT_LEFT:
		if (is_heard(watch->control))
			report_left(watch);
		break;
	case EVENT_PORTS:
		report_ports(watch);
		break;
	case EVENT_NONE:
		break;
	}
}

static void device_changes(struct device *device, void *opaque)
{
	struct device_watch *watch = opaque;

	if (watch->timer.loop)
		watch->changed = true;
	else
		report_device(watch);
}

static void device_due(struct loop_timer *timer)
{
	struct device_watch *watch = container_of(timer, struct device_watch, timer);

	if (watch->changed)
		report_device(watch);
}

static void watch_device(struct control *control, struct device *device)
{
	struct device_watch *watch = &control->devices[control->device_count];

	if (device->class->event.kind == EVENT_NONE)
		return;
	*watch = (struct device_watch){
		.control = control,
		.device = device,
		.timer = { .fired = device_due, .name = LOOP_NAME },
	};
	control->device_count++;
	device_watch(device, device_changes, watch);
}

static void strayed(void *opaque, const struct stray *latest, uint64_t count)
{
	struct control *control = opaque;
	enum stray_policy policy = machine_strays(control->scope.machine)->policy;

	if (!is_heard(control))
		return;
	control_event(control, "X_SLUICE_STRAY_ACCESS",
		json_pack("{s:i,s:I,s:s,s:s,s:s*,s:s*,s:s,s:I}", "vcpu", (int)latest->vcpu,
			"address", (json_int_t)latest->gpa, "access",
			stray_kind_names[latest->kind], "place", stray_where_names[latest->where],
			"window", latest->window, "device", latest->device, "policy",
			stray_policy_names[policy], "count", (json_int_t)count));
}

/* Answers each client that waits for the map. */
static void map_ended(struct map_query *query)
{
	struct control *control = container_of(query, struct control, map);

	for (struct client *c = control->clients; c < control->clients + CONTROL_CLIENTS; c++) {
		if (c->watch.fd < 0 || !c->qmp.later)
			continue;
		map_query_answer(query, &c->qmp);
		client_watch(c);
	}
}

void control_set_machine(struct control *control, struct machine *machine)
{
	for (size_t i = 0; i < control->device_count; i++) {
		loop_timer_cancel(&control->devices[i].timer);
		device_watch(control->devices[i].device, NULL, NULL);
	}
	control->device_count = 0;
	map_query_cancel(&control->map);
	if (control->scope.machine)
		strays_watch(machine_strays(control->scope.machine), NULL, NULL);
	control->scope.machine = machine;
	if (machine)
		strays_watch(machine_strays(machine), strayed, control);
	for (size_t i = 0; machine && i < machine_device_count(machine); i++)
		watch_device(control, machine_device(machine, i));
}

int control_create(const char *path, struct loop *loop, struct errors *errors, struct control **ret)
{
	struct control *control = calloc(1, sizeof(*control));
	size_t said = errors_count(errors);
	int err;

	if (!control)
		return -ENOMEM;
	control->scope.loop = loop;
	control->map = (struct map_query){ .loop = loop, .ended = map_ended };
	control->scope.map = &control->map;
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		control->clients[i].watch.fd = -1;
	control->server = (struct server_socket){ .accepted = accept_client,
		.watch = { .fd = -1, .first = true, .name = LOOP_NAME } };
	err = server_socket_open(&control->server, loop, path, errors);
	if (err) {
		if (errors_count(errors) == said)
			error_add(errors, path, NULL, "cannot be made the control socket: %s",
				strerror(-err));
		control_destroy(control);
		return err;
	}
	*ret = control;
	return 0;
}

const char *control_place(const struct control *control)
{
	return control->server.path;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	control_set_machine(control, NULL);
	server_socket_close(&control->server);
	for (struct client *c = control->clients; c < control->clients + CONTROL_CLIENTS; c++) {
		if (c->watch.fd < 0)
			continue;
		client_flush(c);
		client_close(c);
	}
	free(control);
}
