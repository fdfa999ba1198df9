/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's tree; see guest-tree.h. One walk over the machine's own tree copies each node and property that is not
 * the host's, completes it, and adds what Sluice provides (nodes.c). Nothing is inserted into the part that is written
 * already: libfdt would search and move the tree for each property.
 */
#include "board/boot/guest-tree.h"

#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/boot/guest-tree-internal.h"
#include "board/config/config.h"
#include "board/config/map.h"
#include "board/config/tree-file.h"
#include "board/config/tree.h"
#include "board/text/errors.h"

/* Upper bounds for what Sluice provides: in each machine, for each CPU, for each device. libfdt zeroes all of it. */
#define PROVIDED_BYTES (8 * KiB)
#define CPU_BYTES      128
#define DEVICE_BYTES   256

/* ---- The host's parts ---- */

/* Whether /options has only nodes and properties of Sluice's. */
static bool is_all_ours(const struct tree *tree, int options)
{
	int node = fdt_first_subnode(tree->fdt, options);

	return fdt_first_property_offset(tree->fdt, options) < 0 && node >= 0 &&
	       tree_name_is(tree, node, "sluice") && fdt_next_subnode(tree->fdt, node) < 0;
}

/* Whether this child of /reserved-memory is a window. */
static bool is_window(const struct machine_config *config, const struct tree *tree, int node)
{
	uint32_t phandle = fdt_get_phandle(tree->fdt, node);

	for (size_t i = 0; i < config->window_count; i++)
		if (config->windows[i] == phandle)
			return true;
	return false;
}

static bool is_all_windows(
	const struct machine_config *config, const struct tree *tree, int reserved)
{
	int node, windows = 0;

	fdt_for_each_subnode(node, tree->fdt, reserved)
	{
		if (!is_window(config, tree, node))
			return false;
		windows++;
	}
	return windows;
}

/* Whether the guest does not get the node at[depth]; its ancestors are in `at` before it. */
static bool is_host_node(
	const struct machine_config *config, const struct tree *tree, const int *at, int depth)
{
	int node = at[depth], parent = depth ? at[depth - 1] : -1;

	if (depth == 2 && tree_name_is(tree, parent, "options"))
		return tree_name_is(tree, node, "sluice");
	if (depth == 2 && tree_name_is(tree, parent, "reserved-memory"))
		return tree_off(tree, node) || is_window(config, tree, node);
	if (depth == 2)
		return tree_name_is(tree, parent, "cpus") && tree_type_is(tree, node, "cpu") &&
		       tree_off(tree, node);
	if (depth != 1)
		return false;
	/* dtc's tables of labels name nodes that the guest does not get. */
	return tree_sluice_compatible(tree, node) || tree_name_is(tree, node, "__symbols__") ||
	       tree_name_is(tree, node, "__fixups__") ||
	       tree_name_is(tree, node, "__local_fixups__") ||
	       (tree_name_is(tree, node, "options") && is_all_ours(tree, node)) ||
	       (tree_name_is(tree, node, "reserved-memory") &&
		       is_all_windows(config, tree, node)) ||
	       (tree_type_is(tree, node, "memory") && tree_off(tree, node));
}

/* ---- Copying and completing ---- */

struct copy {
	struct writer *w;
	const struct machine_config *config;
	const struct guest_tree_input *input;
	struct tree from;
	bool chosen, aliases; /* are written */
	bool own_aliases;     /* the machine's tree has some */
};

/* Copies the node's properties, except the host's and those named in `but`. */
static void copy_properties(struct copy *copy, int node, const char *const *but)
{
	int property;

	fdt_for_each_property_offset(property, copy->from.fdt, node)
	{
		const char *name;
		const void *value;
		size_t i = 0;
		int len;

		value = fdt_getprop_by_offset(copy->from.fdt, property, &name, &len);
		if (!value || !strncmp(name, "sluice,", 7))
			continue;
		while (but && but[i] && strcmp(but[i], name))
			i++;
		if (!but || !but[i])
			writer_put(copy->w, name, value, len);
	}
}

/* Copies the root's compatible without Sluice's entries. */
static void put_compatible(struct copy *copy)
{
	int len;
	const char *have = fdt_getprop(copy->from.fdt, 0, "compatible", &len), *entry;
	char *compatible = malloc((have ? len : 0) + sizeof("linux,dummy-virt"));
	size_t size = 0;

	if (!compatible) {
		writer_note(copy->w, -FDT_ERR_INTERNAL);
		return;
	}
	for (int i = 0; (entry = fdt_stringlist_get(copy->from.fdt, 0, "compatible", i, NULL)); i++)
		if (strncmp(entry, "sluice,", 7)) {
			strcpy(compatible + size, entry);
			size += strlen(entry) + 1;
		}
	if (!size) {
		strcpy(compatible, "linux,dummy-virt");
		size = sizeof("linux,dummy-virt");
	}
	writer_put(copy->w, "compatible", compatible, (int)size);
	free(compatible);
}

