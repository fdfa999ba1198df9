/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels and initrds at the edges of their formats and of the memory that they are put into. */
#include "tests/unit/helpers/loader-fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "board/boot/image.h"

/* Linux's window of 32 GiB begins at the multiple of 1 GiB below kernel and initrd. */
static void initrd_reach(void **state)
{
	uint64_t end = 33 * GiB; /* of the window that begins at RAM, 1 GiB */

	config.memory[0] = (struct range){ RAM_BASE + 512 * MiB, 4 * MiB };
	config.memory[1] = (struct range){ end - 64 * KiB, 1 * GiB };
	config.memory_count = 2;
	config.reserved[0] = (struct range){ RAM_BASE + 512 * MiB, 2 * MiB };
	config.reserved_count = 1;
	config.initrd.name = initrd_path;
	make_image(1000, 0, 2 * MiB);
	write_kernel();
	/* The kernel takes what there is of the first range; nothing is loaded, there is no memory. */
	assert_int_equal(truncate(initrd_path, 64 * KiB), 0);
	assert_true(load() < 0);
	assert_null(strstr(errors.lines[0], "32 GiB"));
	assert_int_equal(truncate(initrd_path, 64 * KiB + 1), 0);
	assert_true(load() < 0);
	assert_non_null(
		strstr(errors.lines[0], "initrd fits only at 0x83fff0000, more than 32 GiB"));
	/* An ELF says itself where it is, and follows no rule of Linux's. */
	elf_start();
	phdrs[1].p_paddr += 512 * MiB;
	phdrs[2].p_paddr += 512 * MiB - 1 * MiB + 0x1000;
	elf_write();
	write_kernel();
	config.memory[0].size = 3 * MiB + 128 * KiB;
	assert_int_equal(truncate(initrd_path, 1 * MiB), 0);
	assert_true(load() < 0);
	assert_null(strstr(errors.lines[0], "32 GiB"));
}

/* Below the kernel the window begins where the initrd is. */
static void initrd_reach_below(void **state)
{
	struct loader *loader;

	config.memory[0] = (struct range){ RAM_BASE, 3 * MiB };
	config.memory[1] = (struct range){ 32 * GiB, 4 * MiB };
	config.memory_count = 2;
	config.initrd.name = initrd_path;
	assert_int_equal(truncate(initrd_path, 1 * MiB), 0);
	make_image(1000, 0, 4 * MiB);
	write_kernel();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	loader_plan(loader, &result);
	assert_int_equal(result.entry_gpa, 32 * GiB);
	assert_int_equal(result.initrd.gpa, RAM_BASE);
	loader_close(loader);
	config.memory[1].gpa = 33 * GiB - 2 * MiB;
	assert_int_equal(loader_open(&config, &errors, &loader), -EINVAL);
	assert_non_null(strstr(errors.lines[0], "more than 32 GiB from the kernel"));
}

/* A gap of exactly the size will do; an initrd begins at a multiple of 64 KiB. */
static void initrd_gaps(void **state)
{
	config.initrd.name = initrd_path;
	config.reserved[0] = (struct range){ KERNEL_GPA + 2 * MiB + 64 * KiB, 0x1000 };
	config.reserved_count = 1;
	make_image(1000, 0, 2 * MiB);
	write_kernel();
	assert_int_equal(truncate(initrd_path, 64 * KiB), 0);
	assert_int_equal(load(), 0);
	assert_int_equal(result.initrd.gpa, KERNEL_GPA + 2 * MiB);
	assert_int_equal(truncate(initrd_path, 64 * KiB + 1), 0);
	assert_int_equal(load(), 0);
	assert_int_equal(result.initrd.gpa, KERNEL_GPA + 2 * MiB + 128 * KiB);
	/* and up to the last byte of memory */
	assert_int_equal(truncate(initrd_path, RAM_SIZE - 4 * MiB - 128 * KiB), 0);
	assert_int_equal(load(), 0);
	assert_int_equal(result.initrd.gpa, KERNEL_GPA + 2 * MiB + 128 * KiB);
	assert_int_equal(truncate(initrd_path, RAM_SIZE - 4 * MiB - 128 * KiB + 1), 0);
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "initrd does not fit into memory"));
	/* A reserved range of no size is in nobody's way. */
	config.reserved[0] = (struct range){ KERNEL_GPA + 64 * KiB, 0 };
	assert_int_equal(truncate(initrd_path, 1), 0);
	assert_int_equal(load(), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
}

