/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's tree; see guest-tree.h. The machine's own, less what is the host's
 * (strip), with what Sluice provides (guest-tree-provide.c), and completed.
 */
#include "board/guest-tree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/config.h"
#include "board/errors.h"
#include "board/guest-map.h"
#include "board/guest-tree-internal.h"
#include "board/tree-file.h"

/* ---- What is the host's ---- */

static const char *compatible_at(const void *fdt, int node, int index)
{
	return fdt_stringlist_get(fdt, node, "compatible", index, NULL);
}

static bool is_sluice_node(const void *fdt, int node)
{
	const char *entry;

	for (int i = 0; (entry = compatible_at(fdt, node, i)); i++)
		if (!strncmp(entry, "sluice,", 7))
			return true;
	return false;
}

static bool is_disabled(const void *fdt, int node)
{
	return !fdt_stringlist_search(fdt, node, "status", "disabled");
}

static bool name_is(const void *fdt, int node, const char *name)
{
	const char *have = fdt_get_name(fdt, node, NULL);
	size_t len = strlen(name);

	return have && !strncmp(have, name, len) && (!have[len] || have[len] == '@');
}

static bool type_is(const void *fdt, int node, const char *type)
{
	return name_is(fdt, node, type) || !fdt_stringlist_search(fdt, node, "device_type", type);
}

/* A node below `parent` that the guest does not get. */
static bool is_host_node(const void *fdt, int parent, int node)
{
	if (parent)
		return (type_is(fdt, node, "cpu") || name_is(fdt, parent, "reserved-memory")) &&
		       is_disabled(fdt, node);
	/* dtc's tables of labels name nodes that go. */
	return is_sluice_node(fdt, node) || name_is(fdt, node, "__symbols__") ||
	       name_is(fdt, node, "__fixups__") || name_is(fdt, node, "__local_fixups__") ||
	       (type_is(fdt, node, "memory") && is_disabled(fdt, node));
}

static void remove_children(struct writer *w, int parent)
{
	int node = parent < 0 ? -1 : fdt_first_subnode(w->fdt, parent);

	while (node >= 0 && !w->err) {
		if (!is_host_node(w->fdt, parent, node)) {
			node = fdt_next_subnode(w->fdt, node);
			continue;
		}
		writer_note(w, fdt_del_node(w->fdt, node));
		node = fdt_first_subnode(w->fdt, parent);
	}
}

static void remove_options(struct writer *w)
{
	int node = fdt_path_offset(w->fdt, "/options/sluice");

	if (node >= 0)
		writer_note(w, fdt_del_node(w->fdt, node));
	node = fdt_path_offset(w->fdt, "/options");
	if (node >= 0 && fdt_first_subnode(w->fdt, node) < 0 &&
		fdt_first_property_offset(w->fdt, node) < 0)
		writer_note(w, fdt_del_node(w->fdt, node));
}

static void remove_properties(struct writer *w)
{
	int depth = 0;

	for (int node = 0; node >= 0 && !w->err; node = fdt_next_node(w->fdt, node, &depth)) {
		int property = fdt_first_property_offset(w->fdt, node);

		while (property >= 0 && !w->err) {
			const char *name;

			fdt_getprop_by_offset(w->fdt, property, &name, NULL);
			if (strncmp(name, "sluice,", 7)) {
				property = fdt_next_property_offset(w->fdt, property);
				continue;
			}
			writer_note(w, fdt_delprop(w->fdt, node, name));
			property = fdt_first_property_offset(w->fdt, node);
		}
	}
}

/* The root's compatible less ours. */
static void filter_compatible(struct writer *w)
{
	int len;
	const char *have = fdt_getprop(w->fdt, 0, "compatible", &len), *entry;
	char *kept = malloc((have ? len : 0) + sizeof("linux,dummy-virt"));
	size_t size = 0;

	if (!kept) {
		writer_note(w, -FDT_ERR_INTERNAL);
		return;
	}
	for (int i = 0; (entry = compatible_at(w->fdt, 0, i)); i++)
		if (strncmp(entry, "sluice,", 7)) {
			strcpy(kept + size, entry);
			size += strlen(entry) + 1;
		}
	if (!size) {
		strcpy(kept, "linux,dummy-virt");
		size = sizeof("linux,dummy-virt");
	}
	writer_put(w, 0, "compatible", kept, size);
	free(kept);
}

