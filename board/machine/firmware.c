/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware in read-only memory; see firmware.h. */
#include "board/machine/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/map.h"
#include "board/text/errors.h"
#include "board/text/size.h"
#include "hyp/base/host-path.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"

#define CHUNK (64 * KiB)

static void count_store(struct firmware *firmware, uint64_t offset)
{
	firmware->stores++;
	log_limited(&firmware->complaints, LOG_INFO,
		"the guest stores to its firmware at 0x%llx, which is read-only: ignored (%llu so far)",
		(unsigned long long)(firmware->region.gpa + offset),
		(unsigned long long)firmware->stores);
}

/* Stores of any kind. */
static bool on_ignored(struct mmio_region *region, uint64_t offset, bool write)
{
	if (write)
		count_store(container_of(region, struct firmware, region), offset);
	return write;
}

/* Only stores come here, and loads if KVM could not show the memory. Under the lock. */
static void on_access(struct mmio_region *region, struct mmio_access *access)
{
	struct firmware *firmware = container_of(region, struct firmware, region);

	if (!access->write) {
		memcpy(&access->data, firmware->hva + access->offset, access->size);
		return;
	}
	count_store(firmware, access->offset);
}

/* Opens it; its size to `ret_bytes`. The descriptor, or -EINVAL after an error was added. */
static int open_file(const struct host_path *path, uint64_t *ret_bytes, struct errors *errors)
{
	int fd = host_path_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		error_add(errors, path->name, NULL, "cannot be opened: %s",
			strerror(fd < 0 ? -fd : errno));
	else if (!S_ISREG(st.st_mode))
		error_add(errors, path->name, NULL, "is not a regular file");
	else if (!st.st_size)
		error_add(errors, path->name, NULL, "is empty");
	else if ((uint64_t)st.st_size > FIRMWARE_SIZE)
		error_add(errors, path->name, NULL,
			"is of %s, and firmware may have %s: name the file with its code (of UEFI AAVMF_CODE.fd, of U-Boot u-boot.bin)",
			SIZE((uint64_t)st.st_size), SIZE(FIRMWARE_SIZE));
	else {
		*ret_bytes = (uint64_t)st.st_size;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -EINVAL;
}

/* What people name by mistake, and would be run as code. */
static int check_format(int fd, const struct host_path *path, struct errors *errors)
{
	static const struct {
		char magic[5];
		const char *what;
	} known[] = { { "QFI\xfb", "a qcow2 image" }, { "\x7f"
							"ELF",
							      "an ELF" } };
	char head[4] = { 0 };

	if (RETRY_EINTR(pread(fd, head, sizeof(head), 0)) < 0) {
		error_add(errors, path->name, NULL, "cannot be read: %s", strerror(errno));
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!memcmp(head, known[i].magic, sizeof(head))) {
			error_add(errors, path->name, NULL,
				"is %s, and firmware is raw code that is entered at its first byte: name that",
				known[i].what);
			return -EINVAL;
		}
	return 0;
}

int firmware_check(const struct host_path *path, struct errors *errors)
{
	uint64_t bytes;
	int err, fd = open_file(path, &bytes, errors);

	if (fd < 0)
		return fd;
	err = check_format(fd, path, errors);
	close(fd);
	return err;
}

static bool is_zero(const uint8_t *at, size_t len)
{
	return !len || (!at[0] && !memcmp(at, at + 1, len - 1));
}

/* What is zeros stays untouched: files are padded to the size of the bank. */
static int read_file(
	int fd, const struct host_path *path, uint64_t bytes, uint8_t *to, struct errors *errors)
{
	static uint8_t chunk[CHUNK];

	for (uint64_t at = 0; at < bytes;) {
		ssize_t n = RETRY_EINTR(pread(fd, chunk, sizeof(chunk), (off_t)at));

		if (n <= 0 || (uint64_t)n > bytes - at) {
			error_add(errors, path->name, NULL, "cannot be read: %s",
				n < 0 ? strerror(errno) : "it has changed meanwhile");
			return -EINVAL;
		}
		if (!is_zero(chunk, (size_t)n))
			memcpy(to + at, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	return 0;
}

int firmware_create(struct firmware *firmware, const struct host_path *path, struct errors *errors)
{
	uint64_t bytes;
	int err, fd = open_file(path, &bytes, errors);
	void *hva = NULL;

	if (fd < 0)
		return fd;
	err = check_format(fd, path, errors);
	if (err) {
		close(fd);
		return err;
	}
	err = kvm_seam->map(NULL, FIRMWARE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, &hva);
	if (!err)
		err = read_file(fd, path, bytes, hva, errors);
	close(fd);
	if (err) {
		if (hva)
			kvm_seam->unmap(hva, FIRMWARE_SIZE);
		return err;
	}
	*firmware = (struct firmware){
		.hva = hva,
		.region = { .name = "firmware",
			.gpa = FIRMWARE_BASE,
			.size = FIRMWARE_SIZE,
			.access = on_access,
			.ignores = on_ignored,
			.memory = hva,
			.lock = &firmware->lock },
		.complaints = LOG_LIMIT(10),
	};
	pthread_mutex_init(&firmware->lock, NULL);
	rom_init(&firmware->rom, hva, FIRMWARE_SIZE);
	return 0;
}

void firmware_destroy(struct firmware *firmware)
{
	if (!firmware->hva)
		return;
	kvm_seam->unmap(firmware->hva, FIRMWARE_SIZE);
	pthread_mutex_destroy(&firmware->lock);
	firmware->hva = NULL;
}

int firmware_attach(struct firmware *firmware, const struct vm *vm, unsigned slot)
{
	if (!firmware->hva)
		return 0;
	rom_forget(&firmware->rom);
	if (!vm)
		return 0;
	rom_attach(&firmware->rom, vm, FIRMWARE_BASE, slot);
	return rom_show(&firmware->rom);
}
