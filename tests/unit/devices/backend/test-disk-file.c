/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's file: how it is opened and locked, what is refused and why, and what O_DIRECT asks for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "devices/backend/disk-file.h"
#include "tests/unit/helpers/fds.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

static char folder[] = "/tmp/test-disk-file.XXXXXX", path[64];
static struct disk_file file;
static char why[1024];

/* What the host answers to each call, if not 0, and how it was asked. */
static struct {
	int open_err, open_flags, fstat_err, pread_err;
	int lock_err, set_flags_err, flags;   /* of fcntl() */
	unsigned locks, locks_at_first_probe; /* set, of its own */
	unsigned pauses, letting_go_after;
	bool interrupts; /* a signal comes in each call, once */
	long pause_ns;
	blksize_t st_blksize;
	mode_t type; /* S_IFBLK */
	unsigned offset_align, memory_align;
	bool knows_align;
} host;
static uint32_t block_bytes;
static int holder = -1; /* another process that has the file open, and locked */

static bool interrupted(void)
{
	static bool comes;

	comes = host.interrupts && !comes;
	errno = EINTR;
	return comes;
}

int __real_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);

int __wrap_open64(const char *name, int flags, ...)
{
	if (interrupted())
		return -1;
	host.open_flags = flags;
	errno = host.open_err;
	return host.open_err ? -1 : __real_open64(name, flags);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

int __wrap_fcntl64(int fd, int command, ...)
{
	va_list args;
	void *arg;
	int err = 0;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	if (command != F_SETFL && interrupted())
		return -1;
	if (command == F_OFD_SETLK && ((struct flock *)arg)->l_type != F_UNLCK)
		err = host.lock_err;
	if (command == F_OFD_SETLK)
		host.locks++;
	if (command == F_OFD_GETLK && !host.locks_at_first_probe)
		host.locks_at_first_probe = host.locks;
	if (command == F_SETFL) {
		host.flags = (int)(intptr_t)arg;
		err = host.set_flags_err;
		if (!err) /* where the file system has no O_DIRECT, nobody here misses it */
			return 0;
	}
	errno = err;
	return err ? -1 : __real_fcntl64(fd, command, arg);
}

int __real_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret);

int __wrap_fstat64(int fd, struct stat *ret)
{
	int err = __real_fstat64(fd, ret);

	if (host.st_blksize)
		ret->st_blksize = host.st_blksize;
	if (host.type)
		ret->st_mode = (ret->st_mode & ~(mode_t)S_IFMT) | host.type;
	errno = host.fstat_err;
	return host.fstat_err ? -1 : err;
}

ssize_t __real_pread64(int fd, void *ret, size_t len, off_t offset);
ssize_t __wrap_pread64(int fd, void *ret, size_t len, off_t offset);

ssize_t __wrap_pread64(int fd, void *ret, size_t len, off_t offset)
{
	if (interrupted())
		return -1;
	errno = host.pread_err;
	return host.pread_err ? -1 : __real_pread64(fd, ret, len, offset);
}

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret)
{
	memset(ret, 0, sizeof(*ret));
#ifdef STATX_DIOALIGN
	assert_true(mask & STATX_DIOALIGN);
	ret->stx_mask = host.knows_align ? STATX_DIOALIGN : 0;
	ret->stx_dio_offset_align = host.offset_align;
	ret->stx_dio_mem_align = host.memory_align;
#endif
	return 0;
}

static void nobody_else_has_locks(void);

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	host.pauses++;
	host.pause_ns = time->tv_sec * 1000000000 + time->tv_nsec;
	if (holder >= 0)
		nobody_else_has_locks();
	if (host.pauses == host.letting_go_after) {
		close(holder);
		holder = -1;
	}
	return 0;
}

static void put_file(uint64_t size, const char *bytes, size_t len, uint64_t at)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)at), len);
	close(fd);
}

enum { READ_ONLY = 1, DIRECT = 2, LOCK = 4, RAW = 8, BENEATH = 16 };
static struct host_folder beneath; /* of the file, which a tree from elsewhere then names */