/* ---- What is completed ---- */

static void complete_cpus(struct writer *w)
{
	int cpus = fdt_path_offset(w->fdt, "/cpus"), node;

	fdt_for_each_subnode(node, w->fdt, cpus)
	{
		if (!type_is(w->fdt, node, "cpu"))
			continue;
		writer_put_string(w, node, "device_type", "cpu");
		writer_put_string(w, node, "enable-method", "psci");
		if (!fdt_getprop(w->fdt, node, "compatible", NULL))
			writer_put_string(w, node, "compatible", "arm,armv8");
	}
}

static void complete_memory(struct writer *w)
{
	int node;

	fdt_for_each_subnode(node, w->fdt, 0) if (name_is(w->fdt, node, "memory"))
		writer_put_string(w, node, "device_type", "memory");
}

/* The node at the root, made if it is not there. */
static int ensure_node(struct writer *w, const char *name)
{
	int node = fdt_subnode_offset(w->fdt, 0, name);

	return node >= 0 ? node : writer_add_node(w, 0, name);
}

static void remove_property(struct writer *w, int node, const char *name)
{
	int err = w->err ? 0 : fdt_delprop(w->fdt, node, name);

	writer_note(w, err == -FDT_ERR_NOTFOUND ? 0 : err);
}

static void complete_chosen(struct writer *w, const struct guest_tree_input *input)
{
	int node = ensure_node(w, "chosen");

	remove_property(w, node, "linux,initrd-start");
	remove_property(w, node, "linux,initrd-end");
	if (input->initrd_size) {
		writer_put_u64(w, node, "linux,initrd-start", input->initrd_gpa);
		writer_put_u64(w, node, "linux,initrd-end", input->initrd_gpa + input->initrd_size);
	}
	writer_put(w, node, "kaslr-seed", input->kaslr_seed, sizeof(input->kaslr_seed));
	writer_put(w, node, "rng-seed", input->rng_seed, sizeof(input->rng_seed));
	if (!w->err && !fdt_getprop(w->fdt, node, "stdout-path", NULL))
		writer_put_string(w, node, "stdout-path", UART_PATH);
}

/* Aliases of nodes that are gone go too. */
static void complete_aliases(struct writer *w)
{
	int node = ensure_node(w, "aliases"), property;

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
		writer_put_string(w, node, "serial0", UART_PATH);
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
			"the guest gets no such alias: there is no %s in its tree",
			path && *path ? path : "such node");
	}
}

/* ---- All of it ---- */

static void strip(struct writer *w)
{
	remove_children(w, 0);
	remove_children(w, fdt_subnode_offset(w->fdt, 0, "cpus"));
	remove_children(w, fdt_subnode_offset(w->fdt, 0, "reserved-memory"));
	remove_options(w);
	remove_properties(w);
	filter_compatible(w);
}

static void complete(
	struct writer *w, const struct machine_config *config, const struct guest_tree_input *input)
{
	uint32_t phandle = fdt_get_max_phandle(config->fdt);

	/* Above those of nodes that are gone, too. config_read() leaves room. */
	w->gic = phandle + 1;
	w->clock = phandle + 2;
	w->gpio = phandle + 3;
	w->address_cells = fdt_address_cells(w->fdt, 0);
	w->size_cells = fdt_size_cells(w->fdt, 0);
	guest_tree_provide(w, config);
	PUT_CELLS(w, 0, "interrupt-parent", w->gic);
	complete_cpus(w);
	complete_memory(w);
	complete_chosen(w, input);
	complete_aliases(w);
}

int guest_tree_build(const struct machine_config *config, const struct guest_tree_input *input,
	void **ret, size_t *ret_size)
{
	size_t room = fdt_totalsize(config->fdt) + TREE_SLACK;
	struct writer w = { .fdt = malloc(room) };

	if (!w.fdt)
		return -ENOMEM;
	writer_note(&w, fdt_open_into(config->fdt, w.fdt, room));
	/* /memreserve/ and what is reserved keep their meaning; Sluice boots from CPU 0 of its list. */
	if (!w.err)
		strip(&w);
	if (!w.err)
		complete(&w, config, input);
	if (!w.err) {
		fdt_set_boot_cpuid_phys(w.fdt, config->cpus[0].mpidr);
		writer_note(&w, fdt_pack(w.fdt));
	}
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
