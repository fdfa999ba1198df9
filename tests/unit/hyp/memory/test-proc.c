/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read of /proc, from texts made here: a window's exposed and resident bytes, how many mappings
 * the process has and may have, and the size of huge pages. Of pools that this machine has not, too.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/backing.h"
#include "hyp/memory/mappings.h"
#include "hyp/memory/window.h"
#include "tests/unit/helpers/unit.h"

#define BLOCK (2 * MiB)
#define SIZE  (64 * MiB)

static char text[8192];	  /* of the file that is read; empty: it cannot be opened */
static const char *asked; /* its path must be this */
static unsigned opened;

FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	if (strncmp(path, "/proc/", 6) != 0)
		return __real_fopen64(path, mode);
	if (asked)
		assert_string_equal(path, asked);
	opened++;
	if (!text[0]) {
		errno = EACCES;
		return NULL;
	}
	return fmemopen(text, strlen(text), "r");
}

static void says(const char *path, const char *format, ...)
{
	va_list args;

	asked = path;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
}

static struct window *window;
static uint64_t start, end; /* its host addresses */

static int begin(void **state)
{
	static const struct window_config config = { .name = "vmem0",
		.gpa = 4 * GiB,
		.size = SIZE,
		.block_bytes = BLOCK,
		.slot_bytes = SIZE };

	kvm_seam = &kvm_kernel;
	assert_int_equal(window_create(&config, NULL, &window), 0);
	start = (uintptr_t)window_hva(window);
	end = start + SIZE;
	return 0;
}

static int finish(void **state)
{
	window_destroy(window);
	return 0;
}

/* Mappings around, over both ends and inside; of each only what is the window's and writable. */
static void exposed_is_what_is_writable_of_the_window(void **state)
{
	uint64_t bytes = 77;

	says("/proc/self/maps",
		"%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:00 0 \n"
		"%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:00 0 \n"
		"%" PRIx64 "-%" PRIx64 " r--p 00000000 00:00 0 \n"
		"%" PRIx64 "-%" PRIx64 " -w-p 00000000 00:00 0 \n"
		"%" PRIx64 "-%" PRIx64 " r-xs 00000000 00:01 5 /memfd:w (deleted)\n"
		"%" PRIx64 "-%" PRIx64 " rw-s 00000000 00:01 5 /memfd:w (deleted)\n"
		"%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:00 0 [heap]\n",
		start - BLOCK, start,		      /* before */
		start - BLOCK, start + 1 * BLOCK,     /* 1 of it */
		start + 1 * BLOCK, start + 2 * BLOCK, /* read only */
		start + 2 * BLOCK, start + 4 * BLOCK, /* 2 */
		start + 4 * BLOCK, start + 5 * BLOCK, /* executable */
		end - BLOCK, end + 8 * BLOCK,	      /* 1 */
		end, end + BLOCK);		      /* behind */
	assert_int_equal(window_exposed_bytes(window, &bytes), 0);
	assert_int_equal(bytes, 4 * BLOCK);
	/* One that is all around, and one of a line that is longer than ours. */
	says("/proc/self/maps", "%" PRIx64 "-%" PRIx64 " rwxp 00000000 00:00 0 %01000d\n",
		start - 1, end + 1, 0);
	assert_int_equal(window_exposed_bytes(window, &bytes), 0);
	assert_int_equal(bytes, SIZE);
	text[0] = 0;
	bytes = 77;
	assert_int_equal(window_exposed_bytes(window, &bytes), -EACCES);
	assert_int_equal(bytes, 77);
}

/* Pages, and pages of the pool, which are in no mapping's Rss: private and shared. */
static void resident_counts_the_pool_too(void **state)
{
	uint64_t bytes = 77;

	says("/proc/self/smaps",
		"%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:00 0 \n"
		"Size: 2048 kB\nRss: 1000000 kB\nPrivate_Hugetlb: 1000000 kB\n"
		"%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:00 0 \n"
		"Size:               2048 kB\nKernelPageSize:        4 kB\nRss:                   "
		"4 kB\n"
		"Pss:                 512 kB\nShared_Hugetlb:        0 kB\nPrivate_Hugetlb:       "
		"0 kB\n"
		"VmFlags: rd wr mr mw me ac sd \n"
		"%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:0f 7 /anon_hugepage (deleted)\n"
		"Rss:                   0 kB\nShared_Hugetlb:     2048 kB\nPrivate_Hugetlb:    "
		"4096 kB\n"
		"%" PRIx64 "-%" PRIx64 " r--p 00000000 00:00 0 \n"
		"Rss:                  16 kB\n"
		"%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:00 0 [stack]\n"
		"Rss:             1000000 kB\nShared_Hugetlb: 1000000 kB\n",
		start - BLOCK, start, start, start + BLOCK, start + BLOCK, start + 4 * BLOCK,
		end - BLOCK, end, end, end + BLOCK);
	assert_int_equal(window_resident_bytes(window, &bytes), 0);
	assert_int_equal(bytes, (4 + 2048 + 4096 + 16) * KiB);
	text[0] = 0;
	bytes = 77;
	assert_int_equal(window_resident_bytes(window, &bytes), -EACCES);
	assert_int_equal(bytes, 77);
}

