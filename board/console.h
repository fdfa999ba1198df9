/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console: a chardev for the UART, on stdin and stdout or another back end, and sockets to
 * attach to it besides. And the same for a named port, which is a stream and no terminal: who attaches gets
 * what comes from then on, and all of it, since the guest waits for who is slow. A terminal is made raw on input and put back on every way out:
 * console_destroy(), exit(), and signals that end the process.
 *
 * On stdin, whatever it is, Ctrl-A is the escape: then x leaves, p presses the power button,
 * a or Ctrl-A sends one Ctrl-A, h or ? tells of these; anything else is dropped with it.
 */
#ifndef SLUICE_BOARD_CONSOLE_H
#define SLUICE_BOARD_CONSOLE_H

#include <stdbool.h>

struct chardev;
struct console;
struct errors;
struct loop;

enum console_kind {
	CONSOLE_STDIO,
	CONSOLE_NULL,	/* only who attaches */
	CONSOLE_PTY,	/* a terminal that others open; what they do not read is lost */
	CONSOLE_FILE,	/* output is appended; no input */
	CONSOLE_SOCKET, /* a port at a path of one's choice */
};

struct console_spec {
	enum console_kind kind;
	char *path;	  /* of a file or socket, malloc'ed */
	const char *port; /* the named port that it is for; NULL: the machine's console */
};

/*
 * Reads "stdio", "null", "pty", "file:PATH" or "socket:PATH", a relative path being from `folder` (with
 * its slash, or ""). False where it is none of these.
 */
bool console_spec_read(const char *text, const char *folder, struct console_spec *ret);
#define CONSOLE_SPECS "\"stdio\", \"pty\", \"null\", \"file:PATH\", \"socket:PATH\""

/* Each may be NULL. On the loop's thread. */
struct console_callbacks {
	void (*leave)(void *opaque);
	void (*power_button)(void *opaque);
	void *opaque;
};

/*
 * First thing in main(): opens /dev/null at whichever of 0, 1 and 2 is closed, before anything
 * else gets that number and the console's bytes.
 */
void console_claim_stdio(void);

/*
 * -EBUSY for a second console on a terminal. Ignores SIGPIPE, and catches the signals that would
 * end the process where nobody else does by then. `callbacks` is copied.
 */
int console_create(struct loop *loop, const struct console_spec *spec,
	const struct console_callbacks *callbacks, struct console **ret);
struct chardev *console_chardev(struct console *console);

/*
 * Lets people attach at `path`, one at a time: at most two of these a console. Its owner's only; a stale
 * socket is replaced. -errno after an error was added.
 */
int console_listen(struct console *console, const char *path, struct errors *errors);
/*
 * Where `sluice console` finds the console of the machine whose control socket this is, or a named port.
 * malloc'ed.
 */
char *console_port_path(const char *control, const char *port);

/*
 * Writes what waits, for a second at most, and puts the terminal back. After the UART is gone and
 * the loop has returned for good.
 */
void console_destroy(struct console *console);

#endif
