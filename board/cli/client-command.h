/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that talk to a running machine: what their lines have in common, and the whole of such a call. */
#ifndef SLUICE_BOARD_CLI_CLIENT_COMMAND_H
#define SLUICE_BOARD_CLI_CLIENT_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct errors;

/* What a line said. Everything is borrowed. */
struct client_line {
	const char *path; /* the control socket's */
	const char *node; /* the device that is meant; NULL: none was named */
	const char *word; /* NULL: none */
	const char *size; /* as it was given; NULL: none */
	uint64_t bytes;	  /* `size`, at most INT64_MAX */
	unsigned stall_sec;
	bool force;
};

struct client_command {
	const char *words; /* after NAME and --control PATH, for --help */
	const char *about;
	enum {
		NODE_NEVER, /* the whole machine is meant */
		NODE_SLASH, /* NAME/NODE */
		NODE_WORD,  /* NAME/NODE or a word of its own; one is needed */
	} node;
	bool word, size;    /* one word more may follow, a SIZE may */
	unsigned stall_sec; /* what --timeout has for a default; 0: there is no such option */
	bool forceable;	    /* there is --force */
	bool unconnected;   /* `run` gets no connection, but NULL */
	int (*run)(struct client *client, const struct client_line *line, struct errors *errors);
};

/*
 * Reads the line, connects to the machine, calls run() and prints the errors that it added. Returns the exit code:
 * EXIT_USAGE for a wrong line, EXIT_WRONG where errors were added, else what run() returned.
 */
int client_command_run(const struct client_command *command, int argc, char **argv);

#endif
