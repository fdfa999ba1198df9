/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels and initrds, made here byte by byte, whole, cut off and hostile. */
#include "tests/unit/helpers/loader-fixture.h"

#include <fcntl.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hyp/base/loop.h"

static void image(void **state)
{
	make_image(100000, 0, 150000);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
	assert_int_equal(result.tree_gpa, RAM_BASE + 4 * MiB);
	assert_int_equal(result.initrd.size, 0);
	assert_memory_equal(ram + 2 * MiB, file, file_len);
	assert_true(all_zero(ram, 2 * MiB));
	assert_true(all_zero(ram + 2 * MiB + file_len, MiB));
}

static void image_with_text_offset(void **state)
{
	make_image(100000, 0x80000, 150000);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x80000);
	assert_memory_equal(ram + 2 * MiB + 0x80000, file, file_len);
}

static void image_without_size(void **state)
{
	make_image(1000, 0, 0);
	assert_refused("does not fit");
	config.memory[0].size = 128 * MiB; /* only planned: there is memory for less */
	assert_true(load_kernel() < 0);
	assert_non_null(strstr(errors.lines[0], "not in the machine's memory"));
}

/* A signed kernel may be longer than its image_size. */
static void image_longer_than_it_says(void **state)
{
	write_to(initrd_path, "initrd", 6);
	config.initrd.name = initrd_path;
	make_image(200000, 0, 4096);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.initrd.gpa, KERNEL_GPA + 4 * 64 * KiB);
	config.memory[0].size = 199999;
	assert_refused("does not fit");
}

static void image_of_exact_fit(void **state)
{
	make_image(1000, 0, RAM_SIZE - 2 * MiB);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
	assert_int_equal(result.tree_gpa, RAM_BASE);
	make_image(1000, 0, RAM_SIZE - TREE_SIZE_MAX);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE);
	assert_int_equal(result.tree_gpa, RAM_BASE + RAM_SIZE - TREE_SIZE_MAX);
	make_image(1000, 0, RAM_SIZE - TREE_SIZE_MAX + 1);
	assert_refused("does not fit into memory beside the guest's tree, which needs 1.9 MiB in one piece: the largest free one has 1.9 MiB");
	make_image(1000, 0, RAM_SIZE + 1);
	assert_refused("largest free one has 64.0 MiB");
}

static void image_hostile(void **state)
{
	static const uint64_t bad[] = { UINT64_MAX, UINT64_MAX - 4095, INT64_MAX, UINT64_C(1) << 63,
		UINT64_MAX - RAM_BASE - 2 * MiB, -(RAM_BASE + 2 * MiB), RAM_SIZE,
		UINT64_C(1) << 40 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		make_image(1000, 0, bad[i]);
		assert_refused("does not fit");
		make_image(1000, bad[i] & ~3ul, 4096);
		assert_refused("does not fit");
		make_image(1000, bad[i] & ~3ul, bad[i]);
		assert_refused("does not fit");
	}
	make_image(1000, 3, 4096);
	assert_refused("no multiple of 4");
	make_image(1000, 0, 4096);
	put64(24, 1);
	assert_refused("big-endian");
}

static void around_reserved(void **state)
{
	/* A hole of 3 MiB is too small, and its start is not aligned. */
	config.reserved[0] = (struct range){ RAM_BASE + 4 * MiB, 4096 };
	config.reserved[1] = (struct range){ RAM_BASE + 7 * MiB, 8 * MiB };
	config.reserved_count = 2;
	make_image(1000, 0, 3 * MiB);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 16 * MiB);
	/* and in a second range of memory, beyond a hole */
	config.memory[0].size = 8 * MiB;
	config.memory[1] = (struct range){ RAM_BASE + 33 * MiB, 8 * MiB };
	config.memory_count = 2;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 34 * MiB);
}

static void initrd(void **state)
{
	static uint8_t data[70000];

	memset(data, 0x5a, sizeof(data));
	write_to(initrd_path, data, sizeof(data));
	config.initrd.name = initrd_path;
	make_image(100000, 0, 3 * MiB + 1);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.initrd.size, sizeof(data));
	assert_int_equal(result.initrd.gpa, KERNEL_GPA + 3 * MiB + 64 * KiB);
	assert_memory_equal(ram + (result.initrd.gpa - RAM_BASE), data, sizeof(data));

	/* around a reserved range; then below the kernel, if only there is room */
	config.reserved[0] = (struct range){ RAM_BASE + 5 * MiB, 2 * MiB };
	config.reserved_count = 1;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 8 * MiB);
	assert_int_equal(result.initrd.gpa, RAM_BASE + 11 * MiB + 64 * KiB);
	config.memory[0].size = 11 * MiB + 64 * KiB;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 8 * MiB);
	assert_false(ranges_overlap(result.initrd.gpa, sizeof(data), result.tree_gpa, TREE_SIZE_MAX));
	assert_true(result.initrd.gpa + sizeof(data) <= RAM_BASE + 5 * MiB);
}

