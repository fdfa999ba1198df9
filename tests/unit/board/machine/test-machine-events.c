/* SPDX-License-Identifier: Apache-2.0 */
/* What follows what a machine's vCPUs, its watchdog and its owner report, also several at once. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/machine-bench.h"
#include "tests/unit/helpers/unit.h"

static void each_event_has_its_end(void **state)
{
	static const struct {
		enum vcpus_event event;
		enum machine_state state;
		const char *noticed, *called, *reason;
	} cases[] = {
		{ VCPUS_POWER_OFF, MACHINE_OFF, "shutdown(guest-shutdown)", "drain park", NULL },
		{ VCPUS_PAUSE, MACHINE_PAUSED, "stop()", "pause drain park time", "why" },
		{ VCPUS_STOP, MACHINE_STOPPED, "shutdown(guest-panic)", "drain park", "why" },
		{ VCPUS_HOST_FAULT, MACHINE_FAILED, "shutdown(host-error)", "drain park", "why" },
		{ VCPUS_ERROR, MACHINE_FAILED, "shutdown(host-error)", "drain park", "why" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start(false);
		report(machine, cases[i].event, "why");
		assert_called(""); /* that is the loop's to do */
		serve();
		assert_int_equal(machine_state(machine), cases[i].state);
		assert_noticed(cases[i].noticed);
		assert_called(cases[i].called);
		if (cases[i].reason)
			assert_string_equal(machine_stop_reason(machine), cases[i].reason);
		else
			assert_null(machine_stop_reason(machine));
		machine_destroy(machine);
	}
}

/* Whichever came first; of the same, the first. */
static void the_gravest_wins(void **state)
{
	for (unsigned first = VCPUS_POWER_OFF; first <= VCPUS_ERROR; first++)
		for (unsigned second = VCPUS_POWER_OFF; second <= VCPUS_ERROR; second++) {
			unsigned gravest = first > second ? first : second;

			start(false);
			report(machine, first, "first");
			report(machine, second, "second");
			serve();
			if (gravest == VCPUS_POWER_OFF)
				assert_int_equal(machine_state(machine), MACHINE_OFF);
			else if (gravest == VCPUS_RESET)
				assert_noticed("reset(guest-reset)");
			else
				assert_string_equal(machine_stop_reason(machine),
					second > first ? "second" : "first");
			machine_destroy(machine);
		}
}

/* A report counts once: then the mildest counts again. */
static void reports_are_taken(void **state)
{
	start(false);
	report(machine, VCPUS_PAUSE, "why");
	serve();
	report(machine, VCPUS_POWER_OFF, "");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	assert_noticed("stop()shutdown(guest-shutdown)");
	machine_destroy(machine);
}

/* A report in a pause does not end it, nor does a report of the life before count now. */
static void late_reports(void **state)
{
	start(false);
	report(machine, VCPUS_PAUSE, "why");
	serve();
	report(machine, VCPUS_RESET, "");
	serve();
	report(machine, VCPUS_PAUSE, "other");
	serve();
	assert_noticed("stop()");
	assert_string_equal(machine_stop_reason(machine), "why");
	*trace = '\0';
	/* A reset ends the pause, and drops whatever was reported by then. */
	machine_reset(machine, "host-qmp-system-reset");
	report(machine, VCPUS_STOP, "of the last life");
	serve();
	assert_noticed("reset(host-qmp-system-reset)resume()");
	assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	assert_null(machine_stop_reason(machine));
	/* Nor does it count for what comes now. */
	report(machine, VCPUS_POWER_OFF, "");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	machine_reset(machine, "guest-reset"); /* which it has ended by now */
	*noticed = '\0';
	serve();
	assert_noticed("");
	machine_destroy(machine);
}

/* Its owner pauses it and runs it again: once each, and whatever else is asked. */
static void paused_by_its_owner(void **state)
{
	start(false);
	machine_resume(machine);
	assert_called("");
	machine_pause(machine);
	assert_called("pause drain park time");
	assert_int_equal(machine_state(machine), MACHINE_PAUSED);
	assert_null(machine_stop_reason(machine));
	machine_pause(machine);
	assert_called("");
	assert_noticed("stop()");
	machine_resume(machine);
	assert_called("set-time unpause run");
	assert_noticed("resume()");
	assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	machine_resume(machine);
	assert_called("");
	/* A system reset builds it anew, and it stays paused. */
	machine_pause(machine);
	assert_called("pause drain park time");
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_noticed("stop()reset(host-qmp-system-reset)");
	assert_called("drain park quiesce " UNBUILD " reset " BUILD " pause drain park time");
	assert_int_equal(machine_state(machine), MACHINE_PAUSED);
	machine_resume(machine);
	assert_called("set-time unpause run");
	assert_noticed("resume()");
	/* What another pause began a reset ends, as ever. */
	report(machine, VCPUS_PAUSE, "why");
	serve();
	machine_pause(machine);
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_noticed("stop()reset(host-qmp-system-reset)resume()");
	machine_quit(machine, "host-qmp-quit");
	machine_pause(machine);
	machine_resume(machine);
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	machine_destroy(machine);
}

