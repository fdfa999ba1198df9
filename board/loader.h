/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts kernel and initrd into guest RAM:
 *
 *   RAM_BASE              the guest's tree, TREE_SIZE_MAX kept free for it
 *   a 2 MiB boundary      + text_offset: the kernel, image_size kept free; the lowest place in any
 *                         /memory range that no reserved range (windows, /memreserve/) touches
 *   after the kernel      the initrd, at the next place free that suits Linux (its 32 GiB rule)
 *
 * An ELF goes where it says, if that is free. A reset loads again from the same open files, and
 * checks them again: they may have been written to meanwhile.
 */
#ifndef SLUICE_BOARD_LOADER_H
#define SLUICE_BOARD_LOADER_H

#include <stdint.h>

struct errors;
struct guestmem;
struct loader;
struct machine_config;

struct loader_result {
	uint64_t entry_gpa;
	uint64_t tree_gpa;		  /* for x0: RAM_BASE */
	uint64_t initrd_gpa, initrd_size; /* bytes; size 0: none */
};

/*
 * Opens the files that the configuration names and plans where they go. `config` outlives the
 * loader. -EINVAL after at least one error was added, and -ENOMEM.
 */
int loader_open(const struct machine_config *config, struct errors *errors, struct loader **ret);
void loader_close(struct loader *loader);

/* Where things go, as planned last. */
void loader_plan(const struct loader *loader, struct loader_result *ret);

/*
 * For `sluice check`: what loader_load() would do, without memory to put it into. Unpacks what is
 * compressed to see that all of it is there.
 */
int loader_check(struct loader *loader, struct errors *errors);

/*
 * Plans anew and fills guest RAM, which is fresh: all zero. Does not write the tree. -EINVAL after
 * at least one error was added; memory may then hold a part of it.
 */
int loader_load(struct loader *loader, const struct guestmem *mem, struct errors *errors,
	struct loader_result *ret);

#endif
