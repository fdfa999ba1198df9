/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk (virtio 1.2, 5.2): checks each request and passes it to the disk (devices/backend/disk.h), which transfers
 * straight to and from guest memory. The memory is pinned meanwhile. An invalid request gets an error status and
 * touches nothing; one without room for a status is returned unchanged.
 *
 * Without VIRTIO_BLK_F_FLUSH a write completes only when it is on the disk.
 */
#include "devices/virtio/virtio-blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/disk.h"
#include "devices/state.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"

#define SECTOR	   512
#define QUEUE_SIZE VIRTQ_SEGMENTS_MAX /* a request may have as many segments, see seg_max */
/* Linux uses one for each CPU. One thread serves all queues, so more do not help. */
#define QUEUES_DEFAULT 4
#define QUEUES_MAX     8
/* Guests align partitions and file systems to it. A constant, so that it is the same on every host. */
#define PHYSICAL_DEFAULT 4096
#define SEAMS_MAX	16 /* between ranges of memory, in one request */
#define PARTS_MAX	(QUEUE_SIZE + SEAMS_MAX)
#define RANGE_MAX_BYTES (1 * GiB) /* of one discard or write of zeroes; Linux splits larger ones */

struct virtio_blk_node {
	struct host_path file;
	const char *serial; /* NULL: the device's id */
	uint32_t queues;
	uint32_t format;	    /* FORMAT_RAW, FORMAT_UNSAID */
	uint32_t discard;	    /* an index into `switches` */
	uint32_t logical, physical; /* bytes of a block */
	bool read_only, direct;
};

/* Copies of the disk's values, set when the state is saved. */
struct virtio_blk_state {
	uint64_t disk_bytes;
	bool lost;
	uint8_t hole[7];
};

struct virtio_blk {
	struct virtio_device virtio;
	struct virtio_class class; /* virtio_class with the node's number of queues */
	struct disk *disk;
	bool read_only;
	char serial[VIRTIO_BLK_ID_BYTES]; /* padded with zeros */
	struct virtio_blk_config config;  /* filled from the node and the disk */
	struct virtio_blk_state state;
	struct iovec parts[PARTS_MAX]; /* of the request being checked */
	unsigned held;		       /* queues that wait for a full disk, as bits */
	struct log_limit complaints;
};

/* In flight. */
struct request {
	struct disk_request disk;
	struct guestmem_pin pin;
	struct virtio_blk *blk;
	unsigned queue;
	uint16_t head;
	uint32_t writable_bytes;
	struct iovec parts[]; /* data, then the status */
};

static struct virtio_blk *from_device(struct device *device)
{
	return container_of(device, struct virtio_blk, virtio.base);
}

static bool negotiated(const struct virtio_blk *blk, unsigned feature)
{
	return blk->virtio.state.driver_features & VIRTIO_FEATURE(feature);
}

/* ---- The end of a request ---- */

