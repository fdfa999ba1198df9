/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of an EFI program; see pe.h. */
#include "board/config/pe.h"

#include <endian.h>
#include <string.h>

#define OFFSET_AT 0x3c
#define ARM64	  0xaa64

struct header {
	char magic[4];
	uint16_t machine, sections;
	uint32_t time, symbols, symbol_count;
	uint16_t optional, characteristics;
};

struct section {
	char name[8];
	uint32_t size, address; /* in memory */
	uint32_t file_size, file_offset;
	uint32_t unused[4];
};

static bool read_within(const struct pe_source *source, uint64_t offset, void *ret_buf, size_t len)
{
	return offset <= source->size && len <= source->size - offset &&
	       source->read(source, offset, ret_buf, len);
}

bool pe_read(const struct pe_source *source, struct pe *ret)
{
	struct section sections[PE_SECTIONS];
	struct header header;
	char magic[2];
	uint32_t offset;
	uint64_t table;
	unsigned count;

	if (!read_within(source, 0, magic, sizeof(magic)) || memcmp(magic, "MZ", 2) != 0 ||
		!read_within(source, OFFSET_AT, &offset, sizeof(offset)) ||
		!read_within(source, le32toh(offset), &header, sizeof(header)) ||
		memcmp(header.magic, "PE\0", 4) != 0 || le16toh(header.machine) != ARM64)
		return false;
	count = le16toh(header.sections);
	table = le32toh(offset) + sizeof(header) + le16toh(header.optional);
	if (count > PE_SECTIONS || !read_within(source, table, sections, count * sizeof(*sections)))
		return false;
	for (unsigned i = 0; i < count; i++) {
		struct pe_section *section = &ret->sections[i];
		uint32_t size = le32toh(sections[i].size);

		/* What the file has is padded; what memory has beyond that is zeros, of which nobody has a use. */
		if (!size || size > le32toh(sections[i].file_size))
			size = le32toh(sections[i].file_size);
		memcpy(section->name, sections[i].name, sizeof(section->name));
		section->size = size;
		section->offset = le32toh(sections[i].file_offset);
	}
	ret->count = count;
	return true;
}

const struct pe_section *pe_find(const struct pe *pe, const char *name)
{
	for (unsigned i = 0; i < pe->count; i++)
		if (!strncmp(pe->sections[i].name, name, sizeof(pe->sections[i].name)))
			return &pe->sections[i];
	return NULL;
}
