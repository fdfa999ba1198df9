/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's calls by io_uring, on real rings: what a ring takes, what is asked of it, and what happens
 * where the kernel is short of something. The source itself is included, so that its rings can be examined.
 * The results of calls come here, not to devices/backend/disk.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "devices/backend/disk-uring.c"
#include "tests/unit/helpers/fake-loop.h"
#include "tests/unit/helpers/fds.h"
#include "tests/unit/helpers/unit.h"

#define BYTES (8 * MiB)

static char path[] = "/tmp/test-disk-uring.XXXXXX";
static int file;
static uint8_t memory[BYTES] __attribute__((aligned(4096)));
static const struct iovec part = { memory, 4096 };
static struct disk_engine *engine;
static struct uring *uring;

static unsigned ended;
static int last_result;
static struct disk_io *last_io, *follows; /* which is started when the next one ends */
static uint64_t end_takes_ms;

void disk_io_done(struct disk_io *io, int result)
{
	ended++;
	last_io = io;
	last_result = result;
	fake_loop_advance(end_takes_ms);
	if (follows) {
		io = follows;
		follows = NULL;
		engine->ops->start(engine, io);
	}
}

/* What is refused once, if not 0, and how often it was asked for. */
static struct {
	int submit, files, restrictions, enable;
	unsigned submits, pauses;
	long paused_ns;
} host;

#define WRAP(what, function, args, names)                                                          \
	int __real_##function args;                                                                \
	int __wrap_##function args;                                                                \
	int __wrap_##function args                                                                 \
	{                                                                                          \
		int err = host.what;                                                               \
                                                                                                   \
		host.what = 0;                                                                     \
		return err ? err : __real_##function names;                                        \
	}

WRAP(files, io_uring_register_files, (struct io_uring * ring, const int *fds, unsigned count),
	(ring, fds, count))
WRAP(restrictions, io_uring_register_restrictions,
	(struct io_uring * ring, struct io_uring_restriction *all, unsigned count),
	(ring, all, count))
WRAP(enable, io_uring_enable_rings, (struct io_uring * ring), (ring))

#define TAKES_NONE 1 /* a submission that takes none of what there is */

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
	int err = host.submit;

	host.submits++;
	host.submit = 0;
	return err ? err < 0 ? err : 0 : __real_io_uring_submit(ring);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	host.pauses++;
	host.paused_ns = time->tv_nsec;
	return 0;
}

static int setup(void **unused)
{
	memset(&host, 0, sizeof(host));
	ended = 0;
	end_takes_ms = 0;
	follows = NULL;
	assert_int_equal(disk_uring.create("disk0", NULL, file, 8, &engine), 0);
	uring = container_of(engine, struct uring, engine);
	return 0;
}

static int teardown(void **unused)
{
	disk_uring.destroy(engine);
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	return 0;
}

/* ---- What a ring takes ---- */

