/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the guest's tree share: a writer, which records the first error and does nothing
 * after it, so that calls need no checks. It writes from the tree's start to its end (libfdt's
 * sequential functions): a node's properties come before its children, and each of them once.
 */
#ifndef SLUICE_BOARD_BOOT_GUEST_TREE_INTERNAL_H
#define SLUICE_BOARD_BOOT_GUEST_TREE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "board/config/config.h"
#include "hyp/base/util.h"

struct writer {
	void *fdt;
	int err;			    /* FDT_ERR_*, negative */
	unsigned address_cells, size_cells; /* the root's */
	uint32_t gic, clock, gpio;	    /* phandles */
};

/* Records an error, if `err` is one and the first. */
void writer_note(struct writer *w, int err);
void writer_begin(struct writer *w, const char *name);
void writer_end(struct writer *w);
/* These write into the node that began last and has not ended. */
void writer_put(struct writer *w, const char *name, const void *value, int len);
void writer_put_string(struct writer *w, const char *name, const char *value);
void writer_put_u64(struct writer *w, const char *name, uint64_t value);
void writer_put_cells(struct writer *w, const char *name, const uint32_t *cells, size_t count);
void writer_put_strings(struct writer *w, const char *name, const char *const *strings);
/* `reg`, in the root's cells. */
void writer_put_reg(struct writer *w, const struct range *ranges, size_t count);

/* PUT_CELLS(w, "interrupts", 0, 1, 4) */
#define PUT_CELLS(w, name, ...)                                                                    \
	writer_put_cells(w, name, (const uint32_t[]){ __VA_ARGS__ },                               \
		ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))
#define PUT_STRINGS(w, name, ...)                                                                  \
	writer_put_strings(w, name, (const char *const[]){ __VA_ARGS__, NULL })

/* Writes the nodes that Sluice provides: its devices, and those of KVM. */
void guest_tree_add_nodes(
	struct writer *w, const struct machine_config *config, uint64_t flash_bytes);

#endif
