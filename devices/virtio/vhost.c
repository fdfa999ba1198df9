/* SPDX-License-Identifier: Apache-2.0 */
/* Queues served by the host's kernel; see vhost.h. */
#include "devices/virtio/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "hyp/memory/guestmem.h"

#define REGIONS_DEFAULT 64 /* the module's default, if it is not loaded yet */
#define TABLE_STEP	64
#define OWNER_TRIES	20

static int vhost_ioctl(const struct vhost *vhost, unsigned long request, const void *arg)
{
	return RETRY_EINTR(ioctl(vhost->fd, request, arg)) < 0 ? -errno : 0;
}

unsigned vhost_regions(void)
{
	FILE *file = fopen("/sys/module/vhost/parameters/max_mem_regions", "re");
	unsigned regions = 0;

	if (file) {
		if (fscanf(file, "%u", &regions) != 1)
			regions = 0;
		fclose(file);
	}
	return regions ? regions : REGIONS_DEFAULT;
}

int vhost_probe(
	const char *path, const char *module, const char *property, struct device_check *check)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == EACCES)
		check->error(check, property,
			"this user may not open %s: usermod -aG kvm $USER, as root", path);
	else if (errno == ENOENT || errno == ENODEV)
		check->error(check, property, "there is no %s: modprobe %s", path, module);
	else
		check->error(check, property, "%s cannot be opened: %s", path, strerror(errno));
	return -1;
}

/* ---- The table of memory: a listener ---- */

/* The kernel swaps tables with each ring's lock held: after the call the worker touches nothing by the old table. */
static int notify_table(struct vhost *vhost)
{
	return vhost_ioctl(vhost, VHOST_SET_MEM_TABLE, vhost->table);
}

static int open_slot(struct listener *listener, const struct memory_slot *slot)
{
	struct vhost *vhost = container_of(listener, struct vhost, listener);
	unsigned room = vhost->room + TABLE_STEP;
	struct vhost_memory *grown;
	int err;

	if (vhost->table->nregions == vhost->room) {
		grown = realloc(vhost->table, sizeof(*grown) + room * sizeof(grown->regions[0]));
		if (!grown)
			return -ENOMEM;
		vhost->table = grown;
		vhost->room = room;
	}
	vhost->table->regions[vhost->table->nregions++] = (struct vhost_memory_region){
		.guest_phys_addr = slot->gpa,
		.memory_size = slot->size,
		.userspace_addr = (uintptr_t)slot->hva,
	};
	err = notify_table(vhost);
	if (err)
		vhost->table->nregions--;
	return err;
}

static int close_slot(struct listener *listener, const struct memory_slot *slot)
{
	struct vhost *vhost = container_of(listener, struct vhost, listener);
	struct vhost_memory_region *regions = vhost->table->regions, closed, *last;
	unsigned i = 0;
	int err;

	while (regions[i].guest_phys_addr != slot->gpa)
		CHECK(++i < vhost->table->nregions);
	last = &regions[vhost->table->nregions - 1];
	closed = regions[i];
	regions[i] = *last;
	vhost->table->nregions--;
	err = notify_table(vhost);
	if (err) {
		vhost->table->nregions++;
		*last = regions[i];
		regions[i] = closed;
	}
	return err;
}

/* The rings were stopped before (quiesce), so the worker uses no table. */
static void forget(struct listener *listener)
{
	struct vhost *vhost = container_of(listener, struct vhost, listener);

	vhost->table->nregions = 0;
	(void)notify_table(vhost);
}

/* ---- Rings ---- */

static struct virtq *ring_queue(const struct vhost *vhost, unsigned ring)
{
	return &vhost->config.device->state.queues[vhost->config.first + ring];
}

