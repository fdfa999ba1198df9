/* SPDX-License-Identifier: Apache-2.0 */
/* Disks on real files, by io_uring and by threads: what is written, cleared and refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "devices/backend/disk.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

#define BYTES (8 * MiB)

static char folder[] = "/tmp/test-disk.XXXXXX", path[64];
static struct loop *loop;
static struct disk *disk;
static uint8_t *data, *model; /* BYTES each, aligned to pages */

/* The contents of a new file, as `model` has them. */
static void make_file(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (uint64_t i = 0; i < BYTES; i++)
		model[i] = (uint8_t)(i ^ i >> 9);
	assert_int_equal(write(fd, model, BYTES), BYTES);
	close(fd);
}

/* A holder that is known not to release its lock is not waited for. What the kernel releases in its own time is. */
static bool in_vain;

int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	return in_vain ? 0 : __real_nanosleep(time, rest);
}

static struct disk_config config(const bool *threads)
{
	return (struct disk_config){
		.path = { path }, .block_bytes = 512, .in_flight = 64, .threads = *threads
	};
}

static int setup(void **state)
{
	struct disk_config how = config(*state);

	make_file();
	assert_int_equal(loop_create(&loop), 0);
	return disk_open(&how, loop, &disk);
}

static int teardown(void **state)
{
	in_vain = false;
	disk_close(disk);
	disk = NULL;
	loop_destroy(loop);
	return 0;
}

struct asked {
	struct disk_request request;
	struct iovec iov[64];
	bool ended;
	int err;
};

static void done(struct disk_request *request, int err)
{
	struct asked *asked = container_of(request, struct asked, request);

	asked->ended = true;
	asked->err = err;
}

static void start(struct asked *asked, enum disk_op op, uint64_t offset, uint64_t bytes)
{
	asked->request.op = op;
	asked->request.offset = offset;
	asked->request.bytes = bytes;
	asked->request.iov = asked->iov;
	asked->request.done = done;
	asked->ended = false;
	disk_start(disk, &asked->request);
	assert_false(asked->ended);
}

static int end(struct asked *asked)
{
	disk_submit(disk);
	while (!asked->ended)
		disk_wait(disk, false);
	return asked->err;
}

/* `bytes` of `data` from `from` on, in parts of `part`. */
static int transfer(enum disk_op op, uint64_t offset, uint64_t from, uint64_t bytes, uint64_t part)
{
	struct asked asked = { .request.durable = op == DISK_WRITE };
	unsigned count = 0;

	for (uint64_t at = 0; at < bytes; at += part)
		asked.iov[count++] = (struct iovec){ data + from + at,
			bytes - at < part ? bytes - at : part };
	asked.request.iov_count = count;
	start(&asked, op, offset, bytes);
	return end(&asked);
}

static int simple(enum disk_op op, uint64_t offset, uint64_t bytes, bool unmap)
{
	struct asked asked = { .request.unmap = unmap };

	start(&asked, op, offset, bytes);
	return end(&asked);
}

static void file_is_as_the_model(void)
{
	int fd = open(path, O_RDONLY);
	uint8_t *all = malloc(BYTES);

	assert_int_equal(read(fd, all, BYTES), BYTES);
	assert_memory_equal(all, model, BYTES);
	free(all);
	close(fd);
}

static uint64_t stored_bytes(void)
{
	struct stat stat;

	lstat(path, &stat);
	return (uint64_t)stat.st_blocks * 512;
}

