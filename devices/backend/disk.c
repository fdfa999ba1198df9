/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's requests, each a sequence of system calls that an engine makes; see disk.h. After a short transfer another
 * call continues. Zeroes are written in the cheapest way that the file supports. Requests that are not aligned for
 * O_DIRECT go through a buffer, one request at a time.
 *
 * O_DIRECT may need larger blocks than the guest's. A request that changes a part of a block reads, changes and writes
 * the whole block; another request's change of it meanwhile would be lost. So such a request begins once no change of
 * these blocks is in flight, and later changes of them queue for the buffer.
 */
#include "devices/backend/disk.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/disk-file.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"

#define BUFFER_BYTES (256 * KiB)
#define ZERO_BYTES   (1 * MiB)
#define CALL_BYTES                                                                                 \
	(1 * MiB) /* the most that one call reads, writes or zeroes: each call ends soon */
/* Sum of the current calls of all requests in flight: a second and a half of an SD card. */
#define UNDER_WAY_BYTES (32 * MiB)
/* In that sum, the least that a request and each of its parts count. */
#define PART_BYTES 4096

struct disk {
	struct disk_file file;
	struct disk_engine *engine;
	struct disk_config config;
	bool lost;	    /* the host has lost written data: flushes fail */
	bool ending;	    /* requests in flight end after their current call */
	uint64_t under_way; /* bytes, as weigh() has them */

	uint8_t *buffer; /* of a disk with O_DIRECT */
	struct disk_request *has_buffer, *want_buffer, **want_end;
	struct disk_request
		*changes; /* in flight, without the buffer; only if a part of a block can change */
};

/* Never written, so that reads find the zero page that all processes share. */
static uint8_t zeroes[ZERO_BYTES] __attribute__((aligned(DISK_ALIGN_MAX)));

