/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which properties a node that Sluice reads may have: one table for the standard nodes and the options. The classes of
 * devices have property tables of their own (devices/device.h). A property that is in no list of its node is an error,
 * unless it has another vendor's prefix and the node reaches the guest.
 * The standard names are those of the devicetree specification, chapter 3, and of
 * Linux's bindings; tests/unit/board/config/test-properties.c holds dts/bindings/ to the same lists.
 */
#include <fnmatch.h>
#include <libfdt.h>
#include <string.h>

#include "board/config/known.h"
#include "board/config/reader.h"
#include "board/config/tree-file.h"
#include "devices/device.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Properties that CPUs share may be in /cpus (devicetree specification 0.4, 3.7). */
#define CPU_STANDARD                                                                               \
	"clock-frequency", "timebase-frequency", "bus-frequency", "enable-method",                 \
		"cpu-release-addr", "cpu-idle-states", "capacity-dmips-mhz",                       \
		"dynamic-power-coefficient", "clocks", "clock-names", "clock-latency",             \
		"#cooling-cells", "power-domains", "power-domain-names", "performance-domains",    \
		"operating-points", "operating-points-v2", "interconnects", "nvmem-cells",         \
		"nvmem-cell-names", "numa-node-id", "next-level-cache", "l2-cache", "cache-*",     \
		"i-cache-*", "d-cache-*", "tlb-*", "i-tlb-*", "d-tlb-*", "*-supply"

const struct known_node known_nodes[] = {
	[NODE_ROOT] = { "the root", "sluice,machine.yaml", .passes = true,
		.standard = LIST("#address-cells", "#size-cells", "model", "serial-number",
			"chassis-type", "dma-coherent", "dma-noncoherent", "interrupt-parent") },
	[NODE_CHOSEN] = { "/chosen", "sluice,chosen.yaml", .passes = true,
		.ours = LIST("sluice,kernel", "sluice,kernel-address", "sluice,initrd",
			"sluice,firmware", "sluice,flash", "sluice,flash-template",
			"sluice,flash-read-only"),
		.standard = LIST("bootargs", "stdout-path", "stdin-path", "kaslr-seed", "rng-seed",
			"#address-cells", "#size-cells", "ranges") },
	[NODE_CPUS] = { "/cpus", "sluice,cpus.yaml", .passes = true,
		.ours = LIST("sluice,pmu", "sluice,sve", "sluice,pointer-authentication",
			"sluice,stolen-time", "sluice,nested"),
		.standard = LIST("#address-cells", "#size-cells", CPU_STANDARD) },
	[NODE_CPU] = { "a CPU's node", "sluice,cpu.yaml", .passes = true,
		.ours = LIST("sluice,host-cpus", "sluice,rt-priority"),
		.standard = LIST("device_type", "reg", CPU_STANDARD) },
	[NODE_MEMORY] = { "a node of memory", "sluice,memory.yaml", .passes = true,
		.ours = LIST("sluice,mergeable", "sluice,backing", "sluice,file"),
		.standard = LIST("device_type", "reg", "initial-mapped-area", "hotpluggable",
			"numa-node-id") },
	[NODE_RESERVED] = { "/reserved-memory", "sluice,reserved-memory.yaml", .passes = true,
		.standard = LIST("#address-cells", "#size-cells", "ranges") },
	[NODE_RESERVATION] = { "a child of /reserved-memory", NULL, .passes = true,
		.standard = LIST("reg", "size", "alignment", "alloc-ranges", "no-map",
			"no-map-fixup", "reusable", "iommu-addresses") },
	[NODE_WINDOW] = { "a window", "sluice,window.yaml",
		.standard = LIST(
			"reg", "size", "alignment", "alloc-ranges", "no-map", "reusable") },
	[NODE_OPTIONS] = { "/options", NULL, .passes = true },
	[NODE_OPTIONS_SLUICE] = { "/options/sluice", "sluice,options.yaml",
		.ours = LIST("stray-access", "gic", "console") },
};

static const char *const always[] = { "compatible", "status", "phandle", "linux,phandle", "name",
	NULL };

static bool in_list(const char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (strchr(*list, '*') ? !fnmatch(*list, name, 0) : !strcmp(*list, name))
			return true;
	return false;
}

static bool class_has(const struct device_class *class, const char *name)
{
	for (const struct property *p = class->properties; p && p->name; p++)
		if (!strcmp(p->name, name))
			return true;
	return false;
}

/* Names in words the node whose property this is; false: Sluice knows none. */
static bool known_elsewhere(const char *name, char *ret, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(known_nodes); i++)
		if (in_list(known_nodes[i].ours, name)) {
			snprintf(ret, size, "%s", known_nodes[i].where);
			return true;
		}
	for (size_t i = 0; device_table[i]; i++)
		if (class_has(device_table[i], name)) {
			snprintf(ret, size, "the node of a %s", device_table[i]->compatible);
			return true;
		}
	return false;
}

/* A property for the guest alone: another vendor's, as "acme,colour", or the label that any node may have. */
static bool is_guests(const char *name)
{
	return (strchr(name, ',') && strncmp(name, "sluice,", 7)) || !strcmp(name, "label");
}

/* Adds the error for an unknown property; `known` are the names that its node may have. */
static void refuse(
	const struct tree *tree, int node, const char *name, const char *const *known, bool passes)
{
	char hint[DID_YOU_MEAN], place[TREE_NAME + 32];

	if (known_elsewhere(name, place, sizeof(place)))
		tree_error(tree, node, name, "belongs in %s, not here", place);
	else if (*did_you_mean(hint, name, known) || !passes)
		tree_error(tree, node, name, "unknown here%s", hint);
	else
		tree_error(tree, node, name,
			"unknown here; what is the guest's own has its vendor's prefix: acme,%s",
			name);
}

static void check(const struct tree *tree, int node, const char *const *ours,
	const char *const *standard, bool passes)
{
	const char *known[KNOWN_MAX + 1], *name;
	size_t count = 0;
	int property;

	for (; ours && *ours && count < KNOWN_MAX; ours++)
		known[count++] = *ours;
	for (; standard && *standard && count < KNOWN_MAX; standard++)
		known[count++] = *standard;
	known[count] = NULL;
	fdt_for_each_property_offset(property, tree->fdt, node)
	{
		fdt_getprop_by_offset(tree->fdt, property, &name, NULL);
		if (!in_list(always, name) && !in_list(known, name) && !(passes && is_guests(name)))
			refuse(tree, node, name, known, passes);
	}
}

void check_properties(const struct tree *tree, int node, const char *const *known)
{
	check(tree, node, known, NULL, false);
}

void check_known(const struct tree *tree, int node, enum node_kind kind)
{
	const struct known_node *known = &known_nodes[kind];

	check(tree, node, known->ours, known->standard, known->passes);
}

void check_prefixed(const struct tree *tree, int node)
{
	const char *ours[KNOWN_MAX + 1], *name;
	size_t count = 0;
	int property;

	for (size_t i = 0; i < ARRAY_SIZE(known_nodes); i++)
		for (const char *const *own = known_nodes[i].ours; own && *own; own++)
			ours[count++] = *own;
	ours[count] = NULL;
	fdt_for_each_property_offset(property, tree->fdt, node)
	{
		fdt_getprop_by_offset(tree->fdt, property, &name, NULL);
		if (!strncmp(name, "sluice,", 7))
			refuse(tree, node, name, ours, false);
	}
}
