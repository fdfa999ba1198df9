/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's requests, call by call: which calls each is made of, and what comes of a result. */
#include <errno.h>

#include "tests/unit/helpers/disk-calls.h"
#include "tests/unit/helpers/fds.h"

/* ---- Reads and writes ---- */

/* What a call leaves undone is asked for again, and no more than that. */
static void the_rest_is_asked_for(void **unused)
{
	for (enum disk_op op = DISK_READ; op <= DISK_WRITE; op++) {
		unsigned what = op == DISK_READ ? READV : WRITEV;
		struct asked asked = { .request = { .op = op, .offset = 8192, .bytes = 3000 } };

		asked.iov[0] = (struct iovec){ memory, 1000 };
		asked.iov[1] = (struct iovec){ memory + 5000, 2000 };
		asked.request.iov_count = 2;
		start(&asked);
		assert_int_equal(oldest()->call, what);
		assert_int_equal(oldest()->iov_count, 2);
		assert_int_equal(oldest()->bytes, 3000);
		end_call(400);
		assert_int_equal(oldest()->offset, 8592);
		assert_int_equal(oldest()->iov_count, 2);
		assert_ptr_equal(oldest()->iov[0].iov_base, memory + 400);
		assert_int_equal(oldest()->iov[0].iov_len, 600);
		assert_int_equal(oldest()->bytes, 2600);
		end_call(600); /* the first part to its end */
		is_transfer(what, 9192, memory + 5000, 2000);
		end_call(1999);
		is_transfer(what, 11191, memory + 6999, 1);
		assert_int_equal(asked.ended, 0);
		end_call(1);
		is_done(&asked, 0);
	}
}

static void errors_end_a_request(void **unused)
{
	struct asked asked;

	for (enum disk_op op = DISK_READ; op <= DISK_WRITE; op++) {
		ask(&asked, op, 0, 8192);
		end_call(-EIO);
		is_done(&asked, -EIO);
		ask(&asked, op, 0, 8192);
		end_call(4096);
		end_call(-ENOSPC);
		is_done(&asked, -ENOSPC);
		ask(&asked, op, 0, 8192);
		end_call(4096);
		end_call(0); /* the file became shorter */
		is_done(&asked, -EIO);
	}
	/* Nothing that failed is made durable. */
	asked = (struct asked){ .request = { .op = DISK_WRITE, .bytes = 512, .durable = true } };
	asked.iov[0] = (struct iovec){ memory, 512 };
	asked.request.iov_count = 1;
	start(&asked);
	end_call(-EIO);
	is_done(&asked, -EIO);
}

/* A signal, or a completion, came in between: nothing was done. */
static void interrupted_is_asked_again(void **unused)
{
	struct asked asked;

	ask(&asked, DISK_READ, 4096, 512);
	end_call(-EINTR);
	is_transfer(READV, 4096, memory, 512);
	end_call(512);
	is_done(&asked, 0);
	ask(&asked, DISK_DISCARD, 4096, 512);
	end_call(-EINTR);
	is_fallocate(PUNCH, 4096, 512);
	end_call(0);
	is_done(&asked, 0);
	ask(&asked, DISK_FLUSH, 0, 0);
	end_call(-EINTR);
	is_fdatasync();
	end_call(0);
	is_done(&asked, 0);
	assert_int_equal(log_lines, 0);
}

