/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's network without privileges: passt(1), a child process that carries the guest's connections through
 * sockets of its own. It starts with the machine, and ends with it in any case, since it ends when its socket closes.
 * If it ends first it is started again, after a second and then at growing intervals, up to a minute. The log says so
 * once, until passt has run for a minute.
 */
#ifndef SLUICE_DEVICES_BACKEND_PASST_H
#define SLUICE_DEVICES_BACKEND_PASST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct netdev;

struct passt_config {
	const char *forward_tcp, *forward_udp; /* as in passt_forwards(); NULL: none */
	bool host_loopback; /* the gateway's address leads to the host's loopback */
	uint32_t mtu;	    /* 0: as passt has it */
	int output;	    /* descriptor for what it prints; 0: standard error */
};

#define PASST_ADDRESSES_MAX 8

/*
 * Whether `spec` is a list of [ADDRESS/]PORT[:PORT], separated by commas, the guest's port last. An address (IPv4 or
 * IPv6) holds for the ports after it up to the next address; there are PASST_ADDRESSES_MAX at most.
 */
bool passt_forwards(const char *spec);

/* Starts it. 0, with its process and socket, which the caller owns; or -errno, -ENOENT if there is no passt. */
int passt_start(const struct passt_config *config, int *ret_fd, pid_t *ret_pid);

/*
 * A netdev from such a socket and process, which it owns from now on, also if it fails. It starts passt again by
 * `config`, whose strings outlive it. `id` is the device's, for the log.
 */
int passt_create(const struct passt_config *config, int fd, pid_t pid, const char *id,
	struct loop *loop, struct netdev **ret);

#endif
