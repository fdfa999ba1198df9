/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of what devices write, held against the truth: real device models write into a guest's memory, of which the
 * test keeps a copy, as a migration does. It copies all once, then only pages that the log names,
 * also while requests are in flight; in the end copy and memory are the same to the byte. The log names no page that the
 * driver did not give the device to write to.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_mem.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/backend/chardev.h"
#include "devices/backend/disk.h"
#include "devices/virtio/virtio-balloon.h"
#include "devices/virtio/virtio-blk.h"
#include "devices/virtio/virtio-console.h"
#include "devices/virtio/virtio-mem-node.h"
#include "devices/virtio/virtio-mem.h"
#include "devices/virtio/virtio-net-node.h"
#include "devices/virtio/virtio-net.h"
#include "devices/virtio/virtio-rng.h"
#include "tests/unit/helpers/direct-transport.h"
#include "tests/unit/helpers/driver.h"
#include "tests/unit/helpers/fake-network.h"
#include "hyp/base/host-path.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"
#include "tests/unit/helpers/unit.h"

#define RANGE_PAGES 1024 /* of each of the two ranges of RAM, which touch */
#define WINDOW_GPA  UINT64_C(0x100000000)
#define BLOCK_PAGES 16
#define BLOCKS	    8
#define RANGES	    3
#define SECTOR	    512
#define DISK_BYTES  (8 * MiB)
#define LONG_BYTES  (3 * MiB) /* more than a disk reads in one call */

static uint64_t page, seam, window_bytes; /* the address where RAM's ranges touch */
static struct guestmem mem;
static uint8_t *copies[RANGES], *ram;
static bool *given[RANGES]; /* pages that the driver gave */
static unsigned changed;    /* pages that the log named, and that were */
static struct slots slots;
static struct window *window;
static struct loop *loop;

static void no_log(enum log_level level, const char *line)
{
}

/* ---- The copy ---- */

static void copy_page(size_t range, uint64_t index)
{
	uint8_t *from = mem.ranges[range].hva + index * page, now[65536];

	/* As a copier does it: others may be writing there. */
	assert_int_equal(addrspace_peek(from, now, page), 0);
	changed += memcmp(copies[range] + index * page, now, page) != 0;
	memcpy(copies[range] + index * page, now, page);
}

static void copy_all(void)
{
	for (size_t i = 0; i < RANGES; i++)
		for (uint64_t at = 0; at < mem.ranges[i].size / page; at++)
			copy_page(i, at);
	changed = 0;
}

/* What is not a block's any more holds zeros, and the log does not say so: the copier is notified. */
static int on_unplug(struct listener *listener, const struct memory_slot *slot, uint64_t offset,
	uint64_t size, bool back)
{
	memset(copies[2] + (slot->gpa - WINDOW_GPA) + offset, 0, size);
	return 0;
}

static int nothing(struct listener *listener, const struct memory_slot *slot)
{
	return 0;
}

static struct listener listener = {
	.ops = &(const struct listener_ops){ .open = nothing,
		.close = nothing,
		.unplug = on_unplug },
	.name = "copier",
	.limit = 64,
};

static void take(void)
{
	for (size_t i = 0; i < RANGES; i++) {
		uint64_t pages = mem.ranges[i].size / page;
		uint64_t *bits = calloc(pages / 64 + 1, sizeof(*bits));

		/* In pieces, as nobody wants to be held up by the whole. */
		for (uint64_t at = 0; at < pages; at += 512)
			guestmem_log_take(
				&mem, i, at, pages - at < 512 ? pages - at : 512, bits + at / 64);
		for (uint64_t at = 0; at < pages; at++) {
			if (!(bits[at / 64] >> at % 64 & 1))
				continue;
			if (!given[i][at])
				fail_msg("page %u of range %u was marked, and not given",
					(unsigned)at, (unsigned)i);
			copy_page(i, at);
		}
		free(bits);
	}
}

