/* SPDX-License-Identifier: Apache-2.0 */
/* How many descriptors this process has open, to see that none is left. */
#ifndef SLUICE_TESTS_UNIT_FDS_H
#define SLUICE_TESTS_UNIT_FDS_H

#include <dirent.h>

static inline unsigned open_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

#endif
