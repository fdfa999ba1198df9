/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes a disk's requests, which end in any order and in any way. The disk holds its callers to its
 * contract (tests/unit/helpers/fake-disk.c); the device has to let go of all that it pinned.
 */
#include <errno.h>

#include "devices/virtio/virtio-blk.h"
#include "hyp/base/util.h"
#include "tests/fuzz/device.h"
#include "tests/unit/helpers/fake-disk.h"

static void make_node(void *node, uint8_t how)
{
	*(bool *)fuzz_property(node, "read-only", PROPERTY_FLAG) = how & 1;
	*(uint32_t *)fuzz_property(node, "logical-block-size", PROPERTY_U32) = how & 2 ? 4096 : 512;
}

/* Ends one of the requests in flight. */
static void host(struct device *device, struct input *input)
{
	uint8_t which = input_take(input, 1);

	if (fake_disk_flight())
		fake_disk_end((which & 63) % fake_disk_flight(), which & 128 ? -EIO : 0);
}

static void check(struct device *device, bool at_rest)
{
	CHECK(!at_rest || !fake_disk_flight());
	CHECK(!fake_disk_flight() == !fuzz_mem.pins);
}

const struct fuzz_target fuzz_target = { &virtio_blk_class, make_node, host, check };
