/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's commands, and how each reads its line: its options are a table, which --help prints too.
 * A command gets its own name as argv[0], prints for a person, and returns an exit code of board/text/exit-codes.h.
 */
#ifndef SLUICE_BOARD_CLI_COMMANDLINE_H
#define SLUICE_BOARD_CLI_COMMANDLINE_H

struct tree_source;

int run_command(int argc, char **argv);
/* EXIT_OK when this host can run guests. */
int doctor_command(int argc, char **argv);
int list_command(int argc, char **argv);

struct option_row {
	const char *name;  /* without its --; NULL: the row after the last */
	const char *value; /* the value's name in --help; NULL: it takes none */
	const char *help;  /* lines, separated by \n */
	/* Reads the value into `into`. 0, or what misused() returned. */
	int (*read)(const char *command, const struct option_row *row, const char *value);
	void *into;
};

/* Values of rows, with the type of their `into`. */
int option_flag(const char *command, const struct option_row *row, const char *value); /* bool */
int option_text(
	const char *command, const struct option_row *row, const char *value); /* const char * */
int option_seconds(
	const char *command, const struct option_row *row, const char *value); /* unsigned */
int option_overlay(const char *command, const struct option_row *row,
	const char *value); /* struct tree_source */
int option_allow(
	const char *command, const struct option_row *row, const char *value); /* the same */
int option_verify(
	const char *command, const struct option_row *row, const char *value);	      /* the same */
int option_key(const char *command, const struct option_row *row, const char *value); /* the same */
#define VERIFY_ROW(source)                                                                              \
	{                                                                                               \
		"verify", "WHAT",                                                                       \
			"required: start only from a FIT that --key's keys have signed; none: do not\n" \
			"ask who signed it (default: required with --key)",                             \
			option_verify, source                                                           \
	}
#define KEY_ROW(source)                                                                                    \
	{                                                                                                  \
		"key", "FILE",                                                                             \
			"the signer's public key: a control tree (mkimage -K) or PEM; may be given again", \
			option_key, source                                                                 \
	}
#define OVERLAY_ROW(source)                                                                        \
	{                                                                                          \
		"overlay", "FILE", "apply a device tree overlay; may be given again",              \
			option_overlay, source                                                     \
	}
#define ALLOW_ROW(source)                                                                          \
	{                                                                                          \
		"allow", "DIR",                                                                    \
			"files that a .dtb from elsewhere may name too; may be given again",       \
			option_allow, source                                                       \
	}

#define OPTION_SECONDS_MAX (365 * 24 * 60 * 60)

/*
 * Reads the options of a line, in any order with its words, which are then argv[optind] and those after it. Returns -1,
 * or the exit code after misused() or --help (-h). --help prints the command's forms (`synopsis`: a line for each,
 * without the name), `about` and the rows.
 */
int options_read(int argc, char **argv, const char *synopsis, const char *about,
	const struct option_row *rows);
/* The same, and then the one word, FILE, or FILE#CONFIGURATION of a FIT. */
int options_read_file(int argc, char **argv, const char *about, const struct option_row *rows,
	struct tree_source *ret);

/*
 * Prints on standard error what is wrong with the line of `command` ("": of the program), and a hint at its --help.
 * Returns EXIT_USAGE.
 */
int misused(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
