/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console on stdin and stdout: a chardev for the UART. A terminal is made raw on input
 * and put back on every way out: console_destroy(), exit(), and signals that end the process.
 *
 * Ctrl-A is the escape, wherever input comes from: then x leaves, p presses the power button,
 * a or Ctrl-A sends one Ctrl-A, h or ? tells of these; anything else is dropped with it.
 */
#ifndef SLUICE_BOARD_CONSOLE_H
#define SLUICE_BOARD_CONSOLE_H

struct chardev;
struct console;
struct loop;

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
int console_create(
	struct loop *loop, const struct console_callbacks *callbacks, struct console **ret);
struct chardev *console_chardev(struct console *console);

/*
 * Writes what waits, for a second at most, and puts the terminal back. After the UART is gone and
 * the loop has returned for good.
 */
void console_destroy(struct console *console);

#endif
