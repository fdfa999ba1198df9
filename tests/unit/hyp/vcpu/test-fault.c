/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose fault it is: an access that failed, given with its address or without, on a vCPU and in memory
 * that are played. Addresses are at the edges of what is memory, registers hold what no other holds.
 */
#include <unistd.h>

#include "tests/unit/helpers/fault-bench.h"

/* --- stray, or not --- */

static void a_stray_access_keeps_its_abort(void **state)
{
	begin(false, EL1H, STRAY_ABORT);
	fake_vcpu.run.exit_reason = KVM_EXIT_MMIO;
	assert_int_equal(fault(0x1234567), VCPU_CONTINUE);
	assert_int_equal(bench_strays(STRAY_ACCESS, STRAY_NOWHERE), 1);
	assert_int_equal(strays_total(&bench.strays), 1);
	assert_int_equal(bench.strays.latest.gpa, 0x1234567);
	assert_int_equal(bench.strays.latest.vcpu, 3);
	assert_null(bench.strays.latest.window);
	assert_int_equal(bench.events, 0);
	assert_int_equal(fake_vcpu.runs, 1);
	assert_int_equal(fake_vcpu.run.immediate_exit, 0);
	assert_int_equal(fake_vcpu.run.exit_reason, 0); /* no read is completed at the next entry */
	assert_int_equal(fake_vcpu_get(REG_PC), 0x77200);
	assert_int_equal(fake_vcpu_get(REG_ELR_EL1), before[0]);
	assert_int_equal(fake_vcpu_get(REG_SPSR_EL1), EL1H);
	assert_int_equal(fake_vcpu_get(REG_ESR_EL1), ESR_SAME);
	assert_int_equal(fake_vcpu_get(REG_FAR_EL1), 0x1234567);
	bench_end();
}

