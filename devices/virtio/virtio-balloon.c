/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon (virtio 1.2, 5.5) with statistics and free page reporting. Pages that the guest puts into the balloon
 * (balloon-pages.h) or reports as free are discarded: whole host pages only, and only if the gate allows it. The guest
 * takes a page out by using it. A driver that lies harms its own memory alone.
 *
 * A guest short of memory takes pages out even while it is asked for more (deflate on OOM). So that it is not asked for
 * them again at once, num_pages is set to what it holds, and the request is repeated after a delay.
 *
 * A chain may name many pages. It is served in steps; if the turn of the loop ends before the chain does, the chain is
 * put back and continued in the next turn.
 */
#include "devices/virtio/virtio-balloon.h"

#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>

#include "devices/state.h"
#include "devices/virtio/balloon-pages.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"
#include "hyp/memory/guestmem.h"

/* Newer than some kernels' headers. */
#ifndef VIRTIO_BALLOON_F_REPORTING
#define VIRTIO_BALLOON_F_REPORTING 5
#endif

/*
 * 5.5.2: reporting is queue 4, behind statistics and hints. This device has no hints, and drivers that leave no gaps,
 * Linux among them, use queue 3 or 2 for reporting. So every queue behind the others is taken as reporting.
 */
enum { INFLATE, DEFLATE, STATISTICS, REPORTING, QUEUES = 5 };

#define STEP_PAGES   32		/* of 4 KiB: each may cost one call to the host */
#define STEP_BYTES   (16 * MiB) /* of a reported segment */
#define PAGE_SHIFT   VIRTIO_BALLOON_PFN_SHIFT
#define AGAIN_MS     5000 /* delay of the repeated request: at first, and at most */
#define AGAIN_MAX_MS 60000

/* Page numbers read from a chain, sorted; those before `next` are done. */
struct step {
	uint32_t pages[STEP_PAGES];
	unsigned next, count;
};

struct virtio_balloon_state {
	struct virtio_balloon_config config;
	uint32_t requested;	/* pages; config.num_pages is less until `again` fires */
	uint32_t again_ms;	/* the next delay */
	uint32_t again_left_ms; /* until `again` fires; set when the state is saved; 0: not armed */
	uint32_t interval_sec;	/* between statistics; 0: only one at the driver's start */
	uint32_t done[QUEUES];	/* bytes done of a chain that was put back */
	uint16_t held_head;	/* of the statistics buffer that the device holds */
	bool held;		/* a buffer is held */
	bool short_of_memory;	/* the guest took pages out */
};

struct virtio_balloon {
	struct virtio_device virtio;
	struct virtio_balloon_state state;
	struct balloon_pages pages;
	struct loop_timer again;
	struct step steps[STATISTICS]; /* of INFLATE and DEFLATE chains that were put back */
	struct balloon_statistics statistics;
	struct loop_timer interval;
	uint32_t reported; /* config.actual as last reported to the watcher */
};

static struct virtio_balloon *from_device(struct device *device)
{
	return container_of(device, struct virtio_balloon, virtio.base);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* What queue `index` is for, as this driver counts. */
static unsigned kind_of(const struct virtio_balloon *balloon, unsigned index)
{
	bool has_statistics = balloon->virtio.state.driver_features &
			      VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ);

	return index < STATISTICS || (index == STATISTICS && has_statistics) ? index : REPORTING;
}

