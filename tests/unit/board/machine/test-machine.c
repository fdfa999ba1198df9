/* SPDX-License-Identifier: Apache-2.0 */
/* How a machine is made and unmade: what is called in which order, what of it fails, and what it is given. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "board/config/map.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/machine-bench.h"
#include "tests/unit/helpers/unit.h"

static void made_and_unmade_in_order(void **state)
{
	assert_int_equal(create(false), 0);
	assert_called("kvm files parts " BUILD);
	assert_string_equal((char *)ram + 0x1000, "tree");
	assert_int_equal(machine_state(machine), MACHINE_RESETTING);
	assert_int_equal(machine_start(machine), 0);
	assert_called("run");
	assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	assert_int_equal(machine_memory_bytes(machine), RAM_BYTES + 5 * MiB);
	assert_int_equal(machine_slots(machine)->reserved, 2);
	machine_destroy(machine);
	assert_called("drain park quiesce no-slots no-vcpus no-vm no-window no-files no-parts");
	assert_noticed("");
	assert_int_equal(fcntl(kvm_fd, F_GETFD), -1);
	machine_destroy(NULL);
	assert_int_equal(last_slot.gpa, RAM_GPA);
	assert_int_equal(last_slot.size, RAM_BYTES);
	assert_ptr_equal(last_slot.hva, ram);
	assert_int_equal(last_slot.fd, RAM_FD);
	assert_int_equal(last_slot.fd_offset, 0);
}

/* Reported when the machine is made, by its tree; in a later life not again. */
static void lost_aliases_are_reported(void **state)
{
	assert_int_equal(create(false), 0);
	assert_int_equal(errors.count, 1);
	assert_false(errors_any(&errors));
	assert_string_equal(errors.lines[0], "warning: test.dts: /aliases: mem: lost");
	machine_start(machine);
	machine_reset(machine, "guest-reset");
	serve();
	assert_int_equal(errors.count, 1);
	machine_destroy(machine);
}

static void seeds_are_whole_though_signals_come(void **state)
{
	static const uint8_t none[64];

	memset(seeds, 0, sizeof(seeds));
	interrupts = true;
	assert_int_equal(create(false), 0);
	interrupts = false;
	assert_int_equal(randoms, 4);
	assert_memory_not_equal(seeds[0], none, 8);
	assert_memory_not_equal(seeds[0] + 8, none, 64);
	machine_destroy(machine);
}

/* As the map of the guest has it; and 123 vCPUs have a place in the second range. */
static void the_gic_is_where_the_map_says(void **state)
{
	start(false);
	assert_int_equal(gic.dist_gpa, GIC_DIST_BASE);
	assert_int_equal(gic.redist[0].gpa, GIC_REDIST_BASE);
	assert_int_equal(gic.redist[0].count, 1);
	assert_int_equal(gic.redist[1].count, 0);
	assert_int_equal(gic.its_gpa, 0);
	assert_int_equal(gic.interrupts, 32 + 256);
	assert_false(gic.nested);
	machine_destroy(machine);
	config->cpu_count = GIC_REDIST_VCPUS + 2;
	config->gic_version = 3;
	config->its = true;
	config->cpu_features = 1u << CPU_NESTED;
	start(false);
	assert_int_equal(gic.version, 3);
	assert_int_equal(gic.redist[0].count, GIC_REDIST_VCPUS);
	assert_int_equal(gic.redist[1].gpa, GIC_REDIST2_BASE);
	assert_int_equal(gic.redist[1].count, 2);
	assert_int_equal(gic.its_gpa, GIC_ITS_BASE);
	assert_true(gic.nested);
	machine_destroy(machine);
}

static void stolen_time_is_of_one_life(void **state)
{
	stolen_time = mmap(
		NULL, STOLEN_TIME_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	start(false);
	assert_int_equal(last_slot.gpa, STOLEN_TIME_BASE);
	assert_int_equal(last_slot.size, STOLEN_TIME_SIZE);
	assert_ptr_equal(last_slot.hva, stolen_time);
	stolen_time[0] = stolen_time[STOLEN_TIME_SIZE - 1] = 7;
	machine_reset(machine, "guest-reset");
	serve();
	assert_int_equal(stolen_time[0] + stolen_time[STOLEN_TIME_SIZE - 1], 0);
	machine_destroy(machine);
	munmap(stolen_time, STOLEN_TIME_SIZE);
	stolen_time = NULL;
}

/* A machine that goes with a report and a reset that wait: neither takes effect. */
static void what_waits_goes_with_it(void **state)
{
	start(false);
	report(machine, VCPUS_STOP, "why");
	machine_reset(machine, "guest-reset");
	machine_destroy(machine);
	serve();
	assert_noticed("");
}

/* Each of its calls refused, once: nothing of it is left. */
static void each_call_of_making_it_fails(void **state)
{
	for (fail_at = 1; create(false) < 0; fail_at++) {
		assert_true(errors_any(&errors));
		assert_int_equal(errors.warnings, 0);
		if (fail_at > 3) /* parts were there */
			assert_non_null(strstr(trace,
				"drain park quiesce no-slots no-vcpus no-vm no-window no-files "
				"no-parts"));
		errors_finish(&errors);
		errors = (struct errors){ 0 };
	}
	assert_int_equal(fail_at, 3 + 15 + 1);
	fail_at = 0;
	machine_destroy(machine);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(made_and_unmade_in_order),
		T(lost_aliases_are_reported),
		T(seeds_are_whole_though_signals_come),
		T(the_gic_is_where_the_map_says),
		T(stolen_time_is_of_one_life),
		T(what_waits_goes_with_it),
		T(each_call_of_making_it_fails),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
