/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's queues served by the host's kernel (<linux/vhost.h>). A worker thread of the kernel, charged to this
 * process's cgroup, takes the driver's notifications from the doorbell, reads and writes guest memory by a table of
 * its own, and interrupts by the line's eventfd. The worker bypasses the gate. It is confined instead by the table,
 * which has the open slots and nothing else (this is a listener), and by our mapping, which protects unplugged blocks.
 *
 * The worker owns the doorbells. At DRIVER_OK the core kicks each queue, and the device sets its rings up in `serve`. A
 * driver's reset stops them on its vCPU's thread (`halt`). Pulling a network card's cable stops them too; Sluice drops
 * the frames in the tap and the rings before they run again. The transport does not see the worker's interrupts, so
 * InterruptStatus says "used buffer" for as long as such a device runs. A network card's rings have 1024 entries, as
 * QEMU's: the worker copies until it finds no buffer, and must then be notified of the next one, which happened often
 * with 256 (16 frames of 64 KiB). Rings of that length need no indirect tables, which cost guest and worker more than
 * they save. Workers are threads of this process from Linux 6.4 on, before that the kernel's own in this process's
 * cgroup.
 *
 * The worker's writes are not in the log of guestmem.h, so guestmem_log_start() fails while there is a worker. Logging
 * them would take VHOST_F_LOG_ALL among the features, a log by VHOST_SET_LOG_BASE (a bit for 4 KiB of guest addresses
 * from 0 on), and for each ring VHOST_VRING_F_LOG with the used ring's guest address, since the worker has only ours.
 *
 * One struct is one worker and its rings, which are `ring_count` queues of the device from `first` on.
 * Created, stopped for good and destroyed on the loop's thread.
 */
#ifndef SLUICE_DEVICES_VIRTIO_VHOST_H
#define SLUICE_DEVICES_VIRTIO_VHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "hyp/base/loop.h"
#include "hyp/memory/listener.h"

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
	uint64_t features; /* of virtio; the worker must support all that a driver may take */
	/* Makes the worker start or stop a ring that is set up. 0 or -errno. */
	int (*set_running)(struct vhost *vhost, unsigned ring, bool running);
};

struct vhost {
	struct listener listener;
	struct vhost_config config;
	int fd;
	struct vhost_memory *table; /* as the kernel has it */
	unsigned room;		    /* regions it has room for */
	bool running[VHOST_RINGS];
	int kick_fd[VHOST_RINGS]; /* the doorbells */
	struct loop_fd failed;	  /* signalled when the worker finds a ring broken */
	char name[64];
};

/* How many slots a worker's table takes on this host: its module's max_mem_regions. */
unsigned vhost_regions(void);

/*
 * For a class's `probe`: opens "/dev/vhost-..." of the module. The descriptor, or -1 after an error on `property`.
 */
int vhost_probe(
	const char *path, const char *module, const char *property, struct device_check *check);

/*
 * Fills a zeroed struct, after virtio_init() of the device whose doorbells it takes over. -ENOTSUP if the kernel's
 * vhost lacks one of the features; else as open(2). On errors nothing is left to free.
 */
int vhost_init(struct vhost *vhost, const struct vhost_config *config);
/*
 * At the machine's reset, with nothing running and no slot open: replaces the worker by a new one, which has none of
 * the old one's state. 0, or -errno, and the old one stays.
 */
int vhost_renew(struct vhost *vhost);
/* Takes a zeroed struct too. */
void vhost_finish(struct vhost *vhost);

/*
 * For the device's `serve`, with the lock: starts a ring that the driver has set up, unless it runs already.
 */
void vhost_start(struct vhost *vhost, unsigned ring);
/*
 * For the class's `halt`, with the lock, on any thread: once it returns, the worker does not touch the ring. If the
 * ring starts again, it continues after the chains that the worker has already taken.
 */
void vhost_stop(struct vhost *vhost, unsigned ring);

#endif