/* What is open then is `file`. */
static int open_file(unsigned how)
{
	const struct disk_config config = {
		.path = { path, how & BENEATH ? &beneath : NULL },
		.raw = how & RAW,
		.block_bytes = block_bytes,
		.read_only = how & READ_ONLY,
		.direct = how & DIRECT,
	};
	unsigned fds = open_fds() - (holder >= 0);
	int err;

	why[0] = 0;
	err = disk_file_open(&config, how & LOCK, &file, why, sizeof(why));
	assert_int_equal(open_fds() - (holder >= 0), fds + !err);
	assert_int_equal(!why[0], !err);
	return err;
}

static int probe(unsigned how)
{
	int err = open_file(how);

	if (!err)
		close(file.fd);
	return err;
}

#define SAYS(words) assert_non_null(strstr(why, words))

static int setup(void **unused)
{
	memset(&host, 0, sizeof(host));
	block_bytes = 512;
	put_file(8192, "", 0, 0);
	return 0;
}

/* ---- Opening ---- */

/* For as much as is needed, not left to children, and without waiting for the other end of a FIFO. */
static void opened_for(void **unused)
{
	static const struct {
		unsigned how;
		int flags;
	} cases[] = {
		{ 0, O_RDWR },
		{ READ_ONLY, O_RDONLY },
		{ LOCK, O_RDWR | O_EXCL },
		{ LOCK | READ_ONLY, O_RDONLY },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(open_file(cases[i].how), 0);
		assert_int_equal(
			host.open_flags & ~O_LARGEFILE, cases[i].flags | O_CLOEXEC | O_NONBLOCK);
		assert_int_equal(host.flags, 0); /* it blocks from here on */
		assert_int_equal(file.info.bytes, 8192);
		assert_int_equal(file.info.block_bytes, 512);
		assert_int_equal(file.memory_align, 1);
		close(file.fd);
		assert_int_equal(probe(cases[i].how | DIRECT), 0);
		assert_int_equal(host.flags, O_DIRECT);
	}
}

