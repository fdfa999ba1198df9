/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind a disk: opened, locked, and found to be what Sluice takes. */
#ifndef SLUICE_DEVICES_DISK_FILE_H
#define SLUICE_DEVICES_DISK_FILE_H

#include "devices/disk.h"

struct disk_file {
	int fd;
	struct disk_info info;
	uint32_t memory_align; /* of buffers, with O_DIRECT; else 1 */
};

/* 0, or -errno with a sentence for people in ret_why. Closing the descriptor lets go of the lock. */
int disk_file_open(const struct disk_config *config, bool lock, struct disk_file *ret,
	char *ret_why, size_t len);

#endif
