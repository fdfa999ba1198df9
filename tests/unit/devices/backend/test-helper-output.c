/* SPDX-License-Identifier: Apache-2.0 */
/* What a process of ours prints: its lines in the log, each with whose it is. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/backend/helper-output.h"
#include "devices/backend/passt.h"
#include "tests/unit/helpers/fake-loop.h"
#include "tests/unit/helpers/fds.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"

static char logged[16384];
static unsigned lines, fds_before;
static struct helper_output *output;

static void keep_line(enum log_level level, const char *text)
{
	size_t len = strlen(logged);

	lines++;
	snprintf(logged + len, sizeof(logged) - len, "%s\n", text);
}

static int setup(void **state)
{
	*logged = '\0';
	lines = 0;
	fds_before = open_fds();
	log_set_sink(keep_line);
	return helper_output_create((struct loop *)&lines, "net0", "passt", &output);
}

static int teardown(void **state)
{
	helper_output_destroy(output);
	return open_fds() - fds_before || fake_loop_watches();
}

static void print(const char *text)
{
	assert_int_equal(write(helper_output_fd(output), text, strlen(text)), strlen(text));
	while (fake_loop_serve())
		;
}

static void lines_are_labelled(void **state)
{
	print("one\ntw");
	assert_string_equal(logged, "net0: passt: one\n");
	print("o\n\n\x1b[31mred\r\n");
	assert_string_equal(logged, "net0: passt: one\nnet0: passt: two\nnet0: passt: ?[31mred?\n");
	/* An unfinished line is logged at the end. */
	print("three");
	helper_output_destroy(output);
	output = NULL;
	assert_non_null(strstr(logged, "net0: passt: three\n"));
}

static void a_long_line_is_cut(void **state)
{
	char text[1001];

	memset(text, 'x', 1000);
	text[1000] = '\0';
	print(text);
	print("\n");
	assert_int_equal(lines, 5);
	for (char *line = strtok(logged, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) <= strlen("net0: passt: ") + 200);
}

/* A helper that prints without end fills neither the log nor the loop's time. */
static void a_flood_is_bounded(void **state)
{
	char text[8001];

	for (size_t i = 0; i < 4000; i++)
		memcpy(text + 2 * i, "y\n", 2);
	text[8000] = '\0';
	assert_int_equal(write(helper_output_fd(output), text, 8000), 8000);
	for (unsigned turns = 0; turns < 7; turns++)
		assert_int_equal(fake_loop_serve(), 1);
	while (fake_loop_serve())
		;
	assert_in_range(lines, 1, 12);
}

static void a_loop_that_takes_no_more(void **state)
{
	struct helper_output *none = NULL;
	unsigned before = open_fds();

	fake_loop_refuse(1);
	assert_int_equal(helper_output_create((struct loop *)&lines, "net0", "passt", &none), -ENOSPC);
	fake_loop_refuse(0);
	assert_null(none);
	assert_int_equal(open_fds(), before);
}

/* Both of its streams, of the process itself. */
static void passt_prints_there(void **state)
{
	struct passt_config config = { .output = helper_output_fd(output) };
	char folder[] = "/tmp/test-output-XXXXXX", path[64], *old = strdup(getenv("PATH"));
	int fd, status;
	pid_t pid;
	FILE *script;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/passt", folder);
	script = fopen(path, "w");
	fputs("#!/bin/sh\necho to standard output\necho to standard error >&2\n", script);
	fclose(script);
	chmod(path, 0700);
	setenv("PATH", folder, 1);
	assert_int_equal(passt_start(&config, &fd, &pid), 0);
	setenv("PATH", old, 1);
	free(old);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
	while (fake_loop_serve())
		;
	assert_non_null(strstr(logged, "net0: passt: to standard output\n"));
	assert_non_null(strstr(logged, "net0: passt: to standard error\n"));
	unlink(path);
	rmdir(folder);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_are_labelled),
		TEST(a_long_line_is_cut),
		TEST(a_flood_is_bounded),
		TEST(a_loop_that_takes_no_more),
		TEST(passt_prints_there),
	};

	return cmocka_run_group_tests_name("helper-output", tests, NULL, NULL);
}
