/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the only way from a guest-physical address to a pointer. It checks range, overflow
 * and, in windows, that every block touched is plugged. Called on the event loop's thread, the
 * only one that changes the map; a pointer it gave is good until the handler returns to the loop,
 * or for as long as it is pinned.
 */
#ifndef SLUICE_HYP_GUESTMEM_H
#define SLUICE_HYP_GUESTMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct window;

#define GUESTMEM_RANGES 64

struct guestmem_range {
	uint64_t gpa;
	uint64_t size; /* bytes, not 0; gpa + size does not overflow */
	uint8_t *hva;
	struct window *window; /* NULL for plain RAM */
};

/* What a request in flight reads and writes, embedded in it: pointers that the gate gave. */
struct guestmem_pin {
	const struct iovec *parts;
	size_t count;
	struct guestmem_pin *next, **at;
};

struct guestmem {
	struct guestmem_range ranges[GUESTMEM_RANGES];
	size_t count;
	struct guestmem_pin *pins;
};

/* Adds a range, none of it owned. -EEXIST on overlap, -ENOSPC when full, -EINVAL when empty or wrapping. */
int guestmem_add(struct guestmem *mem, const struct guestmem_range *range);

/* The pointer to `len` bytes at `gpa`, or NULL if any of them is not memory the guest has. len 0 is NULL. */
void *guestmem_at(const struct guestmem *mem, uint64_t gpa, uint64_t len);

/*
 * The same as parts, one for each range that it touches (the guest sees no seam between two): how many, or
 * -EFAULT, also where `room` is too small.
 */
int guestmem_parts(
	const struct guestmem *mem, uint64_t gpa, uint64_t len, struct iovec *ret, unsigned room);

/* Copy in or out. -EFAULT, with nothing copied, where guestmem_at() would give NULL. */
int guestmem_read(const struct guestmem *mem, uint64_t gpa, void *ret_buf, size_t len);
int guestmem_write(const struct guestmem *mem, uint64_t gpa, const void *buf, size_t len);

/*
 * Gives the host's memory behind [gpa, gpa + len) back, in whole pages of the host's: of other parts nothing.
 * The guest finds zeros there, or what it had. -EFAULT where some of it is not memory that the guest has,
 * -EBUSY where some is pinned, -errno where the host refuses; what lies in a range before may be gone then.
 */
int guestmem_discard(const struct guestmem *mem, uint64_t gpa, uint64_t len);

/*
 * Until guestmem_unpin(), who would take memory away (an unplug) is told by guestmem_pinned() that
 * the parts are in use. Parts may shrink meanwhile.
 */
void guestmem_pin(struct guestmem *mem, struct guestmem_pin *pin);
void guestmem_unpin(struct guestmem_pin *pin);
/* Whether some byte of [gpa, gpa + size), all in one range and plugged or not, is pinned. */
bool guestmem_pinned(const struct guestmem *mem, uint64_t gpa, uint64_t size);

#endif
