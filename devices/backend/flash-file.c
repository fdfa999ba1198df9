/* SPDX-License-Identifier: Apache-2.0 */
/* A flash's file; see flash-file.h. */
#include "devices/backend/flash-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/backend/file-lock.h"
#include "hyp/kvm/kvm.h"

#define ERASED 0xff
/* Of a copy: so much memory at a time. */
#define PIECE_BYTES (64 * KiB)

static int fail(char *ret_why, size_t len, int err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(char *ret_why, size_t len, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_why, len, format, args);
	va_end(args);
	return err;
}

static int cannot_open(
	const char *name, bool write, const char *hint, int err, char *why, size_t len)
{
	switch (err) {
	case -ENOENT:
		return fail(why, len, err, "there is no %s", name);
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return fail(why, len, err, "this user may not %s %s: give the user the right to%s",
			write ? "write" : "read", name, hint);
	case -EISDIR:
		return fail(why, len, err, "%s is a folder", name);
	default:
		return fail(why, len, err, "cannot open %s: %s", name, strerror(-err));
	}
}

/* The next size that a flash has. `bytes` is at most the largest. */
static uint64_t next_size(uint64_t bytes)
{
	uint64_t size = FLASH_BYTES_MIN;

	while (size < bytes)
		size *= 2;
	return size;
}

/* ---- Its bytes ---- */

