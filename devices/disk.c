/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's requests, each a row of system calls that an engine makes: what a call left undone is
 * asked for again, zeroes are made in the best way that the file takes, and what O_DIRECT would not
 * take of the guest's memory goes through a buffer, which one request has at a time. See disk.h.
 */
#include "devices/disk.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/disk-file.h"
#include "hyp/log.h"
#include "hyp/util.h"

#define BUFFER_BYTES (256 * KiB)
#define ZERO_BYTES   (1 * MiB)
#define CALL_BYTES                                                                                 \
	(1 * MiB) /* that one call reads or writes at most: what is under way ends soon */

struct disk {
	struct disk_file file;
	struct disk_engine *engine;
	const char *path; /* for messages */
	bool lost;	  /* the host did not get to the disk what it had taken */
	bool ending;	  /* what is in flight ends with the call that it is at */

	uint8_t *buffer; /* of a disk with O_DIRECT */
	struct disk_request *has_buffer, *want_buffer, **want_end;
};

/* Never written; read from, it is the page of zeroes that all processes share. */
static uint8_t zeroes[ZERO_BYTES] __attribute__((aligned(4096)));

int disk_look(const struct disk_config *config, bool lock, char *ret_why, size_t len)
{
	struct disk_file file;
	int err = disk_file_open(config, lock, &file, ret_why, len);

	if (!err)
		close(file.fd);
	return err;
}

static int create_engine(const struct disk_config *config, struct loop *loop, struct disk *disk)
{
	int err = -EOPNOTSUPP;

	if (!config->threads)
		err = disk_uring.create(loop, disk->file.fd, config->in_flight, &disk->engine);
	if (err) {
		log_print(LOG_INFO, "%s: by threads, not io_uring: %s", disk->path, strerror(-err));
		err = disk_threads.create(loop, disk->file.fd, config->in_flight, &disk->engine);
	}
	return err;
}

int disk_open(const struct disk_config *config, struct loop *loop, struct disk **ret)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	char why[1];
	int err;

	if (!disk)
		return -ENOMEM;
	disk->path = config->path;
	disk->want_end = &disk->want_buffer;
	err = disk_file_open(config, true, &disk->file, why, sizeof(why));
	if (err)
		goto free_disk;
	/* Not touched, and so no memory, before it is used. */
	err = config->direct ? -posix_memalign((void **)&disk->buffer, 64 * KiB, BUFFER_BYTES) : 0;
	if (!err)
		err = create_engine(config, loop, disk);
	if (err)
		goto close_file;
	*ret = disk;
	return 0;

close_file:
	close(disk->file.fd);
	free(disk->buffer);
free_disk:
	free(disk);
	return err;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	disk->engine->ops->destroy(disk->engine);
	close(disk->file.fd);
	free(disk->buffer);
	free(disk);
}

const struct disk_info *disk_info(const struct disk *disk)
{
	return &disk->file.info;
}

/* ---- One request ---- */

/* How zeroes come about, and what a discard tries: one after the other, until the file takes one. */
enum { WAY_PUNCH, WAY_ZERO, WAY_WRITE };

static void call(struct disk_request *request, enum disk_call what)
{
	struct disk_engine *engine = request->disk->engine;

	request->io.call = what;
	engine->ops->start(engine, &request->io);
}

/* As many whole parts as one call takes, or a piece of the first. */
static void take_parts(struct disk_request *request)
{
	struct disk_io *io = &request->io;

	io->iov = request->iov;
	io->iov_count = 0;
	io->bytes = 0;
	while (io->iov_count < request->iov_count &&
		io->bytes + io->iov[io->iov_count].iov_len <= CALL_BYTES)
		io->bytes += io->iov[io->iov_count++].iov_len;
	if (io->iov_count)
		return;
	io->bytes = CALL_BYTES;
	request->part = (struct iovec){ .iov_base = request->iov->iov_base, .iov_len = CALL_BYTES };
	io->iov = &request->part;
	io->iov_count = 1;
}

static void read_or_write(struct disk_request *request)
{
	struct disk_io *io = &request->io;

	io->offset = request->offset;
	if (!request->bounced) {
		take_parts(request);
	} else {
		uint64_t len = request->bytes < BUFFER_BYTES ? request->bytes : BUFFER_BYTES;
		uint8_t *to = request->disk->buffer;

		request->part = (struct iovec){ .iov_base = to, .iov_len = len };
		io->iov = &request->part;
		io->iov_count = 1;
		io->bytes = len;
		for (struct iovec *from = request->iov; request->op == DISK_WRITE && len; from++) {
			size_t some = from->iov_len < len ? from->iov_len : len;

			memcpy(to, from->iov_base, some);
			to += some;
			len -= some;
		}
	}
	call(request, request->op == DISK_READ ? DISK_CALL_READV : DISK_CALL_WRITEV);
}

