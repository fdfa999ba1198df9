/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console (virtio 1.2, 5.3) with several ports, each a pair of queues and a chardev. Output that a chardev
 * refuses stays in the guest's ring, the first chain partly sent, until the chardev calls writable(). Input waits in
 * the chardev until the guest has opened the port and offers buffers.
 *
 * The first port may be the guest's terminal (hvc). Linux waits for it with interrupts off, so output that its chardev
 * refuses is dropped.
 *
 * Everything runs on the event loop's thread, except a driver's reset.
 */
#include "devices/virtio/virtio-console.h"

#include <linux/virtio_console.h>
#include <string.h>

#include "devices/backend/chardev.h"
#include "devices/state.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"

/* 5.3.2. A port has a queue to the guest, and behind it one from the guest. */
enum { CONTROL_TO_GUEST = 2, CONTROL_FROM_GUEST = 3 };
#define QUEUES(ports) (2 * (ports) + 2)
_Static_assert(QUEUES(DEVICE_PORTS_MAX) <= VIRTIO_QUEUES_MAX, "queues for all ports");

#define PIECE_BYTES 4096
#define TURN_BYTES  (64 * KiB) /* that a port sends in one turn of the loop */

/* The messages to the driver of a port that may be pending, in this order (5.3.6.2). */
enum { MESSAGE_ADD, MESSAGE_TERMINAL, MESSAGE_SIZE, MESSAGE_NAME, MESSAGE_OPEN, MESSAGES };
#define BIT(kind) (1u << (kind))

struct port_state {
	uint32_t pending; /* messages, bits */
	uint32_t sent;	  /* bytes sent of the first chain in the ring */
	bool ready;	  /* the driver has sent PORT_READY */
	bool open;	  /* the guest has opened it (PORT_OPEN) */
	uint8_t hole[2];
};

struct virtio_console_state {
	struct virtio_console_config config;
	struct port_state ports[DEVICE_PORTS_MAX];
};

struct port {
	struct virtio_console *console;
	struct chardev_client client;
	struct chardev *chardev;
	const char *name;
	struct port_state *state; /* in console->state */
};

struct virtio_console {
	struct virtio_device virtio;
	struct virtio_class class; /* virtio_class with the node's number of queues */
	struct virtio_console_state state;
	bool has_terminal;
	unsigned port_count;
	struct port ports[DEVICE_PORTS_MAX];
	unsigned reported_open; /* as last reported to the watcher, bits */
};

static struct virtio_console *from_device(struct device *device)
{
	return container_of(device, struct virtio_console, virtio.base);
}

static bool is_multiport(const struct virtio_console *console)
{
	return console->virtio.state.driver_features & VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT);
}

static unsigned index_of(const struct port *port)
{
	return (unsigned)(port - port->console->ports);
}

static unsigned queue_to_guest(const struct port *port)
{
	return index_of(port) ? QUEUES(index_of(port)) : 0;
}

static bool is_terminal(const struct port *port)
{
	return !is_multiport(port->console) || (port->console->has_terminal && !index_of(port));
}

/* Whether the driver learns the terminal's size: only the first port has one. */
static bool has_size(const struct port *port)
{
	return port->console->has_terminal && !index_of(port) &&
	       port->console->virtio.state.driver_features & VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE);
}

/* No PORT_OPEN comes for a terminal, nor for the only port of a driver without MULTIPORT. */
static bool is_open(const struct port *port)
{
	if (!is_multiport(port->console))
		return !index_of(port);
	return port->state->ready && (port->state->open || is_terminal(port));
}

unsigned virtio_console_open_ports(struct device *device)
{
	struct virtio_console *console = from_device(device);
	unsigned open = 0;

	pthread_mutex_lock(&device->lock);
	for (unsigned i = 0; i < console->port_count; i++)
		open |= (unsigned)console->state.ports[i].open << i;
	pthread_mutex_unlock(&device->lock);
	return open;
}

/* Notifies the watcher, without the lock. */
static void report(struct virtio_console *console)
{
	unsigned open = virtio_console_open_ports(&console->virtio.base);

	if (open == console->reported_open)
		return;
	console->reported_open = open;
	device_changed(&console->virtio.base);
}

/* ---- Control messages (5.3.6.2) ---- */