static void initrd_refused(void **state)
{
	config.initrd.name = initrd_path;
	make_image(1000, 0, 1 * MiB);
	write_kernel();
	assert_int_equal(truncate(initrd_path, 0), 0);
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "is empty"));
	assert_int_equal(truncate(initrd_path, 61 * MiB + 1), 0);
	assert_true(load() < 0);
	assert_non_null(
		strstr(errors.lines[0], "initrd does not fit into memory: it needs 61.0 MiB"));
	assert_int_equal(truncate(initrd_path, 61 * MiB), 0);
	assert_int_equal(load(), 0);
	config.initrd.name = folder;
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "not a regular file"));
}

static void initrd_out_of_reach(void **state)
{
	config.memory[0].size = 4 * MiB;
	config.memory[1] = (struct range){ 40 * GiB, 1 * GiB };
	config.memory_count = 2;
	config.initrd.name = initrd_path;
	assert_int_equal(truncate(initrd_path, 3 * MiB), 0);
	make_image(1000, 0, 1 * MiB);
	write_kernel();
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "32 GiB"));
}

static void each_packing(void **state)
{
	static uint8_t whole[200000];

	for (unsigned i = 0; i < PACKINGS; i++) {
		memset(ram, 0x5a, 3 * MiB);
		make_image(sizeof(whole), 0, 250000);
		for (size_t at = 64; at < sizeof(whole); at++)
			file[at] = random(); /* so that there is a lot of it when packed, too */
		memcpy(whole, file, sizeof(whole));
		pack_file(i, 0);
		assert_int_equal(load_kernel(), 0);
		assert_int_equal(result.entry_gpa, KERNEL_GPA);
		assert_memory_equal(ram + 2 * MiB, whole, sizeof(whole));
		assert_int_equal(ram[2 * MiB + sizeof(whole)], 0x5a);
		memset(ram, 0, 3 * MiB);
	}
}

static void gzip_bomb(void **state)
{
	make_image(150001, 0, 150000);
	gzip(0);
	assert_refused("unpacks to more than the 150000 bytes");
	make_image(150000, 0, 150000);
	gzip(0);
	assert_int_equal(load_kernel(), 0);
	assert_true(all_zero(ram + 2 * MiB + 150000, MiB));
}

static void gzip_damaged(void **state)
{
	make_image(100000, 0, 150000);
	gzip(0);
	file[file_len - 6] ^= 1; /* its CRC */
	assert_refused("cannot be unpacked from gzip: ");
}

static void gzip_of_something_else(void **state)
{
	memset(file, 0, 5000);
	memcpy(file, "070701", 6);
	file_len = 5000;
	gzip(0);
	assert_refused("what it holds in gzip is an initramfs");
	file_len = 10;
	gzip(0);
	assert_refused("what it holds in gzip is not a kernel");
}

/* As bgzip, pzstd and pxz write it; what pads a file is no part. */
static void several_parts(void **state)
{
	for (unsigned i = 0; i < PACK_LZ4_OLD; i++) {
		size_t len;

		make_image(5000, 0, 8192);
		pack_file(i, 0);
		len = file_len;
		memset(file + len, 0, 512);
		file_len += 512;
		assert_int_equal(load_kernel(), 0);
		memcpy(file + len, file, len);
		file_len = 2 * len;
		assert_refused("holds several parts in ");
	}
	memcpy(file, "\x50\x2a\x4d\x18", 4);
	assert_refused("is compressed with pzstd");
}

/* The first instruction of an Image may be what else begins compressed data. */
static void an_image_first(void **state)
{
	static const char *const begins[] = { "\x1f\x8b\x08\x14", "\x5d\0\0\x14" };

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		make_image(5000, 0, 8192);
		memcpy(file, begins[i], 4);
		assert_int_equal(load_kernel(), 0);
	}
}

static void zboot(void **state)
{
	for (unsigned i = 0; i < PACKINGS; i++) {
		make_zboot_of(i, packing_names[i]);
		assert_int_equal(load_kernel(), 0);
		assert_int_equal(result.entry_gpa, KERNEL_GPA);
		assert_memory_equal(ram + 2 * MiB + 0x38, "ARM\x64", 4);
		make_image(100000, 0, 200000);
		assert_memory_equal(ram + 2 * MiB, file, 100000);
		memset(ram + 2 * MiB, 0, 100000);
	}
}

