/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel and ramdisk out of a FIT: every kind that a file of its own may be, inside and outside of the tree; what is
 * damaged, or changes between two reads; what is there after a reset; what has to be signed.
 */
#include "tests/unit/helpers/loader-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/verification.h"
#include "board/fit/fit-file.h"
#include "board/host/versions.h"
#include "tests/unit/helpers/fit-maker.h"

/* ---- FITs ---- */

enum where { INSIDE, BY_OFFSET, BY_POSITION };

#define POSITION 0x8000 /* of data outside, from the file's beginning on */

/* What is in the FIT; NULL and 0: it is not there. */
static struct {
	const char *type, *compression;
	uint64_t load, entry;
	bool has_load, has_entry;
	const char *ramdisk;
	const char *tree;
	enum where where;
	const char *second_kernel; /* of conf-2: its name */
	bool no_default, no_hash, second_is_default;
	uint32_t version; /* of "gateway"; 0: it does not say so */
} with;

static struct builder builder;
static uint8_t outside[sizeof(file) + 4096];
static size_t outside_len;

static void put_data(const void *data, size_t len)
{
	if (with.where == INSIDE) {
		builder_property(&builder, "data", data, len);
		return;
	}
	builder_cell(&builder, with.where == BY_OFFSET ? "data-offset" : "data-position",
		(uint32_t)(outside_len + (with.where == BY_OFFSET ? 0 : POSITION)));
	builder_cell(&builder, "data-size", (uint32_t)len);
	memcpy(outside + outside_len, data, len);
	outside_len = align_up(outside_len + len, 4);
}

static void put_hash(const void *data, size_t len)
{
	uint8_t value[FIT_HASH_BYTES];
	struct fit_hash *hash;

	if (with.no_hash)
		return;
	assert_int_equal(fit_crypto_load(FIT_SHA256, "test", &errors), 0);
	assert_int_equal(fit_hash_begin(FIT_SHA256, &hash), 0);
	fit_hash_update(hash, data, len);
	assert_int_equal(fit_hash_end(hash, value), 0);
	fit_hash_destroy(hash);
	builder_begin(&builder, "hash-1");
	builder_string(&builder, "algo", "sha256");
	builder_property(&builder, "value", value, fit_hash_bytes(FIT_SHA256));
	builder_end(&builder);
}

static void put_image(
	const char *name, const char *type, const char *compression, const void *data, size_t len)
{
	fdt64_t place;

	builder_begin(&builder, name);
	builder_string(&builder, "type", type);
	builder_string(&builder, "arch", "arm64");
	builder_string(&builder, "compression", compression);
	if (!strncmp(type, "kernel", 6) && with.has_load) {
		place = cpu_to_fdt64(with.load);
		builder_property(&builder, "load", &place, sizeof(place));
	}
	if (!strncmp(type, "kernel", 6) && with.has_entry) {
		place = cpu_to_fdt64(with.entry);
		builder_property(&builder, "entry", &place, sizeof(place));
	}
	put_data(data, len);
	put_hash(data, len);
	builder_end(&builder);
}

static void put_configuration(const char *name, const char *kernel)
{
	builder_begin(&builder, name);
	builder_string(&builder, "kernel", kernel);
	if (with.ramdisk)
		builder_string(&builder, "ramdisk", "ramdisk-1");
	if (with.tree)
		builder_string(&builder, "fdt", "fdt-1");
	if (with.version) {
		builder_string(&builder, "sluice,product", "gateway");
		builder_cell(&builder, "sluice,version", with.version);
	}
	builder_end(&builder);
}