/* A vCPU that asked for something does not run on as if it had not; what a reset makes anew asks for nothing. */
static void asked_while_it_was_paused(void **state)
{
	start(false);
	machine_pause(machine);
	report(machine, VCPUS_RESET, "");
	report(machine, VCPUS_PAUSE, "other");
	serve();
	assert_noticed("stop()");
	*trace = '\0';
	machine_resume(machine);
	assert_called("set-time unpause");
	serve();
	assert_noticed("resume()reset(guest-reset)");
	assert_called("drain park quiesce " UNBUILD " reset " BUILD " run");
	machine_pause(machine);
	*trace = '\0';
	machine_resume(machine);
	assert_called("set-time unpause run");
	/* Of two strays each has its pause. */
	machine_pause(machine);
	report(machine, VCPUS_PAUSE, "other");
	serve();
	*trace = *noticed = '\0';
	machine_resume(machine);
	assert_called("set-time unpause");
	serve();
	assert_noticed("resume()stop()");
	assert_string_equal(machine_stop_reason(machine), "other");
	assert_called("pause drain park time");
	machine_resume(machine);
	assert_called("set-time unpause run");
	/* One that asks for a reset as another strays. */
	report(machine, VCPUS_RESET, "");
	report(machine, VCPUS_PAUSE, "stray");
	serve();
	*noticed = '\0';
	machine_resume(machine);
	serve();
	assert_noticed("resume()reset(guest-reset)");
	/* The owner's reset that is posted stays his. */
	machine_pause(machine);
	report(machine, VCPUS_RESET, "");
	machine_reset(machine, "host-qmp-system-reset");
	*noticed = '\0';
	machine_resume(machine);
	serve();
	assert_noticed("resume()reset(host-qmp-system-reset)");
	/* One that powers off as another strays, and one that does so later. */
	for (unsigned later = 0; later < 2; later++) {
		if (!later)
			report(machine, VCPUS_POWER_OFF, "");
		report(machine, VCPUS_PAUSE, "stray");
		serve();
		assert_int_equal(machine_state(machine), MACHINE_PAUSED);
		if (later) {
			report(machine, VCPUS_PAUSE, "stray");
			report(machine, VCPUS_POWER_OFF, "");
			serve();
			assert_int_equal(machine_state(machine), MACHINE_PAUSED);
		}
		*trace = '\0';
		machine_resume(machine);
		assert_null(strstr(trace, "run"));
		assert_int_equal(machine_state(machine), MACHINE_OFF);
		machine_destroy(machine);
		start(false);
	}
	/* It may end itself in a pause. */
	machine_pause(machine);
	report(machine, VCPUS_POWER_OFF, "");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	machine_destroy(machine);
}

/* Where KVM does not give the guest's time, it goes on. */
static void time_that_is_not_known(void **state)
{
	time_error = -ENOENT;
	start(false);
	machine_pause(machine);
	assert_called("pause drain park time");
	machine_resume(machine);
	assert_called("unpause run");
	time_error = 0;
	machine_pause(machine);
	*trace = '\0';
	time_error = -EBUSY;
	machine_resume(machine);
	assert_called("set-time unpause run");
	time_error = 0;
	machine_destroy(machine);
}

static void buttons_and_the_watchdog(void **state)
{
	static const struct {
		enum watchdog_action action;
		const char *noticed;
		enum machine_state state;
	} cases[] = {
		{ WATCHDOG_EVENT, "watchdog(none)", MACHINE_RUNNING },
		{ WATCHDOG_RESET, "watchdog(reset)reset(guest-reset)", MACHINE_RUNNING },
		{ WATCHDOG_PAUSE, "watchdog(pause)stop()", MACHINE_PAUSED },
		{ WATCHDOG_POWER_OFF, "watchdog(poweroff)shutdown(guest-panic)", MACHINE_STOPPED },
	};

	bites = NULL;
	start(false);
	assert_null(bites);
	machine_power_button(machine);
	assert_noticed("powerdown()");
	assert_int_equal(pressed, 1);
	machine_quit(machine, "host-qmp-quit");
	assert_noticed("shutdown(host-qmp-quit)");
	machine_destroy(machine);
	device.class = &watchdog_class;
	assert_int_equal(create(false), 0);
	assert_non_null(bites);
	machine_start(machine);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		machine->state = MACHINE_RUNNING;
		bites(&device, cases[i].action, machine);
		serve();
		assert_noticed(cases[i].noticed);
		assert_int_equal(machine_state(machine), cases[i].state);
	}
	/* It does not run any more. */
	bites(&device, WATCHDOG_EVENT, machine);
	assert_noticed("");
	machine_destroy(machine);
}

/* ---- Several vCPUs at once ---- */

#define VCPUS	3
#define REPORTS 3000

static void *vcpu(void *opaque)
{
	unsigned *index = opaque;
	char text[200] = "";

	memset(text, 'a' + (int)*index, sizeof(text) - 1);
	for (unsigned i = 0; i < REPORTS; i++)
		report(machine, VCPUS_PAUSE, text); /* which counts once */
	report(machine, VCPUS_STOP, text);
	return NULL;
}

static void several_report_at_once(void **state)
{
	unsigned index[VCPUS];
	pthread_t threads[VCPUS];
	const char *why;

	start(false);
	for (unsigned i = 0; i < VCPUS; i++) {
		index[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, vcpu, &index[i]), 0);
	}
	assert_int_equal(loop_run(loop), 0);
	for (unsigned i = 0; i < VCPUS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(machine_state(machine), MACHINE_STOPPED);
	why = machine_stop_reason(machine);
	assert_int_equal(strlen(why), 199);
	assert_int_equal(strspn(why, (char[]){ why[0], 0 }), 199);
	machine_destroy(machine);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(each_event_has_its_end),
		T(the_gravest_wins),
		T(reports_are_taken),
		T(late_reports),
		T(paused_by_its_owner),
		T(asked_while_it_was_paused),
		T(time_that_is_not_known),
		T(buttons_and_the_watchdog),
		T(several_report_at_once),
	};

	return cmocka_run_group_tests_name("machine-events", tests, NULL, NULL);
}
