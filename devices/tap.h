/* SPDX-License-Identifier: Apache-2.0 */
/* A tap interface of the host's: what the guest sends comes out of it, and the reverse. */
#ifndef SLUICE_DEVICES_TAP_H
#define SLUICE_DEVICES_TAP_H

#include <stdbool.h>

struct loop;
struct netdev;

/*
 * Opens the interface `name`, at most 15 bytes, or makes it where there is none (then it goes with the
 * process); `several`: one of its queues, where it has more than one. 0 and a descriptor of the caller's, or -errno: -EPERM without the right to it, -EBUSY where another
 * has it, -EINVAL where it is no tap interface, -ENAMETOOLONG for no name of one, and those of open() on /dev/net/tun.
 */
int tap_open(const char *name, bool several, int *ret_fd);

/* The same of a descriptor that this process was started with. -EBADF or -ENOTTY where it is nothing of the kind. */
int tap_adopt(int inherited_fd, int *ret_fd);

/* A netdev of such a descriptor, which it closes, also where it fails. */
int tap_create(int fd, struct loop *loop, struct netdev **ret);

#endif
