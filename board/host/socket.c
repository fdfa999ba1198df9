/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets that listen: the control socket, and those of consoles and ports; see socket.h. */
#include "board/host/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "board/text/errors.h"
#include "hyp/base/util.h"

#define LOCK_TRIES	50
#define LOCK_TRY_US	20000
#define BACKLOG		16
#define ACCEPT_AGAIN_MS 1000

char *control_folder(struct errors *errors)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *folder;

	if (!geteuid())
		return strdup("/run/sluice");
	if (!runtime || runtime[0] != '/') {
		error_add(errors, "control socket", NULL,
			"XDG_RUNTIME_DIR is %s, so there is no place for it; name one with --control PATH",
			runtime && *runtime ? "not an absolute path" : "not set");
		return NULL;
	}
	return asprintf(&folder, "%s/sluice", runtime) < 0 ? NULL : folder;
}

/* Makes the folder, or checks that only this user can write to it. */
static int make_folder_private(const char *folder, struct errors *errors)
{
	struct stat st;

	if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
		error_add(errors, folder, NULL,
			"the folder of control sockets cannot be made: %s; name another place with --control PATH",
			strerror(errno));
		return -1;
	}
	if (lstat(folder, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
		(st.st_mode & 022)) {
		error_add(errors, folder, NULL,
			"must be a folder that only you can write to; mend it, or name another place with --control PATH");
		return -1;
	}
	return 0;
}

char *control_path(const char *name, bool make_folder, struct errors *errors)
{
	char *folder, *path = NULL;

	if (!*name || *name == '.' || strchr(name, '/')) {
		error_add(errors, "--name", NULL,
			"'%s' is no name for a machine: not empty, no '/', no '.' in front", name);
		return NULL;
	}
	folder = control_folder(errors);
	if (folder && (!make_folder || !make_folder_private(folder, errors)) &&
		asprintf(&path, "%s/%s.sock", folder, name) < 0)
		path = NULL;
	free(folder);
	return path;
}

/*
 * Two machines that start at once must not both find a stale socket and replace each other's. So each locks the folder
 * from its check of the old socket until the new one listens. Best effort: any process that can read the folder can
 * hold the lock.
 */
static int lock_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
		usleep(LOCK_TRY_US);
	free(folder);
	return fd;
}

/*
 * 0 if no socket listens at the address, -EADDRINUSE if one does, or -errno. Connects a datagram socket, which the
 * kernel refuses with EPROTOTYPE: a stream connection to a console socket would disconnect its current client.
 */
static int probe(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) || errno == EPROTOTYPE)
		err = -EADDRINUSE;
	else if (errno != ECONNREFUSED && errno != ENOENT)
		err = -errno;
	close(fd);
	return err;
}

static int clear_stale(const char *path, const struct sockaddr_un *address, struct errors *errors)
{
	struct stat st;
	int err;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		error_add(errors, path, NULL,
			"is there already and is no socket; name another place with --control PATH");
		return -EEXIST;
	}
	err = probe(address);
	if (err == -EADDRINUSE)
		error_add(errors, path, NULL,
			"a running machine has this control socket: the same one, started a second time, or another of this name. Give this one a name of its own with --name NAME, or another socket with --control PATH");
	if (!err && unlink(path) < 0 && errno != ENOENT)
		err = -errno;
	return err;
}

int control_listen(int fd, const char *path, struct stat *ret, struct errors *errors)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int err, lock;

	if (strlen(path) >= sizeof(address.sun_path)) {
		error_add(errors, path, NULL,
			"%zu bytes are too long for a socket's path (at most %zu); choose a shorter one with --control PATH or --name NAME",
			strlen(path), sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	strcpy(address.sun_path, path);
	lock = lock_folder(path);
	err = clear_stale(path, &address, errors);
	/* fchmod() before bind(): the kernel creates the file with the socket's mode (unix_bind()). */
	if (!err && (fchmod(fd, 0600) < 0 ||
			    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0))
		err = -errno;
	if (!err && (lstat(path, ret) < 0 || listen(fd, BACKLOG) < 0)) {
		err = -errno;
		unlink(path);
	}
	if (lock >= 0)
		close(lock);
	return err;
}

static void accept_again(struct loop_timer *timer)
{
	loop_fd_set_events(
		&container_of(timer, struct server_socket, accept_again)->watch, EPOLLIN);
}

static void accept_ready(struct loop_fd *watch, uint32_t events)
{
	struct server_socket *server = container_of(watch, struct server_socket, watch);
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		server->accepted(server, fd);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		loop_fd_set_events(watch, 0);
		loop_timer_arm(watch->loop, &server->accept_again, ACCEPT_AGAIN_MS);
	}
}

int server_socket_open(
	struct server_socket *server, struct loop *loop, const char *path, struct errors *errors)
{
	int err;

	server->watch.events = EPOLLIN;
	server->watch.ready = accept_ready;
	server->accept_again = (struct loop_timer){ .fired = accept_again,
		.name = server->watch.name };
	server->watch.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = server->watch.fd < 0 ? -errno
				   : control_listen(server->watch.fd, path, &server->file, errors);
	if (err)
		return err;
	server->path = strdup(path);
	return server->path ? loop_fd_add(loop, &server->watch) : -ENOMEM;
}

void server_socket_close(struct server_socket *server)
{
	struct stat st;

	loop_timer_cancel(&server->accept_again);
	loop_fd_remove(&server->watch);
	if (server->path && !lstat(server->path, &st) && st.st_dev == server->file.st_dev &&
		st.st_ino == server->file.st_ino)
		unlink(server->path);
	if (server->watch.fd >= 0)
		close(server->watch.fd);
	free(server->path);
}