static void not_opened(void **unused)
{
	static const struct {
		int err;
		const char *says, *says_read_only;
	} cases[] = {
		{ ENOENT, "there is no ", "truncate -s 8G" },
		{ EACCES, "this user may not write ", "this user may not read " },
		{ EPERM, "or say read-only", "give the user the right to" },
		{ EROFS, "or say read-only", "this user may not read " },
		{ EISDIR, " is a folder", " is a folder" },
		{ EBUSY, "unmount it, or say read-only", "is in use on this host" },
		{ EIO, "cannot open ", ": Input/output error" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		host.open_err = cases[i].err;
		assert_int_equal(probe(LOCK), -cases[i].err);
		SAYS(cases[i].says);
		SAYS(path);
		assert_int_equal(probe(READ_ONLY), -cases[i].err);
		SAYS(cases[i].says_read_only);
	}
	host.open_err = EACCES;
	probe(READ_ONLY);
	assert_null(strstr(why, "say read-only"));
}

/* A command with a name that a tree from elsewhere chose would change the file that it chose. */
static void no_command_for_others_names(void **unused)
{
	static const struct {
		uint64_t size;
		unsigned how;
		const char *says;
	} cases[] = {
		{ 0, 0, "is empty" },
		{ 513, 0, "has 513 bytes, not a multiple of 512" },
		{ 1024, LOCK, "is in use by another process" },
		{ 1024, 0, NULL }, /* gone */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_file(cases[i].size, "", 0, 0);
		host.lock_err = cases[i].how & LOCK ? EAGAIN : 0;
		if (!cases[i].says)
			unlink(path);
		assert_true(probe(cases[i].how & LOCK) < 0);
		SAYS(cases[i].says ? cases[i].says : "there is no ");
		assert_non_null(strchr(why, '`'));
		assert_true(probe((cases[i].how & LOCK) | BENEATH) < 0);
		SAYS(cases[i].says ? cases[i].says : "there is no ");
		assert_null(strchr(why, '`'));
	}
}

static void not_read(void **unused)
{
	host.fstat_err = EOVERFLOW;
	assert_int_equal(probe(0), -EOVERFLOW);
	host.fstat_err = 0;
	host.pread_err = EIO;
	assert_int_equal(probe(0), -EIO);
	SAYS("cannot read ");
	host.pread_err = 0;
	host.set_flags_err = EINVAL;
	assert_int_equal(probe(DIRECT), -EINVAL);
	SAYS("does not take O_DIRECT: leave out direct");
	host.set_flags_err = 0;
	host.type = S_IFCHR;
	assert_int_equal(probe(0), -EINVAL);
	SAYS("neither a file nor a block device");
	host.type = S_IFBLK;
	assert_int_equal(probe(0), 0);
}

/* Each format by all of its first bytes, where they belong. */
static void formats(void **unused)
{
	static const struct {
		const char *format, *magic;
		unsigned at;
	} cases[] = {
		{ "qcow2", "QFI\xfb", 0 },
		{ "qed", "QED", 0 }, /* and a zero */
		{ "vmdk", "KDMV", 0 },
		{ "vmdk", "# Disk DescriptorFile", 0 },
		{ "vhdx", "vhdxfile", 0 },
		{ "vpc", "conectix", 0 },
		{ "vdi", "\x7f\x10\xda\xbe", 64 },
		{ "parallels", "WithoutFreeSpace", 0 },
		{ "parallels", "WithouFreSpacExt", 0 },
		{ "bochs", "Bochs Virtual HD Image", 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].magic);
		char almost[32], says[64];

		put_file(1024, cases[i].magic, len, cases[i].at);
		assert_int_equal(probe(LOCK), -EINVAL);
		snprintf(says, sizeof(says), "begins as %s images do", cases[i].format);
		SAYS(says);
		/* Both how it may have come there and what to do, and no command: running it would read what a guest names. */
		SAYS("If you put such an image there");
		SAYS("the guest may have written that");
		SAYS("format = \"raw\"");
		assert_null(strchr(why, '`'));
		assert_int_equal(probe(LOCK | RAW), 0);
		memcpy(almost, cases[i].magic, len);
		almost[len - 1]++;
		put_file(1024, almost, len, cases[i].at);
		assert_int_equal(probe(LOCK), 0);
		put_file(1024, cases[i].magic, len, cases[i].at + 1);
		assert_int_equal(probe(LOCK), 0);
	}
	put_file(1024, "QEDX", 4, 0);
	assert_int_equal(probe(LOCK), 0);
}

/* ---- Sizes ---- */

static void sizes(void **unused)
{
	put_file(512, "", 0, 0);
	assert_int_equal(open_file(0), 0);
	assert_int_equal(file.info.bytes, 512);
	close(file.fd);
	put_file(513, "", 0, 0);
	assert_int_equal(probe(0), -EINVAL);
	SAYS("has 513 bytes, not a multiple of 512: `truncate -s %512 ");
	put_file(0, "", 0, 0);
	assert_int_equal(probe(0), -EINVAL);
	SAYS("is empty");
	put_file(5ull << 40, "", 0, 0);
	assert_int_equal(open_file(0), 0);
	assert_int_equal(file.info.bytes, 5ull << 40);
	close(file.fd);
}

/* What is only read is padded with zeros to a whole block; what is written is to be made so by its owner. */
static void odd_sizes(void **unused)
{
	static const struct {
		uint64_t stored, padded;
		uint32_t block;
	} cases[] = { { 1, 512, 512 }, { 512, 512, 512 }, { 1000001, 1000448, 512 },
		{ 4608, 8192, 4096 }, { 8192, 8192, 4096 } };

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		bool odd = cases[i].stored != cases[i].padded;

		block_bytes = cases[i].block;
		put_file(cases[i].stored, "", 0, 0);
		for (unsigned direct = 0; direct <= DIRECT; direct += DIRECT) {
			assert_int_equal(open_file(READ_ONLY | direct), 0);
			assert_int_equal(file.stored, cases[i].stored);
			assert_int_equal(file.info.bytes, cases[i].padded);
			assert_int_equal(file.info.block_bytes, cases[i].block);
			close(file.fd);
		}
		assert_int_equal(probe(0), odd ? -EINVAL : 0);
		if (odd)
			SAYS("not a multiple of");
	}
}

