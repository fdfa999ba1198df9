/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mem (virtio 1.2, 5.15): the guest asks to plug and unplug blocks of a window, and the host sets how much it
 * may have. This file checks requests and maintains the sizes. The window (hyp/memory/window.h) changes the memory;
 * virtio-mem-node.c checks the node.
 *
 * Everything runs on the event loop's thread, except the driver's register accesses, which only read the configuration
 * space. So the lock is taken to change the configuration space, not to read it.
 */
#include "devices/virtio/virtio-mem.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/state.h"
#include "devices/virtio/virtio-mem-node.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"
#include "hyp/memory/window.h"

/* virtio 1.3, 5.15.3; newer than the headers of Debian 12. */
#ifndef VIRTIO_MEM_F_PERSISTENT_SUSPEND
#define VIRTIO_MEM_F_PERSISTENT_SUSPEND 2
#endif

/* How far the usable part extends beyond the request: twice the largest memory block of a Linux guest. */
#define USABLE_AHEAD (1 * GiB)
/* After BUSY Linux waits 50 s or more, unless a configuration interrupt comes. */
#define BUSY_HINT_MS 5000

struct virtio_mem_state {
	struct virtio_mem_config config; /* as the driver sees it */
	bool busy;			 /* busy_hint is armed; set when the state is saved */
	uint8_t hole[7];
};

struct virtio_mem {
	struct virtio_device virtio;
	struct window *window;
	struct virtio_mem_state state;
	uint64_t reported_plugged;
	/* The request that the window carries out over several turns; others wait in the ring. */
	struct virtq_chain going;
	const struct request *going_request; /* NULL: none */
	/* Armed while the last answer to a plug or unplug request was BUSY. */
	struct loop_timer busy_hint;
	struct log_limit complaints;
};

static struct virtio_mem *from_device(struct device *device)
{
	return container_of(device, struct virtio_mem, virtio.base);
}

/* ---- Sizes ---- */

static uint64_t usable_target(const struct virtio_mem *mem, uint64_t requested)
{
	uint64_t block = mem->state.config.block_size, size = mem->state.config.region_size;

	if (!requested)
		return 0;
	if (size - requested <= USABLE_AHEAD)
		return size;
	return align_up(requested + USABLE_AHEAD, block);
}

/* Updates the sizes; true if one has changed. With the lock. */
static bool set_sizes(struct virtio_mem *mem, uint64_t requested, uint64_t usable)
{
	uint64_t plugged = window_plugged_bytes(mem->window);
	struct virtio_mem_config *config = &mem->state.config;

	if (config->requested_size == requested && config->usable_region_size == usable &&
		config->plugged_size == plugged)
		return false;
	config->requested_size = requested;
	config->usable_region_size = usable;
	config->plugged_size = plugged;
	return true;
}

/* Notifies the watcher, without the lock. */
static void report(struct virtio_mem *mem)
{
	if (mem->reported_plugged == mem->state.config.plugged_size)
		return;
	mem->reported_plugged = mem->state.config.plugged_size;
	device_changed(&mem->virtio.base);
}

/* ---- Requests (5.15.6) ---- */

struct verdict {
	uint16_t type;	 /* VIRTIO_MEM_RESP_* */
	uint16_t state;	 /* of a STATE request */
	const char *why; /* of an error, for the log */
	bool later;	 /* no answer yet: check the request again in another turn */
	bool going;	 /* no answer yet: ACK when the window has finished */
};

#define ERROR(reason) ((struct verdict){ .type = VIRTIO_MEM_RESP_ERROR, .why = (reason) })

/* The answer for a result of the window. BUSY: nothing has changed, and the guest may try again. */
static struct verdict ack_or_busy(int err)
{
	return (struct verdict){ .type = err ? VIRTIO_MEM_RESP_BUSY : VIRTIO_MEM_RESP_ACK,
		.later = err == -EAGAIN,
		.going = err == -EINPROGRESS };
}

