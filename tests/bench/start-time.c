/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start-time ROUNDS NAME COMMAND... [-- NAME COMMAND...]...: starts each command ROUNDS times, in turn,
 * and prints for each a line "NAME FIRST END", medians in milliseconds: from before the process is made to
 * the first byte that it writes to its standard output (its end, where it writes nothing), and to its end.
 * Words NAME=VALUE before a command go into its environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hyp/base/util.h"

#define COMMANDS_MAX 16
#define ROUNDS_MAX   1000
#define SETTINGS_MAX 8

extern char **environ;

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* One run; 0, or -1 where it failed. */
static int run(char **command, double *ret_first, double *ret_end)
{
	char *environment[SETTINGS_MAX + 1] = { NULL }, **settings = environ;
	posix_spawn_file_actions_t actions;
	double start, first = -1;
	char buffer[4096];
	int out[2], status;
	pid_t pid;

	for (int i = 0; i < SETTINGS_MAX && strchr(*command, '='); i++) {
		environment[i] = *command++;
		settings = environment;
	}
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&actions, out[1], 1) == 0);
	start = milliseconds();
	status = posix_spawnp(&pid, command[0], &actions, NULL, command, settings);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	while (status == 0 && read(out[0], buffer, sizeof(buffer)) > 0)
		if (first < 0)
			first = milliseconds() - start;
	close(out[0]);
	if (status != 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return -1;
	*ret_end = milliseconds() - start;
	*ret_first = first < 0 ? *ret_end : first;
	return 0;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
	static double first[COMMANDS_MAX][ROUNDS_MAX], end[COMMANDS_MAX][ROUNDS_MAX];
	int rounds = argc > 1 ? atoi(argv[1]) : 0, count = 0;
	char **names[COMMANDS_MAX];

	for (int i = 2; i < argc && count < COMMANDS_MAX; i++) {
		names[count++] = &argv[i];
		while (i < argc && strcmp(argv[i], "--"))
			i++;
		argv[i] = NULL;
	}
	if (rounds < 1 || rounds > ROUNDS_MAX || count == 0) {
		fprintf(stderr,
			"usage: start-time ROUNDS NAME COMMAND... [-- NAME COMMAND...]...\n");
		return 2;
	}
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < count; i++)
			if (run(names[i] + 1, &first[i][round], &end[i][round]) < 0) {
				fprintf(stderr, "%s: failed\n", *names[i]);
				return 1;
			}
	for (int i = 0; i < count; i++) {
		qsort(first[i], (size_t)rounds, sizeof(**first), compare);
		qsort(end[i], (size_t)rounds, sizeof(**end), compare);
		printf("%s %.2f %.2f\n", *names[i], first[i][rounds / 2], end[i][rounds / 2]);
	}
	return 0;
}
