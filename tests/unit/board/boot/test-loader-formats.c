/* SPDX-License-Identifier: Apache-2.0 */
/* PE bundles, ELF programs that can be moved or begin where RAM does, raw binaries; and where the guest's tree is. */
#include "tests/unit/helpers/loader-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/config/pe.h"

#define BUNDLE_HEAD 0x40
#define SECTIONS    (BUNDLE_HEAD + 24 + 0xf0)

/* ---- PE bundles, as ukify and stubble write them: a small program, then sections ---- */

static struct {
	char name[9];
	uint32_t size, padded, offset;
} sections[8];
static unsigned section_count;

static void put16(size_t at, uint16_t v)
{
	memcpy(file + at, &v, sizeof(v));
}

static void add_section(const char *name, const void *data, uint32_t size)
{
	uint32_t padded = align_up(size, 512);

	strncpy(sections[section_count].name, name, 8);
	sections[section_count].size = size;
	sections[section_count].padded = padded;
	sections[section_count].offset = file_len;
	memset(file + file_len, 0, padded);
	memmove(file + file_len, data, size);
	file_len += padded;
	section_count++;
}

static void begin_bundle(void)
{
	memset(file, 0, 4096);
	file_len = 4096;
	section_count = 0;
}

static void end_bundle(void)
{
	memcpy(file, "MZ", 2);
	put32(0x3c, BUNDLE_HEAD);
	memcpy(file + BUNDLE_HEAD, "PE\0\0", 4);
	put16(BUNDLE_HEAD + 4, 0xaa64);
	put16(BUNDLE_HEAD + 6, section_count);
	put16(BUNDLE_HEAD + 20, 0xf0);
	for (unsigned i = 0; i < section_count; i++) {
		size_t at = SECTIONS + 40 * i;

		memcpy(file + at, sections[i].name, 8);
		put32(at + 8, sections[i].size);
		put32(at + 12, 0x10000 * i);
		put32(at + 16, sections[i].padded);
		put32(at + 20, sections[i].offset);
	}
}

static uint8_t kernel[100000];
static size_t kernel_len;
static char words[3000];

/* With a kernel of this packing (PACKINGS: none), in a zboot or alone. */
static void make_bundle(unsigned packing, bool zboot)
{
	make_image(60000, 0, 90000);
	if (zboot)
		make_zboot_of(packing, packing_names[packing]);
	else if (packing < PACKINGS)
		pack_file(packing, 0);
	kernel_len = file_len;
	memcpy(kernel, file, kernel_len);
	begin_bundle();
	add_section(".text", "a program", 9);
	add_section(".osrel", "ID=debian\n", 10);
	add_section(".cmdline", "console=ttyAMA0 quiet\n", 22);
	add_section(".linux", kernel, kernel_len);
	add_section(".initrd", "an initrd", 9);
	end_bundle();
}

static void bundles(void **state)
{
	for (unsigned i = 0; i <= PACKINGS; i++)
		for (unsigned zboot = 0; zboot < 2; zboot++) {
			if (i == PACKINGS && zboot)
				continue;
			memset(ram, 0, 16 * MiB);
			make_bundle(i, zboot);
			assert_int_equal(load_kernel(), 0);
			assert_string_equal(result.kind, "PE bundle");
			assert_int_equal(result.entry_gpa, KERNEL_GPA);
			make_image(zboot ? 100000 : 60000, 0, zboot ? 200000 : 90000);
			assert_memory_equal(ram + 2 * MiB, file, file_len);
			assert_true(result.bundled_initrd);
			assert_int_equal(result.initrd.size, 9);
			assert_memory_equal(ram + (result.initrd.gpa - RAM_BASE), "an initrd", 9);
		}
}

