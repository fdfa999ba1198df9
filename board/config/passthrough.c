/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rest of the tree, which passes to the guest unchanged. It may not use addresses, interrupts or nodes of Sluice's,
 * nor unknown names with the prefix "sluice,". One walk over all nodes, with a small stack of what each level inherits.
 */
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

#include "board/config/map.h"
#include "board/config/platform.h"
#include "board/config/reader.h"
#include "board/config/tree-file.h"
#include "devices/device.h"

/* Nodes that Sluice adds to the guest's tree, by their name up to the unit address, or their compatible. */
static const char *const own_names[] = { "hypervisor", "psci", "timer", "pmu", "apb-pclk",
	"gpio-keys", "intc", "interrupt-controller", NULL };
static const char *const own_compatibles[] = { "linux,kvm", "arm,psci", "arm,psci-0.2",
	"arm,psci-1.0", "arm,armv8-timer", "arm,armv7-timer", "arm,armv8-pmuv3", "arm,gic-v3",
	"arm,gic-400", "arm,cortex-a15-gic", "virtio,mmio", NULL };

static const struct claim own_ranges[] = {
	{ { GIC_REDIST2_BASE, GIC_REDIST2_VCPUS *GIC_REDIST_BYTES }, -1,
		"the interrupt controller" },
	{ { GIC_DIST_BASE, UART_BASE - GIC_DIST_BASE }, -1, "the interrupt controller" },
	{ { STOLEN_TIME_BASE, STOLEN_TIME_SIZE }, -1, "stolen time" },
	{ { VIRTIO_MMIO_BASE, VIRTIO_MMIO_PLACES *VIRTIO_MMIO_SIZE }, -1, "virtio-mmio" },
};

/* Of the PMU, the GIC's maintenance interrupt and the timers. */
static const uint32_t own_ppis[] = { VCPU_PMU_PPI, GIC_MAINTENANCE_PPI, 10, 11, 12, 13, 14 };

/* What a node's children inherit. */
struct level {
	bool addressed; /* their reg are the machine's addresses */
	bool our_gic;	/* their interrupts are the machine's */
	struct cells cells;
	enum node_kind kind; /* of a child of the root, else NODE_KINDS */
	bool skipped;
};

static bool compatible_is_known(
	const char *entry, int depth, const struct level *up, const char *name)
{
	if (!depth)
		return !strcmp(entry, "sluice,machine");
	if (up->kind == NODE_OPTIONS && !strcmp(name, "sluice"))
		return !strcmp(entry, "sluice,options");
	return depth == 1 && device_class_of(entry);
}

static void check_compatible(const struct tree *tree, int node, int depth, const struct level *up)
{
	int count = fdt_stringlist_count(tree->fdt, node, "compatible");
	const char *known[64] = { "sluice,machine", "sluice,options" };
	char hint[DID_YOU_MEAN];

	for (size_t i = 0; device_table[i] && i < ARRAY_SIZE(known) - 3; i++)
		known[i + 2] = device_table[i]->compatible;
	for (int i = 0; i < count; i++) {
		const char *entry = fdt_stringlist_get(tree->fdt, node, "compatible", i, NULL);

		if (!entry || strncmp(entry, "sluice,", 7) ||
			compatible_is_known(entry, depth, up, tree_name(tree, node)))
			continue;
		if (device_class_of(entry))
			tree_error(tree, node, "compatible",
				"\"%s\" belongs in a direct child of the root: make it one", entry);
		else
			tree_error(tree, node, "compatible", "\"%s\" is unknown here%s", entry,
				did_you_mean(hint, entry, known));
	}
}

static bool is_window(const struct reader *reader, int node)
{
	for (size_t i = 0; i < reader->reserved_count; i++)
		if (reader->reserved[i].node == node && reader->reserved[i].user)
			return true;
	return false;
}

