/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's map: memory, reserved ranges and windows, each checked against all earlier ones. The order is memory,
 * ranges reserved at a fixed address, windows with an address, windows that Sluice places. A message about an overlap
 * is about the later one.
 */
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "board/config/map.h"
#include "board/config/reader.h"
#include "devices/device.h"

#define MEMORY_ALIGN (2 * MiB)

/* ---- What is taken ---- */

void layout_claim(struct reader *reader, const struct range *range, int node, const char *what)
{
	if (reader->claim_count < ARRAY_SIZE(reader->claims))
		reader->claims[reader->claim_count++] =
			(struct claim){ .range = *range, .node = node, .what = what };
}

const struct claim *layout_overlap(const struct reader *reader, const struct range *range)
{
	for (size_t i = 0; i < reader->claim_count; i++) {
		const struct claim *c = &reader->claims[i];

		if (ranges_overlap(c->range.gpa, c->range.size, range->gpa, range->size))
			return c;
	}
	return NULL;
}

void layout_overlap_error(struct reader *reader, int node, const char *property, const char *what,
	const struct range *range, const struct claim *other)
{
	char *path = other->node >= 0 ? tree_path(&reader->tree, other->node) : NULL;

	tree_error(&reader->tree, node, property, "%s " RANGE_FORMAT " overlaps %s, " RANGE_FORMAT,
		what, RANGE_ARGS(*range), path ? path : other->what, RANGE_ARGS(other->range));
	free(path);
}

int layout_compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

/* ---- Memory ---- */

/* Reads sluice,mergeable: the host may merge equal pages of the node's ranges. */
static void read_mergeable(
	struct reader *reader, int node, const struct range *ranges, size_t count)
{
	struct machine_config *config = reader->config;
	int len;

	if (!fdt_getprop(reader->tree.fdt, node, "sluice,mergeable", &len))
		return;
	if (len)
		tree_error(&reader->tree, node, "sluice,mergeable",
			"takes no value: write the name alone");
	for (size_t i = 0; i < count && config->mergeable_count < CONFIG_RANGES; i++)
		config->mergeable[config->mergeable_count++] = ranges[i];
}

/* Reads sluice,backing and sluice,file for the node's ranges. A node with a file may have only one range. */
static void read_backing(struct reader *reader, int node, const struct range *ranges, size_t count)
{
	static const char *const kinds[] = {
		[BACKING_ANONYMOUS] = "anonymous",
		[BACKING_MEMFD] = "memfd",
		[BACKING_HUGETLB] = "hugetlb",
		[BACKING_FILE] = "file",
		NULL,
	};
	const struct tree *tree = &reader->tree;
	struct machine_config *config = reader->config;
	bool has_file = tree_has(tree, node, "sluice,file");
	struct ram_config ram = { .backing = BACKING_ANONYMOUS };
	char hint[DID_YOU_MEAN];
	const char *value;

	if (tree_string(tree, node, "sluice,backing", &value) == 1) {
		while (kinds[ram.backing] && strcmp(kinds[ram.backing], value))
			ram.backing++;
		if (!kinds[ram.backing]) {
			tree_error(tree, node, "sluice,backing",
				"\"%s\" is none of anonymous, memfd, hugetlb, file%s", value,
				did_you_mean(hint, value, kinds));
			return;
		}
	}
	if (has_file != (ram.backing == BACKING_FILE))
		tree_error(tree, node, "sluice,file",
			has_file ? "goes with sluice,backing = \"file\", and no other"
				 : "missing: sluice,backing = \"file\" needs it");
	if (has_file && count > 1)
		tree_error(tree, node, "sluice,file",
			"is one, and the node has %zu ranges: give each a node of its own", count);
	if (ram.backing != BACKING_ANONYMOUS && tree_has(tree, node, "sluice,mergeable"))
		tree_error(tree, node, "sluice,mergeable",
			"the host merges equal pages of sluice,backing = \"anonymous\" alone: leave one of the two out");
	for (size_t i = 0; i < count && config->ram_count < CONFIG_RANGES; i++) {
		ram.gpa = ranges[i].gpa;
		ram.file = (struct host_path){ 0 };
		if (has_file && !i)
			read_path(reader, node, "sluice,file", &ram.file);
		config->ram[config->ram_count++] = ram;
	}
}

