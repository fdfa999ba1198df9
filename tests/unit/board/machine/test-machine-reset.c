/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's next life: what a reset unmakes and makes anew, storms of them, and resets that fail. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/machine-bench.h"
#include "tests/unit/helpers/unit.h"

static void a_reset_is_another_life(void **state)
{
	start(false);
	memset(ram, 7, RAM_BYTES);
	report(machine, VCPUS_RESET, "");
	serve();
	assert_noticed("reset(guest-reset)");
	assert_called("drain park quiesce " UNBUILD " reset " BUILD " run");
	assert_string_equal((char *)ram + 0x1000, "tree");
	assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	assert_memory_not_equal(seeds[0], seeds[1], 8);
	assert_memory_not_equal(seeds[0] + 8, seeds[1] + 8, 64);
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_noticed("reset(host-qmp-system-reset)");
	machine_destroy(machine);
}

static struct loop_timer at_last;

static void on_at_last(struct loop_timer *timer)
{
	loop_stop(loop);
}

/* Serves the loop for so long. */
static void serve_for(uint64_t ms)
{
	at_last.fired = on_at_last;
	loop_timer_arm(loop, &at_last, ms);
	assert_int_equal(loop_run(loop), 0);
}

static void at_once(void)
{
	turns = (struct turns){ 0 };
}

static void until_built(void)
{
	for (unsigned i = 0; i < 1000 && machine->reset_timer.loop; i++)
		serve_for(10);
}

static bool runs_again(void)
{
	serve_turns(3); /* the event, then the reset */
	for (unsigned i = 0; i < 1000 && machine_state(machine) == MACHINE_RESETTING; i++)
		serve_for(2);
	return machine_state(machine) == MACHINE_RUNNING;
}

#define EMPTIED                                                                                    \
	"drain park quiesce stop-window no-slots emptying emptying no-irq no-irq no-irq no-irq no-vcpus "      \
	"no-vm no-window reset "
#define LOADED                                                                                     \
	"vm gic slot window vcpus gic-init features irq irq irq irq registers doorbells "          \
	"loading loading load tree entry"

/* A guest decides how long its memory takes to go and its kernel to unpack: the loop serves others in between. */
static void a_reset_takes_turns(void **state)
{
	start(false);
	memset(ram, 7, RAM_BYTES);
	turns = (struct turns){ .busy = 2, .empty = 2, .load = 2 };
	report(machine, VCPUS_RESET, "");
	assert_true(runs_again());
	assert_true(load_until_ms <= loop_now_ms() + LOOP_TURN_MS);
	/* vCPUs run until nothing is in flight, since one may be waiting for it. */
	assert_called("busy pause busy pause " EMPTIED LOADED " run");
	assert_noticed("reset(guest-reset)");
	machine_destroy(machine);
}

/* KVM would walk all of a guest hypervisor's tables for each piece: its VM goes first. */
static void a_hypervisors_vm_goes_first(void **state)
{
	config->cpu_features = 1u << CPU_NESTED;
	start(false);
	turns.empty = 2;
	report(machine, VCPUS_RESET, "");
	assert_true(runs_again());
	*strstr(trace, " reset") = '\0';
	assert_called("drain park quiesce stop-window no-slots no-irq no-irq no-irq no-irq no-vcpus no-vm "
		      "emptying emptying no-irq no-irq no-irq no-irq no-vcpus no-vm no-window");
	machine_destroy(machine);
}

/* RAM goes piece by piece, until the turn is over; the next turn goes on there. */
static void ram_goes_in_pieces(void **state)
{
	const uint64_t bytes = 40 * MiB, piece = 16 * MiB;

	munmap(ram, RAM_BYTES);
	ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	start(false);
	machine->ram[0].size = bytes;
	for (unsigned life = 0; life < 2; life++) {
		memset(ram, 7, bytes);
		clock_step_ms = 3;
		for (unsigned turn = 1; turn <= 2; turn++) {
			assert_int_equal(machine_unbuild(machine, clock_ms + 5), 1);
			assert_int_equal(ram[turn * piece - 1], 0);
			assert_int_equal(ram[turn * piece], 7);
		}
		assert_int_equal(machine_unbuild(machine, clock_ms + 5), 0);
		clock_step_ms = 0;
		for (uint64_t at = 0; at < bytes; at += 4 * KiB)
			assert_int_equal(ram[at], 0);
		assert_called(UNBUILD);
	}
	machine_quit(machine, "host-qmp-quit");
	machine_destroy(machine);
	munmap(ram + RAM_BYTES, bytes - RAM_BYTES);
}

