/* SPDX-License-Identifier: Apache-2.0 */
/* A network card's node: the rules between its properties, and what is said where the host refuses what it names. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio-net-node.h"
#include "devices/virtio/virtio-net.h"
#include "tests/unit/helpers/fake-network.h"
#include "tests/unit/helpers/fds.h"
#include "hyp/base/util.h"

static char said[200];

static void note_error(struct device_check *check, const char *property, const char *format, ...)
{
	va_list args;

	int len = snprintf(
		said, sizeof(said), "%s%s", property ? property : "", property ? ": " : "");

	va_start(args, format);
	vsnprintf(said + len, sizeof(said) - (size_t)len, format, args);
	va_end(args);
}

static void the_tap_that_cannot_be_had(void **unused)
{
	static const struct {
		int err;
		const char *says;
	} cases[] = { { 0, "" }, { -EPERM, "this user may not have it" }, { -EBUSY, "another's" },
		{ -EINVAL, "no tap interface" }, { -ENOENT, "modprobe tun" },
		{ -ENODEV, "nothing behind /dev/net/tun" }, { -EACCES, "chmod 666 /dev/net/tun" },
		{ -ENAMETOOLONG, "1 to 15 bytes" },
		{ -EMFILE, "cannot be opened: Too many open files" } };
	struct device_check check = { .error = note_error };
	struct virtio_net_node node = { .tap = "tap0", .queue_pairs = 1 };
	const struct device_env env = { .id = "net0", .transport = &virtio_mmio_transport };
	struct device *none;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		said[0] = '\0';
		network.open_result = cases[i].err;
		virtio_net_class.probe(&node, &check);
		assert_non_null(strstr(said, cases[i].says));
		assert_int_equal(!said[0], !cases[i].err);
		if (cases[i].err)
			assert_int_equal(device_create(&virtio_net_class, &node, &env, &none), cases[i].err);
	}
}

/* Each rule, by what it says and of which property; and nodes that keep them all. */
static void rules_between_properties(void **unused)
{
	static const struct {
		struct virtio_net_node node;
		const char *says;
	} cases[] = {
		{ { .tap = "tap0", .queue_pairs = 1 }, "" },
		{ { .tap = "tap0", .queue_pairs = 8, .vhost = true }, "" },
		{ { .tap_fd = 3, .queue_pairs = 1, .vhost = true }, "" },
		{ { .passt = true,
			  .queue_pairs = 1,
			  .forward_tcp = "22:22",
			  .host_loopback = true,
			  .mac = { 2 } },
			"" },
		{ { .queue_pairs = 1 }, "one of tap" },
		{ { .tap = "tap0", .tap_fd = 3, .queue_pairs = 1 }, "one of tap" },
		{ { .tap = "tap0", .passt = true, .queue_pairs = 1 }, "one of tap" },
		{ { .tap_fd = 3, .passt = true, .queue_pairs = 1 }, "one of tap" },
		{ { .tap_fd = 3, .queue_pairs = 2 }, "queue-pairs: there is one" },
		{ { .passt = true, .queue_pairs = 2 }, "queue-pairs: there is one" },
		{ { .passt = true, .queue_pairs = 1, .vhost = true }, "vhost: carries" },
		{ { .tap = "tap0", .queue_pairs = 1, .forward_tcp = "22:22" },
			"forward-tcp: is passt's" },
		{ { .tap = "tap0", .queue_pairs = 1, .forward_udp = "53" },
			"forward-udp: is passt's" },
		{ { .passt = true, .queue_pairs = 1, .forward_udp = "53,::1/53" }, "" },
		{ { .passt = true, .queue_pairs = 1, .forward_udp = ":53" },
			"forward-udp: is not the host's port" },
		{ { .tap = "tap0", .queue_pairs = 1, .host_loopback = true },
			"host-loopback: is passt's" },
		{ { .passt = true, .queue_pairs = 1, .forward_tcp = "22:" },
			"forward-tcp: is not the host's port" },
		{ { .tap = "tap0", .queue_pairs = 1, .mac = { 3 } },
			"local-mac-address: is a group's" },
	};
	struct device_check check = { .error = note_error };

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		said[0] = '\0';
		virtio_net_class.check(&cases[i].node, &check);
		if (!strstr(said, cases[i].says) || !said[0] != !cases[i].says[0])
			fail_msg("'%s' for node %u, not '%s'", said, i, cases[i].says);
	}
}

