/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (virtio 1.2, 5.1): pairs of a receive and a transmit queue. The driver uses the first pair, and sets
 * another number through the control queue if the card has several. Frames that the guest sends go to the back end
 * straight from guest memory. A frame that the back end receives is read into pair->frame, since its length is not
 * known before, and copied into as many receive buffers as it needs. While there are too few buffers it stays in
 * pair->frame, and no other frame is read. With vhost the host's kernel does all that (vhost.h).
 *
 * All on the event loop's thread, except halt().
 */
#include "devices/virtio/virtio-net.h"

#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "devices/backend/helper-output.h"
#include "devices/backend/netdev.h"
#include "devices/state.h"
#include "devices/virtio/vhost.h"
#include "devices/virtio/virtio-net-node.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"

enum { RECEIVE, TRANSMIT, QUEUES }; /* of each pair */

#define STALE_MAX  1024 /* frames that a tap may hold: more than its usual queue length */
#define MERGED_MAX 64	/* buffers for one frame; with smaller ones only shorter frames come */

/* Changing pairs or offloads takes the lock of all the host's interfaces (RTNL): at most CHANGES in CHANGES_MS. */
#define CHANGES	   8
#define CHANGES_MS 1000

#define FULL_DUPLEX 1 /* 5.1.4 */

/* Descriptors of a queue. The vhost worker uses 64 at a time, and a frame of 64 KiB takes 16 or more. */
#define RING	   256
#define VHOST_RING 1024

#define HAS(net, feature) ((net)->virtio.state.driver_features >> (feature)&1)

struct pair {
	struct virtio_net *net;
	unsigned receive, transmit; /* its queues */
	struct netdev_client client;
	struct netdev *netdev;
	struct vhost vhost; /* zero if the kernel does not serve the pair */
	int held;	    /* bytes of a frame in `frame` that waits for buffers; 0: none */
	uint8_t frame[NETDEV_FRAME_MAX];
};

/* A frame that waits for buffers is not saved: a network may lose frames. */
struct virtio_net_state {
	uint8_t mac[6]; /* of config */
	bool pulled;	/* the machine's owner pulled the cable */
	uint8_t active; /* pairs in use; set when the state is saved */
};

struct virtio_net {
	struct virtio_device virtio;
	struct virtio_class class;
	struct virtio_net_config config; /* as the driver sees it */
	uint64_t offloads;		 /* last given to the netdev */
	unsigned driver_runs;		 /* virtio.runs when `active` and `offloads` were set */
	struct virtq_chain first, chain;
	struct virtio_net_state state;
	bool lost;		/* the back end has ended: the link is down */
	unsigned count, active; /* pairs in all; the first `active` are in use */
	unsigned changes;	/* of active and offloads since changes_end was armed */
	struct loop_timer changes_end;
	struct pair *pairs; /* `count` of them */
};

/* ---- Frames to the guest (5.1.6.3, 5.1.6.4) ---- */

/*
 * Fills one chain with the next bytes. Returns how many; 0 if the chain is not a receive buffer. The header is written
 * last, by deliver(), once the number of buffers is known.
 */
static uint32_t fill(const struct pair *pair, const struct virtq_chain *chain, int at)
{
	uint32_t len = (uint32_t)(pair->held - at);

	if (len > chain->writable_bytes)
		len = chain->writable_bytes;
	if (chain->readable || (!at && len < NETDEV_HEADER))
		return 0;
	return virtq_chain_write(chain, pair->net->virtio.env->mem, pair->frame + at, len) ? 0
											   : len;
}

