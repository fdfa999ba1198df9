/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO transport; see virtio-mmio.h. Registers are 32 bits wide and listed in one table (virtio 1.2, 4.2.2): most
 * are a constant or a field, some are a function. A register that the table lacks, or an access of another width, reads
 * as zero and ignores writes. Called with the lock held.
 */
#include "devices/virtio/virtio-mmio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "hyp/kvm/registers.h"

#define MAGIC  0x74726976 /* "virt" */
#define VENDOR 0x43554c53 /* "SLUC" */

struct mmio_register {
	/* A register of the selected queue; absent if QueueSel is out of range. */
	bool per_queue;
	/* A plain field: a uint32_t at `field` in the queue, if per_queue, else in the state. */
	bool readable, writable;
	size_t field;
	uint32_t (*read)(const struct virtio_device *device, const struct virtq *queue);
	void (*write)(struct virtio_device *device, struct virtq *queue, uint32_t value);
	uint32_t constant; /* read if neither `readable` nor `read` is set */
};

/* Bits 0 to 31 or 32 to 63; 0 for another selector. */
static uint32_t half(uint64_t value, uint32_t selector)
{
	return selector < 2 ? value >> (32 * selector) : 0;
}

static uint32_t read_device_id(const struct virtio_device *device, const struct virtq *queue)
{
	return device->class->device_id;
}

static uint32_t read_device_features(const struct virtio_device *device, const struct virtq *queue)
{
	return half(device->features, device->state.device_features_sel);
}

static void write_driver_features(struct virtio_device *device, struct virtq *queue, uint32_t value)
{
	unsigned shift = 32 * device->state.driver_features_sel;

	if (device->state.driver_features_sel <= 1)
		virtio_take_features(
			device, (uint64_t)UINT32_MAX << shift, (uint64_t)value << shift);
}

static uint32_t read_queue_size_max(const struct virtio_device *device, const struct virtq *queue)
{
	return device->class->queue_size_max;
}

/* 4.2.2.2: the queue is in use while chains are in flight. */
static uint32_t read_queue_ready(const struct virtio_device *device, const struct virtq *queue)
{
	return queue->ready || device->in_flight[queue - device->state.queues];
}

static void write_queue_ready(struct virtio_device *device, struct virtq *queue, uint32_t value)
{
	unsigned index = (unsigned)(queue - device->state.queues);

	if (value & 1)
		virtio_start_queue(
			device, index); /* if it is refused, the QueueReady register is unchanged */
	else
		virtio_stop_queue(device, index);
}

/* Not per_queue: the value names the queue, not QueueSel. */
static void write_queue_notify(struct virtio_device *device, struct virtq *queue, uint32_t value)
{
	if (value < device->class->queue_count)
		virtio_kick(device, value);
}

/*
 * KVM consumes an acknowledgement of used buffers alone (init()), so the bit stays once set. A back end in the kernel
 * signals the line and never sets the bit, so it then reads as set; a driver that finds no used buffer continues.
 */
static uint32_t read_interrupt_status(const struct virtio_device *device, const struct virtq *queue)
{
	return device->state.interrupt_status |
	       (device->external_backend && device->state.status & VIRTIO_CONFIG_S_DRIVER_OK
			       ? VIRTIO_USED_BUFFER
			       : 0);
}

static void write_interrupt_ack(struct virtio_device *device, struct virtq *queue, uint32_t value)
{
	device->state.interrupt_status &= ~value;
}

static void write_status(struct virtio_device *device, struct virtq *queue, uint32_t value)
{
	virtio_write_status(device, value);
}

#define AT(register)  [VIRTIO_MMIO_##register / 4]
#define STATE(member) .field = offsetof(struct virtio_state, member)
#define QUEUE(member) .per_queue = true, .field = offsetof(struct virtq, member)
/* The high half of a 64-bit field; virtq.c asserts that the host is little-endian. */
#define HIGH(member) .per_queue = true, .field = offsetof(struct virtq, member) + sizeof(uint32_t)

