/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mem (virtio 1.2, 5.15): the guest asks to plug and unplug blocks of a window, the host
 * says how much it may have. What a block's state means for memory is the window's concern
 * (hyp/window.h), what the tree says of it virtio-mem-node.c's; here requests are judged and sizes
 * kept.
 *
 * Everything happens on the event loop's thread but for the driver's register accesses, which only
 * read what is here. So the lock is taken to change the configuration space, not to read it.
 */
#include "devices/virtio-mem.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mem.h>
#include <stdlib.h>

#include "devices/virtio-mem-node.h"
#include "devices/virtio.h"
#include "hyp/guestmem.h"
#include "hyp/util.h"
#include "hyp/window.h"

/* virtio 1.3, 5.15.3; newer than the headers of Debian 12. */
#ifndef VIRTIO_MEM_F_PERSISTENT_SUSPEND
#define VIRTIO_MEM_F_PERSISTENT_SUSPEND 2
#endif

/* How far the usable part goes beyond the request: twice the largest memory block of a guest. */
#define USABLE_AHEAD (1 * GiB)
/* After BUSY Linux waits 50 s or more, unless told that the configuration has changed. */
#define BUSY_HINT_MS 5000

struct virtio_mem {
	struct virtio_device virtio;
	struct window *window;
	struct virtio_mem_config config; /* as the driver sees it */
	uint64_t told_plugged;
	/* Armed while the last answer to a (un)plug request was BUSY and there is more to do. */
	struct loop_timer busy_hint;
	struct log_limit complaints;
	void (*changed)(struct device *device, void *opaque);
	void *opaque;
};

static struct virtio_mem *from_device(struct device *device)
{
	return container_of(device, struct virtio_mem, virtio.base);
}

/* ---- Sizes ---- */

static uint64_t usable_target(const struct virtio_mem *mem, uint64_t requested)
{
	uint64_t block = mem->config.block_size, size = mem->config.region_size;

	if (!requested)
		return 0;
	if (size - requested <= USABLE_AHEAD)
		return size;
	return align_up(requested + USABLE_AHEAD, block);
}

/* Takes over what may have changed; true if it did. With the lock. */
static bool set_sizes(struct virtio_mem *mem, uint64_t requested, uint64_t usable)
{
	uint64_t plugged = window_plugged_bytes(mem->window);
	struct virtio_mem_config *config = &mem->config;

	if (config->requested_size == requested && config->usable_region_size == usable &&
		config->plugged_size == plugged)
		return false;
	config->requested_size = requested;
	config->usable_region_size = usable;
	config->plugged_size = plugged;
	return true;
}

/* Tells the watcher, without the lock. */
static void tell(struct virtio_mem *mem)
{
	if (mem->told_plugged == mem->config.plugged_size)
		return;
	mem->told_plugged = mem->config.plugged_size;
	if (mem->changed)
		mem->changed(&mem->virtio.base, mem->opaque);
}

/* ---- Requests (5.15.6) ---- */

struct verdict {
	uint16_t type;	 /* VIRTIO_MEM_RESP_* */
	uint16_t state;	 /* of a STATE request */
	const char *why; /* of an error, for the log */
};

#define ERROR(reason) ((struct verdict){ .type = VIRTIO_MEM_RESP_ERROR, .why = (reason) })

/* What the window's -errno means to the guest: nothing has changed, try again. */
static struct verdict ack_or_busy(int err)
{
	return (struct verdict){ .type = err ? VIRTIO_MEM_RESP_BUSY : VIRTIO_MEM_RESP_ACK };
}

/* Blocks that a request names, as a range of the window. */
struct blocks {
	uint64_t offset, size;
};

