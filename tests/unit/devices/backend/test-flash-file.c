/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a flash: its sizes, its lock, how it is made, and each call of the host failing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "devices/backend/flash-file.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/fds.h"
#include "tests/unit/helpers/unit.h"

static char folder[] = "/tmp/test-flash-file.XXXXXX", path[64], template_path[64];
static char why[1024];
static const struct host_path file_path = { .name = path }, template = { .name = template_path };

/* ---- The host's calls ---- */

static struct {
	bool counts;
	unsigned calls, fail_at; /* counted from 1; 0: none fails */
	bool interrupts;	 /* each call, once */
	bool one_byte;		 /* at a time are read and written */
	int link_err, rename_err, open_flags;
	unsigned pauses, fsyncs;
	void (*in_pause)(void);
	void (*before_link)(void);
	int map_flags, map_prot;
	unsigned maps;
} host;

/* Whether this call fails, with errno set. */
static bool fails(void)
{
	host.calls += host.counts;
	errno = EIO;
	return host.counts && host.calls == host.fail_at;
}

/* The same of one that a signal may interrupt. */
static bool fails_or_interrupted(void)
{
	static bool comes;

	comes = host.interrupts && host.counts && !comes;
	if (comes)
		errno = EINTR;
	return comes || fails();
}

#define WRAP(type, name, parameters, arguments)                                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return fails_or_interrupted() ? (type)-1 : __real_##name arguments;                \
	}

int __real_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...)
{
	host.open_flags = flags;
	return fails_or_interrupted() ? -1 : __real_open64(name, flags, 0600);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	return fails_or_interrupted() ? -1 : __real_fcntl64(fd, command, arg);
}

int __real_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret)
{
	return fails() ? -1 : __real_fstat64(fd, ret);
}

WRAP(ssize_t, pread64, (int fd, void *ret, size_t len, off_t at),
	(fd, ret, host.one_byte ? 1 : len, at))
WRAP(ssize_t, pwrite64, (int fd, const void *from, size_t len, off_t at),
	(fd, from, host.one_byte ? 1 : len, at))
WRAP(int, ftruncate64, (int fd, off_t size), (fd, size))

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	if (fails_or_interrupted())
		return -1;
	host.fsyncs++;
	return __real_fsync(fd);
}

int __real_mkostemp64(char *name, int flags);
int __wrap_mkostemp64(char *name, int flags);
int __wrap_mkostemp64(char *name, int flags)
{
	assert_true(flags & O_CLOEXEC);
	return fails() ? -1 : __real_mkostemp64(name, flags);
}

int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to)
{
	struct stat stat;

	/* By then it is whole, and on the disk. */
	assert_int_equal(host.fsyncs, 1);
	assert_int_equal(lstat(from, &stat), 0);
	assert_int_equal(stat.st_mode, S_IFREG | 0600);
	if (host.before_link)
		host.before_link();
	errno = host.link_err;
	return host.link_err ? -1 : __real_link(from, to);
}

int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	assert_int_equal(flags, RENAME_NOREPLACE);
	errno = host.rename_err;
	return host.rename_err ? -1 : __real_renameat2(from_fd, from, to_fd, to, flags);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	host.pauses++;
	if (host.in_pause)
		host.in_pause();
	return 0;
}

void *__real_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *made;

	if (fd < 0 || !host.counts)
		return __real_mmap64(at, size, prot, flags, fd, offset);
	made = fails() ? MAP_FAILED : __real_mmap64(at, size, prot, flags, fd, offset);
	host.map_prot = prot;
	host.map_flags = flags;
	host.maps += made != MAP_FAILED;
	return made;
}

int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size)
{
	host.maps -= host.counts;
	return __real_munmap(at, size);
}

/* ---- Files ---- */

static void put_file(const char *name, uint64_t size)
{
	static uint8_t bytes[300 * KiB];
	const uint64_t written = size < sizeof(bytes) ? size : sizeof(bytes);
	int fd = __real_open64(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / 64 * 37 + i % 7 + 1);
	assert_int_equal(write(fd, bytes, written), written);
	assert_int_equal(__real_ftruncate64(fd, (off_t)size), 0);
	close(fd);
}

/* The bytes that it has, at most `max`; -1: there is none. */
static ssize_t get_file(const char *name, uint8_t *ret, size_t max)
{
	int fd = __real_open64(name, O_RDONLY);
	ssize_t bytes = fd < 0 ? -1 : read(fd, ret, max);

	if (fd >= 0)
		close(fd);
	return bytes;
}

