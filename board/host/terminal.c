/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal; see terminal.h. What the signal handlers need is static; `saved` is complete before `raw_fd` is set.
 * The handlers stay installed: once the terminal is restored they only pass signals on.
 */
#include "board/host/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "hyp/base/util.h"

static struct termios saved;
static atomic_int raw_fd = -1;

/* All catchable signals that end a process by default (signal(7)), except SIGPIPE, which is ignored. */
static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE,
	SIGSEGV, SIGSYS, SIGTERM, SIGXCPU, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
	SIGIO, SIGPWR, SIGSTKFLT };
static struct sigaction before[ARRAY_SIZE(signals)];

void terminal_restore(void)
{
	int fd = atomic_exchange(&raw_fd, -1);

	/* TCSANOW: waiting for output to drain could take for ever. */
	if (fd >= 0)
		tcsetattr(fd, TCSANOW, &saved);
}

/* Restores the terminal, then lets the signal take its former action. */
static void fatal(int number, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	terminal_restore();
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (signals[i] == number)
			sigaction(number, &before[i], NULL);
	/* A fault recurs when the handler returns; any other signal has to be raised again. */
	if (info->si_code <= 0 || info->si_code == SI_KERNEL ||
		(number == SIGBUS && info->si_code == BUS_MCEERR_AO))
		raise(number);
	errno = saved_errno;
}

static void install(void)
{
	struct sigaction action = { .sa_sigaction = fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static bool installed;

	if (installed)
		return;
	installed = true;
	atexit(terminal_restore);
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (sigaction(signals[i], NULL, &before[i]) < 0)
			continue;
		/* Ignored signals (nohup) stay ignored; an earlier handler runs after ours. */
		if ((before[i].sa_flags & SA_SIGINFO) || before[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

int terminal_raw(int fd)
{
	struct termios raw;
	pid_t foreground;

	if (atomic_load(&raw_fd) >= 0)
		return -EBUSY;
	if (tcgetattr(fd, &saved) < 0)
		return -ENOTTY;
	/* -1: not our controlling terminal, so we cannot be in its background. */
	foreground = tcgetpgrp(fd);
	if (foreground >= 0 && foreground != getpgrp())
		return -ENOTTY;
	install();
	raw = saved;
	cfmakeraw(&raw);
	raw.c_oflag = saved.c_oflag;
	atomic_store(&raw_fd, fd);
	if (tcsetattr(fd, TCSANOW, &raw) < 0) {
		atomic_store(&raw_fd, -1);
		return -ENOTTY;
	}
	return 0;
}

int terminal_open_own(int fd, int flags, bool *ret_nonblocking)
{
	char path[32];
	struct stat st;
	int own;

	*ret_nonblocking = false;
	if (fstat(fd, &st) < 0)
		return -1;
	if (isatty(fd) || S_ISFIFO(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		own = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (own >= 0) {
			*ret_nonblocking = true;
			return own;
		}
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}
