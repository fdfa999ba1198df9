/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places kernel and initrd; see loader.h. One list has all ranges in use: reserved ranges, the tree and what was placed
 * already. Places are tried at the start of each memory range and at the end of each entry of that list.
 */
#include "board/boot/loader.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "board/boot/image.h"
#include "board/config/config.h"
#include "board/config/map.h"
#include "board/text/errors.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

/* Linux maps kernel and initrd through one window of this size, aligned to 1 GiB (booting.rst). */
#define INITRD_REACH (32 * GiB)
#define INITRD_ALIGN (64 * KiB) /* the largest page */

struct loader {
	const struct machine_config *config;
	struct image kernel, initrd; /* initrd: one segment, the whole file; fd -1: none */
	struct image_load *load;     /* under way; NULL: none */
	bool kernel_loaded;
	bool described; /* the kernel is, as its file was when `changed` was read */
	struct {
		struct timespec content, inode;
	} changed;
	struct loader_result plan;
	struct range taken[ARRAY_SIZE(((struct machine_config *)0)->reserved) + IMAGE_SEGMENTS + 2];
	size_t taken_count;
};

static void take(struct loader *loader, uint64_t gpa, uint64_t size)
{
	CHECK(loader->taken_count < ARRAY_SIZE(loader->taken));
	loader->taken[loader->taken_count++] = (struct range){ gpa, size };
}

/* The range lies in one memory range, and is not in use. `size` is not 0; neither number is trusted. */
static bool is_free(const struct loader *loader, uint64_t gpa, uint64_t size)
{
	const struct machine_config *config = loader->config;
	bool inside = false;

	for (size_t i = 0; i < config->memory_count; i++) {
		const struct range *memory = &config->memory[i];

		inside |= gpa >= memory->gpa && size <= memory->size &&
			  gpa - memory->gpa <= memory->size - size;
	}
	if (!inside)
		return false;
	for (size_t i = 0; i < loader->taken_count; i++)
		if (ranges_overlap(gpa, size, loader->taken[i].gpa, loader->taken[i].size))
			return false;
	return true;
}

/* The lowest free place for `size` bytes at a multiple of `align`, not below `from`, plus `offset`. */
static bool find_place(const struct loader *loader, uint64_t from, uint64_t align, uint64_t offset,
	uint64_t size, uint64_t *ret)
{
	const struct machine_config *config = loader->config;
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i < config->memory_count + loader->taken_count; i++) {
		const bool used = i >= config->memory_count;
		const struct range *range = used ? &loader->taken[i - config->memory_count]
						 : &config->memory[i];
		uint64_t start = used ? range->gpa + range->size : range->gpa;
		uint64_t base = align_up(start, align), gpa;

		if (start < from || base < start || __builtin_add_overflow(base, offset, &gpa))
			continue;
		if (gpa < best && is_free(loader, gpa, size))
			best = gpa;
	}
	if (best == UINT64_MAX)
		return false;
	*ret = best;
	return true;
}

/* The size of the largest free range, for messages. */
static uint64_t largest_free(const struct loader *loader)
{
	uint64_t size = 0, gpa;

	for (uint64_t bit = UINT64_C(1) << 63; bit; bit /= 2)
		if (find_place(loader, 0, 1, 0, size | bit, &gpa))
			size |= bit;
	return size;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (double)MiB;
}

static int no_place(const struct loader *loader, const struct image *image, const char *kind,
	uint64_t need, uint64_t align, struct errors *errors)
{
	error_add(errors, image->path, NULL,
		"%s does not fit into memory: it needs %.1f MiB in one piece, from a multiple of %llu KiB on; the largest free one has %.1f MiB; make /memory larger, or move the reserved ranges that cut it",
		kind, mib(image->text_offset) + mib(need), (unsigned long long)(align / KiB),
		mib(largest_free(loader)));
	return -EINVAL;
}

static int plan_elf(struct loader *loader, struct errors *errors)
{
	struct image *kernel = &loader->kernel;

	for (unsigned i = 0; i < kernel->segment_count; i++) {
		const struct image_segment *segment = &kernel->segments[i];

		if (is_free(loader, segment->gpa, segment->mem_size))
			continue;
		error_add(errors, kernel->path, NULL,
			"an ELF segment wants 0x%llx to 0x%llx, which is not free: needed is memory from 0x%llx on (the guest's tree is before it) outside reserved ranges; link it elsewhere, or change /memory",
			(unsigned long long)segment->gpa,
			(unsigned long long)(segment->gpa + (segment->mem_size - 1)),
			(unsigned long long)(RAM_BASE + TREE_SIZE_MAX));
		return -EINVAL;
	}
	loader->plan.entry_gpa = kernel->entry;
	return 0;
}

static int plan_image(struct loader *loader, struct errors *errors)
{
	struct image *kernel = &loader->kernel;
	struct image_segment *segment = &kernel->segments[0];

	if (!find_place(loader, 0, IMAGE_BASE_ALIGN, kernel->text_offset, segment->mem_size,
		    &segment->gpa))
		return no_place(
			loader, kernel, kernel->kind, segment->mem_size, IMAGE_BASE_ALIGN, errors);
	loader->plan.entry_gpa = segment->gpa + kernel->entry;
	return 0;
}

static int plan_initrd(
	struct loader *loader, uint64_t kernel_gpa, uint64_t kernel_end, struct errors *errors)
{
	struct image *initrd = &loader->initrd;
	uint64_t gpa, low, high, size = initrd->file_size;