/* Passes on the next run of adjacent pages as one range, which covers whole pages of a host with larger ones. */
static void next_run(struct virtio_balloon *balloon, unsigned queue)
{
	bool remember = balloon->virtio.state.driver_features &
			VIRTIO_FEATURE(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	struct step *step = &balloon->steps[queue];
	uint32_t first = step->pages[step->next++], last = first;
	uint64_t gpa = (uint64_t)first << PAGE_SHIFT, size;

	while (step->next < step->count && step->pages[step->next] - last <= 1)
		last = step->pages[step->next++];
	size = (uint64_t)(last - first + 1) << PAGE_SHIFT;
	if (queue == INFLATE)
		balloon_pages_inflate(&balloon->pages, gpa, size, remember);
	else
		balloon_pages_deflate(&balloon->pages, gpa, size);
}

/* Reads the chain from byte `done` on. False at its end, or if it cannot be read. */
static bool read_step(struct virtio_balloon *balloon, struct step *step,
	const struct virtq_chain *chain, uint32_t done)
{
	uint32_t count = (chain->readable_bytes - done) / sizeof(step->pages[0]);

	step->next = 0;
	step->count = count < STEP_PAGES ? count : STEP_PAGES;
	if (!count || virtq_chain_read_at(chain, balloon->virtio.env->mem, done, step->pages,
			      step->count * sizeof(step->pages[0])))
		return false;
	qsort(step->pages, step->count, sizeof(step->pages[0]), compare);
	return true;
}

/*
 * These two return false if the turn ends before the chain does. They check after each call to the host, since the gate
 * searches all pins of disks for each.
 */

static bool change(struct virtio_balloon *balloon, unsigned queue, const struct virtq_chain *chain,
	uint32_t *done)
{
	struct step *step = &balloon->steps[queue];

	while (step->next < step->count || read_step(balloon, step, chain, *done)) {
		next_run(balloon, queue);
		if (step->next == step->count)
			*done += step->count * sizeof(step->pages[0]);
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
			/* If the gate refuses, the guest retains the memory. */
			(void)guestmem_discard(
				balloon->virtio.env->mem, segment[i].gpa + (*done - begin), left);
			*done += left;
			if (virtio_turn_is_over(&balloon->virtio))
				return *done >= chain->writable_bytes;
		}
	return true;
}

static bool serve_chain(
	struct virtio_balloon *balloon, unsigned index, const struct virtq_chain *chain)
{
	uint32_t *done = &balloon->state.done[index];

	if (index < STATISTICS ? !change(balloon, index, chain, done)
			       : !report(balloon, chain, done))
		return false;
	*done = 0;
	if (index < STATISTICS)
		balloon->steps[index] = (struct step){ 0 };
	return true;
}

/* ---- Statistics: the device holds the driver's one buffer, and returns it to ask for new ones (5.5.6.3) ---- */

static void give_buffer_back(struct virtio_balloon *balloon)
{
	if (balloon->state.held && virtio_queue_runs(&balloon->virtio, STATISTICS))
		virtio_push(&balloon->virtio, STATISTICS, balloon->state.held_head, 0);
	balloon->state.held = false;
}

static void take_statistics(struct virtio_balloon *balloon, const struct virtq_chain *chain)
{
	give_buffer_back(balloon); /* a driver with more than one buffer */
	balloon_statistics_read(&balloon->statistics, balloon->virtio.env->mem, chain);
	balloon->state.held = true;
	balloon->state.held_head = chain->head;
}

static void on_interval(struct loop_timer *timer)
{
	struct virtio_balloon *balloon = container_of(timer, struct virtio_balloon, interval);

	pthread_mutex_lock(&balloon->virtio.base.lock);
	if (balloon->state.held && !balloon->virtio.paused) {
		give_buffer_back(balloon);
		virtio_interrupt(&balloon->virtio, STATISTICS);
	}
	pthread_mutex_unlock(&balloon->virtio.base.lock);
	loop_timer_arm(
		balloon->virtio.env->loop, timer, balloon->state.interval_sec * UINT64_C(1000));
}

/* ---- What is asked of the guest ---- */

static void ask_for(struct virtio_balloon *balloon, uint32_t pages)
{
	if (balloon->state.config.num_pages == pages)
		return;
	balloon->state.config.num_pages = pages;
	virtio_config_changed(&balloon->virtio);
}

/* With the lock: after a guest took pages out, delays the request; the delay doubles each time. */
static void leave_alone(struct virtio_balloon *balloon)
{
	if (balloon->state.config.actual >= balloon->state.requested)
		balloon->state.again_ms = AGAIN_MS; /* the guest has complied */
	if (!balloon->state.short_of_memory)
		return;
	balloon->state.short_of_memory = false;
	ask_for(balloon, balloon->state.config.actual);
	loop_timer_arm(balloon->virtio.env->loop, &balloon->again, balloon->state.again_ms);
	balloon->state.again_ms = 2 * balloon->state.again_ms < AGAIN_MAX_MS
					  ? 2 * balloon->state.again_ms
					  : AGAIN_MAX_MS;
}

static void on_again(struct loop_timer *timer)
{
	struct virtio_balloon *balloon = container_of(timer, struct virtio_balloon, again);

	pthread_mutex_lock(&balloon->virtio.base.lock);
	ask_for(balloon, balloon->state.requested);
	pthread_mutex_unlock(&balloon->virtio.base.lock);
}

/* Notifies the watcher, without the lock. */
static void report_actual(struct virtio_balloon *balloon)
{
	uint32_t actual = __atomic_load_n(&balloon->state.config.actual, __ATOMIC_RELAXED);

	if (actual == balloon->reported)
		return;
	balloon->reported = actual;
	device_changed(&balloon->virtio.base);
}

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);
	struct virtq_chain chain;

	pthread_mutex_lock(&virtio->base.lock);
	while (virtio_pop(virtio, index, &chain)) {
		if (kind_of(balloon, index) == STATISTICS) {
			take_statistics(balloon, &chain);
			continue;
		}
		if (!serve_chain(balloon, index, &chain)) {
			virtio_unpop(virtio, index, 1);
			virtio_kick(virtio, index);
			break;
		}
		virtio_push(virtio, index, chain.head, 0);
	}
	virtio_interrupt(virtio, index);
	leave_alone(balloon);
	pthread_mutex_unlock(&virtio->base.lock);
	report_actual(balloon);
}

