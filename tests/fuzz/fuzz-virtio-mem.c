/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes virtio-mem's requests, while the host asks for more and less, and is busy. The window holds its
 * callers to its contract (tests/unit/helpers/fake-window.c), and what is unplugged is poisoned.
 */
#include "devices/virtio/virtio-mem-node.h"
#include "devices/virtio/virtio-mem.h"
#include "hyp/base/util.h"
#include "tests/fuzz/device.h"
#include "tests/unit/helpers/fake-window.h"

static void make_node(void *node, uint8_t how)
{
	struct virtio_mem_node *mem = node;

	mem->region = (struct property_region){ .gpa = WINDOW_GPA, .size = WINDOW_BYTES };
	mem->block_size = BLOCK_BYTES;
	mem->requested_size = how % (BLOCKS + 1) * BLOCK_BYTES;
}

static void host(struct device *device, struct input *input)
{
	uint8_t what = input_take(input, 1);

	fuzz_window.busy = what & 128;
	if (what & 64)
		CHECK(!virtio_mem_request(device, what % (BLOCKS + 1) * BLOCK_BYTES));
}

static void check(struct device *device, bool at_rest)
{
	struct device_memory info;

	device->class->memory(device, &info);
	CHECK(info.plugged_bytes == window_plugged_bytes(&fuzz_window));
	CHECK(info.plugged_bytes <= info.region_bytes && info.requested_bytes <= info.usable_bytes);
	CHECK(info.usable_bytes <= info.region_bytes && is_aligned(info.usable_bytes, BLOCK_BYTES));
}

const struct fuzz_target fuzz_target = { &virtio_mem_class, make_node, host, check };
