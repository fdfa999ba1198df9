/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's queues served by the host's kernel (<linux/vhost.h>): a worker thread of the kernel's,
 * which pays from this process's cgroup, takes the driver's notifications from the doorbell,
 * reads and writes guest memory by a table of its own, and interrupts by the line's eventfd. It does
 * not pass the gate. What stands in for it: the table has the open slots and nothing else (this is a
 * listener), and unplugged blocks are protected by the mapping that the worker goes through.
 *
 * One struct is one worker and its rings, which are `ring_count` queues of the device from `first` on.
 * Created, stopped for good and destroyed on the loop's thread.
 */
#ifndef SLUICE_DEVICES_VHOST_H
#define SLUICE_DEVICES_VHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "hyp/listener.h"
#include "hyp/loop.h"

#define VHOST_NET   "/dev/vhost-net"
#define VHOST_RINGS 2

struct device_check;
struct vhost_memory;
struct virtio_device;
struct vhost;

struct vhost_config {
	const char *path; /* "/dev/vhost-net" */
	struct virtio_device *device;
	unsigned first, ring_count;
	uint64_t features; /* virtio's, that the worker has to know: those that a driver may take */
	/* Makes the worker begin, and let go of, a ring that is set up. 0 or -errno. */
	int (*set_running)(struct vhost *vhost, unsigned ring, bool running);
};

struct vhost {
	struct listener listener;
	struct vhost_config config;
	int fd;
	struct vhost_memory *table; /* what the kernel was told */
	unsigned room;		    /* regions it has room for */
	bool running[VHOST_RINGS];
	int kick_fd[VHOST_RINGS]; /* the doorbells */
	struct loop_fd failed;	  /* signalled when a ring makes no sense to the worker */
	char name[64];
};

/* How many slots a worker's table takes on this host: its module's max_mem_regions. */
unsigned vhost_regions(void);

/*
 * For a class's `look`: opens "/dev/vhost-..." of the module, or says of `property` why that cannot be.
 * The descriptor, or -1.
 */
int vhost_look(
	const char *path, const char *module, const char *property, struct device_check *check);

/*
 * Fills a zeroed struct, after virtio_init() of the device whose doorbells it takes over.
 * -ENOTSUP where the kernel's lacks one of the features; else as open(2). Nothing is left on errors.
 */
int vhost_init(struct vhost *vhost, const struct vhost_config *config);
/*
 * At the machine's reset, with nothing running and no slot open: another worker in place of this one,
 * which knows of nothing that the last had from the driver or was told by the device. 0, or -errno
 * with the last one kept.
 */
int vhost_renew(struct vhost *vhost);
/* Takes a zeroed one too. */
void vhost_finish(struct vhost *vhost);

/*
 * For the device's `serve`, with the lock: a ring that the driver has set up and that does not run
 * yet begins.
 */
void vhost_start(struct vhost *vhost, unsigned ring);
/*
 * For the class's `halt`, with the lock, on any thread: once it returns the worker touches nothing of
 * the ring. What it has taken stays taken, should it start again.
 */
void vhost_stop(struct vhost *vhost, unsigned ring);

#endif