/* Random requests, against a model; also unaligned memory, which O_DIRECT does not take. */
static void random_requests(unsigned seed, unsigned unaligned, int count)
{
	uint32_t block = disk_info(disk)->block_bytes;

	srandom(seed);
	for (int i = 0; i < count; i++) {
		uint64_t blocks = BYTES / block, offset = (uint64_t)random() % blocks;
		uint64_t most = blocks - offset < 128 ? blocks - offset : 128;
		uint64_t bytes = (1 + (uint64_t)random() % most) * block;
		uint64_t from = unaligned ? (uint64_t)random() % unaligned : 0, kind = random() % 8;
		uint64_t part = from ? 1 + bytes / (1 + (uint64_t)random() % 60) : bytes;

		offset *= block;
		for (uint64_t at = 0; kind < 3 && at < bytes; at++)
			data[from + at] = (uint8_t)random();
		if (kind < 3) {
			assert_int_equal(transfer(DISK_WRITE, offset, from, bytes, part), 0);
			memcpy(model + offset, data + from, bytes);
		} else if (kind < 6) {
			memset(data + from, 0xee, bytes);
			assert_int_equal(transfer(DISK_READ, offset, from, bytes, part), 0);
			assert_memory_equal(data + from, model + offset, bytes);
		} else {
			assert_int_equal(simple(DISK_WRITE_ZEROES, offset, bytes, kind & 1), 0);
			memset(model + offset, 0, bytes);
		}
	}
	assert_int_equal(simple(DISK_FLUSH, 0, 0, false), 0);
	file_is_as_the_model();
}

static void reads_and_writes(void **state)
{
	random_requests(1, 0, 300);
	random_requests(2, 4096, 300);
}

static void direct(void **state)
{
	struct disk_config how = config(*state);
	char why[200];

	how.direct = true;
	disk_close(disk);
	disk = NULL;
	if (disk_probe(&how, false, why, sizeof(why)))
		skip(); /* such a file system */
	assert_int_equal(disk_open(&how, loop, &disk), 0);
	random_requests(3, 0, 300);
	random_requests(4, 4096, 300);
}

/* As of a file system that O_DIRECT writes in blocks of 4096 only: what is smaller is read, changed and written. */
static bool of_larger_blocks;

int __real_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret)
{
	int err = __real_statx(fd, name, flags, mask, ret);

#ifdef STATX_DIOALIGN
	if (!err && of_larger_blocks) {
		ret->stx_mask |= STATX_DIOALIGN;
		ret->stx_dio_offset_align = ret->stx_dio_mem_align = 4096;
	}
#endif
	return err;
}

static void open_of_larger_blocks(const bool *threads)
{
	struct disk_config how = config(threads);
	char why[200];
	int err;

	how.direct = of_larger_blocks = true;
	disk_close(disk);
	disk = NULL;
	err = disk_probe(&how, false, why, sizeof(why));
	if (!err)
		err = disk_open(&how, loop, &disk);
	of_larger_blocks = false;
	if (err)
		skip();
	assert_int_equal(disk_info(disk)->block_bytes, 512);
}

static void direct_in_larger_blocks(void **state)
{
	open_of_larger_blocks(*state);
	random_requests(5, 4096, 40);
}

/* Each changes its own sectors, and all are under way at once: none takes another's back. */
static void parts_of_the_same_blocks(void **state)
{
	static struct asked asked[64];

	open_of_larger_blocks(*state);
	srandom(7);
	for (unsigned round = 0; round < 4; round++) {
		uint64_t at = 0;

		memset(asked, 0, sizeof(asked));
		for (unsigned i = 0; i < ARRAY_SIZE(asked); i++) {
			uint64_t bytes = (1 + (uint64_t)random() % 16) * 512;
			bool clear = random() % 4 == 0;

			memset(data + at, (int)random(), bytes);
			if (clear)
				memset(model + at, 0, bytes);
			else
				memcpy(model + at, data + at, bytes);
			asked[i].iov[0] = (struct iovec){ data + at, bytes };
			asked[i].request.iov_count = 1;
			start(&asked[i], clear ? DISK_WRITE_ZEROES : DISK_WRITE, at, bytes);
			at += bytes;
		}
		for (unsigned i = 0; i < ARRAY_SIZE(asked); i++)
			assert_int_equal(end(&asked[i]), 0);
	}
	assert_int_equal(simple(DISK_FLUSH, 0, 0, false), 0);
	file_is_as_the_model();
}