/* Each range from its first byte to its last, and the bytes around. */
static void memory_ends_where_it_ends(void **state)
{
	enum { OWNED = -1 };
	const struct {
		uint64_t gpa;
		int where;
		bool window;
	} cases[] = {
		{ RAM_GPA - 1, STRAY_NOWHERE },
		{ RAM_GPA, OWNED },
		{ RAM_GPA + RAM_BYTES - 1, OWNED },
		{ RAM_GPA + RAM_BYTES, STRAY_NOWHERE },
		{ WINDOW_GPA - 1, STRAY_NOWHERE },
		{ WINDOW_GPA, OWNED, true },
		{ WINDOW_GPA + BLOCK_BYTES - 1, OWNED, true },
		{ WINDOW_GPA + BLOCK_BYTES, STRAY_BLOCK, true },
		{ WINDOW_GPA + SLOT_BYTES - 1, STRAY_BLOCK, true },
		{ WINDOW_GPA + SLOT_BYTES, STRAY_SLOT, true },
		{ WINDOW_GPA + WINDOW_BYTES - 1, STRAY_SLOT, true },
		{ WINDOW_GPA + WINDOW_BYTES, STRAY_NOWHERE },
		{ UART_GPA, STRAY_NOWHERE }, /* with an address it would be reported as registers */
		{ 0, STRAY_NOWHERE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(false, EL1H, STRAY_ABORT);
		assert_int_equal(fault(cases[i].gpa), VCPU_CONTINUE);
		if (cases[i].where == OWNED) {
			assert_int_equal(strays_total(&bench.strays), 0);
			assert_int_equal(bench.vcpu->retries, 1);
			assert_restored();
		} else {
			assert_int_equal(
				bench_strays(STRAY_ACCESS, (enum stray_where)cases[i].where), 1);
			assert_int_equal(bench.strays.latest.gpa, cases[i].gpa);
			assert_int_equal(bench.vcpu->retries, 0);
			if (cases[i].window)
				assert_string_equal(bench.strays.latest.window, "vmem0");
			else
				assert_null(bench.strays.latest.window);
		}
		/* The same with an address from KVM. */
		fake_vcpu.pending = false;
		assert_int_equal(fault_at(bench.vcpu, cases[i].gpa, true), VCPU_CONTINUE);
		assert_int_equal(fake_vcpu.pending, cases[i].where != OWNED);
		assert_int_equal(strays_total(&bench.strays), cases[i].where == OWNED ? 0 : 2);
		bench_end();
	}
}

static void what_happens_then_is_policy(void **state)
{
	static const struct {
		enum stray_policy policy;
		enum vcpus_event event;
	} cases[] = { { STRAY_PAUSE, VCPUS_PAUSE }, { STRAY_STOP, VCPUS_STOP } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(false, EL1H, cases[i].policy);
		assert_int_equal(fault(WINDOW_GPA + SLOT_BYTES), VCPU_HOLD);
		assert_int_equal(bench.events, 1);
		assert_int_equal(bench.event, cases[i].event);
		assert_string_equal(
			bench.text, "vCPU 3: stray access at 0x100400000, vmem0: closed slot");
		assert_int_equal(strays_total(&bench.strays), 1);
		bench_end();
	}
}

/* --- the map changes --- */

/* What changed since the vCPU entered explains the fault: nothing is asked of KVM. */
static void a_change_before_is_tried_again(void **state)
{
	begin(false, EL1H, STRAY_ABORT);
	bench.vcpu->generation = atomic_load(&bench.slots.generation) - 1;
	fake_vcpu.far = 0x1234567;
	assert_int_equal(fault_unknown(bench.vcpu), VCPU_CONTINUE);
	assert_int_equal(fake_vcpu.calls, 0);
	assert_int_equal(strays_total(&bench.strays), 0);
	assert_restored();
	bench_end();
}

static void change_the_map(void)
{
	atomic_fetch_add(&bench.slots.generation, 1);
}

/* So does what changes while the fault is classified, however often. */
static void a_change_meanwhile_is_tried_again(void **state)
{
	const uint64_t addresses[] = { 0x1234567, RAM_GPA, WINDOW_GPA + BLOCK_BYTES };

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		begin(false, EL1H, STRAY_ABORT);
		fake_vcpu.running = change_the_map;
		for (unsigned n = 0; n < RETRIES + 5; n++) {
			assert_int_equal(fault(addresses[i]), VCPU_CONTINUE);
			assert_restored();
		}
		assert_int_equal(strays_total(&bench.strays), 0);
		assert_int_equal(bench.events, 0);
		assert_int_equal(bench.vcpu->retries, 0);
		bench_end();
	}
}

/* --- the host's fault --- */

