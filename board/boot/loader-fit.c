/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel and initrd of a FIT; see loader.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/boot/loader-internal.h"
#include "board/config/verification.h"
#include "board/text/errors.h"

/* The tree names a file that is a FIT. */
static int open_named_fit(struct loader *loader)
{
	const struct machine_config *config = loader->config;
	int fd = fcntl(loader->kernel.fd, F_DUPFD_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	err = fit_file_open(fd, config->kernel.name, config->kernel_configuration,
		config->verification ? config->verification->keys : NULL, &loader->named_fit);
	if (err)
		close(fd);
	else
		loader->named_fit->kernel_only = true;
	return err;
}

/* What has to be verified, and cannot be. */
static int refuse_unverified(const struct loader *loader, struct errors *errors)
{
	const struct machine_config *config = loader->config;
	const char *by = config->verification->by;
	size_t before = errors->count;

	if (config->firmware.name)
		error_add(errors, config->firmware.name, NULL,
			"is firmware, which is not verified, and %s refuses it: start a kernel of a signed FIT",
			by);
	else if (!loader->fit)
		error_add(errors, config->kernel.name, NULL,
			"is no FIT, so nobody has signed it, and %s refuses it: pack the kernel into a FIT, and sign that (mkimage -k)",
			by);
	if (config->initrd.name)
		error_add(errors, config->initrd.name, NULL,
			"is a file of its own, which nobody has signed, and %s refuses it: make it the ramdisk of the signed configuration",
			by);
	return errors->count == before ? 0 : -EINVAL;
}

/* A machine goes on as what it is, whatever another one was started as since. */
static bool is_as_started(const struct loader *loader)
{
	const struct fit_configuration *configuration = &loader->fit->configuration;

	return loader->product && configuration->product &&
	       !strcmp(configuration->product, loader->product) &&
	       configuration->version == loader->version;
}

int loader_fit_keep(struct loader *loader, struct errors *errors)
{
	const struct fit_configuration *configuration;
	int err;

	if (!loader->fit || !loader->config->verification || is_as_started(loader))
		return 0;
	configuration = &loader->fit->configuration;
	err = verification_keep_version(loader->config->verification, loader->fit, errors);
	if (err)
		return err;
	free(loader->product);
	loader->product = configuration->product ? strdup(configuration->product) : NULL;
	loader->version = configuration->version;
	return configuration->product && !loader->product ? -ENOMEM : 0;
}

int loader_fit_find(struct loader *loader, struct errors *errors)
{
	const struct machine_config *config = loader->config;
	int err = 0, is_fit = 0;

	loader->fit = NULL;
	free(loader->checked);
	loader->checked = NULL;
	if (!config->fit && config->kernel.name)
		is_fit = fit_probe(loader->kernel.fd, config->kernel.name, errors);
	if (is_fit < 0)
		return is_fit;
	if (config->fit) {
		loader->fit = config->fit;
		err = fit_file_read(config->fit, errors);
		if (!err)
			err = fit_file_read_trees(config->fit, errors);
		for (unsigned i = 0; !err && i < config->fit->tree_count; i++)
			list_add(&loader->checked, "%s: %s",
				config->fit->configuration.fdts[i].name,
				*config->fit->trees[i].checked ? config->fit->trees[i].checked
							       : "no hash");
	} else if (is_fit) {
		if (!loader->named_fit)
			err = open_named_fit(loader);
		if (!err)
			err = fit_file_read(loader->named_fit, errors);
		loader->fit = loader->named_fit;
	} else if (config->kernel_configuration) {
		error_add(errors, config->kernel.name, NULL,
			"is no FIT, and has no configuration \"%s\" to choose",
			config->kernel_configuration);
		err = -EINVAL;
	}
	if (!err && config->verification && config->verification->required)
		err = refuse_unverified(loader, errors);
	if (!err && config->verification && loader->fit && !is_as_started(loader))
		err = verification_check_version(config->verification, loader->fit, errors);
	return err;
}

int loader_fit_kernel(struct loader *loader)
{
	static const enum unpack_kind kinds[] = {
		[FIT_GZIP] = UNPACK_GZIP,
		[FIT_ZSTD] = UNPACK_ZSTD,
		[FIT_XZ] = UNPACK_XZ,
		[FIT_LZMA] = UNPACK_LZMA,
		[FIT_LZ4] = UNPACK_LZ4,
	};
	const struct fit_image *found = &loader->fit->configuration.kernel;
	struct image *kernel = &loader->kernel;
	const struct image_extent data = { found->data.offset, found->data.size };
	const bool packed = found->compression != FIT_NONE;

	free(loader->kernel_label);
	if (asprintf(&loader->kernel_label, "%s: /images/%s", loader->fit->name, found->name) < 0) {
		loader->kernel_label = NULL;
		return -ENOMEM;
	}
	kernel->path = loader->kernel_label;
	/* What was read to describe it is there still, and is compared when it is loaded. */
	loader->described &= kernel->digest && !loader->kernel_digest.failed &&
			     !loader->kernel_digest.differs && kernel->said_packed == packed &&
			     (!packed || kernel->packing == kinds[found->compression]);
	loader_note_kernel(loader, &data);
	if (loader->described)
		return 0;
	kernel->said_packed = packed;
	if (packed)
		kernel->packing = kinds[found->compression];
	kernel->digest = &loader->kernel_digest;
	image_digest_clear(&loader->kernel_digest);
	return 0;
}

int loader_fit_initrd(struct loader *loader)
{
	const struct fit_image *ramdisk = &loader->fit->configuration.ramdisk;
	struct image *initrd = &loader->initrd;

	free(loader->initrd_label);
	if (asprintf(&loader->initrd_label, "%s: /images/%s", loader->fit->name, ramdisk->name) <
		0) {
		loader->initrd_label = NULL;
		return -ENOMEM;
	}
	*initrd = (struct image){ .path = loader->initrd_label,
		.fd = loader->fit->fd,
		.data = { ramdisk->data.offset, ramdisk->data.size },
		.digest = &loader->initrd_digest };
	initrd->segments[0] = (struct image_segment){ .file_offset = ramdisk->data.offset,
		.file_size = ramdisk->data.size,
		.mem_size = ramdisk->data.size };
	return 0;
}

bool loader_fit_place(const struct loader *loader, uint64_t *ret_gpa)
{
	const struct fit_image *image = loader->fit ? &loader->fit->configuration.kernel : NULL;

	if (!image || image->type != FIT_KERNEL || !image->has_load)
		return false;
	*ret_gpa = image->load;
	return true;
}

int loader_fit_entry(const struct loader *loader, uint64_t *ret_offset, struct errors *errors)
{
	const struct fit_image *image = loader->fit ? &loader->fit->configuration.kernel : NULL;
	uint64_t load = 0, offset = 0;
	bool placed = loader_fit_place(loader, &load);

	if (image && image->has_entry && (placed || image->type == FIT_KERNEL_NOLOAD))
		offset = image->entry - load;
	if (load % 4) {
		error_add(errors, loader->kernel.path, "load",
			"0x%llx is no multiple of 4, as instructions are",
			(unsigned long long)load);
		return -EINVAL;
	}
	if (offset && (offset >= loader->kernel.data.size || offset % 4)) {
		error_add(errors, loader->kernel.path, "entry",
			"0x%llx is no place of an instruction in this raw binary of %llu bytes%s",
			(unsigned long long)image->entry,
			(unsigned long long)loader->kernel.data.size,
			placed ? ", which is loaded to its `load`" : "");
		return -EINVAL;
	}
	*ret_offset = offset;
	return 0;
}

int loader_fit_begin(struct loader *loader, const struct image *image, struct errors *errors)
{
	const struct fit_configuration *of;

	if (!image->digest)
		return 0;
	of = &loader->fit->configuration;
	return image_digest_begin(image->digest, loader->fit->trust,
		image == &loader->initrd && of->has_ramdisk ? &of->ramdisk : &of->kernel,
		image->data.offset, errors);
}

void loader_fit_end(struct loader *loader, const struct image *image)
{
	const char *name = strrchr(image->path, '/'), *checked;

	/* The initrd of a bundle is a part of the kernel, which is listed already. */
	if (!image->digest || (image == &loader->initrd && loader->plan.bundled_initrd))
		return;
	checked = fit_digest_checked(image->digest->digest);
	list_add(&loader->checked, "%s: %s", name + 1, *checked ? checked : "no hash");
	loader->plan.checked = loader->checked;
}
