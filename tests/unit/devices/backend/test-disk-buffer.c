/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What O_DIRECT would not take: the guest's memory, and parts of the host's blocks. It goes through a buffer,
 * which goes round.
 */
#include <errno.h>
#include <sys/stat.h>

#include "tests/unit/helpers/disk-calls.h"

/* What O_DIRECT asks for here, whatever the file system. */
#define BLOCK 512
#define ALIGN 8

static unsigned host_block = BLOCK;

int __real_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret)
{
	int err = __real_statx(fd, name, flags, mask, ret);

#ifdef STATX_DIOALIGN
	ret->stx_mask |= STATX_DIOALIGN;
	ret->stx_dio_offset_align = host_block;
	ret->stx_dio_mem_align = ALIGN;
#endif
	return err;
}

static void open_direct_of(unsigned block)
{
	host_block = block;
	struct disk_config how = config(true);
	char why[200];

	if (disk_probe(&how, false, why, sizeof(why)))
		skip(); /* such a file system */
	open_disk(true);
	host_block = BLOCK;
	assert_int_equal(disk_info(disk)->block_bytes, 512);
#ifndef STATX_DIOALIGN
	skip();
#endif
}

static void open_direct(void)
{
	open_direct_of(BLOCK);
}

/* Aligned memory is used as it is; what is not goes through a buffer, a piece at a time. */
static void odd_memory_goes_through_a_buffer(void **unused)
{
	const uint64_t block = BLOCK, bytes = 256 * KiB + block, half = bytes / 2;
	struct asked asked = { .request = { .op = DISK_WRITE, .offset = block, .bytes = bytes } };
	uint8_t *buffer;

	open_direct();
	ask(&asked, DISK_READ, 0, bytes);
	is_transfer(READV, 0, memory, bytes);
	end_call((int)bytes);

	for (uint64_t i = 0; i < bytes + 1; i++)
		memory[i] = (uint8_t)(i * 7 + i / 512);
	asked = (struct asked){ .request = { .op = DISK_WRITE, .offset = block, .bytes = bytes } };
	asked.iov[0] = (struct iovec){ memory + 1, half };
	asked.iov[1] = (struct iovec){ memory + 1 + half, bytes - half };
	asked.request.iov_count = 2;
	start(&asked);
	buffer = oldest()->iov[0].iov_base;
	assert_true(is_aligned((uintptr_t)buffer, 64 * KiB));
	is_transfer(WRITEV, block, buffer, 256 * KiB);
	assert_memory_equal(buffer, memory + 1, 256 * KiB);
	memory[1]++;	     /* the guest's, which a write leaves alone */
	end_call(128 * KiB); /* not all of it */
	assert_int_equal(memory[1], 8);
	is_transfer(WRITEV, block + 128 * KiB, buffer, 128 * KiB + block);
	assert_memory_equal(buffer, memory + 1 + 128 * KiB, 128 * KiB + block);
	end_call((int)(128 * KiB + block));
	is_done(&asked, 0);

	asked = (struct asked){ .request = { .op = DISK_READ, .offset = block, .bytes = bytes } };
	asked.iov[0] = (struct iovec){ memory, 100 };
	asked.iov[1] = (struct iovec){ memory + 2 * MiB, bytes - 100 };
	asked.request.iov_count = 2;
	memset(memory + 2 * MiB, 0, bytes);
	start(&asked);
	is_transfer(READV, block, buffer, 256 * KiB);
	for (uint64_t i = 0; i < 256 * KiB; i++)
		buffer[i] = (uint8_t)(i * 3 + i / 512);
	end_call((int)block);
	is_transfer(READV, 2 * block, buffer, 256 * KiB);
	assert_memory_equal(memory, buffer, 100);
	assert_memory_equal(memory + 2 * MiB, buffer + 100, block - 100);
	assert_int_equal(memory[2 * MiB + block - 100], 0);
	end_call(256 * KiB);
	assert_memory_equal(memory + 2 * MiB + block - 100, buffer, 256 * KiB);
	is_done(&asked, 0);
}