/* On a vCPU's thread, as write_config(). The kick has serve() notify the watcher on the loop. */
static void set_actual(struct virtio_balloon *balloon, uint32_t pages)
{
	__atomic_store_n(&balloon->state.config.actual, pages, __ATOMIC_RELAXED);
	virtio_kick(&balloon->virtio, INFLATE);
}

static void write_config(
	struct virtio_device *virtio, uint64_t offset, unsigned size, uint64_t value)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);
	uint32_t pages = (uint32_t)value;

	if (offset != offsetof(struct virtio_balloon_config, actual) || size != 4)
		return;
	balloon->state.short_of_memory = pages < balloon->state.config.actual &&
					 pages < balloon->state.config.num_pages;
	set_actual(balloon, pages);
}

/* A driver reset empties the balloon. */
static void forget_driver(struct virtio_device *virtio)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);

	for (unsigned i = 0; i < QUEUES; i++)
		balloon->state.done[i] = 0;
	memset(balloon->steps, 0, sizeof(balloon->steps));
	balloon_pages_reset(&balloon->pages);
	balloon_statistics_reset(&balloon->statistics);
	balloon->state.held = balloon->state.short_of_memory = false;
	balloon->state.config.num_pages = balloon->state.requested; /* for the next driver */
	set_actual(balloon, 0);
}

/* ---- What the board asks ---- */

void virtio_balloon_request(struct device *device, uint64_t bytes)
{
	struct virtio_balloon *balloon = from_device(device);
	uint64_t pages = bytes >> PAGE_SHIFT;

	pages = pages < UINT32_MAX ? pages : UINT32_MAX;
	pthread_mutex_lock(&device->lock);
	balloon->state.requested = (uint32_t)pages;
	balloon->state.again_ms = AGAIN_MS;
	balloon->state.short_of_memory = false;
	loop_timer_cancel(&balloon->again);
	ask_for(balloon, balloon->state.requested);
	pthread_mutex_unlock(&device->lock);
}

uint64_t virtio_balloon_requested(struct device *device)
{
	return (uint64_t)from_device(device)->state.requested << PAGE_SHIFT;
}

uint64_t virtio_balloon_actual(struct device *device)
{
	return (uint64_t)__atomic_load_n(
		       &from_device(device)->state.config.actual, __ATOMIC_RELAXED)
	       << PAGE_SHIFT;
}

uint64_t virtio_balloon_given(struct device *device)
{
	uint64_t bytes;

	pthread_mutex_lock(&device->lock);
	bytes = from_device(device)->pages.given_bytes;
	pthread_mutex_unlock(&device->lock);
	return bytes;
}

void virtio_balloon_statistics(struct device *device, struct balloon_statistics *ret)
{
	pthread_mutex_lock(&device->lock);
	*ret = from_device(device)->statistics;
	pthread_mutex_unlock(&device->lock);
}

unsigned virtio_balloon_interval(struct device *device)
{
	return from_device(device)->state.interval_sec;
}

void virtio_balloon_set_interval(struct device *device, unsigned sec)
{
	struct virtio_balloon *balloon = from_device(device);

	balloon->state.interval_sec = sec;
	loop_timer_cancel(&balloon->interval);
	if (sec)
		loop_timer_arm(balloon->virtio.env->loop, &balloon->interval, sec * UINT64_C(1000));
}

/* ---- Values ---- */

enum { ACTUAL, REQUESTED, GIVEN, INTERVAL };

