/* SPDX-License-Identifier: Apache-2.0 */
/* The gate at its edges: ranges that touch, room for parts, pins, and what is given back of RAM. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/guestmem.h"
#include "hyp/kvm.h"
#include "hyp/util.h"
#include "unit.h"

#define GPA   UINT64_C(0x40000000)
#define BYTES 0x1000

static uint8_t ram[3][BYTES];

/* Three ranges that touch. */
static void begin(struct guestmem *mem)
{
	*mem = (struct guestmem){ 0 };
	for (unsigned i = 0; i < ARRAY_SIZE(ram); i++) {
		struct guestmem_range range = {
			.gpa = GPA + i * BYTES, .size = BYTES, .hva = ram[i]
		};

		assert_int_equal(guestmem_add(mem, &range), 0);
	}
}

static int add(struct guestmem *mem, uint64_t gpa, uint64_t size)
{
	return guestmem_add(
		mem, &(struct guestmem_range){ .gpa = gpa, .size = size, .hva = ram[0] });
}

static void ranges_neither_overlap_nor_wrap(void **state)
{
	struct guestmem mem = { 0 };

	assert_int_equal(add(&mem, GPA, 0), -EINVAL);
	assert_int_equal(add(&mem, UINT64_MAX - BYTES + 2, BYTES), -EINVAL);
	assert_int_equal(add(&mem, UINT64_MAX - BYTES, BYTES), 0);
	assert_int_equal(add(&mem, GPA, BYTES), 0);
	assert_int_equal(add(&mem, GPA + BYTES - 1, BYTES), -EEXIST);
	assert_int_equal(add(&mem, GPA - BYTES + 1, BYTES), -EEXIST);
	assert_int_equal(add(&mem, GPA + 1, 1), -EEXIST);
	assert_int_equal(add(&mem, GPA - 1, BYTES + 2), -EEXIST);
	assert_int_equal(mem.count, 2);
	assert_int_equal(add(&mem, GPA + BYTES, BYTES), 0);
	assert_int_equal(add(&mem, GPA - BYTES, BYTES), 0);
	for (uint64_t at = GPA + BYTES * 2; mem.count < GUESTMEM_RANGES; at += BYTES)
		assert_int_equal(add(&mem, at, BYTES), 0);
	assert_int_equal(add(&mem, 0, BYTES), -ENOSPC);
	assert_int_equal(mem.count, GUESTMEM_RANGES);
}

static void a_range_ends_where_it_ends(void **state)
{
	struct guestmem mem;
	uint8_t bytes[2] = { 1, 2 };

	begin(&mem);
	assert_ptr_equal(guestmem_at(&mem, GPA, BYTES), ram[0]);
	assert_null(guestmem_at(&mem, GPA, BYTES + 1)); /* no pointer spans two */
	assert_null(guestmem_at(&mem, GPA, 0));
	assert_null(guestmem_at(&mem, GPA - 1, 1));
	assert_null(guestmem_at(&mem, GPA - 1, 2));
	assert_ptr_equal(guestmem_at(&mem, GPA + BYTES - 1, 1), ram[0] + BYTES - 1);
	assert_null(guestmem_at(&mem, GPA + BYTES - 1, 2));
	assert_ptr_equal(guestmem_at(&mem, GPA + BYTES, 1), ram[1]);
	assert_ptr_equal(guestmem_at(&mem, GPA + 3 * BYTES - 1, 1), ram[2] + BYTES - 1);
	assert_null(guestmem_at(&mem, GPA + 3 * BYTES, 1));
	assert_null(guestmem_at(&mem, GPA + 1, UINT64_MAX));
	assert_null(guestmem_at(&mem, GPA + 1, UINT64_MAX - GPA));

	/* Copies are whole or not at all. */
	memset(ram, 0x5a, sizeof(ram));
	assert_int_equal(guestmem_write(&mem, GPA + BYTES - 2, bytes, 2), 0);
	assert_memory_equal(ram[0] + BYTES - 2, bytes, 2);
	assert_int_equal(ram[0][BYTES - 3], 0x5a);
	assert_int_equal(guestmem_write(&mem, GPA + 3 * BYTES - 1, bytes, 2), -EFAULT);
	assert_int_equal(ram[2][BYTES - 1], 0x5a);
	assert_int_equal(guestmem_read(&mem, GPA + 3 * BYTES - 1, bytes, 2), -EFAULT);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(guestmem_read(&mem, GPA + 3 * BYTES - 1, bytes, 1), 0);
	assert_int_equal(bytes[0], 0x5a);
	assert_int_equal(bytes[1], 2);
}

/* On the heap, so that the sanitizer sees a part too many. */
static int parts(const struct guestmem *mem, uint64_t gpa, uint64_t len, unsigned room)
{
	struct iovec *got = malloc(room ? room * sizeof(*got) : 1);
	uint64_t sum = 0;
	int count;

	assert_non_null(got);
	count = guestmem_parts(mem, gpa, len, got, room);
	for (int i = 0; i < count; i++) {
		assert_ptr_equal(got[i].iov_base, guestmem_at(mem, gpa + sum, got[i].iov_len));
		sum += got[i].iov_len;
	}
	assert_true(count < 0 || sum == len);
	free(got);
	return count;
}

