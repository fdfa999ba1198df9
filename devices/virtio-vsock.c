/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (virtio 1.2, 5.10): stream and packet sockets between host and guest without a network.
 * The host's kernel serves the two queues that carry them (vhost.h); the third, of events, has none
 * to tell, since a machine keeps its context id.
 */
#include "devices/virtio-vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "devices/vhost.h"
#include "devices/virtio.h"
#include "hyp/log.h"
#include "hyp/util.h"

enum { RECEIVE, TRANSMIT, EVENTS, QUEUES };

#define CLAIM_TRIES  20
#define CLAIM_TRY_NS 10000000

#define VHOST_VSOCK "/dev/vhost-vsock"

/* Ids below are the hypervisor's, the machine's own and the host's (5.10.4). */
#define CID_MIN (VMADDR_CID_HOST + 1)
#define CID_MAX (VMADDR_CID_ANY - 1)

struct virtio_vsock_node {
	uint32_t cid;
};

struct virtio_vsock {
	struct virtio_device virtio;
	struct virtio_vsock_config config;
	struct vhost vhost;
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

static void look(const void *config, struct device_check *check)
{
	const struct virtio_vsock_node *node = config;
	uint64_t cid = node->cid;
	int fd = vhost_look(VHOST_VSOCK, "vhost_vsock", "cid", check);

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

static void virtio_vsock_destroy(struct device *device)
{
	struct virtio_vsock *vsock;

	if (!device)
		return;
	vsock = container_of(device, struct virtio_vsock, virtio.base);
	vhost_finish(&vsock->vhost);
	virtio_finish(&vsock->virtio);
	free(vsock);
}

static int set_cid(const struct virtio_vsock *vsock)
{
	uint64_t cid = vsock->config.guest_cid;

	return ioctl(vsock->vhost.fd, VHOST_VSOCK_SET_GUEST_CID, &cid) ? -errno : 0;
}

static int virtio_vsock_create(
	const void *config, const struct device_env *env, struct device **ret)
{
	const struct virtio_vsock_node *node = config;
	struct virtio_vsock *vsock = calloc(1, sizeof(*vsock));
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

	if (!vsock)
		return -ENOMEM;
	vsock->config.guest_cid = node->cid;
	err = virtio_init(
		&vsock->virtio, &virtio_vsock_class, &virtio_class, env, 0, &vsock->config);
	if (err) {
		free(vsock);
		return err;
	}
	err = vhost_init(&vsock->vhost, &vhost);
	if (!err)
		err = set_cid(vsock);
	if (err) {
		virtio_vsock_destroy(&vsock->virtio.base);
		return err;
	}
	*ret = &vsock->virtio.base;
	return 0;
}

static struct listener *virtio_vsock_listener(struct device *device, unsigned index)
{
	struct virtio_vsock *vsock = container_of(device, struct virtio_vsock, virtio.base);

	return index ? NULL : &vsock->vhost.listener;
}

static void virtio_vsock_quiesce(struct device *device)
{
	virtio_system_reset(container_of(device, struct virtio_device, base));
}

/* A look at a tree with this cid, as by `sluice check`, has it for a moment. */
static int claim_cid(const struct virtio_vsock *vsock)
{
	const struct timespec pause = { .tv_nsec = CLAIM_TRY_NS };
	int err = set_cid(vsock);

	for (int tries = 1; err == -EADDRINUSE && tries < CLAIM_TRIES; tries++) {
		nanosleep(&pause, NULL);
		err = set_cid(vsock);
	}
	return err;
}

/* The kernel resets connections where their context id is nobody's: when its worker ends. */
static void virtio_vsock_reset(struct device *device)
{
	struct virtio_vsock *vsock = container_of(device, struct virtio_vsock, virtio.base);
	int err;

	virtio_vsock_quiesce(device);
	err = vhost_renew(&vsock->vhost);
	if (err)
		log_limited(&vsock->virtio.complaints, LOG_WARNING,
			"%s: connections from before the reset stay: %s", device->id,
			strerror(-err));
	else if ((err = claim_cid(vsock)))
		log_limited(&vsock->virtio.complaints, LOG_ERROR,
			"%s: cid %u is lost to another: %s", device->id,
			(unsigned)vsock->config.guest_cid, strerror(-err));
}

const struct device_class virtio_vsock_class = {
	.compatible = "sluice,virtio-vsock",
	.kind = DEVICE_VIRTIO,
	.properties = properties,
	.config_bytes = sizeof(struct virtio_vsock_node),
	.look = look,
	.vhost_workers = vhost_workers,
	.create = virtio_vsock_create,
	.listener = virtio_vsock_listener,
	.reset = virtio_vsock_reset,
	.quiesce = virtio_vsock_quiesce,
	.destroy = virtio_vsock_destroy,
};