/* What is asked of a machine in the middle of a reset, in each phase. */
static void asked_in_each_phase(void **state)
{
	unsigned *const phases[] = { &turns.busy, &turns.empty, &turns.load };

	for (unsigned i = 0; i < ARRAY_SIZE(phases); i++) {
		for (unsigned what = 0; what < 5; what++) {
			start(false);
			*phases[i] = FOREVER;
			report(machine, VCPUS_RESET, "");
			serve();
			assert_int_equal(machine_state(machine), MACHINE_RESETTING);
			assert_noticed("reset(guest-reset)");
			switch (what) {
			case 0: /* its end */
				machine_quit(machine, "host-qmp-quit");
				assert_int_equal(loop_run(loop), 0);
				assert_noticed("shutdown(host-qmp-quit)");
				assert_int_equal(machine_state(machine), MACHINE_OFF);
				at_once();
				serve_for(5);
				assert_null(strstr(trace, " run"));
				break;
			case 1: /* another reset: there is one */
				machine_reset(machine, "host-qmp-system-reset");
				serve();
				assert_noticed("reset(host-qmp-system-reset)");
				at_once();
				assert_true(runs_again());
				assert_non_null(strstr(trace, BUILD " run"));
				assert_null(strstr(strstr(trace, "no-slots") + 1, "no-slots"));
				break;
			case 2: /* a pause, after which no vCPU runs, */
				machine_pause(machine);
				assert_int_equal(machine_state(machine), MACHINE_PAUSED);
				assert_non_null(strstr(trace, "park quiesce"));
				at_once();
				until_built();
				assert_int_equal(machine_state(machine), MACHINE_PAUSED);
				assert_non_null(strstr(trace, BUILD " pause drain park time"));
				assert_null(strstr(trace, " run"));
				assert_noticed("stop()");
				machine_resume(machine);
				assert_int_equal(machine_state(machine), MACHINE_RUNNING);
				break;
			case 3: /* the power button, which the next life hears */
				pressed = 0;
				machine_power_button(machine);
				assert_noticed("powerdown()");
				assert_int_equal(pressed, 0);
				at_once();
				assert_true(runs_again());
				assert_int_equal(pressed, 1);
				machine_reset(machine, "host-qmp-system-reset");
				assert_true(runs_again());
				assert_int_equal(pressed, 1);
				break;
			case 4: /* and a pause that is undone */
				machine_pause(machine);
				machine_resume(machine);
				assert_noticed("stop()resume()");
				at_once();
				assert_true(runs_again());
				break;
			}
			machine_destroy(machine);
			at_once();
			*noticed = '\0';
		}
	}
	/* A guest that powers off while its requests are in flight has its way. */
	start(false);
	turns.busy = FOREVER;
	report(machine, VCPUS_RESET, "");
	serve();
	report(machine, VCPUS_POWER_OFF, "");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	assert_noticed("reset(guest-reset)shutdown(guest-shutdown)");
	machine_destroy(machine);
}

/* The VM that was asked for GICs is that of the first life; where there is none, it goes. */
static void a_vm_that_is_there_is_taken(void **state)
{
	vm_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fail_at = 2;
	assert_true(create(false) < 0);
	assert_int_equal(fcntl(vm_fd, F_GETFD), -1);
	errors_finish(&errors);
	errors = (struct errors){ 0 };
	fail_at = 0;
	vm_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	start(false);
	assert_int_equal(fcntl(vm_fd, F_GETFD), FD_CLOEXEC);
	close(vm_fd);
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_called("drain park quiesce " UNBUILD " reset " BUILD " run");
	assert_noticed("reset(host-qmp-system-reset)");
	machine_destroy(machine);
	vm_fd = 0;
}