static void a_host_without_memory_is_asked_a_hundred_times(void **state)
{
	static const struct {
		uint64_t gpa;
		const char *text;
	} cases[] = {
		{ RAM_GPA + 16, "vCPU 3: the host has no memory for RAM of the guest's at "
				"0x40000010 (out" },
		{ WINDOW_GPA + 8,
			"vCPU 3: the host has no memory for a plugged block of the guest's at "
			"0x100000008 in vmem0 (out" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(false, EL1H, STRAY_ABORT);
		for (unsigned n = 0; n < RETRIES; n++) {
			assert_int_equal(fault(cases[i].gpa), VCPU_CONTINUE);
			assert_restored();
		}
		assert_int_equal(bench.events, 0);
		assert_int_equal(fault(cases[i].gpa), VCPU_HOLD);
		assert_int_equal(bench.events, 1);
		assert_int_equal(bench.event, VCPUS_HOST_FAULT);
		assert_memory_equal(bench.text, cases[i].text, strlen(cases[i].text));
		assert_restored(); /* the guest goes on from there, once the host can */
		assert_int_equal(strays_total(&bench.strays), 0);
		bench_end();
	}
}

/* --- the guest's tables --- */

static void tables_are_walked(void **state)
{
	begin(false, EL1H, STRAY_ABORT);
	turn_tables_on(REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, RAM_GPA);
	bench.ram[5] = 0x80000000 | 1;
	assert_int_equal(fault((UINT64_C(5) << 30) + 0x42), VCPU_CONTINUE);
	assert_int_equal(bench_strays(STRAY_ACCESS, STRAY_NOWHERE), 1);
	assert_int_equal(bench.strays.latest.gpa, 0x80000042);
	/* The upper half has its own. */
	fake_vcpu_set(REG_PSTATE, EL1H);
	fake_vcpu_set(REG_TCR_EL1, UINT64_C(25) << 16 | UINT64_C(2) << 30 | 25);
	fake_vcpu_set(REG_TTBR1_EL1, RAM_GPA + 0x1000);
	bench.ram[512 + 7] = UINT64_C(0xc0000000) | 1;
	assert_int_equal(
		fault(UINT64_C(0xffffff8000000000) + (UINT64_C(7) << 30) + 0x99), VCPU_CONTINUE);
	assert_int_equal(bench.strays.latest.gpa, 0xc0000099);
	bench_end();
}

/* Another vCPU may have changed them meanwhile: only after many tries it is reported with what is known. */
static void an_unmapped_address_is_tried_a_hundred_times(void **state)
{
	const uint64_t va = (UINT64_C(9) << 30) + 0x42;

	begin(false, EL1H, STRAY_ABORT);
	turn_tables_on(REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, RAM_GPA);
	for (unsigned n = 0; n < RETRIES; n++) {
		assert_int_equal(fault(va), VCPU_CONTINUE);
		assert_restored();
	}
	assert_int_equal(strays_total(&bench.strays), 0);
	assert_int_equal(fault(va), VCPU_CONTINUE);
	assert_int_equal(bench_strays(STRAY_ACCESS, STRAY_UNMAPPED), 1);
	assert_int_equal(bench.strays.latest.gpa, va);
	assert_int_equal(fake_vcpu_get(REG_ELR_EL1), before[0]); /* the abort stays */
	assert_int_equal(fake_vcpu_get(REG_PC), 0x77200);
	bench_end();
}

/* Descriptors from the first to the last of a range, and in windows where they are plugged. */
static void tables_are_read_where_the_guest_has_memory(void **state)
{
	enum { INDEX = 3 }; /* of the descriptor in its table */
	static const struct {
		uint64_t at; /* the descriptor's address */
		bool readable;
	} cases[] = {
		{ RAM_GPA + INDEX * 8, true },
		{ RAM_GPA + RAM_BYTES - 0x1000 + INDEX * 8, true },
		{ RAM_GPA + RAM_BYTES + INDEX * 8, false },
		{ RAM_GPA - 0x1000 + INDEX * 8, false },
		{ WINDOW_GPA + INDEX * 8, true },
		{ WINDOW_GPA + BLOCK_BYTES - 0x1000 + INDEX * 8, true },
		{ WINDOW_GPA + BLOCK_BYTES + INDEX * 8, false },
		{ WINDOW_GPA + SLOT_BYTES + INDEX * 8, false },
		{ WINDOW_GPA + WINDOW_BYTES + INDEX * 8, false },
	};
	const uint64_t descriptor = 0x80000000 | 1;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(false, EL1H, STRAY_ABORT);
		turn_tables_on(REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, cases[i].at - INDEX * 8);
		if (cases[i].readable) {
			if (cases[i].at >= WINDOW_GPA)
				memcpy(window_hva(bench.window) + (cases[i].at - WINDOW_GPA),
					&descriptor, 8);
			else
				memcpy((uint8_t *)bench.ram + (cases[i].at - RAM_GPA), &descriptor,
					8);
		}
		assert_int_equal(fault(((uint64_t)INDEX << 30) + 0x42), VCPU_CONTINUE);
		assert_int_equal(strays_total(&bench.strays), 1);
		assert_int_equal(bench.strays.latest.gpa,
			cases[i].readable ? UINT64_C(0x80000042) : cases[i].at);
		bench_end();
	}
}

