/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (virtio 1.2, 5.10): stream and packet sockets between host and guest without a network. The host's
 * kernel serves the two data queues (vhost.h). The event queue is unused, since a machine's context id never changes.
 */
#include "devices/virtio/virtio-vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/state.h"
#include "devices/virtio/vhost.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

enum { RECEIVE, TRANSMIT, EVENTS, QUEUES };

#define CLAIM_TRIES  20
#define CLAIM_TRY_MS 10

#define VHOST_VSOCK "/dev/vhost-vsock"

/* Lower ids are reserved: hypervisor, local and host (5.10.4). */
#define CID_MIN (VMADDR_CID_HOST + 1)
#define CID_MAX (VMADDR_CID_ANY - 1)

struct virtio_vsock_node {
	uint32_t cid;
};

struct virtio_vsock {
	struct virtio_device virtio;
	struct virtio_vsock_config state; /* guest_cid, as the node has it */
	struct vhost vhost;
	struct loop_timer claim; /* of the cid, after a reset */
	unsigned tries;		 /* that it has left */
};

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_vsock *vsock = container_of(virtio, struct virtio_vsock, virtio);

	pthread_mutex_lock(&virtio->base.lock);
	if (index != EVENTS)
		vhost_start(&vsock->vhost, index);
	pthread_mutex_unlock(&virtio->base.lock);
}

static void halt(struct virtio_device *virtio, unsigned index)
{
	struct virtio_vsock *vsock = container_of(virtio, struct virtio_vsock, virtio);

	if (index != EVENTS)
		vhost_stop(&vsock->vhost, index);
}

/* The worker runs both rings or none. */
static int set_running(struct vhost *vhost, unsigned ring, bool running)
{
	int on = running;

	if (running && !vhost->running[RECEIVE + TRANSMIT - ring])
		return 0;
	return ioctl(vhost->fd, VHOST_VSOCK_SET_RUNNING, &on) ? -errno : 0;
}

/* ---- The node ---- */

static const struct property properties[] = {
	{ "cid", PROPERTY_U32, offsetof(struct virtio_vsock_node, cid), .required = true,
		.min = CID_MIN, .max = CID_MAX },
	{ 0 },
};

static void probe(const void *config, struct device_check *check)
{
	const struct virtio_vsock_node *node = config;
	uint64_t cid = node->cid;
	int fd = vhost_probe(VHOST_VSOCK, "vhost_vsock", "cid", check);

	if (fd < 0)
		return;
	if (ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid) && errno == EADDRINUSE)
		check->error(check, "cid", "%u is another machine's on this host", node->cid);
	close(fd);
}

static unsigned vhost_workers(const void *config)
{
	return 1;
}

/* ---- The class ---- */

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_VSOCK,
	.queue_count = QUEUES,
	.queue_size_max = 128,
	.features = VIRTIO_FEATURE(VIRTIO_VSOCK_F_SEQPACKET),
	.config_bytes = sizeof(struct virtio_vsock_config),
	.serve = serve,
	.halt = halt,
};

static void virtio_vsock_finish(struct device *device)
{
	struct virtio_vsock *vsock = container_of(device, struct virtio_vsock, virtio.base);

	loop_timer_cancel(&vsock->claim);
	vhost_finish(&vsock->vhost);
	virtio_finish(&vsock->virtio);
}

static int set_cid(const struct virtio_vsock *vsock)
{
	uint64_t cid = vsock->state.guest_cid;

	return ioctl(vsock->vhost.fd, VHOST_VSOCK_SET_GUEST_CID, &cid) ? -errno : 0;
}

/*
 * Tries again later: probe() of another process, as in `sluice check`, claims the cid for a moment. Until then the kernel
 * drops what the guest sends.
 */
static void claim(struct loop_timer *timer)
{
	struct virtio_vsock *vsock = container_of(timer, struct virtio_vsock, claim);
	int err = set_cid(vsock);

	if (err == -EADDRINUSE && --vsock->tries)
		loop_timer_arm(vsock->virtio.env->loop, timer, CLAIM_TRY_MS);
	else if (err)
		log_limited(&vsock->virtio.complaints, LOG_ERROR,
			"%s: cid %u is lost to another: %s", vsock->virtio.base.id,
			(unsigned)vsock->state.guest_cid, strerror(-err));
}

static int virtio_vsock_init(
	struct device *device, const void *config, const struct device_env *env)
{
	const struct virtio_vsock_node *node = config;
	struct virtio_vsock *vsock = container_of(device, struct virtio_vsock, virtio.base);
	const struct vhost_config vhost = {
		.path = VHOST_VSOCK,
		.device = &vsock->virtio,
		.first = RECEIVE,
		.ring_count = EVENTS,
		.features = VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
			    VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
			    VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
			    VIRTIO_FEATURE(VIRTIO_VSOCK_F_SEQPACKET),
		.set_running = set_running,
	};
	int err;

	vsock->state.guest_cid = node->cid;
	vsock->claim = (struct loop_timer){ .fired = claim, .name = env->id };
	err = virtio_init(&vsock->virtio, &virtio_class, env, 0, &vsock->state);
	if (!err)
		err = vhost_init(&vsock->vhost, &vhost);
	return err ? err : set_cid(vsock);
}

static struct listener *virtio_vsock_listener(struct device *device, unsigned index)
{
	struct virtio_vsock *vsock = container_of(device, struct virtio_vsock, virtio.base);

	return index ? NULL : &vsock->vhost.listener;
}

/* A new worker, since the kernel resets connections only once no worker has their context id. */
static void virtio_vsock_reset(struct device *device)
{
	struct virtio_vsock *vsock = container_of(device, struct virtio_vsock, virtio.base);
	int err;

	virtio_quiesce(device);
	err = vhost_renew(&vsock->vhost);
	if (err) { /* the old worker stays, and with it a claim that is under way */
		log_limited(&vsock->virtio.complaints, LOG_WARNING,
			"%s: connections from before the reset stay: %s", device->id,
			strerror(-err));
		return;
	}
	loop_timer_cancel(&vsock->claim);
	vsock->tries = CLAIM_TRIES;
	claim(&vsock->claim);
}

static const struct state_field state_fields[] = {
	{ "cid", STATE_ONE(struct virtio_vsock, state.guest_cid), .fixed = true },
	{ 0 },
};

static const struct state_part vsock_state = {
	STATE_PART(struct virtio_vsock, state),
	.fields = state_fields,
};

const struct device_class virtio_vsock_class = {
	.compatible = "sluice,virtio-vsock",
	.bytes = sizeof(struct virtio_vsock),
	.kind = DEVICE_VIRTIO,
	.properties = properties,
	.config_bytes = sizeof(struct virtio_vsock_node),
	.probe = probe,
	.vhost_workers = vhost_workers,
	.init = virtio_vsock_init,
	.listener = virtio_vsock_listener,
	.reset = virtio_vsock_reset,
	.quiesce = virtio_quiesce,
	.pause = virtio_pause,
	.state = { &vsock_state, &virtio_state },
	.finish = virtio_vsock_finish,
};