/* One call takes a MiB, in whole parts where they fit, and a piece of a part that is larger. */
static void a_call_takes_a_mebibyte(void **unused)
{
	struct asked asked = { .request = { .op = DISK_READ, .bytes = 2 * MiB + 1024 } };

	asked.iov[0] = (struct iovec){ memory, MiB - 512 };
	asked.iov[1] = (struct iovec){ memory + 2 * MiB, 512 };
	asked.iov[2] = (struct iovec){ memory + 3 * MiB, 512 };
	asked.iov[3] = (struct iovec){ memory + 4 * MiB, MiB + 512 };
	asked.request.iov_count = 4;
	start(&asked);
	assert_int_equal(oldest()->iov_count, 2);
	assert_int_equal(oldest()->bytes, MiB);
	end_call(MiB);
	is_transfer(READV, MiB, memory + 3 * MiB, 512);
	end_call(512);
	is_transfer(READV, MiB + 512, memory + 4 * MiB, MiB);
	end_call(MiB);
	is_transfer(READV, 2 * MiB + 512, memory + 5 * MiB, 512);
	end_call(512);
	is_done(&asked, 0);
}

/* ---- Zeroes and discards ---- */

/* How a file system says that it does not do so. */
static const int refusals[] = { -EOPNOTSUPP, -EINVAL, -ENODEV };

/* In the best way that the file takes: a hole if it may be one, zeroes, and written ones at last. */
static void zeroes_come_about_somehow(void **unused)
{
	const uint64_t bytes = MiB + 4096;

	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++)
		for (unsigned unmap = 0; unmap < 2; unmap++) {
			struct asked asked = { .request = { .op = DISK_WRITE_ZEROES,
						       .offset = 4096,
						       .bytes = bytes,
						       .unmap = unmap } };
			const uint8_t *zeroes;

			start(&asked);
			if (unmap) {
				is_fallocate(PUNCH, 4096, bytes);
				end_call(refusals[i]);
			}
			is_fallocate(ZERO, 4096, MiB);
			end_call(refusals[i]);
			zeroes = oldest()->iov[0].iov_base;
			is_of_one_part(WRITEV, 4096, zeroes, MiB);
			for (unsigned at = 0; at < MiB; at++)
				assert_int_equal(zeroes[at], 0);
			end_call(MiB - 512);
			is_of_one_part(WRITEV, 4096 + MiB - 512, zeroes, 4096 + 512);
			end_call(4096 + 512);
			is_done(&asked, 0);
		}
}

static void zeroes_by_the_first_way(void **unused)
{
	struct asked asked;

	ask(&asked, DISK_WRITE_ZEROES, 4096, 8192);
	is_fallocate(ZERO, 4096, 8192);
	end_call(0);
	is_done(&asked, 0);
	asked = (struct asked){
		.request = { .op = DISK_WRITE_ZEROES, .bytes = 512, .unmap = true, .durable = true }
	};
	start(&asked);
	is_fallocate(PUNCH, 0, 512);
	end_call(0);
	is_fdatasync();
	end_call(0);
	is_done(&asked, 0);
}

/* A block device may write them itself, and a wait for the end waits for the calls in flight. */
static void zeroes_take_a_mebibyte_a_call(void **unused)
{
	struct asked asked;

	ask(&asked, DISK_WRITE_ZEROES, 4096, 3 * MiB + 512);
	for (unsigned i = 0; i < 3; i++) {
		is_fallocate(ZERO, 4096 + i * MiB, MiB);
		end_call(0);
	}
	is_fallocate(ZERO, 4096 + 3 * MiB, 512);
	end_call(0);
	is_done(&asked, 0);
	/* One that stops to be possible goes on from there. */
	ask(&asked, DISK_WRITE_ZEROES, 0, 2 * MiB);
	end_call(0);
	is_fallocate(ZERO, MiB, MiB);
	end_call(-EOPNOTSUPP);
	assert_int_equal(oldest()->offset, MiB);
	end_call(MiB);
	is_done(&asked, 0);
}

/* What fails for another reason has failed: no other way is tried. */
static void zeroes_fail(void **unused)
{
	struct asked asked;

	ask(&asked, DISK_WRITE_ZEROES, 0, 8192);
	end_call(-EIO);
	is_done(&asked, -EIO);
	ask(&asked, DISK_WRITE_ZEROES, 0, 8192);
	end_call(-EOPNOTSUPP);
	end_call(-ENOSPC);
	is_done(&asked, -ENOSPC);
	ask(&asked, DISK_WRITE_ZEROES, 0, 8192);
	end_call(-EOPNOTSUPP);
	end_call(-EINVAL); /* a write's is an error */
	is_done(&asked, -EINVAL);
}

