/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon on hosts with pages of 16K and 64K: what is freed of pages of 4K that the guest names singly, and how much
 * of it is counted. sysconf() is wrapped: this host's own pages are of 4K, whose kernel takes larger ones as well.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/balloon-pages.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "tests/unit/helpers/fake-window.h"

#define PAGE	   4096
#define HOST_PAGE  host_page
#define PAGES	   64
#define RAM_GPA	   UINT64_C(0x40000000)
#define WINDOW_GPA UINT64_C(0x100000000)
#define BLOCK	   (2 * MiB)

static size_t host_page = 16 * KiB;
static _Alignas(65536) uint8_t ram[PAGES * PAGE];
static struct guestmem memory;
static struct window window = {
	.config = { .gpa = WINDOW_GPA, .size = 64 * BLOCK, .block_bytes = BLOCK },
};
static struct balloon_pages pages;
static struct kvm_seam host;
static unsigned calls;
static int refusal;

/* The thread sanitizer's own start calls this, before code that it has instrumented may run. */
#if __has_attribute(disable_sanitizer_instrumentation)
#define NOT_INSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define NOT_INSTRUMENTED
#endif

long __real_sysconf(int name);
long __wrap_sysconf(int name);
NOT_INSTRUMENTED long __wrap_sysconf(int name)
{
	return name == _SC_PAGESIZE ? (long)HOST_PAGE : __real_sysconf(name);
}

static int advise(void *at, size_t size, int advice)
{
	calls++;
	assert_true(is_aligned((uintptr_t)at | size, HOST_PAGE));
	return refusal ? refusal : kvm_kernel.advise(at, size, advice);
}

static int setup(void **state)
{
	host = kvm_kernel;
	host.advise = advise;
	kvm_seam = &host;
	refusal = 0;
	calls = 0;
	memory = (struct guestmem){ .ranges = { { RAM_GPA, sizeof(ram), ram, NULL } }, .count = 1 };
	memory.ranges[memory.count++] = (struct guestmem_range){ WINDOW_GPA, 64 * BLOCK, ram,
		&window };
	memset(window.plugged, 0, sizeof(window.plugged));
	window.discarded = window.largest = 0;
	memset(ram, 0x5a, sizeof(ram));
	balloon_pages_init(&pages, &memory);
	return 0;
}

static int teardown(void **state)
{
	balloon_pages_finish(&pages);
	kvm_seam = &kvm_kernel;
	return 0;
}

static void put(unsigned page, unsigned count, bool remember)
{
	balloon_pages_inflate(&pages, RAM_GPA + page * PAGE, (uint64_t)count * PAGE, remember);
}

static void take(unsigned page, unsigned count)
{
	balloon_pages_deflate(&pages, RAM_GPA + page * PAGE, (uint64_t)count * PAGE);
}

static void assert_given(const char *expected)
{
	uint64_t given = 0;

	for (unsigned i = 0; i < sizeof(ram) / HOST_PAGE; i++) {
		bool back = i < strlen(expected) && expected[i] == '.';

		given += back ? HOST_PAGE : 0;
		if (ram[i * HOST_PAGE] != (back ? 0 : 0x5a) ||
			ram[(i + 1) * HOST_PAGE - 1] != (back ? 0 : 0x5a))
			fail_msg("host page %u %s", i, back ? "is still there" : "is gone");
	}
	assert_int_equal(pages.given_bytes, given);
}

static void parts_come_one_by_one(void **state)
{
	static const unsigned order[] = { 9, 4, 7, 10, 1, 5, 11, 6, 8 };

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		assert_given(i == 8 ? "x.x" : "");
		put(order[i], 1, true);
	}
	assert_given("x..");
	assert_int_equal(calls, 2);
	put(0, 16, true);
	assert_given("....");
	assert_int_equal(calls, 3); /* in one call */
}

