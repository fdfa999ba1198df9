/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of the process: raw input, and back on every way out. One at a time. */
#ifndef SLUICE_BOARD_TERMINAL_H
#define SLUICE_BOARD_TERMINAL_H

/*
 * Makes `fd` raw on input; output stays as it was, so that messages still read well. `fd` stays
 * open until terminal_restore(). -EBUSY when one is raw already, -ENOTTY where it is no terminal
 * or not this process's to change (in the background).
 */
int terminal_raw(int fd);

/* Harmless when nothing is raw. Async-signal-safe. */
void terminal_restore(void);

#endif