int disk_probe(const struct disk_config *config, bool lock, char *ret_why, size_t len)
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
		err = disk_uring.create(
			config->id, loop, disk->file.fd, config->in_flight, &disk->engine);
	if (err) {
		log_print(LOG_INFO, "%s: by threads, not io_uring: %s", disk->config.path.name,
			strerror(-err));
		err = disk_threads.create(
			config->id, loop, disk->file.fd, config->in_flight, &disk->engine);
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
	disk->config = *config;
	disk->want_end = &disk->want_buffer;
	err = disk_file_open(config, true, &disk->file, why, sizeof(why));
	if (err)
		goto free_disk;
	/* The buffer takes no memory before its first use. */
	err = config->direct ? -posix_memalign((void **)&disk->buffer, DISK_ALIGN_MAX, BUFFER_BYTES)
			     : 0;
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

bool disk_is_lost(const struct disk *disk)
{
	return disk->lost;
}

void disk_lose(struct disk *disk)
{
	disk->lost = true;
}

const struct disk_info *disk_info(const struct disk *disk)
{
	return &disk->file.info;
}

int disk_resize(struct disk *disk, uint64_t bytes, char *ret_why, size_t len)
{
	return disk_file_resize(&disk->config, &disk->file, bytes, ret_why, len);
}

/* ---- One request ---- */

/* Ways to write zeroes, tried in this order until the file supports one. A discard tries only the first. */
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

/* The request's offset in a host block; and whether its next call changes only a part of a block. */
static uint64_t skipped(const struct disk_request *request)
{
	return request->bounced ? request->offset % request->disk->file.align : 0;
}

static bool changes_part(const struct disk_request *request)
{
	return request->bounced && request->op != DISK_READ &&
	       (skipped(request) || request->bytes < request->disk->file.align);
}

/* The next bytes that the request writes. */
static void copy_to(const struct disk_request *request, uint8_t *to, uint64_t len)
{
	if (request->op == DISK_WRITE_ZEROES)
		memset(to, 0, len);
	for (const struct iovec *from = request->iov; request->op == DISK_WRITE && len; from++) {
		size_t some = from->iov_len < len ? from->iov_len : len;

		memcpy(to, from->iov_base, some);
		to += some;
		len -= some;
	}
}

/* Transfers through the buffer: whole blocks, or one block of which a part changes, which is read first. */
static void bounce(struct disk_request *request)
{
	uint64_t align = request->disk->file.align, skip = skipped(request);
	uint64_t bytes = request->bytes, len;
	struct disk_io *io = &request->io;
	bool fill = changes_part(request) && !request->filled;

	if (changes_part(request))
		len = align;
	else if (request->op == DISK_READ)
		len = (skip + bytes + align - 1) / align * align;
	else
		len = bytes - bytes % align;
	if (len > BUFFER_BYTES)
		len = BUFFER_BYTES;
	request->part = (struct iovec){ .iov_base = request->disk->buffer, .iov_len = len };
	io->iov = &request->part;
	io->iov_count = 1;
	io->offset = request->offset - skip;
	io->bytes = len;
	if (request->op != DISK_READ && !fill)
		copy_to(request, request->disk->buffer + skip,
			bytes < len - skip ? bytes : len - skip);
	call(request, request->op == DISK_READ || fill ? DISK_CALL_READV : DISK_CALL_WRITEV);
}

static void read_or_write(struct disk_request *request)
{
	if (request->bounced) {
		bounce(request);
		return;
	}
	request->io.offset = request->offset;
	take_parts(request);
	call(request, request->op == DISK_READ ? DISK_CALL_READV : DISK_CALL_WRITEV);
}

static void make_zeroes(struct disk_request *request)
{
	uint64_t bytes = request->bytes;
	struct disk_io *io = &request->io;

	if (changes_part(request)) {
		bounce(request);
		return;
	}
	if (request->bounced)
		bytes -= bytes % request->disk->file.align;
	io->offset = request->offset;
	io->bytes = bytes;
	if (request->way == WAY_WRITE) {
		request->part = (struct iovec){ .iov_base = zeroes,
			.iov_len = bytes < ZERO_BYTES ? bytes : ZERO_BYTES };
		io->iov = &request->part;
		io->iov_count = 1;
		call(request, DISK_CALL_WRITEV);
		return;
	}
	/* A device that has no such command writes the zeros itself. */
	if (request->way == WAY_ZERO && bytes > CALL_BYTES)
		io->bytes = CALL_BYTES;
	io->mode = FALLOC_FL_KEEP_SIZE |
		   (request->way == WAY_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
	call(request, DISK_CALL_FALLOCATE);
}

static void go_on(struct disk_request *request);

/* ---- Requests beside one that changes a part of a block ---- */

static bool is_partial(const struct disk_request *request)
{
	return request->op != DISK_READ &&
	       (request->offset | request->bytes) % request->disk->file.align;
}

/* Whether `other` changes one of the blocks that `partial` writes whole. */
static bool collide(const struct disk_request *partial, const struct disk_request *other)
{
	uint64_t align = partial->disk->file.align;
	uint64_t first = partial->offset - partial->offset % align;
	uint64_t end = (partial->offset + partial->bytes + align - 1) / align * align;

	return other->offset < end && other->offset + other->bytes > first;
}

static bool collides_with_holder(const struct disk *disk, const struct disk_request *request)
{
	return disk->has_buffer && is_partial(disk->has_buffer) &&
	       collide(disk->has_buffer, request);
}

static void begin_change(struct disk *disk, struct disk_request *request)
{
	request->changes_next = disk->changes;
	request->changes_at = &disk->changes;
	if (disk->changes)
		disk->changes->changes_at = &request->changes_next;
	disk->changes = request;
}

/* Begins the buffer's holder if this was the last change that it waited for. */
static void end_change(struct disk *disk, struct disk_request *request)
{
	struct disk_request *waits = disk->has_buffer;

	*request->changes_at = request->changes_next;
	if (request->changes_next)
		request->changes_next->changes_at = request->changes_at;
	if (request->holds_up && !--waits->blockers)
		go_on(waits);
}

/* Gives the request the buffer. It begins once no change of its blocks is in flight. */
static void begin_bounced(struct disk *disk, struct disk_request *request)
{
	disk->has_buffer = request;
	for (struct disk_request *other = disk->changes; other && is_partial(request);
		other = other->changes_next)
		if (collide(request, other)) {
			other->holds_up = true;
			request->blockers++;
		}
	if (!request->blockers)
		go_on(request);
}

static void finish(struct disk_request *request, int err)
{
	struct disk *disk = request->disk;

	disk->under_way -= request->weight;
	if (!disk->under_way)
		disk->ending = false;
	if (request->changes_at)
		end_change(disk, request);
	if (request->bounced) {
		struct disk_request *next = disk->want_buffer;

		disk->has_buffer = NULL;
		if (next) {
			disk->want_buffer = next->next;
			if (!disk->want_buffer)
				disk->want_end = &disk->want_buffer;
			begin_bounced(disk, next);
		}
	}
	request->done(request, err);
}

/* The next call, or the end. */
static void go_on(struct disk_request *request)
{
	if ((request->bytes || request->durable) && request->disk->ending)
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
	uint32_t align = disk->file.align, memory_align = disk->file.memory_align;

	if (!disk->buffer || request->op == DISK_DISCARD || request->op == DISK_FLUSH)
		return false;
	for (unsigned i = 0; request->op <= DISK_WRITE && i < request->iov_count; i++)
		if ((uintptr_t)request->iov[i].iov_base % memory_align ||
			request->iov[i].iov_len % align)
			return true;
	return (request->offset | request->bytes) % align ||
	       (request->op != DISK_READ && collides_with_holder(disk, request));
}

/* A discard is a hint, and covers only whole host blocks. If there are none, an empty call ends the request. */
static void discard_whole_blocks(struct disk_request *request)
{
	uint64_t align = request->disk->file.align, end = request->offset + request->bytes;

	request->offset = (request->offset + align - 1) / align * align;
	end -= end % align;
	request->bytes = end > request->offset ? end - request->offset : 0;
}

/* Bytes of the request's one call in the kernel. Many small parts count as much as few large ones. */
static uint32_t weigh(const struct disk_request *request)
{
	uint64_t bytes = request->bytes < CALL_BYTES ? request->bytes : CALL_BYTES;
	uint64_t parts = (request->iov_count + UINT64_C(1)) * PART_BYTES;

	return (uint32_t)(bytes > parts ? bytes : parts);
}

bool disk_is_full(const struct disk *disk)
{
	return disk->under_way >= UNDER_WAY_BYTES;
}

void disk_start(struct disk *disk, struct disk_request *request)
{
	CHECK(!request->bytes == (request->op == DISK_FLUSH));
	request->disk = disk;
	request->next = NULL;
	request->weight = weigh(request);
	disk->under_way += request->weight;
	request->changes_at = NULL;
	request->blockers = 0;
	request->filled = request->holds_up = false;
	request->durable |= request->op == DISK_FLUSH;
	request->way = request->op == DISK_WRITE_ZEROES && !request->unmap ? WAY_ZERO : WAY_PUNCH;
	request->bounced = needs_buffer(disk, request);
	if (request->bounced) {
		if (!disk->has_buffer) {
			begin_bounced(disk, request);
			return;
		}
		*disk->want_end = request;
		disk->want_end = &request->next;
		return;
	}
	if (request->op == DISK_DISCARD && disk->buffer)
		discard_whole_blocks(request);
	if ((request->op == DISK_WRITE || request->op == DISK_WRITE_ZEROES) &&
		disk->file.align > disk->file.info.block_bytes)
		begin_change(disk, request);
	if (request->bytes || request->op == DISK_FLUSH)
		go_on(request);
	else
		make_zeroes(request);
}

void disk_submit(struct disk *disk)
{
	disk->engine->ops->submit(disk->engine);
}

void disk_wait(struct disk *disk, bool ending)
{
	const struct disk_engine_ops *ops = disk->engine->ops;

	disk->ending = ending;
	if (!ending || !ops->cancel || !ops->cancel(disk->engine))
		ops->wait(disk->engine);
	disk->ending = false;
}

void disk_end(struct disk *disk)
{
	disk->ending = true;
	if (disk->engine->ops->cancel)
		disk->engine->ops->cancel(disk->engine);
}

/* ---- Results of calls ---- */

/* `len` more bytes of the request are done. Read data is copied from `skip` bytes into the buffer to its parts. */
static void take(struct disk_request *request, uint64_t skip, uint64_t len)
{
	const uint8_t *from = request->bounced ? request->disk->buffer + skip : NULL;

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

/* Fills the part beyond the end of a read-only file: less than a block. */
static void read_zeroes(struct disk_request *request)
{
	for (; request->bytes; request->bytes -= request->iov++->iov_len)
		memset(request->iov->iov_base, 0, request->iov->iov_len);
}

static int after_transfer(struct disk_request *request, int result)
{
	const struct disk_file *file = &request->disk->file;
	uint64_t skip = skipped(request), len = result > 0 ? (uint64_t)result : 0;

	if (result < 0)
		return result;
	if (changes_part(request)) {
		if (len < request->io.bytes)
			return -EIO;
		request->filled = !request->filled;
		if (request->filled)
			return 0; /* to be written with the change */
	} else if (request->bounced && request->op != DISK_READ) {
		len -= len % file->align;
	}
	if (len <= skip) /* the file has become shorter */
		return -EIO;
	len -= skip;
	take(request, skip, len < request->bytes ? len : request->bytes);
	if (request->op == DISK_READ && request->offset == file->stored)
		read_zeroes(request);
	return 0;
}

static int after_fallocate(struct disk_request *request, int result)
{
	bool refused = result == -EOPNOTSUPP || result == -EINVAL || result == -ENODEV;

	if (refused && request->op == DISK_WRITE_ZEROES) {
		request->way++;
		return 0;
	}
	/* A discard is a hint: it succeeds if the file does not support it. */
	if (result && !refused)
		return result;
	take(request, 0, request->io.bytes);
	return 0;
}

/* The kernel reports lost writes only once, so the disk stays `lost`. */
static int after_flush(struct disk_request *request, int result)
{
	struct disk *disk = request->disk;

	if (result && !disk->lost)
		log_print(LOG_ERROR,
			"%s: the host could not write to the disk what it had taken: %s; no flush will succeed any more",
			disk->config.path.name, strerror(-result));
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
	int err = 0;

	if (result == -ECANCELED && request->disk->ending)
		err = result; /* never begun: a flush has lost nothing */
	else if (result != -EINTR)
		err = after[io->call](request, result);
	if (err)
		finish(request, err);
	else
		go_on(request);
}
