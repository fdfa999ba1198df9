/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's description after it was read: checks for the files that it names, and frees it; see config.h. */
#include "board/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/config/path-rights.h"
#include "board/config/verification.h"
#include "board/fit/fit-file.h"
#include "board/text/errors.h"
#include "devices/device.h"

char *config_paths_begin(const struct machine_config *config)
{
	char *folder = realpath(*config->folder ? config->folder : ".", NULL), *text = NULL;

	if (asprintf(&text, "Paths in the tree begin at its folder, %s",
		    folder ? folder : config->folder) < 0)
		text = NULL;
	free(folder);
	return text;
}

static bool look_for(const struct machine_config *config, const char *property,
	const struct host_path *path, struct errors *errors)
{
	char *begin;
	int fd;

	if (!path->name)
		return true;
	fd = host_path_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd >= 0) {
		close(fd);
		return true;
	}
	begin = config_paths_begin(config);
	error_add(errors, "/chosen", property, "%s cannot be opened: %s. %s", path->name,
		strerror(-fd), begin ? begin : "");
	free(begin);
	return false;
}

bool config_open_ram(const struct machine_config *config, uint64_t gpa, struct errors *errors,
	enum backing_kind *ret, int *ret_fd)
{
	const struct ram_config *ram = config->ram, *end = ram + config->ram_count;
	char *begin;
	int fd;

	while (ram < end && ram->gpa != gpa)
		ram++;
	*ret = ram < end ? ram->backing : BACKING_ANONYMOUS;
	*ret_fd = -1;
	if (*ret != BACKING_FILE || !ram->file.name)
		return true;
	fd = host_path_open(&ram->file, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd >= 0) {
		*ret_fd = fd;
		return true;
	}
	begin = fd == -ENOENT ? config_paths_begin(config) : NULL;
	error_add(errors, "/memory", "sluice,file", "%s cannot be opened to be written: %s. %s",
		ram->file.name, strerror(-fd), begin ? begin : "");
	free(begin);
	return false;
}

/* A flash that is missing can be made; its template can be opened, if it is named. */
static bool probe_flash(const struct machine_config *config, bool running, struct errors *errors)
{
	char why[256];
	int err;

	if (!config->flash.path.name)
		return true;
	err = flash_file_probe(&config->flash, running, why, sizeof(why));
	/* What nobody can write is not made: it would be another flash than the owner meant. */
	if (err == -ENOENT && !config->flash.read_only)
		err = flash_file_probe_create(&config->flash.path,
			config->flash_template.name ? &config->flash_template : NULL, why,
			sizeof(why));
	if (err)
		error_add(errors, "/chosen", "sluice,flash", "%s", why);
	return !err;
}

bool config_create_flash(const struct machine_config *config, struct errors *errors)
{
	const struct host_path *template = config->flash_template.name ? &config->flash_template
								       : NULL;
	char why[256];
	int err;

	if (!config->flash.path.name || config->flash.read_only ||
		flash_file_probe(&config->flash, false, why, sizeof(why)) != -ENOENT)
		return true;
	err = flash_file_create(&config->flash.path, template, why, sizeof(why));
	if (err && err != -EEXIST)
		error_add(errors, "/chosen", "sluice,flash", "%s", why);
	return !err || err == -EEXIST;
}

void config_probe(
	const struct machine_config *config, bool devices, bool running, struct errors *errors)
{
	devices |= !config->bundle && !look_for(config, "sluice,kernel", &config->kernel, errors);
	devices |= !look_for(config, "sluice,initrd", &config->initrd, errors);
	devices |= !look_for(config, "sluice,firmware", &config->firmware, errors);
	devices |= !probe_flash(config, running, errors);
	for (size_t i = 0; devices && i < config->memory_count; i++) {
		enum backing_kind kind;
		int fd;

		if (config_open_ram(config, config->memory[i].gpa, errors, &kind, &fd) && fd >= 0)
			close(fd);
	}
	for (size_t i = 0; devices && i < config->device_count; i++)
		if (!config->devices[i].broken)
			device_probe(config, &config->devices[i], running, errors);
}

char *config_default_name(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *name = strdup(slash ? slash + 1 : file);
	char *dot = name ? strrchr(name, '.') : NULL;

	if (dot && dot != name)
		*dot = '\0';
	return name;
}

const char *device_identity(const struct machine_config *config, const struct device_config *device,
	const char *machine, char buf[IDENTITY_TEXT])
{
	*buf = '\0';
	if (device->class->identify)
		device->class->identify(device->config,
			identity_of(config->host_id, machine, device->id), buf, IDENTITY_TEXT);
	return buf;
}

bool config_has_kernel(const struct machine_config *config)
{
	return config->kernel.name || config->fit || config->firmware.name;
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
				/* The name is the first member of struct host_path. */
				free(*(char **)((char *)device->config + property->offset));
		for (size_t n = 0; n < device->port_count; n++) {
			free(device->ports[n].name);
			free((char *)device->ports[n].backend.path.name);
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
	free((char *)config->console.path.name);
	for (size_t i = 0; i < config->ram_count; i++)
		free((char *)config->ram[i].file.name);
	fit_file_close(config->fit);
	if (config->bundle)
		close(config->bundle_fd);
	verification_destroy(config->verification);
	free((char *)config->kernel.name);
	free(config->kernel_configuration);
	free((char *)config->initrd.name);
	free((char *)config->firmware.name);
	free((char *)config->flash.path.name);
	free((char *)config->flash_template.name);
	path_rights_destroy(config->rights);
	free(config->model);
	free(config->folder);
	free(config->file);
	free(config->fdt);
	free(config);
}
