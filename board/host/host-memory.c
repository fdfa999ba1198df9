/* SPDX-License-Identifier: Apache-2.0 */
/* The host's memory; see host-memory.h. */
#include "board/host/host-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"

#define CGROUPS "/sys/fs/cgroup"

size_t host_file_read(const char *root, const char *path, void *ret_buf, size_t len)
{
	char whole[4096];
	size_t got = 0;
	ssize_t n;
	int fd;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	while ((n = RETRY_EINTR(read(fd, (char *)ret_buf + got, len - got))) > 0)
		got += (size_t)n;
	close(fd);
	return got;
}

/* The beginning of a file as text; "" if it cannot be read. */
static const char *read_text(const char *root, const char *path, char *buf, size_t len)
{
	buf[host_file_read(root, path, buf, len - 1)] = '\0';
	return buf;
}

/* The number of KiB after `key`, in bytes. */
static uint64_t number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) * KiB : HOST_MEMORY_UNKNOWN;
}

/* The number in a file; HOST_MEMORY_UNKNOWN for "max", or if it cannot be read. */
static uint64_t cgroup_number(const char *root, const char *folder, const char *file)
{
	char path[2048], text[64], *end;
	uint64_t value;

	snprintf(path, sizeof(path), CGROUPS "%s/%s", folder, file);
	value = strtoull(read_text(root, path, text, sizeof(text)), &end, 10);
	return end == text ? HOST_MEMORY_UNKNOWN : value;
}

/* From the process's cgroup up to the root, which has no limit. */
static void read_cgroups(const char *root, struct host_memory *ret)
{
	char line[1024], *folder, *slash;

	read_text(root, "/proc/self/cgroup", line, sizeof(line));
	folder = strstr(line, "0::/");
	if (!folder)
		return;
	folder += strlen("0::");
	folder[strcspn(folder, "\n")] = '\0';
	for (; *folder && strcmp(folder, "/"); *slash = '\0') {
		uint64_t limit = cgroup_number(root, folder, "memory.max");
		uint64_t used = cgroup_number(root, folder, "memory.current");
		uint64_t room = used < limit ? limit - used : 0;

		slash = strrchr(folder, '/');
		if (limit == HOST_MEMORY_UNKNOWN)
			continue;
		if (limit < ret->limit)
			ret->limit = limit;
		if (used != HOST_MEMORY_UNKNOWN && room < ret->room)
			ret->room = room;
	}
}

void host_memory(const char *root, struct host_memory *ret)
{
	uint64_t free_swap, pages;
	char text[8192], *end;

	*ret = (struct host_memory){ HOST_MEMORY_UNKNOWN, HOST_MEMORY_UNKNOWN, HOST_MEMORY_UNKNOWN,
		0, HOST_MEMORY_UNKNOWN, false };
	read_text(root, "/proc/meminfo", text, sizeof(text));
	ret->available = number_after(text, "MemAvailable:");
	free_swap = number_after(text, "SwapFree:");
	if (ret->available != HOST_MEMORY_UNKNOWN && free_swap != HOST_MEMORY_UNKNOWN)
		ret->available += free_swap;
	ret->resident = number_after(
		read_text(root, "/proc/self/status", text, sizeof(text)), "VmRSS:");
	if (ret->resident == HOST_MEMORY_UNKNOWN)
		ret->resident = 0;
	pages = strtoull(
		read_text(root, "/proc/self/ksm_merging_pages", text, sizeof(text)), &end, 10);
	if (end != text)
		ret->merged = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	ret->merges = *read_text(root, "/sys/kernel/mm/ksm/run", text, sizeof(text)) == '1';
	read_cgroups(root, ret);
}
