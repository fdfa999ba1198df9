/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FIT image: one file that holds a machine's tree, overlays, kernel and initrd, and configurations that each name
 * some of them (the format: doc/usage/fit in U-Boot's source; flat_image_tree's own specification). This says what is
 * in the file and where. fit-verify.h checks the signatures of a configuration. fit-digest.h checks data against its
 * hashes while it is loaded. In this order:
 *
 *	fit_open()              the tree, once, into memory of its own
 *	fit_configuration()     what is to be started
 *	fit_verify()            its signatures; without keys it is taken as it is
 *	fit_digest_begin() ...  the bytes of each image, as they are copied
 *
 * Nothing here opens a file. All sizes and places are in bytes. A FIT takes at most 5 MiB of memory, however large its
 * file is. Texts from it, such as descriptions, may hold any bytes but zero: what prints them has to replace those that
 * a terminal would obey. Errors do so.
 */
#ifndef SLUICE_BOARD_FIT_FIT_H
#define SLUICE_BOARD_FIT_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board/fit/fit-tree.h"

struct errors;

#define FIT_FDTS 32 /* of a configuration: a tree and its overlays */

enum fit_type {
	FIT_KERNEL, /* `load` and `entry` are addresses; Sluice's loader need not follow them */
	FIT_KERNEL_NOLOAD, /* `entry` is an offset into the image, which runs wherever it is */
	FIT_RAMDISK,
	FIT_FLAT_DT
};

enum fit_compression { FIT_NONE, FIT_GZIP, FIT_ZSTD, FIT_XZ, FIT_LZMA, FIT_LZ4 };

/* Pointers are the FIT's. */
struct fit_image {
	uint32_t node;		 /* /images/NAME */
	const char *name;	 /* "kernel-1" */
	const char *description; /* "" if it has none */
	const char *os;		 /* "linux"; "" if it has none. Not judged here. */
	enum fit_type type;
	enum fit_compression compression; /* of a ramdisk too, which Linux unpacks itself */
	bool has_load, has_entry;
	uint64_t load, entry;
	struct fit_place data; /* within the file, as it was when it was opened */
};

struct fit_configuration {
	uint32_t node;		 /* /configurations/NAME */
	const char *name;	 /* "conf-1" */
	const char *description; /* "" if it has none */
	struct fit_image kernel;
	bool has_ramdisk;
	struct fit_image ramdisk;
	struct fit_image
		fdts[FIT_FDTS]; /* the tree, then overlays in the order in which they apply */
	unsigned fdt_count;	/* 0: it has no tree */
	/* `sluice,product` and `sluice,version`: of what this is which version. NULL: it does not say so. */
	const char *product;
	uint32_t version;
};

struct fit;

/* The file begins with a tree's magic, as FITs and trees do. `head` is of its first `len` bytes. */
bool fit_has_magic(const void *head, size_t len);

/*
 * 1: the regular file is a FIT: it has /images and /configurations. 0: it is a machine's tree, or does not begin with a
 * tree's magic. -EINVAL: it does, and cannot be read, is damaged, or is larger than a FIT or a tree may be, which was said
 * in words that are right for both. -ENOMEM. `file` is its name for messages.
 */
int fit_probe(int fd, const char *file, struct errors *errors);

/*
 * Reads a FIT's structure from a regular file. `file` is its name for messages and outlives the FIT. The descriptor is
 * not used after the call. At each start of the machine it is read anew, since the file may be another by then.
 * -EINVAL after an error was added, -ENOMEM.
 */
int fit_open(int fd, const char *file, struct errors *errors, struct fit **ret);
/* Takes NULL. */
void fit_close(struct fit *fit);

/* The tree, for fit-verify.c and fit-digest.c; lives as long as the FIT. */
const struct fit_tree *fit_tree(const struct fit *fit);
/* The file's own description; "" if it has none. */
const char *fit_description(const struct fit *fit);

/* The configurations, in the file's order. */
unsigned fit_configuration_count(const struct fit *fit);
const char *fit_configuration_name(const struct fit *fit, unsigned i);
const char *fit_configuration_description(const struct fit *fit, unsigned i);
/*
 * What the i-th configuration says that it is compatible with: NULL first, then the string that was got last. NULL:
 * there is no other. U-Boot chooses a configuration by them, and where there are none by those of its tree.
 */
const char *fit_configuration_compatible(const struct fit *fit, unsigned i, const char *last);
/* The name of the default configuration; the only one's, if none is marked; else NULL. It may name what is not there. */
const char *fit_default(const struct fit *fit);

/*
 * The configuration `name`, or the default one for NULL, with all that it names. References lead to /images alone. What
 * cannot be started by Sluice is refused: another architecture than arm64, another type than its place asks for, a
 * compression that is none of the above, encrypted images, firmware, loadables, fpga, setup, standalone; and a product
 * without a version, a version without a product. -EINVAL after an error was added, -ENOMEM.
 */
int fit_configuration(const struct fit *fit, const char *name, struct errors *errors,
	struct fit_configuration *ret);

/* "gzip" */
const char *fit_compression_name(enum fit_compression compression);

#endif
