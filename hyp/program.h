/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that work beside this one. */
#ifndef SLUICE_HYP_PROGRAM_H
#define SLUICE_HYP_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Where PATH has a program; false, and nothing of use in `path`, where it has none. */
bool program_find(const char *name, char *path, size_t size);

#endif