/* Each part counts, where it begins and where it ends. Without O_DIRECT none does. */
static void which_memory_is_odd(void **unused)
{
	static const struct {
		unsigned part, base, len;
		bool odd;
	} cases[] = {
		{ 0, 0, 0, false },
		{ 1, ALIGN, 0, false },
		{ 1, 0, BLOCK, false },
		{ 0, ALIGN / 2, 0, true },
		{ 2, 1, 0, true },
		{ 0, 0, BLOCK / 2, true },
		{ 2, 0, 1, true },
	};

	open_direct();
	for (unsigned direct = 0; direct < 2; direct++) {
		open_disk(direct);
		for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
			struct asked asked = { .request = { .iov_count = 3 } };

			for (unsigned part = 0; part < 3; part++)
				asked.iov[part] = (struct iovec){ memory + part * MiB, BLOCK };
			asked.iov[cases[i].part].iov_base =
				(uint8_t *)asked.iov[cases[i].part].iov_base + cases[i].base;
			asked.iov[cases[i].part].iov_len += cases[i].len;
			for (unsigned part = 0; part < 3; part++)
				asked.request.bytes += asked.iov[part].iov_len;
			start(&asked);
			assert_int_equal(oldest()->iov_count, direct && cases[i].odd ? 1 : 3);
			end_call(-EIO);
		}
	}
}

static void ask_odd(struct asked *asked, unsigned n)
{
	*asked = (struct asked){ .request = { .bytes = 4096, .offset = n * 4096 } };
	asked->iov[0] = (struct iovec){ memory + n * 8192 + 1, 4096 };
	asked->request.iov_count = 1;
	start(asked);
}

/* One has the buffer at a time, the others wait in a row, also one that comes when the row has emptied. */
static void the_buffer_goes_round(void **unused)
{
	struct asked asked[5] = { 0 }, aligned;

	open_direct();
	ask_odd(&asked[0], 0);
	ask_odd(&asked[1], 1);
	is_transfer(READV, 0, oldest()->iov[0].iov_base, 4096);
	/* A request that needs no buffer does not wait. */
	ask(&aligned, DISK_READ, 0, 4096);
	assert_int_equal(engine.count, 2);
	end_call(4096);
	assert_int_equal(asked[0].ended, 1);
	end_call(4096);
	assert_int_equal(aligned.ended, 1);
	/* The second has it, and nobody waits; then two more come. */
	assert_int_equal(oldest()->offset, 4096);
	ask_odd(&asked[2], 2);
	ask_odd(&asked[3], 3);
	assert_int_equal(engine.count, 1);
	/* An error hands it on as well. */
	end_call(-EIO);
	assert_int_equal(asked[1].err, -EIO);
	assert_int_equal(oldest()->offset, 8192);
	assert_int_equal(engine.count, 1);
	end_call(4096);
	assert_int_equal(asked[2].ended, 1);
	assert_int_equal(oldest()->offset, 3 * 4096);
	end_call(4096);
	is_done(&asked[3], 0);
	/* It is free again. */
	ask_odd(&asked[4], 4);
	assert_int_equal(oldest()->offset, 4 * 4096);
	end_call(4096);
	is_done(&asked[4], 0);
}

/* The one that is done may start the next: that waits for the requests that had waited before. */
static void started_as_another_ends(void **unused)
{
	struct asked asked[3] = { 0 };

	open_direct();
	for (unsigned i = 0; i < 3; i++) {
		asked[i].request = (struct disk_request){ .bytes = 4096, .offset = i * 4096 };
		asked[i].iov[0] = (struct iovec){ memory + i * 8192 + 1, 4096 };
		asked[i].request.iov_count = 1;
	}
	asked[0].then = &asked[2];
	start(&asked[0]);
	start(&asked[1]);
	end_call(4096);
	assert_int_equal(engine.count, 1);
	assert_int_equal(oldest()->offset, 4096);
	end_call(4096);
	assert_int_equal(asked[1].ended, 1);
	assert_int_equal(oldest()->offset, 8192);
	end_call(4096);
	is_done(&asked[2], 0);
}

/* ---- Parts of the host's blocks ---- */

#define LARGE 4096

static uint8_t *buffer_of_call(void)
{
	return oldest()->iov[0].iov_base;
}

static void is_read(uint64_t offset, uint64_t len)
{
	is_transfer(READV, offset, buffer_of_call(), len);
}

static void is_written(uint64_t offset, uint64_t len)
{
	is_transfer(WRITEV, offset, buffer_of_call(), len);
}

