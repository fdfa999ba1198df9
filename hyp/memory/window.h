/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window: the guest-physical range of one virtio-mem device, of which only some blocks are plugged. It is reserved
 * address space, cut into equal slots. A slot is open, that is in KVM and every other listener (a user of guest
 * memory with a table of its own, as vhost), while it holds a plugged block; it opens just before its first block is
 * plugged and closes about a second after its last one was unplugged. HACKING.md, "What holds for windows", has the
 * invariants; window*.c enforces them, and nothing else does:
 *
 *   block       | mapped                                  | guest writes | guest reads
 *   ------------+-----------------------------------------+--------------+---------------------------
 *   plugged     | by its backing, readable + writable     | memory       | memory
 *   unplugged   | private anonymous, PROT_READ            | fault        | zeros (in an open slot)
 *   unplugged   | ... PROT_NONE (stray reads abort)       | fault        | fault
 *   closing slot| PROT_NONE, then in no listener any more | fault        | fault; zeros again if the slot stays open
 *   closed slot | as unplugged, and in no listener        | fault        | fault
 *
 * A plug opens slots, then makes the blocks readable and writable: from that call on the guest reaches them. An
 * unplug makes them unplugged before it returns, but for window_unplug_in_turns(). With `expensive_unmaps` the order
 * is the other one, blocks before slots, and a slot closes with its last block.
 *
 * All calls come from the event loop's thread, except window_lookup() and window_peek().
 */
#ifndef SLUICE_HYP_MEMORY_WINDOW_H
#define SLUICE_HYP_MEMORY_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/memory/backing.h"

struct loop;
struct slots;
struct window;

enum stray_reads { STRAY_READS_ZERO, STRAY_READS_ABORT };

struct window_config {
	const char *name;     /* for messages; copied */
	uint64_t gpa;	      /* aligned to 512 MiB */
	uint64_t size;	      /* bytes, a multiple of block_bytes */
	uint64_t block_bytes; /* a power of two, at least the host's page */
	uint64_t slot_bytes;  /* a multiple of block_bytes */
	enum stray_reads stray_reads;
	enum backing_kind backing;
	bool mergeable; /* the host may merge equal pages; with anonymous backing only */
	/* Unmapping is expensive: the guest is a hypervisor, and KVM then walks all its shadow tables (window.c). */
	bool expensive_unmaps;
};

/* Reserves the address space. Errors as backing_create(). */
int window_create(const struct window_config *config, struct loop *loop, struct window **ret);
void window_destroy(struct window *window);

const struct window_config *window_config(const struct window *window);
uint8_t *window_hva(const struct window *window);
/* How many slots the window is cut into: as many as it may ever open. */
unsigned window_slot_count(const struct window *window);
/* How many of them are open now. */
unsigned window_open_slots(const struct window *window);

/* Adds the window, all unplugged, to the map of a new VM. */
void window_attach(struct window *window, struct slots *slots);

/*
 * Removes it from the map of a VM that is about to be destroyed, after slots_forget(): everything is unplugged, its
 * contents are gone, and all slots count as closed. -errno if the host could not do that: then nothing may run on this
 * window again.
 */
int window_detach(struct window *window);
/*
 * Takes the time of window_detach() beforehand, in turns. window_stop() comes first, before slots_forget(): from then
 * on devices reach no block, and only window_empty() and window_detach() may follow. window_empty() frees what the
 * window holds until loop_now_ms() is past `until_ms`; true at the end. What the host refuses is left to
 * window_detach(). Until that, the blocks count as plugged.
 */
void window_stop(struct window *window);
bool window_empty(struct window *window, uint64_t until_ms);

/*
 * Plug or unplug `size` bytes at `offset` from the window's start, both multiples of the block, inside the window,
 * size not 0. For a plug all of these blocks must be unplugged, for an unplug plugged. All or nothing: on an error
 * nothing has changed.
 *   -EBUSY  the host is short of something now (mappings, commit charge, huge pages, or a listener's memory for
 *           slots), or it has not yet reclaimed what was unplugged before. window_refused() says what
 *   -EAGAIN a large plug takes turns: it has opened some slots, in which nothing is exposed, or dropped page tables.
 *           Call again in another turn of the loop; otherwise such slots close after about a second
 */
