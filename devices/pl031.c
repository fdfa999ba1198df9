/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL031, the real-time clock, after Arm DDI 0224. It counts the host's seconds since the epoch,
 * shifted by what the guest loaded, and always runs: RTCCR reads as started. The alarm is kept as
 * a host time, so that neither the host's clock being set back nor its sleeping loses it or makes
 * one up; the timer only says when to look.
 */
#include "devices/pl031.h"

#include <errno.h>
#include <time.h>

#include "devices/primecell.h"
#include "hyp/loop.h"
#include "hyp/util.h"

enum {
	RTCDR = 0x000,
	RTCMR = 0x004,
	RTCLR = 0x008,
	RTCCR = 0x00c,
	RTCIMSC = 0x010,
	RTCRIS = 0x014,
	RTCMIS = 0x018,
	RTCICR = 0x01c,
};

#define CR_START  1
#define INT_MATCH 1

/* The host's clock may be set or sleep meanwhile: look at least this often. */
#define LOOK_MS 60000

struct pl031 {
	struct primecell pl;
	struct loop *loop;
	struct loop_task look; /* timers are the loop's: a vCPU posts this instead */
	struct loop_timer timer;

	uint32_t mr, lr, offset;
	bool alarm_set;	   /* a match is to come */
	uint64_t alarm_ms; /* of CLOCK_REALTIME */
};

static struct pl031 *pl031_of(struct primecell *pl)
{
	return container_of(pl, struct pl031, pl);
}

static uint64_t host_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint32_t count(const struct pl031 *rtc)
{
	return (uint32_t)(host_ms() / 1000) + rtc->offset;
}

/* Places the alarm where the count, which wraps, will next equal RTCMR. */
static void set_alarm(struct pl031 *rtc)
{
	uint64_t now_s = host_ms() / 1000;
	uint32_t left_s = rtc->mr - ((uint32_t)now_s + rtc->offset);

	rtc->alarm_set = true;
	rtc->alarm_ms = (now_s + left_s) * 1000;
	loop_post(rtc->loop, &rtc->look);
}

static void look(struct pl031 *rtc)
{
	uint64_t now, left;

	pthread_mutex_lock(&rtc->pl.device.lock);
	now = host_ms();
	if (!rtc->alarm_set) {
		loop_timer_cancel(&rtc->timer);
	} else if (now >= rtc->alarm_ms) {
		loop_timer_cancel(&rtc->timer);
		rtc->alarm_set = false;
		rtc->pl.ris |= INT_MATCH;
		primecell_update(&rtc->pl);
	} else {
		left = rtc->alarm_ms - now;
		loop_timer_arm(rtc->loop, &rtc->timer, left < LOOK_MS ? left : LOOK_MS);
	}
	pthread_mutex_unlock(&rtc->pl.device.lock);
}

static void look_posted(struct loop_task *task)
{
	look(container_of(task, struct pl031, look));
}

static void look_timed(struct loop_timer *timer)
{
	look(container_of(timer, struct pl031, timer));
}

static uint32_t dr_read(struct primecell *pl, uint64_t offset)
{
	return count(pl031_of(pl));
}

static uint32_t cr_read(struct primecell *pl, uint64_t offset)
{
	return CR_START;
}

static void mr_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	pl031_of(pl)->mr = value;
	set_alarm(pl031_of(pl));
}

static void lr_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	struct pl031 *rtc = pl031_of(pl);

	rtc->lr = value;
	rtc->offset += value - count(rtc);
	if (rtc->alarm_set)
		set_alarm(rtc);
}

static const struct primecell_register pl031_registers[] = {
	{ RTCDR, .read = dr_read },
	{ RTCMR, offsetof(struct pl031, mr), .mask = UINT32_MAX, .write = mr_write },
	{ RTCLR, offsetof(struct pl031, lr), .mask = UINT32_MAX, .write = lr_write },
	{ RTCCR, .read = cr_read },
	{ RTCIMSC, offsetof(struct pl031, pl.imsc), .mask = INT_MATCH },
	{ RTCRIS, offsetof(struct pl031, pl.ris) },
	{ RTCMIS, .read = primecell_mis },
	{ RTCICR, .mask = INT_MATCH, .write = primecell_icr },
};

static const struct primecell_type pl031_type = {
	.registers = pl031_registers,
	.register_count = ARRAY_SIZE(pl031_registers),
	.periph_id = 0x00041031,
};

static void pl031_reset(struct device *device)
{
	struct pl031 *rtc = container_of(device, struct pl031, pl.device);

	pthread_mutex_lock(&device->lock);
	rtc->mr = rtc->lr = rtc->offset = 0;
	rtc->alarm_set = false;
	loop_timer_cancel(&rtc->timer);
	primecell_reset(&rtc->pl);
	pthread_mutex_unlock(&device->lock);
}

static void pl031_destroy(struct device *device)
{
	struct pl031 *rtc;

	if (!device)
		return;
	rtc = container_of(device, struct pl031, pl.device);
	loop_timer_cancel(&rtc->timer);
	loop_task_cancel(rtc->loop, &rtc->look);
	primecell_finish(&rtc->pl);
	free(rtc);
}

static int pl031_create(const void *config, const struct device_env *env, struct device **ret)
{
	struct pl031 *rtc = calloc(1, sizeof(*rtc));

	if (!rtc)
		return -ENOMEM;
	primecell_init(&rtc->pl, &pl031_class, &pl031_type, env);
	rtc->loop = env->loop;
	rtc->look.run = look_posted;
	rtc->timer.fired = look_timed;
	pl031_reset(&rtc->pl.device);
	*ret = &rtc->pl.device;
	return 0;
}

const struct device_class pl031_class = {
	.compatible = "arm,pl031",
	.kind = DEVICE_PLATFORM,
	.create = pl031_create,
	.reset = pl031_reset,
	.destroy = pl031_destroy,
};
