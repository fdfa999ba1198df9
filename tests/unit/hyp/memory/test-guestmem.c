/* SPDX-License-Identifier: Apache-2.0 */
/* The gate at its edges: ranges that touch, room for parts, pins, what is freed of RAM, and the log. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/guestmem.h"
#include "tests/unit/helpers/unit.h"

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
	assert_ptr_equal(guestmem_read_at(&mem, GPA, BYTES), ram[0]);
	assert_null(guestmem_read_at(&mem, GPA, BYTES + 1)); /* no pointer spans two */
	assert_null(guestmem_read_at(&mem, GPA, 0));
	assert_null(guestmem_read_at(&mem, GPA - 1, 1));
	assert_null(guestmem_read_at(&mem, GPA - 1, 2));
	assert_ptr_equal(guestmem_read_at(&mem, GPA + BYTES - 1, 1), ram[0] + BYTES - 1);
	assert_null(guestmem_read_at(&mem, GPA + BYTES - 1, 2));
	assert_ptr_equal(guestmem_read_at(&mem, GPA + BYTES, 1), ram[1]);
	assert_ptr_equal(guestmem_read_at(&mem, GPA + 3 * BYTES - 1, 1), ram[2] + BYTES - 1);
	assert_null(guestmem_read_at(&mem, GPA + 3 * BYTES, 1));
	assert_null(guestmem_read_at(&mem, GPA + 1, UINT64_MAX));
	assert_null(guestmem_read_at(&mem, GPA + 1, UINT64_MAX - GPA));

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
	count = guestmem_parts(mem, gpa, len, GUESTMEM_READ, got, room);
	for (int i = 0; i < count; i++) {
		assert_ptr_equal(got[i].iov_base, guestmem_read_at(mem, gpa + sum, got[i].iov_len));
		sum += got[i].iov_len;
	}
	assert_true(count < 0 || sum == len);
	free(got);
	return count;
}

/* ---- The log ---- */

static unsigned refuse_calloc; /* this one from now on; 0: none */
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
	return refuse_calloc && !--refuse_calloc ? NULL : __real_calloc(count, bytes);
}

/* A range of more than a word's pages that ends within one, and another right behind it. */
#define LOG_PAGES 130
static uint64_t page;
static uint8_t *log_ram;

static void begin_log(struct guestmem *mem)
{
	page = (uint64_t)sysconf(_SC_PAGESIZE);
	log_ram = mmap(NULL, 2 * LOG_PAGES * page, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(log_ram != MAP_FAILED);
	*mem = (struct guestmem){ 0 };
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			guestmem_add(
				mem, &(struct guestmem_range){ .gpa = GPA + i * LOG_PAGES * page,
					     .size = LOG_PAGES * page,
					     .hva = log_ram + i * LOG_PAGES * page }),
			0);
	assert_int_equal(guestmem_log_start(mem), 0);
}

static void end_log(struct guestmem *mem)
{
	guestmem_log_stop(mem);
	munmap(log_ram, 2 * LOG_PAGES * page);
}

/* The pages that were written, of both ranges one after the other: "0 3-5 ". */
static const char *written(struct guestmem *mem)
{
	static char text[400];
	uint64_t *bits = malloc(3 * sizeof(*bits)); /* on the heap, as above */
	bool set[2 * LOG_PAGES + 1] = { false };

	text[0] = '\0';
	for (unsigned i = 0; i < 2; i++) {
		guestmem_log_take(mem, i, 0, LOG_PAGES, bits);
		for (unsigned at = 0; at < LOG_PAGES; at++)
			set[i * LOG_PAGES + at] = bits[at / 64] >> at % 64 & 1;
		assert_int_equal(bits[2] >> LOG_PAGES % 64, 0);
	}
	for (unsigned at = 0; at < 2 * LOG_PAGES; at++) {
		unsigned first = at;
		size_t len = strlen(text);

		if (!set[at])
			continue;
		while (set[at + 1])
			at++;
		snprintf(text + len, sizeof(text) - len, first < at ? "%u-%u " : "%u ", first, at);
	}
	free(bits);
	return text;
}