static void zboot_hostile(void **state)
{
	static const uint32_t bad[] = { UINT32_MAX, 1 << 31, 256 * 1024, UINT32_MAX - 1023 };

	/* What it is called does not count, and is bounded where it is printed. */
	make_zboot("zstd");
	assert_int_equal(load_kernel(), 0);
	make_zboot("0123456789012345678901234567890123456789");
	file[1024] ^= 1;
	assert_refused("is an EFI zboot kernel compressed with 01234567; needed is one with gzip, zstd, xz, lzma or lz4");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		make_zboot("gzip");
		put32(8, bad[i]);
		assert_refused("is truncated: its header says");
		make_zboot("gzip");
		put32(12, bad[i]);
		assert_refused("is truncated: its header says");
	}
	make_zboot("gzip");
	put32(12, 15);
	assert_refused("is an EFI zboot kernel that holds nothing");
	put32(12, 16);
	assert_refused("is truncated: its gzip data has no end");
	make_zboot("gzip");
	put32(8, 1025);
	assert_refused("is an EFI zboot kernel compressed with gzip; needed is");
}

static void elf_program(void **state)
{
	elf_start();
	elf_write();
	write_to(initrd_path, "initrd", 6);
	config.initrd.name = initrd_path;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 3 * MiB + 0x10);
	assert_memory_equal(ram + 3 * MiB, file + 0x1000, 0x500);
	assert_memory_equal(ram + 4 * MiB, file + 0x2000, 0x100);
	assert_true(all_zero(ram + 4 * MiB + 0x100, 0x10000));
	assert_int_equal(result.initrd.gpa, RAM_BASE + 4 * MiB + 128 * KiB);
}

static void elf_hostile(void **state)
{
	static const uint64_t wide[] = { UINT64_MAX, INT64_MAX, UINT64_C(1) << 63,
		UINT64_MAX - 0xfff, -(RAM_BASE + 3 * MiB), RAM_SIZE };

#define BAD(change, words)                                                                         \
	do {                                                                                       \
		elf_start();                                                                       \
		change;                                                                            \
		elf_write();                                                                       \
		assert_refused(words);                                                             \
	} while (0)
	for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
		BAD(phdrs[1].p_offset = wide[i], "not within the file");
		BAD(phdrs[1].p_filesz = wide[i], "not within the file");
		BAD(phdrs[1].p_filesz = phdrs[1].p_memsz = wide[i], "not within the file");
		BAD(phdrs[1].p_memsz = wide[i],
			wide[i] > -(RAM_BASE + 3 * MiB) ? "passes the end" : wide[i] > UINT64_C(1) << 51 ? "larger than any memory" : "not free");
		BAD(phdrs[1].p_paddr = wide[i], "");
		BAD(elf.e_phoff = wide[i], "beyond its end");
		BAD(elf.e_entry = wide[i], "entry point");
	}
	BAD(phdrs[1].p_paddr = RAM_BASE - 1, "not free");
	BAD(phdrs[1].p_paddr = RAM_BASE + RAM_SIZE - 0x4ff, "not free");
	BAD(phdrs[1].p_filesz = 0x501, "not within the file");
	BAD(elf.e_phentsize = 8, "program headers");
	BAD(elf.e_phnum = 0, "program headers");
	BAD(elf.e_phnum = 0xffff, "program headers");
	BAD(elf.e_phoff = 0x2100, "is truncated");
	BAD(elf.e_type = ET_REL, "not linked to run");
	BAD(elf.e_machine = EM_X86_64, "for x86");
	BAD(elf.e_machine = EM_ARM; elf.e_ident[EI_CLASS] = ELFCLASS32, "32-bit ARM");
	BAD(elf.e_ident[EI_CLASS] = ELFCLASS32, "32-bit");
	BAD(elf.e_ident[EI_DATA] = ELFDATA2MSB, "big-endian");
	BAD(phdrs[1].p_type = phdrs[2].p_type = PT_NOTE, "entry point");
	config.reserved[0] = (struct range){ RAM_BASE + 4 * MiB + 0x10000, 0x1000 };
	config.reserved_count = 1;
	BAD(, "not free");
}