/* The FIT of what is in `file`, and in `with`, to the kernel's path. */
static void write_fit(void)
{
	struct blob blob;

	outside_len = 0;
	memset(outside, 0, sizeof(outside));
	builder_begin(&builder, "");
	builder_begin(&builder, "images");
	put_image("kernel-1", with.type ? with.type : "kernel",
		with.compression ? with.compression : "none", file, file_len);
	if (with.second_kernel)
		put_image("kernel-2", "kernel", "none", "another", 8);
	if (with.ramdisk)
		put_image("ramdisk-1", "ramdisk", "none", with.ramdisk, strlen(with.ramdisk));
	if (with.tree)
		put_image("fdt-1", "flat_dt", "none", with.tree, strlen(with.tree));
	builder_end(&builder);
	builder_begin(&builder, "configurations");
	if (!with.no_default)
		builder_string(&builder, "default", with.second_is_default ? "conf-2" : "conf-1");
	put_configuration("conf-1", "kernel-1");
	if (with.second_kernel)
		put_configuration("conf-2", with.second_kernel);
	builder_end(&builder);
	builder_end(&builder);
	blob = builder_finish(&builder);
	if (outside_len) {
		size_t at = with.where == BY_POSITION ? POSITION : align_up(blob.len, 4);

		blob.data = realloc(blob.data, at + outside_len);
		assert_true(blob.len <= at);
		memset(blob.data + blob.len, 0, at - blob.len);
		memcpy(blob.data + at, outside, outside_len);
		blob.len = at + outside_len;
	}
	write_to(kernel_path, blob.data, blob.len);
	blob_free(&blob);
}

static int load_fit(void)
{
	memset(ram, 0, RAM_SIZE);
	write_fit();
	return load();
}

static void says(const char *words)
{
	for (size_t i = 0; i < errors.count; i++)
		if (strstr(errors.lines[i], words))
			return;
	fail_msg("\"%s\" is not in: %s", words, errors.count ? errors.lines[0] : "nothing");
}

static void refuses_fit(const char *words)
{
	assert_true(load_fit() < 0);
	says(words);
	errors_finish(&errors);
}

/* ---- Reads, between which the file may change ---- */

static unsigned reads, change_at, change_back_at; /* 0: never */
static uint64_t change_offset;
static uint8_t change_by;

static void flip(void)
{
	int fd = open(kernel_path, O_RDWR | O_CLOEXEC);
	uint8_t byte;
	ssize_t __real_pread64(int fd, void *buf, size_t len, off64_t offset);

	assert_int_equal(__real_pread64(fd, &byte, 1, (off64_t)change_offset), 1);
	byte ^= change_by;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)change_offset), 1);
	close(fd);
}

ssize_t __real_pread64(int fd, void *buf, size_t len, off64_t offset);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off64_t offset);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off64_t offset)
{
	reads++;
	if (reads == change_at || reads == change_back_at)
		flip();
	return __real_pread64(fd, buf, len, offset);
}

static int fit_setup(void **state)
{
	memset(&with, 0, sizeof(with));
	builder.structure_len = builder.strings_len = 0;
	change_at = change_back_at = 0;
	return loader_setup(state);
}

/* ---- What is loaded ---- */

static void kernel_and_ramdisk(void **state)
{
	struct loader *loader;

	make_image(100000, 0x1000, 300000);
	with.ramdisk = "an initrd";
	for (with.where = INSIDE; with.where <= BY_POSITION; with.where++) {
		assert_int_equal(load_fit(), 0);
		assert_string_equal(result.kind, "arm64 Image");
		assert_int_equal(result.kernel.gpa, KERNEL_GPA + 0x1000);
		assert_int_equal(result.kernel.size, 300000);
		assert_memory_equal(ram + 2 * MiB + 0x1000, file, file_len);
		assert_true(all_zero(ram + 2 * MiB + 0x1000 + file_len, 300000 - file_len));
		assert_int_equal(result.initrd.size, 9);
		assert_memory_equal(ram + (result.initrd.gpa - RAM_BASE), "an initrd", 10);
		assert_false(result.bundled_initrd);
	}
	with.where = INSIDE;
	write_fit();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	assert_int_equal(loader_check(loader, &errors), 0);
	loader_plan(loader, &result);
	assert_string_equal(result.checked, "kernel-1: sha256, ramdisk-1: sha256");
	assert_string_equal(result.fit, kernel_path);
	assert_string_equal(result.configuration, "conf-1");
	assert_string_equal(result.signatures, "");
	assert_non_null(strstr(result.kernel_name, "kernel: /images/kernel-1"));
	assert_non_null(strstr(result.initrd_name, "kernel: /images/ramdisk-1"));
	loader_close(loader);
	/* The tree's own comes first. */
	write_to(initrd_path, "its own", 7);
	config.initrd.name = initrd_path;
	assert_int_equal(load_fit(), 0);
	assert_int_equal(result.initrd.size, 7);
	/* Without a hash it is loaded all the same, and that is said. */
	config.initrd.name = NULL;
	with.no_hash = true;
	assert_int_equal(load_fit(), 0);
	assert_int_equal(result.initrd.size, 9);
}

