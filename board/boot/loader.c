/* SPDX-License-Identifier: Apache-2.0 */
/* Opens, plans, checks and loads kernel and initrd; see loader.h. loader-places.c decides where they go. */
#include "board/boot/loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "board/boot/loader-internal.h"
#include "board/config/config.h"
#include "board/config/growth.h"
#include "board/config/map.h"
#include "board/text/errors.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

/* The initrd that the tree names, or the FIT's, or the kernel's own. The file that the tree names may have changed
 * since the last boot. */
static int find_initrd(struct loader *loader, struct errors *errors)
{
	struct image *initrd = &loader->initrd;
	const struct image_extent *bundled = &loader->kernel.initrd;
	struct image_segment *segment = &initrd->segments[0];
	struct stat st;

	image_digest_clear(&loader->initrd_digest);
	if (!loader->config->initrd.name && loader->fit && loader->fit->configuration.has_ramdisk)
		return loader_fit_initrd(loader);
	if (!loader->config->initrd.name) {
		*initrd = (struct image){ .path = loader->kernel.path,
			.fd = bundled->size ? loader->kernel.fd : -1,
			.data = loader->kernel.data,
			.digest = loader->fit ? &loader->initrd_digest : NULL };
		*segment = (struct image_segment){ .file_offset = bundled->offset,
			.file_size = bundled->size,
			.mem_size = bundled->size };
		loader->plan.bundled_initrd = bundled->size;
		return 0;
	}
	if (fstat(initrd->fd, &st) == 0)
		initrd->data.size = (uint64_t)st.st_size;
	if (!initrd->data.size) {
		error_add(errors, initrd->path, NULL, "is empty");
		return -EINVAL;
	}
	*segment = (struct image_segment){ .file_size = initrd->data.size,
		.mem_size = initrd->data.size };
	return 0;
}

/* `anew`: the kernel was. */
static int find_cmdline(struct loader *loader, bool anew, struct errors *errors)
{
	int err = 0;

	if (anew) {
		free(loader->cmdline);
		loader->cmdline = NULL;
	}
	if (anew && loader->kernel.cmdline.size && !loader->config->has_bootargs)
		err = image_read_cmdline(&loader->kernel, errors, &loader->cmdline);
	loader->plan.cmdline = loader->cmdline;
	loader->plan.growth = loader->config->growth;
	if (loader->cmdline)
		growth_read_bootargs(loader->cmdline, &loader->plan.growth);
	return err;
}

void loader_note_kernel(struct loader *loader, const struct image_extent *data)
{
	const struct image_extent *old = &loader->kernel.data;
	struct stat st = { 0 };

	if (fstat(loader->kernel.fd, &st))
		loader->described = false;
	loader->described &= loader->changed.size == st.st_size &&
			     !memcmp(&loader->changed.content, &st.st_mtim, sizeof(st.st_mtim)) &&
			     !memcmp(&loader->changed.inode, &st.st_ctim, sizeof(st.st_ctim)) &&
			     (!data || (data->offset == old->offset && data->size == old->size));
	loader->kernel.data = data ? *data : (struct image_extent){ 0, (uint64_t)st.st_size };
	loader->changed.size = st.st_size;
	loader->changed.content = st.st_mtim;
	loader->changed.inode = st.st_ctim;
}

/* The kernel is a file. */
static void find_file_kernel(struct loader *loader)
{
	if (loader->kernel.digest) /* it was a FIT at the last boot */
		loader->described = false;
	loader->kernel.path = loader->config->kernel.name;
	loader->kernel.said_packed = false;
	loader->kernel.digest = NULL;
	loader_note_kernel(loader, NULL);
}

static int plan(struct loader *loader, struct errors *errors)
{
	const struct machine_config *config = loader->config;
	bool anew;
	int err;

	/* What it points to may be gone after the next call. */
	loader->plan = (struct loader_result){ 0 };
	err = loader_fit_find(loader, errors);

	if (err)
		return err;
	if (config->firmware.name) {
		loader->plan = (struct loader_result){ .kind = "firmware",
			.entry_gpa = FIRMWARE_BASE,
			.tree_gpa = RAM_BASE,
			.growth = config->growth };
		return loader_place_firmware(loader, errors);
	}
	if (loader->fit)
		err = loader_fit_kernel(loader);
	else
		find_file_kernel(loader);
	if (err)
		return err;
	anew = !loader->described;
	if (anew) {
		loader->moved_by = 0;
		err = image_describe(&loader->kernel, config->raw_kernel, errors);
		if (err < 0)
			return err;
	}
	loader->plan = (struct loader_result){ .kind = loader->kernel.kind,
		.page_bytes = loader->kernel.page_bytes,
		.kernel_name = loader->kernel.path,
		.checked = loader->checked };
	if (loader->fit) {
		loader->plan.fit = loader->fit->name;
		loader->plan.configuration = loader->fit->configuration.name;
		loader->plan.signatures = fit_trust_signatures(loader->fit->trust);
		loader->plan.product = loader->fit->configuration.product;
		loader->plan.version = loader->fit->configuration.version;
	}
	err = find_initrd(loader, errors);
	loader->plan.initrd_name = loader->initrd.path;
	if (!err)
		err = find_cmdline(loader, anew, errors);
	if (err)
		return err;
	loader->described = true;
	return loader_place(loader, errors);
}