/* Returns how many bytes were written. */
static uint32_t write_message(
	const struct port *port, unsigned kind, const struct virtq_chain *chain)
{
	static const uint16_t events[MESSAGES] = {
		[MESSAGE_ADD] = VIRTIO_CONSOLE_PORT_ADD,
		[MESSAGE_TERMINAL] = VIRTIO_CONSOLE_CONSOLE_PORT,
		[MESSAGE_SIZE] = VIRTIO_CONSOLE_RESIZE,
		[MESSAGE_NAME] = VIRTIO_CONSOLE_PORT_NAME,
		[MESSAGE_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
	};
	const struct virtio_console_control control = {
		.id = index_of(port),
		.event = events[kind],
		.value = kind == MESSAGE_OPEN ? port->chardev->connected : 1,
	};
	uint8_t message[sizeof(control) + PORT_NAME_MAX + 1] = { 0 };
	size_t len = sizeof(control);

	memcpy(message, &control, sizeof(control));
	if (kind == MESSAGE_SIZE) {
		/* 5.3.6.2: columns, then rows. Linux had them the other way round before 6.15 and its fixes. */
		memcpy(message + len, &port->console->state.config.cols, sizeof(uint16_t));
		memcpy(message + len + sizeof(uint16_t), &port->console->state.config.rows,
			sizeof(uint16_t));
		len += 2 * sizeof(uint16_t);
	} else if (kind == MESSAGE_NAME) {
		memcpy(message + len, port->name, strlen(port->name));
		len += strlen(port->name) + 1;
	}
	return virtq_chain_write(chain, port->console->virtio.env->mem, message, len) ? 0 : len;
}

/* Sends as many pending messages as the driver has buffers for. Each carries the state at the time it is written. */
static void send_messages(struct virtio_console *console)
{
	struct virtio_device *virtio = &console->virtio;
	struct virtq_chain chain;

	for (struct port *port = console->ports; port < console->ports + console->port_count;
		port++)
		for (unsigned kind = 0; kind < MESSAGES; kind++) {
			if (!(port->state->pending & BIT(kind)))
				continue;
			if (!virtio_pop(virtio, CONTROL_TO_GUEST, &chain))
				goto out;
			virtio_push(virtio, CONTROL_TO_GUEST, chain.head,
				write_message(port, kind, &chain));
			port->state->pending &= ~BIT(kind);
		}
out:
	virtio_interrupt(virtio, CONTROL_TO_GUEST);
}

static void take_control(
	struct virtio_console *console, const struct virtio_console_control *control)
{
	struct port *port = control->id < console->port_count ? &console->ports[control->id] : NULL;

	if (control->event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned i = 0; i < console->port_count && control->value; i++)
			console->state.ports[i].pending = BIT(MESSAGE_ADD);
	} else if (port && control->event == VIRTIO_CONSOLE_PORT_READY) {
		port->state->ready = control->value;
		port->state->pending = port->state->ready ? BIT(MESSAGE_NAME) : 0;
		if (port->state->ready && is_terminal(port))
			port->state->pending |= BIT(MESSAGE_TERMINAL);
		if (port->state->ready && has_size(port) && console->state.config.cols)
			port->state->pending |= BIT(MESSAGE_SIZE);
		if (port->state->ready && port->chardev->connected)
			port->state->pending |= BIT(MESSAGE_OPEN);
	} else if (port && control->event == VIRTIO_CONSOLE_PORT_OPEN) {
		port->state->open = control->value;
	} else {
		return;
	}
	if (port && is_open(port))
		port->chardev->ops->resume(port->chardev);
}

static void serve_control(struct virtio_console *console)
{
	struct virtio_device *virtio = &console->virtio;
	struct virtio_console_control control;
	struct virtq_chain chain;

	while (virtio_pop(virtio, CONTROL_FROM_GUEST, &chain)) {
		if (is_multiport(console) &&
			!virtq_chain_read(&chain, virtio->env->mem, &control, sizeof(control)))
			take_control(console, &control);
		virtio_push(virtio, CONTROL_FROM_GUEST, chain.head, 0);
	}
	virtio_interrupt(virtio, CONTROL_FROM_GUEST);
	send_messages(console);
}

static void connected(struct chardev_client *client)
{
	struct port *port = container_of(client, struct port, client);
	struct virtio_device *virtio = &port->console->virtio;

	pthread_mutex_lock(&virtio->base.lock);
	if (port->state->ready) {
		port->state->pending |= BIT(MESSAGE_OPEN);
		virtio_begin_turn(virtio);
		send_messages(port->console);
	}
	pthread_mutex_unlock(&virtio->base.lock);
}