/* The tree's own initrd and command line come first. */
static void bundles_by_choice(void **state)
{
	struct loader *loader;

	make_bundle(PACKINGS, false);
	write_kernel();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	loader_plan(loader, &result);
	assert_string_equal(result.cmdline, "console=ttyAMA0 quiet");
	assert_false(result.growth.self_carried);
	/* At a reset it may be another one. */
	begin_bundle();
	add_section(".cmdline",
		"memhp_default_state=online memory_hotplug.online_policy=auto-movable", 68);
	add_section(".linux", kernel, kernel_len);
	end_bundle();
	write_kernel();
	assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
	assert_true(result.growth.self_carried);
	assert_int_equal(result.initrd.size, 0);
	loader_close(loader);

	write_to(initrd_path, "its own initrd", 14);
	config.initrd.name = initrd_path;
	config.has_bootargs = true;
	make_bundle(PACKINGS, false);
	assert_int_equal(load_kernel(), 0);
	assert_null(result.cmdline);
	assert_int_equal(result.initrd.size, 14);
	assert_false(result.bundled_initrd);
	assert_memory_equal(ram + (result.initrd.gpa - RAM_BASE), "its own initrd", 14);
}

static void assert_cmdline(const char *text, size_t len, const char *expected)
{
	struct loader *loader;

	begin_bundle();
	add_section(".cmdline", text, len);
	add_section(".linux", kernel, kernel_len);
	end_bundle();
	write_kernel();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	loader_plan(loader, &result);
	assert_string_equal(result.cmdline, expected);
	loader_close(loader);
}

/* The tree is from the bundle: its file stays the kernel's, whatever has its name by then. */
static void bundle_of_the_tree(void **state)
{
	struct loader *loader;

	make_bundle(PACKINGS, false);
	write_kernel();
	config.bundle = true;
	config.bundle_fd = open(kernel_path, O_RDWR | O_CLOEXEC);
	assert_int_equal(unlink(kernel_path), 0);
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	assert_int_equal(loader_check(loader, &errors), 0);
	assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
	assert_string_equal(result.kind, "PE bundle");
	assert_string_equal(result.kernel_name, kernel_path);
	assert_string_equal(result.cmdline, "console=ttyAMA0 quiet");
	assert_int_equal(result.initrd.size, 9);
	/* At a reset it is read anew. */
	make_bundle(PACK_GZIP, true);
	assert_int_equal(ftruncate(config.bundle_fd, 0), 0);
	assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), -EINVAL);
	assert_string_equal(errors.lines[0] + strlen(kernel_path), ": is empty");
	assert_int_equal(pwrite(config.bundle_fd, file, file_len, 0), file_len);
	memset(ram, 0, 16 * MiB);
	assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
	make_image(100000, 0, 200000);
	assert_memory_equal(ram + 2 * MiB, file, file_len);
	/* It is the configuration's. */
	loader_close(loader);
	assert_int_equal(close(config.bundle_fd), 0);
	write_kernel();
}

static void bundled_command_lines(void **state)
{
	make_image(5000, 0, 5000);
	kernel_len = file_len;
	memcpy(kernel, file, kernel_len);
	assert_cmdline("a b", 3, "a b");
	assert_cmdline("a b\r\n \t", 7, "a b");
	assert_cmdline("a\nb\033c", 5, "a b c");
	assert_cmdline("a b\0c", 5, "a b");
	assert_cmdline("\n", 1, "");
	memset(words, 'x', sizeof(words));
	words[2047] = 0;
	assert_cmdline(words, 2048, words);
	words[2047] = 'x';
	begin_bundle();
	add_section(".cmdline", words, 2048);
	add_section(".linux", kernel, kernel_len);
	end_bundle();
	assert_refused(
		"has a command line of 2048 bytes in its section .cmdline, and Linux takes at most 2047");
	begin_bundle();
	add_section(".cmdline", words, 3000);
	add_section(".linux", kernel, kernel_len);
	end_bundle();
	assert_refused("has a section .cmdline of 3000 bytes, and Linux takes at most 2047");
}