static void add_memory(struct reader *reader, int node, const struct range *range)
{
	struct machine_config *config = reader->config;
	const struct claim *other = layout_overlap(reader, range);

	if (range->gpa < RAM_BASE)
		tree_error(&reader->tree, node, "reg",
			"memory " RANGE_FORMAT " begins below 0x%" PRIx64
			", where Sluice's devices are",
			RANGE_ARGS(*range), RAM_BASE);
	else if (!is_aligned(range->gpa | range->size, MEMORY_ALIGN))
		tree_error(&reader->tree, node, "reg",
			"memory " RANGE_FORMAT " is not aligned to 2 MiB", RANGE_ARGS(*range));
	else if (range->gpa + range->size > layout_ipa_end(reader))
		tree_error(&reader->tree, node, "reg",
			"memory " RANGE_FORMAT
			" ends beyond what this host's guests can address: %u bits, %s",
			RANGE_ARGS(*range), reader->host->ipa_bits, SIZE(layout_ipa_end(reader)));
	else if (other)
		layout_overlap_error(reader, node, "reg", "memory", range, other);
	else if (config->memory_count == CONFIG_RANGES)
		tree_error(
			&reader->tree, node, "reg", "more than %d ranges of memory", CONFIG_RANGES);
	else
		config->memory[config->memory_count++] = *range;
	/* Claimed even if wrong, so that a window in it is reported too. */
	layout_claim(reader, range, node, NULL);
}

void layout_read_memory(struct reader *reader)
{
	struct machine_config *config = reader->config;
	struct range ranges[CONFIG_RANGES];
	bool any = false;
	size_t count;
	int node;

	fdt_for_each_subnode(node, reader->tree.fdt, 0)
	{
		if (!tree_type_is(&reader->tree, node, "memory") ||
			tree_disabled(&reader->tree, node))
			continue;
		any = true;
		switch (tree_ranges(
			&reader->tree, node, "reg", reader->cells, ranges, CONFIG_RANGES, &count)) {
		case 0:
			tree_error(&reader->tree, node, "reg",
				"missing: say where this memory is and how large");
			break;
		case 1:
			for (size_t i = 0; i < count; i++)
				add_memory(reader, node, &ranges[i]);
			read_mergeable(reader, node, ranges, count);
			read_backing(reader, node, ranges, count);
		}
	}
	qsort(config->memory, config->memory_count, sizeof(config->memory[0]), layout_compare);
	if (!any)
		error_add(reader->tree.errors, "/memory@40000000", NULL,
			"missing: the machine has no memory. Add memory@40000000 { device_type = \"memory\"; reg = <0x0 0x40000000 0x0 0x10000000>; } (256 MiB)");
	else if (config->memory_count && config->memory[0].gpa != RAM_BASE)
		error_add(reader->tree.errors, "/memory@40000000", "reg",
			"memory begins at 0x%" PRIx64
			"; the first range has to begin at 0x%" PRIx64,
			config->memory[0].gpa, RAM_BASE);
}

/* ---- Reserved ranges ---- */

void layout_reserve(struct reader *reader, int node, const char *what, const struct range *range)
{
	struct machine_config *config = reader->config;
	const struct range tree = { .gpa = RAM_BASE, .size = TREE_SIZE_MAX };
	const char *where = what ? what : "reg";

	if (config->reserved_count == CONFIG_RESERVED) {
		tree_error(&reader->tree, node, what ? NULL : "reg",
			"more than %d reserved ranges, which is also Linux's limit",
			CONFIG_RESERVED);
		return;
	}
	/* Without firmware the loader finds room for the tree, and x0 says where it is. */
	if (config->firmware.name && ranges_overlap(tree.gpa, tree.size, range->gpa, range->size))
		tree_error(&reader->tree, node, where,
			"reserved " RANGE_FORMAT " overlaps the start of RAM, " RANGE_FORMAT
			", where firmware finds the device tree: move it up",
			RANGE_ARGS(*range), RANGE_ARGS(tree));
	config->reserved[config->reserved_count++] = *range;
}

