/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes a disk's requests: the input is the guest's memory, its descriptors and rings, which lies as
 * tests/unit/driver.h has it, behind a first byte: features, and in which order requests end, and how.
 *
 *	fuzz-virtio-blk -max_len=65537 CORPUS     (tests/fuzz/corpus-virtio-blk CORPUS makes a first one)
 *
 * The disk holds its callers to its contract (tests/unit/fake-disk.c); the device has to give back what
 * it takes, and to let go of all that it pinned.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>

#include "devices/virtio-blk.h"
#include "hyp/irq.h"
#include "tests/unit/fake-disk.h"
#include "tests/unit/mmio-driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set_line(struct irq_line *line, bool level)
{
	(void)line, (void)level;
}

static struct irq_line line = { set_line };
static const struct device_env env = { .id = "fuzz", .irq = &line, .mem = &driver.mem };

/* Ends some of what is in flight; the bytes that say how are the guest's own. */
static void end_some(uint8_t how)
{
	for (unsigned i = 0; fake_disk_flight() && i < (how & 15u); i++)
		fake_disk_end(driver.ram[i] % fake_disk_flight(), how & 16 ? -EIO : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t node[1024];
	uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1 |
			    UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;
	uint8_t how = size ? data[0] : 0;

	CHECK(sizeof(node) >= virtio_blk_class.config_bytes);
	memset(node, 0, sizeof(node));
	virtio_blk_class.defaults(node);
	CHECK(!virtio_blk_class.create(node, &env, &device));
	if (how & 32)
		features |= 1u << VIRTIO_BLK_F_FLUSH;
	if (how & 64)
		features |= 1u << VIRTIO_BLK_F_DISCARD | 1u << VIRTIO_BLK_F_WRITE_ZEROES;
	driver_init(&driver, 16);
	driver_run(features);
	if (size > 1)
		memcpy(driver.ram, data + 1, size - 1 < RAM_BYTES ? size - 1 : RAM_BYTES);
	for (unsigned turns = 0; turns < 4; turns++) {
		mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
		fake_loop_serve();
		end_some(how);
	}
	virtio_blk_class.reset(device);
	CHECK(!fake_disk_flight() && !driver.mem.pins);
	virtio_blk_class.destroy(device);
	return 0;
}
