/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who uses a file of guests' data, so that two machines do not write it. Uses are declared as QEMU does, by shared locks
 * on single bytes: a writer excludes all others; readers share the file, also with QEMU.
 */
#ifndef SLUICE_DEVICES_BACKEND_FILE_LOCK_H
#define SLUICE_DEVICES_BACKEND_FILE_LOCK_H

#include <stdbool.h>

/*
 * Declares the use of the open file: to be written, or only read. 0, also if its file system has no locks; -EBUSY if
 * another use excludes it, and still does after a second; or another -errno of fcntl(2). The use ends when the last
 * copy of the descriptor is closed.
 */
int file_lock(int fd, bool write);

#endif
