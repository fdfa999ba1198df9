/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end of a network device: a tap interface (tap.h) or passt (passt.h). It never blocks. Everything is called
 * on the event loop's thread.
 */
#ifndef SLUICE_DEVICES_BACKEND_NETDEV_H
#define SLUICE_DEVICES_BACKEND_NETDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct helper_output;
struct netdev;

struct netdev_ops {
	/*
	 * Sends one frame, after a header of NETDEV_HEADER bytes, in NETDEV_PARTS_MAX parts at most. 0 if it was sent,
	 * or dropped, as networks may; -EAGAIN: nothing happened, and `writable` will be called.
	 */
	int (*send)(struct netdev *netdev, const struct iovec *iov, unsigned count);
	/*
	 * Receives the next frame, with such a header, into `buf`. Returns the number of bytes, or -EAGAIN:
	 * `readable` is called when there is a frame.
	 */
	int (*receive)(struct netdev *netdev, void *buf, size_t size);
	/* Whether to call `readable`. */
	void (*listen)(struct netdev *netdev, bool on);
	/* The features VIRTIO_NET_F_GUEST_* that the driver took: what may be sent to it. */
	void (*set_offloads)(struct netdev *netdev, uint64_t features);
	/*
	 * For multi-queue back ends: attaches or detaches this queue pair. All pairs start attached. 0 or -errno. NULL:
	 * there is one pair only.
	 */
	int (*set_active)(struct netdev *netdev, bool active);
	void (*destroy)(struct netdev *netdev);
};

/* The device's callbacks. */
struct netdev_client {
	void (*readable)(struct netdev_client *client);
	void (*writable)(struct netdev_client *client);
	/*
	 * !here: the back end has ended; frames that are sent are lost, and none come, until it is here again, if ever.
	 * Called from the loop, never from within one of the ops.
	 */
	void (*changed)(struct netdev_client *client, bool here);
};

struct netdev {
	const struct netdev_ops *ops;
	struct helper_output
		*output; /* of the process behind it; NULL: none. Destroyed after `destroy` */
	int fd;		 /* of a tap, which vhost-net can take */
	struct netdev_client *client;
	uint64_t features; /* its VIRTIO_NET_F_{,GUEST_,HOST_}* for checksums and segmentation */
};

/* struct virtio_net_hdr_v1: before every frame, both ways. */
#define NETDEV_HEADER	 12
#define NETDEV_PARTS_MAX 256
/* The longest frame with its header: 64 KiB that a segment may have, and an Ethernet header with a VLAN's tag. */
#define NETDEV_FRAME_MAX (NETDEV_HEADER + 65536 + 18)

#endif
