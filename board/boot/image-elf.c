/* SPDX-License-Identifier: Apache-2.0 */
/* AArch64 ELF files; see image.h. Sources: the ELF specification, and the ELF for the Arm 64-bit Architecture. */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "board/boot/image-internal.h"
#include "board/text/errors.h"

#define ALIGN_MAX GiB
#define PA_LIMIT  (UINT64_C(1) << 52) /* of any arm64 machine; Linux's own addresses are above */

static const char *elf_machine(unsigned machine)
{
	switch (machine) {
	case EM_386:
	case EM_X86_64:
		return "x86";
	case EM_ARM:
		return "32-bit ARM";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC64:
		return "PowerPC";
	case EM_S390:
		return "s390";
	}
	return "another machine";
}

int image_describe_elf(struct image *image, const struct image_part *part, struct errors *errors)
{
	Elf64_Phdr phdrs[IMAGE_SEGMENTS];
	uint64_t align = IMAGE_BASE_ALIGN, table;
	bool entered = false;
	Elf64_Ehdr elf;
	int err;

	if (part->len < sizeof(elf))
		return image_refuse(image, errors, "is truncated within its ELF header");
	memcpy(&elf, part->head, sizeof(elf));
	if (elf.e_ident[EI_DATA] != ELFDATA2LSB)
		return image_refuse(
			image, errors, "is a big-endian ELF; needed is little-endian AArch64");
	if (le16toh(elf.e_machine) != EM_AARCH64) {
		error_add(errors, image->path, NULL,
			"is an ELF for %s (machine %u); needed is AArch64",
			elf_machine(le16toh(elf.e_machine)), le16toh(elf.e_machine));
		return -EINVAL;
	}
	if (elf.e_ident[EI_CLASS] != ELFCLASS64)
		return image_refuse(image, errors, "is a 32-bit ELF; needed is a 64-bit one");
	if (le16toh(elf.e_type) != ET_EXEC && le16toh(elf.e_type) != ET_DYN)
		return image_refuse(
			image, errors, "is an ELF that is not linked to run (an object or a core)");
	if (le16toh(elf.e_phentsize) != sizeof(phdrs[0]) || !le16toh(elf.e_phnum) ||
		le16toh(elf.e_phnum) > IMAGE_SEGMENTS) {
		error_add(errors, image->path, NULL,
			"has %u ELF program headers of %u bytes; needed are 1 to %u of %zu",
			le16toh(elf.e_phnum), le16toh(elf.e_phentsize), IMAGE_SEGMENTS,
			sizeof(phdrs[0]));
		return -EINVAL;
	}
	if (le64toh(elf.e_phoff) > part->size)
		return image_refuse(
			image, errors, "is truncated: its ELF program headers are beyond its end");
	table = sizeof(phdrs[0]) * le16toh(elf.e_phnum);
	if (table > part->size - le64toh(elf.e_phoff)) {
		error_add(errors, image->path, NULL,
			"is truncated: it ends at byte %llu, %llu more are needed",
			(unsigned long long)part->size,
			(unsigned long long)(le64toh(elf.e_phoff) + table - part->size));
		return -EINVAL;
	}
	err = image_read(image, part->offset + le64toh(elf.e_phoff), phdrs, table, errors);
	if (err < 0)
		return err;

	for (unsigned i = 0; i < le16toh(elf.e_phnum); i++) {
		struct image_segment *segment = &image->segments[image->segment_count];
		uint64_t from_start = le64toh(elf.e_entry) - le64toh(phdrs[i].p_vaddr);

		if (le32toh(phdrs[i].p_type) != PT_LOAD || !phdrs[i].p_memsz)
			continue;
		if (le64toh(phdrs[i].p_align) > align)
			align = le64toh(phdrs[i].p_align);
		*segment = (struct image_segment){
			.gpa = le64toh(phdrs[i].p_paddr),
			.file_offset = le64toh(phdrs[i].p_offset),
			.file_size = le64toh(phdrs[i].p_filesz),
			.mem_size = le64toh(phdrs[i].p_memsz),
		};
		if (segment->file_size > segment->mem_size || segment->file_offset > part->size ||
			segment->file_size > part->size - segment->file_offset) {
			error_add(errors, image->path, NULL,
				"is truncated or damaged: ELF segment %u is not within the file",
				i);
			return -EINVAL;
		}
		segment->file_offset += part->offset;
		if (segment->gpa + (segment->mem_size - 1) < segment->gpa) {
			error_add(errors, image->path, NULL,
				"is damaged: ELF segment %u passes the end of the address space",
				i);
			return -EINVAL;
		}
		if (segment->gpa >= PA_LIMIT)
			return image_refuse(image, errors,
				"is a vmlinux, or another ELF for virtual addresses, which no loader can place: take the Image of the same build (arch/arm64/boot/Image)");
		if (segment->gpa + (segment->mem_size - 1) >= PA_LIMIT) {
			error_add(errors, image->path, NULL,
				"is damaged: ELF segment %u is larger than any memory", i);
			return -EINVAL;
		}
		if (from_start < segment->mem_size) {
			image->entry = segment->gpa + from_start;
			entered = true;
		}
		image->segment_count++;
	}
	if (align & (align - 1) || align > ALIGN_MAX)
		return image_refuse(image, errors,
			"has an ELF segment whose alignment is no power of two up to 1 GiB");
	if (!entered)
		return image_refuse(
			image, errors, "has no ELF segment to load that holds its entry point");
	image->placed = true;
	image->movable = le16toh(elf.e_type) == ET_DYN;
	image->align = align;
	return 0;
}
