/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of the process: raw input, restored on every way out. One at a time. */
#ifndef SLUICE_BOARD_HOST_TERMINAL_H
#define SLUICE_BOARD_HOST_TERMINAL_H

#include <stdbool.h>

/*
 * Makes `fd` raw on input; output stays as it was, so that messages still look right. `fd` stays open until
 * terminal_restore(). -EBUSY if one is raw already, -ENOTTY if it is not a terminal or this process may not change it
 * (in the background).
 */
int terminal_raw(int fd);

/* Harmless when nothing is raw. Async-signal-safe. */
void terminal_restore(void);

/*
 * A descriptor of our own for `fd`, whose open file is shared with other processes and must not become non-blocking
 * for them. A terminal or pipe is opened once more with `flags`, non-blocking; anything else, or if that is not
 * allowed, is duplicated. -1: neither worked.
 */
int terminal_open_own(int fd, int flags, bool *ret_nonblocking);

#endif