static void written_to_the_page(void **state)
{
	struct guestmem mem;
	struct iovec iov[2];
	uint8_t bytes[2] = { 0 };

	kvm_seam = &kvm_kernel;
	begin_log(&mem);
	assert_string_equal(written(&mem), "");
	/* To read is not to write. */
	assert_non_null(guestmem_read_at(&mem, GPA, LOG_PAGES * page));
	assert_int_equal(guestmem_read(&mem, GPA, bytes, 2), 0);
	assert_int_equal(guestmem_parts(&mem, GPA, 2 * LOG_PAGES * page, GUESTMEM_READ, iov, 2), 2);
	assert_string_equal(written(&mem), "");
	/* The first byte, the last, and those on both sides of a border. */
	assert_non_null(guestmem_write_at(&mem, GPA, 1));
	assert_non_null(guestmem_write_at(&mem, GPA + 2 * LOG_PAGES * page - 1, 1));
	assert_string_equal(written(&mem), "0 259 ");
	assert_string_equal(written(&mem), "");
	assert_non_null(guestmem_write_at(&mem, GPA + page - 1, 1));
	assert_string_equal(written(&mem), "0 ");
	assert_non_null(guestmem_write_at(&mem, GPA + page - 1, 2));
	assert_non_null(guestmem_write_at(&mem, GPA + 64 * page, page));
	assert_string_equal(written(&mem), "0-1 64 ");
	assert_int_equal(guestmem_write(&mem, GPA + 64 * page - 1, bytes, 2), 0);
	assert_string_equal(written(&mem), "63-64 ");
	assert_non_null(guestmem_write_at(&mem, GPA, LOG_PAGES * page));
	assert_string_equal(written(&mem), "0-129 ");
	/* Over the seam of the two ranges. */
	assert_int_equal(
		guestmem_parts(&mem, GPA + LOG_PAGES * page - 1, page + 2, GUESTMEM_WRITE, iov, 2),
		2);
	assert_string_equal(written(&mem), "129-131 ");
	/* What is refused is not written. */
	assert_null(guestmem_write_at(&mem, GPA + LOG_PAGES * page - 1, 2));
	assert_null(guestmem_write_at(&mem, GPA, 0));
	assert_null(guestmem_write_at(&mem, GPA, UINT64_MAX));
	assert_int_equal(guestmem_write(&mem, GPA - 1, bytes, 2), -EFAULT);
	assert_string_equal(written(&mem), "");
	/* What is freed holds zeros then; of other pages nothing changes. */
	assert_int_equal(guestmem_discard(&mem, GPA + 1, 3 * page), 0);
	assert_string_equal(written(&mem), "1-2 ");
	assert_int_equal(guestmem_discard(&mem, GPA + 1, page), 0);
	assert_string_equal(written(&mem), "");
	end_log(&mem);
}

/* Taken in pieces, each has its own; a page that the range has but a part of counts. */
static void taken_in_pieces(void **state)
{
	struct guestmem mem;
	uint64_t word;

	begin_log(&mem);
	assert_non_null(guestmem_write_at(&mem, GPA, LOG_PAGES * page));
	guestmem_log_take(&mem, 0, 64, 64, &word);
	assert_int_equal(word, UINT64_MAX);
	guestmem_log_take(&mem, 0, 64, 64, &word);
	assert_int_equal(word, 0);
	guestmem_log_take(&mem, 0, 128, 2, &word);
	assert_int_equal(word, 3);
	assert_string_equal(written(&mem), "0-63 ");
	guestmem_log_stop(&mem);
	mem.ranges[0].size = page + 1;
	assert_int_equal(guestmem_log_start(&mem), 0);
	assert_non_null(guestmem_write_at(&mem, GPA + page, 1));
	guestmem_log_take(&mem, 0, 0, 2, &word);
	assert_int_equal(word, 2);
	end_log(&mem);
}

