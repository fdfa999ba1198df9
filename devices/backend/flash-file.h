/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file behind a flash: its contents and nothing else. KVM shows a guest the mapping; the device changes the file
 * by write(2), never through the mapping, so that a host without space and a file cut short are errors of that
 * operation and not a SIGBUS. What is written is in the host's page cache at once, and survives the end of the process
 * at any moment, in the order of the writes; a power cut of the host may take what its kernel has not yet written back.
 *
 * All calls may be made on any thread, one at a time: the device's lock sees to it.
 */
#ifndef SLUICE_DEVICES_BACKEND_FLASH_FILE_H
#define SLUICE_DEVICES_BACKEND_FLASH_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/base/host-path.h"
#include "hyp/base/util.h"

/* Of its size, a power of two. */
#define FLASH_BYTES_MIN (256 * KiB)
#define FLASH_BYTES_MAX (64 * MiB)
/*
 * A new file without a template: erased flash, all bits set. Four blocks of 256 KiB hold what either firmware keeps: edk2
 * three of them, U-Boot one. Its 0xff bytes are written out, since a hole would read as zeros; so it
 * should be small. U-Boot asks each block for its lock at each start, with two changes of a memory slot: 512 of them
 * for 64 MiB, 8 for this.
 */
#define FLASH_DEFAULT_BYTES (1 * MiB)

struct flash_config {
	struct host_path path; /* of a regular file */
	bool read_only; /* the file is never written, and may be shared by machines that only read it */
};

struct flash_file {
	int fd;
	const uint8_t *hva; /* `bytes` of the file, mapped to be read */
	uint64_t bytes;
	bool read_only;
};

/*
 * Opens, locks (file-lock.h) and maps the file. 0, or -errno with a sentence for people in ret_why: what is wrong and
 * what to do. A file that another process uses is waited for, for up to a second, then -EBUSY. -EINVAL: it is no
 * regular file, or of no size that a flash has.
 */
int flash_file_open(
	const struct flash_config *config, struct flash_file *ret, char *ret_why, size_t len);
/* Whether that would succeed; with `lock` also that no other process uses the file. */
int flash_file_probe(const struct flash_config *config, bool lock, char *ret_why, size_t len);
/* Closes what flash_file_open() opened; once. */
void flash_file_close(struct flash_file *file);

/*
 * All `len` bytes from `offset` on, which lie within the file as it was opened: 0; -EIO if the file has become
 * shorter; or -errno of the host. A write that fails may have changed some of the bytes. Each aligned word of 4 bytes is
 * written whole or not at all, also if the process is killed.
 */
int flash_file_read(const struct flash_file *file, uint64_t offset, void *ret, size_t len);
int flash_file_write(const struct flash_file *file, uint64_t offset, const void *bytes, size_t len);

/*
 * Makes the file, of this user alone, if there is none: a copy of the template, padded with 0xff to the next size that
 * a flash has; with NULL for a template FLASH_DEFAULT_BYTES of 0xff. It has its name once it is whole and on the disk,
 * also if the host or the process ends meanwhile (then a file NAME.?????? may be left). 0; -EEXIST if there is a file
 * of this name by then, which is untouched; or -errno; with a sentence for people in ret_why. -EINVAL: the template is
 * no regular file, empty, larger than a flash, or not raw.
 */
int flash_file_create(
	const struct host_path *path, const struct host_path *template, char *ret_why, size_t len);

/* Whether that would succeed, as far as can be said without making it. Also 0 if there is such a file. */
int flash_file_probe_create(
	const struct host_path *path, const struct host_path *template, char *ret_why, size_t len);
/*
 * How many bytes the flash has, or will have once it is made of the template (NULL: none). 0: the file cannot be opened.
 */
uint64_t flash_file_bytes(const struct host_path *path, const struct host_path *template);

#endif