/* Adds an error for each unknown property of a node. devices.c reads those of devices. */
static void check_names(const struct reader *reader, int node, int depth, const struct level *up,
	const struct level *self)
{
	const struct tree *tree = &reader->tree;

	if (!depth)
		check_known(tree, node, NODE_ROOT);
	else if (self->kind != NODE_KINDS)
		check_known(tree, node, self->kind);
	else if (up->kind == NODE_CPUS && tree_type_is(tree, node, "cpu"))
		check_known(tree, node, NODE_CPU);
	else if (up->kind == NODE_RESERVED && is_window(reader, node))
		check_known(tree, node, NODE_WINDOW);
	else if (up->kind == NODE_RESERVED && !tree_has(tree, node, "compatible"))
		check_known(tree, node, NODE_RESERVATION);
	else if (!(up->kind == NODE_OPTIONS && !strcmp(tree_name(tree, node), "sluice")))
		check_prefixed(tree, node);
}

/* The kind of a node below the root that Sluice reads; NODE_KINDS for any other. */
static enum node_kind kind_of(const struct tree *tree, int node)
{
	static const struct {
		const char *name;
		enum node_kind kind;
	} kinds[] = {
		{ "chosen", NODE_CHOSEN },
		{ "cpus", NODE_CPUS },
		{ "options", NODE_OPTIONS },
		{ "reserved-memory", NODE_RESERVED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(tree_name(tree, node), kinds[i].name))
			return kinds[i].kind;
	return tree_type_is(tree, node, "memory") ? NODE_MEMORY : NODE_KINDS;
}

/* `own` is Sluice's: *ret, if the range overlaps it. */
static void note(const struct range *range, struct claim own, struct claim *ret)
{
	if (ranges_overlap(own.range.gpa, own.range.size, range->gpa, range->size))
		*ret = own;
}

static void check_range(
	struct reader *reader, int node, const char *property, const struct range *range)
{
	struct claim own = { .what = NULL };

	if (!range->size || range->gpa + range->size < range->gpa)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(own_ranges); i++)
		note(range, own_ranges[i], &own);
	if (reader->config->firmware.name)
		note(range, (struct claim){ { FIRMWARE_BASE, FIRMWARE_SIZE }, -1, "the firmware" },
			&own);
	if (reader->config->flash.path.name)
		note(range, (struct claim){ { FLASH_BASE, FLASH_SIZE }, -1, "the flash" }, &own);
	for (const struct platform *p = platforms; p->class; p++)
		note(range, (struct claim){ { p->gpa, PL0XX_SIZE }, -1, p->what }, &own);
	for (size_t i = 0; i < reader->config->device_count; i++) {
		const struct device_config *d = &reader->config->devices[i];

		if (d->has_window)
			note(range,
				(struct claim){ { d->window.gpa, d->window.size }, -1, d->path },
				&own);
	}
	if (own.what)
		tree_error(&reader->tree, node, property,
			"0x%" PRIx64 "+0x%" PRIx64 " is Sluice's: %s is at 0x%" PRIx64
			"+0x%" PRIx64,
			range->gpa, range->size, own.what, own.range.gpa, own.range.size);
}

/* Checks every range of `property`, with `skip` cells before each address. Malformed values are not checked. */
static void check_ranges(struct reader *reader, int node, const char *property, unsigned skip,
	unsigned address, unsigned size)
{
	int len, entry = skip + address + size;
	const fdt32_t *cell = fdt_getprop(reader->tree.fdt, node, property, &len);

	if (!cell || !entry || address > 2 || size > 2)
		return;
	for (; len >= 4 * entry; len -= 4 * entry, cell += entry) {
		const struct range range = { tree_value(cell + skip, address),
			tree_value(cell + skip + address, size) };

		check_range(reader, node, property, &range);
	}
}