static void read_reserved_node(struct reader *reader, int node)
{
	struct cells cells = reader->reserved_cells;
	struct reserved_node *entry = &reader->reserved[reader->reserved_count];
	struct range ranges[CONFIG_RESERVED];
	size_t count = 0;
	int got;

	if (reader->reserved_count == CONFIG_RESERVED) {
		tree_error(&reader->tree, node, NULL,
			"more than %d reserved ranges, which is also Linux's limit",
			CONFIG_RESERVED);
		return;
	}
	got = tree_ranges(&reader->tree, node, "reg", cells, ranges, CONFIG_RESERVED, &count);
	*entry = (struct reserved_node){
		.node = node,
		.phandle = fdt_get_phandle(reader->tree.fdt, node),
		.is_static = got != 0,
		.several = count > 1,
		.broken = got < 0,
	};
	if (!got) {
		int sized = tree_number(
			&reader->tree, node, "size", cells.size, &entry->range.size);

		if (!sized)
			tree_error(&reader->tree, node, "reg",
				"missing: give reg = <address size>, or size where it is to be placed");
		else if (sized == 1 && !entry->range.size)
			tree_error(&reader->tree, node, "size", "the range is empty");
		entry->broken = !entry->range.size;
	}
	if (got == 1)
		entry->range = ranges[0];
	for (size_t i = 0; i < count; i++)
		layout_reserve(reader, node, NULL, &ranges[i]);
	/* layout_place_windows() adds the claims: which of these are windows is not known yet. */
	reader->reserved_count++;
}

void layout_read_reserved(struct reader *reader)
{
	int parent = fdt_subnode_offset(reader->tree.fdt, 0, "reserved-memory");
	struct cells cells;
	int node, len;

	reader->reserved_cells = reader->cells;
	for (int i = 0; i < fdt_num_mem_rsv(reader->tree.fdt); i++) {
		struct range range;

		fdt_get_mem_rsv(reader->tree.fdt, i, &range.gpa, &range.size);
		if (!range.size)
			continue;
		if (range.gpa + range.size < range.gpa) {
			tree_error(&reader->tree, 0, "/memreserve/",
				"0x%" PRIx64 "+0x%" PRIx64 " goes beyond 64 bits", range.gpa,
				range.size);
			continue;
		}
		layout_reserve(reader, 0, "/memreserve/", &range);
		layout_claim(reader, &range, -1, "/memreserve/");
	}
	if (parent < 0)
		return;
	/* Linux ignores all reserved memory unless these three properties are right. */
	if (tree_cells(&reader->tree, parent, "#address-cells", 1, &cells.address) != 1 ||
		tree_cells(&reader->tree, parent, "#size-cells", 1, &cells.size) != 1)
		return;
	reader->reserved_cells = cells;
	if (cells.address != reader->cells.address || cells.size != reader->cells.size)
		tree_error(&reader->tree, parent, "#address-cells",
			"#address-cells and #size-cells have to be the root's, <%u> and <%u>: Linux ignores all reserved memory otherwise",
			reader->cells.address, reader->cells.size);
	if (!fdt_getprop(reader->tree.fdt, parent, "ranges", &len) || len)
		tree_error(&reader->tree, parent, "ranges",
			"must be here, empty: Linux ignores all reserved memory otherwise");
	fdt_for_each_subnode(node, reader->tree.fdt,
		parent) if (!tree_disabled(&reader->tree, node)) read_reserved_node(reader, node);
}