static uint8_t *hva_of(uint64_t gpa)
{
	return gpa >= WINDOW_GPA ? mem.ranges[2].hva + (gpa - WINDOW_GPA) : ram + (gpa - RAM_GPA);
}

static void give(uint64_t gpa, uint64_t len)
{
	for (uint64_t at = gpa - gpa % page; at < gpa + len; at += page)
		for (size_t i = 0; i < RANGES; i++)
			if (at - mem.ranges[i].gpa < mem.ranges[i].size)
				given[i][(at - mem.ranges[i].gpa) / page] = true;
}

/* ---- The driver: queue q lies in eight pages, its used ring across the seam of two of them ---- */

static struct device *device;
static uint16_t offered[VIRTIO_QUEUES_MAX], descs[VIRTIO_QUEUES_MAX];
static uint32_t size;
static unsigned queues;
static bool event_alone; /* else the first of the two pages has flags and index, and nothing else */

struct part {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

static struct virtio_device *virtio(void)
{
	return container_of(device, struct virtio_device, base);
}

static uint64_t queue_gpa(unsigned queue, unsigned pages)
{
	return RAM_GPA + (queue * 8 + pages) * page;
}

static uint64_t used_gpa(unsigned queue)
{
	return queue_gpa(queue, 4) - 4 - (event_alone ? 8 * size : 0);
}

static const struct vring_used *used(unsigned queue)
{
	return (const void *)hva_of(used_gpa(queue));
}

static uint64_t buffer(unsigned index)
{
	return queue_gpa(VIRTIO_QUEUES_MAX + index, 0);
}

static void offer(unsigned queue, const struct part *parts, unsigned count)
{
	struct vring_desc *desc = (void *)hva_of(queue_gpa(queue, 0));
	uint16_t *avail = (void *)hva_of(queue_gpa(queue, 1));

	avail[2 + offered[queue]++ % size] = descs[queue] % size;
	for (unsigned i = 0; i < count; i++) {
		unsigned flags = (parts[i].write ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < count ? VRING_DESC_F_NEXT : 0);
		unsigned index = descs[queue]++ % size;

		desc[index] = (struct vring_desc){ parts[i].gpa, parts[i].len, (uint16_t)flags,
			(uint16_t)((index + 1) % size) };
		if (parts[i].write)
			give(parts[i].gpa, parts[i].len);
	}
	avail[1] = offered[queue];
}

static void offer_one(unsigned queue, uint64_t gpa, uint32_t len, bool write)
{
	offer(queue, &(struct part){ gpa, len, write }, 1);
}

static void say(unsigned queue, unsigned index, const void *bytes, uint32_t len)
{
	memcpy(hva_of(buffer(index)), bytes, len);
	offer_one(queue, buffer(index), len, false);
}

/* From here on the guest itself writes nothing, until end(). */
static void begin(void)
{
	for (unsigned q = 0; q < queues; q++)
		give(used_gpa(q), 4 + 8 * size + 2);
	take();
	copy_all();
}

/*
 * At most so many pages were marked. Of each other queue two more may be: a device whose turn was over polls it once
 * more, and then writes the index from which on it wants notifications.
 */
static void end(unsigned most)
{
	take();
	for (size_t i = 0; i < RANGES; i++)
		for (uint64_t at = 0; at < mem.ranges[i].size; at += page)
			if (memcmp(copies[i] + at, mem.ranges[i].hva + at, page))
				fail_msg("page %u of range %u was written, and not marked",
					(unsigned)(at / page), (unsigned)i);
	assert_in_range(changed, 1, most == UINT32_MAX ? most : most + 2 * (queues - 1));
	for (size_t i = 0; i < RANGES; i++)
		memset(given[i], 0, mem.ranges[i].size / page);
}

static void stop_loop(struct loop_timer *timer)
{
	loop_stop(loop);
}

static void turn(void)
{
	struct loop_timer timer = { .fired = stop_loop };

	loop_timer_arm(loop, &timer, 1);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_cancel(&timer);
}

static void serve_until(unsigned queue, uint16_t index)
{
	virtio_kick(virtio(), queue);
	for (unsigned i = 0; used(queue)->idx != index; i++) {
		assert_in_range(i, 0, 10000);
		turn();
	}
}

/* Until all that was offered has been returned. */
static void serve(unsigned queue)
{
	serve_until(queue, offered[queue]);
}

static void set_line(struct irq_line *line, bool level)
{
}

static size_t end_write(struct chardev *chardev, const uint8_t *buf, size_t len)
{
	return len;
}

static void end_resume(struct chardev *chardev)
{
}

static struct chardev ends[2];
static const struct chardev_ops end_ops = { end_write, end_resume };
static struct chardev *const ports[] = { &ends[0], &ends[1] };
static struct irq_line irq = { set_line };
static struct device_env env = {
	.id = "tested", .transport = &direct_transport, .mem = &mem, .irq = &irq, .ports = ports
};

static void start(const struct device_class *class, const void *config, unsigned count,
	uint32_t ring, uint64_t features)
{
	static const uint32_t steps[] = { 0, 1, 3 };

	env.loop = loop;
	env.window = window;
	assert_int_equal(device_create(class, config, &env, &device), 0);
	queues = count;
	size = ring;
	memset(offered, 0, sizeof(offered));
	memset(descs, 0, sizeof(descs));
	memset(ram, 0x5a, 2 * RANGE_PAGES * page);
	memset(ram, 0, 8 * page * VIRTIO_QUEUES_MAX);
	pthread_mutex_lock(&device->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		virtio_write_status(virtio(), steps[i]);
	virtio_take_features(virtio(), UINT64_MAX,
		features | VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
			VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX));
	virtio_write_status(virtio(), 11);
	for (unsigned q = 0; q < count; q++) {
		struct virtq *queue = &virtio()->state.queues[q];

		queue->size = size;
		queue->desc_gpa = queue_gpa(q, 0);
		queue->avail_gpa = queue_gpa(q, 1);
		queue->used_gpa = used_gpa(q);
		virtio_start_queue(virtio(), q);
	}
	virtio_write_status(virtio(), 15);
	pthread_mutex_unlock(&device->lock);
	assert_int_equal(virtio()->state.status, 15);
}

static void finish(void)
{
	virtio_drain(virtio());
	device_destroy(device);
	assert_null(mem.pins);
}

/* ---- Devices ---- */

static void rng(void **state)
{
	start(&virtio_rng_class, NULL, 1, 8, 0);
	for (unsigned i = 0; i < 3; i++) {
		offer(0,
			(const struct part[]){ { buffer(i), 100, true }, { seam - 200, 200, true },
				{ seam, 200, true }, { WINDOW_GPA + page - 100, 200, true } },
			4);
		begin();
		serve(0);
		end(7);
	}
	finish();
}

static int refuse_uring;
struct io_uring;
int __real_io_uring_register_files(struct io_uring *ring, const int *fds, unsigned count);
int __wrap_io_uring_register_files(struct io_uring *ring, const int *fds, unsigned count);

int __wrap_io_uring_register_files(struct io_uring *ring, const int *fds, unsigned count)
{
	return refuse_uring ? refuse_uring : __real_io_uring_register_files(ring, fds, count);
}

static char path[] = "/var/tmp/test-guestmem-log.XXXXXX";

static void *blk_node(bool direct)
{
	void *node = calloc(1, virtio_blk_class.config_bytes);

	virtio_blk_class.defaults(node);
	for (const struct property *p = virtio_blk_class.properties; p->name; p++) {
		if (!strcmp(p->name, "file"))
			*(struct host_path *)((char *)node +
					      p->offset) = (struct host_path){ path };
		if (!strcmp(p->name, "direct"))
			*((char *)node + p->offset) = direct;
	}
	return node;
}

static uint8_t *status_of(unsigned index)
{
	return hva_of(buffer(index) + page - 1);
}

/* Data in `count` parts, header and status in the index's buffer. */
static void ask(
	uint32_t type, uint64_t sector, unsigned index, const struct part *data, unsigned count)
{
	const struct virtio_blk_outhdr header = { .type = type, .sector = sector };
	struct part parts[8] = { { buffer(index), sizeof(header), false } };

	memcpy(hva_of(buffer(index)), &header, sizeof(header));
	if (count)
		memcpy(parts + 1, data, count * sizeof(*data));
	parts[1 + count] = (struct part){ buffer(index) + page - 1, 1, true };
	*status_of(index) = 0xee;
	offer(0, parts, count + 2);
}

static void blk_requests(void)
{
	const struct part in[] = { { seam - 1000, 4096, true }, { WINDOW_GPA + 5, 8192, true },
		{ buffer(9) + 7, 512, true } };
	const struct part out[] = { { seam - 1000, 4096, false }, { WINDOW_GPA + 5, 8192, false } };
	const struct part id[] = { { buffer(9), 20, true } };

	ask(VIRTIO_BLK_T_IN, 3, 0, in, 3);
	begin();
	serve(0);
	end(10);
	assert_int_equal(*status_of(0), VIRTIO_BLK_S_OK);
	/* Of these the data is not written. */
	ask(VIRTIO_BLK_T_IN, DISK_BYTES / SECTOR, 0, in + 2, 1);
	ask(VIRTIO_BLK_T_FLUSH, 0, 1, NULL, 0);
	ask(VIRTIO_BLK_T_OUT, 50, 2, out, 2);
	ask(99, 50, 3, NULL, 0);
	begin();
	serve(0);
	end(6);
	assert_int_equal(*status_of(0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(*status_of(1), VIRTIO_BLK_S_OK);
	assert_int_equal(*status_of(2), VIRTIO_BLK_S_OK);
	assert_int_equal(*status_of(3), VIRTIO_BLK_S_UNSUPP);
	ask(VIRTIO_BLK_T_GET_ID, 0, 0, id, 1);
	begin();
	serve(0);
	end(4);
}

/* What a disk is asked stays with it while this is set. */
static bool hold;
static struct disk *held;
void __real_disk_submit(struct disk *disk);
void __wrap_disk_submit(struct disk *disk);

void __wrap_disk_submit(struct disk *disk)
{
	held = disk;
	if (!hold)
		__real_disk_submit(disk);
}

/* A request gets under way, and nothing has come of it yet. */
static void get_under_way(void)
{
	hold = true;
	virtio_begin_turn(virtio());
	virtio()->class->serve(virtio(), 0);
	assert_int_equal(used(0)->idx, (uint16_t)(offered[0] - 1));
}

static void go_on(void)
{
	hold = false;
	disk_submit(held);
	serve(0);
}

/* Its data and its status are written after the log was taken, or begun. */
static void blk_in_flight(void)
{
	const struct part in = { seam - MiB - 100, LONG_BYTES, true };

	ask(VIRTIO_BLK_T_IN, 0, 0, &in, 1);
	begin();
	get_under_way();
	take();
	take();
	go_on();
	end(LONG_BYTES / page + 6);

	memset(hva_of(in.gpa), 0xa5, in.len);
	ask(VIRTIO_BLK_T_IN, 0, 0, &in, 1);
	guestmem_log_stop(&mem);
	get_under_way();
	give(used_gpa(0), 4 + 8 * size + 2);
	assert_int_equal(guestmem_log_start(&mem), 0);
	copy_all();
	go_on();
	end(LONG_BYTES / page + 6);

	/* While it is written to the disk its data is not. */
	ask(VIRTIO_BLK_T_OUT, 0, 0, &(const struct part){ in.gpa, in.len, false }, 1);
	begin();
	get_under_way();
	take();
	go_on();
	end(4);
}

/* Requests of any parts, while the log is taken again and again. */
static void blk_random(void)
{
	for (unsigned round = 0; round < 25; round++) {
		for (unsigned i = 0; i < 8; i++) {
			struct part parts[4];
			uint64_t bytes = 0;

			/* Each in memory of its own, as drivers have it. */
			for (unsigned n = 0; n < 4; n++) {
				uint32_t len = (uint32_t)(1 + rand() % 64) * SECTOR;

				parts[n] = (struct part){ RAM_GPA + 300 * page +
								  (i * 4 + n) * 9 * 4096 +
								  (uint64_t)rand() % 4096,
					len, true };
				bytes += len;
			}
			ask(VIRTIO_BLK_T_IN, (uint64_t)rand() % ((DISK_BYTES - bytes) / SECTOR), i,
				parts, 4);
		}
		begin();
		virtio_kick(virtio(), 0);
		for (unsigned i = 0; i < (unsigned)rand() % 4; i++) {
			if (rand() % 2)
				turn();
			take();
		}
		serve(0);
		end(UINT32_MAX);
	}
}

static void blk(bool direct, int refused)
{
	void *node = blk_node(direct);

	refuse_uring = refused;
	start(&virtio_blk_class, node, 1, 64, VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH));
	blk_requests();
	blk_in_flight();
	blk_random();
	finish();
	free(node);
}

static void blk_by_uring(void **state)
{
	blk(false, 0);
}

static void blk_by_threads(void **state)
{
	blk(false, -ENOMEM);
}

static void blk_direct(void **state)
{
	blk(true, 0);
	blk(true, -ENOMEM);
}

static void net(void **state)
{
	const uint8_t two_pairs[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0 };
	struct virtio_net_node *node = calloc(1, sizeof(*node));
	unsigned control = 2 * PAIRS;

	virtio_net_class.defaults(node);
	node->tap = "tap0";
	node->queue_pairs = PAIRS;
	network_init();
	start(&virtio_net_class, node, control + 1, 8,
		VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_FEATURE(VIRTIO_NET_F_MQ) |
			VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ));
	turn();
	/* A frame over three buffers, whose first then gets the header anew; and a short one. */
	for (unsigned i = 0; i < 3; i++)
		offer_one(0, buffer(i) + page - 50, 100, true);
	virtio_kick(virtio(), 0);
	turn();
	begin();
	network_comes(290);
	serve(0);
	end(8);
	offer_one(0, buffer(4), 2000, true);
	virtio_kick(virtio(), 0);
	turn();
	begin();
	network_comes(100);
	serve(0);
	end(3);
	/* What is sent is read. */
	offer_one(1, buffer(5), 100, false);
	begin();
	serve(1);
	end(2);
	assert_int_equal(network.sent, 1);
	offer(control,
		(const struct part[]){
			{ buffer(6), sizeof(two_pairs), false }, { buffer(7), 1, true } },
		2);
	memcpy(hva_of(buffer(6)), two_pairs, sizeof(two_pairs));
	begin();
	serve(control);
	end(3);
	assert_int_equal(*hva_of(buffer(7)), VIRTIO_NET_OK);
	/* Dropped, with the cable out. */
	virtio_net_set_link(device, false);
	offer_one(1, buffer(5), 100, false);
	begin();
	serve(1);
	end(2);
	finish();
	free(node);
}

static void console(void **state)
{
	enum { TO_GUEST, FROM_GUEST, CONTROL_TO, CONTROL_FROM };
	const struct virtio_console_control ready = { 0, VIRTIO_CONSOLE_DEVICE_READY, 1 },
					    port_ready = { 0, VIRTIO_CONSOLE_PORT_READY, 1 },
					    opened = { 0, VIRTIO_CONSOLE_PORT_OPEN, 1 };
	/* The node as the board reads it: all that is known of it here is its first property. */
	union {
		struct property_ports ports;
		uint8_t bytes[256];
	} node = { .ports = { 2, { "agent", "log" } } };

	for (unsigned i = 0; i < 2; i++)
		ends[i] = (struct chardev){ .ops = &end_ops };
	start(&virtio_console_class, &node, 6, 8, VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT));
	for (unsigned i = 0; i < 3; i++)
		offer_one(CONTROL_TO, buffer(10 + i), 64, true);
	say(CONTROL_FROM, 0, &ready, sizeof(ready));
	begin();
	serve(CONTROL_FROM);
	end(6);
	assert_int_equal(used(CONTROL_TO)->idx, 2);
	say(CONTROL_FROM, 0, &port_ready, sizeof(port_ready));
	give(buffer(12), 64); /* of before */
	begin();
	serve(CONTROL_FROM);
	end(5);
	assert_memory_equal(hva_of(buffer(12)) + sizeof(ready), "agent", 6);
	say(CONTROL_FROM, 0, &opened, sizeof(opened));
	serve(CONTROL_FROM);
	offer_one(TO_GUEST, buffer(3), 100, true);
	begin();
	assert_int_equal(ends[0].client->receive(ends[0].client, (const uint8_t *)"hello", 5), 5);
	end(3);
	say(FROM_GUEST, 4, "hello", 5);
	begin();
	serve(FROM_GUEST);
	end(2);
	finish();
}

