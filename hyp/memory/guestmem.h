/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the only way from a guest-physical address to a pointer. It checks range, overflow
 * and, in windows, that every block touched is plugged. Called on the event loop's thread, the
 * only one that changes the map; a pointer it gave is good until the handler returns to the loop,
 * or for as long as it is pinned.
 *
 * Who asks says whether it reads or writes. Pages that are written are noted while somebody keeps
 * a log of them.
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
	/* The gate's own: its part of the log, a bit a page; NULL: none is kept. */
	uint64_t *written;
};

/* What a request in flight reads and writes, embedded in it: pointers that the gate gave. */
struct guestmem_pin {
	const struct iovec *parts;
	size_t count;
	/* Parts from this one on may be written until it is unpinned, those before are read. */
	size_t first_written;
	uintptr_t from,
		to; /* of all parts, by guestmem_pin(): most pins are passed over by these */
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
 * Adds a range, none of it owned, while no log is kept. -EEXIST on overlap, -ENOSPC when full, -EINVAL when empty or
 * wrapping.
 */
int guestmem_add(struct guestmem *mem, const struct guestmem_range *range);

/*
 * The pointer to `len` bytes at `gpa`, or NULL if any of them is not memory the guest has. len 0 is NULL. Who writes
 * later than in this handler, or has others write, pins it.
 */
const void *guestmem_read_at(const struct guestmem *mem, uint64_t gpa, uint64_t len);
void *guestmem_write_at(const struct guestmem *mem, uint64_t gpa, uint64_t len);

/*
 * The same as parts, one for each range that it touches (the guest sees no seam between two): how many, or
 * -EFAULT, also where `room` is too small.
 */
int guestmem_parts(const struct guestmem *mem, uint64_t gpa, uint64_t len, enum guestmem_use use,
	struct iovec *ret, unsigned room);

/* Copy in or out. -EFAULT, with nothing copied, where guestmem_read_at() would give NULL. */
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
/*
 * Whether some byte of [gpa, gpa + size), all in one range and plugged or not, is pinned. Also true where so much is
 * pinned that a search would take long: the caller asks again later, or leaves the memory to the guest.
 */
bool guestmem_pinned(const struct guestmem *mem, uint64_t gpa, uint64_t size);

/*
 * The log: which pages of the host's were written through the gate, for who copies a guest's memory while it runs. Off
 * until it is started. A vCPU's own writes are not in it: KVM has a log of those (KVM_MEM_LOG_DIRTY_PAGES). Nor is what
 * takes memory away past the gate and leaves zeros: an unplug, of which listeners hear, and a reset of the machine.
 */

/*
 * Nothing counts as written yet, but for what requests in flight may write. -ENOMEM; -EOPNOTSUPP while
 * somebody writes past the gate. It is not kept already.
 */
int guestmem_log_start(struct guestmem *mem);
/* Harmless where none is kept. */
void guestmem_log_stop(struct guestmem *mem);

/*
 * Takes what was written since it was taken last, of `count` pages from page `first` on of the range with this index:
 * a bit a page, into as many words as that needs. `first` is a multiple of 64, and so is `count` unless the range ends
 * there; a page that the range has but a part of counts. What a request in flight may write stays written, since it may
 * come later than the caller's copy; where so much is in flight that a search would take long, all of it stays.
 */
void guestmem_log_take(
	struct guestmem *mem, size_t index, uint64_t first, uint64_t count, uint64_t *ret);

/*
 * Around the life of who writes guest memory past the gate (vhost.h), so that no log is kept that lacks it. Begins
 * while none is kept.
 */
void guestmem_begin_unseen(struct guestmem *mem);
void guestmem_end_unseen(struct guestmem *mem);

#endif
