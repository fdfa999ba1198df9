/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SP805, the watchdog, after Arm DDI 0270. It counts down twice from what was loaded: the first end
 * raises the interrupt, the second, if that was not cleared meanwhile, bites. What a bite does is the
 * board's concern, by the node's action. It counts the host's monotonic time less the time that the
 * machine was paused.
 *
 * Two liberties. Any change of WdogControl starts the count anew, and so does the interrupt, which
 * the host's loop may have raised late: a guest never has less time than it was promised. And when it
 * has bitten it rests until it is fed, or loaded, again. The integration test registers read as zero.
 */
#include "devices/sp805.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "devices/primecell.h"
#include "hyp/loop.h"
#include "hyp/util.h"

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
/* A guest can make it bite as often as it likes; what hears of it shall not be flooded. */
#define BITES_APART_NS (1000 * UINT64_C(1000000))

struct sp805_node {
	uint32_t action; /* enum sp805_action */
};

struct sp805 {
	struct primecell pl;
	struct loop *loop;
	struct loop_task look; /* timers are the loop's: a vCPU posts this instead */
	struct loop_timer timer;
	const struct sp805_node *node;
	void (*bite)(struct device *device, enum sp805_action action, void *opaque);
	void *opaque;

	uint32_t load, control;
	uint32_t value; /* where it stands while it does not count */
	bool locked, counts, paused;
	uint64_t start_ns;  /* when the count was at `load` */
	uint64_t paused_ns; /* since when, while paused */
	uint64_t bitten_ns; /* the last time; 0: never */
};

static struct sp805 *sp805_of(struct primecell *pl)
{
	return container_of(pl, struct sp805, pl);
}

