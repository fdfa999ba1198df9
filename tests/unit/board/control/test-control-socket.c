/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's file, and the folder of those that are not named by their path. */
#include "tests/unit/helpers/control-bench.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "board/host/socket.h"
#include "tests/unit/helpers/fds.h"

/* control_folder() asks for our user id. */
static uid_t fake_uid;

uid_t geteuid(void)
{
	return fake_uid;
}

/* Whether the host lets a socket listen. */
static bool listens;

int __wrap_listen(int fd, int backlog);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog)
{
	errno = EADDRINUSE;
	return listens ? __real_listen(fd, backlog) : -1;
}

static unsigned fds_before;

static int open_socket_bench(void **state)
{
	struct stat st;

	listens = true;
	fds_before = open_fds();
	open_bench(state);
	assert_int_equal(lstat(folder, &st), 0);
	fake_uid = st.st_uid;
	return 0;
}

static void assert_said(const char *text)
{
	assert_int_equal(errors.count, 1);
	if (!strstr(errors.lines[0], text))
		fail_msg("'%s' is not in '%s'", text, errors.lines[0]);
	errors_finish(&errors);
}

static void file_is_ours_alone(void **state)
{
	struct stat st;
	mode_t old = umask(0);

	control_destroy(control);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(control_create(path, loop, &errors, &control), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	umask(old);
}

static void in_use_is_refused(void **state)
{
	struct control *second = NULL;
	struct peer *peer;

	assert_int_equal(control_create(path, loop, &errors, &second), -EADDRINUSE);
	assert_said("--name NAME");
	assert_null(second);
	peer = peer_ready(); /* the first still answers */
	peer_close(peer);
}

static void stale_is_replaced(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	control_destroy(control);
	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(control_create(path, loop, &errors, &control), 0);
	peer_close(peer_ready());
}

static void other_files_are_left(void **state)
{
	char file[128], moved[140];
	struct control *second = NULL;
	struct stat st;
	int fd;

	snprintf(file, sizeof(file), "%s/file", folder);
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(control_create(file, loop, &errors, &second), -EEXIST);
	assert_said("no socket");
	assert_int_equal(access(file, F_OK), 0);

	/* Ours was moved away and another is at its path: it is not ours to remove. */
	snprintf(moved, sizeof(moved), "%s.moved", path);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(control_create(path, loop, &errors, &second), 0);
	control_destroy(control);
	control = second;
	assert_int_equal(lstat(path, &st), 0);
	peer_close(peer_ready());
}

static void long_and_impossible_paths(void **state)
{
	struct control *second = NULL;
	char far[200];

	memset(far, 'x', sizeof(far));
	memcpy(far, "/tmp/", 5);
	/* The longest that there can be is taken, but for the folder that is not there. */
	far[107] = '\0';
	far[6] = '/';
	assert_int_equal(control_create(far, loop, &errors, &second), -ENOENT);
	errors_finish(&errors);
	far[6] = far[107] = 'x';
	far[108] = '\0';
	assert_int_equal(control_create(far, loop, &errors, &second), -ENAMETOOLONG);
	assert_said("108 bytes are too long for a socket's path (at most 107)");
	assert_int_equal(control_create("/nonexistent/a.sock", loop, &errors, &second), -ENOENT);
	assert_said("No such file");
	assert_null(second);
}

static void names_and_folders(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", ".hidden" };
	static const mode_t modes[] = { 0777, 0720, 0702 }; /* its group; all others */
	char run[128], aside[128], *made;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_null(control_path(bad[i], true, &errors));
		assert_said("no name for a machine");
	}
	fake_uid = 0;
	made = control_path("gateway", false, &errors);
	assert_string_equal(made, "/run/sluice/gateway.sock");
	free(made);
	assert_int_equal(errors.count, 0);

	fake_uid = 12345; /* owns nothing here */
	unsetenv("XDG_RUNTIME_DIR");
	assert_null(control_path("gateway", true, &errors));
	assert_said("XDG_RUNTIME_DIR is not set");
	setenv("XDG_RUNTIME_DIR", folder, 1);
	assert_null(control_path("gateway", true, &errors));
	assert_said("only you can write to");

	snprintf(run, sizeof(run), "%s/sluice", folder);
	assert_int_equal(lstat(run, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(chmod(run, 0755), 0);
	fake_uid = st.st_uid ? st.st_uid : 1;
	assert_int_equal(chown(run, fake_uid, (gid_t)-1), 0);
	made = control_path("gateway", true, &errors);
	assert_non_null(made);
	free(made);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(chmod(run, modes[i]), 0);
		assert_null(control_path("gateway", true, &errors));
		assert_said("only you can write to");
	}
	assert_int_equal(chmod(run, 0700), 0);
	/* Nor is it another's folder that is reached by a link, nor a file. */
	snprintf(aside, sizeof(aside), "%s/aside", folder);
	assert_int_equal(rename(run, aside), 0);
	assert_int_equal(symlink(aside, run), 0);
	assert_null(control_path("gateway", true, &errors));
	assert_said("only you can write to");
	assert_int_equal(unlink(run), 0);
	close(open(run, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(chown(run, fake_uid, (gid_t)-1), 0);
	assert_null(control_path("gateway", true, &errors));
	assert_said("only you can write to");
	/* A client, which only asks for the path, checks none of that. */
	made = control_path("gateway", false, &errors);
	assert_non_null(made);
	free(made);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	assert_null(control_path("gateway", true, &errors));
	assert_said("XDG_RUNTIME_DIR is not an absolute path");
	setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
	assert_null(control_path("gateway", true, &errors));
	assert_said("cannot be made: No such file or directory");
}

/* A file that nobody answers at would be one that the next has to clear away. */
static void nobody_listens(void **state)
{
	control_destroy(control);
	control = NULL;
	listens = false;
	assert_int_equal(control_create(path, loop, &errors, &control), -EADDRINUSE);
	assert_said("cannot be made the control socket: Address already in use");
	assert_int_equal(access(path, F_OK), -1);
}

static int close_socket_bench(void **state)
{
	return close_bench(state) + open_fds() - fds_before;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_socket_bench, close_socket_bench)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(file_is_ours_alone),
		TEST(in_use_is_refused),
		TEST(stale_is_replaced),
		TEST(other_files_are_left),
		TEST(long_and_impossible_paths),
		TEST(names_and_folders),
		TEST(nobody_listens),
	};

	return cmocka_run_group_tests_name("control-socket", tests, NULL, NULL);
}