/* What a request gets that is put into a new ring as it is. */
static int ask(struct io_uring *ring, unsigned opcode, unsigned flags, int fd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int result;

	io_uring_prep_rw(opcode, sqe, fd, &part, 1, 0);
	if (opcode == IORING_OP_FSYNC || opcode == IORING_OP_FALLOCATE)
		sqe->addr = sqe->len = 0;
	io_uring_sqe_set_flags(sqe, flags);
	assert_int_equal(io_uring_submit(ring), 1);
	assert_int_equal(io_uring_wait_cqe(ring, &cqe), 0);
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

static bool is_allowed(unsigned opcode)
{
	return opcode == IORING_OP_READV || opcode == IORING_OP_WRITEV ||
	       opcode == IORING_OP_FSYNC || opcode == IORING_OP_FALLOCATE;
}

/* Nothing but four calls, on the disk's file. */
static void a_ring_takes_nothing_else(void **unused)
{
	struct iovec buffer = { memory, 4096 };
	struct io_uring ring;
	int other = file;

	assert_int_equal(make_ring(&ring, 8, file), 0);
	for (unsigned opcode = 0; opcode <= IORING_OP_SPLICE; opcode++) {
		int result = ask(&ring, opcode, IOSQE_FIXED_FILE, 0);

		if (is_allowed(opcode))
			assert_int_not_equal(result, -EACCES);
		else
			assert_int_equal(result, -EACCES);
		/* Nor these on another file than the one that it was given. */
		assert_int_equal(ask(&ring, opcode, 0, file), -EACCES);
	}
	assert_int_equal(ask(&ring, IORING_OP_READV, IOSQE_FIXED_FILE, 1), -EBADF);
	assert_int_equal(
		ask(&ring, IORING_OP_READV, IOSQE_FIXED_FILE | IOSQE_IO_DRAIN, 0), -EACCES);
	assert_int_equal(ask(&ring, IORING_OP_READV, IOSQE_FIXED_FILE | IOSQE_ASYNC, 0), 4096);
	assert_int_equal(io_uring_register_files_update(&ring, 0, &other, 1), -EACCES);
	assert_int_equal(io_uring_register_buffers(&ring, &buffer, 1), -EACCES);
	io_uring_queue_exit(&ring);
}

/* Larger than a ring may be is as large as may be. */
static void a_ring_of_any_size(void **unused)
{
	struct io_uring ring;

	assert_int_equal(make_ring(&ring, 40000, file), 0);
	assert_int_equal(*ring.sq.kring_entries, 32768);
	io_uring_queue_exit(&ring);
}

/* What the kernel does not let the ring be restricted to is not used at all, and leaves nothing. */
static void no_ring_but_a_restricted_one(void **unused)
{
	int *const steps[] = { &host.files, &host.restrictions, &host.enable };
	struct disk_engine *none = NULL;
	unsigned fds = open_fds();

	assert_int_equal(disk_uring_probe(), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		*steps[i] = -EINVAL;
		assert_int_equal(disk_uring_probe(), -EINVAL);
		*steps[i] = -EBADFD;
		assert_int_equal(disk_uring.create("disk0", NULL, file, 8, &none), -EBADFD);
		assert_null(none);
		assert_int_equal(*steps[i], 0);
	}
	assert_int_equal(open_fds(), fds);
}

/* The loop takes no more. */
static void half_made(void **unused)
{
	static struct loop_fd filler[64];
	struct disk_engine *none = NULL;
	unsigned fillers = 0;
	unsigned fds = open_fds();

	while (!loop_fd_add(NULL, &filler[fillers]))
		fillers++;
	assert_int_equal(disk_uring.create("disk0", NULL, file, 8, &none), -ENOSPC);
	while (fillers)
		loop_fd_remove(&filler[--fillers]);
	assert_null(none);
	assert_int_equal(open_fds(), fds);
}

static void a_ring_goes_with_its_disk(void **unused)
{
	unsigned fds = open_fds();
	struct disk_engine *other;

	assert_int_equal(disk_uring.create("disk0", NULL, file, 8, &other), 0);
	assert_int_not_equal(open_fds(), fds);
	loop_timer_arm(NULL, &container_of(other, struct uring, engine)->retry, 1);
	disk_uring.destroy(other);
	assert_int_equal(open_fds(), fds);
}

/* ---- What is asked of it ---- */

/* What was started last, as the kernel will read it. */
static const struct io_uring_sqe *start(struct disk_io *io)
{
	unsigned mask = *uring->ring.sq.kring_mask;

	disk_uring.start(engine, io);
	return &uring->ring.sq.sqes[(uring->ring.sq.sqe_tail - 1) & mask];
}

static void wait_for(unsigned count)
{
	while (ended < count)
		disk_uring.wait(engine);
}

/* All that was written is to be on the disk, wherever the last write was. */
static void a_flush_is_of_the_whole_file(void **unused)
{
	struct disk_io io = { .call = DISK_CALL_FDATASYNC,
		.iov = &part,
		.iov_count = 1,
		.mode = 3,
		.offset = 12345 * 4096ull,
		.bytes = 4096 };
	const struct io_uring_sqe *sqe = start(&io);

	assert_int_equal(sqe->opcode, IORING_OP_FSYNC);
	assert_int_equal(sqe->off, 0);
	assert_int_equal(sqe->len, 0);
	assert_int_equal(sqe->addr, 0);
	assert_int_equal(sqe->fsync_flags, IORING_FSYNC_DATASYNC);
	assert_int_equal(sqe->fd, 0);
	assert_int_equal(sqe->flags, IOSQE_FIXED_FILE);
	disk_uring.submit(engine);
	wait_for(1);
	assert_int_equal(last_result, 0);
}

static void transfers_and_fallocate_are_asked_for(void **unused)
{
	const struct iovec two[] = { { memory, 512 }, { memory + 4096, 1024 } };
	struct disk_io read = { .call = DISK_CALL_READV,
		.iov = two,
		.iov_count = 2,
		.mode = 3,
		.offset = 8192,
		.bytes = 1536 };
	struct disk_io write = read, punch = { .call = DISK_CALL_FALLOCATE,
		.mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		.offset = 5 * GiB,
		.bytes = 6 * GiB };
	const struct io_uring_sqe *sqe = start(&read);

	assert_int_equal(sqe->opcode, IORING_OP_READV);
	assert_int_equal(sqe->off, 8192);
	assert_int_equal(sqe->len, 2);
	assert_int_equal(sqe->addr, (uintptr_t)two);
	assert_int_equal(sqe->rw_flags, 0);
	assert_int_equal(sqe->flags, IOSQE_FIXED_FILE);
	write.call = DISK_CALL_WRITEV;
	sqe = start(&write);
	assert_int_equal(sqe->opcode, IORING_OP_WRITEV);
	assert_int_equal(sqe->off, 8192);
	assert_int_equal(sqe->len, 2);
	assert_int_equal(sqe->addr, (uintptr_t)two);
	sqe = start(&punch);
	assert_int_equal(sqe->opcode, IORING_OP_FALLOCATE);
	assert_int_equal(sqe->off, 5 * GiB);
	assert_int_equal(sqe->addr, 6 * GiB);
	assert_int_equal(sqe->len, punch.mode);
	assert_int_equal(sqe->flags, IOSQE_FIXED_FILE);
	disk_uring.submit(engine);
	wait_for(3);
}

static bool goes_to_a_thread(enum disk_call call, uint64_t bytes)
{
	struct disk_io *io = test_calloc(1, sizeof(*io));
	bool thread;

	*io = (struct disk_io){ .call = call, .iov = &part, .iov_count = 1, .bytes = bytes };
	if (call == DISK_CALL_FALLOCATE) { /* behind the file's end */
		io->mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
		io->offset = BYTES;
	}
	thread = start(io)->flags & IOSQE_ASYNC;
	disk_uring.submit(engine);
	wait_for(1);
	ended = 0;
	test_free(io);
	return thread;
}

/* The loop copies what is small, and what is read: no more than 4 MiB a turn of both. */
static void what_is_large_goes_to_a_thread(void **unused)
{
	struct disk_io reads[8];

	assert_false(goes_to_a_thread(DISK_CALL_WRITEV, 64 * KiB));
	assert_true(goes_to_a_thread(DISK_CALL_WRITEV, 64 * KiB + 512));
	assert_false(goes_to_a_thread(DISK_CALL_FALLOCATE, GiB));
	assert_false(goes_to_a_thread(DISK_CALL_FDATASYNC, GiB));
	assert_false(goes_to_a_thread(DISK_CALL_READV, 4 * MiB));
	assert_true(goes_to_a_thread(DISK_CALL_READV, 4 * MiB + 512));
	/* All of a submission counts; the next one is another. */
	for (unsigned round = 0; round < 2; round++) {
		static const struct {
			enum disk_call call;
			uint64_t bytes;
			bool thread;
		} all[] = {
			{ DISK_CALL_READV, 3 * MiB },
			{ DISK_CALL_WRITEV, 64 * KiB },
			{ DISK_CALL_READV, MiB, true },
			{ DISK_CALL_READV, MiB - 128 * KiB },
			{ DISK_CALL_WRITEV, 64 * KiB },
			{ DISK_CALL_WRITEV, 4096, true },
			{ DISK_CALL_READV, 512, true },
		};

		for (unsigned i = 0; i < 7; i++) {
			reads[i] = (struct disk_io){ .call = all[i].call,
				.iov = &part,
				.iov_count = 1,
				.bytes = all[i].bytes };
			assert_int_equal(start(&reads[i])->flags & IOSQE_ASYNC,
				all[i].thread ? IOSQE_ASYNC : 0);
		}
		disk_uring.submit(engine);
		wait_for(7);
		ended = 0;
	}
}

/* ---- What comes back ---- */

/* A ring full at a time, and a completion for each. */
static void a_ring_full(void **unused)
{
	struct disk_io reads[8];

	for (unsigned i = 0; i < 8; i++) {
		reads[i] = (struct disk_io){ .iov = &part, .iov_count = 1, .bytes = 4096 };
		start(&reads[i]);
	}
	assert_int_equal(io_uring_sq_ready(&uring->ring), 8);
	disk_uring.submit(engine);
	assert_int_equal(io_uring_sq_ready(&uring->ring), 0);
	wait_for(8);
	assert_int_equal(ended, 8);
	assert_int_equal(last_result, 4096);
	assert_int_equal(fake_loop_timers(), 0);
}

/* The kernel had no thread for a call: it is asked again a little later, and no error is reported. */
static void asked_again(void **unused)
{
	const int refusals[] = { -EAGAIN, -ECANCELED };

	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct disk_io io = { .iov = &part, .iov_count = 1, .offset = 4096, .bytes = 4096 };
		struct io_uring_cqe *cqe;

		ended = 0;
		start(&io);
		assert_int_equal(io_uring_submit(&uring->ring), 1);
		assert_int_equal(io_uring_wait_cqe(&uring->ring, &cqe), 0);
		cqe->res = refusals[i];
		memset(memory, 0, 4096);
		host.submits = 0;
		ready(&uring->watch, EPOLLIN);
		assert_int_equal(ended, 0);
		assert_int_equal(io_uring_sq_ready(&uring->ring), 1);
		assert_int_equal(host.submits, 0);
		assert_int_equal(fake_loop_timers(), 1);
		fake_loop_advance(9);
		assert_int_equal(io_uring_sq_ready(&uring->ring), 1);
		fake_loop_advance(1);
		assert_int_equal(io_uring_sq_ready(&uring->ring), 0);
		wait_for(1);
		assert_ptr_equal(last_io, &io);
		assert_int_equal(last_result, 4096);
		assert_int_equal(memory[0], 1); /* page 1 of the file */
		assert_int_equal(fake_loop_timers(), 0);
	}
}