static void each_compression(void **state)
{
	for (unsigned i = 0; i < PACKINGS; i++) {
		static const char *const words[] = { "gzip", "zstd", "xz", "lzma", "lz4" };

		for (unsigned w = 0; w < ARRAY_SIZE(words); w++) {
			make_image(100000, 0, 200000);
			pack_file(i, 0);
			with.compression = words[w];
			if (strncmp(packing_names[i], words[w], strlen(words[w])) != 0) {
				refuses_fit("/images/kernel-1: ");
				continue;
			}
			assert_int_equal(load_fit(), 0);
			assert_string_equal(result.kind, "compressed arm64 Image");
			make_image(100000, 0, 200000);
			assert_memory_equal(ram + 2 * MiB, file, file_len);
		}
		/* Packed, and it does not say so: as a file of its own. */
		make_image(100000, 0, 200000);
		pack_file(i, 0);
		with.compression = "none";
		assert_int_equal(load_fit(), 0);
	}
	/* It says so, and is not. */
	make_image(100000, 0, 200000);
	with.compression = "gzip";
	refuses_fit("cannot be unpacked from gzip");
	with.compression = "none";
	make_zboot("gzip");
	assert_int_equal(load_fit(), 0);
	assert_string_equal(result.kind, "EFI zboot kernel");
	make_image(100000, 0, 200000);
	assert_memory_equal(ram + 2 * MiB, file, file_len);
}

static void elf_programs(void **state)
{
	elf_start();
	elf_write();
	with.has_load = with.has_entry = true; /* are not followed */
	with.load = with.entry = RAM_BASE + 8 * MiB;
	for (with.where = INSIDE; with.where <= BY_POSITION; with.where++) {
		assert_int_equal(load_fit(), 0);
		assert_string_equal(result.kind, "AArch64 ELF");
		assert_int_equal(result.entry_gpa, RAM_BASE + 3 * MiB + 0x10);
		assert_int_equal(ram[3 * MiB + 0x4ff], 0x11);
		assert_int_equal(ram[4 * MiB + 0xff], 0x22);
	}
	/* The second one's data comes first, or is the first one's too. */
	with.where = INSIDE;
	phdrs[1].p_offset = 0x2000;
	phdrs[1].p_filesz = 0x100;
	phdrs[2].p_offset = 0x1000;
	elf_write();
	refuses_fit("has segments that are not in the order of its data");
	phdrs[2].p_offset = 0x20ff;
	phdrs[2].p_filesz = 1;
	elf_write();
	refuses_fit("has segments that are not in the order of its data");
	/* What is in the file, but beyond the image. */
	with.where = BY_OFFSET;
	with.ramdisk = "an initrd, which is behind the kernel in the file";
	elf_start();
	phdrs[2].p_filesz = 0x101;
	elf_write();
	refuses_fit("ELF segment 2 is not within the file");
	elf_start();
	elf.e_phoff = 0x2100 - 8;
	elf_write();
	refuses_fit("is truncated: it ends at byte 8448, 160 more are needed");
}

#define BUNDLE_LINUX  0x1000 /* where its sections are */
#define BUNDLE_INITRD 0x19000
#define BUNDLE_WORDS  0x1a000

/* A PE bundle; its sections are in this order. */
static void make_bundle(void)
{
	static uint8_t kernel[90000];
	static const struct {
		const char *name;
		uint32_t size, offset;
	} sections[] = { { ".linux", sizeof(kernel), BUNDLE_LINUX },
		{ ".initrd", 9, BUNDLE_INITRD }, { ".cmdline", 5, BUNDLE_WORDS } };

	make_image(sizeof(kernel), 0, 200000);
	memcpy(kernel, file, sizeof(kernel));
	memset(file, 0, BUNDLE_WORDS + 0x200);
	memcpy(file, "MZ", 2);
	put32(0x3c, 0x40);
	memcpy(file + 0x40, "PE\0\0\x64\xaa\x03", 7);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		size_t at = 0x40 + 24 + 40 * i;

		strcpy((char *)file + at, sections[i].name);
		put32(at + 8, sections[i].size);
		put32(at + 16, (uint32_t)align_up(sections[i].size, 512));
		put32(at + 20, sections[i].offset);
	}
	memcpy(file + BUNDLE_LINUX, kernel, sizeof(kernel));
	memcpy(file + BUNDLE_INITRD, "an initrd", 9);
	memcpy(file + BUNDLE_WORDS, "quiet", 5);
	file_len = BUNDLE_WORDS + 0x200;
}

