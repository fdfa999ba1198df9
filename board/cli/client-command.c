/* SPDX-License-Identifier: Apache-2.0 */
/* The command lines of a running machine's commands; see client-command.h. */
#include "board/cli/client-command.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>

#include "board/cli/client.h"
#include "board/cli/commandline.h"
#include "board/text/errors.h"

#define TIMEOUT_MAX_SEC 1000000

struct line {
	struct client_target target;
	const char *words[CLIENT_WORDS_MAX]; /* NULL: none */
	unsigned sec;			     /* --timeout; 0: the command has no such option */
	bool forceable, force;
	struct errors errors;
};

static bool read_timeout(const char *text, unsigned *ret)
{
	char *end;
	unsigned long sec = strtoul(text, &end, 10);

	if (*end || end == text || *text == '-' || sec > TIMEOUT_MAX_SEC)
		return false;
	*ret = (unsigned)sec;
	return true;
}

/* Whether the command is to run; else *ret is its exit status. */
static bool line_read(
	struct line *line, int argc, char **argv, const char *usage, unsigned words_max, int *ret)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "timeout", required_argument, NULL, 't' },
		{ "control", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *control = NULL, *where = "";
	bool timed = line->sec;
	int option;

	optind = 0;
	while ((option = getopt_long(
			argc, argv, ":h", options + (timed ? !line->forceable : 2), NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			*ret = 0;
			return false;
		}
		if (option == 'c') {
			control = optarg;
		} else if (option == 'f') {
			line->force = true;
		} else if (option != 't') {
			*ret = misused_option(argv[0], option, argv);
			return false;
		} else if (!read_timeout(optarg, &line->sec)) {
			*ret = misused(argv[0], "--timeout %s: not a number of seconds", optarg);
			return false;
		}
	}
	/* With --control the machine is known: what follows is /NODE, the words, both or neither. */
	if (optind < argc && (!words_max || !control || argv[optind][0] == '/'))
		where = argv[optind++];
	else if (!control) {
		*ret = misused(argv[0], "which machine? NAME, or --control PATH");
		return false;
	}
	for (unsigned i = 0; i < words_max && optind < argc; i++)
		line->words[i] = argv[optind++];
	if (optind < argc) {
		*ret = misused(argv[0], "nothing can follow here, as %s does", argv[optind]);
		return false;
	}
	*ret = 1;
	return !client_target_read(where, control, &line->errors, &line->target);
}

static int line_finish(struct line *line, int result)
{
	if (errors_any(&line->errors) && !result)
		result = 1;
	errors_print(&line->errors, stderr);
	errors_finish(&line->errors);
	client_target_finish(&line->target);
	return result;
}

int client_command(int argc, char **argv, const char *usage,
	int (*show)(
		struct client *client, const struct client_target *target, struct errors *errors))
{
	struct line line = { 0 };
	struct client *client;
	int result;

	if (line_read(&line, argc, argv, usage, 0, &result) &&
		!client_open(line.target.path, &line.errors, &client)) {
		result = show(client, &line.target, &line.errors);
		client_close(client);
	}
	return line_finish(&line, result);
}

int client_without_qmp(int argc, char **argv, const char *usage,
	int (*run)(const char *control, const char *word, struct errors *errors))
{
	struct line line = { 0 };
	int result;

	if (line_read(&line, argc, argv, usage, 1, &result)) {
		if (line.target.node)
			error_add(&line.errors, line.target.path, line.target.node,
				"a machine is meant: leave out /%s", line.target.node);
		else
			result = run(line.target.path, line.words[0], &line.errors);
	}
	return line_finish(&line, result);
}

int client_sized_command(int argc, char **argv, const char *usage, unsigned stall_sec,
	bool forceable,
	int (*run)(const struct client_target *target, const struct client_size *size,
		struct errors *errors))
{
	struct line line = { .sec = stall_sec, .forceable = forceable };
	struct client_size size;
	int result;

	if (line_read(&line, argc, argv, usage, 1, &result)) {
		size = (struct client_size){ line.words[0], line.sec, line.force };
		result = run(&line.target, &size, &line.errors);
	}
	return line_finish(&line, result);
}

int client_words_command(int argc, char **argv, const char *usage,
	int (*run)(const struct client_target *target, const char *const *words,
		struct errors *errors))
{
	struct line line = { 0 };
	int result;

	if (line_read(&line, argc, argv, usage, CLIENT_WORDS_MAX, &result))
		result = run(&line.target, line.words, &line.errors);
	return line_finish(&line, result);
}