static void bundles_hostile(void **state)
{
	static const uint32_t bad[] = { UINT32_MAX, 1u << 31, sizeof(file) + 1 };
	static const char *const names[] = { ".cmdline", ".linux", ".initrd" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (unsigned n = 0; n < 3; n++) {
			make_bundle(PACKINGS, false);
			put32(SECTIONS + 40 * (2 + n) + 20, bad[i]);
			assert_refused("is truncated: its section ");
			assert_non_null(strstr(names[n], names[n]));
			make_bundle(PACKINGS, false);
			put32(SECTIONS + 40 * (2 + n) + 8, bad[i]);
			put32(SECTIONS + 40 * (2 + n) + 16, bad[i]);
			assert_refused("is truncated: its section ");
		}
	make_bundle(PACKINGS, false);
	put32(SECTIONS + 40 * 3 + 8, 0); /* of no size in memory: that in the file */
	assert_int_equal(load_kernel(), 0);
	put32(SECTIONS + 40 * 3 + 16, 0);
	assert_refused("is a PE bundle whose section .linux is not an arm64 kernel");
	make_bundle(PACKINGS, false);
	memset(file + sections[3].offset, 0, 64);
	assert_refused("is a PE bundle whose section .linux is not an arm64 kernel");
	/* A bundle in a bundle. */
	make_bundle(PACKINGS, false);
	memcpy(file + sections[3].offset, file, 2048);
	assert_refused("is a PE bundle whose section .linux is not an arm64 kernel");
	/* No bundle: another machine's, none of Linux, sections beyond the file or too many of them. */
	make_bundle(PACKINGS, false);
	put16(BUNDLE_HEAD + 4, 0x8664);
	assert_refused("is an EFI program, but not an arm64 Linux kernel");
	make_bundle(PACKINGS, false);
	file[SECTIONS + 40 * 3 + 1] = 'L';
	assert_refused("is an EFI program, but not an arm64 Linux kernel");
	make_bundle(PACKINGS, false);
	put16(BUNDLE_HEAD + 6, PE_SECTIONS + 1);
	assert_refused("is an EFI program, but not an arm64 Linux kernel");
	make_bundle(PACKINGS, false);
	put16(BUNDLE_HEAD + 20, 0xffff);
	file_len = 4096;
	assert_refused("is an EFI program, but not an arm64 Linux kernel");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		make_bundle(PACKINGS, false);
		put32(0x3c, bad[i]);
		assert_refused("is an EFI program, but not an arm64 Linux kernel");
	}
	/* Every byte of its headers spoiled is refused or harmless. */
	for (size_t at = 0; at < SECTIONS + 40 * 5; at++)
		for (unsigned bit = 0; bit < 8; bit += 7) {
			make_bundle(PACKINGS, false);
			file[at] ^= 1 << bit;
			load_kernel();
		}
}

/* ---- ELF ---- */

/* Linux's own addresses are virtual. */
static void vmlinux(void **state)
{
	static const uint64_t addresses[] = { 0xffff800080000000, 0xffffffc008000000,
		UINT64_C(1) << 52 };

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		for (unsigned type = ET_EXEC; type <= ET_DYN; type++) {
			elf_start();
			elf.e_type = type;
			phdrs[1].p_paddr = phdrs[1].p_vaddr = addresses[i];
			elf.e_entry = addresses[i];
			elf_write();
			assert_refused(
				"is a vmlinux, or another ELF for virtual addresses, which no loader can place: take the Image of the same build (arch/arm64/boot/Image)");
		}
}

/* Linked where RAM begins, as programs for QEMU's virt are: the tree makes room. */
static void elf_at_the_start(void **state)
{
	elf_start();
	phdrs[1].p_paddr = RAM_BASE;
	elf_write();
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 0x10);
	assert_memory_equal(ram, file + 0x1000, 0x500);
	assert_memory_equal(ram + 4 * MiB, file + 0x2000, 0x100);
	/* Behind its last byte, not in the gap. */
	assert_int_equal(result.tree_gpa, RAM_BASE + 6 * MiB);
	phdrs[1].p_paddr = RAM_BASE + TREE_SIZE_MAX - 0x4ff;
	elf_write();
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.tree_gpa, RAM_BASE + 6 * MiB);
	phdrs[1].p_paddr = RAM_BASE + TREE_SIZE_MAX;
	elf_write();
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.tree_gpa, RAM_BASE);
	/* A gap will do, if there is no other room. */
	phdrs[1].p_paddr = RAM_BASE;
	phdrs[2].p_paddr = RAM_BASE + RAM_SIZE - 0x10100;
	elf_write();
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.tree_gpa, RAM_BASE + 64 * KiB);
	phdrs[1].p_memsz = RAM_SIZE - 0x10100 - TREE_SIZE_MAX;
	elf_write();
	assert_refused("does not fit into memory beside the guest's tree");
}

