/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that Sluice provides in the guest's tree. They follow QEMU's virt machine, whose map it shares, and Linux's
 * bindings.
 */
#include <stdio.h>

#include "board/boot/guest-tree-internal.h"
#include "board/config/config.h"
#include "board/config/map.h"
#include "board/config/platform.h"
#include "devices/arm/primecell.h"
#include "devices/device.h"
#include "hyp/kvm/kvm.h"

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

static void add_its(struct writer *w)
{
	writer_begin(w, "msi-controller@8080000");
	writer_put_string(w, "compatible", "arm,gic-v3-its");
	writer_put_reg(w, &(struct range){ GIC_ITS_BASE, GIC_ITS_BYTES }, 1);
	writer_put(w, "msi-controller", NULL, 0);
	PUT_CELLS(w, "#msi-cells", 1);
	writer_end(w);
}

static void add_gic(struct writer *w, const struct machine_config *config)
{
	const bool v2 = config->gic_version == 2;
	const uint64_t cpus = config->cpu_count,
		       first = cpus < GIC_REDIST_VCPUS ? cpus : GIC_REDIST_VCPUS;
	const struct range v2_reg[] = { { GIC_DIST_BASE, GIC_DIST_SIZE },
		{ GIC_CPU_BASE, GIC_CPU_SIZE } };
	const struct range v3_reg[] = { { GIC_DIST_BASE, GIC_DIST_SIZE },
		{ GIC_REDIST_BASE, first * GIC_REDIST_BYTES },
		{ GIC_REDIST2_BASE, (cpus - first) * GIC_REDIST_BYTES } };

	writer_begin(w, "interrupt-controller@8000000");
	/* As QEMU: Linux knows no name for KVM's GICv2 that fits better. */
	writer_put_string(w, "compatible", v2 ? "arm,cortex-a15-gic" : "arm,gic-v3");
	writer_put_reg(w, v2 ? v2_reg : v3_reg, v2 || cpus == first ? 2 : 3);
	if (!v2 && cpus > first)
		PUT_CELLS(w, "#redistributor-regions", 2);
	if (is_nested(config))
		PUT_CELLS(w, "interrupts", PPI, GIC_MAINTENANCE_PPI, IRQ_LEVEL_HIGH);
	PUT_CELLS(w, "#interrupt-cells", 3);
	writer_put(w, "interrupt-controller", NULL, 0);
	PUT_CELLS(w, "phandle", w->gic);
	PUT_CELLS(w, "#address-cells", config->its ? w->address_cells : 0);
	if (config->its) {
		PUT_CELLS(w, "#size-cells", w->size_cells);
		writer_put(w, "ranges", NULL, 0);
		add_its(w);
	}
	writer_end(w);
}

/* The third cell of a private interrupt: its trigger and, for GICv2, its CPUs. */
static uint32_t ppi_flags(const struct machine_config *config)
{
	return IRQ_LEVEL_HIGH | (config->gic_version == 2 ? PPI_CPUS(config->cpu_count) : 0);
}

static void add_timer(struct writer *w, const struct machine_config *config)
{
	uint32_t flags = ppi_flags(config);

	writer_begin(w, "timer");
	writer_put_string(w, "compatible", "arm,armv8-timer");
	/* Secure, non-secure, virtual, hypervisor; for a guest with EL2 also the hypervisor's virtual. */
	writer_put_cells(w, "interrupts",
		(const uint32_t[]){ PPI, 13, flags, PPI, 14, flags, PPI, 11, flags, PPI, 10, flags,
			PPI, 12, flags },
		is_nested(config) ? 15 : 12);
	writer_put(w, "always-on", NULL, 0);
	writer_end(w);
}

static void add_pmu(struct writer *w, const struct machine_config *config)
{
	if (!(config->cpu_features & 1u << CPU_PMU))
		return;
	writer_begin(w, "pmu");
	writer_put_string(w, "compatible", "arm,armv8-pmuv3");
	PUT_CELLS(w, "interrupts", PPI, VCPU_PMU_PPI, ppi_flags(config));
	writer_end(w);
}

