/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-only memory: a guest reads it without an exit, and its stores exit (KVM_MEM_READONLY). It can be hidden: then
 * its loads exit too, and the MMIO region that covers the same addresses answers both. It serves firmware, always
 * shown, whose region ignores stores, and a flash, hidden while it takes commands.
 *
 * As that of registers.h, its memory slot is in none of the tables of hyp/memory: no listener but KVM has to know it,
 * since no device reaches it by DMA. Its number is set aside from those of windows and RAM. The slot has one writer at
 * a time, whoever holds the lock of its owner: for a flash also a vCPU's thread, within the store that shows or hides
 * it, so that the change is in force before that vCPU's next instruction. Other vCPUs' accesses meanwhile find the slot
 * or exit, and then wait for the lock.
 *
 * The memory changes only while it is hidden. KVM then maps its pages anew, and cleans them for guests that read past
 * the caches; its owner has nothing left to do.
 */
#ifndef SLUICE_HYP_KVM_ROM_H
#define SLUICE_HYP_KVM_ROM_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

struct rom {
	const void *hva; /* not owned; whole host pages, outlive the slot */
	uint64_t size;	 /* bytes, a multiple of the host's page */
	/* Of a VM: */
	int vm_fd;     /* not owned; -1 between VMs */
	uint64_t gpa;  /* a multiple of the host's page */
	unsigned slot; /* its id in KVM */
	bool open;     /* shown */
};

/* Of no VM yet. */
void rom_init(struct rom *rom, const void *hva, uint64_t size);
/* It belongs to this new VM, hidden: `slot` is an id that nobody else uses, for `gpa` on. */
void rom_attach(struct rom *rom, const struct vm *vm, uint64_t gpa, unsigned slot);
/* The VM is gone or about to go, and its slots with it. Harmless without one. */
void rom_forget(struct rom *rom);

/*
 * rom_show(): loads no longer exit. rom_hide(): they exit. 0, also if that was so before or there is no VM; or
 * -errno of KVM, and nothing has changed. If rom_show() fails, its owner answers all accesses, and may try again
 * at any time.
 */
int rom_show(struct rom *rom);
int rom_hide(struct rom *rom);

#endif