/* Of a block of which a part is written the whole is read, and written with that part. */
static void a_part_of_a_block(void **unused)
{
	struct asked asked;

	open_direct_of(LARGE);
	memset(memory, 'w', BYTES);
	ask(&asked, DISK_WRITE, 5 * LARGE + 1024, 512);
	is_read(5 * LARGE, LARGE);
	memset(buffer_of_call(), 'r', LARGE);
	end_call(LARGE);
	is_written(5 * LARGE, LARGE);
	for (unsigned i = 0; i < LARGE; i++)
		assert_int_equal(buffer_of_call()[i], i >= 1024 && i < 1536 ? 'w' : 'r');
	end_call(LARGE);
	is_done(&asked, 0);

	memset(memory, 0, BYTES);
	ask(&asked, DISK_READ, 5 * LARGE + 1024, 512);
	is_read(5 * LARGE, LARGE);
	for (unsigned i = 0; i < LARGE; i++)
		buffer_of_call()[i] = (uint8_t)(i / 512);
	end_call(LARGE);
	is_done(&asked, 0);
	for (unsigned i = 0; i < 513; i++)
		assert_int_equal(memory[i], i < 512 ? 2 : 0);
}

/* What lies between two parts is written as it is, a buffer full at a time; read it is with them. */
static void parts_at_both_ends(void **unused)
{
	const uint64_t bytes = 512 + 256 * KiB + LARGE + 1024;
	struct asked asked;

	open_direct_of(LARGE);
	ask(&asked, DISK_WRITE, 7 * 512, bytes);
	asked.request.durable = true;
	is_read(0, LARGE);
	end_call(LARGE);
	is_written(0, LARGE);
	end_call(LARGE);
	is_written(LARGE, 256 * KiB);
	end_call(2 * LARGE + 512); /* not all of it, and no whole blocks */
	is_written(3 * LARGE, 256 * KiB - LARGE);
	end_call(256 * KiB - LARGE);
	is_read(LARGE * 2 + 256 * KiB, LARGE);
	end_call(LARGE);
	is_written(LARGE * 2 + 256 * KiB, LARGE);
	end_call(LARGE);
	is_fdatasync();
	end_call(0);
	is_done(&asked, 0);

	ask(&asked, DISK_READ, 7 * 512, bytes);
	is_read(0, 256 * KiB);
	end_call(256 * KiB);
	is_read(256 * KiB, 3 * LARGE);
	end_call(3 * LARGE);
	is_done(&asked, 0);
}

/* Zeroes as well, however the file takes them; a discard leaves parts as they are. */
static void cleared_in_parts(void **unused)
{
	struct asked asked;

	open_direct_of(LARGE);
	for (unsigned refused = 0; refused < 2; refused++) {
		ask(&asked, DISK_WRITE_ZEROES, 512, 3 * LARGE);
		is_read(0, LARGE);
		memset(buffer_of_call(), 'r', LARGE);
		end_call(LARGE);
		is_written(0, LARGE);
		assert_int_equal(buffer_of_call()[511], 'r');
		assert_int_equal(buffer_of_call()[512], 0);
		assert_int_equal(buffer_of_call()[LARGE - 1], 0);
		end_call(LARGE);
		is_fallocate(ZERO, LARGE, 2 * LARGE);
		end_call(refused ? -EOPNOTSUPP : 0);
		if (refused) {
			is_transfer(WRITEV, LARGE, buffer_of_call(), 2 * LARGE);
			end_call(2 * LARGE);
		}
		is_read(3 * LARGE, LARGE);
		memset(buffer_of_call(), 'r', LARGE);
		end_call(LARGE);
		is_written(3 * LARGE, LARGE);
		assert_int_equal(buffer_of_call()[511], 0);
		assert_int_equal(buffer_of_call()[512], 'r');
		end_call(LARGE);
		is_done(&asked, 0);
	}
	ask(&asked, DISK_DISCARD, 512, 3 * LARGE);
	is_fallocate(PUNCH, LARGE, 2 * LARGE);
	end_call(0);
	is_done(&asked, 0);
	ask(&asked, DISK_DISCARD, 512, 1024);
	is_fallocate(PUNCH, LARGE, 0); /* which the kernel refuses */
	end_call(-EINVAL);
	is_done(&asked, 0);
}

