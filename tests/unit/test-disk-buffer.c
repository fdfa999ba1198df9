/* SPDX-License-Identifier: Apache-2.0 */
/* What O_DIRECT would not take of the guest's memory: it goes through a buffer, which goes round. */
#include <errno.h>
#include <sys/stat.h>

#include "disk-calls.h"

/* What O_DIRECT asks for here, whatever the file system. */
#define BLOCK 512
#define ALIGN 8

int __real_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret)
{
	int err = __real_statx(fd, name, flags, mask, ret);

#ifdef STATX_DIOALIGN
	ret->stx_mask |= STATX_DIOALIGN;
	ret->stx_dio_offset_align = BLOCK;
	ret->stx_dio_mem_align = ALIGN;
#endif
	return err;
}

static void open_direct(void)
{
	struct disk_config how = config(true);
	char why[200];

	if (disk_look(&how, false, why, sizeof(why)))
		skip(); /* such a file system */
	open_disk(true);
	if (disk_info(disk)->block_bytes != BLOCK)
		skip(); /* such headers */
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
	/* Who needs no buffer does not wait. */
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

/* The one that is done may start the next: that waits for who had waited before. */
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

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(odd_memory_goes_through_a_buffer),
		TEST(which_memory_is_odd),
		TEST(the_buffer_goes_round),
		TEST(started_as_another_ends),
	};

	return cmocka_run_group_tests_name("disk-buffer", tests, make_file, remove_file);
}