/* False: there are too few buffers now, and the frame stays in pair->frame. */
static bool deliver(struct pair *pair)
{
	struct virtio_net *net = pair->net;
	struct virtio_device *virtio = &net->virtio;
	unsigned max = HAS(net, VIRTIO_NET_F_MRG_RXBUF) ? MERGED_MAX : 1, count = 0;
	struct virtio_net_hdr_v1 *header = (void *)pair->frame;
	struct virtq_used used[MERGED_MAX];
	bool good = true;

	for (int at = 0; at < pair->held && count < max && good; count++) {
		struct virtq_chain *chain = count ? &net->chain : &net->first;

		if (!virtio_pop(virtio, pair->receive, chain)) {
			/* A whole ring of buffers is too small for this frame: drop it. */
			bool never = count && count == virtio->state.queues[pair->receive].size;

			virtio_unpop(virtio, pair->receive, count);
			return never;
		}
		used[count] = (struct virtq_used){ .head = chain->head,
			.written = fill(pair, chain, at) };
		at += (int)used[count].written;
		good = used[count].written != 0;
		if (count + 1 == max && at < pair->held)
			good = false;
	}
	if (!good) {
		/* The frame is lost, and the buffers are returned empty. */
		for (unsigned i = 0; i < count; i++)
			used[i].written = 0;
	} else if (count > 1) {
		header->num_buffers = (uint16_t)count;
		(void)virtq_chain_write(&net->first, virtio->env->mem, header, sizeof(*header));
	}
	/* All in one step, so that the driver never sees a part of the frame. */
	virtio_push_many(virtio, pair->receive, used, count);
	return true;
}

static void receive(struct pair *pair)
{
	struct virtio_net *net = pair->net;
	const struct netdev_ops *ops = pair->netdev->ops;
	struct virtio_net_hdr_v1 *header = (void *)pair->frame;
	bool room = !net->virtio.paused; /* frames wait in the back end */

	for (unsigned frames = 0; room && frames < net->virtio.class->queue_size_max; frames++) {
		if (!pair->held) {
			int n = ops->receive(pair->netdev, pair->frame, sizeof(pair->frame));

			if (n < 0)
				break;
			pair->held = n;
			header->num_buffers = 1;
		}
		/* With the cable out the frame is dropped. */
		room = !(net->config.status & VIRTIO_NET_S_LINK_UP) || deliver(pair);
		if (room)
			pair->held = 0;
	}
	/* Without room, the driver's next notification or the end of the pause calls this again. */
	ops->listen(pair->netdev, room);
	virtio_interrupt(&net->virtio, pair->receive);
}

/* ---- Frames from the guest (5.1.6.2) ---- */

/* -EAGAIN: the back end is full. A chain that is not a frame is dropped. */
static int send_chain(const struct pair *pair, const struct virtq_chain *chain)
{
	const struct virtio_net *net = pair->net;
	struct iovec iov[NETDEV_PARTS_MAX];
	unsigned count = 0;

	_Static_assert(NETDEV_PARTS_MAX >= VIRTQ_SEGMENTS_MAX, "a chain's segments");
	if (chain->writable || chain->readable_bytes <= NETDEV_HEADER ||
		chain->readable_bytes > NETDEV_FRAME_MAX)
		return 0;
	for (unsigned i = 0; i < chain->readable; i++) {
		const struct virtq_segment *segment = &chain->segments[i];
		int parts = guestmem_parts(net->virtio.env->mem, segment->gpa, segment->len,
			GUESTMEM_READ, iov + count, ARRAY_SIZE(iov) - count);

		if (parts < 0)
			return 0;
		count += (unsigned)parts;
	}
	return pair->netdev->ops->send(pair->netdev, iov, count);
}

static void transmit(struct pair *pair)
{
	struct virtio_device *virtio = &pair->net->virtio;
	struct virtq_chain *chain = &pair->net->chain;
	const bool up = pair->net->config.status & VIRTIO_NET_S_LINK_UP;

	/* With the cable out everything is dropped, frame or not. */
	if (!up)
		virtio_drop(virtio, pair->transmit);
	while (up && virtio_pop(virtio, pair->transmit, chain)) {
		if (send_chain(pair, chain) == -EAGAIN) {
			virtio_unpop(virtio, pair->transmit, 1);
			break;
		}
		virtio_push(virtio, pair->transmit, chain->head, 0);
	}
	virtio_interrupt(virtio, pair->transmit);
}