/* The largest free piece is given to a tenth of a MiB, between what is in the way and memory's end. */
static void largest_piece(void **state)
{
	config.reserved[0] = (struct range){ RAM_BASE + 8 * MiB, 16 * MiB };
	config.reserved[1] = (struct range){ RAM_BASE + 60 * MiB, 1 * MiB };
	config.reserved_count = 2;
	make_image(1000, 0, 36 * MiB + 1);
	assert_refused("it needs 36.0 MiB in one piece, from a multiple of 2048 KiB on; the "
		       "largest free one has 36.0 MiB");
	make_image(1000, 0, 36 * MiB);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 24 * MiB);
}

/* ---- Formats ---- */

/* Before Linux 3.17 the header has no size: the old offset, and 64 MiB left free. */
static void old_image(void **state)
{
	make_image(1000, 0, 0);
	put64(24, 1); /* flags of such a header mean nothing */
	gzip(0);
	config.memory[0].size = 4 * MiB + 0x80000 + 64 * MiB;
	assert_true(load_kernel() < 0); /* planned, and no memory there */
	assert_non_null(strstr(
		errors.lines[0], "67108864 bytes at 0x40280000 are not in the machine's memory"));
	config.memory[0].size = 0x80000 + 64 * MiB - 1;
	assert_refused("does not fit into memory: it needs 64.5 MiB");
}

/* A header is 64 bytes: a file of fewer is none. */
static void smallest_image(void **state)
{
	make_image(64, 0, 4096);
	assert_int_equal(load_kernel(), 0);
	file_len = 63;
	assert_refused("is an EFI program, but not an arm64 Linux kernel");
}

/* The sections of its PE header, the last of which ends with the file, show what was cut off. */
static void efi_sections(void **state)
{
	make_efi();
	put32(0x40 + 24 + 0xa0 + 40 + 16, 2001);
	assert_refused("is truncated: its header says 4001 bytes, the file has 4000");
	make_efi();
	put32(0x40 + 24 + 0xa0 + 16, 3001); /* any of them, not the last alone */
	assert_refused("is truncated: its header says 4001 bytes");
	make_efi();
	file[0x40 + 6] = 1; /* one section: the second is none */
	put32(0x40 + 24 + 0xa0 + 40 + 16, 2001);
	assert_int_equal(load_kernel(), 0);
	make_efi();
	file[0x41] = 'X'; /* no PE header */
	put32(0x40 + 24 + 0xa0 + 16, 9999);
	assert_int_equal(load_kernel(), 0);
	/* At the end of the 1024 bytes that are examined: a section's last byte is the last. */
	make_efi();
	memset(file + 0x40, 0, 0x200);
	put32(0x3c, 1024 - 40 - 24);
	memset(file + 1024 - 64, 0, 64);
	memcpy(file + 1024 - 64, "PE\0\0\x64\xaa\x01", 7);
	put32(1024 - 40 + 16, 4001);
	assert_refused("is truncated: its header says 4001 bytes");
	make_efi();
	put32(0x3c, 1024 - 23); /* the header's own end is behind them */
	memcpy(file + 1024 - 23, "PE\0\0\x64\xaa\x01", 7);
	assert_int_equal(load_kernel(), 0);
}

/* Packed data may be read up to anywhere when the last byte comes out of it: all of it is there. */
static void gzip_ends_anywhere(void **state)
{
	for (size_t len = 65440; len < 65560; len++) {
		make_image(len, 0, len);
		for (size_t i = 64; i < len; i++)
			file[i] = (uint8_t)(random() >> 7); /* so packed it is hardly shorter */
		gzip(0);
		assert_int_equal(load_kernel(), 0);
	}
	assert_true(file_len > 65536);
}