/* Its initrd is loaded by itself: all of the image is hashed again then. */
static void bundles(void **state)
{
	static const size_t at[] = { BUNDLE_LINUX + 70000, BUNDLE_INITRD, BUNDLE_WORDS, 0x3c, 0x48,
		BUNDLE_WORDS + 0x1ff };
	unsigned all, refused = 0;

	make_bundle();
	with.where = BY_POSITION;
	reads = 0;
	assert_int_equal(load_fit(), 0);
	all = reads;
	assert_string_equal(result.kind, "PE bundle");
	assert_true(result.bundled_initrd);
	assert_memory_equal(ram + 2 * MiB, file + BUNDLE_LINUX, 90000);
	assert_memory_equal(ram + (result.initrd.gpa - RAM_BASE), "an initrd", 10);
	/* The FIT's own comes first. */
	with.ramdisk = "another initrd";
	assert_int_equal(load_fit(), 0);
	assert_false(result.bundled_initrd);
	assert_int_equal(result.initrd.size, 14);
	with.ramdisk = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		for (change_at = 1; change_at <= all; change_at++) {
			struct loader *loader = NULL;
			int err;

			memset(ram, 0, 16 * MiB);
			write_fit();
			reads = 0;
			change_offset = POSITION + at[i];
			change_by = 2;
			change_back_at = change_at + 1;
			err = loader_open(&config, &errors, &loader);
			while (!err && (err = loader_load(loader, &mem, 0, &errors, &result)) > 0)
				err = 0;
			if (err) {
				refused++;
			} else {
				assert_memory_equal(ram + 2 * MiB, file + BUNDLE_LINUX, 90000);
				assert_int_equal(result.initrd.size, 9);
				assert_memory_equal(
					ram + (result.initrd.gpa - RAM_BASE), "an initrd", 10);
				assert_string_equal(result.cmdline, "quiet");
			}
			loader_close(loader);
			errors_finish(&errors);
		}
	change_at = change_back_at = 0;
	assert_true(refused > 12);
}

static void raw_binaries(void **state)
{
	memset(file, 'x', 4096);
	file_len = 4096;
	write_fit();
	/* Where any raw binary is, with a warning. */
	{
		struct loader *loader;

		assert_int_equal(loader_open(&config, &errors, &loader), 0);
		assert_int_equal(errors.warnings, 1);
		errors_finish(&errors);
		loader_close(loader);
	}
	with.has_load = with.has_entry = true;
	with.load = RAM_BASE + 5 * MiB;
	with.entry = with.load + 64;
	assert_int_equal(load_fit(), 0);
	assert_int_equal(errors.warnings, 0);
	assert_string_equal(result.kind, "raw binary");
	assert_int_equal(result.kernel.gpa, RAM_BASE + 5 * MiB);
	assert_int_equal(result.entry_gpa, RAM_BASE + 5 * MiB + 64);
	assert_memory_equal(ram + 5 * MiB, file, file_len);
	/* The tree's word for it comes first. */
	config.raw_kernel = true;
	config.kernel_gpa = RAM_BASE + 7 * MiB;
	assert_int_equal(load_fit(), 0);
	assert_int_equal(result.entry_gpa, RAM_BASE + 7 * MiB + 64);
	with.compression = "gzip";
	gzip(0);
	refuses_fit("is compressed, and a raw binary");
	with.compression = NULL;
	config.raw_kernel = false;
	memset(file, 'x', 4096);
	file_len = 4096;
	with.entry = with.load + 4096;
	refuses_fit("/images/kernel-1: entry: 0x40501000 is no place of an instruction");
	with.entry = with.load - 4;
	refuses_fit("is no place of an instruction");
	with.entry = with.load + 2;
	refuses_fit("is no place of an instruction");
	with.load += 2;
	refuses_fit("load: 0x40500002 is no multiple of 4");
	with.load = RAM_BASE - 4096;
	with.entry = with.load;
	refuses_fit("for 0x3ffff000, and that is not free");
	/* An offset, and no place. */
	with.type = "kernel_noload";
	with.entry = 128;
	assert_true(load_fit() == 0 || errors.count);
	assert_int_equal(result.entry_gpa, KERNEL_GPA + 128);
	with.entry = 4096;
	refuses_fit("is no place of an instruction");
	/* An Image is as any other. */
	make_image(100000, 0, 200000);
	assert_int_equal(load_fit(), 0);
	assert_int_equal(result.entry_gpa, KERNEL_GPA);
}

