/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's calls made by io_uring; see disk-engine.h. A seccomp filter does not see what goes through a ring. So the
 * ring is restricted to what a disk needs, four calls on one file, and cannot be changed afterwards. Guest memory is
 * never registered, as that would pin it.
 *
 * A completion comes as a signal does: any system call of the loop's thread may end with EINTR while requests are in
 * flight. (IORING_SETUP_DEFER_TASKRUN, which delays them until they are asked for, loses some with Linux 6.1 if epoll
 * watches the ring.)
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "devices/backend/disk-engine.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

/* The delay before a retry, if the kernel was short of a resource. */
#define RETRY_MS 10
/* A larger call goes to a kernel thread, so that the loop does not wait while it copies ... */
#define INLINE_MAX (64 * KiB)
/*
 * ... except a read: handing it over costs more than the copy, and a read that misses the page cache does not wait here
 * anyway. A write may wait for more. This bounds what the loop copies in one turn, in small and large calls.
 */
#define COPY_MAX (4 * MiB)

struct uring {
	struct disk_engine engine;
	struct loop *loop;
	struct io_uring ring;
	struct loop_fd watch; /* the ring itself: there are completions */
	struct loop_timer retry;
	uint64_t to_copy; /* in this turn, on the loop's thread */
};

static const uint8_t opcodes[] = {
	[DISK_CALL_READV] = IORING_OP_READV,
	[DISK_CALL_WRITEV] = IORING_OP_WRITEV,
	[DISK_CALL_FDATASYNC] = IORING_OP_FSYNC,
	[DISK_CALL_FALLOCATE] = IORING_OP_FALLOCATE,
};

static int restrict_ring(struct io_uring *ring, int fd)
{
	struct io_uring_restriction allowed[ARRAY_SIZE(opcodes) + 2];
	int err;

	memset(allowed, 0, sizeof(allowed));
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
		allowed[i].sqe_op = opcodes[i];
	}
	allowed[ARRAY_SIZE(opcodes)].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
	allowed[ARRAY_SIZE(opcodes)].sqe_flags = IOSQE_FIXED_FILE;
	allowed[ARRAY_SIZE(opcodes) + 1].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	allowed[ARRAY_SIZE(opcodes) + 1].sqe_flags = IOSQE_FIXED_FILE | IOSQE_ASYNC;
	err = io_uring_register_files(ring, &fd, 1);
	if (!err)
		err = io_uring_register_restrictions(ring, allowed, ARRAY_SIZE(allowed));
	return err ? err : io_uring_enable_rings(ring);
}

static int make_ring(struct io_uring *ring, unsigned entries, int fd)
{
	int err = io_uring_queue_init(entries, ring, IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP);

	if (err)
		return err;
	err = restrict_ring(ring, fd);
	if (err)
		io_uring_queue_exit(ring);
	return err;
}

int disk_uring_probe(void)
{
	struct io_uring ring;
	int err = make_ring(&ring, 1, 0);

	if (!err)
		io_uring_queue_exit(&ring);
	return err;
}

static bool needs_thread(struct uring *uring, const struct disk_io *io)
{
	bool large = io->bytes > INLINE_MAX;

	if (io->call > DISK_CALL_WRITEV)
		return false;
	if ((large && io->call == DISK_CALL_WRITEV) || uring->to_copy + io->bytes > COPY_MAX)
		return true;
	uring->to_copy += io->bytes;
	return false;
}

static void uring_start(struct disk_engine *engine, struct disk_io *io)
{
	struct uring *uring = container_of(engine, struct uring, engine);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

	CHECK(sqe); /* there is one for each call that may be in flight */
	io_uring_prep_rw(opcodes[io->call], sqe, 0, NULL, 0, io->offset);
	if (io->call <= DISK_CALL_WRITEV) {
		sqe->addr = (uintptr_t)io->iov;
		sqe->len = io->iov_count;
	} else if (io->call == DISK_CALL_FDATASYNC) {
		sqe->off = 0;
		sqe->fsync_flags = IORING_FSYNC_DATASYNC;
	} else {
		sqe->addr = io->bytes;
		sqe->len = (unsigned)io->mode;
	}
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | (needs_thread(uring, io) ? IOSQE_ASYNC : 0));
	io_uring_sqe_set_data(sqe, io);
}

