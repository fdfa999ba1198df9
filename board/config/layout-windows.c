/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows in the guest's map: which addresses are allowed, the addresses that Sluice chooses for windows without one,
 * and how much of the process's address space all of them need.
 */
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "board/config/map.h"
#include "board/config/reader.h"
#include "board/config/tree-file.h"
#include "board/host/limits.h"
#include "devices/device.h"

#define ALLOC_RANGES 8

/* ---- Windows ---- */

/* Finds the first free place for `size` bytes in [from, end). */
static bool find_place(const struct reader *reader, uint64_t size, uint64_t align, uint64_t from,
	uint64_t end, uint64_t *ret)
{
	struct range range = { .gpa = align_up(from, align), .size = size };
	const struct claim *other;

	if (range.gpa < from || end < size)
		return false;
	while (range.gpa <= end - size) {
		uint64_t next;

		other = layout_overlap(reader, &range);
		if (!other) {
			*ret = range.gpa;
			return true;
		}
		next = align_up(other->range.gpa + other->range.size, align);
		if (next <= range.gpa)
			return false;
		range.gpa = next;
	}
	return false;
}

static void place(struct reader *reader, struct reserved_node *entry)
{
	struct range allowed[ALLOC_RANGES];
	struct cells cells = reader->reserved_cells;
	uint64_t align = WINDOW_ALIGN, end = layout_ipa_end(reader);
	size_t count = 0;
	int got;

	entry->broken = true;
	if (cells.address == 1 && end > 4 * GiB)
		end = 4 * GiB;
	if (tree_number(&reader->tree, entry->node, "alignment", cells.size, &align) < 0)
		return;
	got = tree_ranges(
		&reader->tree, entry->node, "alloc-ranges", cells, allowed, ALLOC_RANGES, &count);
	if (got < 0)
		return;
	if (!is_power_of_two(align)) {
		tree_error(&reader->tree, entry->node, "alignment",
			"0x%" PRIx64 " is not a power of two", align);
		return;
	}
	if (align < WINDOW_ALIGN)
		align = WINDOW_ALIGN;
	if (!got)
		allowed[count++] = (struct range){ .gpa = RAM_BASE, .size = end - RAM_BASE };
	for (size_t i = 0; i < count && entry->broken; i++) {
		uint64_t from = allowed[i].gpa < RAM_BASE ? RAM_BASE : allowed[i].gpa;
		uint64_t to = allowed[i].gpa + allowed[i].size;

		entry->broken = !find_place(reader, entry->range.size, align, from,
			to < end ? to : end, &entry->range.gpa);
	}
	if (entry->broken)
		tree_error(&reader->tree, entry->node, "size",
			"no place for %s aligned to %s %s below 0x%" PRIx64
			", where the addresses of guests on this host (%u bits) or of the tree (#address-cells) end: make it smaller%s",
			SIZE(entry->range.size), SIZE(align),
			got ? "within alloc-ranges and" : "that is free", end,
			reader->host->ipa_bits, got ? ", or widen alloc-ranges" : "");
}

/* Checks the rules for a window that do not depend on its address. */
static bool check_window_node(struct reader *reader, struct reserved_node *entry, const char *user)
{
	static const char why_not[] =
		"a window's memory comes and goes by virtio-mem alone, and Linux would take all of it for its own use at boot: remove it";
	const struct tree *tree = &reader->tree;

	if (!tree_has(tree, entry->node, "no-map"))
		tree_error(tree, entry->node, "no-map",
			"missing: %s is a window of %s, and without no-map Linux maps it as memory",
			tree_name(tree, entry->node), user);
	if (tree_has(tree, entry->node, "reusable"))
		tree_error(tree, entry->node, "reusable", "not on a window: %s", why_not);
	if (tree_compatible(tree, entry->node, "shared-dma-pool"))
		tree_error(tree, entry->node, "compatible",
			"not \"shared-dma-pool\" on a window: %s", why_not);
	if (entry->several)
		tree_error(tree, entry->node, "reg", "a window is one range: one node for each");
	return !entry->several && !entry->broken;
}

static void check_window(struct reader *reader, struct reserved_node *entry, int device)
{
	const struct range *range = &entry->range;
	const struct tree *tree = &reader->tree;
	const struct claim *other = layout_overlap(reader, range);
	uint64_t end = layout_ipa_end(reader), room;

	if (!is_aligned(range->gpa, WINDOW_ALIGN))
		tree_error(tree, device, "memory-region",
			"window " RANGE_FORMAT " is not aligned to 512 MiB: 0x%" PRIx64
			" is the next address that is",
			RANGE_ARGS(*range), align_up(range->gpa, WINDOW_ALIGN));
	if (range->gpa < RAM_BASE)
		tree_error(tree, device, "memory-region",
			"window " RANGE_FORMAT " begins below RAM at 0x%" PRIx64
			", where Sluice's devices are",
			RANGE_ARGS(*range), RAM_BASE);
	if (other)
		layout_overlap_error(reader, device, "memory-region", "window", range, other);
	if (range->gpa + range->size <= end)
		return;
	room = range->gpa < end ? align_down(end - range->gpa, 128 * MiB) : 0;
	tree_error(tree, device, "memory-region",
		"window " RANGE_FORMAT
		" ends beyond what this host's guests can address: %u bits, %s. %s%s",
		RANGE_ARGS(*range), reader->host->ipa_bits, SIZE(end),
		room ? "The largest that fits there is " : "It has to begin below that",
		room ? SIZE(room) : "");
}

