/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels and initrds, made here byte by byte, whole, cut off and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "board/config.h"
#include "board/errors.h"
#include "board/loader.h"
#include "board/guest-map.h"
#include "hyp/guestmem.h"

#define RAM_SIZE   (64 * MiB)
#define KERNEL_GPA (RAM_BASE + 2 * MiB)

static char folder[] = "/tmp/test-loader-XXXXXX";
static char kernel_path[64], initrd_path[64];
static struct machine_config config;
static struct guestmem mem;
static struct errors errors;
static struct loader_result result;
static uint8_t *ram;

static uint8_t file[256 * 1024];
static size_t file_len;

static void put32(size_t at, uint32_t v)
{
	memcpy(file + at, &v, 4);
}

static void put64(size_t at, uint64_t v)
{
	memcpy(file + at, &v, 8);
}

static int setup(void **state)
{
	config = (struct machine_config){
		.memory = { { RAM_BASE, RAM_SIZE } },
		.memory_count = 1,
		.kernel = kernel_path,
	};
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(ram, MAP_FAILED);
	mem.count = 0;
	assert_int_equal(
		guestmem_add(&mem,
			&(struct guestmem_range){ .gpa = RAM_BASE, .size = RAM_SIZE, .hva = ram }),
		0);
	errors = (struct errors){ 0 };
	memset(&result, 0xee, sizeof(result));
	return 0;
}

static int teardown(void **state)
{
	errors_finish(&errors);
	munmap(ram, RAM_SIZE);
	return 0;
}

static void write_to(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void write_kernel(void)
{
	write_to(kernel_path, file, file_len);
}

/* An Image of `len` bytes, each that is not header telling its place. */
static void make_image(size_t len, uint64_t text_offset, uint64_t image_size)
{
	for (size_t i = 0; i < len; i++)
		file[i] = i * 7 + (i >> 8);
	memset(file, 0, 64);
	memcpy(file, "MZ", 2);
	put64(8, text_offset);
	put64(16, image_size);
	put64(24, 0xa);
	memcpy(file + 0x38, "ARM\x64", 4);
	file_len = len;
}

static void gzip(size_t at)
{
	static uint8_t out[sizeof(file)];
	z_stream z = {
		.next_in = file, .avail_in = file_len, .next_out = out, .avail_out = sizeof(out)
	};

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	memmove(file + at, out, z.total_out);
	file_len = at + z.total_out;
	deflateEnd(&z);
}

static void make_zboot(const char *compression)
{
	size_t payload;

	make_image(100000, 0, 200000);
	gzip(1024);
	payload = file_len - 1024;
	memset(file, 0, 1024);
	memcpy(file, "MZ\0\0zimg", 8);
	put32(8, 1024);
	put32(12, payload);
	strcpy((char *)file + 0x18, compression);
	memset(file + file_len, 0x55, 100); /* what follows is not the payload's */
	file_len += 100;
}

static int load(void)
{
	struct loader *loader = NULL;
	int err;

	errors_finish(&errors);
	err = loader_open(&config, &errors, &loader);
	if (!err)
		err = loader_load(loader, &mem, &errors, &result);
	if (!err)
		err = loader_check(loader, &errors);
	loader_close(loader);
	assert_true((err < 0) == errors_any(&errors));
	return err;
}

static int load_kernel(void)
{
	write_kernel();
	return load();
}

/* It is refused, by sluice check too, and the message has these words. */
static void assert_refused(const char *words)
{
	struct loader *loader = NULL;

	assert_true(load_kernel() < 0);
	assert_int_equal(errors.count, 1);
	if (!strstr(errors.lines[0], words))
		fail_msg("\"%s\" is not in: %s", words, errors.lines[0]);
	assert_ptr_equal(strstr(errors.lines[0], kernel_path), errors.lines[0]);
	errors_finish(&errors);
	if (loader_open(&config, &errors, &loader) == 0)
		assert_true(loader_check(loader, &errors) < 0);
	loader_close(loader);
}

static bool all_zero(const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

static void image(void **state)
{
	make_image(100000, 0, 150000);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
	assert_int_equal(result.tree_gpa, RAM_BASE);
	assert_int_equal(result.initrd_size, 0);
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
	config.initrd = initrd_path;
	make_image(200000, 0, 4096);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.initrd_gpa, KERNEL_GPA + 4 * 64 * KiB);
	config.memory[0].size = 2 * MiB + 199999;
	assert_refused("does not fit");
}

static void image_of_exact_fit(void **state)
{
	make_image(1000, 0, RAM_SIZE - 2 * MiB);
	assert_int_equal(load_kernel(), 0);
	make_image(1000, 0, RAM_SIZE - 2 * MiB + 1);
	assert_refused("largest free one has 62.1 MiB");
}

static void image_hostile(void **state)
{
	static const uint64_t bad[] = { UINT64_MAX, UINT64_MAX - 4095, INT64_MAX, UINT64_C(1) << 63,
		UINT64_MAX - RAM_BASE - 2 * MiB, -(RAM_BASE + 2 * MiB), RAM_SIZE,
		UINT64_C(1) << 40 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		make_image(1000, 0, bad[i]);
		assert_refused("does not fit");
		make_image(1000, bad[i], 4096);
		assert_refused("does not fit");
		make_image(1000, bad[i], bad[i]);
		assert_refused("does not fit");
	}
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
	config.initrd = initrd_path;
	make_image(100000, 0, 3 * MiB + 1);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.initrd_size, sizeof(data));
	assert_int_equal(result.initrd_gpa, KERNEL_GPA + 3 * MiB + 64 * KiB);
	assert_memory_equal(ram + (result.initrd_gpa - RAM_BASE), data, sizeof(data));

	/* around a reserved range; then below the kernel, if only there is room */
	config.reserved[0] = (struct range){ RAM_BASE + 5 * MiB, 2 * MiB };
	config.reserved_count = 1;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 8 * MiB);
	assert_int_equal(result.initrd_gpa, RAM_BASE + 11 * MiB + 64 * KiB);
	config.memory[0].size = 11 * MiB + 64 * KiB;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 8 * MiB);
	assert_true(result.initrd_gpa >= RAM_BASE + TREE_SIZE_MAX);
	assert_true(result.initrd_gpa + sizeof(data) <= RAM_BASE + 5 * MiB);
}

