/* SPDX-License-Identifier: Apache-2.0 */
/* A running machine: its states, its events, pause and end; see machine.h. */
#include "board/machine/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/boot/loader.h"
#include "board/config/growth.h"
#include "board/config/map.h"
#include "board/host/kvm-advice.h"
#include "board/machine/machine-internal.h"
#include "board/text/errors.h"
#include "devices/arm/pl061.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "hyp/memory/window.h"

/* --- events --- */

void machine_notify(struct machine *machine, enum machine_notice notice, const char *reason)
{
	if (machine->options.notify)
		machine->options.notify(machine->options.opaque, notice, reason);
}

void machine_set_state(struct machine *machine, enum machine_state state, const char *why)
{
	machine->state = state;
	free(machine->reason);
	machine->reason = why ? strdup(why) : NULL;
}

static void drain_device(struct machine *machine, struct machine_device *device)
{
	(void)machine;
	if (device->device && device->device->class->drain)
		device->device->class->drain(device->device);
}

void machine_quiesce_device(struct machine *machine, struct machine_device *device)
{
	(void)machine;
	if (device->device->class->quiesce)
		device->device->class->quiesce(device->device);
}

void machine_park(struct machine *machine)
{
	machine_for_each_device(machine, drain_device);
	vcpus_park(machine->vcpus);
}

void machine_end(
	struct machine *machine, enum machine_state state, const char *cause, const char *why)
{
	if (machine->state == MACHINE_OFF || machine->state == MACHINE_STOPPED ||
		machine->state == MACHINE_FAILED)
		return;
	machine_set_state(machine, state, why);
	loop_timer_cancel(&machine->reset_timer);
	machine_notify(machine, MACHINE_SHUTDOWN, cause);
	machine_park(machine);
	loop_stop(machine->loop);
}

/* On a vCPU's thread. */
static void on_vcpus_event(void *opaque, enum vcpus_event event, const char *text)
{
	struct machine *machine = opaque;

	pthread_mutex_lock(&machine->event_lock);
	machine->off_asked |= event == VCPUS_POWER_OFF;
	machine->reset_asked |= event == VCPUS_RESET;
	if (!machine->event_pending || event > machine->event) {
		machine->event_pending = true;
		machine->event = event;
		snprintf(machine->event_text, sizeof(machine->event_text), "%s", text);
	}
	pthread_mutex_unlock(&machine->event_lock);
	loop_post(machine->loop, &machine->event_task);
}

void machine_pause_device(struct machine *machine, struct machine_device *device)
{
	(void)machine;
	if (device->device->class->pause)
		device->device->class->pause(device->device, true);
}

static void resume_device(struct machine *machine, struct machine_device *device)
{
	(void)machine;
	if (device->device->class->pause)
		device->device->class->pause(device->device, false);
}

void machine_freeze(struct machine *machine)
{
	int err;

	machine_for_each_device(machine, machine_pause_device);
	machine_park(machine);
	err = vcpus_get_time(machine->vcpus, &machine->count);
	machine->has_count = !err;
	if (err)
		log_print(LOG_WARNING,
			"the guest's time goes on while it is paused: KVM does not tell it: %s",
			strerror(-err));
}

static void thaw(struct machine *machine)
{
	int err = machine->has_count ? vcpus_set_time(machine->vcpus, machine->count) : 0;

	if (err)
		log_print(LOG_WARNING,
			"the guest sees the time for which it was paused: KVM does not set it: %s",
			strerror(-err));
	machine_for_each_device(machine, resume_device);
}

static void notify_stop(struct machine *machine)
{
	machine->stop_notified = true;
	machine_notify(machine, MACHINE_STOP, NULL);
}

void machine_notify_resume(struct machine *machine)
{
	if (machine->stop_notified)
		machine_notify(machine, MACHINE_RESUME, NULL);
	machine->stop_notified = false;
}

static void pause_machine(struct machine *machine, const char *reason)
{
	machine_freeze(machine);
	machine_set_state(machine, MACHINE_PAUSED, reason);
	notify_stop(machine);
	log_print(LOG_WARNING, "%s; machine paused, cont, system_reset or quit ends that", reason);
}

