/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that reads zeros everywhere: it plugs the first block of each slot, reads a word of every
 * page of all others, and unplugs, block by block, then once more with all at once. The host checks
 * at each checkpoint. A second CPU reads on without end meanwhile, while slots close and open too.
 * bootargs: slot= (bytes), cpus=.
 */
#include <inttypes.h>

#include "bare.h"

#define PAGE 4096

static struct vmem vmem;
static uint64_t slot;
static volatile bool stop;
static volatile uint64_t zeros, aborts, others;

/* Zeros in open slots, aborts elsewhere, and nothing else ever. */
static void read_on(unsigned index, void *opaque)
{
	uint64_t at = vmem.addr;

	while (!stop) {
		struct fault fault;
		uint64_t value = access_make(ACCESS_LOAD, at, 0, &fault);

		if (!fault.esr && !value)
			zeros++;
		else if (ESR_EC(fault.esr) == EC_DABT && ESR_FSC(fault.esr) == FSC_EXTERNAL)
			aborts++;
		else
			others++;
		at += PAGE;
		if (at == vmem.addr + vmem.region)
			at = vmem.addr;
	}
}

/* Plugs, or unplugs, the first block of each slot. */
static bool each_slot(unsigned type)
{
	bool ok = true;

	for (uint64_t at = vmem.addr; at < vmem.addr + vmem.region; at += slot)
		ok = ok && vmem_request(&vmem, type, at, 1, NULL) == 0;
	return ok;
}

static void let_the_host_check(const char *when, uint64_t read)
{
	checkpoint("%s: plugged %" PRIu64 " read %" PRIu64, when, vmem_plugged(&vmem), read);
}

static void read_zeros(bool at_once)
{
	uint64_t words = 0, read = 0;

	result(each_slot(VMEM_PLUG), "a block of each slot");
	let_the_host_check(at_once ? "plugged again" : "plugged", 0);
	for (uint64_t at = vmem.addr; at < vmem.addr + vmem.region; at += PAGE) {
		if ((at - vmem.addr) % slot < vmem.block)
			continue;
		words |= *(volatile uint64_t *)at;
		read += PAGE;
	}
	result(read && !words, "zeros");
	let_the_host_check(at_once ? "read again" : "read", read);
	result(at_once ? vmem_request(&vmem, VMEM_UNPLUG_ALL, 0, 0, NULL) == 0
		       : each_slot(VMEM_UNPLUG),
		"unplugged");
	let_the_host_check(at_once ? "unplugged again" : "unplugged", read);
}

int main(int argc, char **argv)
{
	if (!vmem_open(&vmem)) {
		result(false, "a virtio-mem device");
		return 1;
	}
	slot = argument("slot", vmem.region);
	if (argument("cpus", 1) > 1)
		result(cpu_start(1, read_on, NULL), "another CPU reads on");
	read_zeros(false);
	read_zeros(true);
	if (argument("cpus", 1) == 1)
		return 0;
	stop = true;
	result(cpu_wait(1, 60000) && zeros && aborts && !others,
		"it saw %" PRIu64 " zeros, %" PRIu64 " aborts, %" PRIu64 " of another kind", zeros,
		aborts, others);
	return 0;
}
