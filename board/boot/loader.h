/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places kernel and initrd in guest RAM:
 *
 *   RAM_BASE              the guest's tree, with TREE_SIZE_MAX reserved for it
 *   a 2 MiB boundary      + text_offset: the kernel, with image_size reserved; the lowest place in any
 *                         /memory range that no reserved range (windows, /memreserve/) touches
 *   after the kernel      the initrd, at the next free place within Linux's reach (its 32 GiB rule)
 *
 * An ELF is loaded at its own addresses, if they are free. A reset loads again from the same open files, and checks
 * them again, since they may have changed.
 */
#ifndef SLUICE_BOARD_BOOT_LOADER_H
#define SLUICE_BOARD_BOOT_LOADER_H

#include <stdint.h>

struct errors;
struct guestmem;
struct loader;
struct machine_config;

struct loader_result {
	uint64_t entry_gpa;
	uint64_t tree_gpa;		  /* for x0: RAM_BASE */
	uint64_t initrd_gpa, initrd_size; /* bytes; size 0: none */
	uint64_t page_bytes;		  /* of the kernel, as its Image says; 0: not given */
};

/*
 * Opens the files that the configuration names and plans their places. `config` outlives the loader. -EINVAL after at
 * least one error was added, and -ENOMEM.
 */
int loader_open(const struct machine_config *config, struct errors *errors, struct loader **ret);
void loader_close(struct loader *loader);

/* The places, as planned last. */
void loader_plan(const struct loader *loader, struct loader_result *ret);

/*
 * For `sluice check`: does what loader_load() would do, without writing to memory. Unpacks compressed files to check
 * that they are complete.
 */
int loader_check(struct loader *loader, struct errors *errors);

/*
 * Plans again and fills guest RAM, which must be all zero, until loop_now_ms() is past `until_ms`. Does not write the
 * tree. 1: there is more, call it again; 0: all is loaded. -EINVAL after at least one error was added, and -ENOMEM;
 * memory may then hold a part.
 */
int loader_load(struct loader *loader, const struct guestmem *mem, uint64_t until_ms,
	struct errors *errors, struct loader_result *ret);

#endif