/* A part that was taken out is not in: it is the guest's, with its contents. */
static void a_part_is_taken_out(void **state)
{
	put(0, 3, true);
	take(1, 1);
	put(3, 1, true);
	assert_given("");
	put(1, 1, true);
	assert_given(".");
	memset(ram, 0x5a, HOST_PAGE); /* the guest takes it, and uses it */
	take(2, 1);
	assert_given("");
	put(0, 2, true);
	put(3, 1, true);
	assert_given("");
	take(0, PAGES);
	assert_int_equal(pages.given_bytes, 0);
	take(0, PAGES);
	assert_int_equal(pages.given_bytes, 0);
}

/* Of a driver that may use a page before it says so, nothing is remembered. */
static void a_driver_that_tells_late(void **state)
{
	for (unsigned page = 0; page < 8; page++)
		put(page, 1, false);
	assert_given("");
	put(3, 10, false);
	assert_given("x..");
	assert_int_equal(calls, 1);
	take(3, 10);
	assert_int_equal(pages.given_bytes, 0);
}

static void what_stays_is_not_counted(void **state)
{
	struct iovec part = { ram + 100, 1 };
	struct guestmem_pin pin = { .parts = &part, .count = 1 };

	guestmem_pin(&memory, &pin);
	put(0, 4, true);
	assert_given("");
	guestmem_unpin(&pin);
	put(0, 4, true);
	assert_given(".");
	refusal = -ENOMEM;
	put(4, 4, true);
	assert_given(".");
	refusal = 0;
	balloon_pages_reset(&pages);
	assert_int_equal(pages.given_bytes, 0);
	put(1, 3, true);
	assert_int_equal(pages.given_bytes, 0); /* its first part is of the balloon before */
}

/* Beside memory, over its end, in blocks that are not plugged. */
static void hostile_places(void **state)
{
	static const uint64_t where[][2] = { { 0, PAGE }, { UINT64_MAX - PAGE + 1, PAGE },
		{ UINT64_C(0xffffffff) << 12, PAGE }, { WINDOW_GPA, PAGE },
		{ WINDOW_GPA + 64 * BLOCK, PAGE }, { WINDOW_GPA + 2 * BLOCK - PAGE, 2 * PAGE } };

	window.plugged[1] = true;
	for (unsigned i = 0; i < ARRAY_SIZE(where); i++) {
		balloon_pages_inflate(&pages, where[i][0], where[i][1], true);
		balloon_pages_deflate(&pages, where[i][0], where[i][1]);
	}
	assert_int_equal(window.discarded, 0);
	assert_given("");
	/* What lies in RAM is freed, though the rest is nowhere. */
	balloon_pages_inflate(&pages, RAM_GPA + sizeof(ram) - HOST_PAGE, 2 * HOST_PAGE, true);
	assert_int_equal(pages.given_bytes, HOST_PAGE);
	balloon_pages_inflate(&pages, WINDOW_GPA + BLOCK, BLOCK, true);
	assert_int_equal(window.discarded, BLOCK);
	assert_int_equal(pages.given_bytes, HOST_PAGE + BLOCK);
}

static int setup_64k(void **state)
{
	host_page = 64 * KiB;
	return setup(state);
}

static int teardown_64k(void **state)
{
	host_page = 16 * KiB;
	return teardown(state);
}

static void sixteen_parts_of_a_page(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		assert_given("");
		put(16 + (i * 5 + 3) % 16, 1, true);
	}
	assert_given("x.");
	put(15, 2, true); /* the end of a page, and a part that is in already */
	put(1, 14, true);
	assert_given("x.");
	put(0, 1, true);
	assert_given("..");
	take(31, 1);
	assert_int_equal(pages.given_bytes, HOST_PAGE);
	put(31, 1, true);
	assert_int_equal(pages.given_bytes, 2 * HOST_PAGE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(parts_come_one_by_one),
		T(a_part_is_taken_out),
		T(a_driver_that_tells_late),
		T(what_stays_is_not_counted),
		T(hostile_places),
		cmocka_unit_test_setup_teardown(sixteen_parts_of_a_page, setup_64k, teardown_64k),
	};

	if (__real_sysconf(_SC_PAGESIZE) > (long)HOST_PAGE) {
		puts("1..0 # SKIP for hosts with pages of 16K at most");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