static const struct mmio_register registers[VIRTIO_MMIO_CONFIG / 4] = {
	AT(MAGIC_VALUE) = { .constant = MAGIC },
	AT(VERSION) = { .constant = 2 },
	AT(DEVICE_ID) = { .read = read_device_id },
	AT(VENDOR_ID) = { .constant = VENDOR },
	AT(DEVICE_FEATURES) = { .read = read_device_features },
	AT(DEVICE_FEATURES_SEL) = { .writable = true, STATE(device_features_sel) },
	AT(DRIVER_FEATURES) = { .write = write_driver_features },
	AT(DRIVER_FEATURES_SEL) = { .writable = true, STATE(driver_features_sel) },
	AT(QUEUE_SEL) = { .writable = true, STATE(queue_sel) },
	AT(QUEUE_NUM_MAX) = { .per_queue = true, .read = read_queue_size_max },
	AT(QUEUE_NUM) = { .writable = true, QUEUE(size) },
	AT(QUEUE_READY) = { .per_queue = true,
		.read = read_queue_ready,
		.write = write_queue_ready },
	AT(QUEUE_NOTIFY) = { .write = write_queue_notify },
	AT(INTERRUPT_STATUS) = { .read = read_interrupt_status },
	AT(INTERRUPT_ACK) = { .write = write_interrupt_ack },
	AT(STATUS) = { .readable = true, STATE(status), .write = write_status },
	AT(QUEUE_DESC_LOW) = { .writable = true, QUEUE(desc_gpa) },
	AT(QUEUE_DESC_HIGH) = { .writable = true, HIGH(desc_gpa) },
	AT(QUEUE_AVAIL_LOW) = { .writable = true, QUEUE(avail_gpa) },
	AT(QUEUE_AVAIL_HIGH) = { .writable = true, HIGH(avail_gpa) },
	AT(QUEUE_USED_LOW) = { .writable = true, QUEUE(used_gpa) },
	AT(QUEUE_USED_HIGH) = { .writable = true, HIGH(used_gpa) },
	/* All ones: no shared memory region, whatever SHMSel is. */
	AT(SHM_LEN_LOW) = { .constant = UINT32_MAX },
	AT(SHM_LEN_HIGH) = { .constant = UINT32_MAX },
	AT(SHM_BASE_LOW) = { .constant = UINT32_MAX },
	AT(SHM_BASE_HIGH) = { .constant = UINT32_MAX },
	AT(CONFIG_GENERATION) = { .readable = true, STATE(config_generation) },
};

/* The one check of the driver's queue selector. */
static bool selects_queue(const struct virtio_device *device)
{
	return device->state.queue_sel < device->class->queue_count;
}

static uint32_t read_register(const struct virtio_device *device, unsigned index)
{
	const struct mmio_register *reg = &registers[index];
	const struct virtio_state *state = &device->state;
	const struct virtq *queue = NULL;
	const char *fields = (const char *)state;

	if (reg->per_queue) {
		if (!selects_queue(device))
			return 0;
		queue = &state->queues[state->queue_sel];
		fields = (const char *)queue;
	}
	if (reg->read)
		return reg->read(device, queue);
	return reg->readable ? *(const uint32_t *)(fields + reg->field) : reg->constant;
}

static void write_register(struct virtio_device *device, unsigned index, uint32_t value)
{
	const struct mmio_register *reg = &registers[index];
	struct virtio_state *state = &device->state;
	struct virtq *queue = NULL;
	char *fields = (char *)state;

	if (reg->per_queue) {
		if (!selects_queue(device))
			return;
		queue = &state->queues[state->queue_sel];
		fields = (char *)queue;
	}
	if (reg->write)
		reg->write(device, queue, value);
	else if (reg->writable && !(queue && queue->ready)) /* not while it is ready (4.2.2.2) */
		*(uint32_t *)(fields + reg->field) = value;
}

/* Reads beyond the space return zeros. */
static void access_config(struct virtio_device *device, struct mmio_access *access)
{
	uint64_t offset = access->offset - VIRTIO_MMIO_CONFIG, size = device->class->config_bytes;

	if (offset >= size)
		return;
	if (access->write) {
		if (device->class->write_config)
			device->class->write_config(device, offset, access->size, access->data);
		return;
	}
	memcpy(&access->data, (const char *)device->config + offset,
		access->size < size - offset ? access->size : size - offset);
}