int loader_open(const struct machine_config *config, struct errors *errors, struct loader **ret)
{
	struct loader *loader;
	uint64_t place;
	int err = 0;

	if (!config->kernel.name && !config->fit && !config->firmware.name) {
		error_add(errors, "/chosen", "sluice,kernel",
			"missing: the machine has neither a kernel nor firmware to run");
		return -EINVAL;
	}
	loader = calloc(1, sizeof(*loader));
	if (!loader)
		return -ENOMEM;
	loader->config = config;
	loader->kernel.fd = loader->initrd.fd = -1;
	if (config->fit)
		loader->kernel.fd = config->fit->fd;
	else if (config->bundle)
		loader->kernel.fd = config->bundle_fd;
	else if (config->kernel.name)
		err = image_open(&loader->kernel, &config->kernel, errors);
	if (config->initrd.name && image_open(&loader->initrd, &config->initrd, errors) < 0)
		err = -EINVAL;
	if (!err)
		err = plan(loader, errors);
	if (err < 0) {
		loader_close(loader);
		return err;
	}
	if (loader->kernel.raw && !config->raw_kernel && !loader_fit_place(loader, &place))
		warning_add(errors, loader->kernel.path, NULL,
			"has no format that Sluice knows: it is loaded as it is, and entered at its first byte, 0x%llx. If that is meant, say so in /chosen: sluice,kernel-address = /bits/ 64 <0x%llx>",
			(unsigned long long)loader->plan.entry_gpa,
			(unsigned long long)loader->plan.entry_gpa);
	*ret = loader;
	return 0;
}

void loader_close(struct loader *loader)
{
	if (!loader)
		return;
	image_load_end(loader->load);
	image_digest_clear(&loader->kernel_digest);
	image_digest_clear(&loader->initrd_digest);
	if (!loader->config->fit && !loader->config->bundle)
		image_close(&loader->kernel);
	if (loader->config->initrd.name)
		image_close(&loader->initrd);
	fit_file_close(loader->named_fit);
	free(loader->kernel_label);
	free(loader->initrd_label);
	free(loader->checked);
	free(loader->product);
	free(loader->cmdline);
	free(loader);
}

void loader_plan(const struct loader *loader, struct loader_result *ret)
{
	*ret = loader->plan;
}

/* Versions that builds of a board's own have, which leave out the drivers that a guest needs. */
static void warn_of_version(struct loader *loader, const char *version, struct errors *errors)
{
	static const char *const boards[] = { "+rpt-rpi-", "-rpi-v8", "-rpi-2712", "-v8+",
		"-v8-16k+" };

	for (size_t i = 0; i < ARRAY_SIZE(boards); i++)
		if (strstr(version, boards[i])) {
			warning_add(errors, loader->kernel.path, NULL,
				"is Raspberry Pi OS's kernel (Linux %s), which is built for the board. If the guest finds no disk and no network, it has no virtio drivers: take Debian's (linux-image-arm64)",
				version);
			return;
		}
}

static int check_image(struct loader *loader, const struct image *image, struct errors *errors)
{
	struct image_load *load;
	int err = loader_fit_begin(loader, image, errors);

	if (!err)
		err = image_load_begin(image, NULL, &load);
	if (err)
		return err;
	do
		err = image_load_step(load, errors);
	while (err > 0);
	if (!err)
		warn_of_version(loader, image_load_version(load), errors);
	image_load_end(load);
	if (!err)
		loader_fit_end(loader, image);
	return err;
}

int loader_check(struct loader *loader, struct errors *errors)
{
	int err = plan(loader, errors);

	if (!err && loader->config->firmware.name)
		return 0;
	if (!err)
		err = check_image(loader, &loader->kernel, errors);
	if (!err && loader->initrd.fd >= 0)
		err = check_image(loader, &loader->initrd, errors);
	return err;
}

static int begin_load(struct loader *loader, const struct image *image, const struct guestmem *mem,
	struct errors *errors)
{
	int err = loader_fit_begin(loader, image, errors);

	return err ? err : image_load_begin(image, mem, &loader->load);
}

int loader_load(struct loader *loader, const struct guestmem *mem, uint64_t until_ms,
	struct errors *errors, struct loader_result *ret)
{
	int err = 0;

	if (!loader->load) {
		err = plan(loader, errors);
		if (!err && loader->config->firmware.name) {
			*ret = loader->plan;
			return 0;
		}
		loader->kernel_loaded = false;
		if (!err)
			err = begin_load(loader, &loader->kernel, mem, errors);
		if (err)
			return err;
	}
	do {
		err = image_load_step(loader->load, errors);
		if (!err)
			loader_fit_end(
				loader, loader->kernel_loaded ? &loader->initrd : &loader->kernel);
		if (err || loader->kernel_loaded || loader->initrd.fd < 0)
			continue;
		loader->kernel_loaded = true;
		image_load_end(loader->load);
		loader->load = NULL;
		err = begin_load(loader, &loader->initrd, mem, errors) ?: 1;
	} while (err > 0 && loop_now_ms() <= until_ms);
	if (err > 0)
		return err;
	image_load_end(loader->load);
	loader->load = NULL;
	if (!err)
		err = loader_fit_keep(loader, errors);
	if (!err)
		*ret = loader->plan;
	return err;
}
