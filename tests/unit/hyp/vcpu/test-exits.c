/* SPDX-License-Identifier: Apache-2.0 */
/* What a vCPU does with each reason for which KVM comes back, on a machine that is played. */
#include <errno.h>
#include <sched.h>

#include "tests/unit/helpers/vcpu-bench.h"

static void begin(uint32_t reason)
{
	bench_begin(false, STRAY_ABORT);
	fake_vcpu.run.exit_reason = reason;
}

static void mmio(uint64_t gpa, unsigned len, bool write)
{
	fake_vcpu.run.mmio.phys_addr = gpa;
	fake_vcpu.run.mmio.len = len;
	fake_vcpu.run.mmio.is_write = write;
	for (unsigned i = 0; i < sizeof(fake_vcpu.run.mmio.data); i++)
		fake_vcpu.run.mmio.data[i] = (uint8_t)(0xa0 + i);
}

static void registers_are_read_and_written(void **state)
{
	begin(KVM_EXIT_MMIO);
	for (unsigned len = 1; len <= 8; len *= 2) {
		uint64_t mask = UINT64_MAX >> (64 - 8 * len);

		mmio(UART_GPA + 8, len, true);
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_CONTINUE);
		assert_int_equal(bench.access.offset, 8);
		assert_int_equal(bench.access.size, len);
		assert_true(bench.access.write);
		assert_int_equal(bench.access.data, UINT64_C(0xa7a6a5a4a3a2a1a0) & mask);
		mmio(UART_GPA + UART_BYTES - len, len, false);
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_CONTINUE);
		assert_int_equal(bench.access.offset, UART_BYTES - len);
		assert_false(bench.access.write);
		assert_int_equal(bench.access.data, 0);
		for (unsigned i = 0; i < 8; i++) /* so many bytes and no more */
			assert_int_equal(
				fake_vcpu.run.mmio.data[i], i < len ? 0x11 * (i + 1) : 0xa0 + i);
	}
	assert_int_equal(bench.accesses, 8);
	assert_int_equal(strays_total(&bench.strays), 0);
	assert_int_equal(fake_vcpu.calls, 0);
	bench_end();
}

static void what_no_register_has_is_stray(void **state)
{
	static const struct {
		uint64_t gpa;
		unsigned len;
		bool write;
		enum stray_where where;
	} cases[] = {
		{ UART_GPA - 1, 4, true, STRAY_NOWHERE },
		{ UART_GPA + UART_BYTES - 3, 4, false, STRAY_REGISTERS }, /* over its end */
		{ UART_GPA + UART_BYTES, 1, false, STRAY_NOWHERE },
		{ WINDOW_GPA + BLOCK_BYTES, 8, true, STRAY_BLOCK },
		{ WINDOW_GPA + SLOT_BYTES, 1, false, STRAY_SLOT },
		{ UART_GPA, 9, true, STRAY_REGISTERS }, /* wider than any register */
		{ UART_GPA, 9, false, STRAY_REGISTERS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(KVM_EXIT_MMIO);
		mmio(cases[i].gpa, cases[i].len, cases[i].write);
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_CONTINUE);
		assert_int_equal(
			bench_strays(cases[i].write ? STRAY_STORE : STRAY_LOAD, cases[i].where), 1);
		assert_int_equal(bench.strays.latest.gpa, cases[i].gpa);
		assert_true(fake_vcpu.pending);
		assert_int_equal(bench.accesses, 0);
		bench_end();
	}
}

/* A pair, a writeback, 64 bytes at once: KVM says where, and whether it was a store. */
static void accesses_without_a_syndrome(void **state)
{
	static const uint32_t reasons[] = { KVM_EXIT_ARM_NISV, 41 /* KVM_EXIT_ARM_LDST64B */ };

	for (unsigned i = 0; i < 4; i++) {
		bool write = i % 2;

		begin(reasons[i / 2]);
		fake_vcpu.run.arm_nisv.fault_ipa = 0x1234560;
		fake_vcpu.run.arm_nisv.esr_iss = write ? 1 << 6 : ~(UINT64_C(1) << 6);
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_CONTINUE);
		assert_int_equal(bench_strays(write ? STRAY_STORE : STRAY_LOAD, STRAY_NOWHERE), 1);
		assert_int_equal(bench.strays.latest.gpa, 0x1234560);
		bench_end();
	}
}