static void balloon(void **state)
{
	enum { INFLATE, DEFLATE, STATISTICS, REPORTING = 4 };
	const struct virtio_balloon_node node = { 0 };
	uint32_t list[16];

	start(&virtio_balloon_class, &node, 5, 8,
		VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ) | VIRTIO_FEATURE(5 /* page reporting */));
	for (unsigned i = 0; i < page / 4096; i++)
		list[i] = (uint32_t)(buffer(20) / 4096 + i);
	say(INFLATE, 0, list, (uint32_t)(page / 4096 * sizeof(list[0])));
	give(buffer(20), page);
	begin();
	serve(INFLATE);
	assert_int_equal(*hva_of(buffer(20)), 0);
	end(3);
	say(DEFLATE, 0, list, 4);
	begin();
	serve(DEFLATE);
	end(2);
	/* The first buffer of statistics comes back for the second. */
	for (unsigned i = 0; i < 2; i++)
		offer_one(STATISTICS, buffer(i), 10, false);
	begin();
	serve_until(STATISTICS, 1);
	end(2);
	offer_one(REPORTING, buffer(21) - 5, (uint32_t)(2 * page), true);
	begin();
	serve(REPORTING);
	assert_int_equal(*hva_of(buffer(21)), 0);
	end(3);
	finish();
}