static struct sp805 *from_device(struct device *device)
{
	return container_of(device, struct sp805, pl.device);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Of so many counts; below 2^38 s. */
static uint64_t counts_ns(uint32_t counts)
{
	return counts * UINT64_C(1000000000) / PRIMECELL_CLOCK_HZ;
}

static uint32_t value(const struct sp805 *wdt)
{
	uint64_t passed = now_ns() - wdt->start_ns;

	if (!wdt->counts)
		return wdt->value;
	if (passed >= counts_ns(wdt->load))
		return 0;
	return wdt->load - (uint32_t)(passed * (PRIMECELL_CLOCK_HZ / 1000000) / 1000);
}

/* From WdogLoad on, where it is enabled. */
static void start(struct sp805 *wdt)
{
	wdt->counts = wdt->control & CONTROL_INTEN;
	wdt->value = wdt->load;
	wdt->start_ns = now_ns();
	loop_post(wdt->loop, &wdt->look);
}

/* The count is at its end. Returns whether it bites. */
static bool expire(struct sp805 *wdt)
{
	if (!(wdt->pl.ris & CONTROL_INTEN)) {
		wdt->pl.ris |= CONTROL_INTEN;
		primecell_update(&wdt->pl);
		start(wdt);
		return false;
	}
	wdt->counts = false;
	wdt->value = 0;
	if (!(wdt->control & CONTROL_RESEN))
		return false;
	wdt->bitten_ns = now_ns();
	return true;
}

/* When the end of this count shows. */
static uint64_t end_ns(const struct sp805 *wdt)
{
	uint64_t end = wdt->start_ns + counts_ns(wdt->load);
	uint64_t earliest = wdt->bitten_ns + BITES_APART_NS;

	return wdt->pl.ris && wdt->bitten_ns && end < earliest ? earliest : end;
}

static void look(struct sp805 *wdt)
{
	struct device *device = &wdt->pl.device;
	uint64_t now, end;
	bool runs, bites = false;

	pthread_mutex_lock(&device->lock);
	loop_timer_cancel(&wdt->timer);
	now = now_ns();
	end = end_ns(wdt);
	runs = wdt->counts && !wdt->paused;
	if (runs && now >= end)
		bites = expire(wdt);
	else if (runs)
		loop_timer_arm(wdt->loop, &wdt->timer, (end - now) / NS_PER_MS + 1);
	pthread_mutex_unlock(&device->lock);
	if (bites && wdt->bite)
		wdt->bite(device, wdt->node->action, wdt->opaque);
}

static void look_posted(struct loop_task *task)
{
	look(container_of(task, struct sp805, look));
}

static void look_timed(struct loop_timer *timer)
{
	look(container_of(timer, struct sp805, timer));
}

static uint32_t value_read(struct primecell *pl, uint64_t offset)
{
	return value(sp805_of(pl));
}

static void load_write(struct primecell *pl, uint64_t offset, uint32_t load)
{
	struct sp805 *wdt = sp805_of(pl);

	if (wdt->locked)
		return;
	wdt->load = load;
	start(wdt);
}

static void control_write(struct primecell *pl, uint64_t offset, uint32_t control)
{
	struct sp805 *wdt = sp805_of(pl);
	uint32_t stands = value(wdt);

	if (wdt->locked || control == wdt->control)
		return;
	wdt->control = control;
	pl->imsc = control & CONTROL_INTEN;
	start(wdt);
	if (!wdt->counts)
		wdt->value = stands;
}

static void intclr_write(struct primecell *pl, uint64_t offset, uint32_t any)
{
	if (sp805_of(pl)->locked)
		return;
	pl->ris = 0;
	start(sp805_of(pl));
}

static uint32_t lock_read(struct primecell *pl, uint64_t offset)
{
	return sp805_of(pl)->locked;
}

static void lock_write(struct primecell *pl, uint64_t offset, uint32_t key)
{
	sp805_of(pl)->locked = key != UNLOCK;
}

#define FIELD(name) offsetof(struct sp805, name)

static const struct primecell_register sp805_registers[] = {
	{ WDOGLOAD, FIELD(load), .mask = UINT32_MAX, .write = load_write },
	{ WDOGVALUE, .read = value_read },
	{ WDOGCONTROL, FIELD(control), .mask = CONTROL_INTEN | CONTROL_RESEN,
		.write = control_write },
	{ WDOGINTCLR, .mask = UINT32_MAX, .write = intclr_write },
	{ WDOGRIS, FIELD(pl.ris) },
	{ WDOGMIS, .read = primecell_mis },
	{ WDOGLOCK, .mask = UINT32_MAX, .read = lock_read, .write = lock_write },
};

static const struct primecell_type sp805_type = {
	.registers = sp805_registers,
	.register_count = ARRAY_SIZE(sp805_registers),
	.periph_id = 0x00141805,
};

void sp805_watch(struct device *device,
	void (*bite)(struct device *device, enum sp805_action action, void *opaque), void *opaque)
{
	from_device(device)->bite = bite;
	from_device(device)->opaque = opaque;
}

static void sp805_pause(struct device *device, bool paused)
{
	struct sp805 *wdt = from_device(device);

	pthread_mutex_lock(&device->lock);
	if (paused && !wdt->paused)
		wdt->paused_ns = now_ns();
	else if (!paused && wdt->paused)
		wdt->start_ns += now_ns() - wdt->paused_ns;
	wdt->paused = paused;
	pthread_mutex_unlock(&device->lock);
	look(wdt);
}

static void sp805_reset(struct device *device)
{
	struct sp805 *wdt = from_device(device);

	pthread_mutex_lock(&device->lock);
	wdt->load = wdt->value = UINT32_MAX;
	wdt->control = 0;
	wdt->locked = wdt->counts = wdt->paused = false;
	loop_timer_cancel(&wdt->timer);
	primecell_reset(&wdt->pl);
	pthread_mutex_unlock(&device->lock);
}

static void sp805_destroy(struct device *device)
{
	struct sp805 *wdt;

	if (!device)
		return;
	wdt = from_device(device);
	loop_timer_cancel(&wdt->timer);
	loop_task_cancel(wdt->loop, &wdt->look);
	primecell_finish(&wdt->pl);
	free(wdt);
}

static int sp805_create(const void *config, const struct device_env *env, struct device **ret)
{
	struct sp805 *wdt = calloc(1, sizeof(*wdt));

	if (!wdt)
		return -ENOMEM;
	primecell_init(&wdt->pl, &sp805_class, &sp805_type, env);
	wdt->loop = env->loop;
	wdt->look.run = look_posted;
	wdt->timer.fired = look_timed;
	wdt->node = config;
	sp805_reset(&wdt->pl.device);
	*ret = &wdt->pl.device;
	return 0;
}

static const char *const action_choices[] = {
	[SP805_RESET] = "reset",
	[SP805_POWER_OFF] = "power-off",
	[SP805_PAUSE] = "pause",
	[SP805_EVENT] = "event",
	NULL,
};

static const struct property sp805_properties[] = {
	{ "action", PROPERTY_CHOICE, offsetof(struct sp805_node, action),
		.choices = action_choices },
	{ NULL },
};

const struct device_class sp805_class = {
	.compatible = "sluice,watchdog",
	.kind = DEVICE_PLATFORM,
	.single = true,
	.properties = sp805_properties,
	.config_bytes = sizeof(struct sp805_node),
	.create = sp805_create,
	.reset = sp805_reset,
	.pause = sp805_pause,
	.destroy = sp805_destroy,
};