static uint8_t status_of(int err)
{
	return !err ? VIRTIO_BLK_S_OK : err == -ENOTSUP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* Serves the queues that waited for a full disk. */
static void kick_held(struct virtio_blk *blk)
{
	if (disk_is_full(blk->disk))
		return;
	for (unsigned queue = 0; blk->held >> queue; queue++)
		if (blk->held >> queue & 1)
			virtio_kick(&blk->virtio, queue);
	blk->held = 0;
}

static void done(struct disk_request *disk, int err)
{
	struct request *request = container_of(disk, struct request, disk);
	struct virtio_blk *blk = request->blk;
	uint8_t *status = request->pin.parts[request->pin.count - 1].iov_base;

	if (err && err != -ECANCELED) /* -ECANCELED: by wait_for_disk() */
		log_limited(&blk->complaints, LOG_ERROR, "%s: the host failed a request: %s",
			blk->virtio.base.id, strerror(-err));
	*status = status_of(err);
	guestmem_unpin(&request->pin);
	pthread_mutex_lock(&blk->virtio.base.lock);
	virtio_end(&blk->virtio, request->queue, request->head, err ? 0 : request->writable_bytes);
	pthread_mutex_unlock(&blk->virtio.base.lock);
	free(request);
	kick_held(blk);
}

/* ---- A request's parts in guest memory ---- */

/* The last writable byte (5.2.6), or NULL. */
static uint8_t *find_status(const struct virtio_blk *blk, const struct virtq_chain *chain)
{
	const struct virtq_segment *last;

	if (!chain->writable)
		return NULL;
	last = &chain->segments[chain->readable + chain->writable - 1];
	if (last->gpa + last->len - 1 < last->gpa)
		return NULL;
	return guestmem_write_at(blk->virtio.env->mem, last->gpa + last->len - 1, 1);
}

/*
 * Maps `bytes` of the segments, from `skip` bytes into `segment` on, into blk->parts. Returns how many parts, or
 * -EFAULT if one is not memory.
 */
static int map(struct virtio_blk *blk, const struct virtq_segment *segment, uint64_t skip,
	uint64_t bytes, enum guestmem_use use)
{
	int count = 0;

	for (; bytes; segment++) {
		uint64_t len = segment->len, gpa = segment->gpa + skip;
		int parts;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len = len - skip < bytes ? len - skip : bytes;
		parts = gpa < segment->gpa
				? -EFAULT
				: guestmem_parts(blk->virtio.env->mem, gpa, len, use,
					  blk->parts + count, PARTS_MAX - (unsigned)count);
		if (parts < 0)
			return parts;
		count += parts;
		bytes -= len;
		skip = 0;
	}
	return count;
}

/* ---- Requests (5.2.6). Each function fills the disk's request; 0, or -errno if it is invalid. ---- */

static int check_range(const struct virtio_blk *blk, uint64_t sector, uint64_t bytes)
{
	const struct disk_info *info = disk_info(blk->disk);

	if (!bytes || sector > info->bytes / SECTOR || bytes > info->bytes - sector * SECTOR ||
		sector * SECTOR % info->block_bytes || bytes % info->block_bytes)
		return -EINVAL;
	return 0;
}

static int transfer(struct virtio_blk *blk, struct disk_request *disk,
	const struct virtq_chain *chain, const struct virtio_blk_outhdr *header)
{
	int err, count;

	disk->op = header->type == VIRTIO_BLK_T_IN ? DISK_READ : DISK_WRITE;
	disk->offset = header->sector * SECTOR;
	disk->bytes = disk->op == DISK_READ ? chain->writable_bytes - 1
					    : chain->readable_bytes - sizeof(*header);
	if (disk->op == DISK_WRITE && blk->read_only)
		return -EROFS;
	err = check_range(blk, header->sector, disk->bytes);
	if (err)
		return err;
	if (disk->op == DISK_READ)
		count = map(blk, chain->segments + chain->readable, 0, disk->bytes, GUESTMEM_WRITE);
	else
		count = map(blk, chain->segments, sizeof(*header), disk->bytes, GUESTMEM_READ);
	if (count < 0)
		return count;
	disk->iov_count = (unsigned)count;
	return 0;
}

static int flush(struct virtio_blk *blk, struct disk_request *disk, const struct virtq_chain *chain,
	const struct virtio_blk_outhdr *header)
{
	disk->op = DISK_FLUSH;
	return 0;
}

static int clear(struct virtio_blk *blk, struct disk_request *disk, const struct virtq_chain *chain,
	const struct virtio_blk_outhdr *header)
{
	bool discard = header->type == VIRTIO_BLK_T_DISCARD;
	struct {
		struct virtio_blk_outhdr header;
		struct virtio_blk_discard_write_zeroes range;
	} all;
	uint64_t bytes;

	if (!negotiated(blk, discard ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES))
		return -ENOTSUP;
	if (blk->read_only)
		return -EROFS;
	/* One range: max_discard_seg and max_write_zeroes_seg are 1. */
	if (chain->readable_bytes != sizeof(all) ||
		virtq_chain_read(chain, blk->virtio.env->mem, &all, sizeof(all)))
		return -EINVAL;
	/* 5.2.6.2: no reserved flags, and UNMAP only for zeroes. */
	if (all.range.flags & ~(discard ? 0u : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return -ENOTSUP;
	bytes = (uint64_t)all.range.num_sectors * SECTOR;
	disk->op = discard ? DISK_DISCARD : DISK_WRITE_ZEROES;
	disk->unmap = all.range.flags && blk->config.write_zeroes_may_unmap;
	disk->offset = all.range.sector * SECTOR;
	disk->bytes = bytes;
	return bytes > RANGE_MAX_BYTES ? -EINVAL : check_range(blk, all.range.sector, bytes);
}

static const struct {
	uint32_t type;
	int (*prepare)(struct virtio_blk *blk, struct disk_request *disk,
		const struct virtq_chain *chain, const struct virtio_blk_outhdr *header);
} kinds[] = {
	{ VIRTIO_BLK_T_IN, transfer },
	{ VIRTIO_BLK_T_OUT, transfer },
	{ VIRTIO_BLK_T_FLUSH, flush },
	{ VIRTIO_BLK_T_DISCARD, clear },
	{ VIRTIO_BLK_T_WRITE_ZEROES, clear },
};

/* Starts the request; -errno if it is invalid or there is no memory for it. */
static int start(struct virtio_blk *blk, unsigned queue, const struct virtq_chain *chain,
	const struct virtio_blk_outhdr *header, uint8_t *status)
{
	struct disk_request disk = {
		.done = done,
		.durable = !negotiated(blk, VIRTIO_BLK_F_FLUSH) && !blk->read_only,
	};
	struct request *request;
	size_t kind = 0;
	int err;

	while (kind < ARRAY_SIZE(kinds) && kinds[kind].type != header->type)
		kind++;
	if (kind == ARRAY_SIZE(kinds))
		return -ENOTSUP;
	err = kinds[kind].prepare(blk, &disk, chain, header);
	if (err)
		return err;
	if (disk.op == DISK_READ)
		disk.durable = false;
	request = calloc(1, sizeof(*request) + (disk.iov_count + 1) * sizeof(request->parts[0]));
	if (!request)
		return -ENOMEM;
	request->blk = blk;
	request->queue = queue;
	request->head = chain->head;
	request->writable_bytes = chain->writable_bytes;
	request->disk = disk;
	request->disk.iov = request->parts;
	memcpy(request->parts, blk->parts, disk.iov_count * sizeof(request->parts[0]));
	request->parts[disk.iov_count] = (struct iovec){ .iov_base = status, .iov_len = 1 };
	request->pin.parts = request->parts;
	request->pin.count = disk.iov_count + 1;
	request->pin.first_written = disk.op == DISK_READ ? 0 : disk.iov_count;
	guestmem_pin(blk->virtio.env->mem, &request->pin);
	virtio_begin(&blk->virtio, queue);
	disk_start(blk->disk, &request->disk);
	return 0;
}

static int get_id(const struct virtio_blk *blk, const struct virtq_chain *chain)
{
	size_t room = chain->writable_bytes - 1;

	return virtq_chain_write(chain, blk->virtio.env->mem, blk->serial,
		room < sizeof(blk->serial) ? room : sizeof(blk->serial));
}

static void serve_chain(struct virtio_blk *blk, unsigned queue, const struct virtq_chain *chain)
{
	struct virtio_blk_outhdr header;
	uint8_t *status = find_status(blk, chain);
	int err;

	if (!status) {
		virtio_push(&blk->virtio, queue, chain->head, 0);
		return;
	}
	err = virtq_chain_read(chain, blk->virtio.env->mem, &header, sizeof(header));
	if (!err && header.type == VIRTIO_BLK_T_GET_ID) {
		err = get_id(blk, chain);
	} else if (!err) {
		err = start(blk, queue, chain, &header, status);
		if (!err)
			return;
	}
	if (err)
		log_limited(&blk->complaints, LOG_WARNING,
			"%s: a request of its driver is wrong: %s", blk->virtio.base.id,
			strerror(-err));
	*status = status_of(err);
	virtio_push(&blk->virtio, queue, chain->head, err ? 0 : chain->writable_bytes);
}

/* False: the disk is full. Chains stay in the ring until the end of a request kicks the queue. */
static bool has_room(struct virtio_blk *blk, unsigned queue)
{
	if (!disk_is_full(blk->disk))
		return true;
	blk->held |= 1u << queue;
	return false;
}

/* Also serves chains that arrive meanwhile, before it asks the driver for a notification. */
static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_blk *blk = container_of(virtio, struct virtio_blk, virtio);
	struct virtq_chain chain;
	bool some;

	do {
		pthread_mutex_lock(&virtio->base.lock);
		some = false;
		while ((!some || virtio_waits(virtio, index)) && has_room(blk, index) &&
			virtio_pop(virtio, index, &chain)) {
			serve_chain(blk, index, &chain);
			some = true;
		}
		virtio_interrupt(virtio, index);
		pthread_mutex_unlock(&virtio->base.lock);
		disk_submit(blk->disk);
	} while (some);
}

static void wait_for_disk(struct virtio_device *virtio)
{
	disk_wait(container_of(virtio, struct virtio_blk, virtio)->disk, true);
}

/* ---- The node ---- */

static const char *const switches[] = { "on", "off", NULL };
static const char *const formats[] = { "raw", NULL };
#define FORMAT_RAW    0
#define FORMAT_UNSAID 1

#define FIELD(name) offsetof(struct virtio_blk_node, name)

static const struct property properties[] = {
	{ "file", PROPERTY_FILE, FIELD(file), .required = true },
	{ "format", PROPERTY_CHOICE, FIELD(format), .choices = formats },
	{ "read-only", PROPERTY_FLAG, FIELD(read_only) },
	{ "serial", PROPERTY_STRING, FIELD(serial) },
	{ "queues", PROPERTY_U32, FIELD(queues), .min = 1, .max = QUEUES_MAX },
	{ "direct", PROPERTY_FLAG, FIELD(direct) },
	{ "discard", PROPERTY_CHOICE, FIELD(discard), .choices = switches },
	{ "logical-block-size", PROPERTY_U32, FIELD(logical), .min = SECTOR, .max = 4096 },
	{ "physical-block-size", PROPERTY_U32, FIELD(physical), .min = SECTOR, .max = 1 * MiB },
	{ NULL },
};

static void virtio_blk_defaults(void *config)
{
	*(struct virtio_blk_node *)config = (struct virtio_blk_node){
		.queues = QUEUES_DEFAULT,
		.format = FORMAT_UNSAID,
		.logical = SECTOR,
		.physical = PHYSICAL_DEFAULT,
	};
}

static void virtio_blk_check(const void *config, struct device_check *check)
{
	const struct virtio_blk_node *node = config;

	if (node->serial && strlen(node->serial) > VIRTIO_BLK_ID_BYTES)
		check->error(check, "serial", "\"%s\" has %zu bytes, and there is room for %d",
			node->serial, strlen(node->serial), VIRTIO_BLK_ID_BYTES);
	if (node->logical != SECTOR && node->logical != 4096)
		check->error(check, "logical-block-size", "is %u, and may be 512 or 4096",
			node->logical);
	else if (!is_power_of_two(node->physical) || node->physical < node->logical)
		check->error(check, "physical-block-size",
			"is %u: it is a power of two, and no less than a logical block of %u",
			node->physical, node->logical);
}

static struct disk_config disk_config(const struct virtio_blk_node *node)
{
	return (struct disk_config){
		.path = node->file,
		.raw = node->format == FORMAT_RAW,
		.read_only = node->read_only,
		.block_bytes = node->logical,
		.direct = node->direct,
		.in_flight = node->queues * QUEUE_SIZE,
	};
}

static void virtio_blk_probe(const void *config, struct device_check *check)
{
	const struct disk_config disk = disk_config(config);
	char why[1024];
	int err = disk_probe(&disk, check->running, why, sizeof(why));

	check->missing = err == -ENOENT;
	if (err)
		check->error(check, "file", "%s", why);
}

/* ---- The class ---- */

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_BLOCK,
	.queue_size_max = QUEUE_SIZE,
	.features = VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		    VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_MQ),
	.config_bytes = sizeof(struct virtio_blk_config),
	.serve = serve,
	.wait = wait_for_disk,
};