/* The last descriptor of a range is read, and one that begins in its last bytes is not. */
static void the_last_descriptor_of_a_range(void **state)
{
	begin(false, EL1H, STRAY_ABORT);
	turn_tables_on(REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, RAM_GPA + RAM_BYTES - 0x1000);
	bench.ram[RAM_BYTES / 8 - 1] = 0x80000000 | 1;
	assert_int_equal(fault((UINT64_C(511) << 30) + 0x42), VCPU_CONTINUE);
	assert_int_equal(bench.strays.latest.gpa, 0x80000042);
	bench_end();

	begin(false, EL1H, STRAY_ABORT);
	turn_tables_on(REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, RAM_GPA + RAM_BYTES - 0x1000);
	bench.ram[RAM_BYTES / 8 - 1] = 0x80000000 | 1;
	bench.mem.ranges[0].size--;
	assert_int_equal(fault((UINT64_C(511) << 30) + 0x42), VCPU_CONTINUE);
	/* Where it begins is the guest's, so that it is the host's fault, or is tried again. */
	assert_int_equal(strays_total(&bench.strays), 0);
	assert_int_equal(bench.vcpu->retries, 1);
	bench_end();
}

/* A table that the host cannot provide is no reason for a signal: it is the host's fault. */
static void a_table_that_the_host_lacks(void **state)
{
	const uint64_t gpas[] = { RAM_GPA, WINDOW_GPA };

	for (size_t i = 0; i < ARRAY_SIZE(gpas); i++) {
		begin(false, EL1H, STRAY_ABORT);
		turn_tables_on(REG_SCTLR_EL1, REG_TCR_EL1, REG_TTBR0_EL1, gpas[i]);
		assert_int_equal(mprotect(i ? (void *)window_hva(bench.window) : bench.ram,
					 (size_t)sysconf(_SC_PAGESIZE), PROT_NONE),
			0);
		for (unsigned n = 0; n < RETRIES; n++)
			assert_int_equal(fault(UINT64_C(3) << 30), VCPU_CONTINUE);
		assert_int_equal(fault(UINT64_C(3) << 30), VCPU_HOLD);
		assert_int_equal(bench.event, VCPUS_HOST_FAULT);
		assert_int_equal(strays_total(&bench.strays), 0);
		bench_end();
	}
}

/* --- with an address --- */

static void a_fault_at_an_address_is_reported_by_kind(void **state)
{
	begin(false, EL1H, STRAY_ABORT);
	fake_vcpu.run.exit_reason = KVM_EXIT_MMIO;
	assert_int_equal(fault_at(bench.vcpu, WINDOW_GPA + BLOCK_BYTES, true), VCPU_CONTINUE);
	assert_int_equal(bench_strays(STRAY_STORE, STRAY_BLOCK), 1);
	assert_string_equal(bench.strays.latest.window, "vmem0");
	assert_null(bench.strays.latest.device);
	assert_int_equal(fake_vcpu.run.exit_reason, 0);
	assert_int_equal(fault_at(bench.vcpu, WINDOW_GPA + SLOT_BYTES, false), VCPU_CONTINUE);
	assert_int_equal(bench_strays(STRAY_LOAD, STRAY_SLOT), 1);
	/* Registers that are accessed as none can be. */
	assert_int_equal(fault_at(bench.vcpu, UART_GPA + UART_BYTES - 1, true), VCPU_CONTINUE);
	assert_int_equal(bench_strays(STRAY_STORE, STRAY_REGISTERS), 1);
	assert_string_equal(bench.strays.latest.device, "uart");
	assert_int_equal(fault_at(bench.vcpu, UART_GPA + UART_BYTES, true), VCPU_CONTINUE);
	assert_int_equal(bench_strays(STRAY_STORE, STRAY_NOWHERE), 1);
	assert_int_equal(strays_total(&bench.strays), 4);
	/* Plugged after the guest had touched it: made anew, and no read is completed. */
	fake_vcpu.pending = false;
	fake_vcpu.run.exit_reason = KVM_EXIT_MMIO;
	assert_int_equal(fault_at(bench.vcpu, WINDOW_GPA, false), VCPU_CONTINUE);
	assert_false(fake_vcpu.pending);
	assert_int_equal(fake_vcpu.run.exit_reason, 0);
	assert_int_equal(strays_total(&bench.strays), 4);
	bench_end();
}

