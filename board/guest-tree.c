/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's tree; see guest-tree.h. What Sluice adds is modelled on QEMU's virt machine, whose
 * map it shares, and on what Linux's bindings ask for. libfdt puts a new node before its
 * siblings, so nodes are added last to first.
 *
 * The writer keeps the first error and does nothing after it, so that calls need no checks.
 */
#include "board/guest-tree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "board/config.h"
#include "board/guest-map.h"
#include "board/tree-file.h"
#include "devices/device.h"
#include "devices/primecell.h"
#include "hyp/kvm.h"

#define SPI		0
#define PPI		1
#define IRQ_EDGE_RISING 1
#define IRQ_LEVEL_HIGH	4
#define PPI_CPUS(count) ((((1u << (count)) - 1) & 0xff) << 8) /* GICv2: which CPUs have it */
#define KEY_POWER	116
#define UART_PATH	"/pl011@9000000"

struct writer {
	void *fdt;
	int err;			    /* FDT_ERR_*, negative */
	unsigned address_cells, size_cells; /* the root's */
	uint32_t gic, clock, gpio;	    /* phandles */
};

/* ---- Writing ---- */

static void note(struct writer *w, int err)
{
	if (err < 0 && !w->err)
		w->err = err;
}

/* A new child; its offset is good until a node is added before it. */
static int add_node(struct writer *w, int parent, const char *name)
{
	int node = w->err ? 0 : fdt_add_subnode(w->fdt, parent, name);

	note(w, node);
	return node;
}

static void put(struct writer *w, int node, const char *name, const void *value, int len)
{
	if (!w->err)
		note(w, fdt_setprop(w->fdt, node, name, value, len));
}

static void put_string(struct writer *w, int node, const char *name, const char *value)
{
	put(w, node, name, value, strlen(value) + 1);
}

static void put_u64(struct writer *w, int node, const char *name, uint64_t value)
{
	if (!w->err)
		note(w, fdt_setprop_u64(w->fdt, node, name, value));
}

/* PUT_CELLS(w, node, "interrupts", 0, 1, 4) */
static void put_cells(
	struct writer *w, int node, const char *name, const uint32_t *cells, size_t count)
{
	fdt32_t value[16];

	CHECK(count <= ARRAY_SIZE(value));
	for (size_t i = 0; i < count; i++)
		value[i] = cpu_to_fdt32(cells[i]);
	put(w, node, name, value, count * sizeof(value[0]));
}

#define PUT_CELLS(w, node, name, ...)                                                              \
	put_cells(w, node, name, (const uint32_t[]){ __VA_ARGS__ },                                \
		ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))

/* Appends to a list of strings. */
static void put_strings(struct writer *w, int node, const char *name, const char *const *strings)
{
	put(w, node, name, NULL, 0);
	for (; *strings && !w->err; strings++)
		note(w, fdt_appendprop_string(w->fdt, node, name, *strings));
}

#define PUT_STRINGS(w, node, name, ...)                                                            \
	put_strings(w, node, name, (const char *const[]){ __VA_ARGS__, NULL })

static void append_number(
	struct writer *w, int node, const char *name, unsigned cells, uint64_t value)
{
	if (!w->err)
		note(w, cells == 2 ? fdt_appendprop_u64(w->fdt, node, name, value)
				   : fdt_appendprop_u32(w->fdt, node, name, value));
}

/* Appends a range to `reg`. */
static void add_reg(struct writer *w, int node, uint64_t gpa, uint64_t size)
{
	append_number(w, node, "reg", w->address_cells, gpa);
	append_number(w, node, "reg", w->size_cells, size);
}

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
		note(w, fdt_del_node(w->fdt, node));
		node = fdt_first_subnode(w->fdt, parent);
	}
}

static void remove_options(struct writer *w)
{
	int node = fdt_path_offset(w->fdt, "/options/sluice");

	if (node >= 0)
		note(w, fdt_del_node(w->fdt, node));
	node = fdt_path_offset(w->fdt, "/options");
	if (node >= 0 && fdt_first_subnode(w->fdt, node) < 0 &&
		fdt_first_property_offset(w->fdt, node) < 0)
		note(w, fdt_del_node(w->fdt, node));
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
			note(w, fdt_delprop(w->fdt, node, name));
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
		note(w, -FDT_ERR_INTERNAL);
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
	put(w, 0, "compatible", kept, size);
	free(kept);
}

/* ---- What Sluice provides ---- */

static bool is_nested(const struct machine_config *config)
{
	return config->cpu_features & 1u << CPU_NESTED;
}