static void mem_and_window(void **state)
{
	struct virtio_mem_req req = {
		.type = VIRTIO_MEM_REQ_PLUG,
		.u.plug = { .addr = WINDOW_GPA + 4 * BLOCK_PAGES * page, .nb_blocks = 1 },
	};
	const struct virtio_mem_node node = { .requested_size = window_bytes,
		.numa_node = VIRTIO_MEM_UNSET };
	uint8_t *block = mem.ranges[2].hva + 4 * BLOCK_PAGES * page;

	start(&virtio_mem_class, &node, 1, 8, VIRTIO_FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE));
	for (unsigned i = 0; i < 3; i++) {
		offer(0,
			(const struct part[]){ { buffer(0), sizeof(req), false },
				{ buffer(1), sizeof(struct virtio_mem_resp), true } },
			2);
		req.type = i == 1 ? VIRTIO_MEM_REQ_UNPLUG : VIRTIO_MEM_REQ_PLUG;
		memcpy(hva_of(buffer(0)), &req, sizeof(req));
		memset(hva_of(buffer(1)), 0xee, sizeof(struct virtio_mem_resp));
		begin();
		serve(0);
		end(3);
		assert_int_equal(*hva_of(buffer(1)), VIRTIO_MEM_RESP_ACK);
		if (i == 0) /* A block that is gone is gone, and the next is zeros. */
			memset(block, 0xee, page);
	}
	assert_int_equal(*block, 0);
	give(WINDOW_GPA + 4 * BLOCK_PAGES * page, 1);
	begin();
	assert_int_equal(guestmem_write(&mem, WINDOW_GPA + 4 * BLOCK_PAGES * page, "x", 1), 0);
	end(1);
	/* A mark stays behind an unplug, and harms nobody. */
	assert_int_equal(guestmem_write(&mem, WINDOW_GPA + 4 * BLOCK_PAGES * page, "y", 1), 0);
	assert_int_equal(window_unplug(window, 4 * BLOCK_PAGES * page, BLOCK_PAGES * page), 0);
	finish();
	give(WINDOW_GPA + 4 * BLOCK_PAGES * page, 1);
	begin();
	changed = 1;
	end(1);
}