/* --- KVM refuses --- */

/* Each call fails in turn: the guest is never left between two states without a report. */
static void kvm_refuses(void **state)
{
	static const struct {
		bool el2;
		unsigned pstate;
		uint64_t hcr;
	} cases[] = { { false, EL1H }, { true, EL2H }, { true, EL1H }, { true, EL1H, HCR_TEA } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool failed = true;

		for (unsigned at = 1; failed; at++) {
			enum vcpu_next next;

			begin(cases[i].el2, cases[i].pstate, STRAY_ABORT);
			if (cases[i].el2)
				fake_vcpu_set(REG_HCR_EL2, cases[i].hcr);
			fake_vcpu.fail_at = at;
			next = fault(RAM_GPA);
			failed = fake_vcpu.calls >= at;
			assert_int_equal(strays_total(&bench.strays), 0);
			assert_int_equal(next == VCPU_HOLD, bench.events == 1);
			if (next == VCPU_HOLD) {
				assert_int_equal(bench.event, VCPUS_ERROR);
			} else if (fake_vcpu.runs) {
				assert_restored();
				if (cases[i].el2)
					assert_int_equal(fake_vcpu_get(REG_HCR_EL2), cases[i].hcr);
			}
			bench_end();
		}
	}
}

/* Call by call where there is no EL2: what cannot be injected, walked and restored. */
static void kvm_refuses_one_call(void **state)
{
	static const struct {
		unsigned from, to; /* calls */
		const char *text;  /* NULL: it is tried again */
	} cases[] = {
		{ 1, 7, "vCPU 3: cannot inject an abort" }, /* six registers, and the abort */
		{ 8, 13, NULL },			    /* of the walk */
		{ 14, 19, "vCPU 3: cannot restore registers" },
		{ 20, 20, NULL }, /* there is no more */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned at = cases[i].from; at <= cases[i].to; at++) {
			begin(false, EL1H, STRAY_ABORT);
			fake_vcpu.fail_at = at;
			assert_int_equal(fault(RAM_GPA), cases[i].text ? VCPU_HOLD : VCPU_CONTINUE);
			assert_int_equal(bench.events, cases[i].text != NULL);
			if (cases[i].text)
				assert_string_equal(bench.text, cases[i].text);
			else
				assert_restored();
			assert_int_equal(bench.vcpu->retries, at > 7);
			bench_end();
		}
	/* With an address: the one call. */
	begin(false, EL1H, STRAY_ABORT);
	fake_vcpu.fail_at = 1;
	assert_int_equal(fault_at(bench.vcpu, 0x1234567, false), VCPU_HOLD);
	assert_string_equal(bench.text, "vCPU 3: cannot inject an abort");
	assert_int_equal(bench.event, VCPUS_ERROR);
	assert_int_equal(strays_total(&bench.strays), 0);
	bench_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stray_access_keeps_its_abort),
		cmocka_unit_test(memory_ends_where_it_ends),
		cmocka_unit_test(what_happens_then_is_policy),
		cmocka_unit_test(a_change_before_is_tried_again),
		cmocka_unit_test(a_change_meanwhile_is_tried_again),
		cmocka_unit_test(a_host_without_memory_is_asked_a_hundred_times),
		cmocka_unit_test(tables_are_walked),
		cmocka_unit_test(an_unmapped_address_is_tried_a_hundred_times),
		cmocka_unit_test(tables_are_read_where_the_guest_has_memory),
		cmocka_unit_test(the_last_descriptor_of_a_range),
		cmocka_unit_test(a_table_that_the_host_lacks),
		cmocka_unit_test(a_fault_at_an_address_is_reported_by_kind),
		cmocka_unit_test(kvm_refuses),
		cmocka_unit_test(kvm_refuses_one_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