/* ---- Pairs (5.1.6.5.5) ---- */

/* False if the host refuses to attach a pair; those attached before it stay. */
static bool use_pairs(struct virtio_net *net, unsigned count)
{
	for (; net->active < count; net->active++) {
		struct pair *pair = &net->pairs[net->active];

		if (pair->netdev->ops->set_active(pair->netdev, true))
			return false;
		/* The driver may have made buffers available meanwhile. */
		virtio_kick(&net->virtio, pair->receive);
		virtio_kick(&net->virtio, pair->transmit);
	}
	while (net->active > count) {
		struct pair *pair = &net->pairs[--net->active];

		for (unsigned ring = 0; ring < QUEUES; ring++)
			vhost_stop(&pair->vhost, ring);
		pair->held = 0;
		(void)pair->netdev->ops->set_active(pair->netdev, false);
	}
	return true;
}

/* False: too many changes; changes_end() serves all queues again. */
static bool may_change(struct virtio_net *net)
{
	if (net->changes == CHANGES)
		return false;
	if (!net->changes++)
		loop_timer_arm(net->virtio.env->loop, &net->changes_end, CHANGES_MS);
	return true;
}

static void changes_end(struct loop_timer *timer)
{
	struct virtio_net *net = container_of(timer, struct virtio_net, changes_end);

	net->changes = 0;
	for (unsigned i = 0; i < net->class.queue_count; i++)
		virtio_kick(&net->virtio, i);
}

/* The one command: how many pairs the driver uses. */
static void control(struct virtio_net *net, unsigned index)
{
	struct {
		struct virtio_net_ctrl_hdr header;
		struct virtio_net_ctrl_mq mq;
	} __attribute__((packed)) command;
	const struct guestmem *mem = net->virtio.env->mem;

	while (virtio_pop(&net->virtio, index, &net->chain)) {
		virtio_net_ctrl_ack ack = VIRTIO_NET_ERR;
		unsigned before = net->active, wanted;

		if (!virtq_chain_read(&net->chain, mem, &command, sizeof(command)) &&
			command.header.class == VIRTIO_NET_CTRL_MQ &&
			command.header.cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET) {
			wanted = command.mq.virtqueue_pairs;
			if (wanted >= 1 && wanted <= net->count && HAS(net, VIRTIO_NET_F_MQ)) {
				if (wanted != before && !may_change(net)) {
					virtio_unpop(&net->virtio, index, 1);
					break;
				}
				if (use_pairs(net, wanted))
					ack = VIRTIO_NET_OK;
				else
					(void)use_pairs(net, before);
			}
		}
		virtio_push(&net->virtio, index, net->chain.head,
			virtq_chain_write(&net->chain, mem, &ack, sizeof(ack)) ? 0 : sizeof(ack));
	}
	virtio_interrupt(&net->virtio, index);
}

/* Drops the frames that the back end holds. Its `readable` is off. */
static void lose_stale(struct pair *pair)
{
	struct netdev *netdev = pair->netdev;

	for (unsigned i = 0; i < STALE_MAX; i++)
		if (netdev->ops->receive(netdev, pair->frame, sizeof(pair->frame)) < 0)
			break;
	pair->held = 0;
}

/* ---- Serving ---- */

/*
 * Adapts to the driver: a new one begins with one pair, and its offload features go to the back end. False:
 * may_change() refuses for now, and no queue is served.
 */
