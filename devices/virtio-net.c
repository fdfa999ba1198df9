/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (virtio 1.2, 5.1): a receive and a transmit queue. Frames that the guest sends go to
 * the host from where they are; those that come are read into a buffer of ours, as their length is
 * not known before, and copied into as many of the guest's as they take. A frame that has no place yet
 * is kept, and no other is read until the driver has offered more.
 *
 * All on the event loop's thread.
 */
#include "devices/virtio-net.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/netdev.h"
#include "devices/passt.h"
#include "devices/tap.h"
#include "devices/virtio.h"
#include "hyp/guestmem.h"
#include "hyp/program.h"
#include "hyp/util.h"

enum { RECEIVE, TRANSMIT, QUEUES };

#define MTU_MIN	   68 /* of IPv4; 5.1.4.1 */
#define MTU_MAX	   65535
#define STALE_MAX  1024 /* frames that a tap may have kept: more than its queue's usual length */
#define MERGED_MAX 64	/* buffers for one frame; with smaller ones only shorter frames come */

#define HAS(net, feature) ((net)->virtio.state.driver_features >> (feature)&1)

struct virtio_net {
	struct virtio_device virtio;
	struct virtio_net_config config; /* as the driver sees it */
	struct netdev_client client;
	struct netdev *netdev;
	bool lost;	   /* the netdev has ended: the cable stays out */
	uint64_t offloads; /* that the netdev was told */
	int held;	   /* bytes of a frame in `frame` that waits for buffers; 0: none */
	struct virtq_chain first, chain;
	uint8_t frame[NETDEV_FRAME_MAX];
};

/* ---- Frames to the guest (5.1.6.3, 5.1.6.4) ---- */

/*
 * Fills one chain with the next bytes; how many it took, 0 where it is none that can be received into.
 * The header is written last, by deliver(), once the number of buffers is known.
 */
static uint32_t fill(struct virtio_net *net, const struct virtq_chain *chain, int at)
{
	uint32_t len = (uint32_t)(net->held - at);

	if (len > chain->writable_bytes)
		len = chain->writable_bytes;
	if (chain->readable || (!at && len < NETDEV_HEADER))
		return 0;
	return virtq_chain_write(chain, net->virtio.env->mem, net->frame + at, len) ? 0 : len;
}

/* False: it keeps the frame, as there are too few buffers now. */
static bool deliver(struct virtio_net *net)
{
	struct virtio_device *virtio = &net->virtio;
	unsigned max = HAS(net, VIRTIO_NET_F_MRG_RXBUF) ? MERGED_MAX : 1, count = 0;
	struct virtio_net_hdr_v1 *header = (void *)net->frame;
	struct virtq_used used[MERGED_MAX];
	bool good = true;

	for (int at = 0; at < net->held && count < max && good; count++) {
		struct virtq_chain *chain = count ? &net->chain : &net->first;

		if (!virtio_pop(virtio, RECEIVE, chain)) {
			/* All that the driver can have offered, and too small for this frame: it is lost. */
			bool never = count && count == virtio->state.queues[RECEIVE].size;

			virtio_unpop(virtio, RECEIVE, count);
			return never;
		}
		used[count] = (struct virtq_used){ .head = chain->head,
			.written = fill(net, chain, at) };
		at += (int)used[count].written;
		good = used[count].written != 0;
		if (count + 1 == max && at < net->held)
			good = false;
	}
	if (!good) {
		/* The frame is lost, and the buffers are given back empty. */
		for (unsigned i = 0; i < count; i++)
			used[i].written = 0;
	} else if (count > 1) {
		header->num_buffers = (uint16_t)count;
		(void)virtq_chain_write(&net->first, virtio->env->mem, header, sizeof(*header));
	}
	/* At once, so that the driver finds all of the frame. */
	virtio_push_many(virtio, RECEIVE, used, count);
	return true;
}

/* The feature bits that concern what may be sent to the driver are settled once it runs. */
static void update_offloads(struct virtio_net *net)
{
	uint64_t features = net->virtio.state.driver_features & net->netdev->features;

	if (features == net->offloads)
		return;
	net->offloads = features;
	net->held = 0; /* made for what another driver took */
	net->netdev->ops->set_offloads(net->netdev, features);
}