static void foreign(void **state)
{
	static const struct {
		size_t at;
		const char *magic;
		size_t len;
		const char *words;
	} kinds[] = {
		{ 0x202, "HdrS", 4, "x86" },
		{ 0x24, "\x18\x28\x6f\x01", 4, "32-bit ARM" },
		{ 0x38, "RSC\x05", 4, "RISC-V" },
		{ 0, "\xd0\x0d\xfe\xed", 4, "its tree has version 0" },
		{ 0, "BZh", 3, "bzip2" },
		{ 0, "MZ", 2, "EFI program" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		memset(file, 0, 2048);
		memcpy(file + kinds[i].at, kinds[i].magic, kinds[i].len);
		file_len = 2048;
		assert_refused(kinds[i].words);
	}
	assert_int_equal(fdt_create_empty_tree(file, sizeof(file)), 0);
	file_len = fdt_totalsize(file);
	assert_refused("is a device tree or FIT image, not a kernel");
	memset(file, 0, 2048); /* an x86 kernel is an EFI program too */
	memcpy(file, "MZ", 2);
	memcpy(file + 0x202, "HdrS", 4);
	assert_refused("x86");
}

/* Each kind cut off at each length is refused, or, where nothing in it could show that, at least harmless. */
static void cut_off(void (*make)(void), bool refused)
{
	size_t whole;

	make();
	whole = file_len;
	for (size_t len = 1; len < whole; len += len < 0x300 || len > whole - 200 ? 1 : 997) {
		make();
		file_len = len;
		/* The first few bytes of a header are as good as any program's. */
		assert_true(load_kernel() < 0 || !refused || (len < 8 && !strcmp(result.kind, "raw binary")));
	}
}

static void make_plain(void)
{
	make_image(2000, 0, 4096);
}

static unsigned packing; /* of the two below */

static void make_packed(void)
{
	make_image(20000, 0, 50000);
	pack_file(packing, 0);
}

static void make_elf(void)
{
	elf_start();
	elf_write();
}

static void cut_image(void **state)
{
	cut_off(make_plain, false);
	make_efi();
	assert_int_equal(load_kernel(), 0);
	file_len--;
	assert_refused("is truncated: its header says 4000 bytes, the file has 3999");
	for (size_t at = 0; at < 0x140; at++) { /* every byte of the header spoiled */
		for (unsigned bit = 0; bit < 8; bit += 7) {
			make_efi();
			file[at] ^= 1 << bit;
			load_kernel();
		}
	}
}

static void make_cut_zboot(void)
{
	make_zboot_of(packing, packing_names[packing]);
	file_len -= 100;
}

/* Of the older lz4 no cut between blocks can be seen; but this file is one block. */
static void cut_packed(void **state)
{
	for (packing = 0; packing < PACKINGS; packing++) {
		cut_off(make_packed, true);
		cut_off(make_cut_zboot, true);
	}
}

static void cut_elf(void **state)
{
	cut_off(make_elf, true);
}

/* A reset loads again: what became of the file meanwhile is seen then. */
static void changed_meanwhile(void **state)
{
	struct loader *loader;

	config.initrd.name = initrd_path;
	write_to(initrd_path, "initrd", 6);
	make_image(1000, 0, 4096);
	write_kernel();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	loader_plan(loader, &result);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
	assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
	make_image(2000, 0x1000, 4096);
	write_kernel();
	assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x1000);
	assert_memory_equal(ram + 2 * MiB + 0x1000, file, 2000);
	/* Of the same size, by its time alone. */
	make_image(2000, 0x2000, 4096);
	write_kernel();
	assert_int_equal(utimensat(AT_FDCWD, kernel_path, (struct timespec[2]){ { 1, 0 }, { 1, 0 } }, 0), 0);
	assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x2000);
	make_image(2000, 0x1000, 4096);
	write_kernel();
	assert_int_equal(utimensat(AT_FDCWD, kernel_path, (struct timespec[2]){ { 2, 0 }, { 2, 0 } }, 0), 0);
	assert_int_equal(loader_load(loader, &mem, UINT64_MAX, &errors, &result), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x1000);
	assert_int_equal(truncate(kernel_path, 30), 0);
	assert_true(loader_load(loader, &mem, UINT64_MAX, &errors, &result) < 0);
	errors_finish(&errors);
	assert_int_equal(truncate(kernel_path, 0), 0);
	assert_true(loader_load(loader, &mem, UINT64_MAX, &errors, &result) < 0);
	assert_non_null(strstr(errors.lines[0], "kernel: is empty"));
	make_image(1000, 0, RAM_SIZE);
	write_kernel();
	assert_true(loader_load(loader, &mem, UINT64_MAX, &errors, &result) < 0);
	make_image(1000, 0, 4096);
	write_kernel();
	assert_int_equal(truncate(initrd_path, RAM_SIZE), 0);
	assert_true(loader_load(loader, &mem, UINT64_MAX, &errors, &result) < 0);
	assert_int_equal(truncate(initrd_path, 0), 0);
	assert_true(loader_load(loader, &mem, UINT64_MAX, &errors, &result) < 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x1000); /* untouched on failure */
	loader_close(loader);
}

