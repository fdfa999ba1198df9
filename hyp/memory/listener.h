/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer of guest memory: KVM, which is the first of them, or a back end with its own tables (vhost). It is
 * notified of each slot that opens and closes and of each block that is plugged and unplugged, in order. It may
 * refuse; then the change is undone in the listeners that were notified before it.
 *
 *   slot opens     before any of its blocks is plugged    first listener first
 *   blocks plugged the memory is writable already         first listener first
 *   blocks gone    while the memory is still writable     last listener first
 *   slot closes    none of its blocks is plugged          last listener first
 *
 * Slots never overlap, nor change while open; adjacent slots stay separate. Every call comes on the event loop's
 * thread, and a listener returns once the change is in force: after `unplug` it does not touch the blocks until they
 * are plugged again.
 */
#ifndef SLUICE_HYP_MEMORY_LISTENER_H
#define SLUICE_HYP_MEMORY_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

struct listener;

/* An open slot, as all listeners know it. */
struct memory_slot {
	unsigned id; /* below the smallest limit; free again once the slot is closed */
	uint64_t gpa, size;
	void *hva;
	/* Of a memfd or file, for a mapping in another process: byte `fd_offset` is at hva. -1: none. */
	int fd;
	uint64_t fd_offset;
};

/* All return 0, or -errno with nothing changed. NULL: the listener need not know. */
struct listener_ops {
	int (*open)(struct listener *listener, const struct memory_slot *slot);
	/* If refused, it is retried until it succeeds; the slot's blocks are protected meanwhile. */
	int (*close)(struct listener *listener, const struct memory_slot *slot);
	/*
	 * Blocks within one slot. `back` is true when this call undoes the opposite call just made for the same
	 * blocks. It must succeed, so a listener retains what the undo needs until its next call.
	 */
	int (*plug)(struct listener *listener, const struct memory_slot *slot, uint64_t offset,
		uint64_t size, bool back);
	int (*unplug)(struct listener *listener, const struct memory_slot *slot, uint64_t offset,
		uint64_t size, bool back);
	/* All slots are gone at once, with their VM. */
	void (*forget)(struct listener *listener);
};

struct listener {
	const struct listener_ops *ops;
	const char *name; /* for messages: whose limit it is */
	unsigned limit;	  /* slots it can hold at once */
};

#endif
