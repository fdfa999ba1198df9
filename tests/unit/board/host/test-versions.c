/* SPDX-License-Identifier: Apache-2.0 */
/* Versions that were started: what is kept, where, what is no version, and what fails while one is kept. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/host/versions.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/tree-source.h"

static char top[64], folder[100];
static struct errors errors;

/* ---- What fails ---- */

static unsigned fail_at; /* this call of those below, from 1 on; 0: none */
static unsigned calls;

static bool fails(void)
{
	errno = EIO;
	return ++calls == fail_at;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return fails() ? -1 : __real_fsync(fd);
}

int __real_openat64(int at, const char *name, int flags, mode_t mode);
int __wrap_openat64(int at, const char *name, int flags, mode_t mode);
int __wrap_openat64(int at, const char *name, int flags, mode_t mode)
{
	return fails() ? -1 : __real_openat64(at, name, flags, mode);
}

int __real_mkdirat(int at, const char *name, mode_t mode);
int __wrap_mkdirat(int at, const char *name, mode_t mode);
int __wrap_mkdirat(int at, const char *name, mode_t mode)
{
	return fails() ? -1 : __real_mkdirat(at, name, mode);
}

/* ---- A folder ---- */

static int begin(void **state)
{
	snprintf(top, sizeof(top), "/tmp/versions-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(folder, sizeof(folder), "%s/state/versions", top);
	fail_at = 0;
	return 0;
}

static int end(void **state)
{
	char command[100];

	errors_finish(&errors);
	snprintf(command, sizeof(command), "rm -r %s", top);
	return system(command);
}

static char *in_folder(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void touch(const char *name)
{
	int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static bool is_there(const char *name)
{
	return !access(in_folder(name), F_OK);
}

static uint32_t highest(const char *product)
{
	uint32_t version = 99;

	assert_int_equal(versions_highest(folder, product, &errors, &version), 0);
	return version;
}

static void keeps(const char *product, uint32_t version)
{
	if (versions_keep(folder, product, version, &errors))
		errors_show(&errors);
	assert_false(errors_any(&errors));
}

static void refuses(const char *product, const char *words)
{
	uint32_t version = 99;

	assert_int_equal(versions_highest(folder, product, &errors, &version), -EINVAL);
	assert_int_equal(version, 99);
	if (!errors_say(&errors, words)) {
		errors_show(&errors);
		fail_msg("not said: %s", words);
	}
	errors_finish(&errors);
	assert_int_equal(versions_keep(folder, product, 1000, &errors), -EINVAL);
	assert_true(errors_say(&errors, words));
	errors_finish(&errors);
}

/* ---- Tests ---- */

static void the_highest_is_kept(void **state)
{
	assert_int_equal(highest("gateway"), 0);
	assert_false(is_there(""));
	keeps("gateway", 0); /* nothing to keep */
	assert_int_equal(highest("gateway"), 0);
	keeps("gateway", 5);
	assert_int_equal(highest("gateway"), 5);
	keeps("gateway", 4);
	assert_int_equal(highest("gateway"), 5);
	assert_false(is_there("gateway/4"));
	keeps("gateway", 10); /* not by the alphabet */
	keeps("gateway", 10);
	assert_int_equal(highest("gateway"), 10);
	assert_false(is_there("gateway/5"));
	keeps("gateway", UINT32_MAX);
	assert_int_equal(highest("gateway"), UINT32_MAX);
	assert_int_equal(highest("another"), 0);
	/* What a start that was killed has left. */
	touch("gateway/7");
	assert_int_equal(highest("gateway"), UINT32_MAX);
}

/* What root keeps is for all users to read; a user's own is as he wants it. */
static void modes(void **state)
{
	mode_t mask = umask(0077);
	struct stat st;

	keeps("gateway", 5);
	umask(mask);
	assert_int_equal(stat(in_folder("gateway"), &st), 0);
	assert_int_equal(st.st_mode & 0777, geteuid() ? 0700 : 0755);
}

static void names(void **state)
{
	static const char *const good[] = { "a", "gateway-2.0_b", "0",
		"123456789012345678901234567890123456789012345678901234567890123" };
	static const char *const bad[] = { "", ".", "..", ".a", "a/b", "../a", "a b", "\xc3\xa9",
		"a\n", "1234567890123456789012345678901234567890123456789012345678901234" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(versions_may_be_product(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(versions_may_be_product(bad[i]));
}

static void what_is_no_version(void **state)
{
	static const char *const bad[] = { "x", "05", "+5", "-1", " 5", "5 ", "5.", "4294967296",
		"18446744073709551621", "5~" };
	char name[32];

	keeps("gateway", 5);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(name, sizeof(name), "gateway/%s", bad[i]);
		touch(name);
		refuses("gateway", "holds what is no version that was started");
		assert_int_equal(unlink(in_folder(name)), 0);
	}
	for (unsigned i = 100; i < 163; i++) {
		snprintf(name, sizeof(name), "gateway/%u", i);
		touch(name);
	}
	assert_int_equal(highest("gateway"), 162);
	touch("gateway/163");
	refuses("gateway", "or more than 64");
}

static void whose_folder_it_is(void **state)
{
	keeps("gateway", 5);
	assert_int_equal(chmod(in_folder("gateway"), 0777), 0);
	refuses("gateway", "anybody can write this folder or one above it");
	assert_int_equal(chmod(in_folder("gateway"), 0755) | chmod(folder, 0777), 0);
	refuses("gateway", "anybody can write this folder or one above it");
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(chmod(in_folder("gateway"), 0775), 0); /* those of its group may */
	assert_int_equal(highest("gateway"), 5);
	if (!geteuid()) {
		assert_int_equal(chown(in_folder("gateway"), 1234, 0), 0);
		refuses("gateway", "or somebody else has it");
	}
	if (!geteuid()) {
		assert_int_equal(chown(in_folder("gateway"), 0, 0), 0);
		assert_int_equal(chmod(top, 0755), 0);
		assert_int_equal(chmod(in_folder("gateway"), 0755), 0);
		assert_int_equal(seteuid(1234), 0);
		assert_int_equal(highest("gateway"), 5);
		keeps("gateway", 5); /* needs no write */
		assert_int_equal(versions_keep(folder, "gateway", 6, &errors), -EINVAL);
		assert_true(errors_say(&errors,
			"state/versions/gateway: the highest version that was started cannot be kept: Permission denied: start this version once as root"));
		errors_finish(&errors);
		assert_int_equal(versions_keep(folder, "another", 6, &errors), -EINVAL);
		assert_true(errors_say(&errors, "state/versions/another: "));
		errors_finish(&errors);
		assert_int_equal(seteuid(0), 0);
	}
	touch("file");
	refuses("file", "state/versions/file: the highest version that was started cannot be ");
}

/* Each call fails once: what was kept is kept, or the new one is, and the next time it succeeds. */
static void each_call_fails(void **state)
{
	unsigned failed = 0;

	for (unsigned old = 0; old <= 5; old += 5) {
		for (fail_at = 1;; fail_at++) {
			char command[150];
			uint32_t version;
			int err;

			snprintf(command, sizeof(command), "rm -rf %s/state", top);
			assert_int_equal(system(command), 0);
			calls = UINT32_MAX / 2;
			if (old)
				keeps("gateway", old);
			calls = 0;
			err = versions_keep(folder, "gateway", 6, &errors);
			if (calls < fail_at) {
				assert_int_equal(err, 0);
				break;
			}
			failed++;
			assert_int_equal(err, -EINVAL);
			assert_true(errors_say(&errors, "Input/output error"));
			errors_finish(&errors);
			calls = UINT32_MAX / 2;
			version = highest("gateway");
			assert_true(version == old || version == 6);
			keeps("gateway", 6);
			assert_int_equal(highest("gateway"), 6);
		}
		fail_at = 0;
	}
	/* / and the folders below it, the product's names, its file, and for those that are made three calls more. */
	assert_int_equal(failed, 25);
}

static void where(void **state)
{
	char *found = versions_folder(true);

	assert_string_equal(found, "/var/lib/sluice/versions");
	free(found);
	found = versions_folder(false);
	if (!geteuid()) {
		assert_string_equal(found, "/var/lib/sluice/versions");
		free(found);
		assert_int_equal(seteuid(1234), 0);
	} else {
		free(found);
	}
	setenv("HOME", "/home/me", 1);
	unsetenv("XDG_STATE_HOME");
	found = versions_folder(false);
	assert_string_equal(found, "/home/me/.local/state/sluice/versions");
	free(found);
	setenv("XDG_STATE_HOME", "/state", 1);
	found = versions_folder(false);
	assert_string_equal(found, "/state/sluice/versions");
	free(found);
	setenv("XDG_STATE_HOME", "state", 1);
	setenv("HOME", "", 1);
	assert_null(versions_folder(false));
	unsetenv("HOME");
	assert_null(versions_folder(false));
	found = versions_folder(true);
	assert_string_equal(found, "/var/lib/sluice/versions");
	free(found);
	if (!getuid())
		assert_int_equal(seteuid(0), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(the_highest_is_kept),
		TEST(modes),
		TEST(names),
		TEST(what_is_no_version),
		TEST(whose_folder_it_is),
		TEST(each_call_fails),
		TEST(where),
	};

	return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
