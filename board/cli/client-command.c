/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that talk to a running machine; see client-command.h. */
#include "board/cli/client-command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "board/cli/client.h"
#include "board/cli/commandline.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "board/text/size.h"

/* -1, or the exit code. */
static int read_options(const struct client_command *command, int argc, char **argv,
	struct client_line *line, const char **ret_control)
{
	struct option_row rows[4] = { { 0 } }, *row = rows;
	char synopsis[128], timeout[128];
	const char *node = command->node == NODE_SLASH ? "/NODE" : "";

	if (command->flag)
		*row++ = (struct option_row){ command->flag, NULL, command->flag_about, option_flag,
			&line->flag };
	snprintf(timeout, sizeof(timeout),
		command->stall_about
			?: "give up waiting when nothing has moved for so long (%u); 0: do not wait",
		command->stall_sec);
	if (command->stall_sec)
		*row++ = (struct option_row){ "timeout", "SEC", timeout, option_seconds,
			&line->stall_sec };
	*row = (struct option_row){ "control", "PATH", "the machine's control socket", option_text,
		ret_control };
	snprintf(synopsis, sizeof(synopsis), "NAME%s%s%s%s\n--control PATH%s%s%s%s",
		*node ? "[" : "", node, *node ? "]" : "", command->words, *node ? " [" : "", node,
		*node ? "]" : "", command->words);
	return options_read(argc, argv, synopsis, command->about, rows);
}

/* The next word of the line, or NULL. */
static const char *next_word(int argc, char **argv)
{
	return optind < argc ? argv[optind++] : NULL;
}

/* Reads the words after the options and `target`. -1, or the exit code. */
static int read_words(const struct client_command *command, int argc, char **argv,
	struct client_line *line, const struct client_target *target, struct errors *errors)
{
	line->path = target->path;
	line->node = target->node;
	if (line->node && command->node == NODE_NEVER) {
		error_add(errors, line->path, line->node,
			"the whole machine is meant: leave out /%s", line->node);
		return EXIT_WRONG;
	}
	if (command->node == NODE_WORD && !line->node)
		line->node = next_word(argc, argv);
	if (command->node == NODE_WORD && !line->node)
		return misused(argv[0], "which DISK?");
	if (command->word)
		line->word = next_word(argc, argv);
	if (command->size)
		line->size = next_word(argc, argv);
	if (optind < argc)
		return misused(argv[0], "nothing can follow here, as %s does", argv[optind]);
	if (line->size && size_parse(line->size, &line->bytes)) {
		error_add(errors, line->size, NULL, "is no size: " SIZE_FORMS);
		return EXIT_USAGE;
	}
	return -1;
}

int client_command_run(const struct client_command *command, int argc, char **argv)
{
	struct client_line line = { .stall_sec = command->stall_sec };
	struct client_target target = { 0 };
	struct errors errors = { 0 };
	struct client *client = NULL;
	const char *control = NULL, *where = "";
	int code = read_options(command, argc, argv, &line, &control);

	if (code >= 0)
		return code;
	/* With --control the machine is known: /NODE and the words may follow, each or neither. */
	if (optind < argc && (!control || argv[optind][0] == '/' || !*command->words))
		where = argv[optind++];
	else if (!control)
		return misused(argv[0], "which machine? NAME, or --control PATH");
	code = EXIT_WRONG;
	if (!client_target_read(where, control, &errors, &target))
		code = read_words(command, argc, argv, &line, &target, &errors);
	if (code < 0) {
		code = EXIT_WRONG;
		if (command->unconnected || !client_open(line.path, &errors, &client))
			code = command->run(client, &line, &errors);
		client_close(client);
	}
	if (errors_any(&errors) && !code)
		code = EXIT_WRONG;
	errors_print(&errors, stderr);
	errors_finish(&errors);
	client_target_finish(&target);
	return code;
}