/* Whatever has been taken of the log, a request in flight may write yet; until it is unpinned. */
static void in_flight_stays_written(void **state)
{
	struct guestmem mem;
	struct iovec parts[3];
	struct guestmem_pin pin = { .parts = parts, .count = 3, .first_written = 1 }, far;
	uint64_t word;

	begin_log(&mem);
	parts[0] = (struct iovec){ log_ram, page };
	parts[1] = (struct iovec){ log_ram + 5 * page - 1, page + 2 };
	parts[2] = (struct iovec){ log_ram + (LOG_PAGES + 1) * page, 1 };
	guestmem_pin(&mem, &pin);
	assert_string_equal(written(&mem), ""); /* given before the log began to be taken */
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(written(&mem), "4-6 131 ");
	/* Of a piece, what lies in it. */
	guestmem_log_take(&mem, 0, 64, 64, &word);
	assert_int_equal(word, 0);
	/* What was written of a part has been taken with the page before. */
	parts[1] = (struct iovec){ log_ram + 6 * page, 1 };
	assert_string_equal(written(&mem), "4-6 131 ");
	assert_string_equal(written(&mem), "6 131 ");
	/* A log that begins while it is under way has it. */
	guestmem_log_stop(&mem);
	assert_int_equal(guestmem_log_start(&mem), 0);
	assert_string_equal(written(&mem), "6 131 ");
	far = (struct guestmem_pin){ .parts = parts, .count = 0 };
	guestmem_pin(&mem, &far);
	guestmem_unpin(&pin);
	assert_string_equal(written(&mem), "6 131 ");
	assert_string_equal(written(&mem), "");
	guestmem_unpin(&far);
	end_log(&mem);
}

static void much_in_flight_is_all_written(void **state)
{
	static struct guestmem_pin pins[65537];
	struct guestmem mem;
	struct iovec part;

	begin_log(&mem);
	part = (struct iovec){ ram[0], 1 };
	for (unsigned i = 0; i < 65537; i++) {
		pins[i] = (struct guestmem_pin){ .parts = &part, .count = 1 };
		assert_string_equal(i < 65535 ? "" : written(&mem), "");
		guestmem_pin(&mem, &pins[i]);
	}
	assert_string_equal(written(&mem), "");
	assert_string_equal(written(&mem), "0-259 ");
	for (unsigned i = 0; i < 65537; i++)
		guestmem_unpin(&pins[i]);
	assert_string_equal(written(&mem), "0-259 ");
	assert_string_equal(written(&mem), "");
	end_log(&mem);
}