static void initrd_refused(void **state)
{
	config.initrd = initrd_path;
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
	config.initrd = folder;
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "not a regular file"));
}

static void initrd_out_of_reach(void **state)
{
	config.memory[0].size = 4 * MiB;
	config.memory[1] = (struct range){ 40 * GiB, 1 * GiB };
	config.memory_count = 2;
	config.initrd = initrd_path;
	assert_int_equal(truncate(initrd_path, 3 * MiB), 0);
	make_image(1000, 0, 1 * MiB);
	write_kernel();
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "32 GiB"));
}

static void gzipped(void **state)
{
	static uint8_t whole[200000];

	make_image(sizeof(whole), 0, 250000);
	for (size_t i = 64; i < sizeof(whole); i++)
		file[i] = random(); /* so that there is a lot of it in gzip, too */
	memcpy(whole, file, sizeof(whole));
	gzip(0);
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
	assert_memory_equal(ram + 2 * MiB, whole, sizeof(whole));
	assert_true(all_zero(ram + 2 * MiB + sizeof(whole), MiB));
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
	assert_refused("damaged");
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

static void zboot(void **state)
{
	make_zboot("gzip");
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
	assert_memory_equal(ram + 2 * MiB + 0x38, "ARM\x64", 4);
	make_image(100000, 0, 200000);
	assert_memory_equal(ram + 2 * MiB, file, 100000);
}

static void zboot_hostile(void **state)
{
	static const uint32_t bad[] = { UINT32_MAX, 1 << 31, 256 * 1024, UINT32_MAX - 1023 };

	make_zboot("zstd");
	assert_refused("zstd");
	make_zboot("0123456789012345678901234567890123456789");
	assert_refused("01234567;");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		make_zboot("gzip");
		put32(8, bad[i]);
		assert_refused("is truncated: its header tells");
		make_zboot("gzip");
		put32(12, bad[i]);
		assert_refused("is truncated: its header tells");
	}
	make_zboot("gzip");
	put32(12, 0);
	assert_refused("is truncated");
	make_zboot("gzip");
	put32(8, 1025);
	assert_refused("damaged");
}

