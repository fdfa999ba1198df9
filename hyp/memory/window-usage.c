/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a window really costs and exposes: read from the kernel's lists of our mappings, not from our own bitmap, so
 * that the two can be compared.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/memory/window.h"

struct mapping {
	uint64_t start, end;
	bool writable;
};

/* The header line of a mapping, in maps and smaps alike. */
static bool parse_mapping(const char *line, struct mapping *ret)
{
	unsigned long long start, end;
	char write;

	if (sscanf(line, "%llx-%llx %*c%c", &start, &end, &write) != 3)
		return false;
	*ret = (struct mapping){ start, end, write == 'w' };
	return true;
}

static uint64_t overlap(const struct window *window, const struct mapping *mapping)
{
	uint64_t start = (uintptr_t)window_hva(window), end = start + window_config(window)->size;

	if (mapping->start > start)
		start = mapping->start;
	if (mapping->end < end)
		end = mapping->end;
	return start < end ? end - start : 0;
}

struct window_walk {
	FILE *file;
	struct window_usage *usage;
	size_t count;
	struct mapping mapping; /* that the lines are of */
};

static int begin(
	const char *path, struct window_usage *usage, size_t count, struct window_walk *ret)
{
	*ret = (struct window_walk){ fopen(path, "re"), usage, count, { 0 } };
	for (size_t i = 0; i < count; i++)
		usage[i].exposed_bytes = usage[i].resident_bytes = 0;
	return ret->file ? 0 : -errno;
}

/* Huge pages of the pool are not in Rss. */
static bool parse_resident(const char *line, uint64_t *ret)
{
	static const char *const names[] = { "Rss:", "Shared_Hugetlb:", "Private_Hugetlb:" };
	unsigned long long kib;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(line, names[i], strlen(names[i])) &&
			sscanf(line + strlen(names[i]), "%llu kB", &kib) == 1) {
			*ret = kib * KiB;
			return true;
		}
	return false;
}

/* Most lines are no headers, and begin with a capital letter. */
static bool is_header(const char *line)
{
	return (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f');
}

/* False at the end. */
static bool read_line(struct window_walk *walk)
{
	char line[512];
	uint64_t bytes;

	if (!fgets(line, sizeof(line), walk->file))
		return false;
	if (is_header(line) && parse_mapping(line, &walk->mapping)) {
		for (size_t i = 0; walk->mapping.writable && i < walk->count; i++)
			walk->usage[i].exposed_bytes += overlap(
				walk->usage[i].window, &walk->mapping);
	} else if (parse_resident(line, &bytes)) {
		for (size_t i = 0; i < walk->count; i++)
			if (overlap(walk->usage[i].window, &walk->mapping))
				walk->usage[i].resident_bytes += bytes;
	}
	return true;
}

int window_walk_begin(struct window_usage *usage, size_t count, struct window_walk **ret)
{
	struct window_walk *walk = malloc(sizeof(*walk));
	int err = walk ? begin("/proc/self/smaps", usage, count, walk) : -ENOMEM;

	if (err)
		free(walk);
	else
		*ret = walk;
	return err;
}

bool window_walk_go_on(struct window_walk *walk, uint64_t until_ms)
{
	while (read_line(walk))
		if (loop_now_ms() > until_ms)
			return false;
	return true;
}

void window_walk_end(struct window_walk *walk)
{
	if (!walk)
		return;
	fclose(walk->file);
	free(walk);
}

static int whole(const char *path, const struct window *window, struct window_usage *ret)
{
	struct window_walk walk;
	int err;

	ret->window = window;
	err = begin(path, ret, 1, &walk);
	if (err)
		return err;
	while (read_line(&walk))
		;
	fclose(walk.file);
	return 0;
}

int window_exposed_bytes(const struct window *window, uint64_t *ret)
{
	struct window_usage usage;
	int err = whole("/proc/self/maps", window, &usage);

	if (!err)
		*ret = usage.exposed_bytes;
	return err;
}

int window_resident_bytes(const struct window *window, uint64_t *ret)
{
	struct window_usage usage;
	int err = whole("/proc/self/smaps", window, &usage);

	if (!err)
		*ret = usage.resident_bytes;
	return err;
}
