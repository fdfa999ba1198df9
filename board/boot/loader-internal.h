/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by loader.c, loader-places.c (where all goes) and loader-fit.c (what of it is in a FIT). */
#ifndef SLUICE_BOARD_BOOT_LOADER_INTERNAL_H
#define SLUICE_BOARD_BOOT_LOADER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "board/boot/image-digest.h"
#include "board/boot/image.h"
#include "board/boot/loader.h"
#include "board/config/config.h"
#include "board/fit/fit-file.h"
#include "hyp/base/util.h"

struct loader {
	const struct machine_config *config;
	struct image kernel;
	struct image
		initrd; /* one segment, the whole file or a part of the kernel's; fd -1: none */
	char *cmdline;	/* of the bundle */
	struct fit_file
		*fit; /* that has the kernel: the tree's own, or the file that the tree names */
	struct fit_file *named_fit;	   /* the latter; NULL: it is none */
	char *kernel_label, *initrd_label; /* of a FIT's images, for messages */
	struct image_digest kernel_digest, initrd_digest;
	char *checked;
	char *product; /* of which the machine was started as `version`; NULL: not yet, or of none */
	uint32_t version;
	uint64_t moved_by;	 /* the kernel's segments, from where it says */
	struct image_load *load; /* under way; NULL: none */
	bool kernel_loaded;
	bool described; /* the kernel is, as its file was when `changed` was read */
	struct {
		off_t size;
		struct timespec content, inode;
	} changed;
	struct loader_result plan;
	struct range taken[ARRAY_SIZE(((struct machine_config *)0)->reserved) + IMAGE_SEGMENTS + 2];
	size_t taken_count;
};

/*
 * The kernel is this part of its file; NULL: all of it. It is described once, until this or the file changes: to unpack its
 * header may take long.
 */
void loader_note_kernel(struct loader *loader, const struct image_extent *data);
/*
 * Finds out whether the kernel is in a FIT, which is read and verified anew: the file may be another by now. loader->fit
 * is NULL if not. Refuses what has to be verified and cannot be. -EINVAL after an error was added, -ENOMEM.
 */
int loader_fit_find(struct loader *loader, struct errors *errors);
/* The FIT's kernel becomes the loader's, and its ramdisk the initrd. -ENOMEM. */
int loader_fit_kernel(struct loader *loader);
int loader_fit_initrd(struct loader *loader);

/* All of the FIT is loaded, and is about to run: its version is kept. -EINVAL after an error was added, -ENOMEM. */
int loader_fit_keep(struct loader *loader, struct errors *errors);

/* A raw binary of the FIT has a place there; false: it may be anywhere, or there is no FIT. */
bool loader_fit_place(const struct loader *loader, uint64_t *ret_gpa);
/* Where it is entered, from its first byte on; 0 without a FIT. -EINVAL after an error was added. */
int loader_fit_entry(const struct loader *loader, uint64_t *ret_offset, struct errors *errors);

/* Before an image is loaded: begins its digest, if it is in a FIT. */
int loader_fit_begin(struct loader *loader, const struct image *image, struct errors *errors);
/* It was loaded, and all was right. */
void loader_fit_end(struct loader *loader, const struct image *image);

/*
 * Decides where the kernel goes that loader->kernel describes, the initrd, if loader->initrd has one, and the tree, and puts
 * it into loader->plan. -EINVAL after an error was added.
 */
int loader_place(struct loader *loader, struct errors *errors);
/* The same with firmware, which loads the rest itself: the tree alone has a place, as on QEMU's virt. */
int loader_place_firmware(struct loader *loader, struct errors *errors);

#endif