/* Blocks that a request names, as a range of the window. */
struct blocks {
	uint64_t offset, size;
};

/* NULL, or what is wrong with the range: it must not be empty and must lie in the usable part. */
static const char *check_blocks(
	const struct virtio_mem *mem, const struct virtio_mem_req *req, struct blocks *ret)
{
	/* The three requests with a range share one layout. */
	uint64_t offset = req->u.plug.addr - mem->state.config.addr,
		 block = mem->state.config.block_size;
	uint64_t usable = mem->state.config.usable_region_size, count = req->u.plug.nb_blocks;

	if (!count)
		return "no blocks";
	if (!is_aligned(req->u.plug.addr, block))
		return "not aligned to the block";
	if (req->u.plug.addr < mem->state.config.addr || offset >= usable ||
		count > (usable - offset) / block)
		return "not in the usable part";
	*ret = (struct blocks){ .offset = offset, .size = count * block };
	return NULL;
}

static struct verdict plug(struct virtio_mem *mem, const struct blocks *blocks)
{
	uint64_t plugged = mem->state.config.plugged_size,
		 requested = mem->state.config.requested_size;

	if (window_state(mem->window, blocks->offset, blocks->size) != WINDOW_UNPLUGGED)
		return ERROR("plugged already");
	/* plugged may be above requested, when that was lowered. */
	if (plugged >= requested || blocks->size > requested - plugged)
		return (struct verdict){ .type = VIRTIO_MEM_RESP_NACK };
	return ack_or_busy(window_plug(mem->window, blocks->offset, blocks->size));
}

/* Whether another device's requests in flight use the memory. */
static bool in_use(const struct virtio_mem *mem, uint64_t gpa, uint64_t size)
{
	return guestmem_pinned(mem->virtio.env->mem, gpa, size);
}

static struct verdict unplug(struct virtio_mem *mem, const struct blocks *blocks)
{
	if (window_state(mem->window, blocks->offset, blocks->size) != WINDOW_PLUGGED)
		return ERROR("not plugged");
	if (in_use(mem, mem->state.config.addr + blocks->offset, blocks->size))
		return ack_or_busy(-EBUSY);
	return ack_or_busy(window_unplug(mem->window, blocks->offset, blocks->size));
}

static void shrink_usable(struct virtio_mem *mem)
{
	uint64_t requested = mem->state.config.requested_size;

	if (set_sizes(mem, requested, usable_target(mem, requested)))
		virtio_config_changed_silently(&mem->virtio);
}

/* The only request after which the usable part shrinks, without an interrupt (5.15.6.4). */
static struct verdict unplug_all(struct virtio_mem *mem, const struct blocks *blocks)
{
	int err = in_use(mem, mem->state.config.addr, mem->state.config.region_size)
			  ? -EBUSY
			  : window_unplug_all(mem->window);

	if (!err)
		shrink_usable(mem);
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
	if (set_sizes(mem, mem->state.config.requested_size, mem->state.config.usable_region_size))
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
	if (verdict.going)
		mem->going_request = request;
	else if (request && request->changes && !verdict.later)
		note_answer(mem, verdict.type);
	if (verdict.type == VIRTIO_MEM_RESP_ERROR)
		log_limited(&mem->complaints, LOG_WARNING,
			"%s: request %s (%u) of %u blocks at 0x%" PRIx64 " is wrong: %s",
			mem->virtio.base.id, request ? request->name : "?", req->type,
			req->u.plug.nb_blocks, (uint64_t)req->u.plug.addr, verdict.why);
	return verdict;
}

/* Returns how many bytes were written: 0 if the request has just unplugged the response's memory. */
static uint32_t respond(
	struct virtio_mem *mem, const struct virtq_chain *chain, uint16_t type, uint16_t state)
{
	const struct virtio_mem_resp resp = { .type = type, .u.state.state = state };

	return virtq_chain_write(chain, mem->virtio.env->mem, &resp, sizeof(resp)) ? 0
										   : sizeof(resp);
}

