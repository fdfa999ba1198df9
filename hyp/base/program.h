/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that work beside this one, and this one. */
#ifndef SLUICE_HYP_BASE_PROGRAM_H
#define SLUICE_HYP_BASE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Finds a program in PATH. False if there is none; `path` is then undefined. */
bool program_find(const char *name, char *path, size_t size);

/*
 * Unmaps the program's code (and its constants, where they lie before it, as LLD puts them), most of which only a start
 * needs. What is used later is mapped again at its first use, from the page cache; the rest is not resident, and the host
 * can reclaim it first. Breakpoints, a debugger's or a tracer's, are lost by that: set them afterwards.
 */
void program_forget_code(void);

#endif
