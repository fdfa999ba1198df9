/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: finds the command, or lists all. */
#include <stdio.h>
#include <string.h>

#include "board/cli/check.h"
#include "board/cli/client-command.h"
#include "board/cli/commandline.h"
#include "board/config/config.h"
#include "board/config/tree-file.h"
#include "board/console/console.h"
#include "board/text/exit-codes.h"
#include "hyp/base/util.h"

/* Runs a command on a tree that starts no machine. */
static int with_tree(int argc, char **argv, const char *about,
	int (*command)(const struct tree_source *source, const char *name))
{
	struct tree_source source = { 0 };
	const char *name = NULL;
	const struct option_row rows[] = {
		OVERLAY_ROW(&source),
		ALLOW_ROW(&source),
		VERIFY_ROW(&source),
		KEY_ROW(&source),
		{ "name", "NAME", "the machine's name, as sluice run --name gives it", option_text,
			&name },
		{ 0 },
	};
	int code = options_read_file(argc, argv, about, rows, &source);

	return code >= 0 ? code : command(&source, name);
}

static int check_main(int argc, char **argv)
{
	return with_tree(argc, argv,
		"Prints all that is wrong with a machine's description, or its map. Checks the kernel, initrd\n"
		"and disks that it names, too, and a FIT's signatures and hashes. Nothing is started.",
		check_command);
}

static int show_main(int argc, char **argv)
{
	return with_tree(argc, argv,
		"Prints the tree that the guest would get, as source, with what Sluice adds to it.",
		show_command);
}

static const struct {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
	const struct client_command *client; /* instead of `run` */
} commands[] = {
	{ "run", "FILE            run the machine that a device tree describes", run_command },
	{ "check", "FILE          print what is wrong with a description, or its map", check_main },
	{ "show", "FILE           print the tree that the guest would get", show_main },
	{ "list", "               list your machines that run", list_command },
	{ "console", "NAME [PORT] attach to a running machine's console, or a named port",
		.client = &console_command },
	{ "mem", "NAME [SIZE]     show a machine's memory, or grow and shrink it",
		.client = &mem_command },
	{ "balloon", "NAME [SIZE] show or set what a machine's balloon leaves its guest",
		.client = &balloon_command },
	{ "resize", "NAME DISK [SIZE] give a running machine's disk more room",
		.client = &resize_command },
	{ "stop", "NAME           press a machine's power button, or end it",
		.client = &stop_command },
	{ "reset", "NAME          reset a machine", .client = &reset_command },
	{ "pause", "NAME          stop a machine's CPUs and its clock", .client = &pause_command },
	{ "resume", "NAME         let a paused machine go on", .client = &resume_command },
	{ "map", "NAME            show a machine's windows, slots and blocks",
		.client = &map_command },
	{ "slots", "NAME          show a machine's memory slots: limits and holders",
		.client = &slots_command },
	{ "doctor", "             say what this host can do for Sluice", doctor_command },
};

static void print_help(FILE *stream)
{
	fputs("Usage: sluice COMMAND ...\n"
	      "Virtual machines on arm64 Linux, described by device trees, whose memory grows and\n"
	      "shrinks while they run.\n\n",
		stream);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(stream, "  %s %s\n", commands[i].name, commands[i].help);
	fputs("\n`sluice COMMAND --help` says more.\n", stream);
}

static int unknown_command(const char *name)
{
	const char *names[ARRAY_SIZE(commands) + 1] = { NULL }, *near;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		names[i] = commands[i].name;
	near = nearest_name(name, names);
	return misused("", "there is no command '%s'%s%s%s", name, near ? "; did you mean " : "",
		near ? near : "", near ? "?" : "");
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	console_claim_stdio();
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].client
				       ? client_command_run(commands[i].client, argc - 1, argv + 1)
				       : commands[i].run(argc - 1, argv + 1);
	if (!strcmp(name, "--version")) {
		puts("sluice " SLUICE_VERSION);
		return EXIT_OK;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		print_help(stdout);
		return EXIT_OK;
	}
	if (argc > 1)
		return unknown_command(name);
	print_help(stderr);
	return EXIT_USAGE;
}
