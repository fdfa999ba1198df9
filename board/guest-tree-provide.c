/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Sluice provides, in the guest's tree: modelled on QEMU's virt machine, whose map it shares, and
 * on what Linux's bindings ask for.
 */
#include <libfdt.h>
#include <stdio.h>

#include "board/config.h"
#include "board/guest-map.h"
#include "board/guest-tree-internal.h"
#include "board/platform.h"
#include "devices/device.h"
#include "devices/primecell.h"
#include "hyp/kvm.h"

#define SPI		0
#define PPI		1
#define IRQ_EDGE_RISING 1
#define IRQ_LEVEL_HIGH	4
#define PPI_CPUS(count) ((((1u << (count)) - 1) & 0xff) << 8) /* GICv2: which CPUs have it */
#define KEY_POWER	116

static bool is_nested(const struct machine_config *config)
{
	return config->cpu_features & 1u << CPU_NESTED;
}

static void add_gic(struct writer *w, const struct machine_config *config)
{
	int node = writer_add_node(w, 0, "interrupt-controller@8000000"), its;

	writer_add_reg(w, node, GIC_DIST_BASE, GIC_DIST_SIZE);
	if (config->gic_version == 2) {
		/* As QEMU: Linux knows no name for KVM's that fits better. */
		writer_put_string(w, node, "compatible", "arm,cortex-a15-gic");
		writer_add_reg(w, node, GIC_CPU_BASE, GIC_CPU_SIZE);
	} else {
		size_t first = config->cpu_count < GIC_REDIST_VCPUS ? config->cpu_count
								    : GIC_REDIST_VCPUS;

		writer_put_string(w, node, "compatible", "arm,gic-v3");
		writer_add_reg(w, node, GIC_REDIST_BASE, first * GIC_REDIST_BYTES);
		if (config->cpu_count > first) {
			writer_add_reg(w, node, GIC_REDIST2_BASE,
				(config->cpu_count - first) * GIC_REDIST_BYTES);
			PUT_CELLS(w, node, "#redistributor-regions", 2);
		}
	}
	if (is_nested(config))
		PUT_CELLS(w, node, "interrupts", PPI, GIC_MAINTENANCE_PPI, IRQ_LEVEL_HIGH);
	PUT_CELLS(w, node, "#interrupt-cells", 3);
	writer_put(w, node, "interrupt-controller", NULL, 0);
	PUT_CELLS(w, node, "phandle", w->gic);
	if (!config->its) {
		PUT_CELLS(w, node, "#address-cells", 0);
		return;
	}
	PUT_CELLS(w, node, "#address-cells", w->address_cells);
	PUT_CELLS(w, node, "#size-cells", w->size_cells);
	writer_put(w, node, "ranges", NULL, 0);
	its = writer_add_node(w, node, "msi-controller@8080000");
	writer_put_string(w, its, "compatible", "arm,gic-v3-its");
	writer_add_reg(w, its, GIC_ITS_BASE, GIC_ITS_BYTES);
	writer_put(w, its, "msi-controller", NULL, 0);
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
	int node = writer_add_node(w, 0, "timer");

	writer_put_string(w, node, "compatible", "arm,armv8-timer");
	/* Secure, non-secure, virtual, hypervisor; for a guest with EL2 also the hypervisor's virtual. */
	writer_put_cells(w, node, "interrupts",
		(const uint32_t[]){ PPI, 13, flags, PPI, 14, flags, PPI, 11, flags, PPI, 10, flags,
			PPI, 12, flags },
		is_nested(config) ? 15 : 12);
	writer_put(w, node, "always-on", NULL, 0);
}

static void add_pmu(struct writer *w, const struct machine_config *config)
{
	int node;

	if (!(config->cpu_features & 1u << CPU_PMU))
		return;
	node = writer_add_node(w, 0, "pmu");
	writer_put_string(w, node, "compatible", "arm,armv8-pmuv3");
	PUT_CELLS(w, node, "interrupts", PPI, VCPU_PMU_PPI, ppi_flags(config));
}

