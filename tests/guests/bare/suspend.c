/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that calls SYSTEM_SUSPEND (PSCI, DEN0022D.b, 5.19) when it may not, and then from its second CPU, with the
 * first one off: the clock's alarm wakes it, where it said.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bare.h"

#define PSCI_CPU_OFF	     0x84000002
#define PSCI_AFFINITY_INFO   0xc4000004
#define PSCI_SYSTEM_SUSPEND  0xc400000e
#define PSCI_DENIED	     (-3)
#define PSCI_INVALID_ADDRESS (-9)
#define OFF		     1

#define RTC	  ((volatile uint32_t *)0x09010000)
#define RTC_INTID 34
#define RTC_MATCH (0x4 / 4)
#define RTC_MASK  (0x10 / 4)

extern char cpu_entry[];

static int64_t suspend(uint64_t entry, uint64_t context)
{
	return psci(PSCI_SYSTEM_SUSPEND, entry, context, 0);
}

static void woken(unsigned index, void *opaque)
{
	result(index == 1 && opaque == &cpus[1], "CPU 1 wakes where it said");
	result(psci(PSCI_AFFINITY_INFO, 0, 0, 0) == OFF, "CPU 0 is off still");
	bare_end();
}

static void sleep_alone(unsigned index, void *opaque)
{
	struct cpu *cpu = &cpus[1];

	while (psci(PSCI_AFFINITY_INFO, 0, 0, 0) != OFF)
		;
	gic_enable_once(RTC_INTID);
	RTC[RTC_MATCH] = RTC[0] + 2;
	RTC[RTC_MASK] = 1;
	cpu->run = woken;
	cpu->opaque = cpu;
	/* It wakes without caches. */
	for (uint64_t at = (uint64_t)cpu; at < (uint64_t)(cpu + 1) + 63; at += 64)
		__asm__ volatile("dc civac, %0" ::"r"(at) : "memory");
	__asm__ volatile("dsb sy" ::: "memory");
	result(false, "it sleeps (%" PRId64 ")", suspend((uint64_t)cpu_entry, (uint64_t)cpu));
	bare_end();
}

int main(int argc, char **argv)
{
	static const uint64_t nowhere[] = { 0, 0x09000000, UINT64_C(0x100000000), 0x40000002 };
	int64_t answer;

	for (unsigned i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		answer = suspend(nowhere[i], 0);
		result(answer == PSCI_INVALID_ADDRESS,
			"an entry at 0x%" PRIx64 " is none (%" PRId64 ")", nowhere[i], answer);
	}
	result(cpu_start(1, sleep_alone, NULL), "CPU 1 is on");
	for (unsigned i = 0; i < 1000; i++) {
		answer = suspend((uint64_t)cpu_entry, (uint64_t)&cpus[0]);
		if (answer != PSCI_DENIED)
			break;
	}
	result(answer == PSCI_DENIED, "with two CPUs on it is denied (%" PRId64 ")", answer);
	psci(PSCI_CPU_OFF, 0, 0, 0);
	return 0;
}
