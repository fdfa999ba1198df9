/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels and initrds made byte by byte; see loader-fixture.h. */
#include "tests/unit/helpers/loader-fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

char folder[40];
char kernel_path[64], initrd_path[64];
struct machine_config config;
struct guestmem mem;
struct errors errors;
struct loader_result result;
uint8_t *ram;

uint8_t file[256 * KiB];
size_t file_len;

void put32(size_t at, uint32_t v)
{
	memcpy(file + at, &v, 4);
}

void put64(size_t at, uint64_t v)
{
	memcpy(file + at, &v, 8);
}

int loader_setup(void **state)
{
	config = (struct machine_config){
		.memory = { { RAM_BASE, RAM_SIZE } },
		.memory_count = 1,
		.kernel = { kernel_path },
	};
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(ram, MAP_FAILED);
	mem.count = 0;
	assert_int_equal(
		guestmem_add(&mem,
			&(struct guestmem_range){ .gpa = RAM_BASE, .size = RAM_SIZE, .hva = ram }),
		0);
	assert_int_equal(guestmem_log_start(&mem), 0);
	errors = (struct errors){ 0 };
	memset(&result, 0xee, sizeof(result));
	return 0;
}

int loader_teardown(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t *written = calloc(RAM_SIZE / page / 64, sizeof(*written));

	/* What is not zeros was written, and is in the log. */
	guestmem_log_take(&mem, 0, 0, RAM_SIZE / page, written);
	for (size_t i = 0; i < RAM_SIZE / page; i++)
		assert_true(written[i / 64] >> i % 64 & 1 || all_zero(ram + i * page, page));
	free(written);
	guestmem_log_stop(&mem);
	errors_finish(&errors);
	munmap(ram, RAM_SIZE);
	return 0;
}

void write_to(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

void write_kernel(void)
{
	write_to(kernel_path, file, file_len);
}

/* An Image of `len` bytes, each that is not header showing its place. */
void make_image(size_t len, uint64_t text_offset, uint64_t image_size)
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

void pack_file(enum packing packing, size_t at)
{
	static uint8_t out[sizeof(file)];
	size_t len = pack(packing, file, file_len, out, sizeof(out) - at);

	memmove(file + at, out, len);
	file_len = at + len;
}

void gzip(size_t at)
{
	pack_file(PACK_GZIP, at);
}

void make_zboot_of(enum packing packing, const char *compression)
{
	size_t payload;

	make_image(100000, 0, 200000);
	pack_file(packing, 1024);
	payload = file_len - 1024;
	memset(file, 0, 1024);
	memcpy(file, "MZ\0\0zimg", 8);
	put32(8, 1024);
	put32(12, payload);
	strcpy((char *)file + 0x18, compression);
	memset(file + file_len, 0x55, 100); /* what follows is not the payload's */
	file_len += 100;
}

void make_zboot(const char *compression)
{
	make_zboot_of(PACK_GZIP, compression);
}

int load(void)
{
	struct loader *loader = NULL;
	int err;

	errors_finish(&errors);
	err = loader_open(&config, &errors, &loader);
	while (!err && (err = loader_load(loader, &mem, 0, &errors, &result)) > 0) /* step by step */
		err = 0;
	if (!err)
		err = loader_check(loader, &errors);
	loader_close(loader);
	assert_true((err < 0) == errors_any(&errors));
	return err;
}

int load_kernel(void)
{
	write_kernel();
	return load();
}

/* It is refused, by sluice check too, and the message has these words. */
void assert_refused(const char *words)
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

bool all_zero(const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

/* One program of two segments: text with its entry, data with a bss. */
Elf64_Ehdr elf;
Elf64_Phdr phdrs[3];

void elf_write(void)
{
	memset(file, 0, sizeof(file));
	memcpy(file, &elf, sizeof(elf));
	memcpy(file + sizeof(elf), phdrs, sizeof(phdrs));
	memset(file + 0x1000, 0x11, 0x500);
	memset(file + 0x2000, 0x22, 0x100);
	file_len = 0x2100;
}

void elf_start(void)
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

/* As real kernels are: the header of an EFI program too, which says how long the file is. */
void make_efi(void)
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

int make_folder(void **state)
{
	/* Written anew for each case: no disk need wait for that. */
	snprintf(folder, sizeof(folder), "%s/test-loader-XXXXXX",
		access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(folder))
		return -1;
	snprintf(kernel_path, sizeof(kernel_path), "%s/kernel", folder);
	snprintf(initrd_path, sizeof(initrd_path), "%s/initrd", folder);
	write_to(initrd_path, "", 0);
	return 0;
}

int remove_folder(void **state)
{
	unlink(kernel_path);
	unlink(initrd_path);
	return rmdir(folder);
}
