/* SPDX-License-Identifier: Apache-2.0 */
/* A network card's node: its properties, the rules between them, and what it names of the host. */
#include "devices/virtio-net-node.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "devices/tap.h"

#define MTU_MIN 68 /* of IPv4; 5.1.4.1 */
#define MTU_MAX 65535

#define FIELD(member) offsetof(struct virtio_net_node, member)

const struct property virtio_net_properties[] = {
	{ "tap", PROPERTY_STRING, FIELD(tap), .required = true },
	{ "local-mac-address", PROPERTY_BYTES, FIELD(mac), .min = 6, .max = 6 },
	{ "mtu", PROPERTY_U32, FIELD(mtu), .min = MTU_MIN, .max = MTU_MAX },
	{ 0 },
};

void virtio_net_check(const void *config, struct device_check *check)
{
	const struct virtio_net_node *node = config;

	if (node->mac[0] & 1)
		check->error(check, "local-mac-address", "is a group's: its first byte is odd");
}

void virtio_net_look(const void *config, struct device_check *check)
{
	const struct virtio_net_node *node = config;
	static const struct {
		int err;
		const char *says;
	} reasons[] = {
		{ EPERM, "this user may not have it: ip tuntap add %s mode tap user $USER, as "
			 "root" },
		{ EBUSY, "%s is another's: one machine has it at a time" },
		{ EINVAL, "%s is no tap interface of one queue: ip tuntap add NAME mode tap" },
		{ ENOENT, "%s: there is no /dev/net/tun: modprobe tun" },
		{ 0, "%s cannot be opened" },
	};
	size_t i = 0;
	int fd, err;

	err = tap_open(node->tap, &fd);
	if (!err) {
		close(fd);
		return;
	}
	while (reasons[i].err && reasons[i].err != -err)
		i++;
	check->error(check, "tap", reasons[i].says, node->tap);
}
