/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes a balloon's pages and reports, on a host that may be slow to take them. What is freed has to be
 * the guest's, whole pages, and in the window plugged (tests/unit/helpers/fake-window.c).
 */
#include <sanitizer/asan_interface.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/virtio-balloon.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "tests/fuzz/device.h"
#include "tests/unit/helpers/fake-loop.h"

static struct kvm_seam kernel;
static unsigned call_ms;

/* RAM's begin is aligned for the guest, and not here. */
static int advise(void *at, size_t size, int advice)
{
	CHECK(size && is_aligned(size, sysconf(_SC_PAGESIZE)));
	CHECK(!__asan_region_is_poisoned(at, size));
	memset(at, 0, size);
	fake_loop_advance(call_ms);
	return 0;
}

static void make_node(void *node, uint8_t how)
{
	*(struct virtio_balloon_node *)node = (struct virtio_balloon_node){
		.deflate_on_oom = how >> 7,
		.statistics_interval_sec = how >> 4 & 7,
	};
	kernel = kvm_kernel;
	kernel.advise = advise;
	kvm_seam = &kernel;
	call_ms = how & 15;
}

static void host(struct device *device, struct input *input)
{
	uint8_t what = input_take(input, 1);

	call_ms = what & 15;
	if (what & 32)
		virtio_balloon_set_interval(device, what & 3);
	if (what & 128)
		virtio_balloon_request(device, input_take(input, what & 64 ? 8 : 3));
}

static void check(struct device *device, bool at_rest)
{
	CHECK(is_aligned(virtio_balloon_requested(device), 4096));
	CHECK(is_aligned(virtio_balloon_given(device), 4096));
	CHECK(!at_rest || (!virtio_balloon_actual(device) && !virtio_balloon_given(device)));
}

const struct fuzz_target fuzz_target = { &virtio_balloon_class, make_node, host, check };