/*
 * False: put the chain back. Nothing is done if the request or the response is too short or not in memory, since the
 * driver could not learn the result.
 */
static bool serve_chain(
	struct virtio_mem *mem, const struct virtq_chain *chain, uint32_t *ret_written)
{
	struct virtio_mem_resp resp = { .type = VIRTIO_MEM_RESP_ERROR };
	const struct guestmem *memory = mem->virtio.env->mem;
	struct virtio_mem_req req;
	struct verdict verdict;

	_Static_assert(sizeof(req) == 24 && sizeof(resp) == 10, "virtio 1.2, 5.15.6");
	if (virtq_chain_read(chain, memory, &req, sizeof(req)) ||
		virtq_chain_write(chain, memory, &resp, sizeof(resp))) {
		*ret_written = 0;
		return true;
	}
	verdict = answer(mem, &req);
	if (verdict.later)
		return false;
	/* A request that takes several turns is answered by unplug_ended(). */
	*ret_written = verdict.going ? 0 : respond(mem, chain, verdict.type, verdict.state);
	return true;
}

/* The window has finished the request that took several turns. */
static void unplug_ended(void *opaque)
{
	struct virtio_mem *mem = opaque;
	struct virtio_device *virtio = &mem->virtio;

	pthread_mutex_lock(&virtio->base.lock);
	if (!mem->going_request->has_blocks)
		shrink_usable(mem);
	mem->going_request = NULL;
	note_answer(mem, VIRTIO_MEM_RESP_ACK);
	virtio_end(virtio, 0, mem->going.head, respond(mem, &mem->going, VIRTIO_MEM_RESP_ACK, 0));
	pthread_mutex_unlock(&virtio->base.lock);
	virtio_kick(virtio, 0); /* requests that wait in the ring */
	report(mem);
}

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_mem *mem = container_of(virtio, struct virtio_mem, virtio);
	struct virtq_chain chain;
	uint32_t written;

	pthread_mutex_lock(&virtio->base.lock);
	while (!mem->going_request && virtio_pop(virtio, index, &chain)) {
		if (!serve_chain(mem, &chain, &written)) {
			virtio_unpop(virtio, index, 1);
			virtio_kick(virtio, index);
			break;
		}
		if (mem->going_request) {
			mem->going = chain;
			virtio_begin(virtio, index);
			break;
		}
		virtio_push(virtio, index, chain.head, written);
	}
	virtio_interrupt(virtio, index);
	pthread_mutex_unlock(&virtio->base.lock);
	report(mem);
}

static void wait_for_unplug(struct virtio_device *virtio)
{
	window_finish_unplug(container_of(virtio, struct virtio_mem, virtio)->window);
}

/* Interrupts a driver that was answered BUSY, so that it tries again now. */
static void hint_after_busy(struct loop_timer *timer)
{
	struct virtio_mem *mem = container_of(timer, struct virtio_mem, busy_hint);
	struct virtio_device *virtio = &mem->virtio;

	if (mem->state.config.requested_size == mem->state.config.plugged_size)
		return;
	pthread_mutex_lock(&virtio->base.lock);
	if (virtio_config_changed(virtio))
		loop_timer_arm(virtio->env->loop, timer, BUSY_HINT_MS);
	pthread_mutex_unlock(&virtio->base.lock);
}

/* ---- What the board asks ---- */

static void memory(struct device *device, struct device_memory *ret)
{
	const struct virtio_mem_config *config = &from_device(device)->state.config;

	*ret = (struct device_memory){
		.gpa = config->addr,
		.region_bytes = config->region_size,
		.block_bytes = config->block_size,
		.usable_bytes = config->usable_region_size,
		.requested_bytes = config->requested_size,
		.plugged_bytes = config->plugged_size,
		.node = config->node_id,
		.refused = window_refused(from_device(device)->window),
		.window = from_device(device)->window,
	};
}

