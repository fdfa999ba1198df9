/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock's context id after a reset, which another process may hold for a moment; the kernel is played. */
#include <errno.h>
#include <string.h>

#include "devices/virtio/virtio-vsock.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "tests/unit/helpers/any-device.h"
#include "tests/unit/helpers/fake-loop.h"
#include "tests/unit/helpers/unit.h"

#define TRIES  20
#define TRY_MS 10

static unsigned lost;

static void count_lost(enum log_level level, const char *line)
{
	lost += strstr(line, "tested: cid 3 is lost to another") != NULL;
}

static struct device *make(void)
{
	struct device *device;

	log_set_sink(count_lost);
	lost = 0;
	assert_int_equal(make_any(&virtio_vsock_class, &device), 0);
	return device;
}

static void end(struct device *device)
{
	device_destroy(device);
	assert_int_equal(fake_loop_timers(), 0);
	cid_refusals = cid_error = 0;
	free_node();
}

/* The loop does not wait for it: each try has a turn. */
static void taken_for_a_moment(void **state)
{
	struct device *device = make();
	uint64_t before = loop_now_ms();

	cid_refusals = TRIES - 1;
	cid_error = EADDRINUSE;
	device->class->reset(device);
	assert_int_equal(loop_now_ms(), before);
	assert_int_equal(cid_refusals, TRIES - 2);
	for (unsigned left = TRIES - 2; left; left--) {
		assert_int_equal(fake_loop_timers(), 1);
		fake_loop_advance(TRY_MS - 1);
		assert_int_equal(cid_refusals, left);
		fake_loop_advance(1);
		assert_int_equal(cid_refusals, left - 1);
	}
	fake_loop_advance(TRY_MS);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(lost, 0);
	end(device);
}

static void taken_for_good(void **state)
{
	struct device *device = make();

	cid_refusals = 1000;
	cid_error = EADDRINUSE;
	device->class->reset(device);
	fake_loop_advance((TRIES - 2) * TRY_MS);
	assert_int_equal(lost, 0);
	fake_loop_advance(TRY_MS);
	assert_int_equal(lost, 1);
	assert_int_equal(cid_refusals, 1000 - TRIES);
	assert_int_equal(fake_loop_timers(), 0);
	/* The next reset has all its tries; one in the middle of them begins anew, and so ends one that goes. */
	for (unsigned i = 0; i < 3; i++) {
		device->class->reset(device);
		assert_int_equal(fake_loop_timers(), 1);
		fake_loop_advance((TRIES - 2) * TRY_MS);
		assert_int_equal(lost, 1);
	}
	end(device);
}

/* Any other refusal will not change. */
static void refused(void **state)
{
	struct device *device = make();

	cid_refusals = 1;
	cid_error = ENODEV;
	device->class->reset(device);
	assert_int_equal(lost, 1);
	end(device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_for_a_moment),
		cmocka_unit_test(taken_for_good),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests_name("virtio-vsock", tests, NULL, NULL);
}