/* A file that is only read, of any size: zeros follow. */
static void padded_with_zeroes(void **state)
{
	struct disk_config how = config(*state);
	char why[200];

	assert_int_equal(truncate(path, 100001), 0);
	how.read_only = true;
	for (unsigned direct = 0; direct < 2; direct++) {
		disk_close(disk);
		disk = NULL;
		how.direct = direct;
		if (disk_probe(&how, false, why, sizeof(why)))
			continue; /* such a file system */
		assert_int_equal(disk_open(&how, loop, &disk), 0);
		assert_int_equal(disk_info(disk)->bytes, 100352);
		for (unsigned odd = 0; odd < 2; odd++) {
			memset(data, 0xee, 200000);
			assert_int_equal(transfer(DISK_READ, 0, odd, 100352, 33000), 0);
			assert_memory_equal(data + odd, model, 100001);
			for (unsigned i = 100001; i < 100352; i++)
				assert_int_equal(data[odd + i], 0);
			assert_int_equal(data[odd + 100352], 0xee);
		}
		assert_int_equal(transfer(DISK_READ, 100352 - 512, 0, 512, 512), 0);
		assert_memory_equal(data, model + 100352 - 512, 161);
		assert_int_equal(data[161] | data[511], 0);
	}
}

/* What it has grown by is there at once, in zeros. */
static void grows(void **state)
{
	char why[200];

	(void)state;
	assert_int_equal(disk_resize(disk, BYTES + MiB, why, sizeof(why)), 0);
	assert_int_equal(disk_info(disk)->bytes, BYTES + MiB);
	assert_int_equal(transfer(DISK_READ, BYTES, 0, MiB, MiB), 0);
	for (unsigned i = 0; i < MiB; i++)
		assert_int_equal(data[i], 0);
	assert_int_equal(disk_resize(disk, BYTES, why, sizeof(why)), -EINVAL);
	assert_int_equal(disk_info(disk)->bytes, BYTES + MiB);
}

/* Those that want the one buffer take turns. */
static void many_at_once(void **state)
{
	struct disk_config how = config(*state);
	struct asked asked[32] = { 0 };
	uint32_t block;
	char why[200];

	how.direct = true;
	disk_close(disk);
	disk = NULL;
	if (disk_probe(&how, false, why, sizeof(why)))
		skip();
	assert_int_equal(disk_open(&how, loop, &disk), 0);
	block = disk_info(disk)->block_bytes;
	for (unsigned i = 0; i < ARRAY_SIZE(asked); i++) {
		asked[i].iov[0] = (struct iovec){ data + i * (block + 512) + 1, block };
		asked[i].request.iov_count = 1;
		start(&asked[i], DISK_READ, (uint64_t)i * block, block);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(asked); i++) {
		assert_int_equal(end(&asked[i]), 0);
		assert_memory_equal(data + i * (block + 512) + 1, model + i * block, block);
	}
}

/*
 * However much is in the page cache, the loop does not block until all is read. And a request of several
 * calls ends with the one that it is at, as an error; the disk goes on.
 */
static void the_end_takes_one_call(void **state)
{
	struct asked asked = { .iov[0] = { data, BYTES }, .request.iov_count = 1 };

	(void)state;
	start(&asked, DISK_READ, 0, BYTES);
	disk_submit(disk);
	assert_false(asked.ended);
	while (!asked.ended)
		disk_wait(disk, true);
	assert_int_equal(asked.err, -ECANCELED);
	assert_memory_equal(data, model, MiB);
	assert_int_equal(transfer(DISK_READ, 0, 0, 3 * MiB, 3 * MiB), 0);
	assert_memory_equal(data, model, 3 * MiB);
}

static void cleared_is_given_back(void **state)
{
	uint64_t before = stored_bytes();

	assert_int_equal(simple(DISK_DISCARD, 1 * MiB, 1 * MiB, false), 0);
	memset(model + MiB, 0, MiB);
	assert_true(stored_bytes() <= before - MiB);
	assert_int_equal(simple(DISK_WRITE_ZEROES, 2 * MiB, 1 * MiB, true), 0);
	memset(model + 2 * MiB, 0, MiB);
	assert_true(stored_bytes() <= before - 2 * MiB);
	/* These are to stay. */
	assert_int_equal(simple(DISK_WRITE_ZEROES, 0, 1 * MiB, false), 0);
	memset(model, 0, MiB);
	assert_true(stored_bytes() >= before - 2 * MiB);
	file_is_as_the_model();
}

