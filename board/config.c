/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tree to a checked configuration; see config.h. The order: the root's cells, without which
 * nothing can be read; standard nodes; memory and reserved ranges; devices; their windows; what is
 * left. Errors are added and reading goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

#include "board/config-reader.h"
#include "board/guest-map.h"
#include "board/tree-file.h"
#include "devices/device.h"

#define BOOTARGS_MAX 2047 /* arm64 Linux: COMMAND_LINE_SIZE less the zero byte */
#define GICV2_CPUS   8
/* The guest's tree gets a few phandles of its own above all that are there. */
#define PHANDLE_MAX UINT32_C(0xfffffff0)

/* ---- CPUs ---- */

static bool is_cpu(const struct tree *tree, int node)
{
	return tree_name_is(tree, node, "cpu") ||
	       !fdt_stringlist_search(tree->fdt, node, "device_type", "cpu");
}

static void read_host_cpus(const struct tree *tree, int node, cpu_set_t *ret)
{
	int len;
	const fdt32_t *cell = fdt_getprop(tree->fdt, node, "sluice,host-cpus", &len);

	if (!cell)
		return;
	if (!len || len % 4)
		tree_error(tree, node, "sluice,host-cpus", "write the numbers of host CPUs: <2 3>");
	for (; len >= 4; len -= 4, cell++) {
		if (fdt32_ld(cell) < CPU_SETSIZE)
			CPU_SET(fdt32_ld(cell), ret);
		else
			tree_error(tree, node, "sluice,host-cpus", "%u is no number of a host CPU",
				fdt32_ld(cell));
	}
}

static void read_cpu(struct reader *reader, int node, unsigned cells)
{
	struct machine_config *config = reader->config;
	const struct tree *tree = &reader->tree;
	struct cpu_config *cpu = &config->cpus[config->cpu_count];
	uint64_t reg;
	int got = tree_number(tree, node, "reg", cells, &reg);

	if (!got)
		tree_error(tree, node, "reg", "missing: the CPU's number, <0> for the first");
	if (got != 1)
		return;
	for (size_t i = 0; i < config->cpu_count; i++)
		if (config->cpus[i].mpidr == reg) {
			tree_error(tree, node, "reg", "0x%" PRIx64 " is the reg of %s already", reg,
				config->cpus[i].path);
			return;
		}
	/* KVM makes a vCPU's MPIDR out of its number, 16 in a cluster; see vcpu_id(). */
	if ((reg & 0xff) > 15 || (reg >> 8) * 16 >= CONFIG_CPUS) {
		tree_error(tree, node, "reg",
			"0x%" PRIx64 " is no MPIDR of KVM's: CPUs have 0x0 to 0xf, then 0x100 to "
			"0x10f, and so on up to 0x1f0f",
			reg);
		return;
	}
	if (reader->host->gic_version == 2 && reg >= GICV2_CPUS) {
		tree_error(tree, node, "reg",
			"0x%" PRIx64 ", and this host has a GICv2, which knows CPUs 0 to %d", reg,
			GICV2_CPUS - 1);
		return;
	}
	*cpu = (struct cpu_config){ .mpidr = reg, .path = tree_path(tree, node) };
	read_host_cpus(tree, node, &cpu->host_cpus);
	config->cpu_count++;
}

static void check_cpu_count(struct reader *reader)
{
	const struct host_limits *host = reader->host;
	size_t count = reader->config->cpu_count;

	if (count > host->vcpus)
		error_add(reader->tree.errors, "/cpus", NULL,
			"%zu CPUs, and KVM on this host gives a machine at most %u", count,
			host->vcpus);
	else if (count > GIC_REDIST_VCPUS)
		error_add(reader->tree.errors, "/cpus", NULL,
			"%zu CPUs, and the interrupt controller's region has room for %u", count,
			(unsigned)GIC_REDIST_VCPUS);
}

static void read_cpus(struct reader *reader)
{
	static const char example[] = "cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 "
				      "{ device_type = \"cpu\"; reg = <0>; }; }";
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
		if (!is_cpu(tree, node) || tree_disabled(tree, node))
			continue;
		any = true;
		if (reader->config->cpu_count == CONFIG_CPUS) {
			tree_error(tree, node, NULL, "more than %d CPUs", CONFIG_CPUS);
			break;
		}
		read_cpu(reader, node, cells);
	}
	if (!any)
		tree_error(tree, cpus, NULL, "the machine has no CPU. Write %s", example);
	check_cpu_count(reader);
}

/* ---- /chosen, /options, the root ---- */

/* A copy of the path, from the tree's folder if it is relative. NULL after an error, or absent. */
static char *read_path(struct reader *reader, int node, const char *property)
{
	const char *value;
	char *path = NULL;

	if (tree_string(&reader->tree, node, property, &value) != 1)
		return NULL;
	if (!*value)
		tree_error(&reader->tree, node, property, "the path is empty");
	else if (asprintf(&path, "%s%s", *value == '/' ? "" : reader->config->folder, value) < 0)
		path = NULL;
	return path;
}

