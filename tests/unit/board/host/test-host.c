/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address space that the host has left, measured in one that is made here: stretches that are free, of which a
 * reservation takes a part of the first that has room. Nothing of a measurement stays reserved.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "board/config/config.h"
#include "board/host/limits.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

#define PLAYED UINT64_C(0x5000000000000000) /* addresses that no kernel gives */

static uint64_t stretches[8];
static struct {
	uint64_t size;
	unsigned stretch;
} taken[8];
static unsigned asked, held;

void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (!(flags & MAP_NORESERVE))
		return __real_mmap64(at, size, protection, flags, fd, offset);
	assert_int_equal(protection, PROT_NONE);
	assert_null(at);
	asked++;
	for (unsigned i = 0; i < ARRAY_SIZE(stretches); i++)
		for (unsigned n = 0; stretches[i] >= size && n < ARRAY_SIZE(taken); n++)
			if (!taken[n].size) {
				stretches[i] -= taken[n].size = size;
				taken[n].stretch = i;
				held++;
				return (void *)(PLAYED + n);
			}
	return MAP_FAILED;
}

int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size)
{
	uint64_t n = (uint64_t)at - PLAYED;

	if (n >= ARRAY_SIZE(taken))
		return __real_munmap(at, size);
	assert_int_equal(size, taken[n].size);
	stretches[taken[n].stretch] += size;
	taken[n].size = 0;
	held--;
	return 0;
}

static void assert_measured(uint64_t enough, uint64_t all, uint64_t run)
{
	const struct host_limits unknown = { 0 };
	uint64_t got_all = 0, got_run = 0;

	asked = 0;
	host_address_space(&unknown, enough, &got_all, &got_run);
	assert_int_equal(got_all, all);
	assert_int_equal(got_run, run);
	assert_int_equal(held, 0);
}

static void measured(void **state)
{
	static const struct {
		uint64_t free[6], enough, all, run;
		unsigned calls;
	} cases[] = {
		/* Enough in one stretch: nothing more is asked. */
		{ { 8 * GiB }, 8 * GiB, UINT64_MAX, UINT64_MAX, 1 },
		{ { GiB, 2 * GiB, 8 * GiB }, 8 * GiB, UINT64_MAX, UINT64_MAX, 1 },
		/* A byte less: whole GiB, and the longest first, wherever it is. */
		{ { 8 * GiB - 1 }, 8 * GiB, 7 * GiB, 7 * GiB, 0 },
		{ { GiB, 5 * GiB + 1, 2 * GiB }, 8 * GiB, 8 * GiB, 5 * GiB, 0 },
		{ { 3 * TiB + 7 * GiB, 100 * GiB, GiB - 1 }, UINT64_MAX, 3 * TiB + 107 * GiB,
			3 * TiB + 7 * GiB, 0 },
		/* Of more than four stretches the longest count. */
		{ { GiB, 2 * GiB, 3 * GiB, 4 * GiB, 5 * GiB, 6 * GiB }, 8 * GiB, 18 * GiB, 6 * GiB,
			0 },
		/* One is longer than what is measured at most. */
		{ { 300 * TiB }, UINT64_MAX, 300 * TiB, 256 * TiB - GiB, 0 },
		{ { 0 }, 8 * GiB, 0, 0, 0 },
		{ { GiB - 1 }, 8 * GiB, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(stretches, 0, sizeof(stretches));
		memcpy(stretches, cases[i].free, sizeof(cases[i].free));
		assert_measured(cases[i].enough, cases[i].all, cases[i].run);
		if (cases[i].calls)
			assert_int_equal(asked, cases[i].calls);
		assert_in_range(asked, 1, 1 + 4 * 20);
	}
}

/* What the description of a host says is not measured. */
static void said(void **state)
{
	const struct host_limits host = { .address_space = 7 * GiB, .address_run = 3 * GiB };
	const struct host_limits whole = { .address_space = 7 * GiB };
	uint64_t all, run;

	asked = 0;
	host_address_space(&host, 100 * GiB, &all, &run);
	assert_int_equal(all, 7 * GiB);
	assert_int_equal(run, 3 * GiB);
	host_address_space(&whole, 100 * GiB, &all, &run);
	assert_int_equal(all, 7 * GiB);
	assert_int_equal(run, UINT64_MAX);
	assert_int_equal(asked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(measured),
		cmocka_unit_test(said),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
