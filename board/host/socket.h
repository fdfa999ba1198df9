/* SPDX-License-Identifier: Apache-2.0 */
/* Where a machine's control socket is, and how it is made. */
#ifndef SLUICE_BOARD_HOST_SOCKET_H
#define SLUICE_BOARD_HOST_SOCKET_H

#include <stdbool.h>

struct errors;
struct stat;

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

#endif