/* Nothing that follows goes before it either, until then. */
static void what_follows_waits_too(void **unused)
{
	struct disk_io first = { .iov = &part, .iov_count = 1, .bytes = 4096 };
	struct disk_io second = first, third = first;
	struct io_uring_cqe *cqe;

	start(&first);
	start(&second);
	assert_int_equal(io_uring_submit(&uring->ring), 2);
	assert_int_equal(io_uring_wait_cqe_nr(&uring->ring, &cqe, 2), 0);
	cqe->res = -EAGAIN;
	follows = &third;
	host.submits = 0;
	ready(&uring->watch, EPOLLIN);
	assert_int_equal(ended, 1);
	assert_int_equal(host.submits, 0);
	assert_int_equal(io_uring_sq_ready(&uring->ring), 2);
	fake_loop_advance(10);
	wait_for(3);
}

/* What follows of a call gets under way at once. */
static void what_follows_is_submitted(void **unused)
{
	struct disk_io first = { .iov = &part, .iov_count = 1, .bytes = 4096 }, second = first;

	start(&first);
	assert_int_equal(io_uring_submit(&uring->ring), 1);
	follows = &second;
	wait_for(1);
	assert_int_equal(io_uring_sq_ready(&uring->ring), 0);
	wait_for(2);
	assert_ptr_equal(last_io, &second);
}