static unsigned files(void)
{
	DIR *dir = opendir(folder);
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

#define SAYS(words)                                                                                \
	do {                                                                                       \
		if (!strstr(why, words))                                                           \
			fail_msg("%s: no %s", why, words);                                         \
	} while (0)

static int setup(void **unused)
{
	memset(&host, 0, sizeof(host));
	unlink(path);
	unlink(template_path);
	why[0] = 0;
	return files() != 0;
}

static int open_it(bool read_only, struct flash_file *ret)
{
	const struct flash_config config = { .path = file_path, .read_only = read_only };
	unsigned fds = open_fds();
	int err;

	why[0] = 0;
	err = flash_file_open(&config, ret, why, sizeof(why));
	assert_int_equal(open_fds(), fds + !err);
	assert_int_equal(!why[0], !err);
	return err;
}

static int probe_create(const struct host_path *from)
{
	unsigned fds = open_fds();
	int err = flash_file_probe_create(&file_path, from, why, sizeof(why));

	assert_int_equal(open_fds(), fds);
	return err;
}

static int probe(bool lock)
{
	const struct flash_config config = { .path = file_path };
	unsigned fds = open_fds();
	int err;

	why[0] = 0;
	err = flash_file_probe(&config, lock, why, sizeof(why));
	assert_int_equal(open_fds(), fds);
	assert_int_equal(!why[0], !err);
	return err;
}

static int create(const struct host_path *from)
{
	unsigned fds = open_fds();
	int err;

	why[0] = 0;
	err = flash_file_create(&file_path, from, why, sizeof(why));
	assert_int_equal(open_fds(), fds);
	assert_int_equal(!why[0], !err);
	return err;
}

/* ---- To open one ---- */

static void sizes(void **unused)
{
	static const struct {
		uint64_t size;
		const char *says; /* NULL: it is one */
	} cases[] = {
		{ 0, "`truncate -s 262144 /tmp/" },
		{ 1, "has 1 bytes, and a flash a power of two from 256 KiB to 64 MiB: `truncate -s 262144 " },
		{ 128 * KiB, "`truncate -s 262144 " },
		{ 256 * KiB - 1, "`truncate -s 262144 " },
		{ 256 * KiB, NULL },
		{ 256 * KiB + 1, "`truncate -s 524288 " },
		{ 768 * KiB, "`truncate -s 1048576 " },
		{ 512 * KiB, NULL },
		{ 1 * MiB, NULL },
		{ 32 * MiB, NULL },
		{ 48 * MiB, "`truncate -s 67108864 " },
		{ 64 * MiB - 1, "`truncate -s 67108864 " },
		{ 64 * MiB, NULL },
		{ 64 * MiB + 1, "has 67108865 bytes, and a flash 64 MiB at most" },
		{ 128 * MiB, "64 MiB at most" },
		{ UINT64_C(1) << 40, "64 MiB at most" },
	};
	struct flash_file file;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		put_file(path, cases[i].size);
		assert_int_equal(open_it(false, &file), cases[i].says ? -EINVAL : 0);
		assert_int_equal(probe(false), cases[i].says ? -EINVAL : 0);
		if (cases[i].says) {
			SAYS(cases[i].says);
			continue;
		}
		assert_int_equal(file.bytes, cases[i].size);
		flash_file_close(&file);
	}
}

static void no_command_for_others_names(void **unused)
{
	char name[80];
	const struct host_folder beneath = { .path = name, .fd = open(folder, O_PATH) };
	const struct flash_config config = { .path = { path, &beneath } };

	snprintf(name, sizeof(name), "%s/", folder);
	put_file(path, 1);
	assert_int_equal(flash_file_probe(&config, false, why, sizeof(why)), -EINVAL);
	SAYS("make it 262144 bytes long");
	assert_null(strchr(why, '`'));
	close(beneath.fd);
}

static void not_opened(void **unused)
{
	struct flash_file file;

	assert_int_equal(open_it(false, &file), -ENOENT);
	SAYS("there is no /tmp/");
	mkdir(path, 0700);
	assert_int_equal(open_it(false, &file), -EISDIR);
	SAYS("is a folder");
	assert_int_equal(open_it(true, &file), -EINVAL);
	SAYS("is a folder");
	rmdir(path);
	mkfifo(path, 0600);
	assert_int_equal(open_it(false, &file), -EINVAL);
	SAYS("no regular file");
	unlink(path);
	put_file(path, 256 * KiB);
	assert_int_equal(open_it(false, &file), 0);
	assert_true(host.open_flags & O_NONBLOCK && host.open_flags & O_CLOEXEC);
	flash_file_close(&file);
}

