/* SPDX-License-Identifier: Apache-2.0 */
/* /cpus: the machine's CPUs, and properties for the host (such as sluice,host-cpus) that the guest does not get. */
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

#include "board/config/reader.h"
#include "hyp/kvm/kvm.h"

#define GICV2_CPUS	8
#define RT_PRIORITY_MAX 99 /* sched(7) */

static const char *const switches[CPU_NESTED] = {
	[CPU_PMU] = "sluice,pmu",
	[CPU_SVE] = "sluice,sve",
	[CPU_POINTER_AUTH] = "sluice,pointer-authentication",
	[CPU_STOLEN_TIME] = "sluice,stolen-time",
};

static void read_host_cpus(
	const struct tree *tree, int node, const struct host_limits *host, cpu_set_t *ret)
{
	uint32_t cpus = host->cpus && host->cpus < CPU_SETSIZE ? host->cpus : CPU_SETSIZE;
	int len;
	const fdt32_t *cell = fdt_getprop(tree->fdt, node, "sluice,host-cpus", &len);

	if (!cell)
		return;
	if (!len || len % 4)
		tree_error(tree, node, "sluice,host-cpus", "write the numbers of host CPUs: <2 3>");
	for (; len >= 4; len -= 4, cell++) {
		if (fdt32_ld(cell) < cpus)
			CPU_SET(fdt32_ld(cell), ret);
		else
			tree_error(tree, node, "sluice,host-cpus",
				"%u is no number of a host CPU: these are 0 to %u", fdt32_ld(cell),
				cpus - 1);
	}
}

static void read_rt_priority(const struct tree *tree, int node, unsigned *ret)
{
	uint32_t priority;

	if (tree_u32(tree, node, "sluice,rt-priority", &priority) != 1)
		return;
	if (priority < 1 || priority > RT_PRIORITY_MAX)
		tree_error(tree, node, "sluice,rt-priority",
			"%u is no priority of SCHED_FIFO: these are 1 to %d", priority,
			RT_PRIORITY_MAX);
	else
		*ret = priority;
}

static void read_cpu(struct reader *reader, int node, unsigned cells)
{
	struct machine_config *config = reader->config;
	const struct tree *tree = &reader->tree;
	struct vcpu_config *cpu = &config->cpus[config->cpu_count];
	uint64_t reg;
	int got = tree_number(tree, node, "reg", cells, &reg);

	if (!got)
		tree_error(tree, node, "reg", "missing: the CPU's number, <0> for the first");
	if (got != 1)
		return;
	for (size_t i = 0; i < config->cpu_count; i++)
		if (config->cpus[i].mpidr == reg) {
			tree_error(tree, node, "reg", "0x%" PRIx64 " is the reg of %s already", reg,
				config->cpu_paths[i]);
			return;
		}
	/* KVM derives a vCPU's MPIDR from its number, with 16 in a cluster; see vcpu_id(). */
	if ((reg & 0xff) > 15 || (reg >> 8) * 16 >= CONFIG_CPUS) {
		tree_error(tree, node, "reg",
			"0x%" PRIx64
			" is no MPIDR of KVM's: CPUs have 0x0 to 0xf, then 0x100 to 0x10f, and so on up to 0x1f0f",
			reg);
		return;
	}
	*cpu = (struct vcpu_config){ .mpidr = reg };
	read_host_cpus(tree, node, reader->host, &cpu->host_cpus);
	read_rt_priority(tree, node, &cpu->rt_priority);
	config->cpu_paths[config->cpu_count++] = tree_path(tree, node);
}

static void check_cpu_count(struct reader *reader)
{
	const struct host_limits *host = reader->host;
	size_t count = reader->config->cpu_count;

	if (count > host->vcpus)
		error_add(reader->tree.errors, "/cpus", NULL,
			"%zu CPUs, and KVM on this host gives a machine at most %u", count,
			host->vcpus);
}

static void read_features(struct reader *reader, int cpus)
{
	unsigned host = reader->host->cpu_features;

	reader->config->cpu_features = host & ~(1u << CPU_NESTED);
	for (unsigned i = 0; i < CPU_NESTED; i++) {
		const char *name = switches[i], *value;

		if (tree_string(&reader->tree, cpus, name, &value) != 1 || !strcmp(value, "auto"))
			continue;
		if (!strcmp(value, "off"))
			reader->config->cpu_features &= ~(1u << i);
		else if (strcmp(value, "on"))
			tree_error(&reader->tree, cpus, name,
				"\"%s\" is none of \"auto\" (where the host has it), \"on\", \"off\"",
				value);
		else if (!(host & 1u << i))
			tree_error(&reader->tree, cpus, name,
				"\"on\", and this host's CPUs or its KVM have none: write \"auto\"");
	}
	if (!tree_has(&reader->tree, cpus, "sluice,nested"))
		return;
	reader->config->cpu_features |= 1u << CPU_NESTED;
	if (!(host & 1u << CPU_NESTED))
		tree_error(&reader->tree, cpus, "sluice,nested",
			"this host gives guests no EL2: it takes a CPU with FEAT_NV2 (Armv8.4), Linux 6.16 or newer, and kvm-arm.mode=nested on its command line");
}

void cpus_check_gic(struct reader *reader)
{
	const struct machine_config *config = reader->config;

	if (config->gic_version != 2)
		return;
	for (size_t i = 0; i < config->cpu_count; i++)
		if (config->cpus[i].mpidr >= GICV2_CPUS)
			error_add(reader->tree.errors, config->cpu_paths[i], "reg",
				"0x%" PRIx64
				", and the machine has a GICv2, which knows CPUs 0 to %d",
				config->cpus[i].mpidr, GICV2_CPUS - 1);
	if (config->cpu_features & reader->host->cpu_features & 1u << CPU_NESTED)
		error_add(reader->tree.errors, "/cpus", "sluice,nested", "takes a GICv3");
}

size_t cpus_room(const struct tree *tree)
{
	int cpus = fdt_subnode_offset(tree->fdt, 0, "cpus"), node;
	size_t count = 1;

	fdt_for_each_subnode(node, tree->fdt, cpus) count++;
	return count < CONFIG_CPUS ? count : CONFIG_CPUS;
}

void cpus_read(struct reader *reader)
{
	static const char example[] =
		"cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = \"cpu\"; reg = <0>; }; }";
	const struct tree *tree = &reader->tree;
	int cpus = fdt_subnode_offset(tree->fdt, 0, "cpus"), node;
	unsigned cells, size_cells;
	bool any = false;

	if (cpus < 0) {
		error_add(tree->errors, "/cpus", NULL, "missing: the machine has no CPU. Add %s",
			example);
		return;
	}
	if (tree_cells(tree, cpus, "#address-cells", 1, &cells) != 1 ||
		tree_cells(tree, cpus, "#size-cells", 0, &size_cells) != 1)
		return;
	if (size_cells)
		tree_error(tree, cpus, "#size-cells", "write #size-cells = <0>");
	fdt_for_each_subnode(node, tree->fdt, cpus)
	{
		if (!tree_type_is(tree, node, "cpu") || tree_disabled(tree, node))
			continue;
		any = true;
		if (reader->config->cpu_count == CONFIG_CPUS) {
			tree_error(tree, node, NULL, "more than %d CPUs", CONFIG_CPUS);
			break;
		}
		read_cpu(reader, node, cells);
	}
	read_features(reader, cpus);
	if (!any)
		tree_error(tree, cpus, NULL, "the machine has no CPU. Write %s", example);
	check_cpu_count(reader);
}