/*
 * With O_DIRECT what the file system says, or, where it does not, its block if that is no more than a page;
 * never less than a sector. The guest's block is what the tree says.
 */
static void direct_blocks(void **unused)
{
	const unsigned page = (unsigned)sysconf(_SC_PAGESIZE);
	const struct {
		bool knows;
		blksize_t block;
		unsigned offset, memory, align, memory_align;
	} cases[] = {
		{ true, 2048, 4096, 16, 4096, 16 },
		{ true, 2048, 256, 4, 512, 4 },
		{ true, 2048, 512, 8, 512, 8 },
		{ true, 2048, 0, 8, 2048,
			2048 }, /* it has no O_DIRECT, and takes it all the same */
		{ true, 2048, 65536, 65536, 65536, 65536 },
		{ false, 2048, 4096, 16, 2048, 2048 },
		{ false, 256, 0, 0, 512, 256 },
		{ false, 1 << 20, 0, 0, page, page },	/* NFS */
		{ false, 128 << 10, 0, 0, page, page }, /* ZFS */
		{ false, 3072, 0, 0, page, page },
	};

	put_file(1 << 20, "", 0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
#ifndef STATX_DIOALIGN
		if (cases[i].knows)
			continue;
#endif
		host.st_blksize = cases[i].block;
		host.knows_align = cases[i].knows;
		host.offset_align = cases[i].offset;
		host.memory_align = cases[i].memory;
		assert_int_equal(probe(DIRECT), 0);
		assert_int_equal(file.info.block_bytes, 512);
		assert_int_equal(file.align, cases[i].align);
		assert_int_equal(file.memory_align, cases[i].memory_align);
		assert_int_equal(probe(0), 0);
		assert_int_equal(file.info.block_bytes, 512);
		assert_int_equal(file.align, 1);
	}
}

/* What no buffer here is for, and what would have to be made longer to be written whole. */
static void direct_refused(void **unused)
{
#ifdef STATX_DIOALIGN
	static const unsigned bad[][2] = { { 131072, 8 }, { 3072, 8 }, { 512, 131072 },
		{ 512, 12 } };

	host.knows_align = true;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		host.offset_align = bad[i][0];
		host.memory_align = bad[i][1];
		assert_int_equal(probe(DIRECT), -EINVAL);
		SAYS("leave out direct");
	}
	host.knows_align = false;
#endif
	host.st_blksize = 2048;
	put_file(8192 + 512, "", 0, 0);
	assert_int_equal(probe(0), 0);
	assert_int_equal(probe(DIRECT | READ_ONLY), 0);
	assert_int_equal(probe(DIRECT), -EINVAL);
	SAYS("not a multiple of 2048, as direct wants it: `truncate -s %2048 ");
}

/* ---- Growth ---- */

static uint64_t size_of_file(void)
{
	struct stat stat;

	assert_int_equal(lstat(path, &stat), 0);
	return (uint64_t)stat.st_size;
}

static int resize(unsigned how, uint64_t bytes)
{
	const struct disk_config config = { .path = { path },
		.block_bytes = block_bytes,
		.read_only = how & READ_ONLY,
		.direct = how & DIRECT };

	why[0] = 0;
	return disk_file_resize(&config, &file, bytes, why, sizeof(why));
}

static void grows(void **unused)
{
	assert_int_equal(open_file(0), 0);
	assert_int_equal(resize(0, 8192), 0);
	assert_int_equal(resize(0, 0), 0);
	assert_int_equal(file.info.bytes, 8192);
	assert_int_equal(resize(0, 1 << 20), 0);
	assert_int_equal(file.info.bytes, 1 << 20);
	assert_int_equal(file.stored, 1 << 20);
	assert_int_equal(size_of_file(), 1 << 20);
	/* By its owner. */
	assert_int_equal(truncate(path, 2 << 20), 0);
	assert_int_equal(resize(0, 0), 0);
	assert_int_equal(file.info.bytes, 2 << 20);
	close(file.fd);

	put_file(8192, "", 0, 0);
	assert_int_equal(open_file(READ_ONLY), 0);
	assert_int_equal(truncate(path, 10001), 0);
	assert_int_equal(resize(READ_ONLY, 0), 0);
	assert_int_equal(file.stored, 10001);
	assert_int_equal(file.info.bytes, 10240);
	close(file.fd);
}