/* The file became shorter behind the disk's back. */
static void short_file(void **state)
{
	assert_int_equal(truncate(path, 1 * MiB), 0);
	assert_int_equal(transfer(DISK_READ, 1 * MiB - 4096, 0, 8192, 8192), -EIO);
	assert_int_equal(transfer(DISK_READ, 0, 0, 8192, 8192), 0);
	assert_memory_equal(data, model, 8192);
}

/* Memory that is not there any more: the call fails, not the process. */
static void bad_memory(void **state)
{
	struct asked asked = { .request.iov_count = 1, .iov[0] = { (void *)4096, 4096 } };

	start(&asked, DISK_READ, 0, 4096);
	assert_int_equal(end(&asked), -EFAULT);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
static bool sync_fails;

int __wrap_fdatasync(int fd)
{
	errno = EIO;
	return sync_fails ? -1 : __real_fdatasync(fd);
}

/* The kernel says it once. */
static void lost_stays_lost(void **state)
{
	assert_int_equal(simple(DISK_FLUSH, 0, 0, false), 0);
	sync_fails = true;
	assert_int_equal(simple(DISK_FLUSH, 0, 0, false), -EIO);
	sync_fails = false;
	assert_int_equal(simple(DISK_FLUSH, 0, 0, false), -EIO);
	assert_int_equal(transfer(DISK_WRITE, 0, 0, 4096, 4096), -EIO); /* a durable one */
	assert_int_equal(transfer(DISK_READ, 0, 0, 4096, 4096), 0);
	assert_true(disk_is_lost(disk));
}

/* By a caller that knows of it from before. */
static void lost_by_word(void **state)
{
	assert_false(disk_is_lost(disk));
	assert_int_equal(simple(DISK_FLUSH, 0, 0, false), 0);
	disk_lose(disk);
	assert_int_equal(simple(DISK_FLUSH, 0, 0, false), -EIO);
}

static void stop(struct disk_request *request, int err)
{
	done(request, err);
	loop_stop(loop);
}

static void loop_hears_of_it(void **state)
{
	struct asked asked = { .request.iov_count = 1, .iov[0] = { data, 4096 } };

	start(&asked, DISK_READ, 4096, 4096);
	asked.request.done = stop;
	disk_submit(disk);
	assert_int_equal(loop_run(loop), 0);
	assert_memory_equal(data, model + 4096, 4096);
}

/* ---- What is refused ---- */

static const char *probe(const char *file, bool read_only, bool lock)
{
	const struct disk_config how = {
		.path = { file }, .read_only = read_only, .block_bytes = 512, .in_flight = 1
	};
	static char why[1024];

	return disk_probe(&how, lock, why, sizeof(why)) ? why : "good";
}

#define SAYS(words, said) assert_non_null(strstr(said, words))

static void locks(void **state)
{
	in_vain = true;
	SAYS("is in use by another process", probe(path, false, true));
	SAYS("is in use by another process", probe(path, true, true));
	assert_string_equal(probe(path, false, false), "good");
	disk_close(disk);
	disk = NULL;
	in_vain = false;
	assert_string_equal(probe(path, false, true), "good");
}

/* A QEMU that holds its drive `path`, or -1: it locks bytes in this order, and checks these. */
static int qemu(bool read_only)
{
	static const short held[] = { 100, 201, 203, 101 }, looked_for[] = { 101, 103, 200, 201 };
	int fd = open(path, read_only ? O_RDONLY : O_RDWR), n = read_only ? 3 : 4;

	assert_true(fd >= 0);
	for (int i = 0; i < n; i++) {
		struct flock lock = { .l_type = F_RDLCK, .l_start = held[i], .l_len = 1 };

		if (fcntl(fd, F_OFD_SETLK, &lock))
			goto refused;
	}
	for (int i = 0; i < n; i++) {
		struct flock lock = { .l_type = F_WRLCK, .l_start = looked_for[i], .l_len = 1 };

		assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
		if (lock.l_type != F_UNLCK)
			goto refused;
	}
	return fd;
refused:
	close(fd);
	return -1;
}

/* Sluice and QEMU, either way round, each as reader and as writer: a writer is alone. */
static void shared_with_qemu(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct disk_config how = {
			.path = { path }, .read_only = i & 1, .block_bytes = 512, .in_flight = 1
		};
		bool qemu_reads = i & 2, share = i == 3;
		int fd;

		disk_close(disk);
		disk = NULL;
		assert_string_equal(probe(path, false, true), "good"); /* once its ring has gone */
		in_vain = true;
		fd = qemu(qemu_reads);
		assert_true(fd >= 0);
		assert_int_equal(!strcmp(probe(path, how.read_only, true), "good"), share);
		close(fd);

		assert_int_equal(disk_open(&how, loop, &disk), 0);
		fd = qemu(qemu_reads);
		assert_int_equal(fd >= 0, share);
		if (fd >= 0)
			close(fd);
		/* A refused opener has left nothing behind. */
		assert_int_equal(!strcmp(probe(path, true, true), "good"), how.read_only);
		SAYS("is in use by another process", probe(path, false, true));
		in_vain = false;
	}
}

