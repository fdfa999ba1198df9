/* SPDX-License-Identifier: Apache-2.0 */
/* The list of errors; see errors.h. */
#include "board/text/errors.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "board/text/plain.h"

/* Takes ownership of the line, which is malloc'ed; NULL counts as dropped. */
static void append(struct errors *errors, char *line)
{
	char **grown = NULL;

	if (line && errors->count < ERRORS_MAX)
		grown = reallocarray(errors->lines, errors->count + 1, sizeof(*grown));
	if (!grown) {
		errors->dropped++;
		free(line);
		return;
	}
	errors->lines = grown;
	errors->lines[errors->count++] = line;
}

static void add_list(struct errors *errors, const char *prefix, const char *where,
	const char *property, const char *format, va_list args)
{
	const char *tree = errors->tree && strncmp(where, errors->tree, strlen(errors->tree))
				   ? errors->tree
				   : "";
	char *text = NULL, *line = NULL;

	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	if (!text || asprintf(&line, "%s%s%s%s%s%s: %s", prefix, tree, *tree ? ": " : "", where,
			     property ? ": " : "", property ? property : "", text) < 0)
		line = NULL;
	/* Names and values come from untrusted trees. */
	append(errors, line ? plain_text(line) : NULL);
	free(text);
}

void error_add(
	struct errors *errors, const char *where, const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_list(errors, "", where, property, format, args);
	va_end(args);
}

void warning_add(
	struct errors *errors, const char *where, const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_list(errors, "warning: ", where, property, format, args);
	va_end(args);
	errors->warnings++;
}

size_t errors_count(const struct errors *errors)
{
	return errors->count + errors->dropped;
}

bool errors_any(const struct errors *errors)
{
	return errors_count(errors) > errors->warnings;
}

void errors_print(const struct errors *errors, FILE *stream)
{
	for (size_t i = 0; i < errors->count; i++)
		fprintf(stream, "sluice: %s\n", errors->lines[i]);
	if (errors->dropped)
		fprintf(stream, "sluice: and %zu more\n", errors->dropped);
}

void errors_finish(struct errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct errors){ 0 };
}

void list_add(char **list, const char *format, ...)
{
	char *word, *longer;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&word, format, args);
	va_end(args);
	if (len < 0)
		return;
	if (asprintf(&longer, "%s%s%s", *list ? *list : "", *list ? ", " : "", word) >= 0) {
		free(*list);
		*list = longer;
	}
	free(word);
}
