/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots of a machine and their budget. Every listener has its own limit (KVM's is KVM_CAP_NR_MEMSLOTS, a vhost
 * back end's its max_mem_regions), and each slot counts against all of them. RAM and each window reserve all slots
 * that they may ever open, by name, so that no opening fails later for lack of one. Used by the event loop's thread
 * only, except `generation`.
 *
 * Mappings (VMAs) of the process are the second budget; hyp/memory/mappings.h.
 */
#ifndef SLUICE_HYP_MEMORY_SLOTS_H
#define SLUICE_HYP_MEMORY_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/memory/listener.h"
#include "hyp/memory/mappings.h"

#define SLOTS_HOLDERS	64
#define SLOTS_LISTENERS 32

struct slot_holder {
	const char *name;
	unsigned count;
};

struct slots {
	struct listener *listeners[SLOTS_LISTENERS];
	unsigned listener_count;

	struct slot_holder holders[SLOTS_HOLDERS];
	unsigned holder_count;
	unsigned reserved; /* by all holders */

	struct open_slot *slot; /* by id */
	unsigned capacity;
	unsigned used;	      /* ids from here on were never used */
	unsigned free_plus_1; /* the id freed last + 1 */
	unsigned open;

	struct mappings mappings;

	/* Incremented at every change of what a guest may reach. A vCPU compares it before and after a fault. */
	_Atomic uint64_t generation;
};

void slots_init(struct slots *slots);
void slots_finish(struct slots *slots);

/*
 * Adds a listener, before any slot is open. Not owned. -ENOSPC if it cannot hold what is reserved already: the order
 * of holders and listeners makes no difference. -E2BIG if there are SLOTS_LISTENERS already.
 */
int slots_add_listener(struct slots *slots, struct listener *listener);

/* Reserves `count` slots. `holder` is not copied. -ENOSPC if slots_free() are fewer. */
int slots_reserve(struct slots *slots, const char *holder, unsigned count);

/* The listener with the smallest limit, which all share. There must be one. */
const struct listener *slots_tightest(const struct slots *slots);
/* How many more can be reserved. */
unsigned slots_free(const struct slots *slots);

/* Explains why `asked` more slots cannot be reserved: the limit, what is free, and each holder's share. */
void slots_explain(const struct slots *slots, const struct listener *listener, unsigned asked,
	char *ret_text, size_t len);

/* Forgets every slot: the VM is about to be destroyed. */
void slots_forget(struct slots *slots);

/*
 * Opens a slot in every listener; slot->id is ignored. `*id` is -1, or a slot that slot_open() or slot_close() left
 * half open, which is completed. Returns 0 and the slot's id, or -errno. Then either *id is -1 and no listener has the
 * slot; or it is half open, because a listener refused to close it again, and the caller must close it.
 */
int slot_open(struct slots *slots, const struct memory_slot *slot, int *id);
/* Whether all listeners have the slot. */
bool slot_is_whole(const struct slots *slots, unsigned id);
/* Closes the slot in every listener that has it. On -errno some still have it: call again. */
int slot_close(struct slots *slots, unsigned id);

/*
 * Blocks [offset, offset+size) of an open slot are (no longer) plugged. On failure no listener sees a change: those
 * already notified have been undone. With `back` the call undoes the opposite one, and succeeds.
 */
int slot_plug(struct slots *slots, unsigned id, uint64_t offset, uint64_t size, bool back);
int slot_unplug(struct slots *slots, unsigned id, uint64_t offset, uint64_t size, bool back);

#endif
