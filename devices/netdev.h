/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a network device's frames go: a tap interface (tap.h), passt (passt.h), or what else carries
 * Ethernet. None of it ever waits. Everything is called on the event loop's thread.
 */
#ifndef SLUICE_DEVICES_NETDEV_H
#define SLUICE_DEVICES_NETDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct netdev;

struct netdev_ops {
	/*
	 * One frame, behind a header of NETDEV_HEADER bytes, in NETDEV_PARTS_MAX parts at most. 0 when
	 * it went or was dropped, as networks do; -EAGAIN: nothing happened, and `writable` will be
	 * called.
	 */
	int (*send)(struct netdev *netdev, const struct iovec *iov, unsigned count);
	/*
	 * The next frame with such a header, which the bytes of `buf` have room for. Their number,
	 * or -EAGAIN: `readable` is called when there is one.
	 */
	int (*receive)(struct netdev *netdev, void *buf, size_t size);
	/* Whether `readable` is wanted. */
	void (*listen)(struct netdev *netdev, bool on);
	/* Which features VIRTIO_NET_F_GUEST_* the driver took: what it can be sent. */
	void (*set_offloads)(struct netdev *netdev, uint64_t features);
	/*
	 * Of one that several make up, each for a pair of queues: whether it takes part. They begin with
	 * all that do. 0 or -errno. NULL of those that are alone.
	 */
	int (*set_active)(struct netdev *netdev, bool active);
	void (*destroy)(struct netdev *netdev);
};

/* What the device does. */
struct netdev_client {
	void (*readable)(struct netdev_client *client);
	void (*writable)(struct netdev_client *client);
	/* It has ended for good: what is sent is lost, and nothing comes. From the loop, never from one of the ops. */
	void (*lost)(struct netdev_client *client);
};

struct netdev {
	const struct netdev_ops *ops;
	int fd; /* of a tap, which vhost-net can take */
	struct netdev_client *client;
	uint64_t
		features; /* of VIRTIO_NET_F_{,GUEST_,HOST_}* about checksums and segments, what it can do */
};

/* struct virtio_net_hdr_v1: before every frame, both ways. */
#define NETDEV_HEADER	 12
#define NETDEV_PARTS_MAX 256
/* The longest frame with its header: 64 KiB that a segment may have, and an Ethernet header with a VLAN's tag. */
#define NETDEV_FRAME_MAX (NETDEV_HEADER + 65536 + 18)

#endif
