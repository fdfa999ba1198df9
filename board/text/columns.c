/* SPDX-License-Identifier: Apache-2.0 */
/* Tables; see columns.h. */
#include "board/text/columns.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "board/text/plain.h"

void columns_add(struct columns *columns, const char *format, ...)
{
	char **grown = reallocarray(columns->rows, columns->count + 1, sizeof(*grown));
	va_list args;

	if (!grown)
		return;
	columns->rows = grown;
	va_start(args, format);
	if (vasprintf(&grown[columns->count], format, args) >= 0)
		columns->count++;
	va_end(args);
}

void columns_print(struct columns *columns, const char *indent, FILE *stream)
{
	int widths[COLUMNS] = { 0 };

	for (size_t i = 0; i < columns->count; i++) {
		const char *cell = columns->rows[i];

		for (size_t c = 0; c < COLUMNS; c++, cell += strcspn(cell, "\t") + 1) {
			int width = (int)strcspn(cell, "\t");

			widths[c] = width > widths[c] ? width : widths[c];
			if (!cell[width])
				break;
		}
	}
	for (size_t i = 0; i < columns->count; i++) {
		char *rest = columns->rows[i], *cell;

		fputs(indent, stream);
		for (size_t c = 0; c < COLUMNS && (cell = strsep(&rest, "\t")); c++) {
			bool last = !rest && columns->align[c] == 'l';

			fprintf(stream, "%s%*s", c ? "  " : "",
				last			   ? 0
				: columns->align[c] == 'l' ? -widths[c]
							   : widths[c],
				plain_text(cell));
		}
		fputc('\n', stream);
		free(columns->rows[i]);
	}
	free(columns->rows);
	columns->rows = NULL;
	columns->count = 0;
}