int flash_file_read(const struct flash_file *file, uint64_t offset, void *ret, size_t len)
{
	uint8_t *to = ret;

	while (len) {
		ssize_t n = RETRY_EINTR(pread(file->fd, to, len, (off_t)offset));

		if (n <= 0)
			return n ? -errno : -EIO;
		to += n;
		offset += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* A write beyond the end would make a file longer that its owner has cut. */
static int check_end(int fd, uint64_t end)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	return (uint64_t)stat.st_size < end ? -EIO : 0;
}

static int write_all(int fd, uint64_t offset, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;

	while (len) {
		ssize_t n = RETRY_EINTR(pwrite(fd, from, len, (off_t)offset));

		if (n <= 0)
			return n ? -errno : -EIO;
		from += n;
		offset += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int flash_file_write(const struct flash_file *file, uint64_t offset, const void *bytes, size_t len)
{
	int err = check_end(file->fd, file->bytes);

	return err ? err : write_all(file->fd, offset, bytes, len);
}

/* ---- Opening ---- */

static int examine(
	const struct flash_config *config, const struct stat *stat, char *why, size_t len)
{
	const char *name = config->path.name;
	const uint64_t bytes = (uint64_t)stat->st_size;
	const unsigned long long has = bytes, next = next_size(bytes);

	if (!S_ISREG(stat->st_mode))
		return fail(why, len, -EINVAL, "%s is %s", name,
			S_ISDIR(stat->st_mode) ? "a folder" : "no regular file");
	if (bytes > FLASH_BYTES_MAX)
		return fail(why, len, -EINVAL,
			"%s has %llu bytes, and a flash 64 MiB at most: it is no flash's contents",
			name, has);
	if (bytes >= FLASH_BYTES_MIN && is_power_of_two(bytes))
		return 0;
	/* A person would run the command on a file that a tree from elsewhere chose. */
	if (config->path.beneath)
		return fail(why, len, -EINVAL,
			"%s has %llu bytes, and a flash a power of two from 256 KiB to 64 MiB: make it %llu bytes long",
			name, has, next);
	return fail(why, len, -EINVAL,
		"%s has %llu bytes, and a flash a power of two from 256 KiB to 64 MiB: `truncate -s %llu %s`",
		name, has, next, name);
}

static int lock_file(const struct flash_config *config, int fd, char *why, size_t len)
{
	const char *name = config->path.name;
	int err = file_lock(fd, !config->read_only);

	if (err == -EBUSY)
		return fail(why, len, err,
			"%s is in use by another process: a flash that is written has one user; give each machine a copy, or say read-only in all",
			name);
	return err ? fail(why, len, err, "cannot lock %s: %s", name, strerror(-err)) : 0;
}

static int open_file(
	const struct flash_config *config, bool lock, struct flash_file *ret, char *why, size_t len)
{
	/* O_NONBLOCK: a FIFO would block here. */
	const int flags = (config->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
	struct flash_file file = { .read_only = config->read_only };
	struct stat stat;
	int err = 0;

	file.fd = host_path_open(&config->path, flags, 0);
	if (file.fd < 0)
		return cannot_open(config->path.name, !config->read_only,
			config->read_only ? "" : ", or say read-only", file.fd, why, len);
	if (fstat(file.fd, &stat))
		err = fail(why, len, -errno, "%s: %s", config->path.name, strerror(errno));
	if (!err)
		err = examine(config, &stat, why, len);
	if (!err && lock)
		err = lock_file(config, file.fd, why, len);
	if (err) {
		close(file.fd);
		return err;
	}
	file.bytes = (uint64_t)stat.st_size;
	*ret = file;
	return 0;
}

int flash_file_open(
	const struct flash_config *config, struct flash_file *ret, char *ret_why, size_t len)
{
	struct flash_file file;
	void *hva;
	int err = open_file(config, true, &file, ret_why, len);

	if (err)
		return err;
	err = kvm_seam->map(NULL, file.bytes, PROT_READ,
		config->read_only ? MAP_PRIVATE : MAP_SHARED, file.fd, 0, &hva);
	if (err) {
		close(file.fd);
		return fail(
			ret_why, len, err, "cannot map %s: %s", config->path.name, strerror(-err));
	}
	file.hva = hva;
	*ret = file;
	return 0;
}

int flash_file_probe(const struct flash_config *config, bool lock, char *ret_why, size_t len)
{
	struct flash_file file;
	int err = open_file(config, lock, &file, ret_why, len);

	if (!err)
		close(file.fd);
	return err;
}

void flash_file_close(struct flash_file *file)
{
	kvm_seam->unmap((void *)file->hva, file->bytes);
	close(file->fd);
}

/* ---- Making one ---- */

static bool all_zeros(const uint8_t *bytes, size_t len)
{
	return !len || (!bytes[0] && !memcmp(bytes, bytes + 1, len - 1));
}

/* `bytes` of the template and 0xff from there to `size`. Zeros take no space: they are left out. */
static int fill(int fd, const struct flash_file *template, uint64_t size)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t copied;
	int err = RETRY_EINTR(ftruncate(fd, (off_t)size)) ? -errno : 0;

	for (uint64_t at = 0; at < size && !err; at += PIECE_BYTES) {
		copied = at < template->bytes ? template->bytes - at : 0;
		if (copied > PIECE_BYTES)
			copied = PIECE_BYTES;
		memset(piece, ERASED, sizeof(piece));
		err = flash_file_read(template, at, piece, copied);
		if (!err && !all_zeros(piece, sizeof(piece)))
			err = write_all(fd, at, piece, sizeof(piece));
	}
	if (!err && RETRY_EINTR(fsync(fd)))
		err = -errno;
	return err;
}

/* Gives the file `from` the name `to` too, or instead, if that is free. */
static int name_file(const char *from, const char *to)
{
	if (!link(from, to))
		return 0;
	/* A file system without links; others cannot rename in this way. */
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) ? -errno : 0;
}

/* Makes a file beside `place`, and gives it that name once it is whole. */
static int make(const char *place, const struct flash_file *template, uint64_t size)
{
	char *beside;
	int fd, err;

	if (asprintf(&beside, "%s.XXXXXX", place) < 0)
		return -ENOMEM;
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto free_name;
	}
	err = fill(fd, template, size);
	if (close(fd) && !err)
		err = -errno;
	if (!err)
		err = name_file(beside, place);
	unlink(beside);
free_name:
	free(beside);
	return err;
}

static int open_template(
	const struct host_path *path, struct flash_file *ret, char *why, size_t len)
{
	int fd = host_path_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0), err;
	char magic[4] = { 0 };
	struct stat stat;

	if (fd < 0)
		return cannot_open(path->name, false, "", fd, why, len);
	if (fstat(fd, &stat))
		err = fail(why, len, -errno, "%s: %s", path->name, strerror(errno));
	else if (!S_ISREG(stat.st_mode))
		err = fail(why, len, -EINVAL, "%s is no regular file", path->name);
	else if (!stat.st_size || (uint64_t)stat.st_size > FLASH_BYTES_MAX)
		err = fail(why, len, -EINVAL,
			"%s has %llu bytes, and a flash's contents at least one and at most 64 MiB",
			path->name, (unsigned long long)stat.st_size);
	else if (RETRY_EINTR(pread(fd, magic, sizeof(magic), 0)) < 0)
		err = fail(why, len, -errno, "cannot read %s: %s", path->name, strerror(errno));
	else if (!memcmp(magic, "QFI\xfb", sizeof(magic)))
		err = fail(why, len, -EINVAL,
			"%s is a qcow2 image, and a flash's contents are raw: name a raw copy of it",
			path->name);
	else
		err = 0;
	if (err) {
		close(fd);
		return err;
	}
	*ret = (struct flash_file){ .fd = fd, .bytes = (uint64_t)stat.st_size };
	return 0;
}