/* A discard is a hint: done with where the file takes none, but what fails has failed. */
static void discards(void **unused)
{
	struct asked asked;

	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		ask(&asked, DISK_DISCARD, 4096, 8192);
		is_fallocate(PUNCH, 4096, 8192);
		end_call(refusals[i]);
		is_done(&asked, 0);
	}
	ask(&asked, DISK_DISCARD, 4096, 8192);
	end_call(-EIO);
	is_done(&asked, -EIO);
}

/* ---- Durable ---- */

static void durable_is_flushed_last(void **unused)
{
	struct asked asked = { .request = { .op = DISK_WRITE, .bytes = 1024, .durable = true } };

	asked.iov[0] = (struct iovec){ memory, 1024 };
	asked.request.iov_count = 1;
	start(&asked);
	end_call(512);
	is_transfer(WRITEV, 512, memory + 512, 512);
	end_call(512);
	assert_int_equal(asked.ended, 0);
	is_fdatasync();
	end_call(0);
	is_done(&asked, 0);
	ask(&asked, DISK_WRITE, 0, 512);
	end_call(512);
	is_done(&asked, 0);
}

/* The kernel says it once, and so does the disk; no flush succeeds any more, though the call does. */
static void lost_stays_lost(void **unused)
{
	struct asked asked = { .request = { .op = DISK_WRITE, .bytes = 512, .durable = true } };

	ask(&asked, DISK_FLUSH, 0, 0);
	end_call(-ENOSPC);
	is_done(&asked, -EIO);
	assert_int_equal(log_lines, 1);
	for (unsigned i = 0; i < 2; i++) {
		ask(&asked, DISK_FLUSH, 0, 0);
		end_call(i ? -EIO : 0);
		is_done(&asked, -EIO);
	}
	asked = (struct asked){ .request = { .op = DISK_WRITE, .bytes = 512, .durable = true } };
	asked.iov[0] = (struct iovec){ memory, 512 };
	asked.request.iov_count = 1;
	start(&asked);
	end_call(512);
	end_call(0);
	is_done(&asked, -EIO);
	assert_int_equal(log_lines, 1);
	ask(&asked, DISK_WRITE, 0, 512);
	end_call(512);
	is_done(&asked, 0);
}

/* ---- Its end ---- */

/* A wait for the end waits for one call; a request that comes to its end with that has ended well. */
static void the_end_takes_one_call(void **unused)
{
	struct asked asked;

	ask(&asked, DISK_READ, 0, 2 * MiB);
	engine.wait_result = MiB;
	disk_wait(disk, true);
	is_done(&asked, -ECANCELED);
	ask(&asked, DISK_WRITE_ZEROES, 0, 8192);
	engine.wait_result = -EOPNOTSUPP;
	disk_wait(disk, true);
	is_done(&asked, -ECANCELED);
	ask(&asked, DISK_WRITE, 0, 512);
	engine.wait_result = 512;
	disk_wait(disk, true);
	is_done(&asked, 0);
	/* A wait that is not for the end lets it go on, also after one that was. */
	ask(&asked, DISK_READ, 0, 2 * MiB);
	engine.wait_result = MiB;
	disk_wait(disk, false);
	assert_int_equal(asked.ended, 0);
	end_call(MiB);
	is_done(&asked, 0);
	disk_submit(disk);
	assert_int_equal(engine.submits, 1);
}