/* Position-independent, with addresses from 0 on as gcc links it. */
static void elf_that_can_be_moved(void **state)
{
	struct loader *loader;

	elf_start();
	elf.e_type = ET_DYN;
	elf.e_entry = 0x10;
	phdrs[1].p_vaddr = phdrs[1].p_paddr = 0;
	phdrs[2].p_vaddr = phdrs[2].p_paddr = 1 * MiB;
	elf_write();
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.tree_gpa, RAM_BASE);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x10);
	assert_memory_equal(ram + 2 * MiB, file + 0x1000, 0x500);
	assert_memory_equal(ram + 3 * MiB, file + 0x2000, 0x100);
	assert_true(all_zero(ram + 3 * MiB + 0x100, 0x10000));
	/* Its alignment is kept, also of what does not begin there. */
	phdrs[1].p_align = 8 * MiB;
	phdrs[1].p_paddr += 0x1000;
	phdrs[2].p_paddr += 0x1000;
	elf_write();
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 8 * MiB + 0x1010);
	/* It stays where it is linked, if that is free; and again after a reset. */
	phdrs[1].p_align = 0;
	phdrs[1].p_paddr = RAM_BASE + 5 * MiB;
	phdrs[2].p_paddr = RAM_BASE + 6 * MiB;
	elf_write();
	write_kernel();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
		assert_int_equal(result.entry_gpa, RAM_BASE + 5 * MiB + 0x10);
	}
	loader_close(loader);
	config.reserved[0] = (struct range){ RAM_BASE + 6 * MiB, 4096 };
	config.reserved_count = 1;
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
		assert_int_equal(result.entry_gpa, RAM_BASE + 3 * MiB + 0x10);
	}
	loader_close(loader);
	config.reserved_count = 0;
	phdrs[2].p_paddr = phdrs[1].p_paddr + RAM_SIZE;
	elf_write();
	assert_refused("AArch64 ELF does not fit into memory: it needs 64.1 MiB in one piece");
	phdrs[1].p_paddr = phdrs[1].p_vaddr = 1;
	phdrs[1].p_memsz = UINT64_MAX - 1;
	elf_write();
	assert_refused("ELF segment 1 is larger than any memory");
	phdrs[1].p_paddr = RAM_BASE + 5 * MiB;
	phdrs[1].p_vaddr = 0;
	phdrs[1].p_memsz = 0x500;
	phdrs[2].p_paddr = phdrs[1].p_paddr + (UINT64_C(1) << 51);
	elf_write();
	assert_refused("AArch64 ELF does not fit into memory");
	static const uint64_t aligns[] = { 3 * MiB, 2 * GiB, UINT64_MAX, UINT64_C(1) << 63 };
	for (size_t i = 0; i < ARRAY_SIZE(aligns); i++) {
		phdrs[1].p_align = aligns[i];
		elf_write();
		assert_refused("alignment is no power of two up to 1 GiB");
	}
}

/* ---- Raw binaries ---- */

static void raw(void **state)
{
	struct loader *loader;

	for (unsigned i = 0; i < 3000; i++)
		file[i] = i % 251;
	file_len = 3000;
	write_kernel();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	assert_int_equal(errors.count, 1);
	assert_int_equal(errors.warnings, 1);
	assert_non_null(strstr(errors.lines[0],
		"has no format that Sluice knows: it is loaded as it is, and entered at its first byte, 0x40200000. If that is meant, say so in /chosen: sluice,kernel-address = /bits/ 64 <0x40200000>"));
	loader_close(loader);
	errors_finish(&errors);
	write_to(initrd_path, "initrd", 6);
	config.initrd.name = initrd_path;
	config.raw_kernel = true;
	config.kernel_gpa = KERNEL_GPA;
	assert_int_equal(load(), 0);
	assert_int_equal(errors.count, 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
	assert_memory_equal(ram + 2 * MiB, file, file_len);
	/* What it uses behind itself nobody knows: neither lies there. */
	assert_int_equal(result.initrd.gpa, KERNEL_GPA + RAM_SIZE / 2 + 64 * KiB);
	assert_int_equal(result.tree_gpa, KERNEL_GPA + RAM_SIZE / 2 + 2 * MiB);
	config.reserved[0] = (struct range){ RAM_BASE + RAM_SIZE / 2, RAM_SIZE / 2 };
	config.reserved_count = 1;
	assert_int_equal(load(), 0);
	assert_true(result.tree_gpa + TREE_SIZE_MAX <= KERNEL_GPA);
	assert_true(result.initrd.gpa < KERNEL_GPA);
	config.kernel_gpa = RAM_BASE + 0x100000;
	assert_true(load() < 0);
	config.kernel_gpa = KERNEL_GPA;
	config.reserved_count = 0;
	/* Anywhere, and whatever it looks like. */
	memset(ram, 0, 8 * MiB);
	make_image(3000, 0, 1 << 20);
	config.kernel_gpa = RAM_BASE + 0x1004;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 0x1004);
	assert_memory_equal(ram + 0x1004, file, file_len);
	config.kernel_gpa = RAM_BASE + RAM_SIZE - 3000;
	assert_int_equal(load_kernel(), 0);
	assert_true(result.tree_gpa + TREE_SIZE_MAX <= config.kernel_gpa);
	config.kernel_gpa += 4;
	assert_refused("is a raw binary of 0.0 MiB for 0x43fff44c, and that is not free");
	config.kernel_gpa = UINT64_MAX - 3;
	assert_refused("is not free");
	config.kernel_gpa = 0;
	assert_refused("is not free");
}