/* Of several windows at once; a line where there is no more time, and all where there is. */
static void a_walk_goes_in_pieces(void **state)
{
	struct window_usage usage[2] = { { window, 77, 77 }, { window, 77, 77 } };
	struct window_walk *walk = NULL;
	unsigned lines = 0;

	says("/proc/self/smaps",
		"%" PRIx64 "-%" PRIx64 " rw-p 00000000 00:00 0 \nSize: 1 kB\nRss: 4 kB\n"
		"%" PRIx64 "-%" PRIx64 " r--p 00000000 00:00 0 \nSize: 1 kB\nRss: 8 kB\n"
		"%" PRIx64 "-%" PRIx64 " rw-s 00000000 00:00 0 \nSize: 1 kB\nRss: 16 kB\n",
		start - BLOCK, start + BLOCK, start + BLOCK, end - 3 * BLOCK, end - 2 * BLOCK, end);
	assert_int_equal(window_walk_begin(usage, 2, &walk), 0);
	while (!window_walk_go_on(walk, 0))
		lines++;
	assert_int_equal(lines, 9);
	window_walk_end(walk);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(usage[i].exposed_bytes, 3 * BLOCK);
		assert_int_equal(usage[i].resident_bytes, 28 * KiB);
	}
	/* One that is given up, and none. */
	assert_int_equal(window_walk_begin(usage, 1, &walk), 0);
	assert_int_equal(usage[0].exposed_bytes, 0);
	assert_false(window_walk_go_on(walk, 0));
	window_walk_end(walk);
	assert_int_equal(window_walk_begin(usage, 1, &walk), 0);
	assert_true(window_walk_go_on(walk, UINT64_MAX));
	window_walk_end(walk);
	window_walk_end(NULL);
	text[0] = 0;
	walk = NULL;
	assert_int_equal(window_walk_begin(usage, 1, &walk), -EACCES);
	assert_null(walk);
}

static void mappings_have_a_margin(void **state)
{
	static const struct {
		const char *text;
		uint64_t limit;
	} cases[] = {
		{ "65530\n", 65530 - MAPPINGS_MARGIN },
		{ "1000000\n", 1000000 - MAPPINGS_MARGIN },
		{ "4099\n", 3 },
		{ "4098\n", 2 },
		{ "4097\n", 2 }, /* 1 would be less than a change takes, and never reached */
		{ "4096\n", 2 },
		{ "0\n", 2 },
		{ "none\n", 65530 - MAPPINGS_MARGIN },
		{ "", 65530 - MAPPINGS_MARGIN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mappings mappings;

		says("/proc/sys/vm/max_map_count", "%s", cases[i].text);
		mappings_init(&mappings);
		assert_int_equal(mappings.limit, cases[i].limit);
	}
}

/* Two for each change, until their sum comes to the limit: then the real number, once a second. */
static void mappings_are_taken_two_at_a_time(void **state)
{
	struct mappings mappings = { .limit = 10, .count = UINT64_MAX };

	asked = "/proc/self/maps";
	says(asked, "one\ntwo\nthree\nfour\n");
	opened = 0;
	assert_true(mappings_take(&mappings)); /* 4 + 2 */
	assert_int_equal(opened, 1);
	assert_int_equal(mappings.count, 6);
	assert_true(mappings_take(&mappings));
	assert_true(mappings_take(&mappings));
	assert_int_equal(opened, 1);
	assert_int_equal(mappings.count, 10);
	assert_false(mappings_take(&mappings)); /* counted less than a second ago */
	assert_int_equal(opened, 1);
	mappings.count_again_ms = 0;
	says(asked, "1\n2\n3\n4\n5\n6\n7\n8\n"); /* room for two, and none for more */
	assert_true(mappings_take(&mappings));
	assert_int_equal(opened, 2);
	assert_int_equal(mappings.count, 10);
	mappings.count_again_ms = 0;
	says(asked, "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	assert_false(mappings_take(&mappings));
	assert_in_range(mappings.count_again_ms, loop_now_ms() + 1, loop_now_ms() + 1000);
	/* What cannot be counted may be any number. */
	mappings.count_again_ms = 0;
	text[0] = 0;
	assert_false(mappings_take(&mappings));
}

static void huge_pages_have_the_size_that_the_host_says(void **state)
{
	static const char *const path = "/proc/meminfo";
	struct backing backing;

	says(path, "MemTotal: 1 kB\nHugePages_Total:       0\nHugepagesize:       2048 "
		   "kB\nHugetlb: 0 kB\n");
	assert_int_equal(backing_huge_page_bytes(), 2 * MiB);
	assert_int_equal(backing_create(&backing, BACKING_HUGETLB, GiB, SIZE, MiB, 0), -EINVAL);
	assert_int_equal(backing_create(&backing, BACKING_HUGETLB, GiB, SIZE, 3 * MiB, 0), -EINVAL);
	assert_int_equal(backing_create(&backing, BACKING_HUGETLB, GiB, SIZE, 2 * MiB, 0), 0);
	backing_destroy(&backing);
	/* Aligned to them, though they are larger than those of the second level. */
	says(path, "Hugepagesize:    1048576 kB\n");
	assert_int_equal(backing_create(&backing, BACKING_HUGETLB, GiB / 2, GiB, GiB, 0), 0);
	assert_int_equal((uintptr_t)backing.hva % GiB, GiB / 2);
	backing_destroy(&backing);
	says(path, "MemTotal: 1 kB\n");
	assert_int_equal(backing_huge_page_bytes(), 0);
	assert_int_equal(
		backing_create(&backing, BACKING_HUGETLB, GiB, SIZE, 2 * MiB, 0), -ENOTSUP);
	text[0] = 0;
	assert_int_equal(backing_huge_page_bytes(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			exposed_is_what_is_writable_of_the_window, begin, finish),
		cmocka_unit_test_setup_teardown(resident_counts_the_pool_too, begin, finish),
		cmocka_unit_test_setup_teardown(a_walk_goes_in_pieces, begin, finish),
		cmocka_unit_test(mappings_have_a_margin),
		cmocka_unit_test(mappings_are_taken_two_at_a_time),
		cmocka_unit_test(huge_pages_have_the_size_that_the_host_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