static unsigned warned;

static void count_log(enum log_level level, const char *line)
{
	warned += strstr(line, "has reset its machine more than 10 times in 15 s") != NULL;
}

static uint64_t asked_ms; /* before the last reset */

static void storm(void)
{
	warned = 0;
	log_set_sink(count_log);
	start(false);
	for (unsigned i = 0; i <= RESETS_MAX; i++) {
		*trace = *noticed = '\0';
		assert_int_equal(machine_state(machine), MACHINE_RUNNING);
		assert_int_equal(warned, 0);
		asked_ms = loop_now_ms();
		report(machine, VCPUS_RESET, "");
		serve();
	}
	assert_int_equal(machine_state(machine), MACHINE_RESETTING);
	assert_called("drain park quiesce " UNBUILD " reset");
	assert_noticed("reset(guest-reset)");
	assert_int_equal(warned, 1);
}

/* A guest that does little else waits, emptied, between two lives; the loop does not. */
static void a_storm_of_resets(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		storm();
		for (unsigned again = 0; again < 2; again++) {
			while (machine_state(machine) == MACHINE_RESETTING &&
				loop_now_ms() - asked_ms < 60000)
				serve_for(10);
			assert_called(BUILD " run");
			assert_true(loop_now_ms() - asked_ms >= RESET_PAUSE_MS);
			asked_ms = loop_now_ms();
			report(machine, VCPUS_RESET, "");
			serve();
			assert_int_equal(machine_state(machine), MACHINE_RESETTING);
			assert_called("drain park quiesce " UNBUILD " reset");
			if (i)
				break;
		}
		assert_int_equal(warned, 1);
		*noticed = '\0';
		if (i == 0) { /* the owner's reset does not wait, */
			machine_reset(machine, "host-qmp-system-reset");
			serve();
			assert_called(BUILD " run");
			assert_noticed("reset(host-qmp-system-reset)");
		} else if (i == 1) { /* nor does his end, */
			machine_quit(machine, "host-qmp-quit");
			assert_int_equal(loop_run(loop), 0);
			assert_int_equal(machine_state(machine), MACHINE_OFF);
			assert_noticed("shutdown(host-qmp-quit)");
			serve_for(2 * RESET_PAUSE_MS);
			assert_null(strstr(trace, "run"));
		} /* and one that goes takes its timer along */
		machine_destroy(machine);
	}
	log_set_sink(no_log);
}

/* One that waits to be built begins its next life paused, or runs, as its owner said last. */
static void paused_while_it_waits(void **state)
{
	storm();
	machine_pause(machine);
	machine_pause(machine);
	assert_noticed("stop()");
	assert_int_equal(machine_state(machine), MACHINE_PAUSED);
	assert_called("");
	until_built();
	assert_called(BUILD " pause drain park time");
	assert_int_equal(machine_state(machine), MACHINE_PAUSED);
	assert_noticed("");
	machine_resume(machine);
	assert_called("set-time unpause run");
	assert_noticed("resume()");
	machine_destroy(machine);

	storm();
	machine_pause(machine);
	machine_resume(machine);
	machine_resume(machine);
	assert_noticed("stop()resume()");
	assert_int_equal(machine_state(machine), MACHINE_RESETTING);
	until_built();
	assert_called(BUILD " run");
	assert_noticed("");
	machine_destroy(machine);

	/* And what another pause began ends with the wait. */
	storm();
	until_built();
	report(machine, VCPUS_PAUSE, "why");
	serve();
	*noticed = *trace = '\0';
	machine_reset(machine, "guest-reset");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_RESETTING);
	assert_noticed("reset(guest-reset)");
	until_built();
	assert_noticed("resume()");
	machine_destroy(machine);
	log_set_sink(no_log);
}

