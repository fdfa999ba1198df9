/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console: a chardev for the UART, on stdin and stdout or another back end, with sockets to attach to it.
 * The same serves a named port, which is a stream and not a terminal: a client gets all output from the moment it
 * attaches, and the guest blocks while the client is slow. A terminal is made raw on input, and restored on every way
 * out: console_destroy(), exit(), and signals that end the process.
 *
 * On stdin, whatever it is, Ctrl-A is the escape: after it x leaves, p presses the power button, a or Ctrl-A sends one
 * Ctrl-A, h or ? shows these keys. Any other key is dropped with it.
 */
#ifndef SLUICE_BOARD_CONSOLE_CONSOLE_H
#define SLUICE_BOARD_CONSOLE_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "hyp/base/host-path.h"

struct chardev;
struct console;
struct errors;
struct loop;

enum console_kind {
	CONSOLE_STDIO,
	CONSOLE_NULL,	/* only clients that attach */
	CONSOLE_PTY,	/* a terminal for other programs to open; unread output is lost */
	CONSOLE_FILE,	/* output is appended; no input */
	CONSOLE_SOCKET, /* a port at a given path */
};

struct console_spec {
	enum console_kind kind;
	struct host_path path; /* of a file or socket, malloc'ed */
	uint64_t size_bytes;   /* a file of this size is rotated; 0: never */
	const char *port;      /* the named port that it serves; NULL: the machine's console */
};

/*
 * Reads "stdio", "null", "pty", "file:PATH", "file:PATH,size=SIZE" (4 KiB at least) or "socket:PATH". False if it is
 * none of these. The caller fills in the path from *ret_path, malloc'ed, NULL if there is none.
 */
bool console_spec_read(const char *text, struct console_spec *ret, char **ret_path);
#define CONSOLE_SPECS                                                                              \
	"\"stdio\", \"pty\", \"null\", \"file:PATH\", \"file:PATH,size=64MiB\", \"socket:PATH\""

/* Each may be NULL. On the loop's thread. */
struct console_callbacks {
	void (*leave)(void *opaque);
	void (*power_button)(void *opaque);
	void *opaque;
};

/*
 * First thing in main(): opens /dev/null for each of 0, 1 and 2 that is closed, before another file gets that number
 * and the console's bytes.
 */
void console_claim_stdio(void);

/*
 * -EBUSY for a second console on a terminal. Ignores SIGPIPE, and catches the signals that would end the process
 * unless they are already caught. `callbacks` is copied.
 */
int console_create(struct loop *loop, const struct console_spec *spec,
	const struct console_callbacks *callbacks, struct console **ret);
struct chardev *console_chardev(struct console *console);

/*
 * Lets clients attach at `path`, one at a time; a console has at most two such sockets. Only the owner may connect. A
 * stale socket is replaced. -errno after an error was added.
 */
int console_listen(struct console *console, const struct host_path *path, struct errors *errors);
/*
 * console_create(), and console_listen() beside the machine's control socket and where `spec` says. -errno after an
 * error was added, of `node`, or of its "ports" if it is a port; *ret may be a console that is to be destroyed then, too.
 */
int console_open(struct loop *loop, const struct console_spec *spec, const char *node,
	const struct console_callbacks *callbacks, const char *control, struct errors *errors,
	struct console **ret);
/*
 * The socket at which `sluice console` finds the console, or a named port, of the machine with this control socket.
 * malloc'ed.
 */
char *console_port_path(const char *control, const char *port);

/*
 * Writes pending output, for a second at most, and restores the terminal. After the UART has been destroyed and the
 * loop has returned for good.
 */
void console_destroy(struct console *console);

#endif