static void receive(struct virtio_net *net)
{
	const struct netdev_ops *ops = net->netdev->ops;
	struct virtio_net_hdr_v1 *header = (void *)net->frame;
	bool room = true;

	update_offloads(net);
	for (unsigned frames = 0; room && frames < net->virtio.class->queue_size_max; frames++) {
		if (!net->held) {
			int n = ops->receive(net->netdev, net->frame, sizeof(net->frame));

			if (n < 0)
				break;
			net->held = n;
			header->num_buffers = 1;
		}
		/* With the cable out it goes nowhere. */
		room = !(net->config.status & VIRTIO_NET_S_LINK_UP) || deliver(net);
		if (room)
			net->held = 0;
	}
	/* Without room, the driver's next notification goes on. */
	ops->listen(net->netdev, room);
	virtio_interrupt(&net->virtio, RECEIVE);
}

/* ---- Frames from the guest (5.1.6.2) ---- */

/* -EAGAIN: it has to wait. What is no frame is dropped. */
static int send_chain(struct virtio_net *net, const struct virtq_chain *chain)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	unsigned count = 0;

	if (chain->writable || chain->readable_bytes <= NETDEV_HEADER ||
		chain->readable_bytes > NETDEV_FRAME_MAX ||
		!(net->config.status & VIRTIO_NET_S_LINK_UP))
		return 0;
	for (unsigned i = 0; i < chain->readable; i++) {
		const struct virtq_segment *segment = &chain->segments[i];
		int parts = guestmem_parts(net->virtio.env->mem, segment->gpa, segment->len,
			iov + count, ARRAY_SIZE(iov) - count);

		if (parts < 0)
			return 0;
		count += (unsigned)parts;
	}
	return net->netdev->ops->send(net->netdev, iov, count);
}

static void transmit(struct virtio_net *net)
{
	struct virtio_device *virtio = &net->virtio;

	while (virtio_pop(virtio, TRANSMIT, &net->chain)) {
		if (send_chain(net, &net->chain) == -EAGAIN) {
			virtio_unpop(virtio, TRANSMIT, 1);
			break;
		}
		virtio_push(virtio, TRANSMIT, net->chain.head, 0);
	}
	virtio_interrupt(virtio, TRANSMIT);
}

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_net *net = container_of(virtio, struct virtio_net, virtio);

	pthread_mutex_lock(&virtio->base.lock);
	if (index == RECEIVE)
		receive(net);
	else
		transmit(net);
	pthread_mutex_unlock(&virtio->base.lock);
}

static void readable(struct netdev_client *client)
{
	struct virtio_net *net = container_of(client, struct virtio_net, client);

	virtio_begin_turn(&net->virtio);
	serve(&net->virtio, RECEIVE);
}

static void writable(struct netdev_client *client)
{
	struct virtio_net *net = container_of(client, struct virtio_net, client);

	virtio_begin_turn(&net->virtio);
	serve(&net->virtio, TRANSMIT);
}

void virtio_net_set_link(struct device *device, bool up)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);
	uint16_t status = up && !net->lost ? VIRTIO_NET_S_LINK_UP : 0;

	pthread_mutex_lock(&device->lock);
	if (net->config.status != status) {
		net->config.status = status;
		virtio_config_changed(&net->virtio);
	}
	pthread_mutex_unlock(&device->lock);
}

static void lost(struct netdev_client *client)
{
	struct virtio_net *net = container_of(client, struct virtio_net, client);

	net->lost = true;
	virtio_net_set_link(&net->virtio.base, false);
}

/* ---- The node ---- */

struct virtio_net_node {
	const char *tap; /* or passt */
	bool passt, host_loopback;
	const char *forward_tcp;
	uint8_t mac[6];
	uint32_t mtu;
};

#define FIELD(member) offsetof(struct virtio_net_node, member)

static const struct property properties[] = {
	{ "tap", PROPERTY_STRING, FIELD(tap) },
	{ "passt", PROPERTY_FLAG, FIELD(passt) },
	{ "forward-tcp", PROPERTY_STRING, FIELD(forward_tcp) },
	{ "host-loopback", PROPERTY_FLAG, FIELD(host_loopback) },
	{ "local-mac-address", PROPERTY_BYTES, FIELD(mac), .min = 6, .max = 6 },
	{ "mtu", PROPERTY_U32, FIELD(mtu), .min = MTU_MIN, .max = MTU_MAX },
	{ 0 },
};

