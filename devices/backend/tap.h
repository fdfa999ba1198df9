/* SPDX-License-Identifier: Apache-2.0 */
/* A tap interface of the host: what the guest sends comes out of it, and the reverse. */
#ifndef SLUICE_DEVICES_BACKEND_TAP_H
#define SLUICE_DEVICES_BACKEND_TAP_H

#include <stdbool.h>

struct loop;
struct netdev;

/*
 * Opens the interface `name`, at most 15 bytes, or creates it (then it disappears with the process). `several`: opens
 * one of its queues. 0 and a descriptor that the caller owns, or -errno: -EPERM without the right to it, -EBUSY if
 * another process has it, -EINVAL if it is not a tap interface, -ENAMETOOLONG for too long a name, and those of open()
 * on /dev/net/tun.
 */
int tap_open(const char *name, bool several, int *ret_fd);

/* The same with a descriptor that this process was started with. -EBADF or -ENOTTY if it is not one of a tap. */
int tap_adopt(int inherited_fd, int *ret_fd);

/*
 * A netdev from such a descriptor, which it owns from now on, also if it fails. `id` is the device's, for loop_report();
 * it outlives the netdev.
 */
int tap_create(int fd, const char *id, struct loop *loop, struct netdev **ret);

#endif