static void on_bite(struct device *device, enum watchdog_action action, void *opaque)
{
	static const char *const names[] = {
		[WATCHDOG_RESET] = "reset",
		[WATCHDOG_POWER_OFF] = "poweroff",
		[WATCHDOG_PAUSE] = "pause",
		[WATCHDOG_EVENT] = "none",
	};
	static const char why[] = "the guest did not feed its watchdog";
	static struct log_limit bites = LOG_LIMIT(5); /* an event may come each second, for ever */
	struct machine *machine = opaque;

	if (machine->state != MACHINE_RUNNING)
		return;
	log_limited(&bites, LOG_WARNING, "%s: %s: %s", device->id, why, names[action]);
	machine_notify(machine, MACHINE_WATCHDOG, names[action]);
	if (action == WATCHDOG_RESET)
		machine_reset(machine, "guest-reset");
	else if (action == WATCHDOG_POWER_OFF)
		machine_end(machine, MACHINE_STOPPED, "guest-panic", why);
	else if (action == WATCHDOG_PAUSE)
		pause_machine(machine, why);
}

static void take_event(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, event_task);
	enum vcpus_event event;
	char text[sizeof(machine->event_text)];
	bool pending;

	pthread_mutex_lock(&machine->event_lock);
	event = machine->event;
	/* While paused, only events that end the machine are handled; others wait for machine_resume(). */
	pending = machine->event_pending &&
		  (machine->state == MACHINE_RUNNING || event > VCPUS_PAUSE ||
			  event == VCPUS_POWER_OFF);
	if (pending) {
		memcpy(text, machine->event_text, sizeof(text));
		machine->event_pending = false;
	}
	pthread_mutex_unlock(&machine->event_lock);
	if (!pending)
		return;

	switch (event) {
	case VCPUS_POWER_OFF:
		machine_end(machine, MACHINE_OFF, "guest-shutdown", NULL);
		break;
	case VCPUS_RESET:
		if (!machine->reset_posted)
			machine_reset(machine, "guest-reset");
		break;
	case VCPUS_PAUSE:
		pause_machine(machine, text);
		break;
	case VCPUS_STOP:
		machine_end(machine, MACHINE_STOPPED, "guest-panic", text);
		break;
	case VCPUS_HOST_FAULT:
	case VCPUS_ERROR:
		machine_end(machine, MACHINE_FAILED, "host-error", text);
		break;
	}
}

/* --- making and ending --- */

static int create_all(struct machine *machine, struct errors *errors)
{
	int err;

	machine->limits = *machine->options.kvm;
	machine->kvm_fd = kvm_open();
	if (machine->kvm_fd < 0) {
		char text[200], advice[400];

		kvm_advice(machine->kvm_fd, text, sizeof(text), advice, sizeof(advice));
		error_add(errors, text, NULL, "%s", advice);
		return machine->kvm_fd;
	}
	errors->tree = machine->config->file;
	err = loader_open(machine->config, errors, &machine->loader);
	if (err)
		return err;
	err = machine_create_parts(machine, on_vcpus_event, errors);
	for (size_t i = 0; i < machine->config->device_count && !err; i++) {
		struct device *device = machine->devices[i].device;

		if (device->class->watchdog)
			device->class->watchdog(device, on_bite, machine);
	}
	if (!err)
		err = machine_build(machine, UINT64_MAX, errors);
	return err;
}

int machine_create(const struct machine_config *config, const struct machine_options *options,
	struct loop *loop, struct errors *errors, struct machine **ret)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	int err;

	if (!machine) {
		if (options->vm_fd)
			close(options->vm_fd);
		return -ENOMEM;
	}
	machine->config = config;
	machine->options = *options;
	machine->loop = loop;
	machine->kvm_fd = machine->vm.fd = machine->vm.its_fd = machine->vm.gic_fd = -1;
	machine->state = MACHINE_RESETTING;
	machine->event_task = (struct loop_task){ .run = take_event, .name = "vCPUs" };
	machine->reset_task = (struct loop_task){ .run = machine_run_reset,
		.name = "system reset" };
	machine->reset_timer = (struct loop_timer){ .fired = machine_take_reset_turn,
		.name = "system reset" };
	pthread_mutex_init(&machine->event_lock, NULL);
	err = create_all(machine, errors);
	if (err) {
		if (!errors_any(errors))
			error_add(errors, config->file, NULL, "cannot make the machine: %s",
				strerror(-err));
		machine_destroy(machine);
		return err;
	}
	*ret = machine;
	return 0;
}

int machine_start(struct machine *machine)
{
	machine->state = MACHINE_RUNNING;
	vcpus_run(machine->vcpus);
	return 0;
}

