/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL031, the real-time clock, after Arm DDI 0224. It counts the host's seconds since the epoch, shifted by what the
 * guest loaded, and always runs: RTCCR reads as started. The alarm is stored as a time of guest_ms(), so that it is
 * neither lost nor raised falsely if the host's clock is set or the host is suspended; the timer only triggers a check.
 */
#include "devices/arm/pl031.h"

#include <time.h>

#include "devices/arm/primecell.h"
#include "devices/state.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

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

/* The host may be suspended or its clock set: check at least this often. */
#define CHECK_MS 60000

struct pl031_state {
	uint64_t alarm_ms; /* of guest_ms(), as the next */
	uint64_t taken_ms; /* when the state was saved */
	uint32_t mr, lr, offset;
	bool mr_set;	/* RTCMR was written */
	bool alarm_set; /* a match is pending */
	uint8_t hole[2];
};

struct pl031 {
	struct primecell pl;
	struct loop *loop;
	struct loop_task update; /* posted by vCPUs, since only the loop arms timers */
	struct loop_timer timer;

	struct pl031_state state;
	uint64_t behind_ms; /* behind host_ms(), by the time the state was stored */
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

/* The host's time less the time that the state was stored, so that a restored alarm is as far off as before. */
static uint64_t guest_ms(const struct pl031 *rtc)
{
	return host_ms() - rtc->behind_ms;
}

static uint32_t count(const struct pl031 *rtc)
{
	return (uint32_t)(guest_ms(rtc) / 1000) + rtc->state.offset;
}

/* Places the alarm where the count, which wraps, will next equal RTCMR. */
static void set_alarm(struct pl031 *rtc)
{
	uint64_t now_s = guest_ms(rtc) / 1000;
	uint32_t left_s = rtc->state.mr - ((uint32_t)now_s + rtc->state.offset);

	rtc->state.alarm_set = true;
	rtc->state.alarm_ms = (now_s + left_s) * 1000;
	loop_post(rtc->loop, &rtc->update);
}

static void update(struct pl031 *rtc)
{
	uint64_t now, left;

	pthread_mutex_lock(&rtc->pl.device.lock);
	now = guest_ms(rtc);
	if (!rtc->state.alarm_set) {
		loop_timer_cancel(&rtc->timer);
	} else if (now >= rtc->state.alarm_ms) {
		loop_timer_cancel(&rtc->timer);
		rtc->state.alarm_set = false;
		rtc->pl.state.ris |= INT_MATCH;
		primecell_update(&rtc->pl);
	} else {
		left = rtc->state.alarm_ms - now;
		loop_timer_arm(rtc->loop, &rtc->timer, left < CHECK_MS ? left : CHECK_MS);
	}
	pthread_mutex_unlock(&rtc->pl.device.lock);
}

static void update_posted(struct loop_task *task)
{
	update(container_of(task, struct pl031, update));
}

static void update_timed(struct loop_timer *timer)
{
	update(container_of(timer, struct pl031, timer));
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
	pl031_of(pl)->state.mr = value;
	pl031_of(pl)->state.mr_set = true;
	set_alarm(pl031_of(pl));
}

static void lr_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	struct pl031 *rtc = pl031_of(pl);

	rtc->state.lr = value;
	rtc->state.offset += value - count(rtc);
	/* Also after a match: the count may reach RTCMR again (DDI 0224, 2.1). */
	if (rtc->state.mr_set)
		set_alarm(rtc);
}

static const struct primecell_register pl031_registers[] = {
	{ RTCDR, .read = dr_read },
	{ RTCMR, offsetof(struct pl031, state.mr), .mask = UINT32_MAX, .write = mr_write },
	{ RTCLR, offsetof(struct pl031, state.lr), .mask = UINT32_MAX, .write = lr_write },
	{ RTCCR, .read = cr_read },
	{ RTCIMSC, offsetof(struct pl031, pl.state.imsc), .mask = INT_MATCH },
	{ RTCRIS, offsetof(struct pl031, pl.state.ris) },
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
	rtc->state = (struct pl031_state){ 0 };
	rtc->behind_ms = 0;
	loop_timer_cancel(&rtc->timer);
	primecell_reset(&rtc->pl);
	pthread_mutex_unlock(&device->lock);
}

static void pl031_finish(struct device *device)
{
	struct pl031 *rtc = container_of(device, struct pl031, pl.device);

	loop_timer_cancel(&rtc->timer);
	loop_task_cancel(rtc->loop, &rtc->update);
}

static int pl031_init(struct device *device, const void *config, const struct device_env *env)
{
	struct pl031 *rtc = container_of(device, struct pl031, pl.device);

	primecell_init(&rtc->pl, &pl031_type, env);
	rtc->loop = env->loop;
	rtc->update = (struct loop_task){ .run = update_posted, .name = "clock" };
	rtc->timer = (struct loop_timer){ .fired = update_timed, .name = "clock" };
	pl031_reset(device);
	return 0;
}

/* ---- Its state ---- */

static void take_state(struct device *device)
{
	struct pl031 *rtc = container_of(device, struct pl031, pl.device);

	rtc->state.taken_ms = guest_ms(rtc);
}

static void put_state(struct device *device)
{
	struct pl031 *rtc = container_of(device, struct pl031, pl.device);

	rtc->behind_ms = host_ms() - rtc->state.taken_ms;
	loop_post(rtc->loop, &rtc->update);
}

#define STATE(member) STATE_ONE(struct pl031, state.member)

static const struct state_field state_fields[] = {
	{ "alarm-ms", STATE(alarm_ms) },
	{ "taken-ms", STATE(taken_ms) },
	{ "mr", STATE(mr) },
	{ "lr", STATE(lr) },
	{ "offset", STATE(offset) },
	{ "mr-set", STATE(mr_set) },
	{ "alarm-set", STATE(alarm_set) },
	{ STATE_HOLE(struct pl031, state.hole) },
	{ 0 },
};

static const struct state_part pl031_state = {
	STATE_PART(struct pl031, state),
	.fields = state_fields,
	.take = take_state,
	.put = put_state,
};

const struct device_class pl031_class = {
	.compatible = "arm,pl031",
	.bytes = sizeof(struct pl031),
	.kind = DEVICE_PLATFORM,
	.init = pl031_init,
	.reset = pl031_reset,
	.state = { &pl031_state, &primecell_state },
	.finish = pl031_finish,
};
