/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon (virtio 1.2, 5.5) with free page reporting. What the guest puts into the balloon or
 * reports as free is discarded, as far as the gate allows that and in whole pages of the host's: a part
 * of one stays as it is. To take a page out again is to use it, so a deflated one needs nothing done,
 * and nothing is kept of which pages are in: a driver that lies harms its own memory alone.
 *
 * A chain may name much; it is worked off in steps, and where a turn of the loop ends before it does, it
 * is put back and gone on with in the next.
 */
#include "devices/virtio-balloon.h"

#include <linux/virtio_balloon.h>
#include <errno.h>
#include <stdlib.h>

#include "devices/virtio.h"
#include "hyp/guestmem.h"
#include "hyp/util.h"

/* Newer than the headers of some. */
#ifndef VIRTIO_BALLOON_F_REPORTING
#define VIRTIO_BALLOON_F_REPORTING 5
#endif

/*
 * 5.5.2: reporting's is queue 4, behind those for statistics and hints, of which this device has none.
 * Drivers that close gaps, Linux' among them, take it to be queue 2. So all from there on are.
 */
enum { INFLATE, DEFLATE, REPORTING, QUEUES = 5 };

#define STEP_PAGES 32	      /* of the balloon's: each may be a call of its own */
#define STEP_BYTES (16 * MiB) /* of what is reported */
#define PAGE_SHIFT VIRTIO_BALLOON_PFN_SHIFT

struct virtio_balloon {
	struct virtio_device virtio;
	struct virtio_balloon_config config;
	uint32_t done[QUEUES]; /* bytes of the chain that was put back */
	uint32_t told;	       /* of config.actual, to the watcher */
	void (*changed)(struct device *device, void *opaque);
	void *opaque;
};

static struct virtio_balloon *from_device(struct device *device)
{
	return container_of(device, struct virtio_balloon, virtio.base);
}

/* What the gate refuses is not given back. */
static void discard(struct virtio_balloon *balloon, uint64_t gpa, uint64_t size)
{
	(void)guestmem_discard(balloon->virtio.env->mem, gpa, size);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* In runs: each is one call, and whole pages of a host with larger ones. */
static void discard_pages(struct virtio_balloon *balloon, uint32_t *pages, unsigned count)
{
	qsort(pages, count, sizeof(*pages), compare);
	for (unsigned first = 0, next; first < count; first = next) {
		for (next = first + 1; next < count && pages[next] - pages[next - 1] <= 1;)
			next++;
		discard(balloon, (uint64_t)pages[first] << PAGE_SHIFT,
			(uint64_t)(pages[next - 1] - pages[first] + 1) << PAGE_SHIFT);
	}
}

/* These two: false where the turn ended first. */

static bool inflate(struct virtio_balloon *balloon, const struct virtq_chain *chain, uint32_t *done)
{
	uint32_t pages[STEP_PAGES], count;

	while (*done < chain->readable_bytes) {
		count = (chain->readable_bytes - *done) / sizeof(pages[0]);
		count = count < STEP_PAGES ? count : STEP_PAGES;
		if (!count || virtq_chain_read_at(chain, balloon->virtio.env->mem, *done, pages,
				      count * sizeof(pages[0])))
			return true;
		discard_pages(balloon, pages, count);
		*done += count * sizeof(pages[0]);
		if (virtio_turn_is_over(&balloon->virtio))
			return *done >= chain->readable_bytes;
	}
	return true;
}

static bool report(struct virtio_balloon *balloon, const struct virtq_chain *chain, uint32_t *done)
{
	const struct virtq_segment *segment = chain->segments + chain->readable;
	uint32_t begin = 0;

	for (unsigned i = 0; i < chain->writable; begin += segment[i++].len)
		while (*done - begin < segment[i].len) {
			uint32_t left = segment[i].len - (*done - begin);

			left = left < STEP_BYTES ? left : STEP_BYTES;
			discard(balloon, segment[i].gpa + (*done - begin), left);
			*done += left;
			if (virtio_turn_is_over(&balloon->virtio))
				return *done >= chain->writable_bytes;
		}
	return true;
}

static bool serve_chain(
	struct virtio_balloon *balloon, unsigned index, const struct virtq_chain *chain)
{
	uint32_t *done = &balloon->done[index];

	if (index == INFLATE && !inflate(balloon, chain, done))
		return false;
	if (index >= REPORTING && !report(balloon, chain, done))
		return false;
	*done = 0;
	return true;
}

/* Tells the watcher, without the lock. */
static void tell(struct virtio_balloon *balloon)
{
	uint32_t actual = __atomic_load_n(&balloon->config.actual, __ATOMIC_RELAXED);

	if (actual == balloon->told)
		return;
	balloon->told = actual;
	if (balloon->changed)
		balloon->changed(&balloon->virtio.base, balloon->opaque);
}

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);
	struct virtq_chain chain;

	pthread_mutex_lock(&virtio->base.lock);
	while (virtio_pop(virtio, index, &chain)) {
		if (!serve_chain(balloon, index, &chain)) {
			virtio_unpop(virtio, index, 1);
			virtio_kick(virtio, index);
			break;
		}
		virtio_push(virtio, index, chain.head, 0);
	}
	virtio_interrupt(virtio, index);
	pthread_mutex_unlock(&virtio->base.lock);
	tell(balloon);
}