/* The owner's reset ends the delay of a storm, also before it has begun. */
static void a_storm_that_the_owner_ends(void **state)
{
	for (unsigned phase = 0; phase < 2; phase++) {
		start(false);
		for (unsigned i = 0; i < RESETS_MAX; i++) {
			*trace = *noticed = '\0';
			report(machine, VCPUS_RESET, "");
			serve();
			assert_false(machine_resets_too_often(machine));
		}
		*(phase ? &turns.empty : &turns.busy) = FOREVER;
		report(machine, VCPUS_RESET, "");
		serve();
		assert_true(machine_resets_too_often(machine));
		machine_reset(machine, "host-qmp-system-reset");
		serve();
		assert_false(machine_resets_too_often(machine));
		at_once();
		*trace = '\0';
		serve_turns(20); /* no time passes but that */
		assert_true(runs_again());
		assert_int_equal(machine->reset_wait_ms, 0);
		machine_destroy(machine);
	}
}

/* What the host does not empty ends the machine: the next guest would find it. */
static void ram_that_is_not_emptied(void **state)
{
	start(false);
	machine->ram[0].kind = BACKING_MEMFD; /* of no file */
	machine->ram[0].fd = -1;
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_FAILED);
	assert_null(strstr(trace, "run"));
	machine->ram[0].kind = BACKING_ANONYMOUS;
	machine_destroy(machine);
}

/* Resets by the owner are not counted, nor those that are long ago. */
static void resets_that_are_no_storm(void **state)
{
	struct reset_rate rate = { 0 };

	start(false);
	for (unsigned i = 0; i < 3 * RESETS_MAX; i++) {
		*trace = *noticed = '\0';
		machine_reset(machine, "host-qmp-system-reset");
		serve();
		assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	}
	machine_destroy(machine);
	for (unsigned i = 0; i < RESETS_MAX; i++)
		assert_int_equal(reset_rate_wait_ms(&rate), 0);
	assert_int_equal(reset_rate_wait_ms(&rate), RESET_PAUSE_MS);
	for (unsigned i = 0; i < RESETS_MAX; i++)
		rate.at_ms[i] -= RESETS_WINDOW_MS;
	assert_int_equal(reset_rate_wait_ms(&rate), 0);
}

static void a_reset_that_fails_ends_it(void **state)
{
	for (unsigned at = 1; at <= 1 + 15; at++) {
		start(false);
		memset(ram, 7, RAM_BYTES);
		calls = 0;
		fail_at = at;
		machine_reset(machine, "guest-reset");
		serve();
		fail_at = 0;
		if (at == 1) /* a window that cannot be emptied: all else is */
			assert_called("drain park quiesce " UNBUILD " reset drain park");
		assert_int_equal(machine_state(machine), MACHINE_FAILED);
		assert_noticed("reset(guest-reset)shutdown(host-error)");
		assert_string_equal(machine_stop_reason(machine),
			"the machine could not be built anew after a reset");
		assert_null(strstr(trace, "run"));
		machine_destroy(machine);
	}
}

static void no_reboot_ends_it(void **state)
{
	start(true);
	machine_reset(machine, "guest-reset");
	serve();
	assert_noticed("shutdown(guest-reset)");
	assert_called("drain park");
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	machine_quit(machine, "host-qmp-quit"); /* it has ended */
	assert_noticed("");
	machine_destroy(machine);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_reset_is_another_life),
		T(a_reset_takes_turns),
		T(a_hypervisors_vm_goes_first),
		T(ram_goes_in_pieces),
		T(asked_in_each_phase),
		T(a_vm_that_is_there_is_taken),
		T(a_storm_of_resets),
		T(paused_while_it_waits),
		T(a_storm_that_the_owner_ends),
		T(ram_that_is_not_emptied),
		T(resets_that_are_no_storm),
		T(a_reset_that_fails_ends_it),
		T(no_reboot_ends_it),
	};

	return cmocka_run_group_tests_name("machine-reset", tests, NULL, NULL);
}
