/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO bus: register regions by guest-physical address. It passes an access to its region with an offset, under
 * the region's lock, on the thread of the vCPU that made it.
 */
#ifndef SLUICE_HYP_KVM_MMIO_H
#define SLUICE_HYP_KVM_MMIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mmio_access {
	uint64_t offset; /* into the region; the access lies wholly inside it */
	unsigned size;	 /* bytes: 1, 2, 4 or 8 */
	bool write;
	uint64_t data; /* written, or to be filled in by a read; 0 when the handler leaves it */
};

/*
 * A doorbell: a 4-byte write of `value` at `offset` signals the eventfd `fd` without an exit
 * to user space (KVM_IOEVENTFD). The region's handler sees the write only if the ioeventfd could not be set up.
 */
struct mmio_doorbell {
	uint64_t offset;
	uint32_t value;
	int fd;
};

struct mmio_region {
	const char *name; /* for messages */
	uint64_t gpa;	  /* set by the board */
	uint64_t size;	  /* bytes */
	/* The handler ignores bad offsets and sizes: reads give 0, writes do nothing. */
	void (*access)(struct mmio_region *region, struct mmio_access *access);
	pthread_mutex_t *lock; /* held around the calls; the owner's */
	/*
	 * Of an access whose width and registers KVM does not tell (a pair, one with writeback): true if it does
	 * nothing here, and the instruction is passed over. NULL or false: the guest gets an abort.
	 */
	bool (*ignores)(struct mmio_region *region, uint64_t offset, bool write);
	/* The memory of `size` bytes that the guest reads here without an exit (rom.h), if it is shown; or NULL. */
	const uint8_t *memory;
	const struct mmio_doorbell *doorbells;
	size_t doorbell_count;
};

#define MMIO_BUS_REGIONS 128

struct mmio_bus {
	struct mmio_region *regions[MMIO_BUS_REGIONS]; /* sorted by gpa */
	size_t count;
};

/* Adds a region, not owned. -EEXIST if it overlaps another, -ENOSPC if the bus is full. */
int mmio_bus_add(struct mmio_bus *bus, struct mmio_region *region);

/* The region that contains this address, or NULL. */
const struct mmio_region *mmio_bus_find(const struct mmio_bus *bus, uint64_t gpa);

/*
 * Carries out an access at `gpa`. Returns false when no region covers it wholly; `data` is then
 * untouched.
 */
bool mmio_bus_access(struct mmio_bus *bus, uint64_t gpa, unsigned size, bool write, uint64_t *data);

/* Whether the region that contains this address ignores an access of unknown width; see struct mmio_region. */
bool mmio_bus_ignores(struct mmio_bus *bus, uint64_t gpa, bool write);

#endif