static bool take_driver(struct virtio_net *net)
{
	struct netdev *netdev = net->pairs[0].netdev;
	uint64_t features = net->virtio.state.driver_features & netdev->features;

	if (net->driver_runs != net->virtio.runs) {
		net->driver_runs = net->virtio.runs;
		use_pairs(net, 1);
	}
	if (features == net->offloads)
		return true;
	netdev->ops->listen(netdev, false); /* receive() turns it on again */
	if (!may_change(net))
		return false;
	net->offloads = features;
	netdev->ops->set_offloads(netdev, features);
	lose_stale(&net->pairs[0]); /* in the form of the old offloads (5.1.6.4) */
	virtio_kick(&net->virtio, net->pairs[0].receive);
	return true;
}

static void serve_pair(struct pair *pair, unsigned ring)
{
	const bool up = pair->net->config.status & VIRTIO_NET_S_LINK_UP;

	if (pair->net->class.halt && (up || ring == RECEIVE)) {
		/* With the cable out the ring stays stopped. */
		if (up)
			vhost_start(&pair->vhost, ring);
	} else if (ring == RECEIVE) {
		receive(pair);
	} else {
		transmit(pair);
	}
}

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_net *net = container_of(virtio, struct virtio_net, virtio);
	unsigned control_index;

	pthread_mutex_lock(&virtio->base.lock);
	if (!take_driver(net))
		goto out;
	/* 5.1.2: without MQ the control queue follows the first pair. */
	control_index = QUEUES * (HAS(net, VIRTIO_NET_F_MQ) ? net->count : 1);
	if (index == control_index)
		control(net, index);
	else if (index / QUEUES < net->active)
		serve_pair(&net->pairs[index / QUEUES], index % QUEUES);
out:
	pthread_mutex_unlock(&virtio->base.lock);
}

static void halt(struct virtio_device *virtio, unsigned index)
{
	struct virtio_net *net = container_of(virtio, struct virtio_net, virtio);

	if (index / QUEUES < net->count)
		vhost_stop(&net->pairs[index / QUEUES].vhost, index % QUEUES);
}

static void readable(struct netdev_client *client)
{
	struct pair *pair = container_of(client, struct pair, client);

	virtio_begin_turn(&pair->net->virtio);
	serve(&pair->net->virtio, pair->receive);
}

static void writable(struct netdev_client *client)
{
	struct pair *pair = container_of(client, struct pair, client);

	virtio_begin_turn(&pair->net->virtio);
	serve(&pair->net->virtio, pair->transmit);
}

static uint16_t link_status(const struct virtio_net *net)
{
	return !net->state.pulled && !net->lost ? VIRTIO_NET_S_LINK_UP : 0;
}

static void update_link(struct virtio_net *net)
{
	uint16_t status = link_status(net);
	bool up = status;

	if (net->virtio.paused) /* virtio_net_pause() calls this again */
		return;
	pthread_mutex_lock(&net->virtio.base.lock);
	if (net->config.status != status) {
		/* With vhost: drops what gathered in the tap and in the transmit rings while the cable was out. */
		for (unsigned i = 0; net->class.halt && up && i < net->active; i++) {
			lose_stale(&net->pairs[i]);
			transmit(&net->pairs[i]);
		}
		net->config.status = status;
		virtio_config_changed(&net->virtio);
		for (unsigned i = 0; net->class.halt && i < net->class.queue_count; i++) {
			if (!up)
				halt(&net->virtio, i);
			virtio_kick(&net->virtio, i);
		}
	}
	pthread_mutex_unlock(&net->virtio.base.lock);
}

void virtio_net_set_link(struct device *device, bool up)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);

	net->state.pulled = !up;
	update_link(net);
}

/* A link change during a pause takes effect at its end, before the queues are served. */
static void virtio_net_pause(struct device *device, bool paused)
{
	virtio_pause(device, paused);
	update_link(container_of(device, struct virtio_net, virtio.base));
}

static uint64_t get_link(struct device *device, unsigned index)
{
	return !container_of(device, struct virtio_net, virtio.base)->state.pulled;
}

static int set_link(struct device *device, uint64_t up, char *ret_why, size_t len)
{
	virtio_net_set_link(device, up);
	return 0;
}

