/* SPDX-License-Identifier: Apache-2.0 */
/* Finds what dtc does not do: the C preprocessor's directives, and deletes in overlays; see tree-source.h. */
#include "board/config/tree-source.h"

#include <string.h>

#include "board/text/errors.h"
#include "hyp/base/util.h"

static bool begins(const char *text, const char *word)
{
	return !strncmp(text, word, strlen(word));
}

bool tree_source_needs_cpp(const char *text)
{
	/* Names of properties begin with # as well: "#size-cells". */
	static const char *const directives[] = { "include", "define", "undef", "ifdef", "ifndef",
		"if" };

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += strspn(line, " \t\n\r");
		if (*line != '#')
			continue;
		line += 1 + strspn(line + 1, " \t");
		for (size_t i = 0; i < ARRAY_SIZE(directives); i++)
			if (begins(line, directives[i]) &&
				strchr(" \t\"<(", line[strlen(directives[i])]) &&
				line[strlen(directives[i])])
				return true;
	}
	return false;
}

/* The end of the comment or string that begins at `text`, or `text` if none does. */
static const char *skip(const char *text, unsigned *line)
{
	const char *end = NULL;

	if (begins(text, "//"))
		return text + strcspn(text, "\n");
	if (begins(text, "/*"))
		end = strstr(text + 2, "*/");
	else if (*text == '"')
		for (end = text + 1; *end && *end != '"'; end++)
			end += *end == '\\' && end[1];
	else
		return text;
	if (!end || !*end)
		return text + strlen(text);
	end += *end == '"' ? 1 : 2;
	for (; text < end; text++)
		*line += *text == '\n';
	return end;
}

void tree_source_check_deletes(const char *file, const char *text, struct errors *errors)
{
	static const struct {
		const char *word, *instead;
	} deletes[] = {
		{ "/delete-node/", "To switch a node off, write status = \"disabled\" in it" },
		{ "/delete-property/",
			"To be rid of a property, give the base tree a file of its own without it; or set it to another value" },
	};
	bool overlay = false;

	for (unsigned line = 1; *text;) {
		const char *next = skip(text, &line);

		if (next != text) {
			text = next;
			continue;
		}
		line += *text == '\n';
		overlay |= begins(text, "/plugin/");
		for (size_t i = 0; i < ARRAY_SIZE(deletes); i++)
			if (overlay && begins(text, deletes[i].word))
				warning_add(errors, file, NULL,
					"line %u: %s takes nothing from the tree that the overlay is for, only from what the overlay itself says. %s",
					line, deletes[i].word, deletes[i].instead);
		text++;
	}
}