/* On a vCPU's thread, as is the next; the watcher is told in the next turn. */
static void set_actual(struct virtio_balloon *balloon, uint32_t pages)
{
	__atomic_store_n(&balloon->config.actual, pages, __ATOMIC_RELAXED);
	virtio_kick(&balloon->virtio, INFLATE);
}

static void write_config(
	struct virtio_device *virtio, uint64_t offset, unsigned size, uint64_t value)
{
	if (offset == offsetof(struct virtio_balloon_config, actual) && size == 4)
		set_actual(container_of(virtio, struct virtio_balloon, virtio), (uint32_t)value);
}

/* Its balloon goes with a driver. */
static void forget_driver(struct virtio_device *virtio)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);

	for (unsigned i = 0; i < QUEUES; i++)
		balloon->done[i] = 0;
	set_actual(balloon, 0);
}

/* ---- What the board asks ---- */

void virtio_balloon_request(struct device *device, uint64_t bytes)
{
	struct virtio_balloon *balloon = from_device(device);
	uint64_t pages = bytes >> PAGE_SHIFT;

	pages = pages < UINT32_MAX ? pages : UINT32_MAX;
	pthread_mutex_lock(&device->lock);
	if (balloon->config.num_pages != pages) {
		balloon->config.num_pages = (uint32_t)pages;
		virtio_config_changed(&balloon->virtio);
	}
	pthread_mutex_unlock(&device->lock);
}

uint64_t virtio_balloon_requested(struct device *device)
{
	return (uint64_t)from_device(device)->config.num_pages << PAGE_SHIFT;
}

uint64_t virtio_balloon_actual(struct device *device)
{
	return (uint64_t)__atomic_load_n(&from_device(device)->config.actual, __ATOMIC_RELAXED)
	       << PAGE_SHIFT;
}

void virtio_balloon_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque)
{
	from_device(device)->changed = changed;
	from_device(device)->opaque = opaque;
}

/* ---- The class ---- */

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_BALLOON,
	.queue_count = QUEUES,
	.queue_size_max = 128,
	.features = VIRTIO_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
		    VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING),
	/* What follows these two belongs to features that this device has not. */
	.config_bytes = offsetof(struct virtio_balloon_config, free_page_hint_cmd_id),
	.serve = serve,
	.reset = forget_driver,
	.write_config = write_config,
};

static int virtio_balloon_create(
	const void *config, const struct device_env *env, struct device **ret)
{
	struct virtio_balloon *balloon = calloc(1, sizeof(*balloon));
	int err;

	if (!balloon)
		return -ENOMEM;
	err = virtio_init(
		&balloon->virtio, &virtio_balloon_class, &virtio_class, env, 0, &balloon->config);
	if (err) {
		free(balloon);
		return err;
	}
	*ret = &balloon->virtio.base;
	return 0;
}

/* The request stays. */
static void virtio_balloon_reset(struct device *device)
{
	virtio_system_reset(&from_device(device)->virtio);
	tell(from_device(device));
}

static void virtio_balloon_destroy(struct device *device)
{
	if (!device)
		return;
	virtio_finish(&from_device(device)->virtio);
	free(from_device(device));
}

const struct device_class virtio_balloon_class = {
	.compatible = "sluice,virtio-balloon",
	.not_nested =
		"each page that it gave back would have KVM walk all shadow tables of its guests",
	.kind = DEVICE_VIRTIO,
	.single = true, /* a second would give back what the first has, and the other way round */
	.create = virtio_balloon_create,
	.reset = virtio_balloon_reset,
	.destroy = virtio_balloon_destroy,
};