/* NULL, or what is wrong with the range: it has to lie in the usable part, and not be empty. */
static const char *check_blocks(
	const struct virtio_mem *mem, const struct virtio_mem_req *req, struct blocks *ret)
{
	/* The three requests with a range share one layout. */
	uint64_t offset = req->u.plug.addr - mem->config.addr, block = mem->config.block_size;
	uint64_t usable = mem->config.usable_region_size, count = req->u.plug.nb_blocks;

	if (!count)
		return "no blocks";
	if (!is_aligned(req->u.plug.addr, block))
		return "not aligned to the block";
	if (req->u.plug.addr < mem->config.addr || offset >= usable ||
		count > (usable - offset) / block)
		return "not in the usable part";
	*ret = (struct blocks){ .offset = offset, .size = count * block };
	return NULL;
}

static struct verdict plug(struct virtio_mem *mem, const struct blocks *blocks)
{
	uint64_t plugged = mem->config.plugged_size, requested = mem->config.requested_size;

	if (window_state(mem->window, blocks->offset, blocks->size) != WINDOW_UNPLUGGED)
		return ERROR("plugged already");
	/* plugged may be above requested, when that was lowered. */
	if (plugged >= requested || blocks->size > requested - plugged)
		return (struct verdict){ .type = VIRTIO_MEM_RESP_NACK };
	return ack_or_busy(window_plug(mem->window, blocks->offset, blocks->size));
}

/* Another device's requests are under way there: they end first. */
static bool in_use(const struct virtio_mem *mem, uint64_t gpa, uint64_t size)
{
	return guestmem_pinned(mem->virtio.env->mem, gpa, size);
}

static struct verdict unplug(struct virtio_mem *mem, const struct blocks *blocks)
{
	if (window_state(mem->window, blocks->offset, blocks->size) != WINDOW_PLUGGED)
		return ERROR("not plugged");
	if (in_use(mem, mem->config.addr + blocks->offset, blocks->size))
		return ack_or_busy(-EBUSY);
	return ack_or_busy(window_unplug(mem->window, blocks->offset, blocks->size));
}

/* Also the one request that lets the usable part shrink, and that silently (5.15.6.4). */
static struct verdict unplug_all(struct virtio_mem *mem, const struct blocks *blocks)
{
	uint64_t requested = mem->config.requested_size;
	int err = in_use(mem, mem->config.addr, mem->config.region_size)
			  ? -EBUSY
			  : window_unplug_all(mem->window);

	if (!err && set_sizes(mem, requested, usable_target(mem, requested)))
		virtio_config_changed_silently(&mem->virtio);
	return ack_or_busy(err);
}

static struct verdict state(struct virtio_mem *mem, const struct blocks *blocks)
{
	static const uint16_t states[] = {
		[WINDOW_PLUGGED] = VIRTIO_MEM_STATE_PLUGGED,
		[WINDOW_UNPLUGGED] = VIRTIO_MEM_STATE_UNPLUGGED,
		[WINDOW_MIXED] = VIRTIO_MEM_STATE_MIXED,
	};

	return (struct verdict){
		.type = VIRTIO_MEM_RESP_ACK,
		.state = states[window_state(mem->window, blocks->offset, blocks->size)],
	};
}

static const struct request {
	const char *name;
	bool has_blocks, changes;
	struct verdict (*judge)(struct virtio_mem *mem, const struct blocks *blocks);
} requests[] = {
	[VIRTIO_MEM_REQ_PLUG] = { "PLUG", .has_blocks = true, .changes = true, .judge = plug },
	[VIRTIO_MEM_REQ_UNPLUG] = { "UNPLUG", .has_blocks = true, .changes = true,
		.judge = unplug },
	[VIRTIO_MEM_REQ_UNPLUG_ALL] = { "UNPLUG_ALL", .changes = true, .judge = unplug_all },
	[VIRTIO_MEM_REQ_STATE] = { "STATE", .has_blocks = true, .judge = state },
};

static void note_answer(struct virtio_mem *mem, uint16_t type)
{
	if (type == VIRTIO_MEM_RESP_BUSY)
		loop_timer_arm(mem->virtio.env->loop, &mem->busy_hint, BUSY_HINT_MS);
	else
		loop_timer_cancel(&mem->busy_hint);
	if (set_sizes(mem, mem->config.requested_size, mem->config.usable_region_size))
		virtio_config_changed_silently(&mem->virtio);
}