int virtio_mem_request(struct device *device, uint64_t bytes)
{
	struct virtio_mem *mem = from_device(device);
	uint64_t usable = mem->state.config.usable_region_size, target;

	if (!is_aligned(bytes, mem->state.config.block_size))
		return -EINVAL;
	if (bytes > mem->state.config.region_size)
		return -ERANGE;
	target = usable_target(mem, bytes);
	pthread_mutex_lock(&device->lock);
	/* The same request again also interrupts: Linux may have given up for some minutes. */
	if (set_sizes(mem, bytes, target > usable ? target : usable) ||
		mem->state.config.plugged_size != bytes)
		virtio_config_changed(&mem->virtio);
	pthread_mutex_unlock(&device->lock);
	window_forget_refused(mem->window); /* that was for the old request */
	return 0;
}

/* ---- Values ---- */

static uint64_t get_value(struct device *device, unsigned offset)
{
	uint64_t value;

	memcpy(&value, (const char *)&from_device(device)->state.config + offset, sizeof(value));
	return value;
}

static int set_requested(struct device *device, uint64_t bytes, char *ret_why, size_t len)
{
	const struct virtio_mem_config *config = &from_device(device)->state.config;
	int err = virtio_mem_request(device, bytes);

	if (err == -EINVAL)
		snprintf(ret_why, len, "has to be multiples of 'block-size' (0x%" PRIx64 ")",
			(uint64_t)config->block_size);
	else if (err)
		snprintf(ret_why, len, "cannot exceed the memory backend size (0x%" PRIx64 ")",
			(uint64_t)config->region_size);
	return err;
}

#define VALUE(name, field)                                                                         \
	{                                                                                          \
		name, "size", get_value, offsetof(struct virtio_mem_config, field)                 \
	}

/* Names as QEMU's. */
static const struct device_value values[] = {
	{ "requested-size", "size", get_value, offsetof(struct virtio_mem_config, requested_size),
		set_requested, .expects = "a size of 0 or more", .guest_memory = true },
	VALUE("size", plugged_size),
	VALUE("block-size", block_size),
	VALUE("region-size", region_size),
	VALUE("usable-region-size", usable_region_size),
	VALUE("memaddr", addr),
	{ 0 },
};

/* ---- The class ---- */

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_MEM,
	.queue_count = 1,
	.queue_size_max = 128,
	.features = VIRTIO_FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE),
	.required_features = VIRTIO_FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE),
	.config_bytes = sizeof(struct virtio_mem_config),
	.serve = serve,
	.wait = wait_for_unplug,
};

static int virtio_mem_init(struct device *device, const void *config, const struct device_env *env)
{
	const struct virtio_mem_node *node = config;
	const struct window_config *window = window_config(env->window);
	struct virtio_mem *mem = from_device(device);
	bool numa = node->numa_node != VIRTIO_MEM_UNSET;
	uint64_t features = 0;

	mem->window = env->window;
	mem->complaints = (struct log_limit)LOG_LIMIT(10);
	mem->busy_hint = (struct loop_timer){ .fired = hint_after_busy, .name = env->id };
	mem->state.config = (struct virtio_mem_config){
		.block_size = window->block_bytes,
		.node_id = numa ? node->numa_node : 0,
		.addr = window->gpa,
		.region_size = window->size,
	};
	set_sizes(mem, node->requested_size, usable_target(mem, node->requested_size));
	mem->reported_plugged = mem->state.config.plugged_size;
	if (numa)
		features |= VIRTIO_FEATURE(VIRTIO_MEM_F_ACPI_PXM);
	if (env->system_suspend) /* blocks stay plugged during suspend (5.15.6.2) */
		features |= VIRTIO_FEATURE(VIRTIO_MEM_F_PERSISTENT_SUSPEND);
	window_unplug_in_turns(mem->window, unplug_ended, mem);
	return virtio_init(&mem->virtio, &virtio_class, env, features, &mem->state.config);
}

static void virtio_mem_drain(struct device *device)
{
	virtio_drain(&from_device(device)->virtio);
}

