/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes of random sizes on a disk or a file, past the cache or not, beside a model; see guest-tool.c. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest-tool.h"

#define BYTES  (8 * MIB)
#define MOST   (512 * 1024UL)

static int failed(const char *what, size_t offset, size_t len)
{
	printf("blk: %s of %zu bytes at %zu: %m\n", what, len, offset);
	return 1;
}

static int zero(int fd, uint64_t offset, uint64_t len)
{
	return ioctl(fd, BLKZEROOUT, (uint64_t[]){ offset, len });
}

/* The first 8 MiB are overwritten. */
int blk_exercise(const char *path, const char *count, const char *seed)
{
	int cached = open(path, O_RDWR | O_CREAT, 0600), direct = open(path, O_RDWR | O_DIRECT);
	unsigned char *model = calloc(1, BYTES), *data;
	int sector = 0;

	if (cached < 0 || direct < 0 || posix_memalign((void **)&data, PAGE, MOST + PAGE) ||
	    pwrite(cached, model, BYTES, 0) != (ssize_t)BYTES)
		return failed("the first write", 0, BYTES);
	if (ioctl(direct, BLKSSZGET, &sector)) /* of a file system */
		sector = (int)PAGE;
	srandom((unsigned)strtoul(seed, NULL, 0));
	for (long i = strtol(count, NULL, 0); i > 0; i--) {
		/* Past the cache sectors only, but memory as it comes. */
		size_t unit = i % 2 ? (size_t)sector : 1, len = (1 + (size_t)random() % (MOST / unit)) * unit;
		size_t offset = (size_t)random() % ((BYTES - len) / unit + 1) * unit;
		unsigned char *at = data + (unit == 1 ? 0 : (size_t)random() % 2 * 512);
		int fd = unit == 1 ? cached : direct;

		if (unit > 1 && !(random() % 8) && !zero(direct, offset, len)) {
			memset(model + offset, 0, len);
		} else if (random() % 2) {
			for (size_t b = 0; b < len; b += 4)
				memcpy(at + b, &(int){ (int)random() }, len - b < 4 ? len - b : 4);
			if (pwrite(fd, at, len, (off_t)offset) != (ssize_t)len)
				return failed("a write", offset, len);
			memcpy(model + offset, at, len);
		} else {
			if (pread(fd, at, len, (off_t)offset) != (ssize_t)len)
				return failed("a read", offset, len);
			if (memcmp(model + offset, at, len))
				return failed("what was read is not what was written: a read", offset, len);
		}
	}
	if (fsync(cached))
		return failed("fsync", 0, 0);
	printf("blk: all as it was written\n");
	return 0;
}