static uint64_t get_value(struct device *device, unsigned index)
{
	switch (index) {
	case ACTUAL:
		return virtio_balloon_actual(device);
	case REQUESTED:
		return virtio_balloon_requested(device);
	case GIVEN:
		return virtio_balloon_given(device);
	default:
		return virtio_balloon_interval(device);
	}
}

static int set_requested(struct device *device, uint64_t bytes, char *ret_why, size_t len)
{
	virtio_balloon_request(device, bytes);
	return 0;
}

static int set_interval(struct device *device, uint64_t sec, char *ret_why, size_t len)
{
	virtio_balloon_set_interval(device, (unsigned)sec);
	return 0;
}

enum { UPDATED = BALLOON_STATISTICS, PLUGGED };

static uint64_t get_statistic(struct device *device, unsigned index)
{
	struct balloon_statistics statistics;

	virtio_balloon_statistics(device, &statistics);
	return index == UPDATED	  ? statistics.updated_sec
	       : index == PLUGGED ? statistics.plugged_bytes
				  : statistics.value[index];
}

#define STATISTIC(name, index)                                                                     \
	{                                                                                          \
		name, "uint64", get_statistic, index                                               \
	}

/* Names as QEMU's; UINT64_MAX, which is -1 to a client, is not known. */
static const struct device_value statistics[] = {
	STATISTIC("stat-swap-in", VIRTIO_BALLOON_S_SWAP_IN),
	STATISTIC("stat-swap-out", VIRTIO_BALLOON_S_SWAP_OUT),
	STATISTIC("stat-major-faults", VIRTIO_BALLOON_S_MAJFLT),
	STATISTIC("stat-minor-faults", VIRTIO_BALLOON_S_MINFLT),
	STATISTIC("stat-free-memory", VIRTIO_BALLOON_S_MEMFREE),
	STATISTIC("stat-total-memory", VIRTIO_BALLOON_S_MEMTOT),
	STATISTIC("stat-available-memory", VIRTIO_BALLOON_S_AVAIL),
	STATISTIC("stat-disk-caches", VIRTIO_BALLOON_S_CACHES),
	STATISTIC("stat-htlb-pgalloc", VIRTIO_BALLOON_S_HTLB_PGALLOC),
	STATISTIC("stat-htlb-pgfail", VIRTIO_BALLOON_S_HTLB_PGFAIL),
	{ 0 },
};
static const struct device_value guest_stats[] = {
	{ "stats", "guest statistics", .members = statistics },
	STATISTIC("last-update", UPDATED),
	{ 0 },
};

_Static_assert(VIRTIO_BALLOON_INTERVAL_MAX == 86400, "what is expected says so");
static const struct device_value values[] = {
	{ "x-sluice-actual", "size", get_value, ACTUAL },
	{ "x-sluice-requested", "size", get_value, REQUESTED, set_requested,
		.expects = "a size of 0 or more" },
	{ "x-sluice-given-back", "size", get_value, GIVEN },
	/* The guest's available memory, and what all windows had plugged at that time. */
	{ "x-sluice-guest-available", "size", get_statistic, VIRTIO_BALLOON_S_AVAIL },
	{ "x-sluice-guest-plugged", "size", get_statistic, PLUGGED },
	{ "guest-stats", "guest statistics", .members = guest_stats },
	{ "guest-stats-polling-interval", "int", get_value, INTERVAL, set_interval,
		.max = VIRTIO_BALLOON_INTERVAL_MAX, .expects = "seconds, 0 (never) to 86400" },
	{ 0 },
};

/* ---- The class ---- */

static const char *const switches[] = { "off", "on", NULL };

#define FIELD(name) offsetof(struct virtio_balloon_node, name)

static const struct property properties[] = {
	{ "deflate-on-oom", PROPERTY_CHOICE, FIELD(deflate_on_oom), .choices = switches },
	{ "statistics-interval-sec", PROPERTY_U32, FIELD(statistics_interval_sec), .min = 0,
		.max = VIRTIO_BALLOON_INTERVAL_MAX },
	{ NULL },
};

static void defaults(void *config)
{
	((struct virtio_balloon_node *)config)->deflate_on_oom = 1;
}

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_BALLOON,
	.queue_count = QUEUES,
	.queue_size_max = 128,
	.features = VIRTIO_FEATURE(VIRTIO_BALLOON_F_MUST_TELL_HOST) |
		    VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ) |
		    VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING),
	/* The fields behind num_pages and actual belong to features that this device lacks. */
	.config_bytes = offsetof(struct virtio_balloon_config, free_page_hint_cmd_id),
	.serve = serve,
	.reset = forget_driver,
	.write_config = write_config,
};

