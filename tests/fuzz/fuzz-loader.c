/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FIT of any bytes through the loader: as the file that a tree names and as the one that the tree is from, without keys
 * and with one, checked and loaded, and loaded again after a bit of it has changed. The key below has signed one image,
 * of which the corpus has two forms, and its private half is gone: whatever else is loaded with it was forged.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/boot/loader.h"
#include "board/config/map.h"
#include "board/config/verification.h"
#include "board/fit/fit-file.h"
#include "board/fit/fit-keys.h"
#include "board/text/errors.h"
#include "hyp/memory/guestmem.h"
#include "tests/fuzz/fuzz.h"

#define BYTES (8 * MiB) /* of RAM */

static const char key[] = "-----BEGIN PUBLIC KEY-----\n"
			  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjFTZasIN7aYhhsXIVZa+sJfcEftD\n"
			  "k+3HllinzT4vN6pvmIqMCfIhtaxQJZ9Xnz5tmnDNRLs9089NovF0WBKLhg==\n"
			  "-----END PUBLIC KEY-----\n";
/* What it has signed: an Image, whose last six bytes are no header, and an initrd. */
static const char signed_kernel[70] =
	"MZ\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0\0\0\0\0\0\n\0\0\0\0\0\0\0"
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0ARMd\0\0\0\0"
	"signed";
static const char signed_initrd[] = "a signed initrd";

static uint8_t *ram;
static struct guestmem mem;
static struct fit_keys *known;

static int file_of(const void *data, size_t size)
{
	int fd = memfd_create("fit", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

static void begin(void)
{
	struct guestmem_range range = { .gpa = RAM_BASE, .size = BYTES };
	struct errors errors = { 0 };
	int fd = file_of(key, strlen(key));

	ram = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(ram != MAP_FAILED);
	range.hva = ram;
	CHECK(!guestmem_add(&mem, &range));
	CHECK(!fit_keys_create(&known) && !fit_keys_add(known, fd, "k.pub", &errors));
	close(fd);
}

static bool is(struct range place, const void *data, size_t size)
{
	return place.size >= size && !memcmp(ram + (place.gpa - RAM_BASE), data, size);
}

static int load(struct loader *loader, bool with_key, struct errors *errors)
{
	struct loader_result result;
	int err;

	do
		err = loader_load(loader, &mem, 0, errors, &result);
	while (err > 0);
	CHECK((err < 0) == errors_any(errors));
	if (!err) {
		CHECK(result.entry_gpa >= RAM_BASE && result.entry_gpa < RAM_BASE + BYTES);
		CHECK(!result.kernel.size ||
			(result.kernel.gpa >= RAM_BASE && result.kernel.size <= BYTES));
		CHECK(result.tree_gpa >= RAM_BASE && result.tree_gpa < RAM_BASE + BYTES);
	}
	if (!err && with_key) {
		CHECK(is(result.kernel, signed_kernel, sizeof(signed_kernel)));
		CHECK(is(result.initrd, signed_initrd, strlen(signed_initrd)));
		CHECK(result.initrd.size == strlen(signed_initrd));
	}
	CHECK(!madvise(ram, BYTES, MADV_DONTNEED));
	return err;
}

static uint32_t sum_of(const uint8_t *data, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = sum * 31 + data[i];
	return sum;
}

/* Of the file's bits the one that `which` says is another, or is again as it was. */
static void flip(int fd, const uint8_t *data, size_t size, uint32_t which, bool back)
{
	size_t at = which / 8 % size;
	uint8_t byte = data[at] ^ (back ? 0 : 1 << which % 8);

	CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
}

static void read_machine(
	const struct machine_config *config, int fd, const uint8_t *data, size_t size)
{
	const bool with_key = config->verification;
	uint32_t sum = sum_of(data, size);
	struct errors errors = { 0 };
	struct loader *loader;
	int err = loader_open(config, &errors, &loader);

	CHECK((err < 0) == errors_any(&errors));
	if (!err) {
		err = loader_check(loader, &errors);
		CHECK((err < 0) == errors_any(&errors));
		errors_finish(&errors);
		/* What check says is what a start does. */
		CHECK(load(loader, with_key, &errors) == err);
		errors_finish(&errors);
		/* At resets it is another file, more often if it was signed, and then the first one again. */
		for (unsigned i = with_key && !err ? 16 : 1; i; i--) {
			flip(fd, data, size, sum += UINT32_C(0x9e3779b9), false);
			load(loader, with_key, &errors);
			errors_finish(&errors);
			flip(fd, data, size, sum, true);
		}
		CHECK(load(loader, with_key, &errors) == err);
		loader_close(loader);
	}
	errors_finish(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine_config config = { .memory = { { RAM_BASE, BYTES } }, .memory_count = 1 };
	struct verification required = { .required = true, .by = "--key" };
	struct errors errors = { 0 };
	char path[32];
	int fd;

	if (!size)
		return 0;
	if (!ram)
		begin();
	required.keys = known;
	fd = file_of(data, size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (unsigned i = 0; i < 2; i++) {
		config.verification = i ? &required : NULL;
		config.kernel.name = path;
		read_machine(&config, fd, data, size);
		config.kernel.name = NULL;
		CHECK(!fit_file_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), "x.itb", NULL, i ? known : NULL,
			&config.fit));
		if (!fit_file_read(config.fit, &errors) &&
			!fit_file_read_trees(config.fit, &errors))
			read_machine(&config, fd, data, size);
		fit_file_close(config.fit);
		config.fit = NULL;
		errors_finish(&errors);
	}
	close(fd);
	return 0;
}