static const struct device_value values[] = {
	{ "x-sluice-link", "bool", get_link, 0, set_link },
	{ 0 },
};

static void changed(struct netdev_client *client, bool here)
{
	struct virtio_net *net = container_of(client, struct pair, client)->net;

	net->lost = !here;
	update_link(net);
}

/* ---- The class ---- */

/* The node's MAC address, or one made from the card's identity. */
static void address_of(const struct virtio_net_node *node, uint64_t identity, uint8_t ret[6])
{
	static const uint8_t none[6];

	if (memcmp(node->mac, none, sizeof(none))) {
		memcpy(ret, node->mac, sizeof(node->mac));
		return;
	}
	memcpy(ret, &identity, 6);
	ret[0] = (ret[0] & ~1) | 2; /* unicast, locally administered */
}

static void identify(const void *config, uint64_t identity, char *ret, size_t size)
{
	uint8_t mac[6];

	address_of(config, identity, mac);
	snprintf(ret, size, "MAC %02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
}

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_NET,
	.queue_count = QUEUES,
	.queue_size_max = RING,
	.features = VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |
		    VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF),
	.config_bytes = sizeof(struct virtio_net_config),
	.serve = serve,
};

static void virtio_net_finish(struct device *device)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);

	loop_timer_cancel(&net->changes_end);
	for (unsigned i = 0; net->pairs && i < net->count; i++) {
		struct netdev *netdev = net->pairs[i].netdev;
		struct helper_output *output = netdev ? netdev->output : NULL;

		vhost_finish(&net->pairs[i].vhost);
		if (netdev)
			netdev->ops->destroy(netdev);
		helper_output_destroy(output);
	}
	virtio_finish(&net->virtio);
	free(net->pairs);
}

static int set_vhost_backend(struct vhost *vhost, unsigned ring, bool running)
{
	const struct pair *pair = container_of(vhost, struct pair, vhost);
	const struct vhost_vring_file backend = {
		.index = ring,
		.fd = running ? pair->netdev->fd : VHOST_FILE_UNBIND,
	};

	return ioctl(vhost->fd, VHOST_NET_SET_BACKEND, &backend) ? -errno : 0;
}

static int create_pair(struct virtio_net *net, const struct virtio_net_node *node, unsigned index)
{
	struct pair *pair = &net->pairs[index];
	int err = virtio_net_open(node, net->virtio.env, &pair->netdev);

	pair->net = net;
	pair->receive = QUEUES * index + RECEIVE;
	pair->transmit = QUEUES * index + TRANSMIT;
	pair->client = (struct netdev_client){
		.readable = readable, .writable = writable, .changed = changed
	};
	if (err)
		return err;
	pair->netdev->client = &pair->client;
	return index ? pair->netdev->ops->set_active(pair->netdev, false) : 0;
}

static int create_vhost(struct virtio_net *net, unsigned index)
{
	const struct vhost_config config = {
		.path = VHOST_NET,
		.device = &net->virtio,
		.first = QUEUES * index,
		.ring_count = QUEUES,
		.features = VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
			    VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
			    VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF),
		.set_running = set_vhost_backend,
	};

	return vhost_init(&net->pairs[index].vhost, &config);
}

