/* SPDX-License-Identifier: Apache-2.0 */
/* The bus: which region an address is of, at the edges of each, and what its handler gets. */
#include <errno.h>
#include <string.h>

#include "hyp/base/util.h"
#include "hyp/kvm/mmio.h"
#include "tests/unit/helpers/unit.h"

#define GPA UINT64_C(0x9000000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mmio_region *seen;
static struct mmio_access access_seen;

static void handle(struct mmio_region *region, struct mmio_access *access)
{
	assert_int_equal(pthread_mutex_trylock(&lock), EBUSY); /* it is held */
	seen = region;
	access_seen = *access;
	if (!access->write)
		access->data = 0x5a;
}

static struct mmio_region region_of(uint64_t gpa, uint64_t size)
{
	return (struct mmio_region){
		.name = "r", .gpa = gpa, .size = size, .access = handle, .lock = &lock
	};
}

static void regions_neither_overlap_nor_wrap(void **state)
{
	struct mmio_region middle = region_of(GPA, 0x1000),
			   behind = region_of(GPA + 0x1000, 0x1000),
			   before = region_of(GPA - 0x1000, 0x1000), empty = region_of(0, 0),
			   wrapping = region_of(UINT64_MAX - 0xffe, 0x1000),
			   over_start = region_of(GPA - 1, 2), over_end = region_of(GPA + 0xfff, 2),
			   inside = region_of(GPA + 4, 4), around = region_of(GPA - 4, 0x1008);
	struct mmio_bus bus = { 0 };

	assert_int_equal(mmio_bus_add(&bus, &empty), -EINVAL);
	assert_int_equal(mmio_bus_add(&bus, &wrapping), -EINVAL);
	assert_int_equal(mmio_bus_add(&bus, &middle), 0);
	assert_int_equal(mmio_bus_add(&bus, &middle), -EEXIST);
	assert_int_equal(mmio_bus_add(&bus, &over_start), -EEXIST);
	assert_int_equal(mmio_bus_add(&bus, &over_end), -EEXIST);
	assert_int_equal(mmio_bus_add(&bus, &inside), -EEXIST);
	assert_int_equal(mmio_bus_add(&bus, &around), -EEXIST);
	assert_int_equal(mmio_bus_add(&bus, &behind), 0);
	assert_int_equal(mmio_bus_add(&bus, &before), 0);
	assert_int_equal(bus.count, 3);
	assert_ptr_equal(bus.regions[0], &before);
	assert_ptr_equal(bus.regions[1], &middle);
	assert_ptr_equal(bus.regions[2], &behind);
}

/* As many as there is room for, added from both ends: each is found, and none beside it. */
static void each_region_is_found(void **state)
{
	static struct mmio_region regions[MMIO_BUS_REGIONS];
	struct mmio_region more = region_of(GPA + MMIO_BUS_REGIONS * UINT64_C(0x100), 0x10);
	struct mmio_bus bus = { 0 };

	assert_null(mmio_bus_find(&bus, GPA));
	for (unsigned i = 0; i < MMIO_BUS_REGIONS; i++) {
		unsigned at = i % 2 ? MMIO_BUS_REGIONS - 1 - i / 2 : i / 2;

		regions[at] = region_of(GPA + at * UINT64_C(0x100), 0x10);
		assert_int_equal(mmio_bus_add(&bus, &regions[at]), 0);
	}
	assert_int_equal(mmio_bus_add(&bus, &more), -ENOSPC);
	assert_int_equal(bus.count, MMIO_BUS_REGIONS);
	for (unsigned i = 0; i < MMIO_BUS_REGIONS; i++) {
		uint64_t gpa = regions[i].gpa;

		assert_null(mmio_bus_find(&bus, gpa - 1));
		assert_ptr_equal(mmio_bus_find(&bus, gpa), &regions[i]);
		assert_ptr_equal(mmio_bus_find(&bus, gpa + 0xf), &regions[i]);
		assert_null(mmio_bus_find(&bus, gpa + 0x10));
	}
	assert_null(mmio_bus_find(&bus, 0));
	assert_null(mmio_bus_find(&bus, UINT64_MAX));
}

static void an_access_lies_wholly_inside(void **state)
{
	struct mmio_region region = region_of(GPA, 0x10), other = region_of(GPA + 0x10, 0x10);
	struct mmio_bus bus = { 0 };
	uint64_t data = 0x1234;

	assert_false(mmio_bus_access(&bus, GPA, 1, true, &data));
	assert_int_equal(mmio_bus_add(&bus, &region), 0);
	assert_int_equal(mmio_bus_add(&bus, &other), 0);
	assert_true(mmio_bus_access(&bus, GPA + 8, 8, true, &data));
	assert_ptr_equal(seen, &region);
	assert_int_equal(access_seen.offset, 8);
	assert_int_equal(access_seen.size, 8);
	assert_true(access_seen.write);
	assert_int_equal(access_seen.data, 0x1234);
	assert_int_equal(data, 0x1234);
	assert_int_equal(pthread_mutex_trylock(&lock), 0); /* and let go of */
	pthread_mutex_unlock(&lock);
	assert_true(mmio_bus_access(&bus, GPA + 0x10, 4, false, &data));
	assert_ptr_equal(seen, &other);
	assert_int_equal(access_seen.offset, 0);
	assert_int_equal(access_seen.data, 0); /* not what was there before */
	assert_int_equal(data, 0x5a);
	/* Over an end, if only by one byte, nobody has it. */
	seen = NULL;
	data = 0x1234;
	assert_false(mmio_bus_access(&bus, GPA + 9, 8, false, &data));
	assert_false(mmio_bus_access(&bus, GPA - 1, 2, false, &data));
	assert_false(mmio_bus_access(&bus, GPA + 0x1f, 2, false, &data));
	assert_false(mmio_bus_access(&bus, GPA + 0x20, 1, false, &data));
	assert_false(mmio_bus_access(&bus, UINT64_MAX, 8, false, &data));
	assert_null(seen);
	assert_int_equal(data, 0x1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_neither_overlap_nor_wrap),
		cmocka_unit_test(each_region_is_found),
		cmocka_unit_test(an_access_lies_wholly_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
