/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities of a guest that must be unique among others: addresses of network cards, serial numbers. They are the
 * same each time that a machine starts on a host, and differ between machines and between hosts. They do not reveal
 * the host's own id, which programs must not show (machine-id(5)).
 */
#ifndef SLUICE_BOARD_HOST_IDENTITY_H
#define SLUICE_BOARD_HOST_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#define HOST_ID_BYTES 16

/*
 * The id of the host: /etc/machine-id, or D-Bus's, below `root` ("" except in tests). -ENOENT, with zeroes in `ret`,
 * if there is none, or none yet: then only the machine's name makes a difference.
 */
int identity_read_host(const char *root, uint8_t ret[HOST_ID_BYTES]);

/* A number for the part `what` of the machine of this name; NULL: a machine without a name. */
uint64_t identity_of(const uint8_t host[HOST_ID_BYTES], const char *machine, const char *what);

/* SipHash-2-4 of Aumasson and Bernstein: a keyed hash, short and made for short messages. */
uint64_t siphash(const uint8_t key[16], const void *message, size_t len);

#endif