void machine_destroy(struct machine *machine)
{
	if (!machine)
		return;
	if (machine->vcpus) {
		machine_park(machine);
		machine_for_each_device(machine, machine_quiesce_device);
		slots_forget(&machine->slots);
		vcpus_teardown(machine->vcpus);
	}
	loop_task_cancel(machine->loop, &machine->event_task);
	loop_task_cancel(machine->loop, &machine->reset_task);
	loop_timer_cancel(&machine->reset_timer);
	vm_destroy(&machine->vm);
	if (machine->options.vm_fd)
		close(machine->options.vm_fd);
	for (size_t i = 0; machine->vcpus && i < machine->config->device_count; i++)
		if (machine->devices[i].window)
			window_detach(machine->devices[i].window);
	loader_close(machine->loader);
	machine_destroy_parts(machine);
	if (machine->kvm_fd >= 0)
		close(machine->kvm_fd);
	pthread_mutex_destroy(&machine->event_lock);
	free(machine->reason);
	free(machine);
}

/* --- from the outside --- */

enum machine_state machine_state(const struct machine *machine)
{
	return machine->state == MACHINE_RESETTING && machine->held ? MACHINE_PAUSED
								    : machine->state;
}

const char *machine_stop_reason(const struct machine *machine)
{
	return machine->reason;
}

void machine_pause(struct machine *machine)
{
	bool built = machine->state == MACHINE_RUNNING;

	/* A machine that waits for its rebuild is paused after it. */
	if (!built && (machine->state != MACHINE_RESETTING || machine->held))
		return;
	machine->held = true;
	if (built) {
		machine_freeze(machine);
		machine_set_state(machine, MACHINE_PAUSED, NULL);
	} else if (machine->reset_timer.loop && machine->reset_phase == RESET_DRAIN) {
		machine_end_drain(machine); /* vCPUs still run, and are not to after this call */
	}
	notify_stop(machine);
}

/* Handles events that vCPUs posted during the pause. If true, no vCPU may run before they are handled. */
static bool asked_meanwhile(struct machine *machine)
{
	bool pending, off, reset;

	pthread_mutex_lock(&machine->event_lock);
	pending = machine->event_pending;
	off = machine->off_asked;
	reset = machine->reset_asked;
	pthread_mutex_unlock(&machine->event_lock);
	if (off)
		machine_end(machine, MACHINE_OFF, "guest-shutdown", NULL);
	else if (reset && !machine->reset_posted)
		machine_reset(machine, "guest-reset");
	else if (pending && !reset)
		loop_post(machine->loop, &machine->event_task);
	return pending || off || reset;
}

void machine_resume(struct machine *machine)
{
	bool built = machine->state == MACHINE_PAUSED;

	if (!built && (machine->state != MACHINE_RESETTING || !machine->held))
		return;
	machine->held = false;
	if (built) {
		machine_set_state(machine, MACHINE_RUNNING, NULL);
		thaw(machine);
	}
	machine_notify_resume(machine);
	if (built && !asked_meanwhile(machine))
		vcpus_run(machine->vcpus);
}

void machine_power_button(struct machine *machine)
{
	machine_notify(machine, MACHINE_POWERDOWN, NULL);
	if (machine->reset_timer.loop || machine->reset_posted)
		machine->pressed = true; /* for begin_again() in reset.c: the reset would undo it */
	else
		pl061_pulse(machine->fixed[PLATFORM_GPIO].device, GPIO_POWER_LINE);
}

void machine_quit(struct machine *machine, const char *reason)
{
	machine_end(machine, MACHINE_OFF, reason, NULL);
}

size_t machine_device_count(const struct machine *machine)
{
	return machine->config->device_count;
}

struct device *machine_device(const struct machine *machine, size_t index)
{
	return machine->devices[index].device;
}

uint64_t machine_memory_bytes(const struct machine *machine)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < machine->config->memory_count; i++)
		bytes += machine->config->memory[i].size;
	for (size_t i = 0; i < machine->config->device_count; i++)
		if (machine->devices[i].window)
			bytes += window_plugged_bytes(machine->devices[i].window);
	return bytes;
}

void machine_growth(const struct machine *machine, struct machine_growth *ret)
{
	struct loader_result plan;

	loader_plan(machine->loader, &plan);
	*ret = (struct machine_growth){
		.page_bytes = plan.page_bytes,
		.pool_bytes = growth_pool_bytes(machine->config),
		.carried_bytes = growth_carried(machine->config, &plan.growth, plan.page_bytes),
		.policy = plan.growth,
		.mergeable = machine->config->mergeable_count,
	};
	for (size_t i = 0; i < machine->config->memory_count; i++)
		ret->boot_bytes += machine->config->memory[i].size;
	for (size_t i = 0; i < machine->config->device_count; i++)
		ret->mergeable |= machine->config->devices[i].window.mergeable;
}

const struct slots *machine_slots(const struct machine *machine)
{
	return &machine->slots;
}

struct strays *machine_strays(struct machine *machine)
{
	return &machine->strays;
}
