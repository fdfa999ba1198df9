/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-console: how ports are announced, opened and closed; bytes both ways; slow ends; what is no message. */
#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>

#include "devices/backend/chardev.h"
#include "devices/virtio/virtio-console.h"
#include "devices/virtio/virtio-mmio.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/queues-driver.h"
#include "tests/unit/helpers/unit.h"

enum { TO_GUEST0, FROM_GUEST0, CONTROL_TO, CONTROL_FROM, TO_GUEST1, FROM_GUEST1, QUEUES };
#define MULTIPORT (1ull << VIRTIO_CONSOLE_F_MULTIPORT)

/* ---- The host's ends ---- */

static struct end {
	struct chardev chardev;
	size_t room;
	unsigned resumed;
	char got[200000];
	size_t len;
} ends[2];

static size_t end_write(struct chardev *chardev, const uint8_t *buf, size_t len)
{
	struct end *end = container_of(chardev, struct end, chardev);
	size_t n = len < end->room ? len : end->room;

	assert_true(end->len + n <= sizeof(end->got));
	memcpy(end->got + end->len, buf, n);
	end->len += n;
	end->room -= n;
	return n;
}

static void end_resume(struct chardev *chardev)
{
	container_of(chardev, struct end, chardev)->resumed++;
}

static const struct chardev_ops end_ops = { end_write, end_resume };
static struct chardev *const chardevs[] = { &ends[0].chardev, &ends[1].chardev };
static const struct device_env env = {
	.id = "console0",
	.transport = &virtio_mmio_transport,
	.loop = (struct loop *)&device,
	.mem = &memory,
	.irq = &irq,
	.registers = registers,
	.ports = chardevs,
};

static void assert_got(unsigned port, const char *text)
{
	assert_int_equal(ends[port].len, strlen(text));
	assert_memory_equal(ends[port].got, text, strlen(text));
	ends[port].len = 0;
}

static size_t say(unsigned port, const char *text)
{
	struct chardev_client *client = chardevs[port]->client;

	fake_loop_advance(1000); /* in a turn of its own, as all that an end says */
	return client->receive(client, (const uint8_t *)text, strlen(text));
}

static void connect_end(unsigned port, bool connected)
{
	fake_loop_advance(1000);
	chardevs[port]->connected = connected;
	chardevs[port]->client->connected(chardevs[port]->client);
}

static void has_room(unsigned port, size_t room)
{
	fake_loop_advance(1000);
	ends[port].room = room;
	chardevs[port]->client->writable(chardevs[port]->client);
}

/* ---- The driver ---- */

static char watched[200]; /* what the watcher saw */
static unsigned watcher_calls;

static void changed(struct device *of, void *opaque)
{
	static unsigned before;
	unsigned open = virtio_console_open_ports(of);

	watcher_calls++;
	for (unsigned i = 0; i < 2; i++)
		if ((open ^ before) >> i & 1)
			strcat(strcat(watched, virtio_console_port_name(of, i)),
				open >> i & 1 ? " opened;" : " closed;");
	before = open;
}

/* The node as the board reads it: all that is known of it here is its first property. */
static union {
	struct property_ports ports;
	uint8_t bytes[256];
} node;

static void create(bool terminal)
{
	const struct property *flag = virtio_console_class.properties;

	node.ports = (struct property_ports){ 2, { "agent", "log" } };
	while (strcmp(flag->name, "terminal"))
		flag++;
	node.bytes[flag->offset] = terminal;
	assert_int_equal(device_create(&virtio_console_class, &node, &env, &device), 0);
	device_watch(device, changed, NULL);
	watched[0] = '\0';
}

static int setup(void **unused)
{
	memset(ends, 0, sizeof(ends));
	for (unsigned i = 0; i < 2; i++)
		ends[i] = (struct end){ .chardev.ops = &end_ops, .room = sizeof(ends[i].got) };
	create(false);
	start(QUEUES, MULTIPORT);
	return 0;
}

static int teardown(void **unused)
{
	virtio_console_class.reset(device);
	device_destroy(device);
	assert_null(chardevs[0]->client);
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	return 0;
}

static void control(uint32_t id, uint16_t event, uint16_t value)
{
	const struct virtio_console_control message = { id, event, value };

	offer_bytes(CONTROL_FROM, 0, &message, sizeof(message));
	notify(CONTROL_FROM);
	assert_int_equal(used(CONTROL_FROM)->idx, offered[CONTROL_FROM]);
}

