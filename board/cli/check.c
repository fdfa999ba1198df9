/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice check` and `sluice show`; see check.h. */
#include "board/cli/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/boot/guest-tree.h"
#include "board/boot/loader.h"
#include "board/config/config.h"
#include "board/config/growth.h"
#include "board/config/map.h"
#include "board/config/tree-file.h"
#include "board/host/host-memory.h"
#include "board/host/limits.h"
#include "board/machine/firmware.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "board/text/plain.h"
#include "board/text/size.h"
#include "devices/device.h"

/* Both commands begin with these: the configuration and the guest's tree. */
struct checked {
	struct host_limits host;
	bool has_kvm;
	struct machine_config *config;
	char *name;
	void *tree;
	size_t tree_size;
	struct errors errors;
	struct loader *loader; /* NULL: nothing is to be loaded, or there was an error */
	struct loader_result plan;
	struct growth_policy growth;
	uint64_t flash_bytes;
};

static int check(struct checked *c, const struct tree_source *source, const char *name)
{
	struct guest_tree_input input = { 0 };
	int err;

	c->errors.tree = source->file;
	c->name = name ? strdup(name) : config_default_name(source->file);
	c->has_kvm = !host_probe(&c->host);
	err = config_read(source, &c->host, &c->errors, &c->config);
	if (err)
		return err;
	c->growth = c->config->growth;
	if (c->config->flash.path.name)
		input.flash_bytes = flash_file_bytes(&c->config->flash.path,
			c->config->flash_template.name ? &c->config->flash_template : NULL);
	c->flash_bytes = input.flash_bytes;
	input.serial = identity_of(c->host.id, c->name, "serial-number");
	err = guest_tree_build(c->config, &input, &c->tree, &c->tree_size);
	if (err == -ENOSPC)
		error_add(&c->errors, source->file, NULL,
			"the guest's tree would be larger than %s", SIZE(TREE_SIZE_MAX));
	else if (err)
		error_add(&c->errors, source->file, NULL, "cannot build the guest's tree: %s",
			strerror(-err));
	else
		guest_tree_check_aliases(c->config, c->tree, &c->errors);
	return err;
}

static int finish(struct checked *c, int err)
{
	errors_print(&c->errors, stderr);
	errors_finish(&c->errors);
	loader_close(c->loader);
	config_destroy(c->config);
	free(c->name);
	free(c->tree);
	return err ? EXIT_WRONG : EXIT_OK;
}

static void print_device(const struct machine_config *config, const struct device_config *device,
	const char *machine)
{
	char identity[IDENTITY_TEXT];
	const struct window_config *window = &device->window;
	uint64_t slots;

	printf("%-12s %s at 0x%08" PRIx64 ", SPI %u", device->id, device->class->compatible,
		device->gpa, device->spi);
	if (device->class->kind == DEVICE_VIRTIO)
		printf(" (virtio%u)", device->place);
	if (*device_identity(config, device, machine, identity))
		printf(", %s", identity);
	putchar('\n');
	if (!device->has_window)
		return;
	slots = window->size / window->slot_bytes + (window->size % window->slot_bytes != 0);
	printf("%-12s window 0x%09" PRIx64 " to 0x%09" PRIx64 ", %s: %" PRIu64
	       " slots of %s, blocks of %s, stray reads %s\n",
		"", window->gpa, window->gpa + window->size, SIZE(window->size), slots,
		SIZE(window->slot_bytes), SIZE(window->block_bytes),
		window->stray_reads == STRAY_READS_ABORT ? "abort" : "see zeros");
}

static void print_map(const struct checked *c)
{
	const struct machine_config *config = c->config;

	plain_print(config->file, stdout);
	printf(": good%s", *config->model ? ", the machine " : "");
	plain_print(config->model, stdout);
	putchar('\n');
	printf("%-12s %zu, guest addresses of %u bits (this host%s: %u)\n", "CPUs",
		config->cpu_count, config->ipa_bits_needed,
		c->has_kvm ? "" : ", without KVM, is taken to have", c->host.ipa_bits);
	for (size_t i = 0; i < config->memory_count; i++)
		printf("%-12s 0x%09" PRIx64 " to 0x%09" PRIx64 ", %s\n", "memory",
			config->memory[i].gpa, config->memory[i].gpa + config->memory[i].size,
			SIZE(config->memory[i].size));
	for (size_t i = 0; i < config->reserved_count; i++)
		printf("%-12s 0x%09" PRIx64 " to 0x%09" PRIx64 ", %s\n", "reserved",
			config->reserved[i].gpa, config->reserved[i].gpa + config->reserved[i].size,
			SIZE(config->reserved[i].size));
	for (size_t i = 0; i < config->device_count; i++)
		print_device(config, &config->devices[i], c->name);
}

/* Checks kernel and initrd as `run` would: that they are complete, and that they fit. */
static int check_files(struct checked *c)
{
	int err = c->config->firmware.name ? firmware_check(&c->config->firmware, &c->errors) : 0;

	if (!err)
		err = loader_open(c->config, &c->errors, &c->loader);

	if (!err) {
		err = loader_check(c->loader, &c->errors);
		loader_plan(c->loader, &c->plan);
		c->growth = c->plan.growth;
	}
	if (err && !errors_any(&c->errors))
		error_add(&c->errors, c->config->file, NULL, "%s", strerror(-err));
	return err;
}

static void print_place(const char *what, struct range place)
{
	printf("%-12s 0x%09" PRIx64 " to 0x%09" PRIx64 ", %s", what, place.gpa,
		place.gpa + place.size, SIZE(place.size));
}

/* What was checked of a FIT. Hashes, which an image may lack, say nothing of who made it. */
static void print_verified(const struct loader_result *plan)
{
	const bool of_images = plan->checked && strstr(plan->checked, "signature of");

	if (!plan->fit)
		return;
	printf("%-12s ", *plan->signatures || of_images ? "verified" : "not verified");
	plain_print(plan->configuration, stdout);
	printf(" of ");
	plain_print(plan->fit, stdout);
	printf(", %s", *plan->signatures ? "signed by "
		       : of_images	 ? "its images signed"
					 : "signatures not checked: give --key FILE");
	plain_print(plan->signatures, stdout);
	if (plan->product)
		printf(", version %u of %s", plan->version, plan->product);
	putchar('\n');
	if (plan->checked) {
		printf("%-12s ", "");
		plain_print(plan->checked, stdout);
		putchar('\n');
	}
}

static void print_files(const struct checked *c)
{
	const struct machine_config *config = c->config;
	const struct loader_result *plan = &c->plan;

	if (config->firmware.name) {
		print_place("firmware", (struct range){ FIRMWARE_BASE, FIRMWARE_SIZE });
		printf(": ");
		plain_print(config->firmware.name, stdout);
		printf(", entered at 0x%09" PRIx64 "\n", plan->entry_gpa);
	}
	if (config->flash.path.name) {
		print_place("flash", (struct range){ FLASH_BASE, c->flash_bytes });
		printf(": ");
		plain_print(config->flash.path.name, stdout);
		puts(config->flash.read_only ? ", read-only" : "");
	}
	if (!config_has_kernel(config)) {
		printf("%-12s none: it cannot run\n", "kernel");
		printf("%-12s %zu bytes\n", "guest's tree", c->tree_size);
		return;
	}
	if (plan->kernel_name) {
		print_place("kernel", plan->kernel);
		printf(": ");
		plain_print(plan->kernel_name, stdout);
		printf(" (%s), entered at 0x%09" PRIx64 "\n", plan->kind, plan->entry_gpa);
	}
	if (plan->initrd.size) {
		print_place("initrd", plan->initrd);
		printf(": ");
		plain_print(plan->bundled_initrd ? "of the bundle" : plan->initrd_name, stdout);
		putchar('\n');
	}
	print_place("guest's tree", (struct range){ plan->tree_gpa, c->tree_size });
	putchar('\n');
	print_verified(plan);
}

int check_command(const struct tree_source *source, const char *name)
{
	struct checked c = { 0 };
	int err = check(&c, source, name);

	if (c.config)
		config_probe(c.config, true, false, &c.errors);
	if (!err && config_has_kernel(c.config) && !errors_any(&c.errors))
		err = check_files(&c);
	err = errors_any(&c.errors) ? -EINVAL : err;
	if (!err) {
		struct host_memory host;

		host_memory("", &host);
		growth_check(c.config, &c.growth, c.plan.page_bytes, &host, &c.errors);
		print_map(&c);
		print_files(&c);
	}
	return finish(&c, err);
}

/* Prints comments before the tree: what it does not contain. */
static void print_head(const struct checked *c)
{
	char text[IDENTITY_TEXT];

	printf("// What the guest of the machine \"");
	plain_print(c->name, stdout);
	printf("\" gets on this host. Each start adds the initrd's place,\n"
	       "// fresh seeds and, where a bundle has one, its command line; another name (--name, here and of sluice run) and another host have other numbers.\n");
	for (size_t i = 0; i < c->config->device_count; i++)
		if (*device_identity(c->config, &c->config->devices[i], c->name, text))
			printf("// %s: %s\n", c->config->devices[i].id, text);
}

int show_command(const struct tree_source *source, const char *name)
{
	struct checked c = { 0 };
	struct tree_source shown = *source;
	int err;

	shown.shown = true;
	err = check(&c, &shown, name);
	if (!err)
		print_head(&c);
	if (!err)
		err = tree_print_source(c.tree, c.tree_size, source->file, &c.errors, stdout);
	return finish(&c, err);
}