static void fill_config(struct virtio_blk_config *config, const struct disk_info *info,
	const struct virtio_blk_node *node)
{
	uint32_t factor = node->physical / node->logical;

	*config = (struct virtio_blk_config){
		.capacity = info->bytes / SECTOR,
		.seg_max = QUEUE_SIZE - 2, /* without header and status */
		.blk_size = node->logical,
		.physical_block_exp = (uint8_t)__builtin_ctz(factor),
		.min_io_size = (uint16_t)factor,
		.num_queues = (uint16_t)node->queues,
		.max_discard_sectors = RANGE_MAX_BYTES / SECTOR,
		.max_discard_seg = 1,
		.discard_sector_alignment = node->physical / SECTOR,
		.max_write_zeroes_sectors = RANGE_MAX_BYTES / SECTOR,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = !node->discard,
	};
}

static uint64_t features_of(const struct virtio_blk_node *node)
{
	if (node->read_only)
		return VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	return VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) | VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) |
	       (node->discard ? 0 : VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD));
}

static int virtio_blk_init(struct device *device, const void *config, const struct device_env *env)
{
	const struct virtio_blk_node *node = config;
	struct disk_config disk = disk_config(node);
	const char *serial = node->serial ? node->serial : env->id;
	struct virtio_blk *blk = from_device(device);
	int err;

	disk.id = env->id;
	err = disk_open(&disk, env->loop, &blk->disk);

	if (err)
		return err;
	memcpy(blk->serial, serial, strnlen(serial, sizeof(blk->serial)));
	blk->read_only = node->read_only;
	blk->complaints = (struct log_limit)LOG_LIMIT(5);
	blk->class = virtio_class;
	blk->class.queue_count = node->queues;
	fill_config(&blk->config, disk_info(blk->disk), node);
	return virtio_init(&blk->virtio, &blk->class, env, features_of(node), &blk->config);
}