/* ---- What is damaged ---- */

/* Every bit of the data of a few places, in kernel and ramdisk, at the ends of pieces too. */
static void flips_in_data(void **state)
{
	static const size_t at[] = { 0, 9, 0x38, 63, 64, 1023, 1024, 64 * KiB - 1, 64 * KiB,
		128 * KiB, 139999 };

	for (unsigned packed = 0; packed < 2; packed++)
		for (size_t i = 0; i < ARRAY_SIZE(at); i++)
			for (unsigned bit = 0; bit < 8; bit++) {
				uint8_t *found;
				size_t len;
				FILE *out;
				static uint8_t all[sizeof(file) + 65536];

				make_image(140000, 0, 300000);
				if (packed)
					gzip(0);
				if (at[i] >= file_len)
					continue;
				with.ramdisk = "an initrd";
				with.compression = packed ? "gzip" : NULL;
				write_fit();
				out = fopen(kernel_path, "re");
				len = fread(all, 1, sizeof(all), out);
				fclose(out);
				found = memmem(all, len, file, file_len);
				assert_non_null(found);
				if (i == 0) /* of the ramdisk too */
					found = memmem(all, len, "an initrd", 9);
				found[i ? at[i] : bit] ^= 1u << bit;
				write_to(kernel_path, all, len);
				memset(&result, 0xee, sizeof(result));
				assert_true(load() < 0);
				/* Nothing to start was given. */
				assert_int_equal(result.entry_gpa, UINT64_C(0xeeeeeeeeeeeeeeee));
				errors_finish(&errors);
			}
}

static void cut_short(void **state)
{
	struct stat st;

	make_image(100000, 0, 300000);
	with.where = BY_OFFSET;
	write_fit();
	assert_int_equal(stat(kernel_path, &st), 0);
	assert_int_equal(truncate(kernel_path, st.st_size - 4), 0);
	assert_true(load() < 0);
	says("/images/kernel-1");
	errors_finish(&errors);
}

/*
 * A bit of the file changes before a read, and back before a later one: for each two reads. Whatever is loaded then is
 * what was in the file that was hashed.
 */
static void changes_between_reads(void **state)
{
	/* In the Image: text_offset, image_size, flags, code, what follows; in what is packed: its first bytes. */
	static const size_t at[] = { 9, 17, 18, 24, 4, 70000, 99999 };
	unsigned refused = 0, taken = 0, all;

	for (unsigned kind = 0; kind < 3; kind++) {
		make_image(100000, 0, 300000);
		if (kind == 1)
			make_zboot("gzip");
		with.ramdisk = "an initrd";
		with.where = BY_POSITION;
		if (kind == 2) {
			elf_start();
			elf_write();
		}
		reads = 0;
		assert_int_equal(load_fit(), 0);
		all = reads;
		for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
			/* What an ELF says of its entry and its segments. */
			static const size_t of_elf[] = { 24, 32, 56, 64 + 56 + 24, 64 + 56 + 8,
				0x1001, 0x2001 };
			size_t offset = kind == 2 ? of_elf[i] : at[i];

			if (offset >= file_len)
				continue;
			change_offset = POSITION + offset;
			change_by = kind == 2 && offset < 0x1000 ? 4 : 0x10;
			for (unsigned from = 1; from <= all; from++) {
				unsigned back = from + 1 + (from + (unsigned)i) % 3;
				int err;

				memset(ram, 0, 16 * MiB);
				write_fit();
				reads = 0;
				change_at = from;
				change_back_at = back;
				memset(&result, 0, sizeof(result));
				errors_finish(&errors);
				{
					struct loader *loader = NULL;

					err = loader_open(&config, &errors, &loader);
					while (!err && (err = loader_load(loader, &mem, 0, &errors,
								&result)) > 0)
						err = 0;
					loader_close(loader);
				}
				change_at = change_back_at = 0;
				if (err) {
					assert_true(errors_any(&errors));
					refused++;
					continue;
				}
				taken++;
				if (kind == 2) {
					assert_int_equal(
						result.entry_gpa, RAM_BASE + 3 * MiB + 0x10);
					assert_int_equal(ram[3 * MiB + 1], 0x11);
					assert_int_equal(ram[4 * MiB + 1], 0x22);
					continue;
				}
				assert_int_equal(result.kernel.gpa, KERNEL_GPA);
				assert_int_equal(result.kernel.size, kind ? 200000 : 300000);
				if (!kind)
					assert_memory_equal(ram + 2 * MiB, file, file_len);
			}
		}
	}
	assert_true(refused > 20);
	assert_true(taken > 20);
}

