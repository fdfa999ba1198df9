/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the transport and the device core, with a device that has queues and a configuration space to write to: a balloon. */
#include <linux/virtio_mmio.h>
#include <string.h>

#include "devices/virtio/virtio-balloon.h"
#include "devices/virtio/virtio-mmio.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "tests/fuzz/device.h"

static struct kvm_seam kernel;

static int advise(void *at, size_t size, int advice)
{
	memset(at, 0, size);
	return 0;
}

static void make_node(void *node, uint8_t how)
{
	kernel = kvm_kernel;
	kernel.advise = advise;
	kvm_seam = &kernel;
}

/* What waits for requests in flight would wait for ever here: there is no other thread to end them. */
static bool waits(const struct mmio_access *access)
{
	return access->write &&
	       (access->offset == VIRTIO_MMIO_STATUS || access->offset == VIRTIO_MMIO_QUEUE_READY);
}

/* Of the configuration space its bytes, and zeros beyond. */
static void check_config_read(
	const struct virtio_device *of, uint64_t offset, unsigned size, uint64_t data)
{
	for (unsigned i = 0; i < size; i++)
		CHECK((uint8_t)(data >> 8 * i) ==
			(offset + i < of->class->config_bytes
					? ((const uint8_t *)of->config)[offset + i]
					: 0));
}

static void access_at(
	struct virtio_device *of, uint64_t offset, unsigned size, bool write, uint64_t data)
{
	struct mmio_access one = { .offset = offset, .size = size, .write = write };
	struct virtio_state before = of->state;

	one.data = write ? data : 0;
	if (waits(&one))
		virtio_drain(of);
	pthread_mutex_lock(&of->base.lock);
	of->base.region.access(&of->base.region, &one);
	pthread_mutex_unlock(&of->base.lock);
	/* A read changes nothing, nor does what is no register; and gives no more than its width. */
	if (!write || offset >= VIRTIO_MMIO_CONFIG || size != 4 || offset % 4)
		CHECK(!memcmp(&before, &of->state, sizeof(before)));
	if (!write && offset < VIRTIO_MMIO_CONFIG && (size != 4 || offset % 4))
		CHECK(!one.data);
	CHECK(write || size == 8 || !(one.data >> (8 * size)));
	if (!write && offset + size <= sizeof(fuzz_registers) &&
		(offset >= VIRTIO_MMIO_CONFIG || (size == 4 && offset % 4 == 0)))
		CHECK(!memcmp(fuzz_registers + offset, &one.data, size));
	if (!write && offset >= VIRTIO_MMIO_CONFIG)
		check_config_read(of, offset - VIRTIO_MMIO_CONFIG, size, one.data);
}

static void set(struct virtio_device *of, uint64_t offset, uint32_t value)
{
	access_at(of, offset, 4, true, value);
}

static void negotiate(struct virtio_device *of, uint64_t features)
{
	set(of, VIRTIO_MMIO_STATUS, 0);
	set(of, VIRTIO_MMIO_STATUS, 3);
	for (unsigned half = 0; half < 2; half++) {
		set(of, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		set(of, VIRTIO_MMIO_DRIVER_FEATURES, features >> 32 * half);
	}
	set(of, VIRTIO_MMIO_STATUS, 11);
}

static void start_queue(struct virtio_device *of, unsigned index, const struct virtq *asked)
{
	set(of, VIRTIO_MMIO_QUEUE_SEL, index);
	set(of, VIRTIO_MMIO_QUEUE_NUM, asked->size);
	set(of, VIRTIO_MMIO_QUEUE_DESC_LOW, asked->desc_gpa);
	set(of, VIRTIO_MMIO_QUEUE_AVAIL_LOW, asked->avail_gpa);
	set(of, VIRTIO_MMIO_QUEUE_USED_LOW, asked->used_gpa);
	set(of, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void write_status(struct virtio_device *of, uint32_t status)
{
	set(of, VIRTIO_MMIO_STATUS, status);
}

static void notify(struct virtio_device *of, unsigned index)
{
	set(of, VIRTIO_MMIO_QUEUE_NOTIFY, index);
}

/* Of any width, anywhere. */
static void access_any(struct virtio_device *of, struct input *input)
{
	unsigned size = input_take(input, 1);
	uint32_t offset = input_take(input, 2) % (VIRTIO_MMIO_CONFIG * 3);

	access_at(of, offset, 1u << size % 4, size & 128, input_take(input, 8));
}

/* 4 bytes, aligned: what does something. */
static void access_register(struct virtio_device *of, struct input *input)
{
	uint32_t offset = input_take(input, 1);

	if (offset & 1)
		set(of, offset & ~3u, input_take(input, 4));
	else
		access_at(of, offset & ~3u, 4, false, 0);
}

static void check(struct virtio_device *of)
{
	for (uint64_t offset = 0; offset < sizeof(fuzz_registers); offset += 4)
		access_at(of, offset, 4, false, 0);
}

static const struct fuzz_driver by_registers = {
	.transport = &virtio_mmio_transport,
	.negotiate = negotiate,
	.start_queue = start_queue,
	.write_status = write_status,
	.notify = notify,
	.access = access_any,
	.other = access_register,
	.check = check,
};

const struct fuzz_target fuzz_target = { &virtio_balloon_class, make_node, .driver = &by_registers };