static struct verdict answer(struct virtio_mem *mem, const struct virtio_mem_req *req)
{
	const struct request *request = req->type < ARRAY_SIZE(requests) ? &requests[req->type]
									 : NULL;
	struct blocks blocks = { 0 };
	const char *why = NULL;
	struct verdict verdict;

	if (!request)
		why = "unknown type";
	else if (request->has_blocks)
		why = check_blocks(mem, req, &blocks);
	verdict = why ? ERROR(why) : request->judge(mem, &blocks);
	if (request && request->changes)
		note_answer(mem, verdict.type);
	if (verdict.type == VIRTIO_MEM_RESP_ERROR)
		log_limited(&mem->complaints, LOG_WARNING,
			"%s: request %s (%u) of %u blocks at 0x%" PRIx64 " is wrong: %s",
			mem->virtio.base.id, request ? request->name : "?", req->type,
			req->u.plug.nb_blocks, (uint64_t)req->u.plug.addr, verdict.why);
	return verdict;
}

/*
 * Returns how many bytes were written to the chain. A request or a response that is too short or
 * not in memory is not carried out: the driver must be able to hear of what was done.
 */
static uint32_t serve_chain(struct virtio_mem *mem, const struct virtq_chain *chain)
{
	struct virtio_mem_resp resp = { .type = VIRTIO_MEM_RESP_ERROR };
	const struct guestmem *memory = mem->virtio.env->mem;
	struct virtio_mem_req req;
	struct verdict verdict;

	_Static_assert(sizeof(req) == 24 && sizeof(resp) == 10, "virtio 1.2, 5.15.6");
	if (virtq_chain_read(chain, memory, &req, sizeof(req)) ||
		virtq_chain_write(chain, memory, &resp, sizeof(resp)))
		return 0;
	verdict = answer(mem, &req);
	resp.type = verdict.type;
	resp.u.state.state = verdict.state;
	/* Fails where the response lay in what the request has just unplugged. */
	return virtq_chain_write(chain, memory, &resp, sizeof(resp)) ? 0 : sizeof(resp);
}

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_mem *mem = container_of(virtio, struct virtio_mem, virtio);
	struct virtq_chain chain;

	pthread_mutex_lock(&virtio->base.lock);
	while (virtio_pop(virtio, index, &chain))
		virtio_push(virtio, index, chain.head, serve_chain(mem, &chain));
	virtio_interrupt(virtio, index);
	pthread_mutex_unlock(&virtio->base.lock);
	tell(mem);
}

/* The driver may try again now, if it still runs and wants to. */
static void hint_after_busy(struct loop_timer *timer)
{
	struct virtio_mem *mem = container_of(timer, struct virtio_mem, busy_hint);
	struct virtio_device *virtio = &mem->virtio;

	if (mem->config.requested_size == mem->config.plugged_size)
		return;
	pthread_mutex_lock(&virtio->base.lock);
	if (virtio_config_changed(virtio))
		loop_timer_arm(virtio->env->loop, timer, BUSY_HINT_MS);
	pthread_mutex_unlock(&virtio->base.lock);
}

/* ---- What the board asks ---- */

void virtio_mem_info(struct device *device, struct virtio_mem_info *ret)
{
	const struct virtio_mem_config *config = &from_device(device)->config;

	*ret = (struct virtio_mem_info){
		.gpa = config->addr,
		.region_bytes = config->region_size,
		.block_bytes = config->block_size,
		.usable_bytes = config->usable_region_size,
		.requested_bytes = config->requested_size,
		.plugged_bytes = config->plugged_size,
		.node = config->node_id,
	};
}

struct window *virtio_mem_window(struct device *device)
{
	return from_device(device)->window;
}