/* io_uring_submit() stops at a call that fails at once; the next one submits the rest. */
static void submit(struct uring *uring)
{
	while (io_uring_sq_ready(&uring->ring))
		if (io_uring_submit(&uring->ring) <= 0) {
			loop_timer_arm(uring->loop, &uring->retry, RETRY_MS);
			return;
		}
}

/*
 * Takes completions, also of the calls that follow from them, so that calls which end at once wait for no further turn.
 * Kernel threads may end calls as fast as this takes them, so it stops after a turn; the ring then stays readable.
 */
static void take_completions(struct uring *uring)
{
	uint64_t ends_ms = loop_now_ms() + LOOP_TURN_MS;
	struct io_uring_cqe *cqe;
	bool short_of = false;

	while (loop_now_ms() <= ends_ms && !io_uring_peek_cqe(&uring->ring, &cqe)) {
		struct disk_io *io = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&uring->ring, cqe);
		/* The kernel had no thread for it and did nothing: retry. */
		if (result == -ECANCELED || result == -EAGAIN) {
			uring_start(&uring->engine, io);
			short_of = true;
		} else {
			disk_io_done(io, result);
		}
		if (!short_of && !io_uring_cq_ready(&uring->ring))
			submit(uring);
	}
	if (short_of)
		loop_timer_arm(uring->loop, &uring->retry, RETRY_MS);
	else if (io_uring_cq_ready(&uring->ring)) /* the turn is over: submit what followed */
		submit(uring);
	uring->to_copy = 0;
}

static void uring_submit(struct disk_engine *engine)
{
	struct uring *uring = container_of(engine, struct uring, engine);

	submit(uring);
	take_completions(uring);
}

static void retry(struct loop_timer *timer)
{
	uring_submit(&container_of(timer, struct uring, retry)->engine);
}

static void ready(struct loop_fd *watch, uint32_t events)
{
	take_completions(container_of(watch, struct uring, watch));
}

static void uring_wait(struct disk_engine *engine)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000 };
	struct uring *uring = container_of(engine, struct uring, engine);
	struct io_uring_cqe *cqe;

	submit(uring);
	if (io_uring_sq_ready(&uring->ring))
		nanosleep(&pause, NULL);
	else
		io_uring_wait_cqe(&uring->ring, &cqe);
	take_completions(uring);
}

static void uring_destroy(struct disk_engine *engine)
{
	struct uring *uring = container_of(engine, struct uring, engine);

	loop_timer_cancel(&uring->retry);
	loop_fd_remove(&uring->watch);
	io_uring_queue_exit(&uring->ring);
	free(uring);
}

static int uring_create(
	const char *id, struct loop *loop, int fd, unsigned in_flight, struct disk_engine **ret)
{
	struct uring *uring = calloc(1, sizeof(*uring));
	int err;

	if (!uring)
		return -ENOMEM;
	uring->engine.ops = &disk_uring;
	uring->loop = loop;
	uring->retry = (struct loop_timer){ .fired = retry, .name = id };
	err = make_ring(&uring->ring, in_flight, fd);
	if (err)
		goto free_uring;
	uring->watch = (struct loop_fd){
		.fd = uring->ring.ring_fd, .events = EPOLLIN, .ready = ready, .name = id
	};
	err = loop_fd_add(loop, &uring->watch);
	if (err)
		goto exit_ring;
	*ret = &uring->engine;
	return 0;

exit_ring:
	io_uring_queue_exit(&uring->ring);
free_uring:
	free(uring);
	return err;
}

const struct disk_engine_ops disk_uring = {
	.create = uring_create,
	.start = uring_start,
	.submit = uring_submit,
	.wait = uring_wait,
	.destroy = uring_destroy,
};
