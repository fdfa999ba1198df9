/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's file; see disk-file.h. A block device to be written is opened exclusively, which fails while it is mounted
 * here.
 */
#include "devices/backend/disk-file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/backend/file-lock.h"
#include "hyp/base/util.h"

#define SECTOR 512

/* Images that are more than a disk's contents, by their first bytes and QEMU's names. */
static const struct {
	const char *format, *magic;
	unsigned offset, len;
} formats[] = {
	{ "qcow2", "QFI\xfb", 0, 4 },
	{ "qed", "QED", 0, 4 },
	{ "vmdk", "KDMV", 0, 4 },
	{ "vmdk", "# Disk DescriptorFile", 0, 21 },
	{ "vhdx", "vhdxfile", 0, 8 },
	{ "vpc", "conectix", 0, 8 },
	{ "vdi", "\x7f\x10\xda\xbe", 64, 4 },
	{ "parallels", "WithoutFreeSpace", 0, 16 },
	{ "parallels", "WithouFreSpacExt", 0, 16 },
	{ "bochs", "Bochs Virtual HD Image", 0, 22 },
};

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

/*
 * Adds a command that helps; not if a tree from elsewhere chose the name, since a person would run the command on that
 * file.
 */
static int fail_and_help(const struct disk_config *config, char *ret_why, size_t len, int err,
	const char *help, const char *format, ...) __attribute__((format(printf, 6, 7)));

static int fail_and_help(const struct disk_config *config, char *ret_why, size_t len, int err,
	const char *help, const char *format, ...)
{
	size_t used;
	va_list args;

	va_start(args, format);
	vsnprintf(ret_why, len, format, args);
	va_end(args);
	used = strlen(ret_why);
	if (!config->path.beneath)
		snprintf(ret_why + used, len - used, ": `%s %s`", help, config->path.name);
	return err;
}

static int cannot_open(const struct disk_config *config, int err, char *why, size_t len)
{
	const char *path = config->path.name;

	switch (err) {
	case ENOENT:
		return fail_and_help(config, why, len, -err, "truncate -s 8G",
			"there is no %s; a file of 8 GiB takes no space before it is written",
			path);
	case EACCES:
	case EPERM:
	case EROFS:
		return fail(why, len, -err, "this user may not %s %s: give the user the right to%s",
			config->read_only ? "read" : "write", path,
			config->read_only ? "" : ", or say read-only");
	case EISDIR:
		return fail(why, len, -err, "%s is a folder", path);
	case EBUSY:
		return fail(why, len, -err,
			"%s is in use on this host: unmount it, or say read-only", path);
	default:
		return fail(why, len, -err, "cannot open %s: %s", path, strerror(err));
	}
}

static int lock_file(const struct disk_config *config, int fd, char *why, size_t len)
{
	int err = file_lock(fd, !config->read_only);

	if (err == -EBUSY)
		return fail_and_help(config, why, len, err, "lsof",
			"%s is in use by another process: a disk that is written has one user; give each machine a copy, or say read-only in all",
			config->path.name);
	return err ? fail(why, len, err, "cannot lock %s: %s", config->path.name, strerror(-err))
		   : 0;
}

/*
 * What O_DIRECT asks of offsets and buffers. If the kernel does not report it, a block of the file system, but at most
 * a page: NFS, ZFS and others give their best transfer size as block, up to some MiB.
 */
static void direct_limits(struct disk_file *file, const struct stat *stat)
{
	uint64_t most = (uint64_t)sysconf(_SC_PAGESIZE), block = (uint64_t)stat->st_blksize;
	int sector = 0;

	if (S_ISBLK(stat->st_mode) && !ioctl(file->fd, BLKSSZGET, &sector) && sector > 0)
		block = (uint64_t)sector;
	file->align = block < most && is_power_of_two(block) ? (uint32_t)block : (uint32_t)most;
	file->memory_align = file->align;
#ifdef STATX_DIOALIGN
	struct statx more;

	if (!statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &more) &&
		more.stx_mask & STATX_DIOALIGN && more.stx_dio_offset_align) {
		file->align = more.stx_dio_offset_align;
		file->memory_align = more.stx_dio_mem_align;
	}
#endif
	if (file->align < SECTOR)
		file->align = SECTOR;
}

/* Checks that it is a raw disk; fills in its size. */
static int examine(const struct disk_config *config, const struct stat *stat,
	struct disk_file *file, char *why, size_t len)
{
	const char *path = config->path.name;
	char start[SECTOR] = { 0 };
	off_t end = lseek(file->fd, 0, SEEK_END);

	if (!S_ISREG(stat->st_mode) && !S_ISBLK(stat->st_mode))
		return fail(why, len, -EINVAL, "%s is %s", path,
			S_ISDIR(stat->st_mode) ? "a folder" : "neither a file nor a block device");
	if (end < 0 || RETRY_EINTR(pread(file->fd, start, sizeof(start), 0)) < 0)
		return fail(why, len, -errno, "cannot read %s: %s", path, strerror(errno));
	if (!end)
		return fail_and_help(config, why, len, -EINVAL, "truncate -s 8G",
			"%s is empty; 8 GiB take no space before they are written", path);
	/* A guest may have written the header, and such a header may name any host file as its backing file. */
	for (size_t i = 0; i < ARRAY_SIZE(formats) && !config->raw; i++)
		if (!memcmp(start + formats[i].offset, formats[i].magic, formats[i].len))
			return fail(why, len, -EINVAL,
				"%s begins as %s images do, and a disk here is a raw one. If you put such an image there, name a raw copy of it. If a guest has had this disk, the guest may have written that, to have your files converted into its disk: convert nothing then; format = \"raw\" gives it to the guest as it is",
				path, formats[i].format);
	file->stored = (uint64_t)end;
	return 0;
}