int window_plug(struct window *window, uint64_t offset, uint64_t size);
int window_unplug(struct window *window, uint64_t offset, uint64_t size);
int window_unplug_all(struct window *window);

/*
 * Unplugging much takes long if it consists of small pages. With an `ended`, window_unplug() and window_unplug_all()
 * may return -EINPROGRESS: window_state() then has the blocks as unplugged, and devices no longer reach them, but
 * vCPUs do. window_plugged_bytes() counts them until they are gone. The turns that follow take them from the vCPUs;
 * until `ended` is called, in one of these turns, every other change is -EBUSY. The caller answers the guest only
 * then. NULL: always at once.
 */
void window_unplug_in_turns(struct window *window, void (*ended)(void *opaque), void *opaque);
/* Finishes such an unplug at once. */
void window_finish_unplug(struct window *window);

/* Discards the contents of plugged blocks, or of whole pages of them; they stay plugged. See backing_discard(). */
int window_discard(struct window *window, uint64_t offset, uint64_t size);

/*
 * Why the last requested change was refused, in words for a person. NULL once a later change succeeded, or after
 * window_forget_refused(). On the loop's thread.
 */
const char *window_refused(const struct window *window);
void window_forget_refused(struct window *window);

enum window_state { WINDOW_UNPLUGGED, WINDOW_PLUGGED, WINDOW_MIXED };

/* The state of the blocks that [offset, offset+size) touches; inside the window, any alignment, size not 0. */
enum window_state window_state(const struct window *window, uint64_t offset, uint64_t size);

uint64_t window_plugged_bytes(const struct window *window);

/*
 * Bytes of the window that a guest could write to, by the kernel's own list of our mappings (/proc/self/maps), not by
 * the bitmap. -errno if it cannot be read.
 */
int window_exposed_bytes(const struct window *window, uint64_t *ret);
/* Bytes of host memory that the window holds now (/proc/self/smaps, Rss). */
int window_resident_bytes(const struct window *window, uint64_t *ret);

/* Both, of several windows. */
struct window_usage {
	const struct window *window;
	uint64_t exposed_bytes, resident_bytes;
};

/*
 * A guest decides how many mappings there are, and so how long it takes to read their list. So the list is read in
 * pieces. A change between two of them may be seen or not.
 */
struct window_walk;

/* `usage` is the caller's, with its windows set; the walk fills it in. -errno if the list cannot be read. */
int window_walk_begin(struct window_usage *usage, size_t count, struct window_walk **ret);
/* Continues to the end, or until loop_now_ms() is past `until_ms`. True at the end: usage is complete. */
bool window_walk_go_on(struct window_walk *walk, uint64_t until_ms);
/* Takes NULL, and a walk that is not finished. */
void window_walk_end(struct window_walk *walk);

struct window_slot {
	unsigned index;
	uint64_t offset; /* into the window */
	uint64_t size;	 /* bytes; the last slot may be shorter */
	bool open;
	uint64_t plugged_bytes;
};

/* Describes slot `index`, below window_slot_count(). */
void window_slot(const struct window *window, unsigned index, struct window_slot *ret);

/*
 * What is at a guest-physical address, to classify a vCPU's fault. Any thread. It may wait for a change of the
 * window. Such a change never waits for a vCPU that is in user space, so the two cannot block each other.
 */
enum window_lookup {
	WINDOW_OUTSIDE,
	WINDOW_SLOT_CLOSED,
	WINDOW_BLOCK_UNPLUGGED,
	WINDOW_BLOCK_PLUGGED
};
enum window_lookup window_lookup(struct window *window, uint64_t gpa);

/*
 * Copies `len` bytes out of plugged blocks, to read the guest's own tables. -EFAULT if they are not plugged, or the
 * host cannot provide them. Any thread.
 */
int window_peek(struct window *window, uint64_t gpa, void *ret_buf, size_t len);

#endif
