/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: which command, and what there is. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "board/check.h"
#include "board/commandline.h"
#include "board/console.h"
#include "board/run.h"
#include "hyp/util.h"

#define OVERLAYS_MAX 16

/* Commands about a tree: FILE [--overlay FILE]... */
static int with_tree(int argc, char **argv,
	int (*command)(const char *file, const char *const *overlays, size_t overlay_count))
{
	static const struct option options[] = {
		{ "overlay", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *overlays[OVERLAYS_MAX];
	size_t count = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'o' && count < OVERLAYS_MAX) {
			overlays[count++] = optarg;
			continue;
		}
		fprintf(option == 'h' ? stdout : stderr,
			"usage: sluice %s FILE [--overlay FILE]... (at most %d)\n", argv[0],
			OVERLAYS_MAX);
		return option == 'h' ? EXIT_OK : EXIT_USAGE;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: sluice %s FILE [--overlay FILE]...\n", argv[0]);
		return EXIT_USAGE;
	}
	return command(argv[optind], overlays, count);
}

static int check_main(int argc, char **argv)
{
	return with_tree(argc, argv, check_command);
}

static int show_main(int argc, char **argv)
{
	return with_tree(argc, argv, show_command);
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", run_command, "FILE            run the machine that a device tree describes" },
	{ "check", check_main, "FILE          say what is wrong with a description, or its map" },
	{ "show", show_main, "FILE           print the tree that the guest would get" },
	{ "console", console_command,
		"NAME [PORT] attach to a running machine's console, or a named port" },
	{ "mem", mem_command, "NAME [SIZE]     show a machine's memory, or grow and shrink it" },
	{ "balloon", balloon_command,
		"NAME [SIZE] show or set what a machine's balloon leaves its guest" },
	{ "map", map_command, "NAME            show a machine's windows, slots and blocks" },
	{ "slots", slots_command, "NAME          show who holds a machine's memory slots" },
	{ "doctor", doctor_command, "             say what this host can do for Sluice" },
};

static void print_help(FILE *stream)
{
	fputs("usage: sluice COMMAND ...\n"
	      "Virtual machines on arm64 Linux, described by device trees, whose memory grows and\n"
	      "shrinks while they run.\n\n",
		stream);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(stream, "  %s %s\n", commands[i].name, commands[i].help);
	fputs("\n`sluice COMMAND --help` says more.\n", stream);
}

int main(int argc, char **argv)
{
	console_claim_stdio();
	if (argc > 1)
		for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
			if (!strcmp(argv[1], commands[i].name))
				return commands[i].run(argc - 1, argv + 1);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("sluice " SLUICE_VERSION);
		return EXIT_OK;
	}
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		print_help(stdout);
		return EXIT_OK;
	}
	if (argc > 1)
		fprintf(stderr, "sluice: no command '%s'\n", argv[1]);
	print_help(stderr);
	return EXIT_USAGE;
}
