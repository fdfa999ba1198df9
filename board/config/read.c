/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tree to a checked configuration; see config.h. The order: the root's cells, without which nothing can be read;
 * standard nodes; memory and reserved ranges; devices; their windows; the rest. Reading continues after an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/config/growth.h"
#include "board/config/map.h"
#include "board/config/path-rights.h"
#include "board/config/reader.h"
#include "board/config/tree-file.h"
#include "board/config/verification.h"
#include "board/fit/fit-file.h"
#include "board/host/limits.h"
#include "devices/device.h"

/* Sluice adds a few phandles to the guest's tree, above all that exist. */
#define PHANDLE_MAX UINT32_C(0xfffffff0)

/* ---- /chosen, /options, the root ---- */

void read_path(struct reader *reader, int node, const char *property, struct host_path *ret)
{
	const char *value;

	if (tree_string(&reader->tree, node, property, &value) != 1)
		return;
	if (!*value)
		tree_error(&reader->tree, node, property, "the path is empty");
	else
		path_rights_name(reader->config->rights, &reader->tree, node, property, value, ret);
}

bool read_console_spec(struct reader *reader, int node, const char *property, const char *text,
	struct console_spec *ret)
{
	char *path = NULL;

	if (!console_spec_read(text, ret, &path))
		return false;
	if (path)
		path_rights_name(
			reader->config->rights, &reader->tree, node, property, path, &ret->path);
	free(path);
	return true;
}

/*
 * UEFI (ArmVirtQemu) begins with the lowest node of memory, and reads an address and a size of two cells each there
 * and nothing more.
 */
static void check_firmware_memory(struct reader *reader)
{
	const struct tree *tree = &reader->tree;
	int node;

	fdt_for_each_subnode(node, tree->fdt, 0)
	{
		int len;

		if (tree_type_is(tree, node, "memory") && !tree_off(tree, node) &&
			fdt_getprop(tree->fdt, node, "reg", &len) &&
			(len != 16 || reader->cells.address != 2 || reader->cells.size != 2))
			tree_warning(tree, node, "reg",
				"UEFI firmware reads one address and one size of two cells each: give each range of memory a node of its own, and the root #address-cells and #size-cells of 2");
	}
}

static void read_firmware(struct reader *reader, int node)
{
	static const char *const loaded[] = { "sluice,kernel", "sluice,kernel-address",
		"sluice,initrd" };
	static const char *const of_flash[] = { "sluice,flash-template", "sluice,flash-read-only" };
	struct machine_config *config = reader->config;
	const struct tree *tree = &reader->tree;

	read_path(reader, node, "sluice,firmware", &config->firmware);
	read_path(reader, node, "sluice,flash", &config->flash.path);
	read_path(reader, node, "sluice,flash-template", &config->flash_template);
	config->flash.read_only = tree_has(tree, node, "sluice,flash-read-only");
	for (size_t i = 0; i < ARRAY_SIZE(loaded); i++)
		if (tree_has(tree, node, "sluice,firmware") && tree_has(tree, node, loaded[i]))
			tree_error(tree, node, loaded[i],
				"does not go with sluice,firmware, which finds the system that it starts on a disk or by the network: remove one of the two");
	for (size_t i = 0; i < ARRAY_SIZE(of_flash); i++)
		if (tree_has(tree, node, of_flash[i]) && !tree_has(tree, node, "sluice,flash"))
			tree_error(tree, node, of_flash[i],
				"says what is done with the file that sluice,flash names, and there is none");
	if (tree_has(tree, node, "sluice,kernel-address") &&
		!tree_has(tree, node, "sluice,kernel") && !config->fit)
		tree_error(tree, node, "sluice,kernel-address",
			"says where the file that sluice,kernel names is loaded, and there is none");
	if (config->firmware.name && !tree_has(tree, node, "sluice,flash"))
		tree_warning(tree, node, "sluice,firmware",
			"neither U-Boot nor UEFI comes up without a flash: name a file for it (sluice,flash), which is made where it is missing");
	if (config->firmware.name)
		check_firmware_memory(reader);
}

/* "image.fit#conf-1", if there is no file of that whole name: a configuration of a FIT. */
static void read_kernel(struct reader *reader, int node)
{
	struct machine_config *config = reader->config;
	char *name, *mark;
	int fd;

	read_path(reader, node, "sluice,kernel", &config->kernel);
	if (!config->kernel.name || !strchr(config->kernel.name, '#'))
		return;
	fd = host_path_open(&config->kernel, O_PATH | O_CLOEXEC, 0);
	if (fd >= 0)
		close(fd);
	if (fd != -ENOENT)
		return;
	name = strdup(config->kernel.name);
	mark = name ? strrchr(name, '#') : NULL;
	/* Of the file's name, not of a folder's. */
	if (!mark || strchr(mark, '/') || mark == name || mark[-1] == '/') {
		free(name);
		return;
	}
	config->kernel_configuration = strdup(mark + 1);
	*mark = '\0';
	free((char *)config->kernel.name);
	config->kernel.name = name;
}