/* ---- Resets ---- */

static int again(struct loader *loader)
{
	int err;

	memset(ram, 0, RAM_SIZE);
	errors_finish(&errors);
	while ((err = loader_load(loader, &mem, 0, &errors, &result)) > 0)
		;
	assert_true((err < 0) == errors_any(&errors));
	return err;
}

static void after_a_reset(void **state)
{
	struct loader *loader;

	make_image(100000, 0, 300000);
	with.ramdisk = "an initrd";
	write_fit();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	assert_int_equal(again(loader), 0);
	/* Another kernel, without a ramdisk. */
	make_image(90000, 0x2000, 200000);
	with.ramdisk = NULL;
	write_fit();
	assert_int_equal(again(loader), 0);
	assert_int_equal(result.kernel.gpa, KERNEL_GPA + 0x2000);
	assert_int_equal(result.initrd.size, 0);
	assert_memory_equal(ram + 2 * MiB + 0x2000, file, file_len);
	/* A damaged one. */
	change_offset = 60000;
	change_by = 1;
	flip();
	assert_int_equal(again(loader), -EINVAL);
	says("has another sha256");
	/* No FIT any more, and one again. */
	write_kernel();
	assert_int_equal(again(loader), 0);
	assert_null(result.fit);
	assert_memory_equal(ram + 2 * MiB + 0x2000, file, file_len);
	write_to(kernel_path, "\xd0\x0d\xfe\xed, and nothing of a tree", 28);
	assert_int_equal(again(loader), -EINVAL);
	says("kernel: is truncated: it ends within the header of its tree");
	with.compression = "gzip";
	gzip(0);
	write_fit();
	assert_int_equal(again(loader), 0);
	assert_string_equal(result.fit, kernel_path);
	loader_close(loader);
}

/* What a bundle has, and a kernel that is compressed, is not read again to describe it, if the file is as it was. */
static void described_once(void **state)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		struct loader *loader;
		unsigned kept, anew;

		with.where = BY_POSITION;
		make_image(100000, 0x1000, 300000);
		if (kind)
			make_bundle();
		else
			gzip(0);
		with.compression = kind ? NULL : "gzip";
		write_fit();
		assert_int_equal(loader_open(&config, &errors, &loader), 0);
		for (unsigned i = 0; i < 2; i++) {
			reads = 0;
			assert_int_equal(again(loader), 0);
			kept = reads;
			assert_int_equal(result.initrd.size, kind ? 9 : 0);
			assert_true(!result.cmdline == !kind);
			if (kind)
				assert_string_equal(result.cmdline, "quiet");
			else
				assert_int_equal(result.kernel.gpa, KERNEL_GPA + 0x1000);
		}
		/* Written again, with what was in it. */
		write_fit();
		usleep(20000); /* coarse clocks */
		assert_int_equal(utimensat(AT_FDCWD, kernel_path, NULL, 0), 0);
		reads = 0;
		assert_int_equal(again(loader), 0);
		anew = reads;
		assert_true(kept < anew);
		/* Another kernel of the same file. */
		make_image(90000, 0x2000, 200000);
		with.compression = NULL;
		write_fit();
		assert_int_equal(again(loader), 0);
		assert_int_equal(result.kernel.gpa, KERNEL_GPA + 0x2000);
		assert_null(result.cmdline);
		loader_close(loader);
	}
}