static void put_root(struct copy *copy)
{
	static const char *const ours[] = { "compatible", "interrupt-parent", NULL };
	char serial[17];

	copy_properties(copy, 0, ours);
	put_compatible(copy);
	PUT_CELLS(copy->w, "interrupt-parent", copy->w->gic);
	snprintf(serial, sizeof(serial), "%016" PRIx64, copy->input->serial);
	if (!tree_has(&copy->from, 0, "serial-number"))
		writer_put_string(copy->w, "serial-number", serial);
	guest_tree_add_nodes(copy->w, copy->config, copy->input->flash_bytes);
}

/* `node` is negative if the machine's tree has none. */
static void put_chosen(struct copy *copy, int node)
{
	static const char *const ours[] = { "linux,initrd-start", "linux,initrd-end", "kaslr-seed",
		"rng-seed", NULL };
	const struct guest_tree_input *input = copy->input;
	struct writer *w = copy->w;

	copy_properties(copy, node, ours);
	if (input->initrd_size) {
		writer_put_u64(w, "linux,initrd-start", input->initrd_gpa);
		writer_put_u64(w, "linux,initrd-end", input->initrd_gpa + input->initrd_size);
	}
	if (input->cmdline && !tree_has(&copy->from, node, "bootargs"))
		writer_put_string(w, "bootargs", input->cmdline);
	writer_put(w, "kaslr-seed", input->kaslr_seed, sizeof(input->kaslr_seed));
	writer_put(w, "rng-seed", input->rng_seed, sizeof(input->rng_seed));
	if (!tree_has(&copy->from, node, "stdout-path"))
		writer_put_string(w, "stdout-path", UART_PATH);
	copy->chosen = true;
}

/* complete_aliases() removes those of missing nodes, once all nodes are written. */
static void put_aliases(struct copy *copy, int node)
{
	copy_properties(copy, node, NULL);
	if (!tree_has(&copy->from, node, "serial0"))
		writer_put_string(copy->w, "serial0", UART_PATH);
	copy->aliases = true;
	copy->own_aliases = node >= 0;
}

static void put_cpu(struct copy *copy, int node)
{
	static const char *const ours[] = { "device_type", "enable-method", NULL };

	copy_properties(copy, node, ours);
	writer_put_string(copy->w, "device_type", "cpu");
	writer_put_string(copy->w, "enable-method", "psci");
	if (!tree_has(&copy->from, node, "compatible"))
		writer_put_string(copy->w, "compatible", "arm,armv8");
}

static void put_memory(struct copy *copy, int node)
{
	static const char *const ours[] = { "device_type", NULL };

	copy_properties(copy, node, ours);
	writer_put_string(copy->w, "device_type", "memory");
}

/* Begins the node, and writes all of it but its children. */
static void put_node(struct copy *copy, const int *at, int depth)
{
	const struct tree *tree = &copy->from;
	int node = at[depth];

	writer_begin(copy->w, tree_name(tree, node));
	if (!depth)
		put_root(copy);
	else if (depth == 1 && tree_name_is(tree, node, "memory"))
		put_memory(copy, node);
	else if (depth == 1 && !copy->chosen && tree_name_is(tree, node, "chosen"))
		put_chosen(copy, node);
	else if (depth == 1 && !copy->aliases && tree_name_is(tree, node, "aliases"))
		put_aliases(copy, node);
	else if (depth == 2 && tree_name_is(tree, at[1], "cpus") && tree_type_is(tree, node, "cpu"))
		put_cpu(copy, node);
	else
		copy_properties(copy, node, NULL);
}

static void copy_tree(struct copy *copy)
{
	int at[TREE_DEPTH + 1], node = 0, depth = 0, open = -1, skipped = TREE_DEPTH + 1;

	for (; node >= 0 && depth >= 0; node = fdt_next_node(copy->from.fdt, node, &depth)) {
		if (depth > skipped)
			continue;
		CHECK(depth <= TREE_DEPTH); /* tree_file_open() */
		skipped = TREE_DEPTH + 1;
		at[depth] = node;
		for (; open >= depth; open--)
			writer_end(copy->w);
		if (is_host_node(copy->config, &copy->from, at, depth)) {
			skipped = depth;
			continue;
		}
		put_node(copy, at, depth);
		open = depth;
	}
	for (; open > 0; open--)
		writer_end(copy->w);
	if (!copy->chosen) {
		writer_begin(copy->w, "chosen");
		put_chosen(copy, -1);
		writer_end(copy->w);
	}
	if (!copy->aliases) {
		writer_begin(copy->w, "aliases");
		put_aliases(copy, -1);
		writer_end(copy->w);
	}
	writer_end(copy->w);
}

