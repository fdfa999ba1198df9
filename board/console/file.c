/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console's back end that is a file. While it cannot be written (a full disk, for example) the ring holds the output.
 * The write is retried each second, from the first byte that is not in the file, so that the order is right.
 * Meanwhile a UART continues, and its oldest output is lost. A named port loses nothing, and the guest waits.
 *
 * A file that has grown to its size= is renamed to PATH.1, which replaces an older one, and PATH begins anew.
 * The folder is held open for that. Only the file that we wrote is renamed: another program may have rotated it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "board/console/console-internal.h"
#include "hyp/base/log.h"

#define AGAIN_MS 1000

int console_file_init(struct console *console, const struct console_spec *spec)
{
	char link[32], path[PATH_MAX], *base;
	ssize_t len;
	struct stat st;

	console->out_file = true;
	console->warnings.burst = 4;
	console->out_name = strdup(spec->path.name ? spec->path.name : "standard output");
	if (!console->out_name)
		return -ENOMEM;
	if (!spec->size_bytes || fstat(console->out_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	/* The file's real path: PATH may be a symbolic link. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", console->out_fd);
	len = readlink(link, path, sizeof(path));
	if (len < 0)
		return -errno;
	if (len == sizeof(path))
		return -ENAMETOOLONG;
	path[len] = '\0';
	base = strrchr(path, '/');
	if (!base)
		return -ENOENT;
	if (strlen(base + 1) + strlen(".1") > NAME_MAX)
		return -ENAMETOOLONG;
	console->base = strdup(base + 1);
	base[1] = '\0';
	console->folder_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	console->size_bytes = spec->size_bytes;
	return !console->base ? -ENOMEM : console->folder_fd < 0 ? -errno : 0;
}

void console_file_finish(struct console *console)
{
	loop_timer_cancel(&console->again);
	if (console->folder_fd >= 0)
		close(console->folder_fd);
	free(console->base);
	free(console->out_name);
}

/* 0 or -errno. The next call after a failure continues: it does not rename again. */
static int rotate(struct console *console, const struct stat *full)
{
	char old[NAME_MAX + 1];
	struct stat st;
	int fd;

	snprintf(old, sizeof(old), "%s.1", console->base);
	if (!fstatat(console->folder_fd, console->base, &st, AT_SYMLINK_NOFOLLOW) &&
		st.st_dev == full->st_dev && st.st_ino == full->st_ino &&
		renameat(console->folder_fd, console->base, console->folder_fd, old) < 0)
		return -errno;
	fd = openat(console->folder_fd, console->base,
		O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
		0600);
	if (fd < 0)
		return -errno;
	fchmod(fd, full->st_mode & 0777);
	close(console->out_fd);
	console->out_fd = fd;
	return 0;
}

/* How many of `len` bytes fit below the file's size; 0: it was rotated, call again. -errno. */
static ssize_t room(struct console *console, size_t len)
{
	struct stat st;
	uint64_t left;

	if (!console->size_bytes)
		return (ssize_t)len;
	if (fstat(console->out_fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size >= console->size_bytes)
		return rotate(console, &st);
	left = console->size_bytes - (uint64_t)st.st_size;
	return (ssize_t)(len < left ? len : left);
}

static void cannot(struct console *console, int err)
{
	if (!console->full)
		log_limited(&console->warnings, LOG_WARNING,
			"%s cannot be written: %s; it goes on when it can be, and until then %s",
			console->out_name, strerror(err),
			console->stream ? "the guest waits"
					: "the oldest output is lost beyond 64 KiB");
	pthread_mutex_lock(&console->lock);
	console->full = true;
	pthread_mutex_unlock(&console->lock);
	loop_timer_arm(console->loop, &console->again, AGAIN_MS);
}

static void can_again(struct console *console)
{
	uint64_t lost;

	pthread_mutex_lock(&console->lock);
	console->full = false;
	lost = console->lost_bytes;
	console->lost_bytes = 0;
	pthread_mutex_unlock(&console->lock);
	log_limited(&console->warnings, LOG_WARNING,
		"%s can be written again; %" PRIu64 " bytes were lost", console->out_name, lost);
}

ssize_t console_file_write(struct console *console, const uint8_t *buf, size_t len)
{
	ssize_t n = room(console, len);

	if (!n)
		return 0;
	if (n > 0)
		n = write(console->out_fd, buf, (size_t)n);
	else
		errno = (int)-n;
	if (n > 0 && console->full)
		can_again(console);
	if (n >= 0 || errno == EINTR || errno == EAGAIN || errno == EPIPE || errno == EBADF)
		return n;
	cannot(console, errno);
	errno = EAGAIN;
	return -1;
}

void console_file_end(struct console *console)
{
	uint64_t lost;

	pthread_mutex_lock(&console->lock);
	lost = console->full ? console->lost_bytes + console->head - console->at : 0;
	pthread_mutex_unlock(&console->lock);
	if (lost)
		log_print(LOG_WARNING, "%s cannot be written: the last %" PRIu64 " bytes are lost",
			console->out_name, lost);
}