/* One program of two segments: text with its entry, data with a bss. */
static Elf64_Ehdr elf;
static Elf64_Phdr phdrs[3];

static void elf_write(void)
{
	memset(file, 0, sizeof(file));
	memcpy(file, &elf, sizeof(elf));
	memcpy(file + sizeof(elf), phdrs, sizeof(phdrs));
	memset(file + 0x1000, 0x11, 0x500);
	memset(file + 0x2000, 0x22, 0x100);
	file_len = 0x2100;
}

static void elf_start(void)
{
	elf = (Elf64_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_AARCH64,
		.e_version = EV_CURRENT,
		.e_entry = 0xffff000000000010,
		.e_phoff = sizeof(elf),
		.e_ehsize = sizeof(elf),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = ARRAY_SIZE(phdrs),
	};
	phdrs[0] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_memsz = UINT64_MAX };
	phdrs[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_offset = 0x1000,
		.p_vaddr = 0xffff000000000000,
		.p_paddr = RAM_BASE + 3 * MiB,
		.p_filesz = 0x500,
		.p_memsz = 0x500 };
	phdrs[2] = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_offset = 0x2000,
		.p_vaddr = 0xffff000000100000,
		.p_paddr = RAM_BASE + 4 * MiB,
		.p_filesz = 0x100,
		.p_memsz = 0x10100 };
}

static void elf_program(void **state)
{
	elf_start();
	elf_write();
	write_to(initrd_path, "initrd", 6);
	config.initrd = initrd_path;
	assert_int_equal(load_kernel(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 3 * MiB + 0x10);
	assert_memory_equal(ram + 3 * MiB, file + 0x1000, 0x500);
	assert_memory_equal(ram + 4 * MiB, file + 0x2000, 0x100);
	assert_true(all_zero(ram + 4 * MiB + 0x100, 0x10000));
	assert_int_equal(result.initrd_gpa, RAM_BASE + 4 * MiB + 128 * KiB);
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
			wide[i] > -(RAM_BASE + 3 * MiB) ? "passes the end" : "not free");
		BAD(phdrs[1].p_paddr = wide[i], "");
		BAD(elf.e_phoff = wide[i], "beyond its end");
		BAD(elf.e_entry = wide[i], "entry point");
	}
	BAD(phdrs[1].p_paddr = RAM_BASE, "not free"); /* the tree's */
	BAD(phdrs[1].p_paddr = RAM_BASE + TREE_SIZE_MAX - 1, "not free");
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
		{ 0, "\xd0\x0d\xfe\xed", 4, "device tree" },
		{ 0, "\x28\xb5\x2f\xfd", 4, "zstd" },
		{ 0, "MZ", 2, "EFI program" },
		{ 0, "hello", 5, "not a kernel" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		memset(file, 0, 2048);
		memcpy(file + kinds[i].at, kinds[i].magic, kinds[i].len);
		file_len = 2048;
		assert_refused(kinds[i].words);
	}
	memset(file, 0, 2048); /* an x86 kernel is an EFI program too */
	memcpy(file, "MZ", 2);
	memcpy(file + 0x202, "HdrS", 4);
	assert_refused("x86");
}

/* Each kind cut off at each length is refused, or, where nothing in it could tell, at least harmless. */
static void cut_off(void (*make)(void), bool refused)
{
	size_t whole;

	make();
	whole = file_len;
	for (size_t len = 1; len < whole; len += len < 0x300 || len > whole - 200 ? 1 : 997) {
		make();
		file_len = len;
		assert_true(load_kernel() < 0 || !refused);
	}
}

static void make_plain(void)
{
	make_image(2000, 0, 4096);
}