/* It can be written, by others' reading too; one that is only read is mapped so that nothing of it reaches the file. */
static void read_and_written(void **unused)
{
	static uint8_t bytes[4096], again[4096], before[256 * KiB];
	struct flash_file file;

	put_file(path, 256 * KiB);
	get_file(path, before, sizeof(before));
	memset(bytes, 0xa5, sizeof(bytes));
	for (unsigned way = 0; way < 4; way++) {
		host.counts = true;
		host.one_byte = way & 1;
		host.interrupts = way & 2;
		assert_int_equal(open_it(false, &file), 0);
		assert_int_equal(host.map_flags, MAP_SHARED);
		assert_int_equal(host.map_prot, PROT_READ);
		assert_memory_equal(file.hva, before, sizeof(before));
		assert_int_equal(flash_file_read(&file, 0x3ffc, again, 8), 0);
		assert_memory_equal(again, before + 0x3ffc, 8);
		bytes[0] = (uint8_t)way;
		assert_int_equal(flash_file_write(&file, 0x10800, bytes, sizeof(bytes)), 0);
		memcpy(before + 0x10800, bytes, sizeof(bytes));
		assert_memory_equal(file.hva, before, sizeof(before));
		assert_int_equal(flash_file_read(&file, 256 * KiB - 4, again, 4), 0);
		flash_file_close(&file);
		assert_int_equal(host.maps, 0);
		host.counts = false;
	}
	host.interrupts = host.one_byte = false;
	host.counts = true;
	assert_int_equal(open_it(true, &file), 0);
	assert_true(file.read_only);
	assert_int_equal(host.open_flags & O_ACCMODE, O_RDONLY);
	assert_int_equal(host.map_flags, MAP_PRIVATE);
	assert_int_equal(host.map_prot, PROT_READ);
	flash_file_close(&file);
}

static void cut_short(void **unused)
{
	struct flash_file file;
	struct stat stat;
	uint32_t word = 0;

	put_file(path, 256 * KiB);
	assert_int_equal(open_it(false, &file), 0);
	assert_int_equal(truncate(path, 4096), 0);
	assert_int_equal(flash_file_read(&file, 4092, &word, 4), 0);
	assert_int_equal(flash_file_read(&file, 4096, &word, 4), -EIO);
	assert_int_equal(flash_file_write(&file, 4096, &word, 4), -EIO);
	assert_int_equal(flash_file_write(&file, 0, &word, 4), -EIO);
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_size, 4096);
	flash_file_close(&file);
}

static struct flash_file first;

static void let_go(void)
{
	if (host.pauses == 50)
		flash_file_close(&first);
}

/* A writer excludes all others, and readers share it. */
static void locked(void **unused)
{
	struct flash_file second;

	put_file(path, 256 * KiB);
	for (unsigned readers = 0; readers < 4; readers++) {
		const bool first_reads = readers & 1, second_reads = readers & 2;

		assert_int_equal(open_it(first_reads, &first), 0);
		assert_int_equal(
			open_it(second_reads, &second), first_reads && second_reads ? 0 : -EBUSY);
		if (first_reads && second_reads)
			flash_file_close(&second);
		else
			SAYS("is in use by another process: ");
		assert_int_equal(probe(false), 0);
		assert_int_equal(probe(true), -EBUSY);
		flash_file_close(&first);
		assert_int_equal(probe(true), 0);
	}
	/* One that is about to end is waited for. */
	host.pauses = 0;
	host.in_pause = let_go;
	assert_int_equal(open_it(false, &first), 0);
	assert_int_equal(flash_file_probe(&(struct flash_config){ .path = file_path }, true, why,
				 sizeof(why)),
		0);
	assert_int_equal(host.pauses, 50);
}

/* ---- To make one ---- */

static void erased_without_a_template(void **unused)
{
	static uint8_t bytes[FLASH_DEFAULT_BYTES + 1];
	struct flash_file file;

	assert_int_equal(create(NULL), 0);
	assert_int_equal(files(), 1);
	assert_int_equal(get_file(path, bytes, sizeof(bytes)), FLASH_DEFAULT_BYTES);
	for (size_t i = 0; i < FLASH_DEFAULT_BYTES; i++)
		assert_int_equal(bytes[i], 0xff);
	assert_int_equal(open_it(false, &file), 0);
	flash_file_close(&file);
}