/* A submission that fails, or takes none of it, is tried again a little later. */
static void submitted_again(void **unused)
{
	const int refusals[] = { -EAGAIN, -EBUSY, TAKES_NONE };

	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct disk_io io = { .iov = &part, .iov_count = 1, .bytes = 4096 };

		ended = 0;
		start(&io);
		host.submit = refusals[i];
		host.submits = 0;
		disk_uring.submit(engine);
		assert_int_equal(host.submits, 1);
		assert_int_equal(io_uring_sq_ready(&uring->ring), 1);
		assert_int_equal(ended, 0);
		assert_int_equal(fake_loop_timers(), 1);
		fake_loop_advance(10);
		assert_int_equal(host.submits, 2);
		wait_for(1);
		assert_int_equal(last_result, 4096);
		assert_int_equal(fake_loop_timers(), 0);
	}
}

/* wait() does not wait for a completion that nothing was submitted for. */
static void a_wait_submits(void **unused)
{
	struct disk_io io = { .iov = &part, .iov_count = 1, .bytes = 4096 };

	start(&io);
	host.submit = -EAGAIN;
	disk_uring.wait(engine);
	assert_int_equal(ended, 0);
	assert_int_equal(host.pauses, 1);
	assert_int_equal(host.paused_ns, 10000000);
	disk_uring.wait(engine);
	assert_int_equal(ended, 1);
	assert_int_equal(host.pauses, 1);
}