/* Removes aliases of nodes that the guest does not get. */
static void complete_aliases(struct writer *w, size_t room)
{
	int node, property;

	writer_note(w, fdt_open_into(w->fdt, w->fdt, (int)room));
	node = fdt_subnode_offset(w->fdt, 0, "aliases");
	property = fdt_first_property_offset(w->fdt, node);
	while (property >= 0 && !w->err) {
		const char *name;
		int len;
		const char *path = fdt_getprop_by_offset(w->fdt, property, &name, &len);

		if (len > 0 && strnlen(path, len) == len - 1 && *path == '/' &&
			fdt_path_offset(w->fdt, path) >= 0) {
			property = fdt_next_property_offset(w->fdt, property);
			continue;
		}
		writer_note(w, fdt_delprop(w->fdt, node, name));
		property = fdt_first_property_offset(w->fdt, node);
	}
	if (!w->err && !fdt_getprop(w->fdt, node, "serial0", NULL))
		writer_note(w, fdt_setprop_string(w->fdt, node, "serial0", UART_PATH));
	if (!w->err)
		writer_note(w, fdt_pack(w->fdt));
}

void guest_tree_check_aliases(
	const struct machine_config *config, const void *tree, struct errors *errors)
{
	int from = fdt_path_offset(config->fdt, "/aliases"), to = fdt_path_offset(tree, "/aliases");
	int property;

	fdt_for_each_property_offset(property, config->fdt, from)
	{
		const char *name, *path;
		const void *value, *got;
		int len, got_len;

		value = fdt_getprop_by_offset(config->fdt, property, &name, &len);
		got = fdt_getprop(tree, to, name, &got_len);
		if ((got && got_len == len && !memcmp(got, value, (size_t)len)) ||
			(!strncmp(name, "virtio", 6) && !name[6 + strspn(name + 6, "0123456789")]))
			continue;
		path = fdt_stringlist_get(config->fdt, from, name, 0, NULL);
		warning_add(errors, "/aliases", name,
			"the guest gets no such alias: there is no %s in its tree. Remove it, or name a node that the guest has",
			path && *path ? path : "such node");
	}
}

/* ---- All of it ---- */

static void write_tree(struct writer *w, size_t room, const struct machine_config *config,
	const struct guest_tree_input *input)
{
	struct copy copy = { .w = w, .config = config, .input = input, .from.fdt = config->fdt };
	uint32_t phandle = fdt_get_max_phandle(config->fdt);
	uint64_t address, size;

	/* Above the phandles of removed nodes too. config_read() leaves room. */
	w->gic = phandle + 1;
	w->clock = phandle + 2;
	w->gpio = phandle + 3;
	w->address_cells = fdt_address_cells(config->fdt, 0);
	w->size_cells = fdt_size_cells(config->fdt, 0);
	/* The guest gets the same /memreserve/ entries. */
	for (int i = 0; fdt_get_mem_rsv(config->fdt, i, &address, &size) == 0 && size; i++)
		writer_note(w, fdt_add_reservemap_entry(w->fdt, address, size));
	writer_note(w, fdt_finish_reservemap(w->fdt));
	copy_tree(&copy);
	if (!w->err)
		writer_note(w, fdt_finish(w->fdt));
	if (!w->err && copy.own_aliases)
		complete_aliases(w, room);
}

int guest_tree_build(const struct machine_config *config, const struct guest_tree_input *input,
	void **ret, size_t *ret_size)
{
	/* dtc lets names with the same end share bytes; here each may need bytes of its own. */
	size_t room = fdt_off_dt_struct(config->fdt) + fdt_size_dt_struct(config->fdt) +
		      2 * fdt_size_dt_strings(config->fdt) + PROVIDED_BYTES +
		      (input->cmdline ? strlen(input->cmdline) : 0) +
		      config->cpu_count * CPU_BYTES + config->device_count * DEVICE_BYTES;
	struct writer w = { .fdt = malloc(room) };

	if (!w.fdt)
		return -ENOMEM;
	writer_note(&w, fdt_create(w.fdt, (int)room));
	if (!w.err)
		write_tree(&w, room, config, input);
	if (!w.err) /* Sluice boots from CPU 0 of its list. */
		fdt_set_boot_cpuid_phys(w.fdt, config->cpus[0].mpidr);
	if (!w.err && fdt_totalsize(w.fdt) > TREE_SIZE_MAX)
		w.err = -FDT_ERR_NOSPACE;
	if (w.err) {
		free(w.fdt);
		return w.err == -FDT_ERR_NOSPACE ? -ENOSPC : -ENOMEM;
	}
	*ret = w.fdt;
	*ret_size = fdt_totalsize(w.fdt);
	return 0;
}
