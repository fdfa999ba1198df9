/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots of a machine and their budget. Every listener has a limit of its own (KVM's is
 * KVM_CAP_NR_MEMSLOTS, a vhost back end's its max_mem_regions), and each slot counts against all of
 * them. Whoever may ever open slots reserves them first, by name, so that no opening fails for want
 * of a number later. Used by the event loop's thread only, but for `generation`.
 *
 * Mappings (VMAs) of the process are the second budget; hyp/mappings.h.
 */
#ifndef SLUICE_HYP_SLOTS_H
#define SLUICE_HYP_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/listener.h"
#include "hyp/mappings.h"

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
	unsigned used;	      /* ids from here on were never taken */
	unsigned free_plus_1; /* the id given back last + 1 */
	unsigned open;

	struct mappings mappings;

	/* Goes up with every change of what a guest may reach; a vCPU compares it over a fault. */
	_Atomic uint64_t generation;
};

void slots_init(struct slots *slots);
void slots_finish(struct slots *slots);

/*
 * Adds a consumer, before any slot is open. Not owned. -ENOSPC where it cannot hold what is
 * reserved already: which of holder and listener came first makes no difference. -E2BIG where there
 * are SLOTS_LISTENERS.
 */
int slots_add_listener(struct slots *slots, struct listener *listener);

/* Reserves `count` slots. `holder` is not copied. -ENOSPC where slots_free() are fewer. */
int slots_reserve(struct slots *slots, const char *holder, unsigned count);

/* The listener with the smallest limit, which is the limit of all. There must be one. */
const struct listener *slots_tightest(const struct slots *slots);
/* How many more can be reserved. */
unsigned slots_free(const struct slots *slots);

/* What stands against `asked` more: the listener's limit, what is free, who holds how many. */
void slots_explain(const struct slots *slots, const struct listener *listener, unsigned asked,
	char *ret_text, size_t len);

/* Every slot is gone at once, with the VM. */
void slots_forget(struct slots *slots);

/*
 * Opens a slot in every listener; slot->id is ignored. `*id` is -1, or a slot that slot_open() or
 * slot_close() left half open, which is completed. Returns 0 and the slot's id, or -errno: then
 * *id is -1 and no listener has it, or it is half open, because one would not let go of it again,
 * and to be closed.
 */
int slot_open(struct slots *slots, const struct memory_slot *slot, int *id);
/* Whether all listeners have it. */
bool slot_is_whole(const struct slots *slots, unsigned id);
/* Closes it in every listener that has it. On -errno some still have it: to be called again. */
int slot_close(struct slots *slots, unsigned id);

/*
 * Blocks [offset, offset+size) of an open slot are (no longer) plugged. On -errno no listener has
 * been told, or it has been taken back. `back` itself takes the opposite call back, and succeeds.
 */
int slot_plug(struct slots *slots, unsigned id, uint64_t offset, uint64_t size, bool back);
int slot_unplug(struct slots *slots, unsigned id, uint64_t offset, uint64_t size, bool back);

#endif