static void check(const void *config, struct device_check *check)
{
	const struct virtio_net_node *node = config;

	if (node->mac[0] & 1)
		check->error(check, "local-mac-address", "is a group's: its first byte is odd");
	if (!node->tap == !node->passt)
		check->error(
			check, NULL, "a network card has one of tap = \"INTERFACE\" and passt");
	if (!node->passt && (node->forward_tcp || node->host_loopback))
		check->error(check, node->forward_tcp ? "forward-tcp" : "host-loopback",
			"is passt's, and there is no passt");
	if (node->forward_tcp && !passt_forwards(node->forward_tcp))
		check->error(check, "forward-tcp",
			"is not the host's port, a colon and the guest's, as \"2222:22\" or "
			"\"127.0.0.1/2222:22,8080:80\"");
}

static void look(const void *config, struct device_check *check)
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
	char path[4096];
	size_t i = 0;
	int fd, err;

	if (node->passt) {
		if (!program_find("passt", path, sizeof(path)))
			check->error(check, "passt", "there is no passt: apt install passt");
		return;
	}
	err = tap_open(node->tap, &fd);
	if (!err) {
		close(fd);
		return;
	}
	while (reasons[i].err && reasons[i].err != -err)
		i++;
	check->error(check, "tap", reasons[i].says, node->tap);
}

/* ---- The class ---- */

/* The same each time, and another for each machine and device: FNV-1a over their names. */
static void stable_mac(const struct device_env *env, uint8_t ret[6])
{
	const char *const names[] = { env->machine, env->id };
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (const char *c = names[i];; c++) {
			hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
			if (!*c)
				break;
		}
	memcpy(ret, &hash, 6);
	ret[0] = (ret[0] & ~1) | 2; /* one station's, administered locally */
}

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_NET,
	.queue_count = QUEUES,
	.queue_size_max = 256,
	.features = VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |
		    VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF),
	.config_bytes = sizeof(struct virtio_net_config),
	.serve = serve,
};

static void virtio_net_destroy(struct device *device)
{
	struct virtio_net *net;

	if (!device)
		return;
	net = container_of(device, struct virtio_net, virtio.base);
	net->netdev->ops->destroy(net->netdev);
	virtio_finish(&net->virtio);
	free(net);
}

static int open_netdev(
	const struct virtio_net_node *node, const struct device_env *env, struct netdev **ret)
{
	const struct passt_config passt = {
		.forward_tcp = node->forward_tcp,
		.host_loopback = node->host_loopback,
		.mtu = node->mtu,
	};
	pid_t pid;
	int fd, err;

	err = node->passt ? passt_start(&passt, &fd, &pid) : tap_open(node->tap, &fd);
	if (err)
		return err;
	return node->passt ? passt_create(fd, pid, env->id, env->loop, ret)
			   : tap_create(fd, env->loop, ret);
}

static int virtio_net_create(const void *config, const struct device_env *env, struct device **ret)
{
	static const uint8_t none[6];
	const struct virtio_net_node *node = config;
	struct virtio_net *net = calloc(1, sizeof(*net));
	uint64_t features;
	int err;

	if (!net)
		return -ENOMEM;
	net->client =
		(struct netdev_client){ .readable = readable, .writable = writable, .lost = lost };
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->config.mtu = (uint16_t)node->mtu;
	if (memcmp(node->mac, none, sizeof(none)))
		memcpy(net->config.mac, node->mac, sizeof(node->mac));
	else
		stable_mac(env, net->config.mac);
	err = open_netdev(node, env, &net->netdev);
	if (err)
		goto out_free;
	net->netdev->client = &net->client;
	features = net->netdev->features;
	if (node->mtu)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MTU);
	err = virtio_init(
		&net->virtio, &virtio_net_class, &virtio_class, env, features, &net->config);
	if (err)
		goto out_netdev;
	*ret = &net->virtio.base;
	return 0;

out_netdev:
	net->netdev->ops->destroy(net->netdev);
out_free:
	free(net);
	return err;
}

static void virtio_net_quiesce(struct device *device)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);
	const struct netdev_ops *ops = net->netdev->ops;

	ops->listen(net->netdev, false);
	virtio_system_reset(&net->virtio);
	/* What has come for this guest, and in the form that it could take, is not for the next. */
	update_offloads(net);
	for (unsigned i = 0; i < STALE_MAX; i++)
		if (ops->receive(net->netdev, net->frame, sizeof(net->frame)) < 0)
			break;
	net->held = 0;
}

const struct device_class virtio_net_class = {
	.compatible = "sluice,virtio-net",
	.kind = DEVICE_VIRTIO,
	.properties = properties,
	.config_bytes = sizeof(struct virtio_net_node),
	.check = check,
	.look = look,
	.create = virtio_net_create,
	.reset = virtio_net_quiesce,
	.quiesce = virtio_net_quiesce,
	.destroy = virtio_net_destroy,
};