/* An Arm PrimeCell with its level interrupt and clock. */
static int add_primecell(
	struct writer *w, const char *name, const char *compatible, uint64_t gpa, uint32_t spi)
{
	int node = writer_add_node(w, 0, name);

	PUT_STRINGS(w, node, "compatible", compatible, "arm,primecell");
	writer_add_reg(w, node, gpa, PL0XX_SIZE);
	PUT_CELLS(w, node, "interrupts", SPI, spi, IRQ_LEVEL_HIGH);
	PUT_CELLS(w, node, "clocks", w->clock);
	writer_put_string(w, node, "clock-names", "apb_pclk");
	return node;
}

/* The tree's own that are not virtio's. */
static void add_platform(struct writer *w, const struct machine_config *config)
{
	const uint32_t clocks[PLATFORM_CLOCKS] = { w->clock, w->clock };

	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];
		const struct platform *platform = platform_of(device->class);
		size_t count = 0;
		char name[64];
		int node;

		if (!platform)
			continue;
		snprintf(name, sizeof(name), "%s@%llx", platform->name,
			(unsigned long long)device->gpa);
		node = add_primecell(w, name, platform->compatible, device->gpa, device->spi);
		while (platform->clocks[count])
			count++;
		writer_put_cells(w, node, "clocks", clocks, count);
		writer_put_strings(w, node, "clock-names", platform->clocks);
	}
}

static void add_primecells(struct writer *w)
{
	int node, button;

	node = writer_add_node(w, 0, "gpio-keys");
	writer_put_string(w, node, "compatible", "gpio-keys");
	button = writer_add_node(w, node, "poweroff");
	writer_put_string(w, button, "label", "GPIO Key Poweroff");
	PUT_CELLS(w, button, "linux,code", KEY_POWER);
	PUT_CELLS(w, button, "gpios", w->gpio, GPIO_POWER_LINE, 0);

	node = add_primecell(w, "pl061@9030000", "arm,pl061", GPIO_BASE, GPIO_SPI);
	writer_put(w, node, "gpio-controller", NULL, 0);
	PUT_CELLS(w, node, "#gpio-cells", 2);
	PUT_CELLS(w, node, "phandle", w->gpio);

	add_primecell(w, "pl031@9010000", "arm,pl031", RTC_BASE, RTC_SPI);

	node = add_primecell(w, &UART_PATH[1], "arm,pl011", UART_BASE, UART_SPI);
	PUT_CELLS(w, node, "clocks", w->clock, w->clock);
	PUT_STRINGS(w, node, "clock-names", "uartclk", "apb_pclk");

	node = writer_add_node(w, 0, "apb-pclk");
	writer_put_string(w, node, "compatible", "fixed-clock");
	PUT_CELLS(w, node, "#clock-cells", 0);
	PUT_CELLS(w, node, "clock-frequency", PRIMECELL_CLOCK_HZ);
	writer_put_string(w, node, "clock-output-names", "clk24mhz");
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
		node = writer_add_node(w, 0, name);
		writer_put_string(w, node, "compatible", "virtio,mmio");
		writer_add_reg(w, node, device->gpa, VIRTIO_MMIO_SIZE);
		PUT_CELLS(w, node, "interrupts", SPI, device->spi, IRQ_EDGE_RISING);
		writer_put(w, node, "dma-coherent", NULL, 0);
	}
}

static void add_firmware(struct writer *w, const struct machine_config *config)
{
	int node = writer_add_node(w, 0, "psci");

	PUT_STRINGS(w, node, "compatible", "arm,psci-1.0", "arm,psci-0.2");
	/* At EL2 an HVC is the guest's own. */
	writer_put_string(w, node, "method", is_nested(config) ? "smc" : "hvc");
	node = writer_add_node(w, 0, "hypervisor");
	writer_put_string(w, node, "compatible", "linux,kvm");
}

void guest_tree_provide(struct writer *w, const struct machine_config *config)
{
	add_virtio(w, config);
	add_platform(w, config);
	add_primecells(w);
	add_timer(w, config);
	add_pmu(w, config);
	add_gic(w, config);
	add_firmware(w, config);
}