/* The worker uses our addresses of the rings: the gate checks them now, later only the mapping protects. */
static int find_ring(const struct vhost *vhost, unsigned ring, struct vhost_vring_addr *ret)
{
	const struct guestmem *mem = vhost->config.device->env->mem;
	const struct virtq *queue = ring_queue(vhost, ring);
	const void *desc = guestmem_read_at(
		mem, queue->desc_gpa, queue->size * sizeof(struct vring_desc));
	const void *avail = guestmem_read_at(
		mem, queue->avail_gpa, sizeof(struct vring_avail) + (queue->size + 1) * 2);
	const void *used = guestmem_write_at(mem, queue->used_gpa,
		sizeof(struct vring_used) + queue->size * sizeof(struct vring_used_elem) + 2);

	if (!desc || !avail || !used)
		return -EFAULT;
	*ret = (struct vhost_vring_addr){
		.index = ring,
		.desc_user_addr = (uintptr_t)desc,
		.avail_user_addr = (uintptr_t)avail,
		.used_user_addr = (uintptr_t)used,
	};
	return 0;
}

static int set_up_ring(struct vhost *vhost, unsigned ring)
{
	struct virtio_device *device = vhost->config.device;
	const struct virtq *queue = ring_queue(vhost, ring);
	const uint64_t features = device->state.driver_features & vhost->config.features;
	const struct vhost_vring_state size = { .index = ring, .num = queue->size };
	const struct vhost_vring_state base = { .index = ring, .num = queue->next_avail };
	const struct vhost_vring_file kick = { .index = ring, .fd = vhost->kick_fd[ring] };
	const struct vhost_vring_file call = { .index = ring, .fd = device->env->irq->event_fd };
	const struct vhost_vring_file failed = { .index = ring, .fd = vhost->failed.fd };
	struct vhost_vring_addr addr = { 0 };
	const struct {
		unsigned long request;
		const void *arg;
	} calls[] = {
		{ VHOST_SET_FEATURES, &features },
		{ VHOST_SET_VRING_NUM, &size },
		{ VHOST_SET_VRING_BASE, &base },
		{ VHOST_SET_VRING_ADDR, &addr },
		{ VHOST_SET_VRING_CALL, &call },
		{ VHOST_SET_VRING_ERR, &failed },
		{ VHOST_SET_VRING_KICK, &kick },
	};
	int err = find_ring(vhost, ring, &addr);

	for (size_t i = 0; i < ARRAY_SIZE(calls) && !err; i++)
		err = vhost_ioctl(vhost, calls[i].request, calls[i].arg);
	return err;
}

void vhost_start(struct vhost *vhost, unsigned ring)
{
	struct virtio_device *device = vhost->config.device;
	int err;

	if (vhost->running[ring] || !virtio_queue_runs(device, vhost->config.first + ring))
		return;
	err = set_up_ring(vhost, ring);
	if (!err)
		err = vhost->config.set_running(vhost, ring, true);
	if (err) {
		virtio_needs_reset(device, err == -EFAULT ? "a ring of it is not in memory"
							  : "the host's vhost takes no such ring");
		return;
	}
	vhost->running[ring] = true;
	/* For chains available before; of all rings, since others may have been stopped with this one. */
	for (unsigned i = 0; i < vhost->config.ring_count; i++)
		(void)!eventfd_write(vhost->kick_fd[i], 1);
}

void vhost_stop(struct vhost *vhost, unsigned ring)
{
	struct vhost_vring_state base = { .index = ring };
	struct virtq *queue;

	if (!vhost->running[ring])
		return;
	vhost->running[ring] = false;
	/* Waits for the worker's current chain. Neither call can fail for a running ring. */
	CHECK(!vhost->config.set_running(vhost, ring, false));
	CHECK(!vhost_ioctl(vhost, VHOST_GET_VRING_BASE, &base));
	/* The worker has returned all chains that it took, and signalled them. */
	queue = ring_queue(vhost, ring);
	queue->next_avail = queue->next_used = queue->notified_used = (uint16_t)base.num;
}

/* The worker found a broken ring or an address not in its table, and would again at each kick: stop all rings. */
static void ring_failed(struct loop_fd *watch, uint32_t events)
{
	struct vhost *vhost = container_of(watch, struct vhost, failed);
	struct virtio_device *device = vhost->config.device;
	bool running = false;
	eventfd_t count;

	(void)!eventfd_read(watch->fd, &count);
	pthread_mutex_lock(&device->base.lock);
	for (unsigned ring = 0; ring < vhost->config.ring_count; ring++) {
		running |= vhost->running[ring];
		vhost_stop(vhost, ring);
	}
	if (running)
		virtio_needs_reset(device,
			"the host's vhost found a ring or a descriptor of it to make no sense, or to be nowhere in memory");
	pthread_mutex_unlock(&device->base.lock);
}