int virtio_blk_resize(struct device *device, uint64_t bytes, char *ret_why, size_t len)
{
	struct virtio_blk *blk = from_device(device);
	int err = disk_resize(blk->disk, bytes, ret_why, len);
	uint64_t sectors = disk_info(blk->disk)->bytes / SECTOR;

	pthread_mutex_lock(&device->lock);
	if (!err && blk->config.capacity != sectors) {
		blk->config.capacity = sectors;
		virtio_config_changed(&blk->virtio);
	}
	pthread_mutex_unlock(&device->lock);
	return err;
}

uint64_t virtio_blk_bytes(struct device *device)
{
	return disk_info(from_device(device)->disk)->bytes;
}

static uint64_t get_bytes(struct device *device, unsigned index)
{
	return virtio_blk_bytes(device);
}

static const struct device_value values[] = {
	/* 0: the size that the disk's file or device has now. */
	{ "x-sluice-size", "size", get_bytes, 0, virtio_blk_resize,
		.expects = "a size of 0 or more" },
	{ 0 },
};

static void virtio_blk_drain(struct device *device)
{
	virtio_drain(&from_device(device)->virtio);
}

static bool virtio_blk_busy(struct device *device)
{
	bool busy = virtio_busy(device);

	if (busy)
		disk_end(from_device(device)->disk);
	return busy;
}