	if (!find_place(loader, kernel_end, INITRD_ALIGN, 0, size, &gpa) &&
		!find_place(loader, 0, INITRD_ALIGN, 0, size, &gpa))
		return no_place(loader, initrd, "initrd", size, INITRD_ALIGN, errors);
	low = align_down(gpa < kernel_gpa ? gpa : kernel_gpa, GiB);
	high = gpa + size > kernel_end ? gpa + size : kernel_end;
	if (!loader->kernel.placed && high - low > INITRD_REACH) {
		error_add(errors, initrd->path, NULL,
			"initrd fits only at 0x%llx, more than 32 GiB from the kernel at 0x%llx, where Linux does not find it; make the first /memory range larger",
			(unsigned long long)gpa, (unsigned long long)kernel_gpa);
		return -EINVAL;
	}
	initrd->segments[0] =
		(struct image_segment){ .gpa = gpa, .file_size = size, .mem_size = size };
	initrd->segment_count = 1;
	loader->plan.initrd_gpa = gpa;
	loader->plan.initrd_size = size;
	return 0;
}

/* A kernel whose file has not changed is described once: to unpack its header may take long. */
static void note_change(struct loader *loader, const struct stat *st)
{
	loader->described &= loader->kernel.file_size == (uint64_t)st->st_size &&
			     !memcmp(&loader->changed.content, &st->st_mtim, sizeof(st->st_mtim)) &&
			     !memcmp(&loader->changed.inode, &st->st_ctim, sizeof(st->st_ctim));
	loader->kernel.file_size = (uint64_t)st->st_size;
	loader->changed.content = st->st_mtim;
	loader->changed.inode = st->st_ctim;
}

static int plan(struct loader *loader, struct errors *errors)
{
	const struct machine_config *config = loader->config;
	uint64_t start = UINT64_MAX, end = 0;
	struct stat st;
	int err;

	/* The files may have changed since the last boot. */
	if (fstat(loader->kernel.fd, &st) == 0)
		note_change(loader, &st);
	if (loader->initrd.fd >= 0 && fstat(loader->initrd.fd, &st) == 0)
		loader->initrd.file_size = st.st_size;
	if (loader->initrd.fd >= 0 && !loader->initrd.file_size) {
		error_add(errors, loader->initrd.path, NULL, "is empty");
		return -EINVAL;
	}
	err = loader->described ? 0 : image_describe(&loader->kernel, errors);
	if (err < 0)
		return err;
	loader->described = true;

	loader->plan = (struct loader_result){ .tree_gpa = RAM_BASE,
		.page_bytes = loader->kernel.page_bytes };
	loader->taken_count = 0;
	take(loader, RAM_BASE, TREE_SIZE_MAX);
	for (size_t i = 0; i < config->reserved_count; i++)
		if (config->reserved[i].size)
			take(loader, config->reserved[i].gpa, config->reserved[i].size);
	err = loader->kernel.placed ? plan_elf(loader, errors) : plan_image(loader, errors);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < loader->kernel.segment_count; i++) {
		const struct image_segment *segment = &loader->kernel.segments[i];

		take(loader, segment->gpa, segment->mem_size);
		if (segment->gpa < start)
			start = segment->gpa;
		if (segment->gpa + segment->mem_size > end)
			end = segment->gpa + segment->mem_size;
	}
	return loader->initrd.fd >= 0 ? plan_initrd(loader, start, end, errors) : 0;
}

int loader_open(const struct machine_config *config, struct errors *errors, struct loader **ret)
{
	struct loader *loader;
	int err = 0;

	if (!config->kernel.name) {
		error_add(errors, "/chosen", "sluice,kernel",
			"missing: the machine has no kernel to run");
		return -EINVAL;
	}
	loader = calloc(1, sizeof(*loader));
	if (!loader)
		return -ENOMEM;
	loader->config = config;
	loader->initrd.fd = -1;
	err = image_open(&loader->kernel, &config->kernel, errors);
	if (config->initrd.name && image_open(&loader->initrd, &config->initrd, errors) < 0)
		err = -EINVAL;
	if (!err)
		err = plan(loader, errors);
	if (err < 0) {
		loader_close(loader);
		return err;
	}
	*ret = loader;
	return 0;
}

void loader_close(struct loader *loader)
{
	if (!loader)
		return;
	image_load_end(loader->load);
	image_close(&loader->kernel);
	image_close(&loader->initrd);
	free(loader);
}

void loader_plan(const struct loader *loader, struct loader_result *ret)
{
	*ret = loader->plan;
}

int loader_check(struct loader *loader, struct errors *errors)
{
	struct image_load *load;
	int err = plan(loader, errors);

	if (!err)
		err = image_load_begin(&loader->kernel, NULL, &load);
	if (err)
		return err;
	do
		err = image_load_step(load, errors);
	while (err > 0);
	image_load_end(load);
	return err;
}

int loader_load(struct loader *loader, const struct guestmem *mem, uint64_t until_ms,
	struct errors *errors, struct loader_result *ret)
{
	int err = 0;

	if (!loader->load) {
		err = plan(loader, errors);
		loader->kernel_loaded = false;
		if (!err)
			err = image_load_begin(&loader->kernel, mem, &loader->load);
		if (err)
			return err;
	}
	do {
		err = image_load_step(loader->load, errors);
		if (err || loader->kernel_loaded || loader->initrd.fd < 0)
			continue;
		loader->kernel_loaded = true;
		image_load_end(loader->load);
		loader->load = NULL;
		err = image_load_begin(&loader->initrd, mem, &loader->load) ?: 1;
	} while (err > 0 && loop_now_ms() <= until_ms);
	if (err > 0)
		return err;
	image_load_end(loader->load);
	loader->load = NULL;
	if (!err)
		*ret = loader->plan;
	return err;
}