/* Whole, and padded with erased bytes to the next size. */
static void from_a_template(void **unused)
{
	static const struct {
		uint64_t size, made;
	} cases[] = { { 1, 256 * KiB }, { 65536, 256 * KiB }, { 256 * KiB, 256 * KiB },
		{ 256 * KiB + 1, 512 * KiB }, { 768 * KiB, 1 * MiB }, { 3 * MiB, 4 * MiB } };
	static uint8_t bytes[4 * MiB + 1], from[4 * MiB];
	struct stat stat;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned ways = 0; ways < (i ? 1 : 3); ways++) {
			unlink(path);
			host.fsyncs = 0;
			put_file(template_path, cases[i].size);
			get_file(template_path, from, sizeof(from));
			host.counts = true;
			host.interrupts = ways == 1;
			host.link_err = ways == 2 ? EPERM : 0;
			assert_int_equal(create(&template), 0);
			host.counts = false;
			assert_int_equal(files(), 2);
			assert_int_equal(get_file(path, bytes, sizeof(bytes)), cases[i].made);
			assert_memory_equal(bytes, from, cases[i].size);
			for (size_t at = cases[i].size; at < cases[i].made; at++)
				assert_int_equal(bytes[at], 0xff);
		}
	/* Of 64 MiB, of which most is zeros: that takes no space. */
	unlink(path);
	host.fsyncs = 0;
	put_file(template_path, 64 * MiB);
	assert_int_equal(create(&template), 0);
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_size, 64 * MiB);
	assert_true(stat.st_blocks * 512 <= 512 * (int)KiB);
}

static void templates_that_are_none(void **unused)
{
	assert_int_equal(create(&template), -ENOENT);
	SAYS("there is no ");
	SAYS(template_path);
	put_file(template_path, 0);
	assert_int_equal(create(&template), -EINVAL);
	SAYS("has 0 bytes");
	put_file(template_path, 64 * MiB + 1);
	assert_int_equal(create(&template), -EINVAL);
	SAYS("at most 64 MiB");
	put_file(template_path, 256 * KiB);
	assert_int_equal(pwrite(open(template_path, O_WRONLY), "QFI\xfb", 4, 0), 4);
	assert_int_equal(create(&template), -EINVAL);
	SAYS("qcow2");
	unlink(template_path);
	mkfifo(template_path, 0600);
	assert_int_equal(create(&template), -EINVAL);
	SAYS("no regular file");
	assert_int_equal(files(), 1);
}

static void make_it_first(void)
{
	put_file(path, 3);
}

/* What is there stays as it is, also if it comes while another is made; a link to nothing is something. */
static void never_replaced(void **unused)
{
	uint8_t bytes[8];

	put_file(path, 3);
	assert_int_equal(create(NULL), -EEXIST);
	assert_int_equal(host.fsyncs, 0);
	assert_int_equal(get_file(path, bytes, sizeof(bytes)), 3);
	for (unsigned i = 0; i < 2; i++) {
		unlink(path);
		host.fsyncs = 0;
		host.link_err = i ? EOPNOTSUPP : 0;
		host.before_link = make_it_first;
		assert_int_equal(create(NULL), -EEXIST);
		assert_int_equal(get_file(path, bytes, sizeof(bytes)), 3);
		assert_int_equal(files(), 1);
	}
	host.before_link = NULL;
	host.link_err = 0;
	host.fsyncs = 0;
	unlink(path);
	assert_int_equal(symlink("nowhere", path), 0);
	assert_int_equal(create(NULL), -EINVAL);
	SAYS("is a symbolic link to a file that is not there: make that, or remove the link");
	assert_int_equal(probe_create(NULL), -EINVAL);
	SAYS("is a symbolic link to a file that is not there");
	assert_int_equal(files(), 1);
	unlink(path);
	host.fsyncs = 0;
	host.link_err = EPERM;
	host.rename_err = EINVAL;
	assert_int_equal(create(NULL), -EINVAL);
	SAYS("cannot make ");
	assert_int_equal(files(), 0);
}

