/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections of an EFI program for arm64 (Microsoft's PE Format), such as a unified kernel image (UAPI.5) has for its kernel
 * and all that goes with it. All sizes and places are in bytes.
 */
#ifndef SLUICE_BOARD_CONFIG_PE_H
#define SLUICE_BOARD_CONFIG_PE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At most: a bundle has some ten, and one for each board whose tree it has. */
#define PE_SECTIONS 200

/* Where the program is. */
struct pe_source {
	uint64_t size;
	/* Reads all `len` bytes at `offset`, which are within the size; false: it cannot. */
	bool (*read)(const struct pe_source *source, uint64_t offset, void *ret_buf, size_t len);
};

struct pe_section {
	char name[8]; /* padded with zeros */
	uint32_t size, offset;
};

struct pe {
	struct pe_section sections[PE_SECTIONS];
	unsigned count;
};

/* False: it is no EFI program for arm64, or cannot be read. Sections may lie outside of it. */
bool pe_read(const struct pe_source *source, struct pe *ret);
/* The first section of that name, or NULL. */
const struct pe_section *pe_find(const struct pe *pe, const char *name);

#endif
