/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window: the guest-physical range of one virtio-mem device, of which only some blocks are
 * plugged. It is reserved address space, pre-cut into equal slots that exist in KVM only while
 * they hold a plugged block. The rules are HACKING.md's invariants 1 to 7, kept here and nowhere
 * else:
 *
 *   block      | mapped                                  | guest writes | guest reads
 *   -----------+-----------------------------------------+--------------+---------------------------
 *   plugged    | by its backing, readable + writable     | memory       | memory
 *   unplugged  | private anonymous, PROT_READ            | fault        | zeros (in an open slot)
 *   unplugged  | ... PROT_NONE (stray reads abort)       | fault        | fault
 *   closing    | PROT_NONE, from its start on, and then  | fault        | fault, later in the slot
 *              | in no listener any more                 |              | zeros still
 *   closed slot| as unplugged, and in no listener        | fault        | fault
 *
 * All calls come from the event loop's thread but for window_lookup() and window_peek().
 */
#ifndef SLUICE_HYP_WINDOW_H
#define SLUICE_HYP_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/backing.h"

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
	/* Each change that takes reach away is dear (KVM walks all shadows of a guest hypervisor's tables). */
	bool few_changes;
};

/* Reserves the address space. Errors as backing_create(). */
int window_create(const struct window_config *config, struct loop *loop, struct window **ret);
void window_destroy(struct window *window);

const struct window_config *window_config(const struct window *window);
uint8_t *window_hva(const struct window *window);
/* How many slots the window is cut into: what it may ever open. */
unsigned window_slot_count(const struct window *window);
/* How many of them are open now. */
unsigned window_open_slots(const struct window *window);

/* Puts the window, all unplugged, in the map of a new VM. */
void window_attach(struct window *window, struct slots *slots);

/*
 * Takes it out of the map of a VM that is about to be destroyed, after slots_forget(): everything
 * is unplugged, its contents gone, and which slots were open is forgotten. -errno when the host
 * could not even do that: then nothing may run on this window again.
 */
int window_detach(struct window *window);

/*
 * Plug or unplug `size` bytes at `offset` from the window's start, both multiples of the block,
 * inside the window, size not 0, every block of it unplugged (plugged) before. All or nothing:
 * on an error nothing has changed.
 *   -EBUSY  the host is short of something now (slots, mappings, commit charge, huge pages), a
 *           listener refuses, or what was unplugged before is not yet taken back
 */
int window_plug(struct window *window, uint64_t offset, uint64_t size);
int window_unplug(struct window *window, uint64_t offset, uint64_t size);
int window_unplug_all(struct window *window);

/* Discards what plugged blocks hold, which stay plugged: any whole pages of them. See backing_discard(). */
int window_discard(struct window *window, uint64_t offset, uint64_t size);

enum window_state { WINDOW_UNPLUGGED, WINDOW_PLUGGED, WINDOW_MIXED };

/* The state of the blocks that [offset, offset+size) touches; inside the window, any alignment, size not 0. */
enum window_state window_state(const struct window *window, uint64_t offset, uint64_t size);

uint64_t window_plugged_bytes(const struct window *window);

/*
 * Bytes of the window that a guest's write could make stick, as the kernel's own list of our
 * mappings (/proc/self/maps) has it; not derived from the bitmap. -errno if it cannot be read.
 */
int window_exposed_bytes(const struct window *window, uint64_t *ret);
/* Bytes of host memory that the window holds now (/proc/self/smaps, Rss). */
int window_resident_bytes(const struct window *window, uint64_t *ret);

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
 * What a vCPU finds at a guest-physical address, for faults. Any thread: it waits for a change of
 * the map that is under way, which never waits for a vCPU in user space.
 */
enum window_lookup {
	WINDOW_OUTSIDE,
	WINDOW_SLOT_CLOSED,
	WINDOW_BLOCK_UNPLUGGED,
	WINDOW_BLOCK_PLUGGED
};
enum window_lookup window_lookup(struct window *window, uint64_t gpa);

/*
 * Copies `len` bytes out of plugged blocks, for a look at the guest's own tables. -EFAULT where they
 * are not plugged, or the host cannot provide them. Any thread.
 */
int window_peek(struct window *window, uint64_t gpa, void *ret_buf, size_t len);

#endif