/* ---- Its life ---- */

static const struct listener_ops listener_ops = {
	.open = open_slot,
	.close = close_slot,
	.forget = forget,
};

/* Makes the worker. From Linux 6.4 on a pending signal may yield ENOMEM (vhost_task_create()). */
static int set_owner(int fd)
{
	int err = 0;

	for (int tries = 0; tries < OWNER_TRIES; tries++) {
		err = RETRY_EINTR(ioctl(fd, VHOST_SET_OWNER, NULL)) ? -errno : 0;
		if (err != -ENOMEM)
			break;
	}
	return err;
}

static int open_worker(const struct vhost_config *config, int *ret_fd)
{
	uint64_t features = 0;
	int fd = open(config->path, O_RDWR | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, VHOST_GET_FEATURES, &features))
		err = -errno;
	else if (config->features & ~features)
		err = -ENOTSUP;
	else
		err = set_owner(fd);
	if (err)
		close(fd);
	else
		*ret_fd = fd;
	return err;
}

int vhost_renew(struct vhost *vhost)
{
	int fd, err;

	CHECK(!vhost->table->nregions && !vhost->running[0] && !vhost->running[1]);
	err = open_worker(&vhost->config, &fd);
	if (err)
		return err;
	close(vhost->fd);
	vhost->fd = fd;
	return 0;
}

static int make_events(struct vhost *vhost)
{
	int err;

	vhost->failed = (struct loop_fd){
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.events = EPOLLIN,
		.ready = ring_failed,
		.name = vhost->config.device->base.id,
	};
	if (vhost->failed.fd < 0)
		return -errno;
	err = loop_fd_add(vhost->config.device->env->loop, &vhost->failed);
	for (unsigned ring = 0; ring < vhost->config.ring_count && !err; ring++) {
		vhost->kick_fd[ring] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vhost->kick_fd[ring] < 0)
			err = -errno;
	}
	return err;
}

int vhost_init(struct vhost *vhost, const struct vhost_config *config)
{
	struct virtio_device *device = config->device;
	int err;

	CHECK(config->ring_count <= VHOST_RINGS);
	*vhost = (struct vhost){ .config = *config, .fd = -1, .failed.fd = -1 };
	guestmem_begin_unseen(device->env->mem);
	for (unsigned ring = 0; ring < VHOST_RINGS; ring++)
		vhost->kick_fd[ring] = -1;
	vhost->table = calloc(1, sizeof(*vhost->table));
	err = vhost->table ? open_worker(config, &vhost->fd) : -ENOMEM;
	if (!err)
		err = make_events(vhost);
	if (err) {
		vhost_finish(vhost);
		return err;
	}
	snprintf(vhost->name, sizeof(vhost->name), "vhost (%s)", device->base.id);
	vhost->listener = (struct listener){
		.ops = &listener_ops,
		.name = vhost->name,
		.limit = vhost_regions(),
	};
	for (unsigned ring = 0; ring < config->ring_count; ring++)
		device->doorbells[config->first + ring].fd = vhost->kick_fd[ring];
	virtio_external_backend(device);
	return 0;
}

void vhost_finish(struct vhost *vhost)
{
	if (!vhost->config.device)
		return;
	for (unsigned ring = 0; ring < vhost->config.ring_count; ring++)
		vhost_stop(vhost, ring);
	guestmem_end_unseen(vhost->config.device->env->mem);
	loop_fd_remove(&vhost->failed);
	if (vhost->failed.fd >= 0)
		close(vhost->failed.fd);
	if (vhost->fd >= 0)
		close(vhost->fd);
	for (unsigned ring = 0; ring < VHOST_RINGS; ring++)
		if (vhost->kick_fd[ring] >= 0)
			close(vhost->kick_fd[ring]);
	free(vhost->table);
	*vhost = (struct vhost){ 0 };
}
