/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that talk to a running machine: reads their lines, connects, and calls them. */
#ifndef SLUICE_BOARD_CLI_CLIENT_COMMAND_H
#define SLUICE_BOARD_CLI_CLIENT_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct errors;

/* A line after it was read. Everything is borrowed. */
struct client_line {
	const char *path; /* the control socket's */
	const char *node; /* the device's name; NULL: none was given */
	const char *word; /* NULL: none */
	const char *size; /* as given; NULL: none */
	uint64_t bytes;	  /* `size`, at most INT64_MAX */
	unsigned stall_sec;
	bool flag; /* the command's own */
};

struct client_command {
	const char *words; /* after NAME and --control PATH, for --help */
	const char *about;
	enum {
		NODE_NEVER, /* for the whole machine */
		NODE_SLASH, /* NAME/NODE */
		NODE_WORD,  /* NAME/NODE or a word of its own; one is needed */
	} node;
	bool word, size;    /* a further word may follow, a SIZE may follow */
	unsigned stall_sec; /* the default of --timeout; 0: no such option */
	const char *
		stall_about; /* what --timeout means, with %u for the default; NULL: as follow_wait() has it */
	const char *flag, *flag_about; /* an option without a value, such as "force"; NULL: none */
	bool unconnected;	       /* `run` gets NULL instead of a connection */
	int (*run)(struct client *client, const struct client_line *line, struct errors *errors);
};

extern const struct client_command balloon_command, console_command, map_command, mem_command,
	pause_command, reset_command, resize_command, resume_command, slots_command, stop_command;

/*
 * Reads the line, connects to the machine, calls run() and prints the errors that it added. Returns the exit code:
 * EXIT_USAGE for a wrong line, EXIT_WRONG if errors were added, else what run() returned.
 */
int client_command_run(const struct client_command *command, int argc, char **argv);

#endif
