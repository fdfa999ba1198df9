/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A character stream between a UART, or a port of virtio-console, and the outside. The device writes from any thread
 * and must not block: the back end refuses what it cannot take now, and calls writable() when it can take more. The
 * back end offers input on the event loop's thread; the device takes as much as it has room for.
 */
#ifndef SLUICE_DEVICES_BACKEND_CHARDEV_H
#define SLUICE_DEVICES_BACKEND_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev;

struct chardev_ops {
	/* Takes up to `len` bytes, returns how many; never waits. Any thread. */
	size_t (*write)(struct chardev *chardev, const uint8_t *buf, size_t len);
	/* The device can take input again after receive() took less than was offered. Any thread. */
	void (*resume)(struct chardev *chardev);
};

/* The device's callbacks, which it sets when it is created. On the loop's thread. */
struct chardev_client {
	/* Takes up to `len` bytes, returns how many. */
	size_t (*receive)(struct chardev_client *client, const uint8_t *buf, size_t len);
	/* write() will take bytes again after it took fewer than it was given. */
	void (*writable)(struct chardev_client *client);
	/* chardev->connected has changed. May be NULL. */
	void (*connected)(struct chardev_client *client);
};

struct chardev {
	const struct chardev_ops *ops;
	struct chardev_client *client; /* NULL while there is no device: input is held back */
	bool connected;		       /* the other end is open; used on the loop's thread only */
};

#endif
