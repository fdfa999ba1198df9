/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the loader: a machine with RAM, a kernel's and an initrd's file, and their contents. */
#ifndef SLUICE_TESTS_LOADER_FIXTURE_H
#define SLUICE_TESTS_LOADER_FIXTURE_H

#include "tests/unit/helpers/unit.h"

#include <elf.h>
#include <stdbool.h>

#include "board/boot/loader.h"
#include "board/config/config.h"
#include "board/config/map.h"
#include "board/text/errors.h"
#include "hyp/memory/guestmem.h"
#include "tests/unit/helpers/packing.h"

#define RAM_SIZE   (64 * MiB)
#define KERNEL_GPA (RAM_BASE + 2 * MiB)

extern char folder[40], kernel_path[64], initrd_path[64];
/* The machine, its memory, and what became of it. */
extern struct machine_config config;
extern struct guestmem mem;
extern uint8_t *ram;
extern struct errors errors;
extern struct loader_result result;
/* What write_kernel() writes. */
extern uint8_t file[256 * KiB];
extern size_t file_len;
/* What elf_write() makes a file of: text with its entry (1), data with a bss (2). */
extern Elf64_Ehdr elf;
extern Elf64_Phdr phdrs[3];

/* Of the group; of a test: 64 MiB of RAM, no initrd. */
int make_folder(void **state);
int remove_folder(void **state);
int loader_setup(void **state);
int loader_teardown(void **state);

void put32(size_t at, uint32_t v);
void put64(size_t at, uint64_t v);
void write_to(const char *path, const void *data, size_t len);
void write_kernel(void);

/* An Image of `len` bytes, each that is not header showing its place. */
void make_image(size_t len, uint64_t text_offset, uint64_t image_size);
/* Of 4000 bytes, with the header of an EFI program, whose second section ends with the file. */
void make_efi(void);
/* Packs `file` and puts it at `at`. */
void pack_file(enum packing packing, size_t at);
void gzip(size_t at);
/* `compression`: what the header calls it. */
void make_zboot_of(enum packing packing, const char *compression);
void make_zboot(const char *compression); /* of gzip */
void elf_start(void);
void elf_write(void);

/* Opens, loads and checks; the first error. */
int load(void);
int load_kernel(void);
/* The kernel is refused, by sluice check too, and the message has these words. */
void assert_refused(const char *words);
bool all_zero(const uint8_t *at, size_t len);

#endif