/* Nothing is changed, and what to do is said. */
static void does_not_grow(void **unused)
{
	assert_int_equal(open_file(0), 0);
	assert_int_equal(resize(0, 4096), -EINVAL);
	SAYS("does not shrink");
	SAYS("4096 are asked for");
	assert_int_equal(resize(0, 10000), -EINVAL);
	SAYS("multiple of 512");
	assert_int_equal(resize(0, UINT64_MAX / 1024 * 512), -EFBIG);
	SAYS("cannot be made ");
	assert_int_equal(size_of_file(), 8192);
	assert_int_equal(truncate(path, 16384), 0);
	assert_int_equal(resize(0, 12288), -EINVAL);
	SAYS("has 16384 bytes already: leave the size out");
	assert_int_equal(resize(READ_ONLY, 32768), -EROFS);
	host.type = S_IFBLK;
	assert_int_equal(resize(0, 32768), -EINVAL);
	SAYS("as lvextend");
	assert_int_equal(resize(0, 16384), 0);
	host.type = 0;
	assert_int_equal(size_of_file(), 16384);
	assert_int_equal(file.info.bytes, 16384);
	assert_int_equal(truncate(path, 20000), 0);
	assert_int_equal(resize(0, 0), -EINVAL);
	SAYS("not a multiple of 512");
	assert_int_equal(truncate(path, 8192), 0);
	assert_int_equal(resize(0, 0), -EINVAL);
	SAYS("8192 are left of it: make it as long again");
	host.fstat_err = EIO;
	assert_int_equal(resize(0, 0), -EIO);
	assert_int_equal(file.info.bytes, 16384);
	host.fstat_err = 0;
	close(file.fd);
}

/* ---- Locks ---- */

/* The bytes that somebody holds, as F_OFD_GETLK shows a writer of them all: bit i is byte 100 + i, or 192 + i. */
static unsigned held(void)
{
	int fd = open(path, O_RDWR);
	unsigned bits = 0;

	for (unsigned i = 0; i < 16; i++) {
		struct flock lock = {
			.l_type = F_WRLCK, .l_start = i < 8 ? 100 + i : 192 + i, .l_len = 1
		};

		assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
		bits |= (lock.l_type != F_UNLCK) << i;
	}
	close(fd);
	return bits;
}

enum { CONSISTENT_READ = 1, WRITE = 2, RESIZE = 8 };

static unsigned holders_bits;

static void hold(unsigned bits)
{
	holder = open(path, O_RDWR);
	holders_bits = bits;
	for (unsigned i = 0; i < 16; i++) {
		struct flock lock = {
			.l_type = F_RDLCK, .l_start = i < 8 ? 100 + i : 192 + i, .l_len = 1
		};

		if (bits & 1u << i)
			assert_int_equal(fcntl(holder, F_OFD_SETLK, &lock), 0);
	}
}

/* Between tries the opener that waits has let go: of two that start at once, one gets through. */
static void nobody_else_has_locks(void)
{
	assert_int_equal(held(), holders_bits);
}

static void what_is_held(void **unused)
{
	assert_int_equal(open_file(0), 0);
	assert_int_equal(host.locks, 0);
	close(file.fd);
	assert_int_equal(open_file(LOCK), 0);
	assert_int_equal(held(), CONSISTENT_READ | WRITE | (WRITE | RESIZE) << 8);
	/* It had set all of its own before it probed others': of two that start at once, one sees the other. */
	assert_int_equal(host.locks_at_first_probe, 4);
	close(file.fd);
	assert_int_equal(open_file(LOCK | READ_ONLY), 0);
	assert_int_equal(held(), CONSISTENT_READ | (WRITE | RESIZE) << 8);
	close(file.fd);
	assert_int_equal(held(), 0);
	assert_int_equal(host.pauses, 0);
}

