/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a tree's source, before dtc reads it. */
#ifndef SLUICE_BOARD_CONFIG_TREE_SOURCE_H
#define SLUICE_BOARD_CONFIG_TREE_SOURCE_H

#include <stdbool.h>

struct errors;

/* True if a line is a directive of the C preprocessor, which dtc lacks. `text` ends with a zero byte. */
bool tree_source_needs_cpp(const char *text);

/* Warns about each delete in an overlay's source: it removes nothing from the tree that is overlaid. */
void tree_source_check_deletes(const char *file, const char *text, struct errors *errors);

#endif