int virtio_mem_request(struct device *device, uint64_t bytes)
{
	struct virtio_mem *mem = from_device(device);
	uint64_t usable = mem->config.usable_region_size, target;

	if (!is_aligned(bytes, mem->config.block_size))
		return -EINVAL;
	if (bytes > mem->config.region_size)
		return -ERANGE;
	target = usable_target(mem, bytes);
	pthread_mutex_lock(&device->lock);
	/* What is asked for again is news to a driver that has given up for some minutes (Linux's retries). */
	if (set_sizes(mem, bytes, target > usable ? target : usable) ||
		mem->config.plugged_size != bytes)
		virtio_config_changed(&mem->virtio);
	pthread_mutex_unlock(&device->lock);
	return 0;
}

void virtio_mem_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque)
{
	struct virtio_mem *mem = from_device(device);

	mem->changed = changed;
	mem->opaque = opaque;
}

/* ---- The class ---- */

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_MEM,
	.queue_count = 1,
	.queue_size_max = 128,
	.features = VIRTIO_FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE),
	.required_features = VIRTIO_FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE),
	.config_bytes = sizeof(struct virtio_mem_config),
	.serve = serve,
};

static int virtio_mem_create(const void *config, const struct device_env *env, struct device **ret)
{
	const struct virtio_mem_node *node = config;
	const struct window_config *window = window_config(env->window);
	struct virtio_mem *mem = calloc(1, sizeof(*mem));
	bool numa = node->numa_node != VIRTIO_MEM_UNSET;
	uint64_t features = 0;
	int err;

	if (!mem)
		return -ENOMEM;
	mem->window = env->window;
	mem->complaints = (struct log_limit)LOG_LIMIT(10);
	mem->busy_hint.fired = hint_after_busy;
	mem->config = (struct virtio_mem_config){
		.block_size = window->block_bytes,
		.node_id = numa ? node->numa_node : 0,
		.addr = window->gpa,
		.region_size = window->size,
	};
	set_sizes(mem, node->requested_size, usable_target(mem, node->requested_size));
	mem->told_plugged = mem->config.plugged_size;
	if (numa)
		features |= VIRTIO_FEATURE(VIRTIO_MEM_F_ACPI_PXM);
	if (env->system_suspend) /* what is plugged stays so while the guest sleeps (5.15.6.2) */
		features |= VIRTIO_FEATURE(VIRTIO_MEM_F_PERSISTENT_SUSPEND);
	err = virtio_init(
		&mem->virtio, &virtio_mem_class, &virtio_class, env, features, &mem->config);
	if (err) {
		free(mem);
		return err;
	}
	*ret = &mem->virtio.base;
	return 0;
}

/* From here on no request is served, until a driver sets the device up anew: the window may go. */
static void virtio_mem_quiesce(struct device *device)
{
	struct virtio_mem *mem = from_device(device);

	loop_timer_cancel(&mem->busy_hint);
	virtio_system_reset(&mem->virtio);
}

/*
 * The board has detached the window before, so that everything is unplugged. The request stays and
 * the usable part is computed anew.
 */
static void virtio_mem_reset(struct device *device)
{
	struct virtio_mem *mem = from_device(device);
	uint64_t requested = mem->config.requested_size;

	virtio_mem_quiesce(device);
	pthread_mutex_lock(&device->lock);
	if (set_sizes(mem, requested, usable_target(mem, requested)))
		virtio_config_changed_silently(&mem->virtio);
	pthread_mutex_unlock(&device->lock);
	tell(mem);
}

static void virtio_mem_destroy(struct device *device)
{
	struct virtio_mem *mem;

	if (!device)
		return;
	mem = from_device(device);
	loop_timer_cancel(&mem->busy_hint);
	virtio_finish(&mem->virtio);
	free(mem);
}

const struct device_class virtio_mem_class = {
	.compatible = "sluice,virtio-mem",
	.kind = DEVICE_VIRTIO,
	.properties = virtio_mem_properties,
	.config_bytes = sizeof(struct virtio_mem_node),
	.defaults = virtio_mem_defaults,
	.check = virtio_mem_check,
	.window = virtio_mem_describe,
	.create = virtio_mem_create,
	.reset = virtio_mem_reset,
	.quiesce = virtio_mem_quiesce,
	.destroy = virtio_mem_destroy,
};