/* Afterwards no request is served until a driver sets the device up again: the window may be detached. */
static void virtio_mem_quiesce(struct device *device)
{
	struct virtio_mem *mem = from_device(device);

	loop_timer_cancel(&mem->busy_hint);
	virtio_system_reset(&mem->virtio);
}

/*
 * The board has detached the window before, so everything is unplugged. The requested size is unchanged; the usable
 * part is computed again.
 */
static void virtio_mem_reset(struct device *device)
{
	struct virtio_mem *mem = from_device(device);
	uint64_t requested = mem->state.config.requested_size;

	virtio_mem_quiesce(device);
	pthread_mutex_lock(&device->lock);
	if (set_sizes(mem, requested, usable_target(mem, requested)))
		virtio_config_changed_silently(&mem->virtio);
	pthread_mutex_unlock(&device->lock);
	report(mem);
}

static void virtio_mem_finish(struct device *device)
{
	struct virtio_mem *mem = from_device(device);

	loop_timer_cancel(&mem->busy_hint);
	virtio_drain(&mem->virtio);
	window_unplug_in_turns(mem->window, NULL, NULL);
	virtio_finish(&mem->virtio);
}

/* ---- Its state. Which blocks are plugged is the window's. ---- */

static void take_state(struct device *device)
{
	struct virtio_mem *mem = from_device(device);

	mem->state.config.plugged_size = window_plugged_bytes(mem->window);
	mem->state.busy = mem->busy_hint.loop;
}

static int check_state(const struct device *candidate)
{
	const struct virtio_mem_config *config =
		&container_of(candidate, const struct virtio_mem, virtio.base)->state.config;
	uint64_t usable = config->usable_region_size, requested = config->requested_size;

	if (usable > config->region_size || requested > usable || config->plugged_size > usable ||
		!is_aligned(usable | requested, config->block_size))
		return -EINVAL;
	return 0;
}

static void put_state(struct device *device)
{
	struct virtio_mem *mem = from_device(device);

	if (mem->state.busy)
		loop_timer_arm(mem->virtio.env->loop, &mem->busy_hint, BUSY_HINT_MS);
}

#define STATE(member) STATE_ONE(struct virtio_mem, state.member)

static const struct state_field state_fields[] = {
	{ "block-size", STATE(config.block_size), .fixed = true },
	{ "node", STATE(config.node_id), .fixed = true },
	{ STATE_HOLE(struct virtio_mem, state.config.padding) },
	{ "addr", STATE(config.addr), .fixed = true },
	{ "region-size", STATE(config.region_size), .fixed = true },
	{ "usable-region-size", STATE(config.usable_region_size) },
	{ "plugged-size", STATE(config.plugged_size), .fixed = true },
	{ "requested-size", STATE(config.requested_size) },
	{ "busy", STATE(busy) },
	{ STATE_HOLE(struct virtio_mem, state.hole) },
	{ 0 },
};

static const struct state_part mem_state = {
	STATE_PART(struct virtio_mem, state),
	.fields = state_fields,
	.take = take_state,
	.check = check_state,
	.put = put_state,
};

const struct device_class virtio_mem_class = {
	.compatible = "sluice,virtio-mem",
	.bytes = sizeof(struct virtio_mem),
	.kind = DEVICE_VIRTIO,
	.properties = virtio_mem_properties,
	.config_bytes = sizeof(struct virtio_mem_node),
	.defaults = virtio_mem_defaults,
	.check = virtio_mem_check,
	.window = virtio_mem_describe,
	.init = virtio_mem_init,
	.reset = virtio_mem_reset,
	.drain = virtio_mem_drain,
	.busy = virtio_busy,
	.quiesce = virtio_mem_quiesce,
	.pause = virtio_pause,
	.values = values,
	.event = { EVENT_VALUE, "MEMORY_DEVICE_SIZE_CHANGE", &values[1] },
	.memory = memory,
	.state = { &mem_state, &virtio_state },
	.finish = virtio_mem_finish,
};
