// SPDX-License-Identifier: Apache-2.0
/*
 * What the scripts of tests/linux wait with. A script that polls by starting grep and sleep takes a whole CPU of an
 * emulated host, which starts a program in some 50 ms; this is one process for one wait.
 *
 *   await SECONDS line COUNT PATTERN FILE   FILE has COUNT whole lines in which grep would find PATTERN
 *   await SECONDS text PATTERN FILE         grep would find PATTERN, in a last line without its end too
 *   await SECONDS answer MARK FILE          FILE has MARK:STATUS; prints the lines between the one that ends in MARK and
 *                                           that one, and ends with STATUS
 *   await SECONDS file PATH                 PATH exists
 *   await SECONDS end PID                   there is no such process
 *
 * Ends with 124 when SECONDS have passed, with 2 where it was called wrongly. FILE may come later, and only grows.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS (20 * 1000 * 1000)
#define TIMED_OUT 124
#define USAGE 2

/* The whole of a file as far as it has come, always followed by a zero. */
struct text {
	const char *path;
	int fd;
	char *bytes;
	size_t count, room;
	size_t line; /* where the first line begins that has not been searched to its end */
};

/* Reads what has come since; false where nothing has. */
static bool read_more(struct text *text)
{
	bool more = false;

	if (text->fd < 0)
		text->fd = open(text->path, O_RDONLY | O_CLOEXEC);
	if (text->fd < 0)
		return false;
	for (;;) {
		if (text->count + 1 >= text->room) {
			text->room = text->room ? text->room * 2 : 65536;
			text->bytes = realloc(text->bytes, text->room);
			if (!text->bytes)
				abort();
		}
		ssize_t got = read(text->fd, text->bytes + text->count, text->room - text->count - 1);
		if (got <= 0)
			break;
		/* A guest's console may carry zeros, which would end a string. */
		for (ssize_t i = 0; i < got; i++) {
			if (!text->bytes[text->count + i])
				text->bytes[text->count + i] = '?';
		}
		text->count += got;
		text->bytes[text->count] = 0;
		more = true;
	}
	return more;
}

/* The next line, ended by a zero in place of its newline; the last one may have come in part (*ret_whole). */
static char *next_line(struct text *text, bool *ret_whole)
{
	char *begin = text->bytes + text->line, *end;

	if (text->line >= text->count)
		return NULL;
	end = memchr(begin, '\n', text->count - text->line);
	*ret_whole = end;
	if (end) {
		*end = 0;
		text->line = end + 1 - text->bytes;
	}
	return begin;
}

/* What is waited for, checked again and again until it is there; then *ret_status is what to end with. */
struct wait {
	bool (*is_there)(struct wait *wait, int *ret_status);
	struct text text;
	regex_t pattern;
	long wanted, seen; /* lines */
	bool partly;	   /* a line without its end will do */
	const char *mark;
	bool inside; /* of the answer */
	pid_t pid;
};

static bool line_is_there(struct wait *wait, int *ret_status)
{
	bool whole = true;
	char *line;

	if (!read_more(&wait->text))
		return false;
	while (whole && (line = next_line(&wait->text, &whole))) {
		if ((whole || wait->partly) && !regexec(&wait->pattern, line, 0, NULL, 0))
			wait->seen++;
	}
	return wait->seen >= wait->wanted;
}

static bool answer_is_there(struct wait *wait, int *ret_status)
{
	const size_t mark_bytes = strlen(wait->mark);
	bool whole;
	char *line, *at;

	if (!read_more(&wait->text))
		return false;
	while ((line = next_line(&wait->text, &whole)) && whole) {
		size_t bytes = strlen(line);

		if (bytes && line[bytes - 1] == '\r')
			line[--bytes] = 0;
		at = strstr(line, wait->mark);
		if (at && at[mark_bytes] == ':' && isdigit((unsigned char)at[mark_bytes + 1])) {
			*ret_status = atoi(at + mark_bytes + 1);
			return true;
		}
		if (wait->inside)
			puts(line);
		else
			wait->inside = bytes >= mark_bytes && !strcmp(line + bytes - mark_bytes, wait->mark);
	}
	return false;
}

static bool file_is_there(struct wait *wait, int *ret_status)
{
	return !access(wait->text.path, F_OK);
}

static bool process_is_gone(struct wait *wait, int *ret_status)
{
	return kill(wait->pid, 0) && errno == ESRCH;
}

static int usage(void)
{
	fputs("usage: await SECONDS line COUNT PATTERN FILE | text PATTERN FILE | answer MARK FILE | file PATH | end PID\n", stderr);
	return USAGE;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

int main(int argc, char **argv)
{
	struct wait wait = { .text.fd = -1 };
	const char *what = argc > 3 ? argv[2] : "";
	int status = 0;
	uint64_t end;

	if (!strcmp(what, "line") && argc == 6) {
		wait.is_there = line_is_there;
		wait.wanted = atol(argv[3]);
		wait.text.path = argv[5];
		if (regcomp(&wait.pattern, argv[4], REG_NOSUB))
			return usage();
	} else if (!strcmp(what, "text") && argc == 5) {
		wait.is_there = line_is_there;
		wait.wanted = 1;
		wait.partly = true;
		wait.text.path = argv[4];
		if (regcomp(&wait.pattern, argv[3], REG_NOSUB))
			return usage();
	} else if (!strcmp(what, "answer") && argc == 5) {
		wait.is_there = answer_is_there;
		wait.mark = argv[3];
		wait.text.path = argv[4];
	} else if (!strcmp(what, "file") && argc == 4) {
		wait.is_there = file_is_there;
		wait.text.path = argv[3];
	} else if (!strcmp(what, "end") && argc == 4) {
		wait.is_there = process_is_gone;
		wait.pid = atoi(argv[3]);
	} else {
		return usage();
	}

	end = now_ns() + strtoull(argv[1], NULL, 10) * UINT64_C(1000000000);
	while (!wait.is_there(&wait, &status)) {
		if (now_ns() >= end)
			return TIMED_OUT;
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
	return status;
}
