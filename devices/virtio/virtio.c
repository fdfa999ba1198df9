/* SPDX-License-Identifier: Apache-2.0 */
/* The device core; see virtio.h. */
#include "devices/virtio/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/state.h"
#include "devices/virtio/virtio-transport.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"

#define CORE_FEATURES                                                                              \
	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |        \
		VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX))

static void show(const struct virtio_device *device)
{
	device->env->transport->show(device);
}

static bool raise_interrupt(struct virtio_device *device, enum virtio_cause cause)
{
	/* 3.1.1: no notification before DRIVER_OK. */
	if (!(device->state.status & VIRTIO_CONFIG_S_DRIVER_OK))
		return false;
	device->env->transport->interrupt(device, cause);
	return true;
}

void virtio_config_changed_silently(struct virtio_device *device)
{
	device->state.config_generation += 2; /* odd while the transport shows the change */
	show(device);
}

bool virtio_config_changed(struct virtio_device *device)
{
	virtio_config_changed_silently(device);
	return raise_interrupt(device, VIRTIO_CONFIG_CHANGE);
}

void virtio_needs_reset(struct virtio_device *device, const char *why)
{
	device->state.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	log_limited(&device->complaints, LOG_WARNING, "%s: needs a reset by its driver: %s",
		device->base.id, why);
	show(device);
	raise_interrupt(device, VIRTIO_CONFIG_CHANGE);
}

void virtio_kick(struct virtio_device *device, unsigned index)
{
	/* Fails only if the count is at its maximum, and then the loop sees it anyway. */
	(void)!eventfd_write(device->kicks[index].watch.fd, 1);
}

static void drain_kick(struct virtio_kick *kick)
{
	eventfd_t count;

	(void)!eventfd_read(kick->watch.fd, &count);
}

void virtio_begin_turn(struct virtio_device *device)
{
	device->budget = device->class->queue_size_max;
	device->turn_ends_ms = loop_now_ms() + LOOP_TURN_MS;
}

bool virtio_turn_is_over(const struct virtio_device *device)
{
	return loop_now_ms() > device->turn_ends_ms;
}

static void kick_ready(struct loop_fd *watch, uint32_t events)
{
	struct virtio_kick *kick = container_of(watch, struct virtio_kick, watch);
	struct virtio_device *device = kick->device;

	drain_kick(kick);
	if (device->paused) /* virtio_pause() kicks again */
		return;
	virtio_begin_turn(device);
	device->class->serve(device, kick - device->kicks);
}

/* Feature negotiation (2.2): no bit that was not offered, every required one, and all or none of the joined ones. */
static bool features_fit(const struct virtio_device *device)
{
	uint64_t required = VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | device->class->required_features;
	uint64_t taken = device->state.driver_features, joined = device->class->joined_features;

	return !(taken & ~device->features) && !(required & ~taken) &&
	       (!(taken & joined) || (taken & joined) == joined);
}

/* Stops a back end in the kernel that serves the queue. */
static void halt(struct virtio_device *device, unsigned index)
{
	if (device->class->halt)
		device->class->halt(device, index);
}

static void driver_reset(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->class->queue_count; i++)
		halt(device, i);
	device->resets++;
	device->runs++;
	while (device->all_in_flight)
		pthread_cond_wait(&device->drained, &device->base.lock);
	device->resets--;
	device->state = (struct virtio_state){
		.config_generation = device->state.config_generation,
	};
	if (device->class->reset)
		device->class->reset(device);
}