static void add_gic(struct writer *w, const struct machine_config *config)
{
	int node = add_node(w, 0, "interrupt-controller@8000000"), its;

	add_reg(w, node, GIC_DIST_BASE, GIC_DIST_SIZE);
	if (config->gic_version == 2) {
		/* As QEMU: Linux knows no name for KVM's that fits better. */
		put_string(w, node, "compatible", "arm,cortex-a15-gic");
		add_reg(w, node, GIC_CPU_BASE, GIC_CPU_SIZE);
	} else {
		size_t first = config->cpu_count < GIC_REDIST_VCPUS ? config->cpu_count
								    : GIC_REDIST_VCPUS;

		put_string(w, node, "compatible", "arm,gic-v3");
		add_reg(w, node, GIC_REDIST_BASE, first * GIC_REDIST_BYTES);
		if (config->cpu_count > first) {
			add_reg(w, node, GIC_REDIST2_BASE,
				(config->cpu_count - first) * GIC_REDIST_BYTES);
			PUT_CELLS(w, node, "#redistributor-regions", 2);
		}
	}
	if (is_nested(config))
		PUT_CELLS(w, node, "interrupts", PPI, GIC_MAINTENANCE_PPI, IRQ_LEVEL_HIGH);
	PUT_CELLS(w, node, "#interrupt-cells", 3);
	put(w, node, "interrupt-controller", NULL, 0);
	PUT_CELLS(w, node, "phandle", w->gic);
	if (!config->its) {
		PUT_CELLS(w, node, "#address-cells", 0);
		return;
	}
	PUT_CELLS(w, node, "#address-cells", w->address_cells);
	PUT_CELLS(w, node, "#size-cells", w->size_cells);
	put(w, node, "ranges", NULL, 0);
	its = add_node(w, node, "msi-controller@8080000");
	put_string(w, its, "compatible", "arm,gic-v3-its");
	add_reg(w, its, GIC_ITS_BASE, GIC_ITS_BYTES);
	put(w, its, "msi-controller", NULL, 0);
	PUT_CELLS(w, its, "#msi-cells", 1);
}

/* How a private interrupt of these CPUs is triggered, in the third cell. */
static uint32_t ppi_flags(const struct machine_config *config)
{
	return IRQ_LEVEL_HIGH | (config->gic_version == 2 ? PPI_CPUS(config->cpu_count) : 0);
}

static void add_timer(struct writer *w, const struct machine_config *config)
{
	uint32_t flags = ppi_flags(config);
	int node = add_node(w, 0, "timer");

	put_string(w, node, "compatible", "arm,armv8-timer");
	/* Secure, non-secure, virtual, hypervisor; for a guest with EL2 also the hypervisor's virtual. */
	put_cells(w, node, "interrupts",
		(const uint32_t[]){ PPI, 13, flags, PPI, 14, flags, PPI, 11, flags, PPI, 10, flags,
			PPI, 12, flags },
		is_nested(config) ? 15 : 12);
	put(w, node, "always-on", NULL, 0);
}

static void add_pmu(struct writer *w, const struct machine_config *config)
{
	int node;

	if (!(config->cpu_features & 1u << CPU_PMU))
		return;
	node = add_node(w, 0, "pmu");
	put_string(w, node, "compatible", "arm,armv8-pmuv3");
	PUT_CELLS(w, node, "interrupts", PPI, VCPU_PMU_PPI, ppi_flags(config));
}

/* An Arm PrimeCell with its level interrupt and clock. */
static int add_primecell(
	struct writer *w, const char *name, const char *compatible, uint64_t gpa, uint32_t spi)
{
	int node = add_node(w, 0, name);

	PUT_STRINGS(w, node, "compatible", compatible, "arm,primecell");
	add_reg(w, node, gpa, PL0XX_SIZE);
	PUT_CELLS(w, node, "interrupts", SPI, spi, IRQ_LEVEL_HIGH);
	PUT_CELLS(w, node, "clocks", w->clock);
	put_string(w, node, "clock-names", "apb_pclk");
	return node;
}

/* Of devices that are not virtio's the tree knows the watchdog alone (config-devices.c). */
static void add_watchdog(struct writer *w, const struct machine_config *config)
{
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];
		int node;

		if (device->class->kind != DEVICE_PLATFORM)
			continue;
		node = add_primecell(w, "watchdog@90d0000", "arm,sp805", device->gpa, device->spi);
		PUT_CELLS(w, node, "clocks", w->clock, w->clock);
		PUT_STRINGS(w, node, "clock-names", "wdog_clk", "apb_pclk");
	}
}

static void add_primecells(struct writer *w)
{
	int node, button;

	node = add_node(w, 0, "gpio-keys");
	put_string(w, node, "compatible", "gpio-keys");
	button = add_node(w, node, "poweroff");
	put_string(w, button, "label", "GPIO Key Poweroff");
	PUT_CELLS(w, button, "linux,code", KEY_POWER);
	PUT_CELLS(w, button, "gpios", w->gpio, GPIO_POWER_LINE, 0);

	node = add_primecell(w, "pl061@9030000", "arm,pl061", GPIO_BASE, GPIO_SPI);
	put(w, node, "gpio-controller", NULL, 0);
	PUT_CELLS(w, node, "#gpio-cells", 2);
	PUT_CELLS(w, node, "phandle", w->gpio);

	add_primecell(w, "pl031@9010000", "arm,pl031", RTC_BASE, RTC_SPI);

	node = add_primecell(w, &UART_PATH[1], "arm,pl011", UART_BASE, UART_SPI);
	PUT_CELLS(w, node, "clocks", w->clock, w->clock);
	PUT_STRINGS(w, node, "clock-names", "uartclk", "apb_pclk");

	node = add_node(w, 0, "apb-pclk");
	put_string(w, node, "compatible", "fixed-clock");
	PUT_CELLS(w, node, "#clock-cells", 0);
	PUT_CELLS(w, node, "clock-frequency", PRIMECELL_CLOCK_HZ);
	put_string(w, node, "clock-output-names", "clk24mhz");
	PUT_CELLS(w, node, "phandle", w->clock);
}

