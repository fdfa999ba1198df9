/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of commands; see commandline.h. */
#include "board/cli/commandline.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/config/tree-file.h"
#include "board/text/exit-codes.h"

#define ROWS_MAX 16

static const struct option_row help_row = { "help", NULL, "this text", NULL, NULL };

int misused(const char *command, const char *format, ...)
{
	const char *space = *command ? " " : "";
	va_list args;

	fprintf(stderr, "sluice%s%s: ", space, command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n`sluice%s%s --help` says what there is.\n", space, command);
	return EXIT_USAGE;
}

int option_flag(const char *command, const struct option_row *row, const char *value)
{
	*(bool *)row->into = true;
	return 0;
}

int option_text(const char *command, const struct option_row *row, const char *value)
{
	*(const char **)row->into = value;
	return 0;
}

int option_seconds(const char *command, const struct option_row *row, const char *value)
{
	char *end;
	unsigned long sec = strtoul(value, &end, 10);

	if (*end || end == value || *value == '-' || sec > OPTION_SECONDS_MAX)
		return misused(command, "--%s %s: not a number of seconds", row->name, value);
	*(unsigned *)row->into = (unsigned)sec;
	return 0;
}

int option_overlay(const char *command, const struct option_row *row, const char *value)
{
	struct tree_source *source = row->into;

	if (source->overlay_count == TREE_OVERLAYS_MAX)
		return misused(command, "more than %d overlays", TREE_OVERLAYS_MAX);
	source->overlays[source->overlay_count++] = value;
	return 0;
}

int option_allow(const char *command, const struct option_row *row, const char *value)
{
	struct tree_source *source = row->into;

	if (source->allowed_count == TREE_ALLOWED_MAX)
		return misused(command, "more than %d folders to allow", TREE_ALLOWED_MAX);
	source->allowed[source->allowed_count++] = value;
	return 0;
}

int option_verify(const char *command, const struct option_row *row, const char *value)
{
	struct tree_source *source = row->into;
	bool required = !strcmp(value, "required");

	if (!required && strcmp(value, "none"))
		return misused(command, "--verify %s: neither required nor none", value);
	source->verify = required ? VERIFY_REQUIRED : VERIFY_NONE;
	return 0;
}

int option_key(const char *command, const struct option_row *row, const char *value)
{
	struct tree_source *source = row->into;

	if (source->key_count == TREE_KEYS_MAX)
		return misused(command, "more than %d files of keys", TREE_KEYS_MAX);
	source->keys[source->key_count++] = value;
	return 0;
}

/* Prints lines of text, with `before` in front of each but the first. */
static void print_lines(const char *text, const char *before, int indent)
{
	for (size_t len; *text; text += len) {
		len = strcspn(text, "\n");
		printf("%.*s\n", (int)len, text);
		if (!text[len])
			break;
		printf("%s%*s", before, indent, "");
		len++;
	}
}

static int width_of(const struct option_row *row)
{
	return (int)(strlen(row->name) + (row->value ? strlen(row->value) + 1 : 0));
}

static void print_row(const struct option_row *row, int width)
{
	int used = printf("  %s--%s%s%s", row == &help_row ? "-h, " : "", row->name,
		row->value ? " " : "", row->value ? row->value : "");

	printf("%*s", width + 6 - used, "");
	print_lines(row->help, "", width + 6);
}

static void print_help(
	const char *command, const char *synopsis, const char *about, const struct option_row *rows)
{
	char before[64];
	int width = width_of(&help_row) + 4;

	snprintf(before, sizeof(before), "       sluice %s ", command);
	printf("Usage: sluice %s%s", command, *synopsis ? " " : "\n");
	print_lines(synopsis, before, 0);
	putchar('\n');
	print_lines(about, "", 0);
	putchar('\n');
	for (const struct option_row *row = rows; row->name; row++)
		width = width_of(row) > width ? width_of(row) : width;
	for (const struct option_row *row = rows; row->name; row++)
		print_row(row, width);
	print_row(&help_row, width);
}

/* `option` is getopt_long()'s result for a wrong option: '?' or ':'. */
static int misused_option(const char *command, int option, char **argv)
{
	const char *last = argv[optind - 1];

	if (option == ':')
		return misused(command, "%s needs a value", last);
	/* optopt is the wrong one of several short options after one '-'. A long option is in argv as a whole. */
	if (optopt && (last[0] != '-' || last[1] != '-'))
		return misused(command, "there is no option -%c", optopt);
	return misused(command, "there is no option %s", last);
}

int options_read(int argc, char **argv, const char *synopsis, const char *about,
	const struct option_row *rows)
{
	struct option options[ROWS_MAX + 2] = { { "help", no_argument, NULL, 'h' } };
	int option, index, code;

	for (size_t i = 0; rows[i].name && i < ROWS_MAX; i++)
		options[i + 1] = (struct option){ rows[i].name,
			rows[i].value ? required_argument : no_argument, NULL, 0 };
	optind = 0; /* restarts getopt */
	while ((option = getopt_long(argc, argv, ":h", options, &index)) != -1) {
		if (option == 'h') {
			print_help(argv[0], synopsis, about, rows);
			return EXIT_OK;
		}
		if (option)
			return misused_option(argv[0], option, argv);
		code = rows[index - 1].read(argv[0], &rows[index - 1], optarg);
		if (code)
			return code;
	}
	return -1;
}

int options_read_file(int argc, char **argv, const char *about, const struct option_row *rows,
	struct tree_source *ret)
{
	int code = options_read(argc, argv, "FILE[#CONFIGURATION] [OPTION]...", about, rows);

	if (code >= 0)
		return code;
	if (optind == argc)
		return misused(argv[0], "which FILE?");
	if (optind + 1 < argc)
		return misused(argv[0], "one FILE, not also %s", argv[optind + 1]);
	tree_source_name(ret, argv[optind]);
	return -1;
}
