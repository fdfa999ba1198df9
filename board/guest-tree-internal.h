/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the guest's tree share: a writer, which keeps the first error and does nothing
 * after it, so that calls need no checks. libfdt puts a new node before its siblings, so nodes are
 * added last to first.
 */
#ifndef SLUICE_BOARD_GUEST_TREE_INTERNAL_H
#define SLUICE_BOARD_GUEST_TREE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "hyp/util.h"

#define UART_PATH "/pl011@9000000"

struct machine_config;

struct writer {
	void *fdt;
	int err;			    /* FDT_ERR_*, negative */
	unsigned address_cells, size_cells; /* the root's */
	uint32_t gic, clock, gpio;	    /* phandles */
};

/* Keeps an error, if it is one and the first. */
void writer_note(struct writer *w, int err);
/* A new child; its offset is good until a node is added before it. */
int writer_add_node(struct writer *w, int parent, const char *name);
void writer_put(struct writer *w, int node, const char *name, const void *value, int len);
void writer_put_string(struct writer *w, int node, const char *name, const char *value);
void writer_put_u64(struct writer *w, int node, const char *name, uint64_t value);
void writer_put_cells(
	struct writer *w, int node, const char *name, const uint32_t *cells, size_t count);
void writer_put_strings(struct writer *w, int node, const char *name, const char *const *strings);
/* Appends a range to `reg`. */
void writer_add_reg(struct writer *w, int node, uint64_t gpa, uint64_t size);

/* PUT_CELLS(w, node, "interrupts", 0, 1, 4) */
#define PUT_CELLS(w, node, name, ...)                                                              \
	writer_put_cells(w, node, name, (const uint32_t[]){ __VA_ARGS__ },                         \
		ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))
#define PUT_STRINGS(w, node, name, ...)                                                            \
	writer_put_strings(w, node, name, (const char *const[]){ __VA_ARGS__, NULL })

/* The nodes of what Sluice provides: its devices, and what comes with KVM. */
void guest_tree_provide(struct writer *w, const struct machine_config *config);

#endif