static int virtio_balloon_init(
	struct device *device, const void *config, const struct device_env *env)
{
	struct virtio_balloon *balloon = from_device(device);
	const struct virtio_balloon_node *node = config;
	int err;

	balloon->again = (struct loop_timer){ .fired = on_again, .name = env->id };
	balloon->interval = (struct loop_timer){ .fired = on_interval, .name = env->id };
	balloon->state.again_ms = AGAIN_MS;
	balloon_pages_init(&balloon->pages, env->mem);
	balloon_statistics_reset(&balloon->statistics);
	err = virtio_init(&balloon->virtio, &virtio_class, env,
		node->deflate_on_oom ? VIRTIO_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) : 0,
		&balloon->state.config);
	virtio_balloon_set_interval(device, node->statistics_interval_sec);
	return err;
}

/* The requested size is unchanged. */
static void virtio_balloon_reset(struct device *device)
{
	virtio_system_reset(&from_device(device)->virtio);
	report_actual(from_device(device));
}

static void virtio_balloon_finish(struct device *device)
{
	loop_timer_cancel(&from_device(device)->again);
	loop_timer_cancel(&from_device(device)->interval);
	virtio_finish(&from_device(device)->virtio);
	balloon_pages_finish(&from_device(device)->pages);
}

/*
 * ---- Its state. It lacks the set of pages in the balloon (balloon-pages.h): after a restore they count as the guest's
 * until the guest names them again. Statistics come with the next interval. ----
 */

static void take_state(struct device *device)
{
	struct virtio_balloon *balloon = from_device(device);
	uint64_t now = loop_now_ms(), end = balloon->again.deadline_ms;

	balloon->state.again_left_ms = 0;
	if (balloon->again.loop)
		balloon->state.again_left_ms = end > now ? (uint32_t)(end - now) : 1;
}

static void put_state(struct device *device)
{
	struct virtio_balloon *balloon = from_device(device);

	loop_timer_cancel(&balloon->again);
	if (balloon->state.again_left_ms)
		loop_timer_arm(
			balloon->virtio.env->loop, &balloon->again, balloon->state.again_left_ms);
	virtio_balloon_set_interval(device, balloon->state.interval_sec);
}

#define STATE(member) STATE_ONE(struct virtio_balloon, state.member)

static const struct state_field state_fields[] = {
	{ "num-pages", STATE(config.num_pages) },
	{ "actual", STATE(config.actual) },
	{ STATE_HOLE(struct virtio_balloon, state.config.free_page_hint_cmd_id) },
	{ STATE_HOLE(struct virtio_balloon, state.config.poison_val) },
	{ "requested", STATE(requested) },
	{ "again-ms", STATE(again_ms), .min = AGAIN_MS, .max = AGAIN_MAX_MS },
	{ "again-left-ms", STATE(again_left_ms), .max = AGAIN_MAX_MS },
	{ "interval-sec", STATE(interval_sec), .max = VIRTIO_BALLOON_INTERVAL_MAX },
	{ "done", STATE_ARRAY(struct virtio_balloon, state.done) },
	{ "held-head", STATE(held_head) },
	{ "held", STATE(held) },
	{ "short-of-memory", STATE(short_of_memory) },
	{ 0 },
};

static const struct state_part balloon_state = {
	STATE_PART(struct virtio_balloon, state),
	.fields = state_fields,
	.take = take_state,
	.put = put_state,
};

const struct device_class virtio_balloon_class = {
	.compatible = "sluice,virtio-balloon",
	.bytes = sizeof(struct virtio_balloon),
	.not_nested =
		"each page that it gave back would have KVM walk all shadow tables of its guests",
	.kind = DEVICE_VIRTIO,
	.properties = properties,
	.config_bytes = sizeof(struct virtio_balloon_node),
	.defaults = defaults,
	.single = true, /* two would discard each other's pages */
	.init = virtio_balloon_init,
	.reset = virtio_balloon_reset,
	.quiesce = virtio_quiesce,
	.pause = virtio_pause,
	.values = values,
	.event = { EVENT_LEFT, "BALLOON_CHANGE", &values[0] },
	.state = { &balloon_state, &virtio_state },
	.finish = virtio_balloon_finish,
};
