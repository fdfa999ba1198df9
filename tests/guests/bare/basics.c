/* SPDX-License-Identifier: Apache-2.0 */
/* The library's own guest: each part of it once, and so the machine that it runs on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bare.h"

#define WAIT_US 60000000

static void exceptions(void)
{
	struct fault fault;

	access_make(ACCESS_STORE, 3 * GiB, 1, &fault);
	result(ESR_EC(fault.esr) == EC_DABT && ESR_FSC(fault.esr) == FSC_EXTERNAL &&
			fault.far == 3 * GiB,
		"a stray store is an external abort at its address");
	access_make(ACCESS_FETCH, 3 * GiB, 0, &fault);
	result(ESR_EC(fault.esr) == EC_IABT && fault.far == 3 * GiB, "so is a stray fetch");
	access_make(ACCESS_LOAD, (uint64_t)&fault, 0, &fault);
	result(!fault.esr, "memory does not fault");
}

static void timer(void)
{
	uint64_t end = now_us() + WAIT_US;

	for (unsigned i = 1; i <= 3; i++) {
		timer_arm(1000);
		while (cpu_self()->ticks < i && now_us() < end)
			;
	}
	result(cpu_self()->ticks == 3, "three interrupts of the timer (%" PRIu64 ")",
		cpu_self()->ticks);
}

static uint64_t sum;

static void add(unsigned index, void *opaque)
{
	timer_arm(1000);
	while (!cpu_self()->ticks)
		;
	__atomic_fetch_add(&sum, index, __ATOMIC_SEQ_CST);
}

static void secondaries(unsigned count)
{
	uint64_t expected = 0;
	bool ok = true;

	for (unsigned i = 1; i < count; i++) {
		expected += i;
		ok &= cpu_start(i, add, NULL);
	}
	for (unsigned i = 1; i < count; i++)
		ok &= cpu_wait(i, WAIT_US / 1000);
	result(ok && sum == expected, "CPUs 1 to %u come and go", count - 1);
	result(!cpu_start(count, add, NULL), "CPU %u is not there", count);
}

static void memory(void)
{
	struct vmem vmem;
	struct fault fault;
	unsigned state = 9;
	uint64_t at;

	if (!vmem_open(&vmem)) {
		result(false, "a virtio-mem device");
		return;
	}
	at = vmem.addr;
	result(vmem_requested(&vmem) == 4 * vmem.block && !vmem_plugged(&vmem),
		"four blocks are asked for");
	result(vmem_request(&vmem, VMEM_PLUG, at, 4, NULL) == 0 &&
			vmem_plugged(&vmem) == 4 * vmem.block,
		"they are plugged");
	result(vmem_request(&vmem, VMEM_PLUG, at + 4 * vmem.block, 1, NULL) == 1,
		"one more is NACK");
	memset((void *)at, 0x5a, 4 * vmem.block);
	result(vmem_request(&vmem, VMEM_UNPLUG, at + vmem.block, 1, NULL) == 0, "one is unplugged");
	result(vmem_request(&vmem, VMEM_STATE, at, 2, &state) == 0 && state == 2,
		"two blocks are mixed");
	access_make(ACCESS_STORE, at + vmem.block, 1, &fault);
	result(ESR_EC(fault.esr) == EC_DABT, "a store to it aborts");
	access_make(ACCESS_LOAD, at + 2 * vmem.block - 8, 1, &fault);
	result(!fault.esr, "a load from it sees zeros");
	result(*(uint8_t *)(at + vmem.block - 1) == 0x5a &&
			*(uint8_t *)(at + 2 * vmem.block) == 0x5a,
		"its neighbours are as they were");
	result(vmem_request(&vmem, VMEM_UNPLUG_ALL, 0, 0, NULL) == 0 && !vmem_plugged(&vmem),
		"all is unplugged");
}

/*
 * What Linux's ptp_kvm sets a guest's clock by (Documentation/virt/kvm/arm/ptp_kvm.rst): the host's time, and the
 * counter then. A call of KVM's own, which it offers by an id and a set of bits.
 */
static void host_time(void)
{
	register uint64_t x0 __asm__("x0") = 0x86000000, x1 __asm__("x1") = 0, x2 __asm__("x2"),
			     x3 __asm__("x3");
	uint64_t ns, counter, now;
	bool offered;

	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "=r"(x2), "=r"(x3) : : "memory");
	offered = x0 >> 1 & 1;
	x0 = 0x86000001;
	x1 = 0; /* the virtual counter */
	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "=r"(x2), "=r"(x3) : : "memory");
	ns = x0 << 32 | (uint32_t)x1;
	counter = x2 << 32 | (uint32_t)x3;
	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(now));
	result(offered && (int64_t)x0 >= 0 && ns && counter && counter <= now,
		"KVM gives the host's time: %u s", (unsigned)(ns / 1000000000));
}

int main(int argc, char **argv)
{
	char *text = malloc(64);

	snprintf(text, 64, "%d arguments, %.3f", argc, 0.125);
	result(!strcmp(text, "2 arguments, 0.125") && argument("cpus", 0) >= 2,
		"newlib, and bootargs: %s", text);
	free(text);
	exceptions();
	timer();
	host_time();
	secondaries((unsigned)argument("cpus", 1));
	memory();
	return 0;
}
