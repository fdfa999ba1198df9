/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's file; see disk-file.h. Who uses it says so in QEMU's way, by shared locks on single bytes,
 * so that a writer is alone, and readers share it, with QEMU's among them. A block device that is
 * written is taken exclusively: not while it is mounted here.
 */
#include "devices/disk-file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hyp/util.h"

#define SECTOR 512
/* A process that was killed keeps its file until what it had under way has ended. */
#define LOCK_TRIES  100
#define LOCK_TRY_NS 10000000

/*
 * The bytes that QEMU's block/file-posix.c locks: one of each kind for those who use a file so, and
 * one for those who do not share it with such a use.
 */
enum { CONSISTENT_READ = 1 << 0, WRITE = 1 << 1, RESIZE = 1 << 3, USES = 4 };
#define BYTE_USED     100
#define BYTE_UNSHARED 200

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

static int cannot_open(const struct disk_config *config, int err, char *why, size_t len)
{
	const char *path = config->path;

	switch (err) {
	case ENOENT:
		return fail(why, len, -err,
			"there is no %s; `truncate -s 8G %s` makes one of 8 GiB that takes no "
			"space yet",
			path, path);
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

/* The locks that say it: 0, or -errno. */
static int set_locks(int fd, int first, unsigned uses, short type)
{
	for (int i = 0; i < USES; i++) {
		struct flock lock = { .l_type = type, .l_start = first + i, .l_len = 1 };

		if (uses & 1U << i && fcntl(fd, F_OFD_SETLK, &lock))
			return -errno;
	}
	return 0;
}

/* Whether another has said so of one of `uses`: 0, -EAGAIN, or another -errno. */
static int look_for_locks(int fd, int first, unsigned uses)
{
	for (int i = 0; i < USES; i++) {
		struct flock lock = { .l_type = F_WRLCK, .l_start = first + i, .l_len = 1 };

		if (!(uses & 1U << i))
			continue;
		if (fcntl(fd, F_OFD_GETLK, &lock))
			return -errno;
		if (lock.l_type != F_UNLCK)
			return -EAGAIN;
	}
	return 0;
}

/* Said before others are looked at: of two that start at once, one sees the other. */
static int try_lock(int fd, unsigned uses, unsigned unshared)
{
	int err = set_locks(fd, BYTE_USED, uses, F_RDLCK);

	if (!err)
		err = set_locks(fd, BYTE_UNSHARED, unshared, F_RDLCK);
	if (!err)
		err = look_for_locks(fd, BYTE_USED, unshared);
	if (!err)
		err = look_for_locks(fd, BYTE_UNSHARED, uses);
	if (err) {
		set_locks(fd, BYTE_USED, uses, F_UNLCK);
		set_locks(fd, BYTE_UNSHARED, unshared, F_UNLCK);
	}
	return err;
}

static int lock_file(const struct disk_config *config, int fd, char *why, size_t len)
{
	const struct timespec pause = { .tv_nsec = LOCK_TRY_NS };
	unsigned uses = CONSISTENT_READ | (config->read_only ? 0 : WRITE);
	int err = 0;

	for (int tries = 0; tries < LOCK_TRIES; tries++) {
		err = try_lock(fd, uses, WRITE | RESIZE);
		if (err != -EAGAIN && err != -EACCES)
			break;
		nanosleep(&pause, NULL);
	}
	if (!err || err == -EINVAL || err == -ENOLCK) /* a file system without locks */
		return 0;
	return fail(why, len, -EBUSY,
		"%s is in use by another process, as `lsof %s` shows: a disk that is written has "
		"one user; give each machine a copy, or say read-only in all",
		config->path, config->path);
}

/* What O_DIRECT asks of offsets and buffers. */
static void direct_limits(struct disk_file *file, const struct stat *stat)
{
	int sector = 0;

	file->info.block_bytes = (uint32_t)stat->st_blksize;
	if (S_ISBLK(stat->st_mode) && !ioctl(file->fd, BLKSSZGET, &sector) && sector > 0)
		file->info.block_bytes = (uint32_t)sector;
	file->memory_align = file->info.block_bytes;
#ifdef STATX_DIOALIGN
	struct statx more;

	if (!statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &more) &&
		more.stx_mask & STATX_DIOALIGN && more.stx_dio_offset_align) {
		file->info.block_bytes = more.stx_dio_offset_align;
		file->memory_align = more.stx_dio_mem_align;
	}
#endif
	if (file->info.block_bytes < SECTOR)
		file->info.block_bytes = SECTOR;
}

/* That it is a raw disk; fills its size. */
static int examine(const struct disk_config *config, const struct stat *stat,
	struct disk_file *file, char *why, size_t len)
{
	const char *path = config->path;
	char start[SECTOR] = { 0 };
	off_t end = lseek(file->fd, 0, SEEK_END);

	if (!S_ISREG(stat->st_mode) && !S_ISBLK(stat->st_mode))
		return fail(why, len, -EINVAL, "%s is %s", path,
			S_ISDIR(stat->st_mode) ? "a folder" : "neither a file nor a block device");
	if (end < 0 || pread(file->fd, start, sizeof(start), 0) < 0)
		return fail(why, len, -errno, "cannot read %s: %s", path, strerror(errno));
	if (!end)
		return fail(why, len, -EINVAL,
			"%s is empty; `truncate -s 8G %s` makes it 8 GiB that take no space yet",
			path, path);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (!memcmp(start + formats[i].offset, formats[i].magic, formats[i].len))
			return fail(why, len, -EINVAL,
				"%s is a %s image, and a disk here is a raw one: `qemu-img convert "
				"-f %s -O raw %s %s.raw`, and name that",
				path, formats[i].format, formats[i].format, path, path);
	file->info.bytes = (uint64_t)end;
	return 0;
}

/* How it is accessed from here on: it blocks, as io_uring fails what is not done at once otherwise. */
static int set_mode(const struct disk_config *config, const struct stat *stat,
	struct disk_file *file, char *why, size_t len)
{
	struct disk_info *info = &file->info;

	if (fcntl(file->fd, F_SETFL, config->direct ? O_DIRECT : 0))
		return fail(why, len, -errno,
			"the file system of %s does not take O_DIRECT: leave out direct",
			config->path);
	if (config->direct)
		direct_limits(file, stat);
	info->physical_bytes = (uint32_t)stat->st_blksize;
	if (info->physical_bytes < info->block_bytes || !is_power_of_two(info->physical_bytes))
		info->physical_bytes = info->block_bytes;
	if (info->bytes % info->block_bytes)
		return fail(why, len, -EINVAL,
			"%s has %llu bytes, not a multiple of %u: `truncate -s %%%u %s` rounds it "
			"up",
			config->path, (unsigned long long)info->bytes, info->block_bytes,
			info->block_bytes, config->path);
	return 0;
}

int disk_file_open(const struct disk_config *config, bool lock, struct disk_file *ret,
	char *ret_why, size_t len)
{
	/* Not blocking, for what should not be here: a FIFO. Linux heeds O_EXCL of block devices only. */
	int mode = config->read_only ? O_RDONLY : O_RDWR | (lock ? O_EXCL : 0), err = 0;
	struct disk_file file = { .memory_align = 1, .info.block_bytes = SECTOR };
	struct stat stat;

	file.fd = open(config->path, mode | O_CLOEXEC | O_NONBLOCK);
	if (file.fd < 0)
		return cannot_open(config, errno, ret_why, len);
	if (fstat(file.fd, &stat))
		err = fail(ret_why, len, -errno, "%s: %s", config->path, strerror(errno));
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
