/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places kernel, initrd and the guest's tree in guest RAM:
 *
 *   a 2 MiB boundary      + text_offset: the kernel, with image_size reserved; the lowest place from 2 MiB
 *                         above RAM_BASE on, else the lowest, in any /memory range that no reserved
 *                         range (windows, /memreserve/) touches
 *   after the kernel      the initrd, at the next free place within Linux's reach (its 32 GiB rule)
 *   a 2 MiB boundary      the tree, after both, where QEMU and kvmtool have it
 *
 * An ELF is loaded at its own addresses, if they are free; one that is position-independent also elsewhere. Its tree
 * is at RAM_BASE, where QEMU has it for such programs, unless the ELF itself is there. A raw binary is loaded at
 * sluice,kernel-address, or 2 MiB above RAM_BASE. How much memory it uses beyond its end is not known, so 128 MiB
 * behind it, or half of the memory, stay free of initrd and tree.
 *
 * With firmware nothing is loaded: it is entered in its own memory (board/machine/firmware.h), and finds the tree at
 * RAM_BASE.
 *
 * A reset loads again from the same open files, and checks them again, since they may have changed.
 *
 * A kernel and an initrd of a FIT go through its digests, and there is nothing to start before these have ended well.
 * The FIT's `load` and `entry` are where a raw binary belongs, unless the tree says it. Otherwise they are not followed:
 * Linux runs wherever there is room for it, an ELF has addresses of its own, and a FIT made for a board may name its.
 */
#ifndef SLUICE_BOARD_BOOT_LOADER_H
#define SLUICE_BOARD_BOOT_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "board/config/config.h"
#include "board/config/tree.h"

struct errors;
struct guestmem;
struct loader;

struct loader_result {
	const char *kind; /* of the kernel: "arm64 Image" */
	struct range kernel;
	uint64_t entry_gpa;
	uint64_t tree_gpa;   /* for x0; TREE_SIZE_MAX bytes are kept for it */
	struct range initrd; /* size 0: none */
	bool bundled_initrd; /* it is a part of the kernel's file */
	const char *kernel_name,
		*initrd_name; /* for messages; these and what follows are the loader's, until it plans again */
	const char *cmdline; /* the command line that a bundle adds; NULL: none */
	/* Of a FIT: its file, NULL: there is none, and its configuration; whose signatures that has, "": nobody asked. */
	const char *fit, *configuration, *signatures;
	const char *product; /* of which it is `version`; NULL: it does not say so */
	uint32_t version;
	/* What was checked of its images while they were loaded: "kernel-1: sha256"; NULL: nothing. */
	const char *checked;
	struct growth_policy growth; /* by the command line that holds */
	uint64_t page_bytes;	     /* of the kernel, as its Image says; 0: not given */
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
 * that they are complete, and checks a FIT's data. loader_plan() then says what was checked.
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