/* So that one tree does for both, what it names is not used where it is from a FIT that has such an image. */
static bool fit_has(struct reader *reader, int node, const char *property, const char *image)
{
	const struct tree *tree = &reader->tree;

	if (image && tree_has(tree, node, property))
		tree_warning(tree, node, property,
			"is not used: the configuration %s, which this tree is from, has /images/%s",
			reader->config->fit->configuration.name, image);
	return image;
}

/* The bundle that the tree is from is its kernel, unless the tree names something else to start. */
static void take_bundle(struct reader *reader, int node)
{
	struct machine_config *config = reader->config;

	if (!config->bundle)
		return;
	if (tree_has(&reader->tree, node, "sluice,kernel") ||
		tree_has(&reader->tree, node, "sluice,firmware")) {
		close(config->bundle_fd);
		config->bundle = false;
		return;
	}
	config->kernel.name = strdup(config->file);
	if (!config->kernel.name)
		error_add(reader->tree.errors, config->file, NULL, "out of memory");
}

static void read_loaded(struct reader *reader, int node)
{
	struct machine_config *config = reader->config;
	const struct fit_configuration *fit = config->fit ? &config->fit->configuration : NULL;

	if (fit && tree_has(&reader->tree, node, "sluice,firmware"))
		tree_error(&reader->tree, node, "sluice,firmware",
			"does not go with the kernel of the configuration %s, which this tree is from: remove it",
			fit->name);
	if (!fit_has(reader, node, "sluice,kernel", fit ? fit->kernel.name : NULL))
		read_kernel(reader, node);
	if (!fit_has(reader, node, "sluice,initrd",
		    fit && fit->has_ramdisk ? fit->ramdisk.name : NULL))
		read_path(reader, node, "sluice,initrd", &config->initrd);
}

static void read_chosen(struct reader *reader)
{
	struct machine_config *config = reader->config;
	int node = fdt_subnode_offset(reader->tree.fdt, 0, "chosen");
	const char *bootargs = "";

	if (node >= 0) {
		read_loaded(reader, node);
		config->raw_kernel = tree_u64(&reader->tree, node, "sluice,kernel-address",
					     &config->kernel_gpa) == 1;
		if (config->raw_kernel && config->kernel_gpa % 4)
			tree_error(&reader->tree, node, "sluice,kernel-address",
				"0x%llx is no multiple of 4, as instructions are",
				(unsigned long long)config->kernel_gpa);
		read_firmware(reader, node);
		config->has_bootargs = tree_has(&reader->tree, node, "bootargs");
		tree_string(&reader->tree, node, "bootargs", &bootargs);
		if (strlen(bootargs) > BOOTARGS_MAX)
			tree_error(&reader->tree, node, "bootargs",
				"%zu bytes, and Linux takes at most %d", strlen(bootargs),
				BOOTARGS_MAX);
	}
	take_bundle(reader, node < 0 ? 0 : node);
	growth_read_bootargs(bootargs, &config->growth);
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

static const struct gic_kind {
	const char *name;
	unsigned version;
	bool its;
} gic_kinds[] = { { "gicv2", 2 }, { "gicv3", 3 }, { "gicv3-its", 3, true } };

/* Reads the GIC's version from the tree; 0 if the tree does not say. */
static void read_gic(struct reader *reader, int node)
{
	const char *name;

	if (node < 0 || tree_string(&reader->tree, node, "gic", &name) != 1)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(gic_kinds); i++)
		if (!strcmp(name, gic_kinds[i].name)) {
			reader->config->gic_version = gic_kinds[i].version;
			reader->config->its = gic_kinds[i].its;
			return;
		}
	tree_error(&reader->tree, node, "gic",
		"\"%s\" is none of \"gicv2\", \"gicv3\", \"gicv3-its\"", name);
}

/*
 * Without a version in the tree, takes the host's best; GICv3 if no host can be asked. Runs late: the VM that is asked
 * may become the machine's, so its address bits must be known.
 */
static void check_gic(struct reader *reader)
{
	struct machine_config *config = reader->config;
	struct kvm_gics gics;

	host_gics(reader->host, config->ipa_bits_needed, &gics);
	if (!config->gic_version)
		config->gic_version = gics.v2 && !gics.v3 ? 2 : 3;
	else if ((gics.v2 || gics.v3) && (config->gic_version == 2 ? !gics.v2
						 : config->its	   ? !gics.its
								   : !gics.v3))
		error_add(reader->tree.errors, "/options/sluice", "gic",
			"KVM on this host has no gicv%u%s; it has%s%s%s: leave it out",
			config->gic_version, config->its ? "-its" : "", gics.v2 ? " gicv2" : "",
			gics.v3 ? " gicv3" : "", gics.its ? " gicv3-its" : "");
	cpus_check_gic(reader);
}