/* ---- Data ---- */

static size_t receive(struct chardev_client *client, const uint8_t *buf, size_t len)
{
	struct port *port = container_of(client, struct port, client);
	struct virtio_device *virtio = &port->console->virtio;
	unsigned queue = queue_to_guest(port);
	struct virtq_chain chain;
	size_t taken = 0;

	pthread_mutex_lock(&virtio->base.lock);
	virtio_begin_turn(virtio);
	while (taken < len && is_open(port) && virtio_pop(virtio, queue, &chain)) {
		uint32_t part = len - taken < chain.writable_bytes ? (uint32_t)(len - taken)
								   : chain.writable_bytes;

		if (virtq_chain_write(&chain, virtio->env->mem, buf + taken, part))
			part = 0;
		virtio_push(virtio, queue, chain.head, part);
		taken += part;
	}
	virtio_interrupt(virtio, queue);
	pthread_mutex_unlock(&virtio->base.lock);
	return taken;
}

/* False: put the chain back. The turn is over (*room is 0), or the chardev is full. */
static bool send_chain(struct port *port, const struct virtq_chain *chain, size_t *room)
{
	struct chardev *chardev = port->chardev;
	uint8_t buf[PIECE_BYTES];

	while (port->state->sent < chain->readable_bytes) {
		size_t len = chain->readable_bytes - port->state->sent, n;

		len = len < sizeof(buf) ? len : sizeof(buf);
		len = len < *room ? len : *room;
		if (!len)
			return false;
		if (virtq_chain_read_at(
			    chain, port->console->virtio.env->mem, port->state->sent, buf, len))
			break; /* not in memory: the rest cannot be sent */
		n = chardev->ops->write(chardev, buf, len);
		if (n < len && is_terminal(port))
			n = len;
		port->state->sent += (uint32_t)n;
		*room -= n;
		if (n < len)
			return false;
	}
	port->state->sent = 0;
	return true;
}

static void transmit(struct port *port)
{
	struct virtio_device *virtio = &port->console->virtio;
	unsigned queue = queue_to_guest(port) + 1;
	size_t room = TURN_BYTES;
	struct virtq_chain chain;

	while (virtio_pop(virtio, queue, &chain)) {
		if (!send_chain(port, &chain, &room)) {
			virtio_unpop(virtio, queue, 1);
			if (!room)
				virtio_kick(virtio, queue);
			break;
		}
		virtio_push(virtio, queue, chain.head, 0);
	}
	virtio_interrupt(virtio, queue);
}

static void writable(struct chardev_client *client)
{
	struct port *port = container_of(client, struct port, client);
	struct virtio_device *virtio = &port->console->virtio;

	pthread_mutex_lock(&virtio->base.lock);
	virtio_begin_turn(virtio);
	transmit(port);
	pthread_mutex_unlock(&virtio->base.lock);
}

static void serve(struct virtio_device *virtio, unsigned queue)
{
	struct virtio_console *console = container_of(virtio, struct virtio_console, virtio);
	struct port *port = &console->ports[queue < 2 ? 0 : queue / 2 - 1];

	pthread_mutex_lock(&virtio->base.lock);
	if (queue == CONTROL_TO_GUEST)
		send_messages(console);
	else if (queue == CONTROL_FROM_GUEST)
		serve_control(console);
	else if (queue & 1)
		transmit(port);
	else if (is_open(port))
		port->chardev->ops->resume(port->chardev);
	pthread_mutex_unlock(&virtio->base.lock);
	report(console);
}

/* On a vCPU's thread. The kick has serve() notify the watcher on the loop. */
static void forget_driver(struct virtio_device *virtio)
{
	struct virtio_console *console = container_of(virtio, struct virtio_console, virtio);

	memset(console->state.ports, 0, sizeof(console->state.ports));
	virtio_kick(virtio, CONTROL_FROM_GUEST);
}

const char *virtio_console_port_name(struct device *device, unsigned port)
{
	return from_device(device)->ports[port].name;
}

bool virtio_console_set_size(
	struct device *device, const char *name, uint16_t columns, uint16_t rows)
{
	struct virtio_console *console = from_device(device);
	struct virtio_console_config *config = &console->state.config;
	struct port *port = console->ports, *end = port + console->port_count;

