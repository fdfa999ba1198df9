/* SPDX-License-Identifier: Apache-2.0 */
/* What memory the host has for this process: its own, and what its memory cgroups allow. */
#ifndef SLUICE_BOARD_HOST_HOST_MEMORY_H
#define SLUICE_BOARD_HOST_HOST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_MEMORY_UNKNOWN UINT64_MAX

/* In bytes; HOST_MEMORY_UNKNOWN if the kernel does not say, or sets no limit. */
struct host_memory {
	uint64_t available; /* MemAvailable and free swap */
	uint64_t limit;	    /* the least memory.max of this process's cgroup and those above it */
	uint64_t room;	    /* the least that is left below any such limit */
	uint64_t resident;  /* what this process holds now */
	uint64_t merged;    /* of that, merged with equal pages (KSM); from Linux 5.19 on */
	bool merges;	    /* KSM runs: the host merges equal pages */
};

/* At most the first `len` bytes of a file. Returns how many; 0 if it cannot be read. `root` as below. */
size_t host_file_read(const char *root, const char *path, void *ret_buf, size_t len);

/* `root` is put before the path of each file that is read; "" except in tests. */
void host_memory(const char *root, struct host_memory *ret);

#endif