/* The FIT that the machine's tree is from. */
static struct fit_file *open_source(const struct fit_keys *keys)
{
	struct fit_file *fit;
	int fd = open(kernel_path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(fit_file_open(fd, kernel_path, NULL, keys, &fit), 0);
	assert_int_equal(fit_file_read(fit, &errors), 0);
	assert_int_equal(fit_file_read_trees(fit, &errors), 0);
	config.fit = fit;
	config.kernel.name = NULL;
	return fit;
}

static void with_its_tree(void **state)
{
	struct loader *loader;
	struct fit_file *fit;

	make_image(100000, 0, 300000);
	with.ramdisk = "an initrd";
	with.tree = "what is a tree";
	write_fit();
	fit = open_source(NULL);
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	assert_int_equal(again(loader), 0);
	assert_int_equal(result.initrd.size, 9);
	assert_string_equal(result.checked, "fdt-1: sha256, kernel-1: sha256, ramdisk-1: sha256");
	/* Another kernel is started, but not with another tree: the machine is what the first one says. */
	make_image(90000, 0, 200000);
	write_fit();
	assert_int_equal(again(loader), 0);
	assert_int_equal(result.kernel.size, 200000);
	with.tree = "what is a trie";
	write_fit();
	assert_int_equal(again(loader), -EINVAL);
	says("/images/fdt-1: the tree is another than the one that the machine was started with");
	with.tree = "what is a tree, and more";
	write_fit();
	assert_int_equal(again(loader), -EINVAL);
	with.tree = NULL;
	write_fit();
	assert_int_equal(again(loader), -EINVAL);
	says("/configurations/conf-1: fdt: is missing");
	with.tree = "what is a tree";
	write_fit();
	assert_int_equal(again(loader), 0);
	loader_close(loader);
	fit_file_close(fit);
}

/* ---- Configurations ---- */

static void configurations(void **state)
{
	char first[] = "conf-1", second[] = "conf-2";

	make_image(100000, 0, 300000);
	config.kernel_configuration = second;
	refuses_fit("has no configuration \"conf-2\"; there are: conf-1");
	with.second_kernel = "kernel-1";
	assert_int_equal(load_fit(), 0);
	/* Linux's image.fit: none is the default one. */
	config.kernel_configuration = NULL;
	with.no_default = true;
	assert_int_equal(load_fit(), 0);
	with.second_kernel = "kernel-2";
	refuses_fit("has no default configuration: name one; there are: conf-1, conf-2");
	config.kernel_configuration = first;
	assert_int_equal(load_fit(), 0);
	/* A file that is none has none. */
	write_kernel();
	assert_true(load() < 0);
	says("is no FIT, and has no configuration \"conf-1\" to choose");
	errors_finish(&errors);
	config.kernel_configuration = NULL;
}

/* Nobody signs which one is the default: it is that of the first start, at each reset. */
static void the_default_stays(void **state)
{
	struct loader *loader;

	make_image(100000, 0, 300000);
	with.second_kernel = "kernel-2";
	write_fit();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	assert_int_equal(again(loader), 0);
	assert_string_equal(result.configuration, "conf-1");
	with.second_is_default = true;
	write_fit();
	assert_int_equal(again(loader), 0);
	assert_string_equal(result.configuration, "conf-1");
	assert_int_equal(result.kernel.size, 300000);
	loader_close(loader);
}

/* ---- What has to be signed ---- */

static void signed_ones(void **state)
{
	struct verification required = { .required = true, .by = "--verify required" };
	struct fit_keys *other = NULL;
	struct loader *loader;
	struct blob blob;

	if (!maker_begin())
		skip();
	make_image(100000, 0, 300000);
	maker_write("kernel", file, file_len);
	maker_keys("ecdsa256.pub", &required.keys);
	config.verification = &required;
	write_kernel();
	assert_true(load() < 0);
	says("is no FIT, so nobody has signed it, and --verify required refuses it");
	errors_finish(&errors);
	refuses_fit("ecdsa256");
	blob = maker_image(
		NULL, maker_sha256, maker_signature("sha256,ecdsa256", "ecdsa256", ""), "-k .");
	write_to(kernel_path, blob.data, blob.len);
	assert_int_equal(load(), 0);
	assert_memory_equal(ram + 2 * MiB, file, file_len);
	config.initrd.name = initrd_path;
	write_to(initrd_path, "mine", 4);
	assert_true(load() < 0);
	says("is a file of its own, which nobody has signed, and --verify required refuses it");
	errors_finish(&errors);
	config.initrd.name = NULL;
	config.firmware.name = kernel_path;
	config.kernel.name = NULL;
	assert_true(loader_open(&config, &errors, &loader) < 0);
	says("is firmware, which is not verified");
	errors_finish(&errors);
	config.firmware.name = NULL;
	/* What was signed when the machine started, and is another one's at a reset. */
	config.kernel.name = kernel_path;
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	assert_int_equal(again(loader), 0);
	assert_string_equal(result.signatures, "ecdsa256 (sha256,ecdsa256)");
	write_kernel();
	assert_int_equal(again(loader), -EINVAL);
	write_fit();
	assert_int_equal(again(loader), -EINVAL);
	write_to(kernel_path, blob.data, blob.len);
	assert_int_equal(again(loader), 0);
	loader_close(loader);
	maker_keys("other.pub", &other);
	fit_keys_destroy(required.keys);
	required.keys = other;
	assert_true(load() < 0);
	says("it is by another key");
	config.verification = NULL;
	fit_keys_destroy(other);
	blob_free(&blob);
	maker_end();
}

/* A version counts once its kernel is there; at each reset it is asked anew. */
static void versions(void **state)
{
	char kept[] = "/tmp/loader-versions-XXXXXX", path[100];
	struct verification required = { .required = true,
		.by = "--verify required",
		.versions = kept };
	struct loader *loader;
	uint32_t highest;

	assert_non_null(mkdtemp(kept));
	make_image(100000, 0, 300000);
	config.verification = &required;
	with.version = 5;
	write_fit();
	assert_int_equal(loader_open(&config, &errors, &loader), 0);
	assert_int_equal(loader_check(loader, &errors), 0);
	assert_int_equal(versions_highest(kept, "gateway", &errors, &highest), 0);
	assert_int_equal(highest, 0);
	/* A kernel that is not what was signed does not start. */
	change_offset = 60000;
	change_by = 1;
	flip();
	assert_int_equal(again(loader), -EINVAL);
	assert_int_equal(versions_highest(kept, "gateway", &errors, &highest), 0);
	assert_int_equal(highest, 0);
	flip();
	assert_int_equal(again(loader), 0);
	assert_string_equal(result.product, "gateway");
	assert_int_equal(result.version, 5);
	assert_int_equal(versions_highest(kept, "gateway", &errors, &highest), 0);
	assert_int_equal(highest, 5);
	with.version = 6;
	write_fit();
	assert_int_equal(again(loader), 0);
	with.version = 5;
	write_fit();
	assert_int_equal(again(loader), -EINVAL);
	says("sluice,version: this is version 5, and version 6 was started here");
	/* Another machine was started as a later one: this one goes on. */
	with.version = 6;
	write_fit();
	assert_int_equal(versions_keep(kept, "gateway", 7, &errors), 0);
	assert_int_equal(again(loader), 0);
	with.version = 5;
	write_fit();
	assert_int_equal(again(loader), -EINVAL);
	with.version = 8;
	write_fit();
	snprintf(path, sizeof(path), "%s/gateway/none", kept);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(again(loader), -EINVAL);
	says("holds what is no version");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(again(loader), 0);
	loader_close(loader);
	config.verification = NULL;
	snprintf(path, sizeof(path), "rm -r %s", kept);
	assert_int_equal(system(path), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fit_setup, loader_teardown)
	const struct CMUnitTest tests[] = {
		TEST(kernel_and_ramdisk),
		TEST(each_compression),
		TEST(elf_programs),
		TEST(bundles),
		TEST(raw_binaries),
		TEST(flips_in_data),
		TEST(cut_short),
		TEST(changes_between_reads),
		TEST(after_a_reset),
		TEST(described_once),
		TEST(with_its_tree),
		TEST(configurations),
		TEST(the_default_stays),
		TEST(signed_ones),
		TEST(versions),
	};

	return cmocka_run_group_tests_name("loader-fit", tests, make_folder, remove_folder);
}