void virtio_take_features(struct virtio_device *device, uint64_t which, uint64_t features)
{
	/* 3.1.1: fixed once FEATURES_OK is set. */
	if (device->state.status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	device->state.driver_features &= ~which;
	device->state.driver_features |= features & which;
}

void virtio_start_queue(struct virtio_device *device, unsigned index)
{
	struct virtq *queue = &device->state.queues[index];

	if (queue->ready || device->in_flight[index] ||
		!(device->state.status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	if (!virtq_start(queue, device->class->queue_size_max, device->state.driver_features) &&
		device->state.status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_kick(device, index); /* chains may be available already */
}

void virtio_stop_queue(struct virtio_device *device, unsigned index)
{
	halt(device, index);
	device->state.queues[index].ready = false;
	while (device->in_flight[index])
		pthread_cond_wait(&device->drained, &device->base.lock);
}

/* Which bits a driver may set (2.1), and what must be set before each; in the order of 3.1.1. */
static const struct {
	uint32_t bit, after;
} status_order[] = {
	{ VIRTIO_CONFIG_S_ACKNOWLEDGE, 0 },
	{ VIRTIO_CONFIG_S_DRIVER, 0 }, /* U-Boot 2025.01 sets it alone, and QEMU takes it */
	{ VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER },
	{ VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK },
	{ VIRTIO_CONFIG_S_FAILED, 0 },
};

void virtio_write_status(struct virtio_device *device, uint32_t status)
{
	uint32_t before = device->state.status;

	if (!status) {
		driver_reset(device);
		return;
	}
	/* Bits are only ever added: clearing one is what the driver must not do (2.1.1). */
	for (size_t i = 0; i < ARRAY_SIZE(status_order); i++) {
		uint32_t bit = status_order[i].bit, after = status_order[i].after;

		if (!(status & bit) || (device->state.status & after) != after)
			continue;
		if (bit == VIRTIO_CONFIG_S_FEATURES_OK && !features_fit(device))
			continue;
		device->state.status |= bit;
	}
	/* Buffers may have been made available before DRIVER_OK, when the device must not use them. */
	if (device->state.status & ~before & VIRTIO_CONFIG_S_DRIVER_OK)
		for (unsigned i = 0; i < device->class->queue_count; i++)
			virtio_kick(device, i);
}

bool virtio_queue_runs(const struct virtio_device *device, unsigned index)
{
	return !device->resets && device->state.status & VIRTIO_CONFIG_S_DRIVER_OK &&
	       !(device->state.status & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	       device->state.queues[index].ready;
}

bool virtio_waits(const struct virtio_device *device, unsigned index)
{
	return !device->paused && virtio_queue_runs(device, index) &&
	       virtq_waits(&device->state.queues[index], device->env->mem);
}

bool virtio_pop(struct virtio_device *device, unsigned index, struct virtq_chain *ret)
{
	int got;

	if (device->paused || !virtio_queue_runs(device, index) ||
		device->in_flight[index] >= device->state.queues[index].size)
		return false;
	if (!device->budget || virtio_turn_is_over(device)) {
		virtio_kick(device, index);
		return false;
	}
	got = virtq_pop(&device->state.queues[index], device->env->mem, ret);
	if (got < 0)
		virtio_needs_reset(device, "its available ring makes no sense");
	else if (got)
		device->budget--;
	return got > 0;
}

void virtio_drop(struct virtio_device *device, unsigned index)
{
	int count = 0;

	if (!device->paused && virtio_queue_runs(device, index))
		count = virtq_drop(&device->state.queues[index], device->env->mem);
	if (count < 0)
		virtio_needs_reset(device, "its available ring makes no sense");
	else if (count)
		virtio_kick(device, index); /* for chains that came meanwhile */
}

void virtio_unpop(struct virtio_device *device, unsigned index, unsigned count)
{
	if (virtio_queue_runs(device, index))
		virtq_unpop(&device->state.queues[index], count);
}

void virtio_push_many(
	struct virtio_device *device, unsigned index, const struct virtq_used *used, unsigned count)
{
	if (!virtio_queue_runs(device, index))
		return;
	if (virtq_push_many(&device->state.queues[index], device->env->mem, used, count))
		virtio_needs_reset(device, "its used ring is not in memory");
}

void virtio_push(struct virtio_device *device, unsigned index, uint16_t head, uint32_t written)
{
	virtio_push_many(device, index, &(struct virtq_used){ head, written }, 1);
}

void virtio_interrupt(struct virtio_device *device, unsigned index)
{
	int wanted;

	if (!virtio_queue_runs(device, index))
		return;
	wanted = virtq_wants_interrupt(&device->state.queues[index], device->env->mem);
	if (wanted < 0)
		virtio_needs_reset(device, "its available ring is not in memory");
	else if (wanted)
		raise_interrupt(device, VIRTIO_USED_BUFFER);
}

void virtio_begin(struct virtio_device *device, unsigned index)
{
	device->in_flight[index]++;
	device->all_in_flight++;
}

void virtio_end(struct virtio_device *device, unsigned index, uint16_t head, uint32_t written)
{
	bool full = device->in_flight[index]-- >= device->state.queues[index].size;

	virtio_push(device, index, head, written);
	virtio_interrupt(device, index);
	if (full)
		virtio_kick(device, index);
	device->all_in_flight--;
	if (device->in_flight[index])
		return;
	if (!device->state.queues[index].ready)
		show(device); /* a driver that stops the queue polls QueueReady until it is 0 */
	pthread_cond_broadcast(&device->drained);
}

void virtio_pause(struct device *base, bool paused)
{
	struct virtio_device *device = container_of(base, struct virtio_device, base);

	pthread_mutex_lock(&base->lock);
	device->paused = paused;
	for (unsigned i = 0; i < device->class->queue_count; i++) {
		if (paused)
			halt(device, i);
		else
			virtio_kick(device, i);
	}
	pthread_mutex_unlock(&base->lock);
}

/* Only the loop's thread begins and ends chains, and this runs on it: the count needs no lock. */
void virtio_drain(struct virtio_device *device)
{
	while (device->all_in_flight)
		device->class->wait(device);
}

bool virtio_busy(struct device *base)
{
	return container_of(base, struct virtio_device, base)->all_in_flight;
}

void virtio_system_reset(struct virtio_device *device)
{
	virtio_drain(device);
	pthread_mutex_lock(&device->base.lock);
	driver_reset(device);
	device->paused = false;
	for (unsigned i = 0; i < device->class->queue_count; i++)
		drain_kick(&device->kicks[i]);
	show(device);
	pthread_mutex_unlock(&device->base.lock);
}

void virtio_quiesce(struct device *base)
{
	virtio_system_reset(container_of(base, struct virtio_device, base));
}

static int init_kick(struct virtio_device *device, unsigned index)
{
	struct virtio_kick *kick = &device->kicks[index];
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), err;

	if (fd < 0)
		return -errno;
	*kick = (struct virtio_kick){
		.watch = { .fd = fd,
			.events = EPOLLIN,
			.ready = kick_ready,
			.name = device->base.id },
		.device = device,
	};
	err = loop_fd_add(device->env->loop, &kick->watch);
	if (err) {
		close(fd);
		kick->device = NULL;
		return err;
	}
	return 0;
}

/* Whether the back end has used buffers since the last call: for a driver that takes a level (hyp/kvm/vm.h). */
static bool used_elsewhere(struct irq_line *line)
{
	struct virtio_device *device = line->owner;
	uint32_t before = device->used_then;

	pthread_mutex_lock(&device->base.lock);
	device->used_then = 0;
	for (unsigned i = 0; i < device->class->queue_count; i++)
		if (virtio_queue_runs(device, i))
			device->used_then += virtq_used_idx(
				&device->state.queues[i], device->env->mem);
	pthread_mutex_unlock(&device->base.lock);
	return device->used_then != before;
}

void virtio_external_backend(struct virtio_device *device)
{
	device->external_backend = true;
	device->env->irq->owner = device;
	device->env->irq->signalled = used_elsewhere;
}

int virtio_init(struct virtio_device *device, const struct virtio_class *class,
	const struct device_env *env, uint64_t features, const void *config)
{
	int err = 0;

	CHECK(class->queue_count <= VIRTIO_QUEUES_MAX && class->queue_size_max <= VIRTQ_SIZE_MAX);
	device->class = class;
	device->env = env;
	device->features = (CORE_FEATURES & ~class->without_features) | class->features | features;
	device->config = config;
	device->complaints = (struct log_limit)LOG_LIMIT(5);
	pthread_cond_init(&device->drained, NULL);
	for (unsigned i = 0; i < class->queue_count && !err; i++)
		err = init_kick(device, i);
	return err ? err : env->transport->init(device);
}

void virtio_finish(struct virtio_device *device)
{
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		struct virtio_kick *kick = &device->kicks[i];

		if (!kick->device)
			continue;
		loop_fd_remove(&kick->watch);
		close(kick->watch.fd);
	}
	if (device->class)
		device->env->transport->finish(device);
	pthread_cond_destroy(&device->drained);
}

/* ---- Its state ---- */

/* halt() reads back how far the kernel came in each queue; the kick restarts the queue in the next turn. */
static void take_state(struct device *base)
{
	struct virtio_device *device = container_of(base, struct virtio_device, base);

	CHECK(!device->all_in_flight);
	for (unsigned i = 0; i < device->class->queue_count && device->class->halt; i++) {
		halt(device, i);
		virtio_kick(device, i);
	}
}

static bool status_fits(uint32_t status)
{
	uint32_t known = VIRTIO_CONFIG_S_NEEDS_RESET;

	for (size_t i = 0; i < ARRAY_SIZE(status_order); i++) {
		if (status & status_order[i].bit &&
			(status & status_order[i].after) != status_order[i].after)
			return false;
		known |= status_order[i].bit;
	}
	return !(status & ~known);
}

static int check_state(const struct device *candidate)
{
	const struct virtio_device *device = container_of(
		candidate, const struct virtio_device, base);
	const struct virtio_state *state = &device->state;
	bool negotiated = state->status & VIRTIO_CONFIG_S_FEATURES_OK;

	if (!status_fits(state->status) || (negotiated && !features_fit(device)))
		return -EINVAL;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		if (state->queues[i].ready &&
			(!negotiated || i >= device->class->queue_count ||
				!virtq_is_sound(&state->queues[i], device->class->queue_size_max,
					state->driver_features)))
			return -EINVAL;
	return 0;
}

/* Repeats a notification or interrupt that was pending when the state was taken; a spurious one is harmless. */
static void put_state(struct device *base)
{
	struct virtio_device *device = container_of(base, struct virtio_device, base);

	for (unsigned cause = VIRTIO_USED_BUFFER; cause <= VIRTIO_CONFIG_CHANGE; cause <<= 1)
		if (device->state.interrupt_status & cause)
			raise_interrupt(device, cause);
	for (unsigned i = 0; i < device->class->queue_count; i++)
		virtio_kick(device, i);
	show(device);
}

#define FIELD(member)  STATE_ONE(struct virtio_device, state.member)
#define QUEUES(member) STATE_EACH(struct virtio_device, state.queues, member)

static const struct state_field fields[] = {
	{ "driver-features", FIELD(driver_features) },
	{ "status", FIELD(status) },
	{ "interrupt-status", FIELD(interrupt_status),
		.max = VIRTIO_USED_BUFFER | VIRTIO_CONFIG_CHANGE },
	{ "config-generation", FIELD(config_generation) },
	{ "device-features-sel", FIELD(device_features_sel) },
	{ "driver-features-sel", FIELD(driver_features_sel) },
	{ "queue-sel", FIELD(queue_sel) },
	{ "queue-desc", QUEUES(desc_gpa) },
	{ "queue-avail", QUEUES(avail_gpa) },
	{ "queue-used", QUEUES(used_gpa) },
	{ "queue-size", QUEUES(size) },
	{ "queue-next-avail", QUEUES(next_avail) },
	{ "queue-next-used", QUEUES(next_used) },
	{ "queue-notified-used", QUEUES(notified_used) },
	{ "queue-ready", QUEUES(ready) },
	{ "queue-event-idx", QUEUES(event_idx) },
	{ "queue-indirect", QUEUES(indirect) },
	{ STATE_HOLES(struct virtio_device, state.queues, hole) },
	{ 0 },
};

const struct state_part virtio_state = {
	STATE_PART(struct virtio_device, state),
	.fields = fields,
	.take = take_state,
	.check = check_state,
	.put = put_state,
};