/* ---- Kernels of boards ---- */

static void kernels_of_boards(void **state)
{
	static const struct {
		const char *banner;
		bool warns;
	} cases[] = {
		{ "Linux version 6.12.47+rpt-rpi-v8 (serge@raspberrypi.com)", true },
		{ "Linux version 6.1.21-v8+ (dom@buildbot)", true },
		{ "Linux version 6.12.47+rpt-rpi-2712 #1", true },
		{ "Linux version 6.12.74+deb13+1-arm64 (debian-kernel@lists.debian.org)", false },
		{ "Linux version ", false },
		{ "Linux version -v8+\033[31m", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned packed = 0; packed < 2; packed++) {
			struct loader *loader;
			size_t len = strlen(cases[i].banner);

			make_image(100000, 0, 100000);
			memcpy(file + (i % 2 ? 50000 : 65536 - len), cases[i].banner, len);
			memset(file + 65536, 0, 16);
			if (packed)
				gzip(0);
			write_kernel();
			assert_int_equal(loader_open(&config, &errors, &loader), 0);
			assert_int_equal(loader_check(loader, &errors), 0);
			assert_int_equal(errors.count, cases[i].warns);
			assert_int_equal(errors.warnings, cases[i].warns);
			if (cases[i].warns) {
				assert_non_null(strstr(
					errors.lines[0], "is Raspberry Pi OS's kernel (Linux "));
				assert_null(strchr(errors.lines[0], 033));
			}
			loader_close(loader);
			errors_finish(&errors);
		}
}

/* ---- The tree ---- */

/* It follows kernel and initrd, in a block of 2 MiB of its own. */
static void tree_follows(void **state)
{
	make_image(1000, 0, 1000);
	write_to(initrd_path, "initrd", 6);
	config.initrd.name = initrd_path;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.initrd.gpa, KERNEL_GPA + 64 * KiB);
	assert_int_equal(result.tree_gpa, KERNEL_GPA + 2 * MiB);
	/* Not into what is reserved. */
	config.reserved[0] = (struct range){ KERNEL_GPA + 3 * MiB, 4096 };
	config.reserved_count = 1;
	assert_int_equal(load(), 0);
	assert_int_equal(result.tree_gpa, KERNEL_GPA + 4 * MiB);
	/* Above both there is no room: below them. */
	config.reserved[0] = (struct range){ KERNEL_GPA + 1 * MiB, RAM_SIZE };
	assert_int_equal(load(), 0);
	assert_int_equal(result.tree_gpa, RAM_BASE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, loader_setup, loader_teardown)
	const struct CMUnitTest tests[] = {
		T(bundles),
		T(bundles_by_choice),
		T(bundle_of_the_tree),
		T(bundled_command_lines),
		T(bundles_hostile),
		T(vmlinux),
		T(elf_at_the_start),
		T(elf_that_can_be_moved),
		T(raw),
		T(kernels_of_boards),
		T(tree_follows),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
