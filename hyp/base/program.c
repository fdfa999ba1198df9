/* SPDX-License-Identifier: Apache-2.0 */
/* Programs; see program.h. */
#include "hyp/base/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"

bool program_find(const char *name, char *path, size_t size)
{
	const char *folders = getenv("PATH");
	size_t len;

	for (folders = folders ? folders : "/usr/bin:/bin"; *folders; folders += len) {
		folders += *folders == ':';
		len = strcspn(folders, ":");
		if (snprintf(path, size, "%.*s/%s", (int)len, folders, name) < (int)size &&
			!access(path, X_OK))
			return true;
	}
	return false;
}

int program_start(const char *const *args, const int *fds, int count, bool apart, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, pipe;
	int err;

	sigemptyset(&none);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr,
		POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (apart ? POSIX_SPAWN_SETSID : 0));
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipe);
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < count; i++)
		if (fds[i] < 0)
			posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
		else
			posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	err = -posix_spawnp(ret_pid, args[0], &actions, &attr, (char *const *)args, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return err;
}

/* The linker's: where the program's first segment begins, and where its code ends. All between them is only read. */
extern const char __executable_start[], etext[];

void program_forget_code(void)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t start = align_down((uintptr_t)__executable_start, page);
	uint64_t end = align_down((uintptr_t)etext, page);

	(void)madvise((void *)(uintptr_t)start, end - start, MADV_DONTNEED);
}
