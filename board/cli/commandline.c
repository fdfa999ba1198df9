/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a command line that is wrong: the reason, and where to read on. See commandline.h. */
#include "board/cli/commandline.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>

#include "board/text/exit-codes.h"

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

int misused_option(const char *command, int option, char **argv)
{
	const char *last = argv[optind - 1];

	if (option == ':')
		return misused(command, "%s needs a value", last);
	/* Of short options behind one -, getopt's own word for the one; of long ones it has the whole. */
	if (optopt && (last[0] != '-' || last[1] != '-'))
		return misused(command, "there is no option -%c", optopt);
	return misused(command, "there is no option %s", last);
}
