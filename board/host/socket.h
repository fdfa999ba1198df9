/* SPDX-License-Identifier: Apache-2.0 */
/* Where a machine's control socket is; and Unix sockets that listen, with their files. */
#ifndef SLUICE_BOARD_HOST_SOCKET_H
#define SLUICE_BOARD_HOST_SOCKET_H

#include <stdbool.h>
#include <sys/stat.h>

#include "hyp/base/loop.h"

struct errors;

/* The folder of the sockets: $XDG_RUNTIME_DIR/sluice, or /run/sluice as root. malloc'ed; NULL after an added error. */
char *control_folder(struct errors *errors);

/*
 * The default path for a machine's name: NAME.sock in that folder. Makes the folder if `make_folder`. malloc'ed; NULL
 * after an error was added.
 */
char *control_path(const char *name, bool make_folder, struct errors *errors);

/*
 * Binds `fd`, a Unix stream socket, to `path` and listens. Replaces a stale socket there. `ret` identifies the new
 * file. -errno, most with an error added.
 */
int control_listen(int fd, const char *path, struct stat *ret, struct errors *errors);

/* A socket that listens, and its file. Zero-initialize but for `accepted`, watch.fd (-1), watch.first and watch.name. */
struct server_socket {
	void (*accepted)(
		struct server_socket *server, int fd); /* fd: a client, from now on the callee's */
	struct loop_fd watch;
	struct loop_timer accept_again; /* no descriptor was left */
	char *path;			/* NULL: it does not listen */
	struct stat file;		/* identifies it, so that only our own socket is removed */
};

/* Listens at `path`, as control_listen(), and accepts clients. server_socket_close() also after -errno. */
int server_socket_open(
	struct server_socket *server, struct loop *loop, const char *path, struct errors *errors);
void server_socket_close(struct server_socket *server);

#endif