static void virtio_blk_finish(struct device *device)
{
	struct virtio_blk *blk = from_device(device);

	virtio_drain(&blk->virtio);
	virtio_finish(&blk->virtio);
	disk_close(blk->disk);
}

/* ---- Its state ---- */

static void take_state(struct device *device)
{
	struct virtio_blk *blk = from_device(device);

	blk->state.disk_bytes = disk_info(blk->disk)->bytes;
	blk->state.lost = disk_is_lost(blk->disk);
}

static void put_state(struct device *device)
{
	if (from_device(device)->state.lost)
		disk_lose(from_device(device)->disk);
}

static const struct state_field state_fields[] = {
	{ "disk-bytes", STATE_ONE(struct virtio_blk, state.disk_bytes), .fixed = true },
	{ "lost", STATE_ONE(struct virtio_blk, state.lost) },
	{ STATE_HOLE(struct virtio_blk, state.hole) },
	{ 0 },
};

static const struct state_part blk_state = {
	STATE_PART(struct virtio_blk, state),
	.fields = state_fields,
	.take = take_state,
	.put = put_state,
};

const struct device_class virtio_blk_class = {
	.compatible = "sluice,virtio-blk",
	.bytes = sizeof(struct virtio_blk),
	.kind = DEVICE_VIRTIO,
	.properties = properties,
	.config_bytes = sizeof(struct virtio_blk_node),
	.defaults = virtio_blk_defaults,
	.check = virtio_blk_check,
	.probe = virtio_blk_probe,
	.init = virtio_blk_init,
	.reset = virtio_quiesce,
	.quiesce = virtio_quiesce,
	.drain = virtio_blk_drain,
	.busy = virtio_blk_busy,
	.pause = virtio_pause,
	.values = values,
	.state = { &blk_state, &virtio_state },
	.finish = virtio_blk_finish,
};