/* An Arm PrimeCell with its level interrupt. */
static void add_platform(struct writer *w, const struct platform *platform)
{
	const uint32_t clocks[PLATFORM_CLOCKS] = { w->clock, w->clock };
	size_t count = 0;
	char name[64];

	while (platform->clocks[count])
		count++;
	snprintf(name, sizeof(name), "%s@%llx", platform->name, (unsigned long long)platform->gpa);
	writer_begin(w, name);
	PUT_STRINGS(w, "compatible", platform->compatible, "arm,primecell");
	writer_put_reg(w, &(struct range){ platform->gpa, PL0XX_SIZE }, 1);
	PUT_CELLS(w, "interrupts", SPI, platform->spi, IRQ_LEVEL_HIGH);
	writer_put_cells(w, "clocks", clocks, count);
	writer_put_strings(w, "clock-names", platform->clocks);
	if (platform == &platforms[PLATFORM_GPIO]) {
		writer_put(w, "gpio-controller", NULL, 0);
		PUT_CELLS(w, "#gpio-cells", 2);
		PUT_CELLS(w, "phandle", w->gpio);
	}
	writer_end(w);
}

static void add_platforms(struct writer *w, const struct machine_config *config)
{
	writer_begin(w, "apb-pclk");
	writer_put_string(w, "compatible", "fixed-clock");
	PUT_CELLS(w, "#clock-cells", 0);
	PUT_CELLS(w, "clock-frequency", PRIMECELL_CLOCK_HZ);
	writer_put_string(w, "clock-output-names", "clk24mhz");
	PUT_CELLS(w, "phandle", w->clock);
	writer_end(w);

	for (size_t i = 0; i < PLATFORM_FIXED; i++)
		add_platform(w, &platforms[i]);
	for (size_t i = 0; i < config->device_count; i++) {
		const struct platform *platform = platform_of(config->devices[i].class);

		if (platform)
			add_platform(w, platform);
	}

	writer_begin(w, "gpio-keys");
	writer_put_string(w, "compatible", "gpio-keys");
	writer_begin(w, "poweroff");
	writer_put_string(w, "label", "GPIO Key Poweroff");
	PUT_CELLS(w, "linux,code", KEY_POWER);
	PUT_CELLS(w, "gpios", w->gpio, GPIO_POWER_LINE, 0);
	writer_end(w);
	writer_end(w);
}

/* Linux numbers its disks in the order of nodes; `config` has devices in the order of place. */
static void add_virtio(struct writer *w, const struct machine_config *config)
{
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];
		char name[32];

		if (device->class->kind != DEVICE_VIRTIO)
			continue;
		snprintf(name, sizeof(name), "virtio_mmio@%llx", (unsigned long long)device->gpa);
		writer_begin(w, name);
		writer_put_string(w, "compatible", "virtio,mmio");
		writer_put_reg(w, &(struct range){ device->gpa, VIRTIO_MMIO_SIZE }, 1);
		PUT_CELLS(w, "interrupts", SPI, device->spi, IRQ_EDGE_RISING);
		writer_put(w, "dma-coherent", NULL, 0);
		writer_end(w);
	}
}

/* The second bank alone: U-Boot would send commands to the first, and UEFI does not look at it. */
static void add_flash(struct writer *w, uint64_t bytes)
{
	char name[32];

	if (!bytes)
		return;
	snprintf(name, sizeof(name), "flash@%llx", (unsigned long long)FLASH_BASE);
	writer_begin(w, name);
	writer_put_string(w, "compatible", "cfi-flash");
	writer_put_reg(w, &(struct range){ FLASH_BASE, bytes }, 1);
	PUT_CELLS(w, "bank-width", 4);
	writer_end(w);
}

static void add_firmware(struct writer *w, const struct machine_config *config)
{
	writer_begin(w, "hypervisor");
	writer_put_string(w, "compatible", "linux,kvm");
	writer_end(w);
	writer_begin(w, "psci");
	PUT_STRINGS(w, "compatible", "arm,psci-1.0", "arm,psci-0.2");
	/* A guest with EL2 handles HVCs itself. */
	writer_put_string(w, "method", is_nested(config) ? "smc" : "hvc");
	writer_end(w);
}

void guest_tree_add_nodes(
	struct writer *w, const struct machine_config *config, uint64_t flash_bytes)
{
	add_flash(w, flash_bytes);
	add_firmware(w, config);
	add_gic(w, config);
	add_pmu(w, config);
	add_timer(w, config);
	add_platforms(w, config);
	add_virtio(w, config);
}