static void read_chosen(struct reader *reader)
{
	struct machine_config *config = reader->config;
	int node = fdt_subnode_offset(reader->tree.fdt, 0, "chosen");
	const char *bootargs = "";

	if (node >= 0) {
		config->kernel = read_path(reader, node, "sluice,kernel");
		config->initrd = read_path(reader, node, "sluice,initrd");
		tree_string(&reader->tree, node, "bootargs", &bootargs);
		if (strlen(bootargs) > BOOTARGS_MAX)
			tree_error(&reader->tree, node, "bootargs",
				"%zu bytes, and Linux takes at most %d", strlen(bootargs),
				BOOTARGS_MAX);
	}
}

static void read_options(struct reader *reader)
{
	static const char *const known[] = { "stray-access", NULL };
	const struct tree *tree = &reader->tree;
	int options = fdt_subnode_offset(tree->fdt, 0, "options");
	int node = options < 0 ? options : fdt_subnode_offset(tree->fdt, options, "sluice");
	const char *policy;

	if (node < 0 || tree_disabled(tree, node))
		return;
	if (!tree_has(tree, node, "compatible"))
		tree_error(tree, node, "compatible", "missing: write \"sluice,options\"");
	check_properties(tree, node, known);
	if (fdt_first_subnode(tree->fdt, node) >= 0)
		tree_error(tree, fdt_first_subnode(tree->fdt, node), NULL,
			"unknown: the options have no subnodes");
	if (tree_string(tree, node, "stray-access", &policy) != 1)
		return;
	for (unsigned i = STRAY_ABORT; i <= STRAY_STOP; i++)
		if (!strcmp(policy, stray_policy_names[i])) {
			reader->config->stray_access = i;
			return;
		}
	tree_error(tree, node, "stray-access", "\"%s\" is none of \"abort\", \"pause\", \"stop\"",
		policy);
}

static int read_root(struct reader *reader)
{
	const struct tree *tree = &reader->tree;
	const char *model = "";

	tree_string(tree, 0, "model", &model);
	reader->config->model = strdup(model);
	if (fdt_get_max_phandle(tree->fdt) >= PHANDLE_MAX)
		tree_error(tree, 0, NULL, "a phandle is above 0x%x, which leaves none for Sluice",
			PHANDLE_MAX);
	if (tree_cells(tree, 0, "#address-cells", 1, &reader->cells.address) != 1)
		return -EINVAL;
	return tree_cells(tree, 0, "#size-cells", 1, &reader->cells.size) == 1 ? 0 : -EINVAL;
}

/* ---- All of it ---- */

static void read_all(struct reader *reader)
{
	struct machine_config *config = reader->config;

	config->cpus = calloc(CONFIG_CPUS, sizeof(config->cpus[0]));
	if (!config->cpus || !config->file || !config->folder) {
		error_add(reader->tree.errors, "/", NULL, "out of memory");
		return;
	}
	if (read_root(reader))
		return;
	read_cpus(reader);
	read_chosen(reader);
	read_options(reader);
	layout_read_memory(reader);
	layout_read_reserved(reader);
	devices_read(reader);
	layout_place_windows(reader);
	devices_check(reader);
	layout_check_totals(reader);
	others_check(reader);
	if (!config->model || (!errors_any(reader->tree.errors) && layout_write_placed(reader)))
		error_add(reader->tree.errors, "/", NULL, "out of memory");
}

/* Takes the tree over. */
static int read_tree(void *fdt, const char *file, const struct host_limits *host,
	struct errors *errors, struct machine_config **ret)
{
	struct machine_config *config = calloc(1, sizeof(*config));
	struct reader *reader = calloc(1, sizeof(*reader));
	const char *slash = strrchr(file, '/');

	if (!config || !reader) {
		error_add(errors, file, NULL, "out of memory");
		free(fdt);
	} else {
		config->fdt = fdt;
		config->file = strdup(file);
		config->folder = strndup(file, slash ? slash - file + 1 : 0);
		reader->tree = (struct tree){ .fdt = fdt, .errors = errors };
		reader->host = host;
		reader->config = config;
		read_all(reader);
	}
	free(reader);
	if (errors_any(errors)) {
		config_destroy(config);
		return -EINVAL;
	}
	*ret = config;
	return 0;
}

int config_read(const char *file, const char *const *overlays, size_t overlay_count,
	const struct host_limits *host, struct errors *errors, struct machine_config **ret)
{
	void *fdt;
	int err = tree_file_open(file, overlays, overlay_count, errors, &fdt);

	return err ? err : read_tree(fdt, file, host, errors, ret);
}

int config_read_blob(const void *blob, size_t size, const char *name,
	const struct host_limits *host, struct errors *errors, struct machine_config **ret)
{
	void *fdt;
	int err = tree_blob_open(blob, size, name, errors, &fdt);

	return err ? err : read_tree(fdt, name, host, errors, ret);
}

void config_destroy(struct machine_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->device_count; i++) {
		struct device_config *device = &config->devices[i];
		const struct property *property = device->class->properties;

		for (; device->config && property && property->name; property++)
			if (property->type == PROPERTY_STRING)
				free(*(char **)((char *)device->config + property->offset));
		free(device->config);
		free(device->id);
		free(device->path);
	}
	for (size_t i = 0; i < config->cpu_count; i++)
		free(config->cpus[i].path);
	free(config->cpus);
	free(config->kernel);
	free(config->initrd);
	free(config->model);
	free(config->folder);
	free(config->file);
	free(config->fdt);
	free(config);
}
