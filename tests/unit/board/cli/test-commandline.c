/* SPDX-License-Identifier: Apache-2.0 */
/* Options of commands that read a tree: what they take, and how they are refused. */
#include "tests/unit/helpers/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/cli/commandline.h"
#include "board/config/tree-file.h"
#include "board/text/exit-codes.h"

static struct tree_source source;
static char said[8192];

/* What the line "check FIRST SECOND ..." comes to; what is printed goes to `said`. */
static int read_line(unsigned count, const char *const *words)
{
	const struct option_row rows[] = {
		OVERLAY_ROW(&source),
		ALLOW_ROW(&source),
		VERIFY_ROW(&source),
		KEY_ROW(&source),
		{ 0 },
	};
	static char text[64][64]; /* the source has them after the call */
	char *argv[64] = { (char *)"check" };
	int out = memfd_create("said", MFD_CLOEXEC), streams[2], code;
	ssize_t len;

	for (unsigned i = 0; i < count; i++) {
		argv[1 + i] = text[i];
		snprintf(text[i], sizeof(text[i]), "%s", words[i]);
	}
	source = (struct tree_source){ 0 };
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		streams[i] = dup(1 + i);
		dup2(out, 1 + i);
	}
	code = options_read_file((int)count + 1, argv, "About.", rows, &source);
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		dup2(streams[i], 1 + i);
		close(streams[i]);
	}
	len = pread(out, said, sizeof(said) - 1, 0);
	said[len > 0 ? len : 0] = '\0';
	close(out);
	return code;
}

#define LINE(...)                                                                                  \
	read_line(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *),                   \
		(const char *const[]){ __VA_ARGS__ })

static void assert_said(const char *words)
{
	if (!strstr(said, words))
		fail_msg("\"%s\" is not in: %s", words, said);
}

static void keys_and_what_they_are_for(void **state)
{
	assert_int_equal(LINE("m.itb"), -1);
	assert_string_equal(source.file, "m.itb");
	assert_int_equal(source.verify, VERIFY_UNSAID);
	assert_int_equal(source.key_count, 0);
	assert_int_equal(LINE("--verify", "required", "m.itb", "--key", "a", "--key=b"), -1);
	assert_int_equal(source.verify, VERIFY_REQUIRED);
	assert_int_equal(source.key_count, 2);
	assert_string_equal(source.keys[0], "a");
	assert_string_equal(source.keys[1], "b");
	assert_int_equal(LINE("m.itb", "--verify", "none"), -1);
	assert_int_equal(source.verify, VERIFY_NONE);
	assert_int_equal(LINE("m.itb", "--verify", "Required"), EXIT_USAGE);
	assert_said("--verify Required: neither required nor none");
	assert_int_equal(LINE("m.itb", "--verify", ""), EXIT_USAGE);
	assert_int_equal(LINE("m.itb", "--verify"), EXIT_USAGE);
	assert_int_equal(LINE("m.itb", "--key"), EXIT_USAGE);
}

static void so_many_keys(void **state)
{
	const char *words[2 * TREE_KEYS_MAX + 3] = { "m.itb" };

	for (unsigned i = 0; i <= TREE_KEYS_MAX; i++) {
		words[1 + 2 * i] = "--key";
		words[2 + 2 * i] = "k";
	}
	assert_int_equal(read_line(2 * TREE_KEYS_MAX + 1, words), -1);
	assert_int_equal(source.key_count, TREE_KEYS_MAX);
	assert_int_equal(read_line(2 * TREE_KEYS_MAX + 3, words), EXIT_USAGE);
	assert_said("more than 16 files of keys");
}

static void configurations(void **state)
{
	char file[] = "/tmp/test-commandline-XXXXXX", word[60];
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	close(fd);
	snprintf(word, sizeof(word), "%s#conf-1", file);
	assert_int_equal(LINE(word), -1);
	assert_string_equal(source.file, file);
	assert_string_equal(source.configuration, "conf-1");
	unlink(file);
	assert_int_equal(LINE(word), -1);
	assert_string_equal(source.file, word);
	assert_null(source.configuration);
}

static void help(void **state)
{
	assert_int_equal(LINE("--help"), EXIT_OK);
	assert_said("Usage: sluice check FILE[#CONFIGURATION] [OPTION]...");
	assert_said("--verify WHAT");
	assert_said("--key FILE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_what_they_are_for),
		cmocka_unit_test(so_many_keys),
		cmocka_unit_test(configurations),
		cmocka_unit_test(help),
	};

	return cmocka_run_group_tests_name("command line", tests, NULL, NULL);
}