/* The next message that came is this. */
static unsigned heard;
static void assert_heard(uint32_t id, uint16_t event, uint16_t value, const char *name)
{
	const struct virtio_console_control message = { id, event, value };
	const struct vring_used_elem *elem = &used(CONTROL_TO)->ring[heard % QUEUE_SIZE];
	size_t more = name ? strlen(name) + 1 : 0;

	assert_true(heard++ < used(CONTROL_TO)->idx);
	assert_int_equal(elem->len, sizeof(message) + more);
	assert_memory_equal(buffer(CONTROL_TO, elem->id), &message, sizeof(message));
	if (name)
		assert_memory_equal(buffer(CONTROL_TO, elem->id) + sizeof(message), name, more);
}

static void give_buffers(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		offer_room(CONTROL_TO, offered[CONTROL_TO] % QUEUE_SIZE, BUFFER);
	notify(CONTROL_TO);
}

/* Both ports are known and said to be ready; nothing is left to hear. */
static void introduce(void)
{
	heard = 0;
	give_buffers(8);
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	heard = used(CONTROL_TO)->idx;
	give_buffers(heard);
}

/* ---- Tests ---- */

static void ports_are_made_known(void **unused)
{
	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_ID, 4, false, 0), 3);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG + 4, 4, false, 0), 2);
	heard = 0;
	ends[1].chardev.connected = true;
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_int_equal(used(CONTROL_TO)->idx, 0); /* it waits for buffers */
	give_buffers(1);
	assert_heard(0, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	give_buffers(7);
	assert_heard(1, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_heard(1, VIRTIO_CONSOLE_PORT_NAME, 1, "log");
	assert_heard(1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_heard(0, VIRTIO_CONSOLE_PORT_NAME, 1, "agent");
	connect_end(0, true);
	assert_heard(0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	connect_end(0, false);
	assert_heard(0, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
	assert_int_equal(used(CONTROL_TO)->idx, heard);
	assert_string_equal(watched, "");
}

/* Without buffers nothing piles up: the last state is sent. */
static void messages_do_not_pile_up(void **unused)
{
	heard = 0;
	give_buffers(3);
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	heard = 3;
	for (unsigned i = 0; i < 1001; i++)
		connect_end(0, !(i & 1));
	assert_int_equal(used(CONTROL_TO)->idx, 3);
	give_buffers(5);
	assert_heard(0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	assert_int_equal(used(CONTROL_TO)->idx, 4);
}

static void opened_and_closed_in_the_guest(void **unused)
{
	introduce();
	assert_int_equal(say(1, "early"), 0);
	offer_room(TO_GUEST1, 0, 4);
	offer_room(TO_GUEST1, 1, BUFFER);
	assert_int_equal(say(1, "early"), 0); /* it may have buffers; it has not opened it */
	ends[1].resumed = 0;
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_string_equal(watched, "log opened;");
	assert_true(ends[1].resumed);
	assert_int_equal(say(1, "early"), 5);
	assert_int_equal(used(TO_GUEST1)->idx, 2);
	assert_int_equal(used(TO_GUEST1)->ring[0].len, 4);
	assert_int_equal(used(TO_GUEST1)->ring[1].len, 1);
	assert_memory_equal(buffer(TO_GUEST1, 0), "earl", 4);
	assert_memory_equal(buffer(TO_GUEST1, 1), "y", 1);
	assert_int_equal(say(1, "more"), 0); /* no buffers */
	ends[1].resumed = 0;
	offer_room(TO_GUEST1, 0, BUFFER);
	notify(TO_GUEST1);
	assert_true(ends[1].resumed);
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_string_equal(watched, "log opened;log closed;");
	assert_int_equal(say(1, "more"), 0);
}

static void each_port_has_its_bytes(void **unused)
{
	introduce();
	offer_bytes(FROM_GUEST0, 0, "one", 3);
	offer_bytes(FROM_GUEST0, 1, "two", 3);
	notify(FROM_GUEST0);
	offer_bytes(FROM_GUEST1, 0, "three", 5);
	notify(FROM_GUEST1);
	assert_got(0, "onetwo");
	assert_got(1, "three");
	assert_int_equal(used(FROM_GUEST0)->idx, 2);
	assert_int_equal(used(FROM_GUEST1)->idx, 1);
}

/* Each queue has its own, once what it was asked for is done. */
static void interrupts_of_each_queue(void **unused)
{
	give_buffers(1);
	assert_int_equal(interrupts, 0);
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 0);
	assert_int_equal(interrupts, 1); /* of the message alone: there was nothing to send */
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_int_equal(interrupts, 3);
	offer_bytes(FROM_GUEST1, 0, "x", 1);
	notify(FROM_GUEST1);
	assert_int_equal(interrupts, 4);
	introduce();
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	offer_room(TO_GUEST1, 0, BUFFER);
	interrupts = 0;
	assert_int_equal(say(1, "in"), 2);
	assert_int_equal(interrupts, 1);
}

/* Nothing is said of a port that the driver has not, or has no more. */
static void ports_that_the_driver_has_not(void **unused)
{
	heard = 0;
	give_buffers(8);
	connect_end(0, true);
	assert_int_equal(used(CONTROL_TO)->idx, 0);
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	heard = 4; /* both, and of the first its name and that it is open */
	assert_int_equal(used(CONTROL_TO)->idx, heard);
	control(0, VIRTIO_CONSOLE_PORT_READY, 0);
	connect_end(0, false);
	assert_int_equal(used(CONTROL_TO)->idx, heard);
	/* Nor is a port asked for input that the guest has not opened. */
	ends[1].resumed = 0;
	offer_room(TO_GUEST1, 0, BUFFER);
	notify(TO_GUEST1);
	assert_int_equal(ends[1].resumed, 0);
}

/* A message pending for one driver is not sent to the next. */
static void messages_are_one_driver_s(void **unused)
{
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1); /* it has no buffers */
	start(QUEUES, MULTIPORT);
	give_buffers(8);
	assert_int_equal(used(CONTROL_TO)->idx, 0);
	start(QUEUES, MULTIPORT);
	introduce();
	start(QUEUES, MULTIPORT);
	give_buffers(8);
	connect_end(0, true);
	assert_int_equal(used(CONTROL_TO)->idx, 0);
}

/* The watcher is notified of changes, and of nothing else. */
static void notified_of_changes_only(void **unused)
{
	introduce();
	watcher_calls = 0;
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(watcher_calls, 1);
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	notify(TO_GUEST0);
	assert_int_equal(watcher_calls, 1);
	assert_int_equal(virtio_console_open_ports(device), 2);
}

/* Each queue takes so many chains; nothing is left of a device whose queues could not be made. */
static void its_queues(void **unused)
{
	unsigned watches = fake_loop_watches();
	struct device *none = NULL;

	for (unsigned q = 0; q < QUEUES; q++) {
		mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, q);
		assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 32);
	}
	for (unsigned nth = 1; nth <= QUEUES; nth++) {
		fake_loop_refuse(nth);
		assert_int_equal(device_create(&virtio_console_class, &node, &env, &none), -ENOSPC);
		assert_int_equal(fake_loop_watches(), watches);
	}
	fake_loop_refuse(0);
	assert_null(none);
}

/* What is not taken stays in the ring, a chain in part; each byte goes once. */
static void slow_host(void **unused)
{
	introduce();
	ends[0].room = 4;
	offer_bytes(FROM_GUEST0, 0, "abc", 3);
	offer_bytes(FROM_GUEST0, 1, "defgh", 5);
	notify(FROM_GUEST0);
	assert_int_equal(used(FROM_GUEST0)->idx, 1);
	notify(FROM_GUEST0);
	assert_int_equal(fake_loop_serve(), 0); /* and it is not tried again and again */
	has_room(0, 1);
	assert_int_equal(used(FROM_GUEST0)->idx, 1);
	has_room(0, 100);
	assert_int_equal(used(FROM_GUEST0)->idx, 2);
	assert_got(0, "abcdefgh");
}

/* A driver that comes after one that left a chain in part: its bytes are whole. */
static void reset_forgets(void **unused)
{
	introduce();
	control(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	ends[0].room = 1;
	offer_bytes(FROM_GUEST0, 0, "ab", 2);
	notify(FROM_GUEST0);
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	fake_loop_serve();
	assert_string_equal(watched, "agent opened;agent closed;");
	ends[0].room = 100;
	ends[0].len = 0;
	start(QUEUES, MULTIPORT);
	introduce();
	assert_int_equal(say(0, "x"), 0);
	offer_bytes(FROM_GUEST0, 0, "cd", 2);
	notify(FROM_GUEST0);
	assert_got(0, "cd");
	control(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	virtio_console_class.reset(device);
	assert_string_equal(watched, "agent opened;agent closed;agent opened;agent closed;");
	connect_end(0, true); /* nobody there to notify */
}

/* A driver that never ends gets its bytes through a turn at a time. */
static void a_turn_is_bounded(void **unused)
{
	struct vring_desc *desc = (struct vring_desc *)at(FROM_GUEST0, 0);

	introduce();
	for (unsigned i = 0; i < 5; i++)
		desc[i] = (struct vring_desc){ RAM_GPA, 8192 * 4, i < 4 ? VRING_DESC_F_NEXT : 0,
			(uint16_t)(i + 1) };
	offer_at(FROM_GUEST0, 5, RAM_GPA, 1, 0);
	((uint16_t *)at(FROM_GUEST0, AVAIL_AT))[2] = 0;
	notify(FROM_GUEST0);
	assert_int_equal(ends[0].len, 64 * KiB);
	assert_int_equal(used(FROM_GUEST0)->idx, 0);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(ends[0].len, 128 * KiB);
	while (fake_loop_serve())
		;
	assert_int_equal(ends[0].len, 5 * 8192 * 4);
	assert_int_equal(used(FROM_GUEST0)->idx, 1);
}

static void a_terminal_never_waits(void **unused)
{
	device_destroy(device);
	create(true);
	start(QUEUES, MULTIPORT);
	heard = 0;
	give_buffers(8);
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	heard = 2;
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_heard(0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
	assert_heard(0, VIRTIO_CONSOLE_PORT_NAME, 1, "agent");
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_heard(1, VIRTIO_CONSOLE_PORT_NAME, 1, "log");
	heard = used(CONTROL_TO)->idx;
	control(0, VIRTIO_CONSOLE_PORT_READY, 0);
	assert_int_equal(used(CONTROL_TO)->idx, heard);
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	offer_room(TO_GUEST0, 0, BUFFER);
	assert_int_equal(say(0, "typed"), 5); /* it is never said to be open */
	ends[0].room = 2;
	offer_bytes(FROM_GUEST0, 0, "lost", 4);
	notify(FROM_GUEST0);
	assert_int_equal(used(FROM_GUEST0)->idx, 1);
	assert_got(0, "lo");
}

/* A driver that knows of one port: that is there from the beginning, and there are no messages. */
static void one_port_only(void **unused)
{
	start(2, 0);
	offer_room(TO_GUEST0, 0, BUFFER);
	assert_int_equal(say(0, "in"), 2);
	assert_int_equal(say(1, "in"), 0);
	offer_bytes(FROM_GUEST0, 0, "out", 3);
	notify(FROM_GUEST0);
	assert_got(0, "out");
	connect_end(0, true);
	start(4, 0);
	give_buffers(8);
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	control(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(used(CONTROL_TO)->idx, 0);
	assert_string_equal(watched, "");
	start(QUEUES, 0);
	offer_room(TO_GUEST1, 0, BUFFER);
	assert_int_equal(say(1, "in"), 0);
}

static void no_messages(void **unused)
{
	const uint64_t nowhere[] = { 0, RAM_GPA + sizeof(ram) - 2, UINT64_MAX - 4 };

	introduce();
	for (unsigned id = 2; id; id <<= 1)
		for (uint16_t event = 0; event < 9; event++)
			control(id, event, event ? 1 : 0);
	control(0, 77, 1);
	offer_bytes(CONTROL_FROM, 0, "short", 5);
	notify(CONTROL_FROM);
	offer_room(CONTROL_FROM, 0, 8);
	notify(CONTROL_FROM);
	for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
		offer_at(CONTROL_FROM, 0, nowhere[i], 8, 0);
		notify(CONTROL_FROM);
		offer_at(FROM_GUEST0, 0, nowhere[i], 8, 0);
		notify(FROM_GUEST0);
	}
	assert_int_equal(used(CONTROL_FROM)->idx, offered[CONTROL_FROM]);
	assert_int_equal(used(FROM_GUEST0)->idx, 3);
	assert_int_equal(used(CONTROL_TO)->idx, heard);
	assert_string_equal(watched, "");
	assert_got(0, "");
	/* Into what is not there, and too small; what was to be said is not lost for that. */
	control(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++)
		offer_at(TO_GUEST0, i, nowhere[i], 8, VRING_DESC_F_WRITE);
	offer_at(TO_GUEST0, 3, gpa_of(buffer(TO_GUEST0, 3)), 8, 0);
	offer_room(TO_GUEST0, 4, 8);
	assert_int_equal(say(0, "here"), 4);
	assert_int_equal(used(TO_GUEST0)->idx, 5);
	assert_int_equal(last_used(TO_GUEST0), 4);
	assert_memory_equal(buffer(TO_GUEST0, 4), "here", 4);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 15);
}

/* Of columns and rows: in the configuration, and of a driver of several ports also by message, once it has the port. */
static uint32_t size_in_config(void)
{
	return (uint32_t)mmio(VIRTIO_MMIO_CONFIG, 4, false, 0);
}

static void assert_size_heard(uint16_t columns, uint16_t rows)
{
	const uint16_t size[] = { columns, rows };
	const struct vring_used_elem *elem = &used(CONTROL_TO)->ring[heard % QUEUE_SIZE];

	assert_int_equal(elem->len, sizeof(struct virtio_console_control) + sizeof(size));
	assert_memory_equal(buffer(CONTROL_TO, elem->id) + sizeof(struct virtio_console_control),
		size, sizeof(size));
	((struct vring_used_elem *)elem)->len = sizeof(struct virtio_console_control);
	assert_heard(0, VIRTIO_CONSOLE_RESIZE, 1, NULL);
}

static void a_terminal_has_a_size(void **unused)
{
	device_destroy(device);
	create(true);
	start(QUEUES, MULTIPORT | 1ull << VIRTIO_CONSOLE_F_SIZE);
	heard = 0;
	give_buffers(8);
	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	heard = 2;
	assert_true(virtio_console_set_size(device, "agent", 80, 24));
	assert_int_equal(used(CONTROL_TO)->idx, heard);
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_heard(0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
	assert_size_heard(80, 24);
	assert_heard(0, VIRTIO_CONSOLE_PORT_NAME, 1, "agent");
	assert_int_equal(size_in_config(), 24 << 16 | 80);
	interrupts = 0;
	fake_loop_advance(1000);
	assert_true(virtio_console_set_size(device, "agent", 132, 50));
	assert_size_heard(132, 50);
	assert_int_equal(size_in_config(), 50 << 16 | 132);
	assert_true(interrupts);
	/* The same size is no change; nor is the size of what is no terminal. */
	interrupts = 0;
	assert_true(virtio_console_set_size(device, "agent", 132, 50));
	assert_true(virtio_console_set_size(device, "log", 1, 2));
	assert_false(virtio_console_set_size(device, "nobody", 1, 2));
	assert_int_equal(interrupts, 0);
	assert_int_equal(used(CONTROL_TO)->idx, heard);
	assert_int_equal(size_in_config(), 50 << 16 | 132);
	/* A driver that did not take it learns it from the configuration alone. */
	virtio_console_class.reset(device);
	start(QUEUES, MULTIPORT);
	introduce();
	fake_loop_advance(1000);
	assert_true(virtio_console_set_size(device, "agent", 100, 30));
	assert_int_equal(used(CONTROL_TO)->idx, heard);
	assert_int_equal(size_in_config(), 30 << 16 | 100);
}

/* Without a terminal there is none. */
static void ports_have_no_size(void **unused)
{
	introduce();
	assert_true(virtio_console_set_size(device, "agent", 80, 24));
	assert_int_equal(size_in_config(), 0);
	assert_int_equal(used(CONTROL_TO)->idx, heard);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(ports_are_made_known),
		T(messages_do_not_pile_up),
		T(opened_and_closed_in_the_guest),
		T(each_port_has_its_bytes),
		T(interrupts_of_each_queue),
		T(ports_that_the_driver_has_not),
		T(messages_are_one_driver_s),
		T(notified_of_changes_only),
		T(its_queues),
		T(slow_host),
		T(reset_forgets),
		T(a_turn_is_bounded),
		T(a_terminal_never_waits),
		T(a_terminal_has_a_size),
		T(ports_have_no_size),
		T(one_port_only),
		T(no_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