	while (port < end && strcmp(port->name, name))
		port++;
	if (port == end)
		return false;
	pthread_mutex_lock(&device->lock);
	if (console->has_terminal && port == console->ports &&
		(config->cols != columns || config->rows != rows)) {
		config->cols = columns;
		config->rows = rows;
		virtio_config_changed(&console->virtio);
		if (port->state->ready && has_size(port)) {
			port->state->pending |= BIT(MESSAGE_SIZE);
			virtio_begin_turn(&console->virtio);
			send_messages(console);
		}
	}
	pthread_mutex_unlock(&device->lock);
	return true;
}

/* ---- The class ---- */

struct virtio_console_node {
	struct property_ports ports;
	bool terminal;
};

#define FIELD(member) offsetof(struct virtio_console_node, member)

static const struct property properties[] = {
	{ "ports", PROPERTY_PORTS, FIELD(ports), .required = true },
	{ "terminal", PROPERTY_FLAG, FIELD(terminal) },
	{ 0 },
};

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_CONSOLE,
	.queue_size_max = 32, /* Linux gives each buffer of a receive queue a page */
	.features = VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT),
	.config_bytes = sizeof(struct virtio_console_config),
	.serve = serve,
	.reset = forget_driver,
};

static int virtio_console_init(
	struct device *device, const void *config, const struct device_env *env)
{
	const struct virtio_console_node *node = config;
	struct virtio_console *console = from_device(device);

	console->has_terminal = node->terminal;
	console->port_count = node->ports.count;
	console->state.config.max_nr_ports = node->ports.count;
	console->class = virtio_class;
	console->class.queue_count = QUEUES(node->ports.count);
	for (unsigned i = 0; i < console->port_count; i++) {
		console->ports[i] = (struct port){
			.console = console,
			.client = { .receive = receive,
				.writable = writable,
				.connected = connected },
			.chardev = env->ports[i],
			.name = node->ports.names[i],
			.state = &console->state.ports[i],
		};
		env->ports[i]->client = &console->ports[i].client;
	}
	return virtio_init(&console->virtio, &console->class, env,
		node->terminal ? VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE) : 0, &console->state.config);
}

static void virtio_console_reset(struct device *device)
{
	virtio_system_reset(&from_device(device)->virtio);
	report(from_device(device));
}

static void virtio_console_finish(struct device *device)
{
	struct virtio_console *console = from_device(device);

	for (unsigned i = 0; i < console->port_count; i++)
		console->ports[i].chardev->client = NULL;
	virtio_finish(&console->virtio);
}

static const struct device_ports ports = {
	.open = virtio_console_open_ports,
	.name = virtio_console_port_name,
	.set_size = virtio_console_set_size,
};

/* ---- Its state ---- */

/* After a restore the ports have other back ends: the driver is notified which of them are open. */
static void put_state(struct device *device)
{
	struct virtio_console *console = from_device(device);

	for (unsigned i = 0; i < console->port_count; i++)
		if (console->state.ports[i].ready)
			console->state.ports[i].pending |= BIT(MESSAGE_OPEN);
}

#define STATE(member) STATE_ONE(struct virtio_console, state.config.member)
#define PORTS(member) STATE_EACH(struct virtio_console, state.ports, member)

static const struct state_field state_fields[] = {
	{ "columns", STATE(cols) },
	{ "rows", STATE(rows) },
	{ "ports", STATE(max_nr_ports), .fixed = true },
	{ STATE_HOLE(struct virtio_console, state.config.emerg_wr) },
	{ "port-pending", PORTS(pending), .max = BIT(MESSAGES) - 1 },
	{ "port-sent", PORTS(sent) },
	{ "port-ready", PORTS(ready) },
	{ "port-open", PORTS(open) },
	{ STATE_HOLES(struct virtio_console, state.ports, hole) },
	{ 0 },
};

static const struct state_part console_state = {
	STATE_PART(struct virtio_console, state),
	.fields = state_fields,
	.put = put_state,
};

const struct device_class virtio_console_class = {
	.compatible = "sluice,virtio-console",
	.bytes = sizeof(struct virtio_console),
	.kind = DEVICE_VIRTIO,
	.properties = properties,
	.config_bytes = sizeof(struct virtio_console_node),
	.init = virtio_console_init,
	.reset = virtio_console_reset,
	.quiesce = virtio_quiesce,
	.pause = virtio_pause,
	.event = { EVENT_PORTS, "VSERPORT_CHANGE" },
	.ports = &ports,
	.state = { &console_state, &virtio_state },
	.finish = virtio_console_finish,
};
