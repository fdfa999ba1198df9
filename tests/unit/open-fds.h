/* SPDX-License-Identifier: Apache-2.0 */
/* How many descriptors the test's process has: what was made and goes again leaves as many. */
#ifndef SLUICE_TESTS_UNIT_OPEN_FDS_H
#define SLUICE_TESTS_UNIT_OPEN_FDS_H

#include <fcntl.h>

static inline unsigned open_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

#endif
