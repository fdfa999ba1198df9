/* SPDX-License-Identifier: Apache-2.0 */
/* The command lines of a running machine's commands; see client-command.h. */
#include "board/client-command.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>

#include "board/client.h"
#include "board/errors.h"

#define TIMEOUT_MAX_SEC 1000000

struct line {
	struct client_target target;
	const char *word; /* NULL: none */
	unsigned sec;	  /* --timeout; 0: the command has no such option */
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
	struct line *line, int argc, char **argv, const char *usage, bool takes_word, int *ret)
{
	static const struct option options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "control", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *control = NULL, *where = "";
	bool timed = line->sec;
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "h", options + !timed, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			*ret = 0;
			return false;
		}
		if (option == 'c')
			control = optarg;
		else if (option != 't' || !read_timeout(optarg, &line->sec))
			goto misused;
	}
	/* With --control the machine is known: what follows is /NODE, the word, both or neither. */
	if (optind < argc && (!takes_word || !control || argv[optind][0] == '/'))
		where = argv[optind++];
	else if (!control)
		goto misused;
	if (optind < argc && takes_word)
		line->word = argv[optind++];
	if (optind < argc)
		goto misused;
	*ret = 1;
	return !client_target_read(where, control, &line->errors, &line->target);
misused:
	fputs(usage, stderr);
	*ret = 2;
	return false;
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

	if (line_read(&line, argc, argv, usage, false, &result) &&
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

	if (line_read(&line, argc, argv, usage, true, &result)) {
		if (line.target.node)
			error_add(&line.errors, line.target.path, line.target.node,
				"a machine is meant: leave out /%s", line.target.node);
		else
			result = run(line.target.path, line.word, &line.errors);
	}
	return line_finish(&line, result);
}

int client_sized_command(int argc, char **argv, const char *usage, unsigned stall_sec,
	int (*run)(const struct client_target *target, const char *size, unsigned stall_sec,
		struct errors *errors))
{
	struct line line = { .sec = stall_sec };
	int result;

	if (line_read(&line, argc, argv, usage, true, &result))
		result = run(&line.target, line.word, line.sec, &line.errors);
	return line_finish(&line, result);
}