static void show(const struct virtio_device *device)
{
	uint8_t *at = device->env->registers;
	uint32_t words[VIRTIO_MMIO_REGION_BYTES / 4] = { 0 }, between;
	uint32_t *config = words + VIRTIO_MMIO_CONFIG / 4;
	size_t config_bytes = device->class->config_bytes;

	if (!at)
		return;
	for (unsigned i = 0; i < VIRTIO_MMIO_CONFIG / 4; i++)
		words[i] = read_register(device, i);
	if (config_bytes)
		memcpy(config, device->config, config_bytes);
	/*
	 * A driver whose read overlaps the start or the end of the change sees two generations (2.5.1), and reads
	 * again. One that reads wholly within the change may see half of it; the interrupt that follows makes it read
	 * again.
	 */
	between = device->state.config_generation - 1;
	if (memcmp(at + VIRTIO_MMIO_CONFIG, config, config_bytes))
		registers_show(at + VIRTIO_MMIO_CONFIG_GENERATION, &between, sizeof(between));
	registers_show(
		at + VIRTIO_MMIO_CONFIG, config, VIRTIO_MMIO_REGION_BYTES - VIRTIO_MMIO_CONFIG);
	registers_show(at, words, VIRTIO_MMIO_CONFIG);
}

static void access_region(struct mmio_region *region, struct mmio_access *access)
{
	struct virtio_device *device = container_of(region, struct virtio_device, base.region);
	unsigned index = access->offset / 4;

	if (access->offset >= VIRTIO_MMIO_CONFIG)
		access_config(device, access);
	else if (access->size != 4 || !is_aligned(access->offset, 4))
		return;
	else if (access->write)
		write_register(device, index, access->data);
	else
		access->data = read_register(device, index);
	if (access->write)
		show(device);
}

static const uint32_t placeholder[] = { MAGIC, 2, 0, VENDOR };

static void access_placeholder(struct mmio_region *region, struct mmio_access *access)
{
	uint64_t offset = access->offset % VIRTIO_MMIO_REGION_BYTES;

	if (!access->write && access->size == 4 && is_aligned(offset, 4) &&
		offset < sizeof(placeholder))
		access->data = placeholder[offset / 4];
}

void virtio_mmio_placeholders(struct mmio_region *region)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	region->name = "virtio-mmio";
	region->access = access_placeholder;
	region->lock = &lock; /* placeholders have no state */
}

void virtio_mmio_show_placeholder(uint8_t *at)
{
	registers_show(at, placeholder, sizeof(placeholder));
}

static int init(struct virtio_device *device)
{
	unsigned count = device->class->queue_count;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	CHECK(device->class->config_bytes <= VIRTIO_MMIO_REGION_BYTES - VIRTIO_MMIO_CONFIG);
	if (fd < 0)
		return -errno;
	for (unsigned i = 0; i < count; i++)
		device->doorbells[i] = (struct mmio_doorbell){ .offset = VIRTIO_MMIO_QUEUE_NOTIFY,
			.value = i,
			.fd = device->kicks[i].watch.fd };
	/* The eventfd is never read: it saves an exit to user space for each interrupt. */
	device->doorbells[count] = (struct mmio_doorbell){
		.offset = VIRTIO_MMIO_INTERRUPT_ACK, .value = VIRTIO_USED_BUFFER, .fd = fd
	};
	device->base.region = (struct mmio_region){
		.name = device->base.id,
		.size = VIRTIO_MMIO_REGION_BYTES,
		.access = access_region,
		.lock = &device->base.lock,
		.doorbells = device->doorbells,
		.doorbell_count = count + 1,
	};
	show(device);
	return 0;
}

static void finish(struct virtio_device *device)
{
	if (device->base.region.doorbells)
		close(device->doorbells[device->class->queue_count].fd);
}

static void interrupt(struct virtio_device *device, enum virtio_cause cause)
{
	if (!(device->state.interrupt_status & cause)) {
		device->state.interrupt_status |= cause;
		show(device);
	}
	irq_line_set(device->env->irq, true); /* an edge line: once for each cause */
}

const struct virtio_transport virtio_mmio_transport = {
	.init = init,
	.finish = finish,
	.show = show,
	.interrupt = interrupt,
};