static void make_zeroes(struct disk_request *request)
{
	struct disk_io *io = &request->io;

	io->offset = request->offset;
	io->bytes = request->bytes;
	if (request->way == WAY_WRITE) {
		request->part = (struct iovec){ .iov_base = zeroes,
			.iov_len = request->bytes < ZERO_BYTES ? request->bytes : ZERO_BYTES };
		io->iov = &request->part;
		io->iov_count = 1;
		call(request, DISK_CALL_WRITEV);
		return;
	}
	io->mode = FALLOC_FL_KEEP_SIZE |
		   (request->way == WAY_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
	call(request, DISK_CALL_FALLOCATE);
}

static void go_on(struct disk_request *request);

static void finish(struct disk_request *request, int err)
{
	struct disk *disk = request->disk;

	if (request->bounced) {
		disk->has_buffer = disk->want_buffer;
		if (disk->has_buffer) {
			disk->want_buffer = disk->has_buffer->next;
			if (!disk->want_buffer)
				disk->want_end = &disk->want_buffer;
			go_on(disk->has_buffer);
		}
	}
	request->done(request, err);
}

/* The next call, or the end. */
static void go_on(struct disk_request *request)
{
	if (request->bytes && request->disk->ending)
		finish(request, -ECANCELED);
	else if (request->bytes && request->op <= DISK_WRITE)
		read_or_write(request);
	else if (request->bytes)
		make_zeroes(request);
	else if (request->durable)
		call(request, DISK_CALL_FDATASYNC);
	else
		finish(request, 0);
}

static bool needs_buffer(const struct disk *disk, const struct disk_request *request)
{
	uint32_t align = disk->file.memory_align, block = disk->file.info.block_bytes;

	for (unsigned i = 0; disk->buffer && i < request->iov_count; i++)
		if ((uintptr_t)request->iov[i].iov_base % align || request->iov[i].iov_len % block)
			return true;
	return false;
}

void disk_start(struct disk *disk, struct disk_request *request)
{
	CHECK(!request->bytes == (request->op == DISK_FLUSH));
	request->disk = disk;
	request->next = NULL;
	request->durable |= request->op == DISK_FLUSH;
	request->way = request->op == DISK_WRITE_ZEROES && !request->unmap ? WAY_ZERO : WAY_PUNCH;
	request->bounced = request->op <= DISK_WRITE && needs_buffer(disk, request);
	if (request->bounced && disk->has_buffer) {
		*disk->want_end = request;
		disk->want_end = &request->next;
		return;
	}
	if (request->bounced)
		disk->has_buffer = request;
	go_on(request);
}

void disk_submit(struct disk *disk)
{
	disk->engine->ops->submit(disk->engine);
}

void disk_wait(struct disk *disk, bool ending)
{
	disk->ending = ending;
	disk->engine->ops->wait(disk->engine);
	disk->ending = false;
}

/* ---- What comes of a call ---- */

/* So much of the request is done: what was read into the buffer goes where it belongs. */
static void take(struct disk_request *request, uint64_t len)
{
	const uint8_t *from = request->disk->buffer;

	request->offset += len;
	request->bytes -= len;
	while (len && request->op <= DISK_WRITE) {
		struct iovec *to = request->iov;
		size_t some = to->iov_len < len ? to->iov_len : len;

		if (request->bounced && request->op == DISK_READ) {
			memcpy(to->iov_base, from, some);
			from += some;
		}
		to->iov_base = (uint8_t *)to->iov_base + some;
		to->iov_len -= some;
		len -= some;
		if (!to->iov_len) {
			request->iov++;
			request->iov_count--;
		}
	}
}

static int after_transfer(struct disk_request *request, int result)
{
	if (!result) /* the file has become shorter */
		return -EIO;
	if (result > 0)
		take(request, (uint64_t)result);
	return result < 0 ? result : 0;
}

static int after_fallocate(struct disk_request *request, int result)
{
	bool refused = result == -EOPNOTSUPP || result == -EINVAL || result == -ENODEV;

	if (refused && request->op == DISK_WRITE_ZEROES) {
		request->way++;
		return 0;
	}
	/* A discard is a hint, and is done with where the file takes none. */
	if (result && !refused)
		return result;
	request->bytes = 0;
	return 0;
}

/* The kernel tells once that it lost what it had taken, and then no more: it stays lost here. */
static int after_flush(struct disk_request *request, int result)
{
	struct disk *disk = request->disk;

	if (result && !disk->lost)
		log_print(LOG_ERROR,
			"%s: the host could not write to the disk what it had taken: %s; "
			"no flush will succeed any more",
			disk->path, strerror(-result));
	disk->lost |= result;
	request->durable = false;
	return disk->lost ? -EIO : 0;
}

void disk_io_done(struct disk_io *io, int result)
{
	static int (*const after[])(struct disk_request * request, int result) = {
		[DISK_CALL_READV] = after_transfer,
		[DISK_CALL_WRITEV] = after_transfer,
		[DISK_CALL_FALLOCATE] = after_fallocate,
		[DISK_CALL_FDATASYNC] = after_flush,
	};
	struct disk_request *request = container_of(io, struct disk_request, io);
	int err = result == -EINTR ? 0 : after[io->call](request, result);

	if (err)
		finish(request, err);
	else
		go_on(request);
}
