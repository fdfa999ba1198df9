/* SPDX-License-Identifier: Apache-2.0 */
/* A tap interface of the host's: what the guest sends comes out of it, and the reverse. */
#ifndef SLUICE_DEVICES_TAP_H
#define SLUICE_DEVICES_TAP_H

struct loop;
struct netdev;

/*
 * Opens the interface `name`, at most 15 bytes, or makes it where there is none (then it goes with the
 * process). 0 and a descriptor of the caller's, or -errno: -EPERM without the right to it, -EBUSY where another
 * has it, -EINVAL where it is no tap interface, -ENOENT without /dev/net/tun.
 */
int tap_open(const char *name, int *ret_fd);

/* A netdev of such a descriptor, which it closes, also where it fails. */
int tap_create(int fd, struct loop *loop, struct netdev **ret);

#endif