/* The file became shorter, or the host wrote less than a block of it. */
static void a_part_that_fails(void **unused)
{
	static const int short_of[] = { 0, 512, LARGE - 1 };
	struct asked asked;

	open_direct_of(LARGE);
	for (unsigned i = 0; i < ARRAY_SIZE(short_of); i++) {
		ask(&asked, DISK_WRITE, 512, 512);
		end_call(short_of[i]);
		is_done(&asked, -EIO);
		ask(&asked, DISK_WRITE, 512, 512);
		end_call(LARGE);
		end_call(short_of[i]);
		is_done(&asked, -EIO);
	}
	ask(&asked, DISK_WRITE, 512, LARGE);
	end_call(-ENOSPC);
	is_done(&asked, -ENOSPC);
	ask(&asked, DISK_READ, 512, LARGE);
	end_call(512);
	is_done(&asked, -EIO);
	/* Interrupted is asked again. */
	ask(&asked, DISK_WRITE, 512, 512);
	end_call(-EINTR);
	is_read(0, LARGE);
	end_call(LARGE);
	end_call(-EINTR);
	is_written(0, LARGE);
	end_call(LARGE);
	is_done(&asked, 0);
}

/* No change of a block that is read and written as a whole comes between. */
static void changes_beside_a_part(void **unused)
{
	struct asked before, apart, reads, part, later, zeroes;

	open_direct_of(LARGE);
	/* Two are in flight there, and others that do not matter. */
	ask(&before, DISK_WRITE, LARGE, 2 * LARGE);
	ask(&zeroes, DISK_WRITE_ZEROES, 2 * LARGE, LARGE);
	ask(&apart, DISK_WRITE, 3 * LARGE, LARGE);
	ask(&reads, DISK_READ, 2 * LARGE, LARGE);
	ask(&part, DISK_WRITE, 2 * LARGE + 512, 512);
	assert_int_equal(engine.count, 4);
	end_call(2 * LARGE);
	assert_int_equal(before.ended, 1);
	assert_int_equal(engine.count, 3);
	end_call(0);
	assert_int_equal(zeroes.ended, 1);
	/* Now it begins. */
	assert_int_equal(engine.count, 3);
	assert_int_equal(engine.calls[2]->call, READV);
	assert_int_equal(engine.calls[2]->bytes, LARGE);
	end_call(LARGE);
	end_call(LARGE);
	assert_int_equal(apart.ended + reads.ended, 2);
	is_read(2 * LARGE, LARGE);
	/* One that comes to its block waits, one beside it does not, nor does one that reads. */
	ask(&later, DISK_WRITE, LARGE, 2 * LARGE);
	assert_int_equal(engine.count, 1);
	ask(&apart, DISK_WRITE, LARGE, LARGE);
	ask(&before, DISK_WRITE, 3 * LARGE, LARGE);
	ask(&reads, DISK_READ, 2 * LARGE, LARGE);
	assert_int_equal(engine.count, 4);
	end_call(LARGE);
	for (unsigned i = 0; i < 3; i++)
		end_call(LARGE);
	assert_int_equal(apart.ended + reads.ended + before.ended, 3);
	assert_int_equal(part.ended + later.ended, 0);
	is_written(2 * LARGE, LARGE);
	end_call(LARGE);
	assert_int_equal(part.ended, 1);
	is_written(LARGE, 2 * LARGE);
	end_call(2 * LARGE);
	is_done(&later, 0);
}

/* At the end, a request that waits for a change ends with it. */
static void the_end_of_what_waits(void **unused)
{
	struct asked before, part, next;

	open_direct_of(LARGE);
	ask(&before, DISK_WRITE, 0, LARGE);
	ask(&part, DISK_WRITE, 512, 512);
	ask(&next, DISK_WRITE, 1024, 512);
	assert_int_equal(engine.count, 1);
	engine.wait_result = LARGE;
	disk_wait(disk, true);
	is_done(&before, 0);
	is_done(&part, -ECANCELED);
	is_done(&next, -ECANCELED);
	/* Another finds nothing in its way. */
	ask(&part, DISK_WRITE, 512, 512);
	end_call(LARGE);
	end_call(LARGE);
	is_done(&part, 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(odd_memory_goes_through_a_buffer),
		TEST(which_memory_is_odd),
		TEST(the_buffer_goes_round),
		TEST(started_as_another_ends),
		TEST(a_part_of_a_block),
		TEST(parts_at_both_ends),
		TEST(cleared_in_parts),
		TEST(a_part_that_fails),
		TEST(changes_beside_a_part),
		TEST(the_end_of_what_waits),
	};

	return cmocka_run_group_tests_name("disk-buffer", tests, make_file, remove_file);
}