/* A folder in which a tree's author may name files, and a link that leads out of it. */
static void within_a_folder(void **unused)
{
	char name[80], link_name[96];
	struct host_folder beneath = { .path = name };
	const struct host_path inside = { path, &beneath }, outside = { link_name, &beneath };

	snprintf(name, sizeof(name), "%s/", folder);
	beneath.fd = open(folder, O_PATH);
	assert_int_equal(flash_file_create(&inside, NULL, why, sizeof(why)), 0);
	assert_int_equal(files(), 1);
	snprintf(link_name, sizeof(link_name), "%s/out", folder);
	assert_int_equal(symlink("/tmp", link_name), 0);
	snprintf(link_name, sizeof(link_name), "%s/out/test-flash-file", folder);
	assert_int_equal(flash_file_create(&outside, NULL, why, sizeof(why)), -EXDEV);
	snprintf(link_name, sizeof(link_name), "%s/out", folder);
	unlink(link_name);
	close(beneath.fd);
}

/* ---- Each call failing ---- */

static void each_call_fails_as_it_is_opened(void **unused)
{
	struct flash_file file;
	unsigned failed = 0;
	int err;

	put_file(path, 256 * KiB);
	host.counts = true;
	for (host.fail_at = 1;; host.fail_at++) {
		host.calls = 0;
		err = open_it(false, &file);
		if (!err)
			break;
		assert_int_equal(err, -EIO);
		assert_int_equal(host.maps, 0);
		failed++;
	}
	assert_true(host.calls < host.fail_at);
	assert_true(failed > 8); /* it is opened, looked at, locked and mapped */
	flash_file_close(&file);
}

/* What would be in the way is found beforehand, and nothing is made. */
static void asked_whether_it_can_be_made(void **unused)
{
	const struct host_path nowhere = { "/nonexistent/flash" };

	assert_int_equal(probe_create(NULL), 0);
	put_file(template_path, 300 * KiB);
	assert_int_equal(probe_create(&template), 0);
	assert_int_equal(files(), 1);
	put_file(template_path, 64 * MiB + 1);
	assert_int_equal(probe_create(&template), -EINVAL);
	SAYS("at most 64 MiB");
	unlink(template_path);
	assert_int_equal(probe_create(&template), -ENOENT);
	assert_int_equal(flash_file_probe_create(&nowhere, NULL, why, sizeof(why)), -ENOENT);
	SAYS("cannot make /nonexistent/flash: No such file");
	assert_int_equal(files(), 0);
	put_file(path, 3);
	assert_int_equal(probe_create(&template), 0);
}

/* Then nothing is there. */
static void each_call_fails_as_it_is_made(void **unused)
{
	unsigned failed = 0;
	int err;

	put_file(template_path, 300 * KiB);
	host.counts = true;
	for (host.fail_at = 1;; host.fail_at++) {
		host.calls = host.fsyncs = 0;
		err = create(&template);
		if (!err)
			break;
		assert_int_equal(err, -EIO);
		host.counts = false;
		assert_int_equal(files(), 1);
		host.counts = true;
		failed++;
	}
	assert_true(host.calls < host.fail_at);
	assert_true(failed > 15);
	host.counts = false;
	assert_int_equal(files(), 2);
}

static void each_call_fails_as_it_is_used(void **unused)
{
	uint32_t words[2] = { 1, 2 };
	struct flash_file file;

	put_file(path, 256 * KiB);
	assert_int_equal(open_it(false, &file), 0);
	host.counts = true;
	host.fail_at = 1;
	assert_int_equal(flash_file_read(&file, 0, words, 8), -EIO);
	for (unsigned i = 1; i <= 2; i++) {
		host.calls = 0;
		host.fail_at = i;
		assert_int_equal(flash_file_write(&file, 0, words, 8), -EIO);
	}
	host.counts = false;
	flash_file_close(&file);
}

static int group_setup(void **unused)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/flash", folder);
	snprintf(template_path, sizeof(template_path), "%s/template", folder);
	return 0;
}

static int group_teardown(void **unused)
{
	setup(NULL);
	return rmdir(folder);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(sizes),
		T(no_command_for_others_names),
		T(not_opened),
		T(read_and_written),
		T(cut_short),
		T(locked),
		T(erased_without_a_template),
		T(from_a_template),
		T(templates_that_are_none),
		T(never_replaced),
		T(within_a_folder),
		T(each_call_fails_as_it_is_opened),
		T(asked_whether_it_can_be_made),
		T(each_call_fails_as_it_is_made),
		T(each_call_fails_as_it_is_used),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
