/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people, as commands print them. */
#ifndef SLUICE_BOARD_TEXT_COLUMNS_H
#define SLUICE_BOARD_TEXT_COLUMNS_H

#include <stddef.h>
#include <stdio.h>

/* Rows of cells, separated by tabs; aligned when they are printed. */
#define COLUMNS 8
struct columns {
	const char *align; /* 'l' or 'r' for each column */
	char **rows;
	size_t count;
};

void columns_add(struct columns *columns, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints each row after `indent`, made plain (plain.h), then frees them all. */
void columns_print(struct columns *columns, const char *indent, FILE *stream);

#endif