/* Nor for a flush that would follow, and what no thread has begun is not made. */
static void the_end_takes_what_has_begun(void **unused)
{
	struct disk_config how = config(false);
	struct asked asked[3], durable = { .request = { .op = DISK_WRITE, .durable = true } };

	durable.request.bytes = 512;
	durable.iov[0] = (struct iovec){ memory, 512 };
	durable.request.iov_count = 1;
	start(&durable);
	engine.wait_result = 512;
	disk_wait(disk, true);
	is_done(&durable, -ECANCELED);
	assert_int_equal(engine.count, 0);
	teardown(NULL);
	how.threads = true;
	assert_int_equal(disk_open(&how, (struct loop *)&engine, &disk), 0);
	engine.waits = engine.cancels = 0;
	for (unsigned i = 0; i < 3; i++)
		ask(&asked[i], i == 1 ? DISK_FLUSH : DISK_WRITE, 0, i == 1 ? 0 : 512);
	disk_wait(disk, true);
	assert_int_equal(engine.waits, 0); /* something got on */
	assert_int_equal(asked[0].ended, 0);
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(asked[i].ended, 1);
		assert_int_equal(asked[i].err, -ECANCELED);
	}
	disk_wait(disk, true);
	assert_int_equal(engine.waits, 1);
	is_done(&asked[0], 0);
	/* The flush that was not made has lost nothing; and a wait that is not for the end cancels none. */
	for (unsigned i = 0; i < 2; i++)
		ask(&asked[i], DISK_FLUSH, 0, 0);
	engine.cancels = 0;
	engine.wait_result = 0;
	disk_wait(disk, false);
	disk_wait(disk, false);
	assert_int_equal(engine.cancels, 0);
	is_done(&asked[0], 0);
	is_done(&asked[1], 0);
	/* Of the kernel's own -ECANCELED nobody knows what it means: that is an error like others. */
	ask(&asked[0], DISK_FLUSH, 0, 0);
	end_call(-ECANCELED);
	is_done(&asked[0], -EIO);
	open_disk(false);
}

/* The same without waiting, for what is in flight and until none is. */
static void ends_in_later_turns(void **unused)
{
	struct disk_config how = config(false);
	struct asked asked[3];

	teardown(NULL);
	how.threads = true;
	assert_int_equal(disk_open(&how, (struct loop *)&engine, &disk), 0);
	engine.waits = engine.cancels = 0;
	ask(&asked[0], DISK_WRITE, 0, 1024);
	ask(&asked[1], DISK_FLUSH, 0, 0);
	disk_end(disk);
	assert_int_equal(engine.waits, 0);
	assert_int_equal(engine.cancels, 1);
	assert_int_equal(asked[0].ended, 0); /* it has begun */
	assert_int_equal(asked[1].ended, 1);
	assert_int_equal(asked[1].err, -ECANCELED);
	end_call(512);
	is_done(&asked[0], -ECANCELED);
	assert_int_equal(engine.count, 0);
	/* What comes then has all its calls. */
	ask(&asked[2], DISK_WRITE, 0, 1024);
	end_call(512);
	assert_int_equal(asked[2].ended, 0);
	end_call(512);
	is_done(&asked[2], 0);
	open_disk(false);
	/* An engine whose calls all begin at once has none to cancel. */
	ask(&asked[0], DISK_WRITE, 0, 1024);
	disk_end(disk);
	end_call(512);
	is_done(&asked[0], -ECANCELED);
}

/* ---- How much at a time ---- */

static void start_parts(struct asked *asked, unsigned count, uint64_t each)
{
	*asked = (struct asked){ .request = { .bytes = count * each, .iov_count = count } };
	for (unsigned i = 0; i < count; i++)
		asked->iov[i] = (struct iovec){ memory, each };
	start(asked);
}

/*
 * 32 MiB of calls, one a request: a wait for the end waits for those. Many small parts weigh as much
 * as they take of the host's memory, and a request of many gibibytes as its one call.
 */