static void put_file(uint64_t size, const char *start, uint64_t at)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, start, strlen(start), (off_t)at), strlen(start));
	close(fd);
}

static void refused(void **state)
{
	put_file(1024, "", 0);
	assert_string_equal(probe(path, false, true), "good");
	put_file(1023, "", 0);
	SAYS("1023 bytes, not a multiple of 512", probe(path, false, true));
	put_file(0, "", 0);
	SAYS("is empty", probe(path, false, true));
	put_file(1024, "QFI\xfb", 0);
	SAYS("begins as qcow2 images do", probe(path, false, true));
	put_file(1024, "\x7f\x10\xda\xbe", 64);
	SAYS("begins as vdi images do", probe(path, false, true));
	put_file(1024, "# Disk DescriptorFile\nversion=1\n", 0);
	SAYS("begins as vmdk images do", probe(path, false, true));
	put_file(1024, "vhdxfile", 0);
	SAYS("begins as vhdx images do", probe(path, false, true));
	unlink(path);
	SAYS("there is no ", probe(path, false, true));
	assert_int_equal(mkfifo(path, 0600), 0);
	SAYS("neither a file nor a block device", probe(path, false, true));
	unlink(path);
	SAYS("is a folder", probe(folder, false, true));
	SAYS("is a folder", probe(folder, true, true));
	SAYS("neither a file nor a block device", probe("/dev/null", false, true));
}

static int make_all(void **unused)
{
	alarm(900); /* nothing here waits for as long */
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk.img", folder);
	return posix_memalign((void **)&data, 4096, BYTES) ||
	       posix_memalign((void **)&model, 4096, BYTES);
}

static int remove_all(void **unused)
{
	unlink(path);
	free(data);
	free(model);
	return rmdir(folder);
}

#define BOTH(test)                                                                                 \
	{ #test ", io_uring", test, setup, teardown, &(bool){ false } },                           \
	{                                                                                          \
#test ", threads", test, setup, teardown, &(bool)                                  \
		{                                                                                  \
			true                                                                       \
		}                                                                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(reads_and_writes),
		BOTH(direct),
		BOTH(direct_in_larger_blocks),
		BOTH(parts_of_the_same_blocks),
		BOTH(padded_with_zeroes),
		BOTH(grows),
		BOTH(many_at_once),
		BOTH(the_end_takes_one_call),
		BOTH(cleared_is_given_back),
		BOTH(short_file),
		BOTH(bad_memory),
		BOTH(loop_hears_of_it),
		BOTH(locks),
		BOTH(shared_with_qemu),
		{ "lost_stays_lost", lost_stays_lost, setup, teardown, &(bool){ true } },
		{ "lost_by_word", lost_by_word, setup, teardown, &(bool){ true } },
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, make_all, remove_all);
}