static void no_log_costs_nothing(void **state)
{
	struct guestmem mem;

	begin_log(&mem);
	guestmem_log_stop(&mem);
	refuse_calloc = 1;
	assert_non_null(guestmem_write_at(&mem, GPA, page));
	assert_int_equal(refuse_calloc, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_null(mem.ranges[i].written);
	guestmem_log_stop(&mem);
	/* All or nothing. */
	for (unsigned nth = 1; nth <= 2; nth++) {
		refuse_calloc = nth;
		assert_int_equal(guestmem_log_start(&mem), -ENOMEM);
		assert_null(mem.ranges[0].written);
		assert_false(mem.logging);
	}
	/* A writer past the gate would be missed. */
	guestmem_begin_unseen(&mem);
	guestmem_begin_unseen(&mem);
	assert_int_equal(guestmem_log_start(&mem), -EOPNOTSUPP);
	guestmem_end_unseen(&mem);
	assert_int_equal(guestmem_log_start(&mem), -EOPNOTSUPP);
	guestmem_end_unseen(&mem);
	assert_int_equal(guestmem_log_start(&mem), 0);
	assert_string_equal(written(&mem), "");
	end_log(&mem);
	/* Whoever adds a range says nothing of a log. */
	mem = (struct guestmem){ 0 };
	assert_int_equal(guestmem_add(&mem, &(struct guestmem_range){ .gpa = GPA,
						    .size = BYTES,
						    .hva = ram[0],
						    .written = (uint64_t *)ram }),
		0);
	assert_null(mem.ranges[0].written);
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

/* A queue of 256 requests with 255 parts each is searched; what more is in flight counts as all of memory. */
static void much_that_is_pinned(void **state)
{
	static struct guestmem_pin pins[257], far[65536];
	static struct iovec spread[255];
	struct guestmem mem;

	begin(&mem);
	for (unsigned i = 0; i < 255; i++)
		spread[i] = (struct iovec){ ram[0] + (i & 1 ? 0 : BYTES - 1), 1 };
	for (unsigned i = 0; i < 257; i++) {
		pins[i] = (struct guestmem_pin){ .parts = spread, .count = 255 };
		assert_false(guestmem_pinned(&mem, GPA + 1, BYTES - 2));
		guestmem_pin(&mem, &pins[i]);
	}
	assert_true(guestmem_pinned(&mem, GPA + 1, BYTES - 2));
	/* Nothing of it is near the others. */
	assert_false(guestmem_pinned(&mem, GPA + BYTES, BYTES));
	guestmem_unpin(&pins[3]);
	assert_false(guestmem_pinned(&mem, GPA + 1, BYTES - 2));
	for (unsigned i = 0; i < 257; i++)
		if (i != 3)
			guestmem_unpin(&pins[i]);
	/* To pass over those that are far takes time too. */
	for (unsigned i = 0; i < 65536; i++) {
		far[i] = (struct guestmem_pin){ .parts = spread, .count = 1 };
		guestmem_pin(&mem, &far[i]);
	}
	assert_false(guestmem_pinned(&mem, GPA + BYTES, BYTES));
	guestmem_pin(&mem, &pins[0]);
	assert_true(guestmem_pinned(&mem, GPA + BYTES, BYTES));
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
	const uint64_t half = 4 * (page = (uint64_t)sysconf(_SC_PAGESIZE));
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

/*
 * A guest can have thousands of requests in flight, of hundreds of parts each. A check of a page elsewhere
 * does not read their parts, which are where nobody can read here.
 */
static void pins_elsewhere_are_passed_over(void **state)
{
	struct iovec *parts = mmap(
		NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guestmem_pin pin = { .parts = parts, .count = BYTES / sizeof(*parts) };
	struct guestmem mem;

	begin(&mem);
	assert_ptr_not_equal(parts, MAP_FAILED);
	for (size_t i = 0; i < pin.count; i++)
		parts[i] = (struct iovec){ ram[1] + 0x100 + i, 1 };
	guestmem_pin(&mem, &pin);
	assert_int_equal(mprotect(parts, BYTES, PROT_NONE), 0);
	assert_false(guestmem_pinned(&mem, GPA, BYTES));
	assert_false(guestmem_pinned(&mem, GPA + BYTES, 0x100));
	assert_false(guestmem_pinned(&mem, GPA + BYTES + 0x100 + pin.count, 1));
	assert_false(guestmem_pinned(&mem, GPA + 2 * BYTES, BYTES));
	assert_int_equal(mprotect(parts, BYTES, PROT_READ), 0);
	assert_true(guestmem_pinned(&mem, GPA + BYTES, 0x101));
	assert_true(guestmem_pinned(&mem, GPA + BYTES + 0x100 + pin.count - 1, 1));
	guestmem_unpin(&pin);
	munmap(parts, BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_neither_overlap_nor_wrap),
		cmocka_unit_test(a_range_ends_where_it_ends),
		cmocka_unit_test(parts_have_room_or_there_are_none),
		cmocka_unit_test(much_that_is_pinned),
		cmocka_unit_test(pinned_to_the_byte),
		cmocka_unit_test(pins_elsewhere_are_passed_over),
		cmocka_unit_test(ram_is_given_back_in_whole_pages),
		cmocka_unit_test(written_to_the_page),
		cmocka_unit_test(taken_in_pieces),
		cmocka_unit_test(in_flight_stays_written),
		cmocka_unit_test(much_in_flight_is_all_written),
		cmocka_unit_test(no_log_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
