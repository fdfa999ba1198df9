/* SPDX-License-Identifier: Apache-2.0 */
/* The file or device behind a disk: opens it, locks it, and checks that Sluice can use it. */
#ifndef SLUICE_DEVICES_BACKEND_DISK_FILE_H
#define SLUICE_DEVICES_BACKEND_DISK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/base/host-path.h"

struct disk_config {
	const char *id; /* of its device, for loop_report(); outlives the disk */
	struct host_path path;
	bool raw; /* do not check for other image formats */
	bool read_only;
	uint32_t block_bytes; /* unit of requests: 512 or 4096, whatever the storage has */
	bool direct;	      /* bypass the host's page cache: O_DIRECT */
	bool threads;	      /* use threads even if the host has io_uring */
	unsigned in_flight;   /* at most this many requests at a time */
};

struct disk_info {
	uint64_t bytes;	      /* not 0, a multiple of block_bytes; grows with disk_resize() */
	uint32_t block_bytes; /* all offsets and sizes are multiples of it, as configured */
};

struct disk_file {
	int fd;
	struct disk_info info;
	uint64_t
		stored; /* bytes of the file; for a read-only disk info.bytes may be more, zeros at its end */
	/* Alignment that O_DIRECT needs: of offsets and sizes, and of buffers. Else both are 1. */
	uint32_t align, memory_align;
};

#define DISK_ALIGN_MAX 65536 /* of both */

/* 0, or -errno with a sentence for people in ret_why. Closing the descriptor releases the lock. */
int disk_file_open(const struct disk_config *config, bool lock, struct disk_file *ret,
	char *ret_why, size_t len);
/* As disk_resize(). */
int disk_file_resize(const struct disk_config *config, struct disk_file *file, uint64_t bytes,
	char *ret_why, size_t len);

#endif