static void read_console(struct reader *reader, int node)
{
	const char *text;

	if (tree_string(&reader->tree, node, "console", &text) == 1 &&
		!read_console_spec(reader, node, "console", text, &reader->config->console))
		tree_error(
			&reader->tree, node, "console", "\"%s\" is none of " CONSOLE_SPECS, text);
}

static void read_options(struct reader *reader)
{
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
	check_known(tree, node, NODE_OPTIONS_SLUICE);
	if (fdt_first_subnode(tree->fdt, node) >= 0)
		tree_error(tree, fdt_first_subnode(tree->fdt, node), NULL,
			"unknown: the options have no subnodes");
	read_stray_access(reader, node);
	read_console(reader, node);
}

/* A tree of firmware or Linux for a real board: it has nothing for Sluice. */
static bool is_board(const struct tree *tree)
{
	return tree_has(tree, 0, "interrupt-parent") && tree_has(tree, 0, "compatible") &&
	       !tree_sluice_compatible(tree, 0);
}

static int read_root(struct reader *reader)
{
	const struct tree *tree = &reader->tree;
	const char *model = "";

	tree_string(tree, 0, "model", &model);
	if (is_board(tree)) {
		error_add(tree->errors, reader->config->file, NULL,
			"the tree of a whole board%s%s, whose interrupt controller and devices a machine has not. A machine's tree has its CPUs, memory, kernel and sluice,* devices: begin with dts/minimal.dts%s",
			*model ? ": " : "", model,
			reader->config->fit || reader->config->bundle
				? ", and name this file there, as sluice,kernel in /chosen, to start its kernel"
				: "");
		return -EINVAL;
	}
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
	size_t cpus = cpus_room(&reader->tree);

	config->cpus = calloc(cpus, sizeof(config->cpus[0]));
	config->cpu_paths = calloc(cpus, sizeof(config->cpu_paths[0]));
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
	check_gic(reader);
	passthrough_check(reader);
	references_check(reader);
	if (!config->model || (!errors_any(reader->tree.errors) && layout_write_placed(reader)))
		error_add(reader->tree.errors, "/", NULL, "out of memory");
}

/* Takes ownership of `fdt`, the origin's FIT, and what is verified, which may be NULL. */
static int read_tree(void *fdt, const struct tree_source *source, struct tree_origin *origin,
	struct verification *verification, const struct host_limits *host, struct errors *errors,
	struct machine_config **ret)
{
	struct machine_config *config = calloc(1, sizeof(*config));
	struct reader *reader = calloc(1, sizeof(*reader));
	const char *file = source->file, *slash = strrchr(file, '/');

	if (config) {
		config->fit = origin->fit;
		config->bundle = origin->bundle;
		config->bundle_fd = origin->bundle_fd;
		config->verification = verification;
	} else {
		tree_origin_finish(origin);
		verification_destroy(verification);
	}
	if (!config || !reader) {
		error_add(errors, file, NULL, "out of memory");
		free(fdt);
	} else if (path_rights_create(source, origin, verification ? &verification->policy : NULL,
			   errors, &config->rights)) {
		free(fdt);
	} else {
		config->fdt = fdt;
		config->file = strdup(file);
		config->folder = strndup(file, slash ? slash - file + 1 : 0);
		reader->tree = (struct tree){ .fdt = fdt, .errors = errors };
		reader->host = host;
		memcpy(config->host_id, host->id, sizeof(config->host_id));
		reader->config = config;
		read_all(reader);
	}
	free(reader);
	if (errors_any(errors)) {
		if (config && host->files)
			config_probe(config, true, false, errors);
		config_destroy(config);
		return -EINVAL;
	}
	*ret = config;
	return 0;
}

int config_read(const struct tree_source *source, const struct host_limits *host,
	struct errors *errors, struct machine_config **ret)
{
	struct verification *verification = NULL;
	struct tree_origin origin;
	size_t before = errors_count(errors);
	void *fdt;
	int err = verification_create(source, errors, &verification);

	if (!err)
		err = tree_file_open(source, verification->keys, errors, &origin, &fdt);
	if (err) {
		verification_destroy(verification);
		if (errors_count(errors) == before)
			error_add(errors, source->file, NULL, "out of memory");
		return -EINVAL;
	}
	err = verification_check_tree(verification, source, &origin, errors);
	if (!err)
		return read_tree(fdt, source, &origin, verification, host, errors, ret);
	tree_origin_finish(&origin);
	verification_destroy(verification);
	free(fdt);
	return err;
}

int config_read_blob(const void *blob, size_t size, const char *name,
	const struct host_limits *host, struct errors *errors, struct machine_config **ret)
{
	const struct tree_source source = { .file = name };
	struct tree_origin author = { .elsewhere = NULL };
	void *fdt;
	int err = tree_blob_open(blob, size, name, errors, &fdt);

	return err ? err : read_tree(fdt, &source, &author, NULL, host, errors, ret);
}
