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
/* The guest's tree gets a few phandles of its own above all that are there. */
#define PHANDLE_MAX UINT32_C(0xfffffff0)

/* ---- /chosen, /options, the root ---- */

char *read_path(struct reader *reader, int node, const char *property)
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

static void read_stray_access(struct reader *reader, int node)
{
	const char *policy;

	if (tree_string(&reader->tree, node, "stray-access", &policy) != 1)
		return;
	for (unsigned i = STRAY_ABORT; i <= STRAY_STOP; i++)
		if (!strcmp(policy, stray_policy_names[i])) {
			reader->config->stray_access = i;
			return;
		}
	tree_error(&reader->tree, node, "stray-access",
		"\"%s\" is none of \"abort\", \"pause\", \"stop\"", policy);
}

/* The host's best where the tree does not say; where there is no host to ask, GICv3. */
static void read_gic(struct reader *reader, int node)
{
	static const struct {
		const char *name;
		unsigned version;
		bool its;
	} kinds[] = { { "gicv2", 2 }, { "gicv3", 3 }, { "gicv3-its", 3, true } };
	const struct host_limits *host = reader->host;
	bool unknown = !host->gicv2 && !host->gicv3;
	const char *name;

	reader->config->gic_version = host->gicv2 && !host->gicv3 ? 2 : 3;
	if (node < 0 || tree_string(&reader->tree, node, "gic", &name) != 1)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(name, kinds[i].name))
			continue;
		reader->config->gic_version = kinds[i].version;
		reader->config->its = kinds[i].its;
		if (!unknown && (kinds[i].version == 2 ? !host->gicv2
					: kinds[i].its ? !host->its
						       : !host->gicv3))
			tree_error(&reader->tree, node, "gic",
				"KVM on this host has no %s; it has%s%s%s: leave it out", name,
				host->gicv2 ? " gicv2" : "", host->gicv3 ? " gicv3" : "",
				host->its ? " gicv3-its" : "");
		return;
	}
	tree_error(&reader->tree, node, "gic",
		"\"%s\" is none of \"gicv2\", \"gicv3\", \"gicv3-its\"", name);
}

static void read_console(struct reader *reader, int node)
{
	const char *text;

	if (tree_string(&reader->tree, node, "console", &text) == 1 &&
		!console_spec_read(text, reader->config->folder, &reader->config->console))
		tree_error(
			&reader->tree, node, "console", "\"%s\" is none of " CONSOLE_SPECS, text);
}

static void read_options(struct reader *reader)
{
	static const char *const known[] = { "stray-access", "gic", "console", NULL };
	const struct tree *tree = &reader->tree;
	int options = fdt_subnode_offset(tree->fdt, 0, "options");
	int node = options < 0 ? options : fdt_subnode_offset(tree->fdt, options, "sluice");

	if (node >= 0 && tree_disabled(tree, node))
		node = -1;
	read_gic(reader, node);
	if (node < 0)
		return;
	if (!tree_has(tree, node, "compatible"))
		tree_error(tree, node, "compatible", "missing: write \"sluice,options\"");
	check_properties(tree, node, known);
	if (fdt_first_subnode(tree->fdt, node) >= 0)
		tree_error(tree, fdt_first_subnode(tree->fdt, node), NULL,
			"unknown: the options have no subnodes");
	read_stray_access(reader, node);
	read_console(reader, node);
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
	config->cpu_paths = calloc(CONFIG_CPUS, sizeof(config->cpu_paths[0]));
	if (!config->cpus || !config->cpu_paths || !config->file || !config->folder) {
		error_add(reader->tree.errors, "/", NULL, "out of memory");
		return;
	}
	if (read_root(reader))
		return;
	read_options(reader);
	cpus_read(reader);
	read_chosen(reader);
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
			if (property->type == PROPERTY_STRING || property->type == PROPERTY_FILE)
				free(*(char **)((char *)device->config + property->offset));
		for (size_t n = 0; n < device->port_count; n++) {
			free(device->ports[n].name);
			free(device->ports[n].backend.path);
		}
		free(device->ports);
		free(device->config);
		free(device->id);
		free(device->path);
	}
	for (size_t i = 0; i < config->cpu_count; i++)
		free(config->cpu_paths[i]);
	free(config->cpu_paths);
	free(config->cpus);
	free(config->console.path);
	free(config->kernel);
	free(config->initrd);
	free(config->model);
	free(config->folder);
	free(config->file);
	free(config->fdt);
	free(config);
}
