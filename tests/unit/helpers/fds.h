/* SPDX-License-Identifier: Apache-2.0 */
/* How many descriptors this process has open, to see that none is left. */
#ifndef SLUICE_TESTS_UNIT_FDS_H
#define SLUICE_TESTS_UNIT_FDS_H

#include <dirent.h>

static inline unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

#endif