/* A reset reads anew what kind of file it is: nothing of the last kind is left. */
static void another_kind_meanwhile(void **state)
{
	struct loader *loader = NULL;

	for (unsigned i = 0; i < 9; i++) {
		if (i % 3 == 0) {
			elf_start();
			elf_write();
		} else {
			make_image(1000, 0x1000, 4096);
			if (i == 2 || i == 4)
				gzip(0);
		}
		write_kernel();
		if (!loader)
			assert_int_equal(loader_open(&config, &errors, &loader), 0);
		memset(ram, 0, 8 * MiB);
		assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
		if (i % 3 == 0) {
			assert_int_equal(result.entry_gpa, RAM_BASE + 3 * MiB + 0x10);
			assert_memory_equal(ram + 3 * MiB, file + 0x1000, 0x500);
			assert_true(all_zero(ram + 2 * MiB, MiB));
		} else {
			assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x1000);
			make_image(1000, 0x1000, 4096);
			assert_memory_equal(ram + 2 * MiB + 0x1000, file, 1000);
		}
	}
	loader_close(loader);
}

/* The packed data may end with the file, and not a byte behind. */
static void zboot_bounds(void **state)
{
	uint32_t size;

	make_zboot("gzip");
	file_len -= 100;
	size = (uint32_t)file_len - 1024;
	put32(12, size);
	assert_int_equal(load_kernel(), 0);
	put32(12, size + 1);
	assert_refused("is truncated: its header says");
	make_zboot("gzip");
	put32(8, (uint32_t)file_len);
	put32(12, 0);
	assert_refused("is an EFI zboot kernel that holds nothing");
	put32(8, (uint32_t)file_len + 1);
	assert_refused("is truncated: its header says");
}