static int virtio_net_init(struct device *device, const void *config, const struct device_env *env)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);
	const struct virtio_net_node *node = config;
	uint64_t features = 0;
	int err = 0;

	net->virtio.env = env;
	net->count = node->queue_pairs;
	net->pairs = calloc(net->count, sizeof(net->pairs[0]));
	if (!net->pairs)
		return -ENOMEM;
	net->changes_end = (struct loop_timer){ .fired = changes_end, .name = env->id };
	net->active = 1;
	net->class = virtio_class;
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->config.mtu = (uint16_t)node->mtu;
	net->config.max_virtqueue_pairs = (uint16_t)net->count;
	address_of(node, env->identity, net->state.mac);
	memcpy(net->config.mac, net->state.mac, sizeof(net->config.mac));
	if (net->count > 1) {
		net->class.queue_count = QUEUES * net->count + 1;
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MQ) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ);
	}
	if (node->vhost) {
		net->class.halt = halt;
		net->class.queue_size_max = VHOST_RING;
		/* The ring is large enough without indirect tables, which cost time for each frame. */
		net->class.without_features = VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	}
	/* CTRL_VQ without MQ would put the control queue where a worker's ring is (5.1.2). */
	if (node->vhost && net->count > 1)
		net->class.joined_features = features;
	if (node->speed) {
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_SPEED_DUPLEX);
		net->config.speed = node->speed;
		net->config.duplex = FULL_DUPLEX;
	}
	if (node->mtu)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MTU);
	for (unsigned i = 0; i < net->count && !err; i++)
		err = create_pair(net, node, i);
	if (!err)
		err = virtio_init(&net->virtio, &net->class, env,
			features | net->pairs[0].netdev->features, &net->config);
	for (unsigned i = 0; node->vhost && i < net->count && !err; i++)
		err = create_vhost(net, i);
	return err;
}

static struct listener *virtio_net_listener(struct device *device, unsigned index)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);

	return net->class.halt && index < net->count ? &net->pairs[index].vhost.listener : NULL;
}

static void virtio_net_quiesce(struct device *device)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);

	for (unsigned i = 0; i < net->active; i++)
		net->pairs[i].netdev->ops->listen(net->pairs[i].netdev, false);
	virtio_system_reset(&net->virtio);
	/* The next guest gets neither this one's frames nor its offloads. */
	take_driver(net);
	lose_stale(&net->pairs[0]);
}

/* ---- Its state ---- */

static void take_state(struct device *device)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);

	net->state.active = net->driver_runs == net->virtio.runs ? (uint8_t)net->active : 1;
}

static int check_state(const struct device *candidate)
{
	const struct virtio_net *net = container_of(
		candidate, const struct virtio_net, virtio.base);

	return net->state.active <= net->count ? 0 : -EINVAL;
}

static void put_state(struct device *device)
{
	struct virtio_net *net = container_of(device, struct virtio_net, virtio.base);

	memcpy(net->config.mac, net->state.mac, sizeof(net->config.mac));
	net->config.status = link_status(net);
	net->driver_runs = net->virtio.runs;
	if (!use_pairs(net, net->state.active))
		log_limited(&net->virtio.complaints, LOG_ERROR,
			"%s: the host gives it %u of its %u pairs of queues", device->id,
			net->active, net->state.active);
}

static const struct state_field state_fields[] = {
	{ "mac", STATE_ARRAY(struct virtio_net, state.mac) },
	{ "pulled", STATE_ONE(struct virtio_net, state.pulled) },
	{ "active", STATE_ONE(struct virtio_net, state.active), .min = 1,
		.max = VIRTIO_NET_PAIRS_MAX },
	{ 0 },
};

static const struct state_part net_state = {
	STATE_PART(struct virtio_net, state),
	.fields = state_fields,
	.take = take_state,
	.check = check_state,
	.put = put_state,
};

const struct device_class virtio_net_class = {
	.compatible = "sluice,virtio-net",
	.bytes = sizeof(struct virtio_net),
	.kind = DEVICE_VIRTIO,
	.properties = virtio_net_properties,
	.config_bytes = sizeof(struct virtio_net_node),
	.defaults = virtio_net_defaults,
	.check = virtio_net_check,
	.probe = virtio_net_probe,
	.identify = identify,
	.vhost_workers = virtio_net_vhost_workers,
	.init = virtio_net_init,
	.listener = virtio_net_listener,
	.reset = virtio_net_quiesce,
	.quiesce = virtio_net_quiesce,
	.pause = virtio_net_pause,
	.values = values,
	.state = { &net_state, &virtio_state },
	.finish = virtio_net_finish,
};
