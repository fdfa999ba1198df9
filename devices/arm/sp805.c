/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SP805, the watchdog, after Arm DDI 0270. It counts down twice from WdogLoad: the first end raises the interrupt; the
 * second bites, if the interrupt was not cleared. The board carries out the node's action. It counts the host's
 * monotonic time less the time that the machine was paused.
 *
 * Two deviations. Any change of WdogControl restarts the count, and so does the interrupt, which the loop may raise
 * late: a guest never has less time than it loaded. After a bite the count stops until the guest writes WdogIntClr or
 * WdogLoad, or changes WdogControl. The integration test registers read as zero.
 */
#include "devices/arm/sp805.h"

#include <errno.h>
#include <time.h>

#include "devices/arm/primecell.h"
#include "devices/state.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

enum {
	WDOGLOAD = 0x000,
	WDOGVALUE = 0x004,
	WDOGCONTROL = 0x008,
	WDOGINTCLR = 0x00c,
	WDOGRIS = 0x010,
	WDOGMIS = 0x014,
	WDOGLOCK = 0xc00,
};

#define CONTROL_INTEN 1
#define CONTROL_RESEN 2
#define UNLOCK	      0x1acce551

#define NS_PER_MS 1000000
/* A guest can cause bites at any rate; this bounds how often they are reported. */
#define BITES_APART_NS (1000 * UINT64_C(1000000))

struct sp805_node {
	uint32_t action; /* enum watchdog_action */
};

struct sp805_state {
	/* Of guest_ns(): */
	uint64_t start_ns;  /* when the count was at `load` */
	uint64_t bitten_ns; /* the last time; 0: never */
	uint64_t taken_ns;  /* when the state was saved */
	uint32_t load, control;
	uint32_t value; /* WdogValue while it does not count */
	bool locked, counts;
	uint8_t hole[2];
};

struct sp805 {
	struct primecell pl;
	struct loop *loop;
	struct loop_task update; /* posted by vCPUs, since only the loop arms timers */
	struct loop_timer timer;
	const struct sp805_node *node;
	void (*bite)(struct device *device, enum watchdog_action action, void *opaque);
	void *opaque;

	struct sp805_state state;
	bool paused;	    /* the machine is ... */
	uint64_t paused_ns; /* ... since then, of guest_ns() */
	uint64_t behind_ns; /* behind host_ns(), by the time the state was stored */
};

static struct sp805 *sp805_of(struct primecell *pl)
{
	return container_of(pl, struct sp805, pl);
}

static struct sp805 *from_device(struct device *device)
{
	return container_of(device, struct sp805, pl.device);
}

static uint64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t guest_ns(const struct sp805 *wdt)
{
	return host_ns() - wdt->behind_ns;
}

/* The time that `counts` take; below 2^38 ns. */
static uint64_t counts_ns(uint32_t counts)
{
	return counts * UINT64_C(1000000000) / PRIMECELL_CLOCK_HZ;
}

static uint32_t value(const struct sp805 *wdt)
{
	uint64_t passed = guest_ns(wdt) - wdt->state.start_ns;

	if (!wdt->state.counts)
		return wdt->state.value;
	if (passed >= counts_ns(wdt->state.load))
		return 0;
	return wdt->state.load - (uint32_t)(passed * (PRIMECELL_CLOCK_HZ / 1000000) / 1000);
}

/* Restarts the count at WdogLoad, if enabled. */
static void start(struct sp805 *wdt)
{
	wdt->state.counts = wdt->state.control & CONTROL_INTEN;
	wdt->state.value = wdt->state.load;
	wdt->state.start_ns = guest_ns(wdt);
	loop_post(wdt->loop, &wdt->update);
}

/* The count has ended. Returns whether it bites. */
static bool expire(struct sp805 *wdt)
{
	if (!(wdt->pl.state.ris & CONTROL_INTEN)) {
		wdt->pl.state.ris |= CONTROL_INTEN;
		primecell_update(&wdt->pl);
		start(wdt);
		return false;
	}
	wdt->state.counts = false;
	wdt->state.value = 0;
	if (!(wdt->state.control & CONTROL_RESEN))
		return false;
	wdt->state.bitten_ns = guest_ns(wdt);
	return true;
}