/* Writes a gzip member: `before` and `after` MiB of blocks that hold nothing, and the file's bytes between them. */
static void write_hollow(unsigned before, unsigned after)
{
	static const uint8_t head[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
	static uint8_t hollow[5 * 1024];
	uint8_t block[5] = { 0, (uint8_t)file_len, (uint8_t)(file_len >> 8), (uint8_t)~file_len,
		(uint8_t)(~file_len >> 8) };
	uint8_t end[5 + 8] = { 1, 0, 0, 0xff, 0xff };
	uint32_t words[2] = { (uint32_t)crc32(0, file, (unsigned)file_len), (uint32_t)file_len };
	FILE *out = fopen(kernel_path, "w");

	for (unsigned i = 0; i < sizeof(hollow); i += 5)
		memcpy(hollow + i, "\0\0\0\xff\xff", 5);
	memcpy(end + 5, words, sizeof(words));
	assert_non_null(out);
	fwrite(head, sizeof(head), 1, out);
	for (uint64_t i = 0; i < before * MiB; i += sizeof(hollow))
		fwrite(hollow, sizeof(hollow), 1, out);
	fwrite(block, sizeof(block), 1, out);
	fwrite(file, file_len, 1, out);
	for (uint64_t i = 0; i < after * MiB; i += sizeof(hollow))
		fwrite(hollow, sizeof(hollow), 1, out);
	fwrite(end, sizeof(end), 1, out);
	assert_int_equal(fclose(out), 0);
}

/* Packed data that holds nothing takes steps too; only the first MiB is searched for the header of what is packed. */
static void hollow_gzip(void **state)
{
	struct loader *loader;
	unsigned steps = 1;

	make_image(4000, 0, 4096);
	write_hollow(0, 3);
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	while (loader_load(loader, &mem, 0, &errors, &result) == 1)
		steps++;
	assert_false(errors_any(&errors));
	assert_memory_equal(ram + 2 * MiB, file, 4000);
	assert_in_range(steps, 3 * MiB / (64 * KiB), 3 * MiB / (64 * KiB) + 3);
	loader_close(loader);
	write_hollow(2, 0);
	assert_true(loader_open(&config, &errors, &loader) < 0);
	assert_non_null(strstr(errors.lines[0],
		"has damaged gzip data: its first 1 MiB unpack to less than a header"));
}

#define REFUSED(change, words)                                                                     \
	do {                                                                                       \
		elf_start();                                                                       \
		change;                                                                            \
		elf_write();                                                                       \
		assert_refused(words);                                                             \
	} while (0)
#define LOADED(change)                                                                             \
	do {                                                                                       \
		elf_start();                                                                       \
		change;                                                                            \
		elf_write();                                                                       \
		assert_int_equal(load_kernel(), 0);                                                \
	} while (0)

static void elf_entry(void **state)
{
	LOADED(elf.e_entry = 0xffff000000000000);
	assert_int_equal(result.entry_gpa, RAM_BASE + 3 * MiB);
	LOADED(elf.e_entry = 0xffff0000000004ff);
	assert_int_equal(result.entry_gpa, RAM_BASE + 3 * MiB + 0x4ff);
	REFUSED(elf.e_entry = 0xffff000000000500,
		"no ELF segment to load that holds its entry point");
	REFUSED(elf.e_entry = 0xfffeffffffffffff,
		"no ELF segment to load that holds its entry point");
	LOADED(elf.e_entry = 0xffff0000001100ff); /* the last byte of the other's memory */
	assert_int_equal(result.entry_gpa, RAM_BASE + 4 * MiB + 0x100ff);
	REFUSED(elf.e_entry = 0xffff000000110100, "entry point");
}

static void elf_segments(void **state)
{
	LOADED(phdrs[1].p_filesz = phdrs[1].p_memsz);
	REFUSED(phdrs[1].p_filesz = phdrs[1].p_memsz + 1, "ELF segment 1 is not within the file");
	LOADED(phdrs[2].p_offset = 0x2100; phdrs[2].p_filesz = 0);
	REFUSED(phdrs[2].p_offset = 0x2101;
		phdrs[2].p_filesz = 0, "ELF segment 2 is not within the file");
	LOADED(phdrs[2].p_offset = 0x2001; phdrs[2].p_filesz = 0xff);
	REFUSED(phdrs[2].p_offset = 0x2001, "ELF segment 2 is not within the file");
	REFUSED(phdrs[1].p_paddr = UINT64_MAX - 0x4fe,
		"ELF segment 1 passes the end of the address space");
	REFUSED(phdrs[1].p_paddr = UINT64_MAX - 0x4ff,
		"for virtual addresses"); /* its last byte is the last */
	REFUSED(phdrs[1].p_paddr = (UINT64_C(1) << 52) - 0x500, "is not free");
	LOADED(phdrs[1].p_paddr = RAM_BASE);
	REFUSED(phdrs[1].p_paddr = RAM_BASE - 1, "is not free");
	LOADED(phdrs[1].p_paddr = RAM_BASE + RAM_SIZE - 0x500);
	REFUSED(phdrs[1].p_paddr = RAM_BASE + RAM_SIZE - 0x4ff, "is not free");
	LOADED(phdrs[2].p_memsz = 0); /* nothing to load: no segment */
	LOADED(elf.e_type = ET_DYN);
	REFUSED(elf.e_type = ET_CORE, "is not linked to run");
	config.memory[0].gpa = 0; /* memory that begins at 0 shows a check that wraps */
	config.memory[0].size = RAM_BASE + RAM_SIZE;
	REFUSED(phdrs[1].p_paddr = (UINT64_C(1) << 52) - 0x500, "is not free");
}

/* 16 program headers, all of which may be segments. */
static void elf_headers(void **state)
{
	for (unsigned count = 16; count <= 17; count++) {
		Elf64_Phdr *all = (Elf64_Phdr *)(void *)(file + sizeof(elf));

		elf_start();
		elf.e_phnum = (uint16_t)count;
		elf_write();
		for (unsigned i = 0; i < count; i++) {
			all[i] = phdrs[1];
			all[i].p_paddr += i * 0x1000;
		}
		if (count == 16)
			assert_int_equal(load_kernel(), 0);
		else
			assert_refused(
				"has 17 ELF program headers of 56 bytes; needed are 1 to 16 of 56");
	}
	REFUSED(elf.e_phentsize = 57, "has 3 ELF program headers of 57 bytes");
	REFUSED(elf.e_phoff = 0x2100, "is truncated: it ends at byte 8448, 168 more are needed");
	REFUSED(elf.e_phoff = 0x2101, "is truncated: its ELF program headers are beyond its end");
	elf_start();
	elf_write();
	file_len = sizeof(elf) - 1;
	assert_refused("is truncated within its ELF header");
}

/* What each is by its first bytes, and by no fewer. */
static void kinds(void **state)
{
	static const struct {
		size_t at, len;
		const char *magic, *words;
	} all[] = {
		{ 0x202, 4, "HdrS", "is an x86 kernel" },
		{ 0x24, 4, "\x18\x28\x6f\x01", "is a 32-bit ARM kernel" },
		{ 0x38, 4, "RSC\x05", "is a RISC-V kernel" },
		{ 0, 4, "\x27\x05\x19\x56", "is a U-Boot legacy image" },
		{ 0, 4, "\xd0\x0d\xfe\xed", "is truncated: it ends within the header of its tree" },
		{ 0, 3, "BZh", "is compressed with bzip2" },
		{ 0, 4, "\x89LZO", "is compressed with lzop" },
		{ 0, 6, "070701", "is an initramfs (cpio)" },
		{ 0, 7, "!<arch>", "is a Debian package or an archive" },
		{ 0, 4, "PK\x03\x04", "is a zip archive" },
		{ 0, 4, "hsqs", "is a file system (squashfs)" },
		{ 0, 8, "/dts-v1/", "is the source of a device tree" },
		{ 0, 4, "QFI\xfb", "is a disk (qcow2)" },
		{ 510, 2, "\x55\xaa", "is a disk with partitions" },
		{ 0, 2, "#!", "is a script" },
		{ 0, 2, "MZ", "is an EFI program" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		memset(file, 0, 1024);
		memcpy(file + all[i].at, all[i].magic, all[i].len);
		file_len = all[i].at + all[i].len;
		assert_refused(all[i].words);
		/* Less of it is none that Sluice knows: it is taken as it is, with a warning. */
		file_len--;
		assert_int_equal(load_kernel(), 0);
		assert_string_equal(result.kind, "raw binary");
	}
}

static void elf_machines(void **state)
{
	static const struct {
		uint16_t machine;
		const char *words;
	} all[] = {
		{ EM_386, "is an ELF for x86 (machine 3)" },
		{ EM_X86_64, "is an ELF for x86 (machine 62)" },
		{ EM_ARM, "is an ELF for 32-bit ARM" },
		{ EM_RISCV, "is an ELF for RISC-V" },
		{ EM_PPC64, "is an ELF for PowerPC" },
		{ EM_S390, "is an ELF for s390" },
		{ EM_MIPS, "is an ELF for another machine (machine 8)" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		REFUSED(elf.e_machine = all[i].machine, all[i].words);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, loader_setup, loader_teardown)
	const struct CMUnitTest tests[] = {
		T(initrd_reach),
		T(initrd_reach_below),
		T(initrd_gaps),
		T(largest_piece),
		T(old_image),
		T(smallest_image),
		T(efi_sections),
		T(gzip_ends_anywhere),
		T(another_kind_meanwhile),
		T(zboot_bounds),
		T(hollow_gzip),
		T(elf_entry),
		T(elf_segments),
		T(elf_headers),
		T(kinds),
		T(elf_machines),
	};

	return cmocka_run_group_tests_name("loader-limits", tests, make_folder, remove_folder);
}
