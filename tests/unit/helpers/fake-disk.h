/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of a few sectors in memory, which ends a request when a test says so, and how: it takes the
 * place of devices/backend/disk.c, and holds its callers to the contract of disk.h.
 */
#ifndef SLUICE_TESTS_UNIT_FAKE_DISK_H
#define SLUICE_TESTS_UNIT_FAKE_DISK_H

#include "devices/backend/disk.h"

#define FAKE_DISK_BYTES	 0x10000
#define FAKE_DISK_FLIGHT 4096

extern uint8_t fake_disk_contents[FAKE_DISK_BYTES];
/* Its size, also what it grows to without another: with more than FAKE_DISK_BYTES it has no contents beyond. */
extern uint64_t fake_disk_bytes;
/* What the device opened, and how many are open; whether disk_probe() finds it good, and disk_open() does. */
extern struct disk_config fake_disk_config;
extern unsigned fake_disk_opened;
extern int fake_disk_probe, fake_disk_open;
/* Whether the last to wait did so for the end. */
extern bool fake_disk_ending;
/* What disk_is_full() says. */
extern bool fake_disk_full;
/* Whether what it had taken is lost. */
extern bool fake_disk_lost;
/* Called where requests are submitted, if set. */
extern void (*fake_disk_submitted)(void);

/* How many requests are in flight, and the oldest of them but `index`. */
unsigned fake_disk_flight(void);
const struct disk_request *fake_disk_request(unsigned index);
/* Ends that one: carried out if err is 0. */
void fake_disk_end(unsigned index, int err);

#endif