/* When this count ends: a bite at least BITES_APART_NS after the last one. */
static uint64_t end_ns(const struct sp805 *wdt)
{
	uint64_t end = wdt->state.start_ns + counts_ns(wdt->state.load);
	uint64_t earliest = wdt->state.bitten_ns + BITES_APART_NS;

	return wdt->pl.state.ris && wdt->state.bitten_ns && end < earliest ? earliest : end;
}

static void update(struct sp805 *wdt)
{
	struct device *device = &wdt->pl.device;
	uint64_t now, end;
	bool runs, bites = false;

	pthread_mutex_lock(&device->lock);
	loop_timer_cancel(&wdt->timer);
	now = guest_ns(wdt);
	end = end_ns(wdt);
	runs = wdt->state.counts && !wdt->paused;
	if (runs && now >= end)
		bites = expire(wdt);
	else if (runs)
		loop_timer_arm(wdt->loop, &wdt->timer, (end - now) / NS_PER_MS + 1);
	pthread_mutex_unlock(&device->lock);
	if (bites && wdt->bite)
		wdt->bite(device, wdt->node->action, wdt->opaque);
}

static void update_posted(struct loop_task *task)
{
	update(container_of(task, struct sp805, update));
}

static void update_timed(struct loop_timer *timer)
{
	update(container_of(timer, struct sp805, timer));
}

static uint32_t value_read(struct primecell *pl, uint64_t offset)
{
	return value(sp805_of(pl));
}

static void load_write(struct primecell *pl, uint64_t offset, uint32_t load)
{
	struct sp805 *wdt = sp805_of(pl);

	if (wdt->state.locked)
		return;
	wdt->state.load = load;
	start(wdt);
}

static void control_write(struct primecell *pl, uint64_t offset, uint32_t control)
{
	struct sp805 *wdt = sp805_of(pl);
	uint32_t now = value(wdt);

	if (wdt->state.locked || control == wdt->state.control)
		return;
	wdt->state.control = control;
	pl->state.imsc = control & CONTROL_INTEN;
	start(wdt);
	if (!wdt->state.counts)
		wdt->state.value = now;
}

static void intclr_write(struct primecell *pl, uint64_t offset, uint32_t any)
{
	if (sp805_of(pl)->state.locked)
		return;
	pl->state.ris = 0;
	start(sp805_of(pl));
}

static uint32_t lock_read(struct primecell *pl, uint64_t offset)
{
	return sp805_of(pl)->state.locked;
}

static void lock_write(struct primecell *pl, uint64_t offset, uint32_t key)
{
	sp805_of(pl)->state.locked = key != UNLOCK;
}

#define FIELD(name) offsetof(struct sp805, name)

static const struct primecell_register sp805_registers[] = {
	{ WDOGLOAD, FIELD(state.load), .mask = UINT32_MAX, .write = load_write },
	{ WDOGVALUE, .read = value_read },
	{ WDOGCONTROL, FIELD(state.control), .mask = CONTROL_INTEN | CONTROL_RESEN,
		.write = control_write },
	{ WDOGINTCLR, .mask = UINT32_MAX, .write = intclr_write },
	{ WDOGRIS, FIELD(pl.state.ris) },
	{ WDOGMIS, .read = primecell_mis },
	{ WDOGLOCK, .mask = UINT32_MAX, .read = lock_read, .write = lock_write },
};

static const struct primecell_type sp805_type = {
	.registers = sp805_registers,
	.register_count = ARRAY_SIZE(sp805_registers),
	.periph_id = 0x00141805,
};

static void sp805_watch(struct device *device,
	void (*bite)(struct device *device, enum watchdog_action action, void *opaque),
	void *opaque)
{
	from_device(device)->bite = bite;
	from_device(device)->opaque = opaque;
}

static void sp805_pause(struct device *device, bool paused)
{
	struct sp805 *wdt = from_device(device);

	pthread_mutex_lock(&device->lock);
	if (paused && !wdt->paused)
		wdt->paused_ns = guest_ns(wdt);
	else if (!paused && wdt->paused)
		wdt->state.start_ns += guest_ns(wdt) - wdt->paused_ns;
	wdt->paused = paused;
	pthread_mutex_unlock(&device->lock);
	/* In a turn of its own, since a bite may pause the machine again. */
	loop_post(wdt->loop, &wdt->update);
}

