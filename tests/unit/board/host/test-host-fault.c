/* SPDX-License-Identifier: Apache-2.0 */
/* A process that touches memory which the host cannot provide says so and ends with status 1. */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/host/host-fault.h"
#include "tests/unit/helpers/unit.h"

static void touch_what_is_gone(void)
{
	int fd = memfd_create("gone", MFD_CLOEXEC);
	volatile char *at;

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		_exit(99);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED || ftruncate(fd, 0) < 0)
		_exit(99);
	*at = 1;
}

static void raise_it(void)
{
	raise(SIGBUS);
}

/* As the kernel does where memory is broken. */
static void touch_what_is_broken(void)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = BUS_MCEERR_AR };

	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info);
}

/* Runs `what` in a child; returns its status, its standard error in `text`. */
static int in_child(void (*what)(void), char *text, size_t len)
{
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(ends[1], STDERR_FILENO);
		host_fault_explain();
		what();
		_exit(0);
	}
	close(ends[1]);
	n = read(ends[0], text, len - 1);
	text[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void missing_memory_is_reported(void **state)
{
	char text[512];
	int status = in_child(touch_what_is_gone, text, sizeof(text));

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_non_null(strstr(text, "the host has no memory for the guest's"));
}

static void broken_memory_is_reported(void **state)
{
	char text[512];
	int status = in_child(touch_what_is_broken, text, sizeof(text));

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_non_null(strstr(text, "the host's memory is broken where the guest's is"));
	assert_non_null(strstr(text, "the machine ends\n"));
}

static void a_signal_that_was_sent_ends_it_as_ever(void **state)
{
	char text[512];
	int status = in_child(raise_it, text, sizeof(text));

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_memory_is_reported),
		cmocka_unit_test(broken_memory_is_reported),
		cmocka_unit_test(a_signal_that_was_sent_ends_it_as_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