static bool write_seen;

static bool ignore_stores(struct mmio_region *region, uint64_t offset, bool write)
{
	assert_int_equal(offset, 0x18);
	assert_int_equal(pthread_mutex_trylock(region->lock), EBUSY);
	write_seen = write;
	return write;
}

/* A region may ignore what KVM says so little of: its store is passed over, and a load is an abort as before. */
static void stores_that_are_ignored(void **state)
{
	for (unsigned write = 0; write < 2; write++) {
		uint64_t pc;

		begin(KVM_EXIT_ARM_NISV);
		bench.uart.ignores = ignore_stores;
		fake_vcpu.run.arm_nisv.fault_ipa = UART_GPA + 0x18;
		fake_vcpu.run.arm_nisv.esr_iss = write << 6;
		pc = fake_vcpu_get(REG_PC);
		write_seen = !write;
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_CONTINUE);
		assert_int_equal(write_seen, write);
		assert_int_equal(fake_vcpu.pending, !write);
		if (write) {
			assert_int_equal(strays_total(&bench.strays), 0);
			assert_int_equal(fake_vcpu_get(REG_PC), pc + 4);
			assert_int_equal(fake_vcpu.run.exit_reason, 0);
		} else {
			assert_int_equal(bench_strays(STRAY_LOAD, STRAY_REGISTERS), 1);
		}
		bench.uart.ignores = NULL;
		bench_end();
	}
}

static void events_are_reported(void **state)
{
	static const struct {
		uint32_t reason, type;
		enum vcpus_event event;
		const char *text;
	} cases[] = {
		{ KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_SHUTDOWN, VCPUS_POWER_OFF,
			"the guest powered off" },
		{ KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET, VCPUS_RESET,
			"the guest asked for a reset" },
		{ KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_CRASH, VCPUS_ERROR,
			"vCPU 3: unexpected system event 3" },
		{ KVM_EXIT_FAIL_ENTRY, 0, VCPUS_ERROR,
			"vCPU 3: KVM cannot enter the guest (reason 0xabc)" },
		{ KVM_EXIT_INTERNAL_ERROR, 0, VCPUS_ERROR,
			"vCPU 3: KVM internal error (suberror 7)" },
		{ KVM_EXIT_UNKNOWN, 0, VCPUS_ERROR, "vCPU 3: unexpected KVM exit 0" },
		{ KVM_EXIT_HYPERCALL, 0, VCPUS_ERROR, "vCPU 3: unexpected KVM exit 3" },
		{ 42, 0, VCPUS_ERROR, "vCPU 3: unexpected KVM exit 42" }, /* behind the last */
		{ UINT32_MAX, 0, VCPUS_ERROR, "vCPU 3: unexpected KVM exit 4294967295" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(cases[i].reason);
		if (cases[i].reason == KVM_EXIT_SYSTEM_EVENT)
			fake_vcpu.run.system_event.type = cases[i].type;
		else if (cases[i].reason == KVM_EXIT_FAIL_ENTRY)
			fake_vcpu.run.fail_entry.hardware_entry_failure_reason = 0xabc;
		else
			fake_vcpu.run.internal.suberror = 7;
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_HOLD);
		assert_int_equal(bench.events, 1);
		assert_int_equal(bench.event, cases[i].event);
		assert_string_equal(bench.text, cases[i].text);
		bench_end();
	}
	begin(KVM_EXIT_INTR);
	assert_int_equal(exit_dispatch(bench.vcpu), VCPU_CONTINUE);
	assert_int_equal(bench.events, 0);
	bench_end();
}