/* How many bytes at the start of a place have been written, by 4 KiB; it is all zeros beyond. */
static size_t loaded(uint64_t gpa, size_t len)
{
	uint8_t *at = ram + (gpa - RAM_BASE);
	size_t done = len;

	while (done && all_zero(at + done - 1, 1))
		done--;
	return done;
}

#define STEP (64 * KiB)

/* Files of any size, packed or not, are loaded step by step, so that others are served in between. */
static void loads_in_steps(void **state)
{
	const size_t len = sizeof(file) - 3;
	struct loader *loader;

	config.initrd.name = initrd_path;
	make_image(len, 0, len);
	for (size_t i = 64; i < len; i++)
		file[i] |= 1; /* no byte is 0 */
	write_to(initrd_path, file + 64, 3 * STEP / 2);
	for (unsigned packed = 0; packed < 2; packed++) {
		size_t before = 0, initrd_before = 0;
		unsigned steps = 0;
		int err;

		if (packed)
			gzip(0);
		write_kernel();
		assert_int_equal(loader_open(&config, &errors, &loader), 0);
		for (unsigned life = 0; life < 2; life++) {
			memset(ram, 0, 8 * MiB);
			steps = 0;
			before = initrd_before = 0;
			do {
				size_t now, initrd;

				err = loader_load(loader, &mem, 0, &errors, &result);
				assert_in_range(err, 0, 1);
				loader_plan(loader, &result);
				now = loaded(KERNEL_GPA, len);
				initrd = loaded(result.initrd.gpa, 3 * STEP / 2);
				assert_in_range(now + initrd - before - initrd_before, 0, STEP);
				assert_true(!initrd || now == len);
				before = now;
				initrd_before = initrd;
				steps++;
				if (life == 0 && steps == 2)
					break; /* a machine that ends meanwhile */
			} while (err);
			if (life == 0) {
				loader_close(loader);
				assert_int_equal(loader_open(&config, &errors, &loader), 0);
			}
		}
		assert_int_equal(before, len);
		assert_int_equal(initrd_before, 3 * STEP / 2);
		assert_in_range(steps, 6, 7);
		make_image(len, 0, len);
		for (size_t i = 64; i < len; i++)
			file[i] |= 1;
		assert_memory_equal(ram + (KERNEL_GPA - RAM_BASE), file, len);
		assert_memory_equal(ram + (result.initrd.gpa - RAM_BASE), file + 64, 3 * STEP / 2);
		/* As long as there is time. */
		memset(ram, 0, 8 * MiB);
		assert_int_equal(
			loader_load(loader, &mem, loop_now_ms() + 60000, &errors, &result), 0);
		assert_memory_equal(ram + (KERNEL_GPA - RAM_BASE), file, len);
		loader_close(loader);
	}
}

static void no_such_file(void **state)
{
	config.kernel.name = "/tmp/no/such/file";
	assert_true(load() < 0);
	assert_non_null(
		strstr(errors.lines[0], "/tmp/no/such/file: cannot be opened: No such file"));
	config.kernel.name = NULL;
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "/chosen: sluice,kernel: missing"));
	config.kernel.name = kernel_path;
	unlink(kernel_path);
	assert_int_equal(mkfifo(kernel_path, 0600), 0);
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "not a regular file"));
	unlink(kernel_path);
	file_len = 0;
	assert_refused("is empty");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, loader_setup, loader_teardown)
	const struct CMUnitTest tests[] = {
		T(image),
		T(image_with_text_offset),
		T(image_without_size),
		T(image_longer_than_it_says),
		T(image_of_exact_fit),
		T(image_hostile),
		T(around_reserved),
		T(initrd),
		T(initrd_refused),
		T(initrd_out_of_reach),
		T(each_packing),
		T(gzip_bomb),
		T(gzip_damaged),
		T(gzip_of_something_else),
		T(several_parts),
		T(an_image_first),
		T(zboot),
		T(zboot_hostile),
		T(elf_program),
		T(elf_hostile),
		T(foreign),
		T(cut_image),
		T(cut_packed),
		T(cut_elf),
		T(loads_in_steps),
		T(changed_meanwhile),
		T(no_such_file),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
