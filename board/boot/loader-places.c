/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where kernel, initrd and the guest's tree go; see loader.h. One list has all ranges in use: reserved ranges and what was
 * placed already. Places are tried at the start of each memory range and at the end of each entry of that list.
 */
#include <errno.h>

#include "board/boot/loader-internal.h"
#include "board/config/map.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"

/* Linux maps kernel and initrd through one window of this size, aligned to 1 GiB (booting.rst). */
#define INITRD_REACH (32 * GiB)
#define INITRD_ALIGN (64 * KiB) /* the largest page */
#define TREE_ALIGN                                                                                 \
	(2 * MiB) /* so that it lies in one block that small kernels map, as QEMU's does */
#define KERNEL_PLACE (RAM_BASE + 2 * MiB) /* where QEMU has it, if there is room */
#define RAW_ROOM     (128 * MiB)

static void take(struct loader *loader, uint64_t gpa, uint64_t size)
{
	CHECK(loader->taken_count < ARRAY_SIZE(loader->taken));
	loader->taken[loader->taken_count++] = (struct range){ gpa, size };
}

static void take_reserved(struct loader *loader)
{
	const struct machine_config *config = loader->config;

	loader->taken_count = 0;
	for (size_t i = 0; i < config->reserved_count; i++)
		if (config->reserved[i].size)
			take(loader, config->reserved[i].gpa, config->reserved[i].size);
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
		uint64_t start = used		     ? range->gpa + range->size
				 : range->gpa < from ? from
						     : range->gpa;
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

/* From the first byte that a kernel with segments of its own needs to the last. */
static struct range span_of(const struct image *kernel)
{
	uint64_t start = UINT64_MAX, last = 0;

	for (unsigned i = 0; i < kernel->segment_count; i++) {
		const struct image_segment *segment = &kernel->segments[i];

		if (segment->gpa < start)
			start = segment->gpa;
		if (segment->gpa + (segment->mem_size - 1) > last)
			last = segment->gpa + (segment->mem_size - 1);
	}
	return (struct range){ start, last - start + 1 };
}

static const struct image_segment *first_in_the_way(const struct loader *loader)
{
	const struct image *kernel = &loader->kernel;

	for (unsigned i = 0; i < kernel->segment_count; i++)
		if (!is_free(loader, kernel->segments[i].gpa, kernel->segments[i].mem_size))
			return &kernel->segments[i];
	return NULL;
}

static void move_elf(struct loader *loader, uint64_t by)
{
	for (unsigned i = 0; i < loader->kernel.segment_count; i++)
		loader->kernel.segments[i].gpa += by;
	loader->moved_by += by;
}

/* The tree at RAM_BASE, if the place is free. */
static void plan_early_tree(struct loader *loader)
{
	if (loader->plan.tree_gpa || !is_free(loader, RAM_BASE, TREE_SIZE_MAX))
		return;
	loader->plan.tree_gpa = RAM_BASE;
	take(loader, RAM_BASE, TREE_SIZE_MAX);
}

static int plan_elf(struct loader *loader, struct errors *errors)
{
	struct image *kernel = &loader->kernel;
	const struct image_segment *segment;
	uint64_t gpa;

	move_elf(loader, -loader->moved_by); /* back to where it was linked */
	segment = first_in_the_way(loader);
	if (segment && kernel->movable) {
		struct range span = span_of(kernel);
		uint64_t offset = span.gpa % kernel->align;

		plan_early_tree(loader);
		if (!find_place(loader, 0, kernel->align, offset, span.size, &gpa))
			return no_place(
				loader, kernel, kernel->kind, span.size, kernel->align, errors);
		move_elf(loader, gpa - span.gpa);
	} else if (segment) {
		error_add(errors, kernel->path, NULL,
			"an ELF segment wants 0x%llx to 0x%llx, which is not free: needed is memory from 0x%llx on, outside reserved ranges; link it elsewhere, or change /memory",
			(unsigned long long)segment->gpa,
			(unsigned long long)(segment->gpa + (segment->mem_size - 1)),
			(unsigned long long)RAM_BASE);
		return -EINVAL;
	}
	loader->plan.entry_gpa = kernel->entry + loader->moved_by;
	return 0;
}

/* How much memory a raw binary uses beyond its end is not known: so much is left free. */
static uint64_t raw_room(const struct machine_config *config)
{
	return config->memory[0].size / 2 < RAW_ROOM ? config->memory[0].size / 2 : RAW_ROOM;
}

static int plan_raw(struct loader *loader, struct errors *errors)
{
	const struct machine_config *config = loader->config;
	struct image_segment *segment = &loader->kernel.segments[0];
	uint64_t offset;

	if (loader_fit_entry(loader, &offset, errors))
		return -EINVAL;
	if (config->raw_kernel)
		segment->gpa = config->kernel_gpa;
	else if (!loader_fit_place(loader, &segment->gpa))
		segment->gpa = KERNEL_PLACE;
	if (!is_free(loader, segment->gpa, segment->mem_size)) {
		error_add(errors, loader->kernel.path, NULL,
			"is a raw binary of %.1f MiB for 0x%llx, and that is not free: needed is memory from 0x%llx on, outside reserved ranges; name another place in /chosen (sluice,kernel-address), or change /memory",
			mib(segment->mem_size), (unsigned long long)segment->gpa,
			(unsigned long long)RAM_BASE);
		return -EINVAL;
	}
	loader->plan.entry_gpa = segment->gpa + offset;
	return 0;
}

static int plan_image(struct loader *loader, struct errors *errors)
{
	struct image *kernel = &loader->kernel;
	struct image_segment *segment = &kernel->segments[0];

	if (!find_place(loader, KERNEL_PLACE, IMAGE_BASE_ALIGN, kernel->text_offset,
		    segment->mem_size, &segment->gpa) &&
		!find_place(loader, 0, IMAGE_BASE_ALIGN, kernel->text_offset, segment->mem_size,
			&segment->gpa))
		return no_place(
			loader, kernel, kernel->kind, segment->mem_size, IMAGE_BASE_ALIGN, errors);
	loader->plan.entry_gpa = segment->gpa + kernel->entry;
	return 0;
}

static int plan_initrd(
	struct loader *loader, const struct range *kernel, uint64_t from, struct errors *errors)
{
	struct image *initrd = &loader->initrd;
	struct image_segment *segment = &initrd->segments[0];
	uint64_t gpa, low, high, end = kernel->gpa + kernel->size, size = segment->mem_size;

	if (!find_place(loader, from, INITRD_ALIGN, 0, size, &gpa) &&
		!find_place(loader, 0, INITRD_ALIGN, 0, size, &gpa))
		return no_place(loader, initrd, "initrd", size, INITRD_ALIGN, errors);
	low = align_down(gpa < kernel->gpa ? gpa : kernel->gpa, GiB);
	high = gpa + size > end ? gpa + size : end;
	if (!loader->kernel.placed && high - low > INITRD_REACH) {
		error_add(errors, initrd->path, NULL,
			"initrd fits only at 0x%llx, more than 32 GiB from the kernel at 0x%llx, where Linux does not find it; make the first /memory range larger",
			(unsigned long long)gpa, (unsigned long long)kernel->gpa);
		return -EINVAL;
	}
	segment->gpa = gpa;
	initrd->segment_count = 1;
	loader->plan.initrd = (struct range){ gpa, size };
	take(loader, gpa, size);
	return 0;
}

static int plan_tree(struct loader *loader, uint64_t from, struct errors *errors)
{
	struct loader_result *plan = &loader->plan;

	if (plan->tree_gpa ||
		find_place(loader, from, TREE_ALIGN, 0, TREE_SIZE_MAX, &plan->tree_gpa) ||
		find_place(loader, 0, INITRD_ALIGN, 0, TREE_SIZE_MAX, &plan->tree_gpa))
		return 0;
	error_add(errors, loader->kernel.path, NULL,
		"does not fit into memory beside the guest's tree, which needs %.1f MiB in one piece: the largest free one has %.1f MiB; make /memory larger",
		mib(TREE_SIZE_MAX), mib(largest_free(loader)));
	return -EINVAL;
}

int loader_place_firmware(struct loader *loader, struct errors *errors)
{
	take_reserved(loader);
	if (is_free(loader, RAM_BASE, TREE_SIZE_MAX))
		return 0;
	error_add(errors, "/chosen", "sluice,firmware",
		"finds the tree at 0x%llx, and that is not free: needed are %llu KiB of memory there, outside reserved ranges",
		(unsigned long long)RAM_BASE, (unsigned long long)(TREE_SIZE_MAX / KiB));
	return -EINVAL;
}

int loader_place(struct loader *loader, struct errors *errors)
{
	const struct machine_config *config = loader->config;
	struct range kernel;
	uint64_t end;
	int err;

	take_reserved(loader);
	err = loader->kernel.placed ? plan_elf(loader, errors)
	      : loader->kernel.raw  ? plan_raw(loader, errors)
				    : plan_image(loader, errors);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < loader->kernel.segment_count; i++)
		take(loader, loader->kernel.segments[i].gpa,
			loader->kernel.segments[i].mem_size +
				(loader->kernel.raw ? raw_room(config) : 0));
	if (loader->kernel.placed)
		plan_early_tree(loader);
	kernel = span_of(&loader->kernel);
	loader->plan.kernel = kernel;
	end = kernel.gpa + kernel.size;
	if (loader->kernel.raw)
		end += raw_room(config);
	if (loader->initrd.fd >= 0) {
		err = plan_initrd(loader, &kernel, end, errors);
		if (err < 0)
			return err;
		if (loader->plan.initrd.gpa + loader->plan.initrd.size > end)
			end = loader->plan.initrd.gpa + loader->plan.initrd.size;
	}
	return plan_tree(loader, end, errors);
}