static void ask_to_suspend(uint64_t entry)
{
	begin(KVM_EXIT_SYSTEM_EVENT);
	fake_vcpu.run.system_event.type = KVM_SYSTEM_EVENT_SUSPEND;
	fake_vcpu_set(REG_X0, 1);
	fake_vcpu_set(REG_X1, entry);
	fake_vcpu_set(REG_X2, 0x1234);
	bench.vcpu->init.features[0] = 0x55;
	fake_vcpu.made = bench.vcpu->init;
}

/* SYSTEM_SUSPEND: the vCPU is reset to where it said, with what it said, and sleeps; then it wakes. */
static void a_guest_that_sleeps_comes_back_where_it_said(void **state)
{
	for (unsigned at = 0; at <= 7; at++) {
		int err;

		ask_to_suspend(RAM_GPA + 0x100);
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_HOLD);
		assert_true(bench.vcpu->asks && !bench.events);
		fake_vcpu.calls = 0;
		fake_vcpu.fail_at = at;
		err = vcpu_answer_suspend(bench.vcpu);
		if (at == 0 || at == 7) {
			assert_int_equal(err, 0);
			assert_int_equal(fake_vcpu.initialised, 1);
			assert_int_equal(fake_vcpu.init.features[0], 0x55);
			assert_int_equal(fake_vcpu_get(REG_PC), RAM_GPA + 0x100);
			assert_int_equal(fake_vcpu_get(REG_X0), 0x1234);
			assert_int_equal(fake_vcpu.mp_state, KVM_MP_STATE_SUSPENDED);
		} else { /* two registers, the reset, two registers, the sleep */
			assert_int_equal(err, -EIO);
			assert_int_not_equal(fake_vcpu.mp_state, KVM_MP_STATE_SUSPENDED);
		}
		bench_end();
	}
	/* Where it asked from is a CPU of another kind than where it was made. */
	ask_to_suspend(RAM_GPA);
	fake_vcpu.refused_inits = 1;
	assert_int_equal(exit_dispatch(bench.vcpu), VCPU_HOLD);
	assert_int_equal(vcpu_answer_suspend(bench.vcpu), 0);
	assert_int_equal(fake_vcpu.mp_state, KVM_MP_STATE_SUSPENDED);
	bench_end();
	/* Other than the first, it was off when it was made, and KVM of 6.1 wants that said again. */
	ask_to_suspend(RAM_GPA);
	bench.vcpu->init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
	fake_vcpu.made = bench.vcpu->init;
	assert_int_equal(exit_dispatch(bench.vcpu), VCPU_HOLD);
	assert_int_equal(vcpu_answer_suspend(bench.vcpu), 0);
	assert_int_equal(fake_vcpu.mp_state, KVM_MP_STATE_SUSPENDED);
	bench_end();
	for (unsigned at = 0; at <= 1; at++) {
		begin(KVM_EXIT_SYSTEM_EVENT);
		fake_vcpu.run.system_event.type = KVM_SYSTEM_EVENT_WAKEUP;
		fake_vcpu.mp_state = KVM_MP_STATE_SUSPENDED;
		fake_vcpu.fail_at = at;
		assert_int_equal(exit_dispatch(bench.vcpu), at ? VCPU_HOLD : VCPU_CONTINUE);
		if (at)
			assert_string_equal(
				bench.text, "vCPU 3: cannot resume: Input/output error");
		else
			assert_int_equal(fake_vcpu.mp_state, KVM_MP_STATE_RUNNABLE);
		assert_int_equal(fake_vcpu.initialised, 0);
		bench_end();
	}
}

