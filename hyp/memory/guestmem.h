/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the only way from a guest-physical address to a pointer. It checks range, overflow and, in windows, that
 * every block touched is plugged. Called on the event loop's thread, the only one that changes the map; a pointer that
 * it returns is valid until the handler returns to the loop, or for as long as it is pinned.
 *
 * The caller states whether it reads or writes. While the log is on, pages that are written are marked in it.
 */
#ifndef SLUICE_HYP_MEMORY_GUESTMEM_H
#define SLUICE_HYP_MEMORY_GUESTMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct backing;
struct window;

#define GUESTMEM_RANGES 64

struct guestmem_range {
	uint64_t gpa;
	uint64_t size; /* bytes, not 0; gpa + size does not overflow */
	uint8_t *hva;
	struct window *window; /* NULL for plain RAM */
	/* Of plain RAM; NULL: private anonymous memory. */
	struct backing *backing;
	/* The gate's own: this range's part of the log, a bit for each host page; NULL: the log is off. */
	uint64_t *written;
};

/* What a request in flight reads and writes, embedded in it: pointers that the gate gave. */
struct guestmem_pin {
	const struct iovec *parts;
	size_t count;
	/* Parts from this one on may be written until it is unpinned, those before are read. */
	size_t first_written;
	uintptr_t from,
		to; /* bounds of all parts, by guestmem_pin(): a search skips most pins by these */
	struct guestmem_pin *next, **at;
};

struct guestmem {
	struct guestmem_range ranges[GUESTMEM_RANGES];
	size_t count;
	struct guestmem_pin *pins;
	bool logging;
	unsigned unseen; /* writers that do not pass the gate */
};

enum guestmem_use { GUESTMEM_READ, GUESTMEM_WRITE };

/*
 * Adds a range, none of it owned, while the log is off. -EEXIST on overlap, -ENOSPC when full, -EINVAL when empty or
 * wrapping.
 */
int guestmem_add(struct guestmem *mem, const struct guestmem_range *range);

/*
 * The pointer to `len` bytes at `gpa`, or NULL if any of them is not memory the guest has. len 0 is NULL. A caller that
 * writes after this handler, or lets others write, pins the memory.
 */
const void *guestmem_read_at(const struct guestmem *mem, uint64_t gpa, uint64_t len);
void *guestmem_write_at(const struct guestmem *mem, uint64_t gpa, uint64_t len);

/*
 * The same as parts, one for each range touched, since a guest may use adjacent ranges as one. Returns how many, or
 * -EFAULT, also if `room` is too small.
 */
int guestmem_parts(const struct guestmem *mem, uint64_t gpa, uint64_t len, enum guestmem_use use,
	struct iovec *ret, unsigned room);

/* Copy in or out. -EFAULT, with nothing copied, where guestmem_read_at() would give NULL. */
int guestmem_read(const struct guestmem *mem, uint64_t gpa, void *ret_buf, size_t len);
int guestmem_write(const struct guestmem *mem, uint64_t gpa, const void *buf, size_t len);

/*
 * Frees the host pages that lie wholly inside [gpa, gpa + len); they then read as zeros. Partial pages at the ends are
 * unchanged. -EFAULT if some of it is not memory that the guest has, -EBUSY if some is pinned, -errno if the host
 * refuses; pages in ranges before that may have been freed.
 */
int guestmem_discard(const struct guestmem *mem, uint64_t gpa, uint64_t len);

/*
 * Until guestmem_unpin(), guestmem_pinned() is true for the parts, so that virtio-mem refuses to unplug them. Parts may
 * shrink meanwhile.
 */
void guestmem_pin(struct guestmem *mem, struct guestmem_pin *pin);
void guestmem_unpin(struct guestmem_pin *pin);
/*
 * Whether some byte of [gpa, gpa + size), all in one range and plugged or not, is pinned. Also true if so much is
 * pinned that a search would take long: the caller retries later, or leaves the memory to the guest.
 */
bool guestmem_pinned(const struct guestmem *mem, uint64_t gpa, uint64_t size);

/*
 * The log: which host pages were written through the gate, for copying a guest's memory while it runs. Off until it is
 * started. A vCPU's own writes are not in it: KVM has a log of those (KVM_MEM_LOG_DIRTY_PAGES). Nor are pages that
 * become zeros without the gate: by an unplug, of which listeners are notified, or by a reset of the machine.
 */

/*
 * Starts the log, which is off. Only pages that requests in flight may write are marked. -ENOMEM; -EOPNOTSUPP while
 * there is a writer that bypasses the gate.
 */
int guestmem_log_start(struct guestmem *mem);
/* Harmless if the log is off. */
void guestmem_log_stop(struct guestmem *mem);

/*
 * Takes what was written since it was taken last, of `count` pages from page `first` on of the range with this index: a
 * bit a page, into as many words as that needs. `first` is a multiple of 64, and so is `count` unless the range ends
 * there; a page that is only partly in the range counts. Pages that a request in flight may write stay marked, since
 * the write may come after the caller's copy; if so much is in flight that a search would take long, all pages stay
 * marked.
 */
void guestmem_log_take(
	struct guestmem *mem, size_t index, uint64_t first, uint64_t count, uint64_t *ret);

/*
 * Called when a writer that bypasses the gate (vhost.h) begins and ends. It begins while the log is off, which cannot
 * start meanwhile.
 */
void guestmem_begin_unseen(struct guestmem *mem);
void guestmem_end_unseen(struct guestmem *mem);

#endif
