/* SPDX-License-Identifier: Apache-2.0 */
/* Stray accesses; see stray.h. */
#include "hyp/vcpu/stray.h"

#include <inttypes.h>
#include <stdio.h>

#include "hyp/base/util.h"

/* Between two calls of the watcher. */
#define TELL_MS 1000
/* Log lines in ten seconds. */
#define LOG_BURST 10

const char *const stray_kind_names[] = {
	[STRAY_LOAD] = "load",
	[STRAY_STORE] = "store",
	[STRAY_ACCESS] = "access",
};

const char *const stray_where_names[] = {
	[STRAY_BLOCK] = "unplugged block of an open slot",
	[STRAY_SLOT] = "closed slot",
	[STRAY_REGISTERS] = "a device's registers, by other than a plain load or store of one",
	[STRAY_NOWHERE] = "address without memory or device",
	[STRAY_UNMAPPED] = "address that its tables no longer map",
};

const char *const stray_policy_names[] = {
	[STRAY_ABORT] = "abort",
	[STRAY_PAUSE] = "pause",
	[STRAY_STOP] = "stop",
};

void stray_print(const struct stray *stray, char *ret_text, size_t len)
{
	const char *name = stray->window ? stray->window : stray->device;

	snprintf(ret_text, len, "vCPU %u: stray %s at 0x%" PRIx64 "%s%s: %s", stray->vcpu,
		stray_kind_names[stray->kind], stray->gpa, name ? ", " : "", name ? name : "",
		stray_where_names[stray->where]);
}

uint64_t strays_total(const struct strays *strays)
{
	uint64_t total = 0;

	for (unsigned kind = 0; kind < STRAY_KINDS; kind++)
		for (unsigned where = 0; where < STRAY_WHERES; where++)
			total += atomic_load_explicit(
				&strays->count[kind][where], memory_order_relaxed);
	return total;
}

/* Reports once a second while there are new strays, then stops until strays_add() posts the task. */
static void report(struct strays *strays)
{
	uint64_t total = strays_total(strays);
	struct stray latest;

	if (total == strays->reported) {
		atomic_store(&strays->awake, false);
		total = strays_total(strays); /* one may have come before `awake` was cleared */
		if (total == strays->reported)
			return;
		atomic_store(&strays->awake, true);
	}
	pthread_mutex_lock(&strays->lock);
	latest = strays->latest;
	pthread_mutex_unlock(&strays->lock);
	loop_timer_arm(strays->loop, &strays->timer, TELL_MS);
	if (strays->watch)
		strays->watch(strays->opaque, &latest, total - strays->reported);
	strays->reported = total;
}

static void run_task(struct loop_task *task)
{
	struct strays *strays = container_of(task, struct strays, task);

	if (!strays->timer.loop) /* else timer_fired() reports them */
		report(strays);
}

static void timer_fired(struct loop_timer *timer)
{
	report(container_of(timer, struct strays, timer));
}

void strays_init(struct strays *strays, enum stray_policy policy, struct loop *loop)
{
	*strays = (struct strays){
		.policy = policy,
		.log = LOG_LIMIT(LOG_BURST),
		.loop = loop,
		.task = { .run = run_task, .name = "stray accesses" },
		.timer = { .fired = timer_fired, .name = "stray accesses" },
	};
	pthread_mutex_init(&strays->lock, NULL);
}

void strays_finish(struct strays *strays)
{
	if (!strays->loop)
		return;
	loop_task_cancel(strays->loop, &strays->task);
	loop_timer_cancel(&strays->timer);
	pthread_mutex_destroy(&strays->lock);
}

void strays_add(struct strays *strays, const struct stray *stray)
{
	static const char *const outcome[] = {
		[STRAY_ABORT] = "external abort injected",
		[STRAY_PAUSE] = "machine paused",
		[STRAY_STOP] = "machine stopped",
	};
	char text[200];

	stray_print(stray, text, sizeof(text));
	log_limited(&strays->log, LOG_WARNING, "%s; %s", text, outcome[strays->policy]);
	pthread_mutex_lock(&strays->lock);
	strays->latest = *stray;
	pthread_mutex_unlock(&strays->lock);
	atomic_fetch_add_explicit(
		&strays->count[stray->kind][stray->where], 1, memory_order_relaxed);
	if (!atomic_exchange(&strays->awake, true))
		loop_post(strays->loop, &strays->task);
}

void strays_watch(struct strays *strays,
	void (*watch)(void *opaque, const struct stray *latest, uint64_t count), void *opaque)
{
	strays->watch = watch;
	strays->opaque = opaque;
}