/* Refused on each CPU of the host: KVM's error is the answer, nothing sleeps, and the thread runs where it did. */
static void a_reset_that_kvm_refuses_everywhere(void **state)
{
	cpu_set_t before, after;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	ask_to_suspend(RAM_GPA);
	fake_vcpu.made.features[0] = 0x54;
	assert_int_equal(exit_dispatch(bench.vcpu), VCPU_HOLD);
	assert_int_equal(vcpu_answer_suspend(bench.vcpu), -EINVAL);
	assert_int_equal(fake_vcpu.initialised, 0);
	assert_int_equal(fake_vcpu.mp_state, 0);
	assert_int_equal(fake_vcpu_get(REG_X0), 1);
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
	bench_end();
}

/* Its entry point is memory that the guest has (PSCI, DEN0022D.b, 5.19). */
static void a_guest_that_would_wake_nowhere(void **state)
{
	static const struct {
		uint64_t entry;
		bool good;
	} cases[] = {
		{ RAM_GPA, true },
		{ RAM_GPA + RAM_BYTES - 4, true },
		{ WINDOW_GPA + BLOCK_BYTES - 4, true },
		{ RAM_GPA + 2, false }, /* no instruction is there */
		{ RAM_GPA - 4, false },
		{ RAM_GPA + RAM_BYTES, false },
		{ WINDOW_GPA + BLOCK_BYTES, false }, /* not plugged */
		{ WINDOW_GPA + WINDOW_BYTES, false },
		{ UART_GPA, false },
		{ 0, false },
		{ ~UINT64_C(3), false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ask_to_suspend(cases[i].entry);
		assert_int_equal(
			exit_dispatch(bench.vcpu), cases[i].good ? VCPU_HOLD : VCPU_CONTINUE);
		assert_int_equal(bench.vcpu->asks, cases[i].good);
		assert_int_equal(fake_vcpu_get(REG_X0), cases[i].good ? 1 : (uint64_t)-9);
		assert_int_equal(fake_vcpu.initialised, 0);
		bench_end();
	}
	for (unsigned at = 1; at <= 2; at++) {
		ask_to_suspend(0);
		fake_vcpu.fail_at = at;
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_HOLD);
		assert_int_equal(bench.event, VCPUS_ERROR);
		assert_string_equal(bench.text, "vCPU 3: cannot suspend: Input/output error");
		bench_end();
	}
}

/* Every other CPU is off. */
static void a_guest_that_is_not_alone(void **state)
{
	static const uint32_t on[] = { KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_SUSPENDED };

	for (size_t i = 0; i < ARRAY_SIZE(on); i++) {
		ask_to_suspend(RAM_GPA);
		bench.vcpus->config.count = 2;
		bench.vcpus->vcpu[1].parked = true;
		fake_vcpu.other_mp_state = on[i];
		assert_int_equal(exit_dispatch(bench.vcpu), VCPU_HOLD);
		assert_int_equal(vcpu_answer_suspend(bench.vcpu), 0);
		assert_int_equal(fake_vcpu_get(REG_X0), (uint64_t)-3);
		assert_int_equal(fake_vcpu_get(REG_X1), RAM_GPA);
		assert_int_equal(fake_vcpu.initialised, 0);
		assert_int_equal(fake_vcpu.mp_state, 0);
		fake_vcpu.other_mp_state = KVM_MP_STATE_STOPPED;
		assert_int_equal(vcpu_answer_suspend(bench.vcpu), 0);
		assert_int_equal(fake_vcpu.mp_state, KVM_MP_STATE_SUSPENDED);
		fake_vcpu.calls = 0;
		fake_vcpu.fail_at = 1;
		assert_int_equal(vcpu_answer_suspend(bench.vcpu), -EIO);
		bench_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_are_read_and_written),
		cmocka_unit_test(what_no_register_has_is_stray),
		cmocka_unit_test(accesses_without_a_syndrome),
		cmocka_unit_test(stores_that_are_ignored),
		cmocka_unit_test(events_are_reported),
		cmocka_unit_test(a_guest_that_sleeps_comes_back_where_it_said),
		cmocka_unit_test(a_reset_that_kvm_refuses_everywhere),
		cmocka_unit_test(a_guest_that_would_wake_nowhere),
		cmocka_unit_test(a_guest_that_is_not_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