/* ---- All of it with each layout of the used ring ---- */

static int set_event_alone(void **state)
{
	event_alone = true;
	return 0;
}

static int set_index_alone(void **state)
{
	event_alone = false;
	return 0;
}

#define BOTH(test)                                                                                 \
	cmocka_unit_test_setup(test, set_index_alone),                                             \
	{                                                                                          \
#test ", event alone", test, set_event_alone, NULL, NULL                           \
	}

static int setup(void **state)
{
	struct window_config config = { .name = "window", .gpa = WINDOW_GPA };
	uint8_t *bytes = malloc(DISK_BYTES);
	int fd = mkstemp(path);

	log_set_sink(no_log);
	kvm_seam = &kvm_kernel;
	page = (uint64_t)sysconf(_SC_PAGESIZE);
	seam = RAM_GPA + RANGE_PAGES * page;
	for (unsigned i = 0; i < DISK_BYTES; i++)
		bytes[i] = (uint8_t)rand();
	assert_int_equal(write(fd, bytes, DISK_BYTES), DISK_BYTES);
	close(fd);
	free(bytes);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(addrspace_allocate(RAM_GPA, 2 * RANGE_PAGES * page, &ram), 0);
	config.block_bytes = BLOCK_PAGES * page;
	config.slot_bytes = 2 * config.block_bytes;
	config.size = window_bytes = BLOCKS * config.block_bytes;
	assert_int_equal(window_create(&config, loop, &window), 0);
	slots_init(&slots);
	assert_int_equal(slots_add_listener(&slots, &listener), 0);
	assert_int_equal(slots_reserve(&slots, "window", window_slot_count(window)), 0);
	window_attach(window, &slots);
	assert_int_equal(window_plug(window, 0, 2 * config.block_bytes), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(guestmem_add(&mem,
					 &(struct guestmem_range){ RAM_GPA + i * RANGE_PAGES * page,
						 RANGE_PAGES * page, ram + i * RANGE_PAGES * page,
						 NULL, NULL }),
			0);
	assert_int_equal(guestmem_add(&mem, &(struct guestmem_range){ WINDOW_GPA, config.size,
						    window_hva(window), window, NULL }),
		0);
	for (size_t i = 0; i < RANGES; i++) {
		copies[i] = calloc(1, mem.ranges[i].size);
		given[i] = calloc(mem.ranges[i].size / page, sizeof(bool));
	}
	return guestmem_log_start(&mem);
}

static int tear_down(void **state)
{
	guestmem_log_stop(&mem);
	for (size_t i = 0; i < RANGES; i++) {
		free(copies[i]);
		free(given[i]);
	}
	slots_forget(&slots);
	window_detach(window);
	window_destroy(window);
	slots_finish(&slots);
	addrspace_unmap(ram, 2 * RANGE_PAGES * page);
	loop_destroy(loop);
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(rng),
		BOTH(blk_by_uring),
		BOTH(blk_by_threads),
		BOTH(blk_direct),
		BOTH(net),
		BOTH(console),
		BOTH(balloon),
		BOTH(mem_and_window),
	};

	return cmocka_run_group_tests(tests, setup, tear_down);
}
