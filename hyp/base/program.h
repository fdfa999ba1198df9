/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that work beside this one, and this one. */
#ifndef SLUICE_HYP_BASE_PROGRAM_H
#define SLUICE_HYP_BASE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Finds a program in PATH. False if there is none; `path` is then undefined. */
bool program_find(const char *name, char *path, size_t size);

/*
 * Starts args[0] of PATH; `args` ends with NULL. Its descriptors 0 to count - 1 are `fds`, -1: /dev/null. It has no
 * signal blocked, and SIGPIPE's default. `apart`: in a session of its own, which a terminal's signals do not reach.
 * 0 or -errno.
 */
int program_start(const char *const *args, const int *fds, int count, bool apart, pid_t *ret_pid);

/*
 * Unmaps the program's code (and its constants, where they lie before it, as LLD puts them), most of which only a start
 * needs. What is used later is mapped again at its first use, from the page cache; the rest is not resident, and the host
 * can reclaim it first. Breakpoints, a debugger's or a tracer's, are lost by that: set them afterwards.
 */
void program_forget_code(void);

#endif