static void parts_have_room_or_there_are_none(void **state)
{
	struct guestmem mem;

	begin(&mem);
	assert_int_equal(parts(&mem, GPA, BYTES, 1), 1);
	assert_int_equal(parts(&mem, GPA, BYTES + 1, 2), 2);
	assert_int_equal(parts(&mem, GPA + BYTES - 1, BYTES + 2, 3), 3);
	assert_int_equal(parts(&mem, GPA, 3 * BYTES, 3), 3);
	assert_int_equal(parts(&mem, GPA, 3 * BYTES, 4), 3);
	assert_int_equal(parts(&mem, GPA, 0, 0), 0);
	/* One too many. */
	assert_int_equal(parts(&mem, GPA, 1, 0), -EFAULT);
	assert_int_equal(parts(&mem, GPA, BYTES + 1, 1), -EFAULT);
	assert_int_equal(parts(&mem, GPA, 3 * BYTES, 2), -EFAULT);
	/* Not all of it is there, at its start, its end, or in between. */
	assert_int_equal(parts(&mem, GPA - 1, 2, 3), -EFAULT);
	assert_int_equal(parts(&mem, GPA, 3 * BYTES + 1, 4), -EFAULT);
	assert_int_equal(parts(&mem, GPA, UINT64_MAX, 4), -EFAULT);
	mem.ranges[1].size--;
	assert_int_equal(parts(&mem, GPA, 3 * BYTES, 4), -EFAULT);
}

static void pinned_to_the_byte(void **state)
{
	struct iovec at[2] = { { ram[0] + 0x100, 0x10 }, { ram[1] + 0x200, 1 } };
	struct iovec later = { ram[1] + 0x300, 1 };
	struct guestmem_pin pin = { .parts = at, .count = 2 },
			    other = { .parts = &later, .count = 1 },
			    third = { .parts = &later, .count = 0 };
	struct guestmem mem;

	begin(&mem);
	guestmem_pin(&mem, &pin);
	assert_false(guestmem_pinned(&mem, GPA, 0x100));
	assert_true(guestmem_pinned(&mem, GPA, 0x101));
	assert_true(guestmem_pinned(&mem, GPA + 0x10f, 1));
	assert_false(guestmem_pinned(&mem, GPA + 0x110, 0x10));
	assert_true(guestmem_pinned(&mem, GPA, BYTES));
	assert_true(guestmem_pinned(&mem, GPA + BYTES + 0x200, 1));
	assert_false(guestmem_pinned(&mem, GPA + BYTES + 0x201, 1));
	assert_false(guestmem_pinned(&mem, GPA + 2 * BYTES, BYTES));
	assert_false(guestmem_pinned(&mem, GPA + 3 * BYTES, BYTES)); /* no memory at all */
	/* Parts may shrink. */
	at[0].iov_len = 0;
	assert_false(guestmem_pinned(&mem, GPA, BYTES));
	/* The first, the last and the middle one go. */
	guestmem_pin(&mem, &other);
	guestmem_pin(&mem, &third);
	assert_true(guestmem_pinned(&mem, GPA + BYTES + 0x300, 1));
	guestmem_unpin(&other);
	assert_false(guestmem_pinned(&mem, GPA + BYTES + 0x300, 1));
	assert_true(guestmem_pinned(&mem, GPA + BYTES + 0x200, 1));
	guestmem_pin(&mem, &other);
	guestmem_unpin(&pin);
	assert_false(guestmem_pinned(&mem, GPA + BYTES + 0x200, 1));
	assert_true(guestmem_pinned(&mem, GPA + BYTES + 0x300, 1));
	guestmem_unpin(&third);
	assert_true(guestmem_pinned(&mem, GPA + BYTES + 0x300, 1));
	guestmem_unpin(&other);
	assert_null(mem.pins);
}

/* Whole pages of RAM, over the seam of two ranges. */
static void ram_is_given_back_in_whole_pages(void **state)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), half = 4 * page;
	uint8_t *at = mmap(
		NULL, 2 * half, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guestmem mem = { 0 };

	kvm_seam = &kvm_kernel;
	assert_true(at != MAP_FAILED);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(guestmem_add(&mem, &(struct guestmem_range){ .gpa = GPA + i * half,
							    .size = half,
							    .hva = at + i * half }),
			0);
	memset(at, 0x5a, 2 * half);
	assert_int_equal(guestmem_discard(&mem, GPA + 1, 0), 0);
	assert_int_equal(guestmem_discard(&mem, GPA + 1, page - 1), 0);
	assert_int_equal(guestmem_discard(&mem, GPA + 1, 2 * page - 2), 0); /* none is whole */
	for (uint64_t i = 0; i < 2 * half; i++)
		assert_int_equal(at[i], 0x5a);
	assert_int_equal(guestmem_discard(&mem, GPA + page + 1, 2 * page - 1), 0); /* the last is */
	assert_int_equal(at[2 * page - 1], 0x5a);
	assert_int_equal(at[2 * page], 0);
	assert_int_equal(at[3 * page - 1], 0);
	assert_int_equal(at[3 * page], 0x5a);
	assert_int_equal(guestmem_discard(&mem, GPA + 3 * page, 2 * page), 0);
	assert_int_equal(at[3 * page], 0);
	assert_int_equal(at[5 * page - 1], 0);
	assert_int_equal(at[5 * page], 0x5a);
	assert_int_equal(guestmem_discard(&mem, GPA + 7 * page, page + 1), -EFAULT);
	munmap(at, 2 * half);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_neither_overlap_nor_wrap),
		cmocka_unit_test(a_range_ends_where_it_ends),
		cmocka_unit_test(parts_have_room_or_there_are_none),
		cmocka_unit_test(pinned_to_the_byte),
		cmocka_unit_test(ram_is_given_back_in_whole_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
