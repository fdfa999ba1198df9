/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's network without a privilege: passt(1), a process of ours that carries the guest's
 * connections through sockets of its own. It is started with the machine and ends with it, however
 * that ends, since it ends when its socket closes. Where it ends first, the machine goes on without.
 */
#ifndef SLUICE_DEVICES_PASST_H
#define SLUICE_DEVICES_PASST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct netdev;

struct passt_config {
	const char *forward_tcp; /* as in passt_forwards(); NULL: none */
	bool host_loopback;	 /* the gateway's address is the host's own, as 127.0.0.1 */
	uint32_t mtu;		 /* 0: as passt has it */
};

/* Whether it reads [ADDRESS/]PORT[:PORT] and more of PORT[:PORT] behind commas, the guest's ports last. */
bool passt_forwards(const char *spec);

/* Starts it. 0, its process and the socket to it, the caller's both; or -errno, -ENOENT where there is no passt. */
int passt_start(const struct passt_config *config, int *ret_fd, pid_t *ret_pid);

/* A netdev of such a socket and process, which it ends, also where it fails. `id` is the device's, for the log. */
int passt_create(int fd, pid_t pid, const char *id, struct loop *loop, struct netdev **ret);

#endif
