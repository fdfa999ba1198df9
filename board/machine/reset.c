/* SPDX-License-Identifier: Apache-2.0 */
/* System reset, a turn of the loop at a time: devices finish, all is unbuilt (build.c), and built anew. */
#include <errno.h>
#include <string.h>

#include "board/config/map.h"
#include "board/machine/machine-internal.h"
#include "board/text/errors.h"
#include "devices/arm/pl061.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"

static void reset_device(struct machine *machine, struct machine_device *device)
{
	(void)machine;
	device->device->class->reset(device->device);
}

static void fail_reset(struct machine *machine, struct errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		log_print(LOG_ERROR, "%s", errors->lines[i]);
	machine_end(machine, MACHINE_FAILED, "host-error",
		"the machine could not be built anew after a reset");
}

/* Runs the machine, which has been built anew, unless machine_pause() was called. */
static void begin_again(struct machine *machine)
{
	if (machine->pressed)
		pl061_pulse(machine->fixed[PLATFORM_GPIO].device, GPIO_POWER_LINE);
	machine->pressed = false;
	if (machine->held) {
		machine->state = MACHINE_PAUSED;
		machine_freeze(machine);
	} else {
		machine->state = MACHINE_RUNNING;
		machine_notify_resume(machine);
		vcpus_run(machine->vcpus);
	}
}

static void pause_busy_device(struct machine *machine, struct machine_device *device)
{
	const struct device_class *class = device->device->class;

	if (!class->busy || !class->busy(device->device))
		return;
	machine_pause_device(machine, device);
	machine->busy = true;
}

/*
 * Pauses devices that have requests in flight, so that they begin no others. A disk's flush or a large unplug may take
 * long. The vCPUs cannot be parked yet, since one of them may be waiting for its device.
 */
static bool is_busy(struct machine *machine)
{
	machine->busy = false;
	machine_for_each_device(machine, pause_busy_device);
	return machine->busy;
}

static void stop_all(struct machine *machine)
{
	machine_park(machine);
	loop_task_cancel(
		machine->loop, &machine->event_task); /* posted before; vCPUs are parked now */
	machine->event_pending = machine->off_asked = machine->reset_asked = false;
	machine_for_each_device(machine, machine_quiesce_device);
}

static int unbuild(struct machine *machine, uint64_t until_ms, struct errors *errors)
{
	int err = machine_unbuild(machine, until_ms);

	if (err > 0)
		return err;
	machine_for_each_device(machine, reset_device);
	if (err)
		error_add(errors, "reset", NULL, "the host could not empty the guest's memory: %s",
			strerror(-err));
	return err;
}

/* A turn of a system reset. Each phase takes one or more. */
void machine_take_reset_turn(struct loop_timer *timer)
{
	struct machine *machine = container_of(timer, struct machine, reset_timer);
	uint64_t until_ms = loop_now_ms() + LOOP_TURN_MS, wait_ms = 0;
	struct errors errors = { 0 };
	int err = 0; /* 1: the phase needs another turn */

	switch (machine->reset_phase) {
	case RESET_DRAIN:
		err = is_busy(machine);
		if (!err)
			stop_all(machine);
		wait_ms = err; /* other handlers end what is in flight */
		break;
	case RESET_UNBUILD:
		err = unbuild(machine, until_ms, &errors);
		wait_ms = err ? 0 : machine->reset_wait_ms;
		break;
	case RESET_BUILD:
		err = machine_build(machine, until_ms, &errors);
		break;
	}
	if (err < 0) {
		fail_reset(machine, &errors);
	} else if (!err && machine->reset_phase == RESET_BUILD) {
		begin_again(machine);
	} else {
		if (!err)
			machine->reset_phase++;
		loop_timer_arm(machine->loop, timer, wait_ms);
	}
	errors_finish(&errors);
}

void machine_end_drain(struct machine *machine)
{
	stop_all(machine);
	machine->reset_phase = RESET_UNBUILD;
	loop_timer_arm(machine->loop, &machine->reset_timer, 0);
}

void machine_run_reset(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, reset_task);

	machine->reset_posted = false;
	/* Another reset is under way. The owner's ends its delay. */
	if (machine->reset_timer.loop) {
		machine_notify(machine, MACHINE_RESET, machine->reset_reason);
		machine->reset_wait_ms = 0;
		loop_timer_arm(machine->loop, &machine->reset_timer, 0);
		return;
	}
	if (machine->state != MACHINE_RUNNING && machine->state != MACHINE_PAUSED)
		return;
	if (machine->options.no_reboot) {
		machine_end(machine, MACHINE_OFF, machine->reset_reason, NULL);
		return;
	}
	machine->reset_wait_ms = strcmp(machine->reset_reason, "guest-reset")
					 ? 0
					 : reset_rate_wait_ms(&machine->reset_rate);
	machine_set_state(machine, MACHINE_RESETTING, NULL);
	machine_notify(machine, MACHINE_RESET, machine->reset_reason);
	machine->reset_phase = RESET_DRAIN;
	machine_take_reset_turn(&machine->reset_timer);
}

bool machine_resets_too_often(const struct machine *machine)
{
	return machine->state == MACHINE_RESETTING && machine->reset_wait_ms;
}

void machine_reset(struct machine *machine, const char *reason)
{
	machine->reset_reason = reason;
	machine->reset_posted = true;
	loop_post(machine->loop, &machine->reset_task);
}
