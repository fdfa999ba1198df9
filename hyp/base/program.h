/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that work beside this one. */
#ifndef SLUICE_HYP_BASE_PROGRAM_H
#define SLUICE_HYP_BASE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Finds a program in PATH. False if there is none; `path` is then undefined. */
bool program_find(const char *name, char *path, size_t size);

#endif
