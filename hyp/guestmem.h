/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the only way from a guest-physical address to a pointer. It checks range, overflow
 * and, in windows, that every block touched is plugged. Called on the event loop's thread, the
 * only one that changes the map; a pointer it gave is good until the handler returns to the loop.
 */
#ifndef SLUICE_HYP_GUESTMEM_H
#define SLUICE_HYP_GUESTMEM_H

#include <stddef.h>
#include <stdint.h>

struct window;

#define GUESTMEM_RANGES 64

struct guestmem_range {
	uint64_t gpa;
	uint64_t size; /* bytes, not 0; gpa + size does not overflow */
	uint8_t *hva;
	struct window *window; /* NULL for plain RAM */
};

struct guestmem {
	struct guestmem_range ranges[GUESTMEM_RANGES];
	size_t count;
};

/* Adds a range, none of it owned. -EEXIST on overlap, -ENOSPC when full, -EINVAL when empty or wrapping. */
int guestmem_add(struct guestmem *mem, const struct guestmem_range *range);

/* The pointer to `len` bytes at `gpa`, or NULL if any of them is not memory the guest has. len 0 is NULL. */
void *guestmem_at(const struct guestmem *mem, uint64_t gpa, uint64_t len);

/* Copy in or out. -EFAULT, with nothing copied, where guestmem_at() would give NULL. */
int guestmem_read(const struct guestmem *mem, uint64_t gpa, void *ret_buf, size_t len);
int guestmem_write(const struct guestmem *mem, uint64_t gpa, const void *buf, size_t len);

#endif