static void limits_of_properties(void **unused)
{
	static const struct {
		const char *name;
		uint64_t min, max;
	} limits[] = { { "tap-fd", 3, INT_MAX }, { "queue-pairs", 1, 8 }, { "mtu", 68, 65535 },
		{ "speed", 1, INT_MAX }, { "local-mac-address", 6, 6 } };
	struct virtio_net_node node = { 0 };

	for (unsigned i = 0; i < ARRAY_SIZE(limits); i++) {
		const struct property *property = virtio_net_class.properties;

		while (property->name && strcmp(property->name, limits[i].name))
			property++;
		assert_non_null(property->name);
		assert_int_equal(property->min, limits[i].min);
		assert_int_equal(property->max, limits[i].max);
	}
	virtio_net_class.defaults(&node);
	assert_int_equal(node.queue_pairs, 1);
}

/* A tap of several queues is made in another way, and adopted ones have reasons of their own. */
static void reasons_of_the_other_taps(void **unused)
{
	struct device_check check = { .error = note_error };
	struct virtio_net_node node = { .tap = "tap0", .queue_pairs = 2 };

	network.open_result = -EPERM;
	virtio_net_class.probe(&node, &check);
	assert_non_null(strstr(said, "user $USER multi_queue, as root"));
	assert_true(network.several);
	node.queue_pairs = 1;
	virtio_net_class.probe(&node, &check);
	assert_non_null(strstr(said, "user $USER, as root"));
	assert_false(network.several);
	node = (struct virtio_net_node){ .tap_fd = 5, .queue_pairs = 1 };
	network.open_result = -EBADF;
	virtio_net_class.probe(&node, &check);
	assert_string_equal(said, "tap-fd: is no descriptor that Sluice was started with");
	assert_int_equal(network.adopted, 5);
	network.open_result = -EINVAL;
	virtio_net_class.probe(&node, &check);
	assert_non_null(strstr(said, "IFF_NO_PI"));
	network.open_result = -ENOTTY;
	virtio_net_class.probe(&node, &check);
	assert_string_equal(said, "tap-fd: is no tap interface's");
}

static int vhost_errno; /* what the host's kernel refuses /dev/vhost-net with; 0: it is there */

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	assert_string_equal(path, "/dev/vhost-net");
	assert_int_equal(flags, O_RDWR | O_CLOEXEC);
	errno = vhost_errno;
	return vhost_errno ? -1 : dup(0);
}

/* It is opened to see whether it can be, and closed again: `teardown` counts. */
static void vhost_is_looked_for(void **unused)
{
	static const struct {
		int err;
		const char *says;
	} cases[] = { { 0, "" }, { EACCES, "usermod -aG kvm" }, { ENOENT, "modprobe vhost_net" },
		{ ENODEV, "modprobe vhost_net" }, { EMFILE, "Too many open files" } };
	struct device_check check = { .error = note_error };
	struct virtio_net_node node = { .tap = "tap0", .queue_pairs = 1, .vhost = true };

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		said[0] = '\0';
		vhost_errno = cases[i].err;
		virtio_net_class.probe(&node, &check);
		assert_int_equal(!said[0], !cases[i].err);
		assert_non_null(strstr(said, cases[i].says));
	}
}

static unsigned fds_before;

static int setup(void **unused)
{
	fds_before = open_fds();
	network_init();
	said[0] = '\0';
	return 0;
}

static int teardown(void **unused)
{
	return open_fds() - fds_before;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_tap_that_cannot_be_had),
		TEST(rules_between_properties),
		TEST(limits_of_properties),
		TEST(reasons_of_the_other_taps),
		TEST(vhost_is_looked_for),
	};

	return cmocka_run_group_tests_name("virtio-net-node", tests, NULL, NULL);
}