static void so_much_is_under_way(void **unused)
{
	static const struct {
		unsigned parts;
		uint64_t each;
		unsigned requests; /* until it is full */
	} cases[] = {
		{ 1, MiB, 32 },
		{ 1, 8 * MiB, 32 },
		{ 64, 4 * GiB, 32 },
		{ 64, 16 * KiB, 32 },
		{ 4, 64 * KiB, 128 },
		{ 63, 8, 128 },
	};
	static struct asked asked[128];

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned n = 0; n < cases[i].requests; n++) {
			assert_false(disk_is_full(disk));
			start_parts(&asked[n], cases[i].parts, cases[i].each);
		}
		assert_true(disk_is_full(disk));
		/* The end of one makes room for one. */
		end_call(-EIO);
		assert_false(disk_is_full(disk));
		start_parts(&asked[0], 1, MiB);
		assert_true(disk_is_full(disk));
		while (engine.count)
			end_call(-EIO);
		assert_false(disk_is_full(disk));
	}
	/* Flushes count, too. */
	for (unsigned n = 0; n < 128; n++)
		ask(&asked[n], DISK_FLUSH, 0, 0);
	assert_false(disk_is_full(disk));
	while (engine.count)
		end_call(0);
}

/* ---- Opening and closing ---- */

static void io_uring_or_threads(void **unused)
{
	struct disk_config how = config(false);
	struct loop *loop = (struct loop *)&engine;
	int err;

	teardown(NULL);
	how.threads = true;
	assert_int_equal(disk_open(&how, loop, &disk), 0);
	assert_ptr_equal(engine.made_by, &disk_threads);
	assert_int_equal(engine.in_flight, 16);
	assert_int_not_equal(fcntl(engine.fd, F_GETFD), -1);
	teardown(NULL);
	how.threads = false;
	engine.uring_err = -EPERM;
	assert_int_equal(disk_open(&how, loop, &disk), 0);
	assert_ptr_equal(engine.made_by, &disk_threads);
	teardown(NULL);
	/* Neither: nothing stays open, nor locked. */
	engine.threads_err = -EAGAIN;
	for (unsigned direct = 0; direct < 2; direct++) {
		unsigned fds = open_fds();

		how.direct = direct;
		err = disk_open(&how, loop, &disk);
		assert_null(disk);
		if (!direct || err != -EINVAL) /* a file system that takes no O_DIRECT */
			assert_int_equal(err, -EAGAIN);
		assert_int_equal(open_fds(), fds);
	}
	engine.uring_err = engine.threads_err = 0;
	open_disk(false);
	assert_int_equal(engine.in_flight, 16);
}

static void nothing_stays_open(void **unused)
{
	struct disk_config how = config(false);
	char why[200];
	unsigned fds;

	teardown(NULL);
	fds = open_fds();
	assert_int_equal(disk_probe(&how, true, why, sizeof(why)), 0);
	assert_int_equal(open_fds(), fds);
	open_disk(false);
	assert_int_not_equal(open_fds(), fds);
	teardown(NULL);
	assert_int_equal(open_fds(), fds);
	how.path.name = "/nowhere/at/all";
	assert_int_equal(disk_open(&how, (struct loop *)&engine, &disk), -ENOENT);
	assert_null(disk);
	assert_int_equal(open_fds(), fds);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_rest_is_asked_for),
		TEST(errors_end_a_request),
		TEST(interrupted_is_asked_again),
		TEST(a_call_takes_a_mebibyte),
		TEST(zeroes_come_about_somehow),
		TEST(zeroes_by_the_first_way),
		TEST(zeroes_take_a_mebibyte_a_call),
		TEST(zeroes_fail),
		TEST(discards),
		TEST(durable_is_flushed_last),
		TEST(lost_stays_lost),
		TEST(the_end_takes_one_call),
		TEST(the_end_takes_what_has_begun),
		TEST(ends_in_later_turns),
		TEST(so_much_is_under_way),
		TEST(io_uring_or_threads),
		TEST(nothing_stays_open),
	};

	return cmocka_run_group_tests_name("disk-calls", tests, make_file, remove_file);
}
