/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports references to what the guest will not have (interrupt controllers, a console that is not emulated, windows),
 * and names whose unit address is not the node's. One walk over all nodes, after everything else was read.
 */
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

#include "board/config/map.h"
#include "board/config/reader.h"
#include "board/config/tree-file.h"

/* ---- Interrupt controllers ---- */

#define INTERRUPTS_CHECKED 64 /* of one property: each is looked up among all controllers */

/* The tree's interrupt controllers and nexus nodes, collected at the first query. */
struct controllers {
	struct controller {
		uint32_t phandle, cells; /* of an interrupt */
	} * list;
	size_t count;
};

static void collect(const struct tree *tree, struct controllers *all)
{
	all->list = calloc(TREE_NODES, sizeof(*all->list));
	for (int node = 0; all->list && node >= 0 && all->count < TREE_NODES;
		node = fdt_next_node(tree->fdt, node, NULL)) {
		if (tree_has(tree, node, "interrupt-controller") ||
			tree_has(tree, node, "interrupt-map"))
			all->list[all->count++] = (struct controller){
				fdt_get_phandle(tree->fdt, node),
				tree_cell(tree, node, "#interrupt-cells", 0),
			};
	}
}

/* The controller with this phandle, or NULL. */
static const struct controller *find(
	const struct tree *tree, struct controllers *all, uint32_t phandle)
{
	if (!all->list)
		collect(tree, all);
	for (size_t i = 0; phandle && i < all->count; i++)
		if (all->list[i].phandle == phandle)
			return &all->list[i];
	return NULL;
}

/*
 * Checks that the property's first cell is the phandle of a controller. With `each`, the cells of one of its interrupts
 * follow, and then the next controller's phandle.
 */
static void check_parents(const struct tree *tree, int node, const char *property, bool each,
	struct controllers *controllers)
{
	int len;
	const fdt32_t *cell = fdt_getprop(tree->fdt, node, property, &len);
	size_t count = cell && len >= 4 ? (size_t)len / 4 : 0, at = 0;

	for (unsigned n = 0; at < count && n < (each ? INTERRUPTS_CHECKED : 1); n++) {
		uint32_t phandle = fdt32_ld(&cell[at]);
		const struct controller *parent = find(tree, controllers, phandle);

		if (!parent) {
			tree_error(tree, node, property,
				"0x%x is the phandle of no interrupt controller that the guest has. For an interrupt of the machine's own controller leave interrupt-parent out and write interrupts = <0 N 4>",
				phandle);
			return;
		}
		at += 1 + (size_t)parent->cells;
	}
}

/* ---- Windows ---- */

/* The nodes of /reserved-memory that devices of Sluice's have for a window, disabled ones too. */
static void find_windows(struct reader *reader)
{
	const struct tree *tree = &reader->tree;
	struct machine_config *config = reader->config;
	int node;

	for (size_t i = 0; i < reader->reserved_count; i++) {
		uint32_t phandle = reader->reserved[i].phandle;
		bool found = false;

		fdt_for_each_subnode(node, tree->fdt, 0)
			found |= phandle && tree_sluice_compatible(tree, node) &&
				 tree_cell(tree, node, "memory-region", 0) == phandle;
		if (found)
			config->windows[config->window_count++] = phandle;
	}
}

/* A node that the guest gets may refer to no window, since it does not get that. */
static void check_region(const struct reader *reader, int node)
{
	const struct machine_config *config = reader->config;
	const struct tree *tree = &reader->tree;
	int len;
	const fdt32_t *cell = fdt_getprop(tree->fdt, node, "memory-region", &len);

	for (int i = 0; cell && i < len / 4; i++)
		for (size_t j = 0; j < config->window_count; j++)
			if (fdt32_ld(&cell[i]) == config->windows[j]) {
				tree_warning(tree, node, "memory-region",
					"refers to the window of a virtio-mem device, which is not in the guest's tree: give this node reserved memory of its own, within /memory");
				return;
			}
}

/* ---- Unit addresses ---- */

/* The devicetree specification, 2.2.1: the unit address is the first one of reg. */
static void check_unit_address(const struct tree *tree, int node, unsigned cells)
{
	const char *name = tree_name(tree, node), *unit = strchr(name, '@');
	int len;
	const fdt32_t *cell = fdt_getprop(tree->fdt, node, "reg", &len);
	uint64_t said, is;
	char *end;

	/* Other than a plain number it has the form of its bus, as "1,0" on PCI. */
	if (!unit || !unit[1] || !cell || !cells || cells > 2 || len < 4 * (int)cells)
		return;
	said = strtoull(unit + 1, &end, 16);
	is = tree_value(cell, cells);
	if (!*end && said != is)
		tree_warning(tree, node, "reg",
			"begins with 0x%" PRIx64
			", and the node's name says @%s: let it end in @%" PRIx64,
			is, unit + 1, is);
}

/* ---- The console ---- */

static void check_stdout(const struct tree *tree)
{
	int chosen = fdt_subnode_offset(tree->fdt, 0, "chosen");
	int aliases = fdt_subnode_offset(tree->fdt, 0, "aliases");
	const char *value, *alias;
	char name[TREE_NAME + 1];

	if (chosen < 0 || tree_string(tree, chosen, "stdout-path", &value) != 1)
		return;
	/* "serial0:115200n8": a path or an alias, and the line's speed. */
	if ((size_t)snprintf(name, sizeof(name), "%.*s", (int)strcspn(value, ":"), value) >=
		sizeof(name))
		return;
	if (*name != '/' && aliases >= 0 && tree_string(tree, aliases, name, &alias) == 1)
		value = alias;
	/* Sluice adds this alias if it is missing. */
	else if (!strcmp(name, "serial0"))
		return;
	else
		value = name;
	if (strcmp(value, UART_PATH))
		tree_warning(tree, chosen, "stdout-path",
			"the guest's early messages go to %s, which is no console of this machine's. Leave stdout-path out, and the alias serial0 too: they are set to " UART_PATH
			", the UART",
			value);
}

/* ---- All of it ---- */

void references_check(struct reader *reader)
{
	const struct tree *tree = &reader->tree;
	unsigned cells[TREE_DEPTH + 2] = { 2 };
	struct controllers controllers = { NULL };
	bool good = !errors_any(tree->errors);
	int depth = 0;

	find_windows(reader);

	for (int node = 0; node >= 0 && depth >= 0 && depth <= TREE_DEPTH;
		node = fdt_next_node(tree->fdt, node, &depth)) {
		cells[depth + 1] = tree_cell(tree, node, "#address-cells", 2);
		if (depth) {
			check_parents(tree, node, "interrupt-parent", false, &controllers);
			check_parents(tree, node, "interrupts-extended", true, &controllers);
		}
		/* Reported only if there are no other errors. */
		if (depth && good)
			check_unit_address(tree, node, cells[depth]);
		if (good && !tree_off(tree, node) &&
			!(depth == 1 && tree_sluice_compatible(tree, node)))
			check_region(reader, node);
	}
	if (good)
		check_stdout(tree);
	free(controllers.list);
}
