/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk whose calls a test ends, when and how it says: the engine of devices/backend/disk.c is here, the file behind
 * it is a real one.
 */
#ifndef SLUICE_TESTS_UNIT_DISK_CALLS_H
#define SLUICE_TESTS_UNIT_DISK_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/disk.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

#define BYTES (8 * MiB)
enum {
	READV = DISK_CALL_READV,
	WRITEV = DISK_CALL_WRITEV,
	FDATASYNC = DISK_CALL_FDATASYNC,
	FALLOCATE = DISK_CALL_FALLOCATE
};
enum {
	PUNCH = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
	ZERO = FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE
};

static char folder[] = "/tmp/test-disk-calls.XXXXXX", path[64];
static struct disk *disk;
static uint8_t *memory; /* BYTES, aligned */
static unsigned log_lines;

static inline void count_log(enum log_level level, const char *line)
{
	log_lines += level == LOG_ERROR;
}

/* ---- The engine ---- */

static struct {
	const struct disk_engine_ops *made_by; /* NULL: there is none */
	int uring_err, threads_err, fd;
	unsigned in_flight, submits, count;
	struct disk_io *calls[256]; /* under way, the oldest first */
	int wait_result;	    /* with which the oldest ends in a wait */
	unsigned cancels, waits;
} engine;

static inline int create(const struct disk_engine_ops *ops, int err, int fd, unsigned in_flight,
	struct disk_engine **ret)
{
	static struct disk_engine the_engine;

	if (err)
		return err;
	assert_null(engine.made_by);
	engine.made_by = the_engine.ops = ops;
	engine.fd = fd;
	engine.in_flight = in_flight;
	engine.count = engine.submits = 0;
	*ret = &the_engine;
	return 0;
}

static inline int create_uring(const char *id,
	struct loop *loop, int fd, unsigned in_flight, struct disk_engine **ret)
{
	assert_ptr_equal(loop, &engine);
	return create(&disk_uring, engine.uring_err, fd, in_flight, ret);
}

static inline int create_threads(const char *id,
	struct loop *loop, int fd, unsigned in_flight, struct disk_engine **ret)
{
	assert_ptr_equal(loop, &engine);
	return create(&disk_threads, engine.threads_err, fd, in_flight, ret);
}

static inline void start_call(struct disk_engine *unused, struct disk_io *io)
{
	assert_in_range(engine.count, 0, ARRAY_SIZE(engine.calls) - 1);
	engine.calls[engine.count++] = io;
}

static inline void submit_calls(struct disk_engine *unused)
{
	engine.submits++;
}

/* The oldest call ends. */
static inline void end_call(int result)
{
	struct disk_io *io = engine.calls[0];

	assert_int_not_equal(engine.count, 0);
	engine.count--;
	memmove(engine.calls, engine.calls + 1, engine.count * sizeof(engine.calls[0]));
	disk_io_done(io, result);
}

static inline void wait_for_call(struct disk_engine *unused)
{
	engine.waits++;
	end_call(engine.wait_result);
}

/* Of threads the calls behind the first have not begun. */
static inline bool cancel_calls(struct disk_engine *unused)
{
	unsigned before = engine.count;

	engine.cancels++;
	while (engine.count > 1) {
		struct disk_io *io = engine.calls[--engine.count];

		disk_io_done(io, -ECANCELED);
	}
	return engine.count < before;
}

static inline void destroy(struct disk_engine *unused)
{
	assert_int_equal(engine.count, 0);
	engine.made_by = NULL;
}

const struct disk_engine_ops disk_uring = { create_uring, start_call, submit_calls, NULL,
	wait_for_call, destroy };
const struct disk_engine_ops disk_threads = { create_threads, start_call, submit_calls,
	cancel_calls, wait_for_call, destroy };

/* ---- The disk ---- */

static inline struct disk_config config(bool direct)
{
	return (struct disk_config){
		.path = { path }, .block_bytes = 512, .in_flight = 16, .direct = direct
	};
}

static inline void open_disk(bool direct)
{
	struct disk_config how = config(direct);

	disk_close(disk);
	disk = NULL;
	assert_int_equal(disk_open(&how, (struct loop *)&engine, &disk), 0);
	assert_ptr_equal(engine.made_by, &disk_uring);
	log_lines = 0;
}

static inline int setup(void **unused)
{
	memset(&engine, 0, sizeof(engine));
	open_disk(false);
	return 0;
}

static inline int teardown(void **unused)
{
	disk_close(disk);
	disk = NULL;
	assert_null(engine.made_by);
	return 0;
}

struct asked {
	struct disk_request request;
	struct iovec iov[64];
	struct asked *then; /* started from within its `done` */
	unsigned ended;
	int err;
};

static inline void start(struct asked *asked);

static inline void done(struct disk_request *request, int err)
{
	struct asked *asked = container_of(request, struct asked, request);

	asked->ended++;
	asked->err = err;
	if (asked->then)
		start(asked->then);
}

static inline void start(struct asked *asked)
{
	static struct disk_request the_last_one;

	asked->request.iov = asked->iov;
	asked->request.done = done;
	/* The disk's own, as a request before has left it. */
	asked->request.next = &the_last_one;
	asked->request.way = 99;
	asked->request.bounced = true;
	asked->request.io.mode = 1 << 30;
	asked->request.io.bytes = 12345;
	disk_start(disk, &asked->request);
	assert_int_equal(asked->ended, 0);
}

static inline void ask(struct asked *asked, enum disk_op op, uint64_t offset, uint64_t bytes)
{
	*asked = (struct asked){ .request = { .op = op, .offset = offset, .bytes = bytes } };
	if (op <= DISK_WRITE) {
		asked->iov[0] = (struct iovec){ memory, bytes };
		asked->request.iov_count = 1;
	}
	start(asked);
}

static inline const struct disk_io *oldest(void)
{
	assert_int_not_equal(engine.count, 0);
	return engine.calls[0];
}

static inline void is_of_one_part(unsigned what, uint64_t offset, const void *base, uint64_t len)
{
	const struct disk_io *io = oldest();

	assert_int_equal(engine.count, 1);
	assert_int_equal(io->call, what);
	assert_int_equal(io->offset, offset);
	assert_int_equal(io->iov_count, 1);
	assert_ptr_equal(io->iov[0].iov_base, base);
	assert_int_equal(io->iov[0].iov_len, len);
}

static inline void is_transfer(unsigned what, uint64_t offset, const void *base, uint64_t len)
{
	is_of_one_part(what, offset, base, len);
	assert_int_equal(oldest()->bytes, len);
}

static inline void is_fallocate(int mode, uint64_t offset, uint64_t bytes)
{
	const struct disk_io *io = oldest();

	assert_int_equal(engine.count, 1);
	assert_int_equal(io->call, FALLOCATE);
	assert_int_equal(io->mode, mode);
	assert_int_equal(io->offset, offset);
	assert_int_equal(io->bytes, bytes);
}

static inline void is_fdatasync(void)
{
	assert_int_equal(oldest()->call, FDATASYNC);
	assert_int_equal(engine.count, 1);
}

static inline void is_done(const struct asked *asked, int err)
{
	assert_int_equal(asked->ended, 1);
	assert_int_equal(asked->err, err);
	assert_int_equal(engine.count, 0);
}

static inline int make_file(void **unused)
{
	int fd;

	log_set_sink(count_log);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk.img", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, BYTES), 0);
	close(fd);
	return posix_memalign((void **)&memory, 4096, BYTES);
}

static inline int remove_file(void **unused)
{
	free(memory);
	unlink(path);
	return rmdir(folder);
}

#endif