static void sp805_reset(struct device *device)
{
	struct sp805 *wdt = from_device(device);

	pthread_mutex_lock(&device->lock);
	wdt->state = (struct sp805_state){
		.load = UINT32_MAX,
		.value = UINT32_MAX,
		.bitten_ns = wdt->state.bitten_ns,
	};
	wdt->paused = false;
	loop_timer_cancel(&wdt->timer);
	primecell_reset(&wdt->pl);
	pthread_mutex_unlock(&device->lock);
}

static void sp805_finish(struct device *device)
{
	struct sp805 *wdt = from_device(device);

	loop_timer_cancel(&wdt->timer);
	loop_task_cancel(wdt->loop, &wdt->update);
}

static int sp805_init(struct device *device, const void *config, const struct device_env *env)
{
	struct sp805 *wdt = from_device(device);

	primecell_init(&wdt->pl, &sp805_type, env);
	wdt->loop = env->loop;
	wdt->update = (struct loop_task){ .run = update_posted, .name = "watchdog" };
	wdt->timer = (struct loop_timer){ .fired = update_timed, .name = "watchdog" };
	wdt->node = config;
	sp805_reset(device);
	return 0;
}

/* ---- Its state ---- */

static void take_state(struct device *device)
{
	struct sp805 *wdt = from_device(device);

	wdt->state.taken_ns = wdt->paused ? wdt->paused_ns : guest_ns(wdt);
}

/* No time may be later than taken_ns. */
static int check_state(const struct device *candidate)
{
	const struct sp805_state *state =
		&container_of(candidate, const struct sp805, pl.device)->state;

	return state->start_ns > state->taken_ns || state->bitten_ns > state->taken_ns ? -EINVAL
										       : 0;
}

static void put_state(struct device *device)
{
	struct sp805 *wdt = from_device(device);

	wdt->behind_ns = host_ns() - wdt->state.taken_ns;
	wdt->paused_ns = wdt->state.taken_ns; /* in case the machine is paused */
	loop_post(wdt->loop, &wdt->update);
}

#define STATE(member) STATE_ONE(struct sp805, state.member)

static const struct state_field state_fields[] = {
	{ "start-ns", STATE(start_ns) },
	{ "bitten-ns", STATE(bitten_ns) },
	{ "taken-ns", STATE(taken_ns), .max = INT64_MAX }, /* sums with it stay in 64 bits */
	{ "load", STATE(load) },
	{ "control", STATE(control), .max = CONTROL_INTEN | CONTROL_RESEN },
	{ "value", STATE(value) },
	{ "locked", STATE(locked) },
	{ "counts", STATE(counts) },
	{ STATE_HOLE(struct sp805, state.hole) },
	{ 0 },
};

static const struct state_part sp805_state = {
	STATE_PART(struct sp805, state),
	.fields = state_fields,
	.take = take_state,
	.check = check_state,
	.put = put_state,
};

/* ---- The class ---- */

static const char *const action_choices[] = {
	[WATCHDOG_RESET] = "reset",
	[WATCHDOG_POWER_OFF] = "power-off",
	[WATCHDOG_PAUSE] = "pause",
	[WATCHDOG_EVENT] = "event",
	NULL,
};

static const struct property sp805_properties[] = {
	{ "action", PROPERTY_CHOICE, offsetof(struct sp805_node, action),
		.choices = action_choices },
	{ NULL },
};

const struct device_class sp805_class = {
	.compatible = "sluice,watchdog",
	.bytes = sizeof(struct sp805),
	.kind = DEVICE_PLATFORM,
	.single = true,
	.properties = sp805_properties,
	.config_bytes = sizeof(struct sp805_node),
	.init = sp805_init,
	.reset = sp805_reset,
	.pause = sp805_pause,
	.watchdog = sp805_watch,
	.state = { &sp805_state, &primecell_state },
	.finish = sp805_finish,
};
