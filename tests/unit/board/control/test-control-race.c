/* SPDX-License-Identifier: Apache-2.0 */
/* Two machines that start at once with one name: one of them gets it, and answers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "board/host/socket.h"
#include "board/text/errors.h"
#include "tests/unit/helpers/race.h"

#define ROUNDS 1000

static char folder[] = "/tmp/test-control-race.XXXXXX", path[64];
static struct race race;

static struct machine {
	int fd, err;
	struct stat file;
	struct errors errors;
} machines[2];

static void start(struct machine *machine)
{
	machine->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	machine->err = control_listen(machine->fd, path, &machine->file, &machine->errors);
}

static void other_machine(struct race *unused)
{
	while (race_joins(&race)) {
		start(&machines[RACE_OTHER]);
		race_meet(&race, RACE_OTHER);
	}
}

static int reach(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	strcpy(address.sun_path, path);
	err = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* --- what one does while the other has to wait --- */

static bool watching;
static unsigned locked, unlocked;

static bool is_locked(void)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool locked_by_another = flock(fd, LOCK_EX | LOCK_NB) < 0;

	close(fd);
	return locked_by_another;
}

static void probe_lock(void)
{
	if (watching)
		(*(is_locked() ? &locked : &unlocked))++;
}

int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
int __real_bind(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t len);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	probe_lock();
	return __real_connect(fd, address, len);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t len)
{
	probe_lock();
	return __real_bind(fd, address, len);
}

int __wrap_listen(int fd, int backlog)
{
	probe_lock();
	return __real_listen(fd, backlog);
}

static void the_folder_is_locked_until_it_listens(void **state)
{
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.sock", folder);
	start(&machines[RACE_OWN]);
	assert_int_equal(machines[RACE_OWN].err, 0);
	close(machines[RACE_OWN].fd);
	/* The probe of what is there already, the new socket, and it listens. */
	watching = true;
	start(&machines[RACE_OWN]);
	watching = false;
	assert_int_equal(machines[RACE_OWN].err, 0);
	close(machines[RACE_OWN].fd);
	assert_int_equal(locked, 3);
	assert_int_equal(unlocked, 0);
	assert_false(is_locked());
	unlink(path);
}

/* What the last machine left is there each time. */
static void one_of_two_gets_the_name(void **state)
{
	unsigned wins[2] = { 0, 0 }, both = 0, wrong = 0;

	start(&machines[RACE_OWN]);
	assert_int_equal(machines[RACE_OWN].err, 0);
	close(machines[RACE_OWN].fd);
	race_start(&race, other_machine, ROUNDS);
	while (race_next(&race)) {
		struct stat now = { 0 };

		start(&machines[RACE_OWN]);
		race_meet(&race, RACE_OWN);
		both += !machines[0].err == !machines[1].err;
		lstat(path, &now);
		for (unsigned i = 0; i < 2; i++) {
			struct machine *one = &machines[i];

			wins[i] += !one->err;
			/* The socket is that of the machine that has the name; the other one's error names it. */
			wrong += !one->err ? now.st_ino != one->file.st_ino
					   : one->err != -EADDRINUSE || one->errors.count != 1;
		}
		wrong += reach() != 0;
		for (unsigned i = 0; i < 2; i++) {
			close(machines[i].fd);
			errors_finish(&machines[i].errors);
			machines[i].errors = (struct errors){ 0 };
		}
	}
	assert_int_equal(both, 0);
	assert_int_equal(wrong, 0);
	assert_true(wins[0] + wins[1]);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_folder_is_locked_until_it_listens),
		cmocka_unit_test(one_of_two_gets_the_name),
	};

	return cmocka_run_group_tests_name("control-race", tests, NULL, NULL);
}