void layout_place_windows(struct reader *reader)
{
	struct machine_config *config = reader->config;

	for (size_t i = 0; i < reader->reserved_count; i++) {
		struct reserved_node *entry = &reader->reserved[i];
		struct range ranges[CONFIG_RESERVED];
		size_t count;

		/* Not if `broken`: reading reg again would report its errors again. */
		if (entry->is_static && !entry->broken && !entry->user &&
			tree_ranges(&reader->tree, entry->node, "reg", reader->reserved_cells,
				ranges, CONFIG_RESERVED, &count) == 1)
			for (size_t j = 0; j < count; j++)
				layout_claim(reader, &ranges[j], entry->node, NULL);
	}
	for (int placed = 0; placed < 2; placed++)
		for (size_t i = 0; i < config->device_count; i++) {
			int region = reader->device_nodes[i].region;
			struct reserved_node *entry = region < 0 ? NULL : &reader->reserved[region];

			if (!entry || entry->user != &config->devices[i] ||
				entry->is_static == placed ||
				!check_window_node(reader, entry, config->devices[i].path))
				continue;
			if (placed)
				place(reader, entry);
			else
				check_window(reader, entry, reader->device_nodes[i].node);
			if (entry->broken)
				continue;
			layout_claim(reader, &entry->range, entry->node, NULL);
			if (placed)
				layout_reserve(reader, entry->node, NULL, &entry->range);
		}
	qsort(config->reserved, config->reserved_count, sizeof(config->reserved[0]),
		layout_compare);
}

/* ---- All of it ---- */

void layout_check_totals(struct reader *reader)
{
	struct machine_config *config = reader->config;
	uint64_t total = 0, top = 0, largest = 0, limit, run;
	const char *where = "/memory";

	for (size_t i = 0; i < config->memory_count + config->device_count; i++) {
		const struct device_config *device =
			i < config->memory_count ? NULL
						 : &config->devices[i - config->memory_count];
		uint64_t gpa = device ? device->window.gpa : config->memory[i].gpa;
		uint64_t size = device ? device->window.size : config->memory[i].size;

		if (device && !device->has_window)
			continue;
		if (device && size > largest) {
			largest = size;
			where = device->path;
		}
		total = total + size < total ? UINT64_MAX : total + size;
		if (gpa + size > top)
			top = gpa + size;
	}
	host_address_space(reader->host, total, &limit, &run);
	if (total > limit)
		error_add(reader->tree.errors, where, largest ? "memory-region" : NULL,
			"memory and windows take %s of address space, and a process on this host has %s%s: make the windows smaller by %s",
			SIZE(total), SIZE(limit),
			limit <= UINT64_C(1) << 39
				? " (a kernel with 39-bit addresses, or a limit on address space, ulimit -v)"
				: "",
			SIZE(total - limit));
	else if (largest > run)
		error_add(reader->tree.errors, where, "memory-region",
			"a window of %s, and the longest free stretch of address space of a process on this host is %s: make several windows of it, or a smaller one",
			SIZE(largest), SIZE(run));
	for (config->ipa_bits_needed = 32;
		config->ipa_bits_needed < 64 && top > UINT64_C(1) << config->ipa_bits_needed;)
		config->ipa_bits_needed++;
}

static int put_cells(struct tree *tree, int node, const char *property, struct cells cells,
	const struct range *range)
{
	int err = cells.address == 2 ? fdt_setprop_u64(tree->fdt, node, property, range->gpa)
				     : fdt_setprop_u32(tree->fdt, node, property, range->gpa);

	if (err)
		return err;
	return cells.size == 2 ? fdt_appendprop_u64(tree->fdt, node, property, range->size)
			       : fdt_appendprop_u32(tree->fdt, node, property, range->size);
}

int layout_write_placed(struct reader *reader)
{
	static const char *const gone[] = { "size", "alignment", "alloc-ranges" };
	char *paths[CONFIG_RESERVED] = { NULL };
	int err = 0;

	/* Every change of the tree moves offsets, but no paths. */
	for (size_t i = 0; i < reader->reserved_count; i++)
		if (!reader->reserved[i].is_static && reader->reserved[i].user) {
			paths[i] = tree_path(&reader->tree, reader->reserved[i].node);
			if (!paths[i])
				err = -FDT_ERR_INTERNAL;
		}
	for (size_t i = 0; i < reader->reserved_count && !err; i++) {
		int node = paths[i] ? fdt_path_offset(reader->tree.fdt, paths[i]) : 0;

		if (!paths[i])
			continue;
		err = node < 0 ? node
			       : put_cells(&reader->tree, node, "reg", reader->cells,
					 &reader->reserved[i].range);
		for (size_t j = 0; j < ARRAY_SIZE(gone) && !err; j++) {
			err = fdt_delprop(reader->tree.fdt, node, gone[j]);
			if (err == -FDT_ERR_NOTFOUND)
				err = 0;
		}
		/* Last, since it changes the path. A node with reg has a unit address. */
		if (!err && !strchr(tree_name(&reader->tree, node), '@')) {
			char name[TREE_NAME + 32];

			snprintf(name, sizeof(name), "%s@%" PRIx64, tree_name(&reader->tree, node),
				reader->reserved[i].range.gpa);
			err = fdt_set_name(reader->tree.fdt, node, name);
		}
	}
	for (size_t i = 0; i < reader->reserved_count; i++)
		free(paths[i]);
	return err ? -EINVAL : 0;
}
