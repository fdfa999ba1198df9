/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes a console's control messages and its ports, whose other ends come, go, and are slow to take what is sent. */
#include <string.h>

#include "devices/backend/chardev.h"
#include "devices/virtio/virtio-console.h"
#include "hyp/base/util.h"
#include "tests/fuzz/device.h"

#define PORTS 2

static struct end {
	struct chardev chardev;
	size_t room;
} ends[PORTS];

static volatile uint8_t sum;

/* Reads each byte: all of it is the guest's. */
static size_t end_write(struct chardev *chardev, const uint8_t *buf, size_t len)
{
	struct end *end = container_of(chardev, struct end, chardev);
	size_t taken = len < end->room ? len : end->room;

	CHECK(len);
	for (size_t i = 0; i < len; i++)
		sum += buf[i];
	end->room -= taken;
	return taken;
}

static void end_resume(struct chardev *chardev)
{
}

static const struct chardev_ops end_ops = { end_write, end_resume };
static struct chardev *const chardevs[PORTS] = { &ends[0].chardev, &ends[1].chardev };

static void make_node(void *node, uint8_t how)
{
	struct property_ports *ports = fuzz_property(node, "ports", PROPERTY_PORTS);
	bool *terminal = fuzz_property(node, "terminal", PROPERTY_FLAG);

	for (unsigned i = 0; i < PORTS; i++)
		ends[i] = (struct end){ .chardev.ops = &end_ops, .room = how & 2 ? 100 : SIZE_MAX };
	*ports = (struct property_ports){ PORTS - (how >> 2) % PORTS, { "agent", "log" } };
	*terminal = how & 1;
}

static void host(struct device *device, struct input *input)
{
	static const uint8_t bytes[5000];
	uint8_t what = input_take(input, 1);
	struct end *end = &ends[what % PORTS];
	struct chardev_client *client = end->chardev.client;
	size_t len = input_take(input, 2) % sizeof(bytes);

	if (!client)
		return;
	if (what & 128) {
		end->chardev.connected = what & 64;
		client->connected(client);
	} else if (what & 64) {
		end->room = len;
		client->writable(client);
	} else {
		CHECK(client->receive(client, bytes, len) <= len);
	}
}

static void check(struct device *device, bool at_rest)
{
	CHECK(virtio_console_open_ports(device) < (at_rest ? 1 : 1u << PORTS));
}

const struct fuzz_target fuzz_target = { &virtio_console_class, make_node, host, check, chardevs };