/* Whether the name is free: 0 or -EEXIST, or what is wrong with it. */
static int look_for(const struct host_path *path, char *why, size_t len)
{
	int fd = host_path_open(path, O_PATH | O_CLOEXEC, 0);

	if (fd == -ENOENT) {
		fd = host_path_open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
		if (fd == -ENOENT)
			return 0;
		if (fd < 0)
			return cannot_open(path->name, true, "", fd, why, len);
		close(fd);
		return fail(why, len, -EINVAL,
			"%s is a symbolic link to a file that is not there: make that, or remove the link",
			path->name);
	}
	if (fd < 0)
		return cannot_open(path->name, true, "", fd, why, len);
	close(fd);
	return fail(why, len, -EEXIST, "there is a %s", path->name);
}

/* A file can be made where `place` is. */
static int check_folder(const char *place)
{
	char *folder = strdup(place), *slash = folder ? strrchr(folder, '/') : NULL;
	int err;

	if (!folder)
		return -ENOMEM;
	if (slash)
		slash[slash == folder] = 0;
	err = access(slash ? folder : ".", W_OK) ? -errno : 0;
	free(folder);
	return err;
}

int flash_file_probe_create(
	const struct host_path *path, const struct host_path *template, char *ret_why, size_t len)
{
	struct flash_file from = { .fd = -1 };
	char *place = NULL;
	int folder = -1, err = look_for(path, ret_why, len);

	if (err)
		return err == -EEXIST ? 0 : err;
	if (template) {
		err = open_template(template, &from, ret_why, len);
		if (err)
			return err;
		close(from.fd);
	}
	err = host_path_place(path, &folder, &place);
	if (!err)
		err = check_folder(place);
	if (err)
		fail(ret_why, len, err, "cannot make %s: %s", path->name, strerror(-err));
	free(place);
	if (folder >= 0)
		close(folder);
	return err;
}

uint64_t flash_file_bytes(const struct host_path *path, const struct host_path *template)
{
	int fd = host_path_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	const bool missing = fd == -ENOENT;
	struct stat stat = { .st_size = FLASH_DEFAULT_BYTES };

	if (missing && template)
		fd = host_path_open(template, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0 && !(missing && !template))
		return 0;
	if (fd >= 0 && (fstat(fd, &stat) < 0 || stat.st_size > (off_t)FLASH_BYTES_MAX))
		stat.st_size = 0;
	if (fd >= 0)
		close(fd);
	return missing && stat.st_size ? next_size((uint64_t)stat.st_size) : (uint64_t)stat.st_size;
}

int flash_file_create(
	const struct host_path *path, const struct host_path *template, char *ret_why, size_t len)
{
	struct flash_file from = { .fd = -1 };
	uint64_t size = FLASH_DEFAULT_BYTES;
	char *place = NULL;
	int folder = -1, err = look_for(path, ret_why, len);

	if (!err && template)
		err = open_template(template, &from, ret_why, len);
	if (err)
		return err;
	if (template)
		size = next_size(from.bytes);
	err = host_path_place(path, &folder, &place);
	if (!err)
		err = make(place, &from, size);
	if (err)
		fail(ret_why, len, err, "cannot make %s: %s", path->name, strerror(-err));
	free(place);
	if (folder >= 0)
		close(folder);
	if (from.fd >= 0)
		close(from.fd);
	return err;
}