static void check_interrupts(const struct tree *tree, int node)
{
	int len;
	const fdt32_t *cell = fdt_getprop(tree->fdt, node, "interrupts", &len);

	if (!cell)
		return;
	if (len % 12)
		tree_error(tree, node, "interrupts",
			"the machine's interrupts have three cells, as in <0 64 4>");
	for (; len >= 12; len -= 12, cell += 3) {
		uint32_t type = fdt32_ld(cell), number = fdt32_ld(cell + 1);
		bool own = !type && number >= VIRTIO_MMIO_SPI &&
			   number < VIRTIO_MMIO_SPI + VIRTIO_MMIO_PLACES;

		for (const struct platform *p = platforms; p->class; p++)
			own |= !type && number == p->spi;
		for (size_t i = 0; i < ARRAY_SIZE(own_ppis); i++)
			own |= type == 1 && number == own_ppis[i];
		if (own)
			tree_error(tree, node, "interrupts",
				"%s %u is Sluice's: SPIs from %d on are free", type ? "PPI" : "SPI",
				number, VIRTIO_MMIO_SPI + VIRTIO_MMIO_PLACES);
		else if (!type && number >= GIC_SPIS)
			tree_error(tree, node, "interrupts",
				"SPI %u is beyond the machine's interrupt controller, which has SPIs 0 to %d: those from %d on are free",
				number, GIC_SPIS - 1, VIRTIO_MMIO_SPI + VIRTIO_MMIO_PLACES);
	}
}

/* Adds an error for a child of the root that Sluice adds itself. */
static void check_own(const struct reader *reader, int node)
{
	const struct tree *tree = &reader->tree;
	const char *own = NULL;

	for (size_t i = 0; own_names[i]; i++)
		if (tree_name_is(tree, node, own_names[i]))
			own = own_names[i];
	for (size_t i = 0; own_compatibles[i] && !own; i++)
		if (tree_compatible(tree, node, own_compatibles[i]))
			own = own_compatibles[i];
	if (reader->config->flash.path.name &&
		(tree_name_is(tree, node, "flash") || tree_compatible(tree, node, "cfi-flash")))
		own = "flash";
	if (own)
		tree_error(tree, node, NULL,
			"Sluice puts its own %s into the guest's tree: remove this node", own);
}

static struct level check_node(struct reader *reader, int node, int depth, const struct level *up)
{
	const struct tree *tree = &reader->tree;
	struct level self = {
		.cells = { tree_cell(tree, node, "#address-cells", 2),
			tree_cell(tree, node, "#size-cells", 1) },
		.kind = depth == 1 ? kind_of(tree, node) : NODE_KINDS,
		.our_gic = up->our_gic && !tree_has(tree, node, "interrupt-parent"),
	};
	bool device = depth == 1 && tree_sluice_compatible(tree, node);
	bool interpreted = device || self.kind == NODE_MEMORY || self.kind == NODE_RESERVED;
	int len;
	const void *ranges = fdt_getprop(tree->fdt, node, "ranges", &len);

	check_compatible(tree, node, depth, up);
	if (!device)
		check_names(reader, node, depth, up, &self);
	self.skipped = up->skipped || interpreted;
	if (!depth) {
		self.addressed = true;
		return self;
	}
	if (depth == 1 && !interpreted)
		check_own(reader, node);
	if (self.skipped)
		return self;
	if (self.our_gic)
		check_interrupts(tree, node);
	if (tree_has(tree, node, "#interrupt-cells"))
		self.our_gic = false;
	if (!up->addressed || up->cells.address > 2 || up->cells.size > 2)
		return self;
	check_ranges(reader, node, "reg", 0, up->cells.address, up->cells.size);
	/* Empty ranges: the bus has its parent's addresses. Else it uses stretches of the parent's space. */
	self.addressed = ranges && !len;
	if (ranges && len && self.cells.address <= 3)
		check_ranges(reader, node, "ranges", self.cells.address, up->cells.address,
			self.cells.size);
	return self;
}

void passthrough_check(struct reader *reader)
{
	struct level levels[TREE_DEPTH + 2] = { { .kind = NODE_KINDS, .our_gic = true } };
	int depth = 0;

	for (int node = 0; node >= 0 && depth >= 0 && depth <= TREE_DEPTH;
		node = fdt_next_node(reader->tree.fdt, node, &depth))
		levels[depth + 1] = check_node(reader, node, depth, &levels[depth]);
	if (tree_has(&reader->tree, 0, "interrupt-parent"))
		tree_error(&reader->tree, 0, "interrupt-parent",
			"the machine's interrupt controller is Sluice's: remove it");
}