/*
 * Sets the disk's size for a file of `stored` bytes. A read-only disk is padded with zeros to a whole block. A disk
 * that is written must have whole blocks, with O_DIRECT whole host blocks: its file is not extended unasked.
 */
static int set_size(const struct disk_config *config, struct disk_file *file, uint64_t stored,
	char *why, size_t len)
{
	uint32_t block = file->info.block_bytes, align = file->align;
	uint32_t unit = config->read_only || align < block ? block : align;
	char help[32];

	snprintf(help, sizeof(help), "truncate -s %%%u", unit);
	if (!config->read_only && stored % unit)
		return fail_and_help(config, why, len, -EINVAL, help,
			"%s has %llu bytes, not a multiple of %u%s", config->path.name,
			(unsigned long long)stored, unit,
			unit > block ? ", as direct wants it" : "");
	file->stored = stored;
	file->info.bytes = (stored + block - 1) / block * block;
	return 0;
}

/* Sets O_DIRECT, and clears O_NONBLOCK, with which io_uring would fail calls that have to wait. */
static int set_mode(const struct disk_config *config, const struct stat *stat,
	struct disk_file *file, char *why, size_t len)
{
	if (fcntl(file->fd, F_SETFL, config->direct ? O_DIRECT : 0))
		return fail(why, len, -errno,
			"the file system of %s does not take O_DIRECT: leave out direct",
			config->path.name);
	if (config->direct)
		direct_limits(file, stat);
	if (file->align > DISK_ALIGN_MAX || !is_power_of_two(file->align) ||
		file->memory_align > DISK_ALIGN_MAX || !is_power_of_two(file->memory_align))
		return fail(why, len, -EINVAL,
			"the file system of %s takes O_DIRECT in blocks of %u bytes only: leave out direct",
			config->path.name,
			file->align > file->memory_align ? file->align : file->memory_align);
	return set_size(config, file, file->stored, why, len);
}

int disk_file_open(const struct disk_config *config, bool lock, struct disk_file *ret,
	char *ret_why, size_t len)
{
	/* O_NONBLOCK: a FIFO would block here. Without O_CREAT, Linux applies O_EXCL to block devices only. */
	int mode = config->read_only ? O_RDONLY : O_RDWR | (lock ? O_EXCL : 0), err = 0;
	struct disk_file file = {
		.align = 1, .memory_align = 1, .info.block_bytes = config->block_bytes
	};
	struct stat stat;

	file.fd = host_path_open(&config->path, mode | O_CLOEXEC | O_NONBLOCK, 0);
	if (file.fd < 0)
		return cannot_open(config, -file.fd, ret_why, len);
	if (fstat(file.fd, &stat))
		err = fail(ret_why, len, -errno, "%s: %s", config->path.name, strerror(errno));
	if (!err)
		err = examine(config, &stat, &file, ret_why, len);
	if (!err && lock)
		err = lock_file(config, file.fd, ret_why, len);
	if (!err)
		err = set_mode(config, &stat, &file, ret_why, len);
	if (err) {
		close(file.fd);
		return err;
	}
	*ret = file;
	return 0;
}

int disk_file_resize(const struct disk_config *config, struct disk_file *file, uint64_t bytes,
	char *ret_why, size_t len)
{
	const char *path = config->path.name;
	unsigned long long before = file->info.bytes, wanted = bytes;
	off_t end = lseek(file->fd, 0, SEEK_END);
	struct disk_file grown = *file;
	struct stat stat;
	int err;

	if (end < 0 || fstat(file->fd, &stat))
		return fail(ret_why, len, -errno, "%s: %s", path, strerror(errno));
	if (bytes ? bytes < before : (uint64_t)end < file->stored)
		return fail(ret_why, len, -EINVAL,
			"a disk in use does not shrink, as its guest may have data there: %s has %llu bytes, and %llu are %s. Shrink what is on it from within the guest, power it off, and cut the file with `truncate`",
			path, before, bytes ? wanted : (unsigned long long)end,
			bytes ? "asked for" : "left of it: make it as long again");
	if (bytes && bytes != (uint64_t)end && config->read_only)
		return fail(ret_why, len, -EROFS,
			"%s is read-only here: give the file its size, and leave the size out",
			path);
	if (bytes && bytes != (uint64_t)end && !S_ISREG(stat.st_mode))
		return fail(ret_why, len, -EINVAL,
			"%s is a device of %llu bytes: give it its size with what made it, as lvextend, and leave the size out",
			path, (unsigned long long)end);
	if (bytes && bytes < (uint64_t)end)
		return fail(ret_why, len, -EINVAL,
			"%s has %llu bytes already: leave the size out, and the disk has them all",
			path, (unsigned long long)end);
	err = set_size(config, &grown, bytes ? bytes : (uint64_t)end, ret_why, len);
	if (err)
		return err;
	if (bytes > (uint64_t)end && RETRY_EINTR(ftruncate(file->fd, (off_t)bytes)))
		return fail(ret_why, len, -errno, "%s cannot be made %llu bytes long: %s", path,
			wanted, strerror(errno));
	*file = grown;
	return 0;
}