static void add_virtio(struct writer *w, const struct machine_config *config)
{
	/* Linux numbers its disks in this order: devices stand in config by place. */
	for (size_t i = config->device_count; i--;) {
		const struct device_config *device = &config->devices[i];
		char name[32];
		int node;

		if (device->class->kind != DEVICE_VIRTIO)
			continue;
		snprintf(name, sizeof(name), "virtio_mmio@%llx", (unsigned long long)device->gpa);
		node = add_node(w, 0, name);
		put_string(w, node, "compatible", "virtio,mmio");
		add_reg(w, node, device->gpa, VIRTIO_MMIO_SIZE);
		PUT_CELLS(w, node, "interrupts", SPI, device->spi, IRQ_EDGE_RISING);
		put(w, node, "dma-coherent", NULL, 0);
	}
}

static void add_firmware(struct writer *w, const struct machine_config *config)
{
	int node = add_node(w, 0, "psci");

	PUT_STRINGS(w, node, "compatible", "arm,psci-1.0", "arm,psci-0.2");
	/* At EL2 an HVC is the guest's own. */
	put_string(w, node, "method", is_nested(config) ? "smc" : "hvc");
	node = add_node(w, 0, "hypervisor");
	put_string(w, node, "compatible", "linux,kvm");
}

/* ---- What is completed ---- */

static void complete_cpus(struct writer *w)
{
	int cpus = fdt_path_offset(w->fdt, "/cpus"), node;

	fdt_for_each_subnode(node, w->fdt, cpus)
	{
		if (!type_is(w->fdt, node, "cpu"))
			continue;
		put_string(w, node, "device_type", "cpu");
		put_string(w, node, "enable-method", "psci");
		if (!fdt_getprop(w->fdt, node, "compatible", NULL))
			put_string(w, node, "compatible", "arm,armv8");
	}
}

static void complete_memory(struct writer *w)
{
	int node;

	fdt_for_each_subnode(node, w->fdt, 0) if (name_is(w->fdt, node, "memory"))
		put_string(w, node, "device_type", "memory");
}

/* The node at the root, made if it is not there. */
static int ensure_node(struct writer *w, const char *name)
{
	int node = fdt_subnode_offset(w->fdt, 0, name);

	return node >= 0 ? node : add_node(w, 0, name);
}

static void remove_property(struct writer *w, int node, const char *name)
{
	int err = w->err ? 0 : fdt_delprop(w->fdt, node, name);

	note(w, err == -FDT_ERR_NOTFOUND ? 0 : err);
}

static void complete_chosen(struct writer *w, const struct guest_tree_input *input)
{
	int node = ensure_node(w, "chosen");

	remove_property(w, node, "linux,initrd-start");
	remove_property(w, node, "linux,initrd-end");
	if (input->initrd_size) {
		put_u64(w, node, "linux,initrd-start", input->initrd_gpa);
		put_u64(w, node, "linux,initrd-end", input->initrd_gpa + input->initrd_size);
	}
	put(w, node, "kaslr-seed", input->kaslr_seed, sizeof(input->kaslr_seed));
	put(w, node, "rng-seed", input->rng_seed, sizeof(input->rng_seed));
	if (!w->err && !fdt_getprop(w->fdt, node, "stdout-path", NULL))
		put_string(w, node, "stdout-path", UART_PATH);
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
		note(w, fdt_delprop(w->fdt, node, name));
		property = fdt_first_property_offset(w->fdt, node);
	}
	if (!w->err && !fdt_getprop(w->fdt, node, "serial0", NULL))
		put_string(w, node, "serial0", UART_PATH);
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
	add_virtio(w, config);
	add_watchdog(w, config);
	add_primecells(w);
	add_timer(w, config);
	add_pmu(w, config);
	add_gic(w, config);
	add_firmware(w, config);
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
	note(&w, fdt_open_into(config->fdt, w.fdt, room));
	/* /memreserve/ and what is reserved keep their meaning; Sluice boots from CPU 0 of its list. */
	if (!w.err)
		strip(&w);
	if (!w.err)
		complete(&w, config, input);
	if (!w.err) {
		fdt_set_boot_cpuid_phys(w.fdt, config->cpus[0].mpidr);
		note(&w, fdt_pack(w.fdt));
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