/* Each use against a holder that does not share it, either way round; others do not matter. */
static void which_uses_are_shared(void **unused)
{
	static const struct {
		unsigned held;
		bool writer, reader; /* is refused */
	} cases[] = {
		{ CONSISTENT_READ, false, false },
		{ WRITE, true, true },
		{ 4, false, false },
		{ RESIZE, true, true },
		{ 16, false, false },
		{ CONSISTENT_READ << 8, true, true },
		{ WRITE << 8, true, false },
		{ 4 << 8, false, false },
		{ RESIZE << 8, false, false },
		{ (WRITE | RESIZE) << 8 | CONSISTENT_READ, true, false },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		hold(cases[i].held);
		assert_int_equal(probe(LOCK), cases[i].writer ? -EBUSY : 0);
		assert_int_equal(probe(LOCK | READ_ONLY), cases[i].reader ? -EBUSY : 0);
		assert_int_equal(probe(0), 0);
		close(holder);
		holder = -1;
	}
}

/* A second, in which a holder that is just about to end does so. */
static void waits_a_second(void **unused)
{
	hold(WRITE);
	assert_int_equal(probe(LOCK), -EBUSY);
	SAYS("is in use by another process");
	assert_int_equal(host.pauses, 100);
	assert_int_equal(host.pause_ns, 10000000);
	host.pauses = 0;
	host.letting_go_after = 100; /* too late */
	assert_int_equal(probe(LOCK), -EBUSY);
	hold(WRITE);
	host.pauses = 0;
	host.letting_go_after = 99;
	assert_int_equal(probe(LOCK), 0);
	assert_int_equal(host.pauses, 99);
	hold(RESIZE << 8 | CONSISTENT_READ << 8);
	host.pauses = 0;
	host.letting_go_after = 1;
	assert_int_equal(probe(LOCK), 0);
	assert_int_equal(host.pauses, 1);
}

/* A file system without locks has none to wait for; one that says what it may not is asked again. */
static void without_locks(void **unused)
{
	static const int none[] = { EINVAL, ENOLCK };

	for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
		host.lock_err = none[i];
		assert_int_equal(probe(LOCK), 0);
		assert_int_equal(host.pauses, 0);
	}
	host.lock_err = EACCES;
	assert_int_equal(probe(LOCK), -EBUSY);
	assert_int_equal(host.pauses, 100);
	host.pauses = 0;
	host.lock_err = EIO;
	assert_int_equal(probe(LOCK), -EIO); /* which is nobody's fault */
	SAYS("cannot lock");
	assert_int_equal(host.pauses, 0);
}

/* On a network's file system each of these calls may end with a signal. */
static void signals_change_nothing(void **unused)
{
	host.interrupts = true;
	assert_int_equal(probe(LOCK), 0);
	assert_int_equal(host.pauses, 0);
	host.interrupts = false;
}

static int make_folder(void **unused)
{
	static char slash[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk.img", folder);
	snprintf(slash, sizeof(slash), "%s/", folder);
	beneath = (struct host_folder){ .path = slash, .fd = open(folder, O_PATH | O_CLOEXEC) };
	return beneath.fd < 0;
}

static int remove_folder(void **unused)
{
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup(test, setup)
	const struct CMUnitTest tests[] = {
		TEST(opened_for),
		TEST(not_opened),
		TEST(no_command_for_others_names),
		TEST(not_read),
		TEST(formats),
		TEST(sizes),
		TEST(odd_sizes),
		TEST(direct_blocks),
		TEST(direct_refused),
		TEST(grows),
		TEST(does_not_grow),
		TEST(what_is_held),
		TEST(which_uses_are_shared),
		TEST(waits_a_second),
		TEST(without_locks),
		TEST(signals_change_nothing),
	};

	return cmocka_run_group_tests_name("disk-file", tests, make_folder, remove_folder);
}
