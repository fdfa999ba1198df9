/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer of guest memory: KVM, which is the first of them, or a back end that keeps tables of
 * its own (vhost, VFIO). It is told of each slot that opens and closes and of each block that is
 * plugged and unplugged, in order, and may refuse; then those told before it are taken back.
 *
 *   slot opens     before any of its blocks is plugged    first listener first
 *   blocks plugged the memory is writable already         first listener first
 *   blocks gone    while the memory is still writable     last listener first
 *   slot closes    none of its blocks is plugged          last listener first
 *
 * Slots never overlap, nor change while open; two that touch stay two. Every call comes on the
 * event loop's thread, and a listener returns once the change is in force: after `unplug` nothing
 * of it touches the blocks, until they are plugged again.
 */
#ifndef SLUICE_HYP_LISTENER_H
#define SLUICE_HYP_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

struct listener;

/* An open slot, as all listeners know it. */
struct memory_slot {
	unsigned id; /* below the smallest limit; free again once the slot is closed */
	uint64_t gpa, size;
	void *hva;
};

/* All return 0, or -errno with nothing changed. NULL where a listener has no interest. */
struct listener_ops {
	int (*open)(struct listener *listener, const struct memory_slot *slot);
	/* Refused, it is tried again, if need be for ever; the slot's blocks are protected meanwhile. */
	int (*close)(struct listener *listener, const struct memory_slot *slot);
	/*
	 * Blocks within one slot. `back` takes the opposite call for these blocks back, and must not
	 * be refused: what it needs for that a listener lets go of only with the next call.
	 */
	int (*plug)(struct listener *listener, const struct memory_slot *slot, uint64_t offset,
		uint64_t size, bool back);
	int (*unplug)(struct listener *listener, const struct memory_slot *slot, uint64_t offset,
		uint64_t size, bool back);
	/* All slots are gone at once, with the VM that they were of. */
	void (*forget)(struct listener *listener);
};

struct listener {
	const struct listener_ops *ops;
	const char *name; /* for messages: whose limit it is */
	unsigned limit;	  /* slots it can hold at once */
};

#endif
