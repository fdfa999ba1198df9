/* SPDX-License-Identifier: Apache-2.0 */
/* A network card's node: its properties, the rules between them, and what it names of the host. */
#include "devices/virtio-net-node.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "devices/passt.h"
#include "devices/tap.h"
#include "devices/vhost.h"
#include "hyp/program.h"

#define MTU_MIN 68 /* of IPv4; 5.1.4.1 */
#define MTU_MAX 65535

#define FIELD(member) offsetof(struct virtio_net_node, member)

const struct property virtio_net_properties[] = {
	{ "tap", PROPERTY_STRING, FIELD(tap) },
	{ "passt", PROPERTY_FLAG, FIELD(passt) },
	{ "forward-tcp", PROPERTY_STRING, FIELD(forward_tcp) },
	{ "host-loopback", PROPERTY_FLAG, FIELD(host_loopback) },
	{ "tap-fd", PROPERTY_U32, FIELD(tap_fd), .min = 3, .max = INT_MAX },
	{ "queue-pairs", PROPERTY_U32, FIELD(queue_pairs), .min = 1, .max = VIRTIO_NET_PAIRS_MAX },
	{ "vhost", PROPERTY_FLAG, FIELD(vhost) },
	{ "local-mac-address", PROPERTY_BYTES, FIELD(mac), .min = 6, .max = 6 },
	{ "mtu", PROPERTY_U32, FIELD(mtu), .min = MTU_MIN, .max = MTU_MAX },
	{ 0 },
};

void virtio_net_defaults(void *config)
{
	struct virtio_net_node *node = config;

	node->queue_pairs = 1;
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
	if (!node->passt && (node->forward_tcp || node->host_loopback))
		check->error(check, node->forward_tcp ? "forward-tcp" : "host-loopback",
			"is passt's, and there is no passt");
	if (node->forward_tcp && !passt_forwards(node->forward_tcp))
		check->error(check, "forward-tcp",
			"is not the host's port, a colon and the guest's, as \"2222:22\" or "
			"\"127.0.0.1/2222:22,8080:80\"");
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

int virtio_net_open(
	const struct virtio_net_node *node, const struct device_env *env, struct netdev **ret)
{
	const struct passt_config passt = {
		.forward_tcp = node->forward_tcp,
		.host_loopback = node->host_loopback,
		.mtu = node->mtu,
	};
	pid_t pid;
	int fd, err = node->passt ? passt_start(&passt, &fd, &pid) : open_tap(node, &fd);

	if (err)
		return err;
	return node->passt ? passt_create(fd, pid, env->id, env->loop, ret)
			   : tap_create(fd, env->loop, ret);
}

/* What stands against having something of the host's, by errno; the last entry for all else. */
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
		{ EPERM, "this user may not have it: ip tuntap add %s mode tap user $USER%s, as "
			 "root" },
		{ EBUSY, "%s is another's: one machine has it at a time%.0s" },
		{ EINVAL, "%s is no tap interface of the kind: ip tuntap add NAME mode tap%s" },
		{ ENOENT, "%s: there is no /dev/net/tun: modprobe tun%.0s" },
		{ ENODEV, "%s: there is nothing behind /dev/net/tun: modprobe tun%.0s" },
		{ EACCES,
			"%s: this user may not open /dev/net/tun: chmod 666 /dev/net/tun, as root; "
			"only who has CAP_NET_ADMIN makes interfaces with it%.0s" },
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

void virtio_net_look(const void *config, struct device_check *check)
{
	const struct virtio_net_node *node = config;
	char path[4096];
	int fd;

	if (!node->passt)
		look_for_tap(node, check);
	else if (!program_find("passt", path, sizeof(path)))
		check->error(check, "passt", "there is no passt: apt install passt");
	fd = node->vhost ? vhost_look(VHOST_NET, "vhost_net", "vhost", check) : -1;
	if (fd >= 0)
		close(fd);
}