/* The result of a call is the kernel's own. One that fails at once keeps none behind it from being submitted. */
static void errors_come_back(void **unused)
{
	const struct iovec nowhere = { (void *)4096, 4096 }, nothing = { memory, SIZE_MAX };
	struct disk_io bad = { .iov = &nowhere, .iov_count = 1, .bytes = 4096 };
	struct disk_io worse = { .iov = &nothing, .iov_count = 1, .bytes = 4096 };
	struct disk_io good = { .iov = &part, .iov_count = 1, .bytes = 4096 };

	start(&bad);
	wait_for(1);
	assert_int_equal(last_result, -EFAULT);
	start(&worse);
	start(&good);
	submit(uring);
	assert_int_equal(io_uring_sq_ready(&uring->ring), 0);
	wait_for(3);
	assert_ptr_equal(last_io, &good);
	assert_int_equal(last_result, 4096);
	/* What ended with the submission is reported with it. */
	start(&worse);
	disk_uring.submit(engine);
	assert_int_equal(ended, 4);
}

/*
 * Calls that other threads end as fast as they are taken keep the loop for a turn; the rest comes in the next,
 * and what followed is on its way by then.
 */
static void a_turn_ends(void **unused)
{
	struct disk_io reads[8], next = { .iov = &part, .iov_count = 1, .bytes = 4096 };
	struct io_uring_cqe *cqe;

	for (unsigned i = 0; i < 8; i++) {
		reads[i] = (struct disk_io){ .iov = &part, .iov_count = 1, .bytes = 4096 };
		start(&reads[i]);
	}
	assert_int_equal(io_uring_submit(&uring->ring), 8);
	while (io_uring_cq_ready(&uring->ring) < 8)
		assert_int_equal(io_uring_wait_cqe_nr(&uring->ring, &cqe, 8), 0);
	end_takes_ms = 2;
	follows = &next;
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(ended, 3); /* until 5 ms are over, and one more */
	assert_int_equal(io_uring_sq_ready(&uring->ring), 0);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(ended, 6);
	wait_for(9);
	assert_int_equal(fake_loop_timers(), 0);
}

/* The loop watches the ring for completions. */
static void the_loop_hears_of_completions(void **unused)
{
	struct disk_io io = { .iov = &part, .iov_count = 1, .bytes = 4096 };
	struct io_uring_cqe *cqe;

	assert_int_equal(uring->watch.events, EPOLLIN);
	assert_int_equal(fake_loop_serve(), 0);
	start(&io);
	assert_int_equal(io_uring_submit(&uring->ring), 1);
	assert_int_equal(io_uring_wait_cqe(&uring->ring, &cqe), 0);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(ended, 1);
}

static int make_file(void **unused)
{
	alarm(300); /* nothing here waits for as long */
	file = mkstemp(path);
	assert_true(file >= 0);
	for (size_t i = 0; i < BYTES; i++)
		memory[i] = (uint8_t)(i / 4096);
	assert_int_equal(write(file, memory, BYTES), BYTES);
	return 0;
}

static int remove_file(void **unused)
{
	close(file);
	return unlink(path);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_ring_takes_nothing_else),
		TEST(a_ring_of_any_size),
		TEST(no_ring_but_a_restricted_one),
		TEST(half_made),
		TEST(a_ring_goes_with_its_disk),
		TEST(a_flush_is_of_the_whole_file),
		TEST(transfers_and_fallocate_are_asked_for),
		TEST(what_is_large_goes_to_a_thread),
		TEST(a_ring_full),
		TEST(asked_again),
		TEST(what_follows_waits_too),
		TEST(what_follows_is_submitted),
		TEST(submitted_again),
		TEST(a_wait_submits),
		TEST(errors_come_back),
		TEST(a_turn_ends),
		TEST(the_loop_hears_of_completions),
	};
	struct io_uring plain;

	if (io_uring_queue_init(1, &plain, 0)) {
		puts("1..0 # SKIP this host lets nobody have an io_uring");
		return 0;
	}
	io_uring_queue_exit(&plain);
	return cmocka_run_group_tests_name("disk-uring", tests, make_file, remove_file);
}
