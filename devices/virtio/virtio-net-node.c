/* SPDX-License-Identifier: Apache-2.0 */
/* A network card's node: its properties, the rules between them, and the host resources that it names. */
#include "devices/virtio/virtio-net-node.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/helper-output.h"
#include "devices/backend/netdev.h"
#include "devices/backend/passt.h"
#include "devices/backend/tap.h"
#include "devices/virtio/vhost.h"
#include "hyp/base/program.h"

#define MTU_MIN 68 /* of IPv4; 5.1.4.1 */
#define MTU_MAX 65535

#define FIELD(member) offsetof(struct virtio_net_node, member)

const struct property virtio_net_properties[] = {
	{ "tap", PROPERTY_STRING, FIELD(tap), .host = true },
	{ "passt", PROPERTY_FLAG, FIELD(passt) },
	{ "forward-tcp", PROPERTY_STRING, FIELD(forward_tcp), .host = true },
	{ "forward-udp", PROPERTY_STRING, FIELD(forward_udp), .host = true },
	{ "host-loopback", PROPERTY_FLAG, FIELD(host_loopback), .host = true },
	{ "tap-fd", PROPERTY_U32, FIELD(tap_fd), .host = true, .min = 3, .max = INT_MAX },
	{ "queue-pairs", PROPERTY_U32, FIELD(queue_pairs), .min = 1, .max = VIRTIO_NET_PAIRS_MAX },
	{ "vhost", PROPERTY_FLAG, FIELD(vhost) },
	{ "local-mac-address", PROPERTY_BYTES, FIELD(mac), .min = 6, .max = 6 },
	{ "mtu", PROPERTY_U32, FIELD(mtu), .min = MTU_MIN, .max = MTU_MAX },
	{ "speed", PROPERTY_U32, FIELD(speed), .min = 1, .max = INT_MAX }, /* 5.1.4 */
	{ 0 },
};

void virtio_net_defaults(void *config)
{
	struct virtio_net_node *node = config;

	node->queue_pairs = 1;
}

static void check_forwards(const struct virtio_net_node *node, const char *property,
	const char *forwards, struct device_check *check)
{
	if (forwards && !node->passt)
		check->error(check, property, "is passt's, and there is no passt");
	if (forwards && !passt_forwards(forwards))
		check->error(check, property,
			"is not the host's port, a colon and the guest's, as \"2222:22\" or \"127.0.0.1/2222:22,8080:80,::1/2223:22\"");
}

void virtio_net_check(const void *config, struct device_check *check)
{
	const struct virtio_net_node *node = config;

	if (!!node->tap + !!node->tap_fd + node->passt != 1)
		check->error(check, NULL,
			"a network card has one of tap = \"INTERFACE\", tap-fd and passt");
	if (!node->tap && node->queue_pairs > 1)
		check->error(check, "queue-pairs", "there is one, but with tap");
	if (node->passt && node->vhost)
		check->error(check, "vhost", "carries a tap's frames, not passt's");
	if (!node->passt && node->host_loopback)
		check->error(check, "host-loopback", "is passt's, and there is no passt");
	check_forwards(node, "forward-tcp", node->forward_tcp, check);
	check_forwards(node, "forward-udp", node->forward_udp, check);
	if (node->mac[0] & 1)
		check->error(check, "local-mac-address", "is a group's: its first byte is odd");
}

unsigned virtio_net_vhost_workers(const void *config)
{
	const struct virtio_net_node *node = config;

	return node->vhost ? node->queue_pairs : 0;
}

static int open_tap(const struct virtio_net_node *node, int *ret_fd)
{
	return node->tap ? tap_open(node->tap, node->queue_pairs > 1, ret_fd)
			 : tap_adopt((int)node->tap_fd, ret_fd);
}

static int open_passt(
	const struct virtio_net_node *node, const struct device_env *env, struct netdev **ret)
{
	struct passt_config passt = {
		.forward_tcp = node->forward_tcp,
		.forward_udp = node->forward_udp,
		.host_loopback = node->host_loopback,
		.mtu = node->mtu,
	};
	struct helper_output *output;
	pid_t pid;
	int fd, err = helper_output_create(env->loop, env->id, "passt", &output);

	if (err)
		return err;
	passt.output = helper_output_fd(output);
	err = passt_start(&passt, &fd, &pid);
	if (!err)
		err = passt_create(&passt, fd, pid, env->id, env->loop, ret);
	if (err)
		helper_output_destroy(output);
	else
		(*ret)->output = output;
	return err;
}

int virtio_net_open(
	const struct virtio_net_node *node, const struct device_env *env, struct netdev **ret)
{
	int fd, err;

	if (node->passt)
		return open_passt(node, env, ret);
	err = open_tap(node, &fd);
	return err ? err : tap_create(fd, env->id, env->loop, ret);
}

/* Why a host resource cannot be opened, by errno; the last entry is for all others. */
struct reason {
	int err;
	const char *says;
};

static const char *reason_of(const struct reason *reasons, int err)
{
	while (reasons->err && reasons->err != -err)
		reasons++;
	return reasons->says;
}

static void look_for_tap(const struct virtio_net_node *node, struct device_check *check)
{
	static const struct reason reasons[] = {
		{ EPERM,
			"this user may not have it: ip tuntap add %s mode tap user $USER%s, as root" },
		{ EBUSY, "%s is another's: one machine has it at a time%.0s" },
		{ EINVAL, "%s is no tap interface of the kind: ip tuntap add NAME mode tap%s" },
		{ ENOENT, "%s: there is no /dev/net/tun: modprobe tun%.0s" },
		{ ENODEV, "%s: there is nothing behind /dev/net/tun: modprobe tun%.0s" },
		{ EACCES,
			"%s: this user may not open /dev/net/tun: chmod 666 /dev/net/tun, as root; making interfaces takes CAP_NET_ADMIN too%.0s" },
		{ ENAMETOOLONG, "%s is no interface's name: they have 1 to 15 bytes%.0s" },
		{ 0, "%s cannot be opened%.0s: %s" },
	};
	static const struct reason inherited[] = {
		{ EBADF, "is no descriptor that Sluice was started with" },
		{ EINVAL, "is not a tap interface's with IFF_NO_PI and IFF_VNET_HDR" },
		{ 0, "is no tap interface's" },
	};
	int fd, err = open_tap(node, &fd);

	if (!err)
		close(fd);
	else if (node->tap)
		check->error(check, "tap", reason_of(reasons, err), node->tap,
			node->queue_pairs > 1 ? " multi_queue" : "", strerror(-err));
	else
		check->error(check, "tap-fd", "%s", reason_of(inherited, err));
}

void virtio_net_probe(const void *config, struct device_check *check)
{
	const struct virtio_net_node *node = config;
	char path[4096];
	int fd;

	if (!node->passt)
		look_for_tap(node, check);
	else if (!program_find("passt", path, sizeof(path)))
		check->error(check, "passt", "there is no passt: apt install passt");
	fd = node->vhost ? vhost_probe(VHOST_NET, "vhost_net", "vhost", check) : -1;
	if (fd >= 0)
		close(fd);
}