/* As real kernels are: the header of an EFI program too, which tells how long the file is. */
static void make_efi(void)
{
	make_image(4000, 0, 8192);
	put32(0x3c, 0x40);
	memset(file + 0x40, 0, 24 + 0xa0 + 80);
	memcpy(file + 0x40, "PE\0\0\x64\xaa\x02", 7);
	file[0x40 + 20] = 0xa0;
	put32(0x40 + 24 + 0xa0 + 16, 1000);
	put32(0x40 + 24 + 0xa0 + 20, 1000);
	put32(0x40 + 24 + 0xa0 + 40 + 16, 2000);
	put32(0x40 + 24 + 0xa0 + 40 + 20, 2000);
}

static void make_gzip(void)
{
	make_image(20000, 0, 50000);
	gzip(0);
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
	assert_refused("is truncated: its header tells of 4000 bytes, the file has 3999");
	for (size_t at = 0; at < 0x140; at++) { /* every byte of the header spoiled */
		for (unsigned bit = 0; bit < 8; bit += 7) {
			make_efi();
			file[at] ^= 1 << bit;
			load_kernel();
		}
	}
}

static void cut_gzip(void **state)
{
	cut_off(make_gzip, true);
}

static void make_cut_zboot(void)
{
	make_zboot("gzip");
	file_len -= 100;
}

static void cut_zboot(void **state)
{
	cut_off(make_cut_zboot, true);
}

static void cut_elf(void **state)
{
	cut_off(make_elf, true);
}

/* A reset loads again: what became of the file meanwhile is seen then. */
static void changed_meanwhile(void **state)
{
	struct loader *loader;

	config.initrd = initrd_path;
	write_to(initrd_path, "initrd", 6);
	make_image(1000, 0, 4096);
	write_kernel();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	loader_plan(loader, &result);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
	assert_int_equal(loader_load(loader, &mem, &errors, &result), 0);
	make_image(2000, 0x1000, 4096);
	write_kernel();
	assert_int_equal(loader_load(loader, &mem, &errors, &result), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x1000);
	assert_memory_equal(ram + 2 * MiB + 0x1000, file, 2000);
	assert_int_equal(truncate(kernel_path, 30), 0);
	assert_true(loader_load(loader, &mem, &errors, &result) < 0);
	assert_int_equal(truncate(kernel_path, 0), 0);
	assert_true(loader_load(loader, &mem, &errors, &result) < 0);
	make_image(1000, 0, RAM_SIZE);
	write_kernel();
	assert_true(loader_load(loader, &mem, &errors, &result) < 0);
	make_image(1000, 0, 4096);
	write_kernel();
	assert_int_equal(truncate(initrd_path, RAM_SIZE), 0);
	assert_true(loader_load(loader, &mem, &errors, &result) < 0);
	assert_int_equal(truncate(initrd_path, 0), 0);
	assert_true(loader_load(loader, &mem, &errors, &result) < 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 0x1000); /* untouched on failure */
	loader_close(loader);
}

static void no_such_file(void **state)
{
	config.kernel = (char *)"/tmp/no/such/file";
	assert_true(load() < 0);
	assert_non_null(
		strstr(errors.lines[0], "/tmp/no/such/file: cannot be opened: No such file"));
	config.kernel = NULL;
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "/chosen: sluice,kernel: missing"));
	config.kernel = kernel_path;
	unlink(kernel_path);
	assert_int_equal(mkfifo(kernel_path, 0600), 0);
	assert_true(load() < 0);
	assert_non_null(strstr(errors.lines[0], "not a regular file"));
	unlink(kernel_path);
	file_len = 0;
	assert_refused("is empty");
}

static int make_folder(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(kernel_path, sizeof(kernel_path), "%s/kernel", folder);
	snprintf(initrd_path, sizeof(initrd_path), "%s/initrd", folder);
	write_to(initrd_path, "", 0);
	return 0;
}

static int remove_folder(void **state)
{
	unlink(kernel_path);
	unlink(initrd_path);
	return rmdir(folder);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		T(gzipped),
		T(gzip_bomb),
		T(gzip_damaged),
		T(gzip_of_something_else),
		T(zboot),
		T(zboot_hostile),
		T(elf_program),
		T(elf_hostile),
		T(foreign),
		T(cut_image),
		T(cut_gzip),
		T(cut_zboot),
		T(cut_elf),
		T(changed_meanwhile),
		T(no_such_file),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
