/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log on standard error. A slow reader never blocks the loop or a vCPU: lines that find no room are dropped and
 * counted, and the next line that finds room reports the count.
 */
#ifndef SLUICE_BOARD_HOST_LOG_STDERR_H
#define SLUICE_BOARD_HOST_LOG_STDERR_H

/* From now on the log goes there. Call it again when standard error has changed. SIGPIPE must be ignored before. */
void log_to_stderr(void);

#endif
