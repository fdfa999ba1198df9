/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest whose CPUs store without pause to blocks that CPU 0 plugs and unplugs meanwhile: no store
 * may take effect after an unplug was answered. Reads of unplugged blocks see zeros here, so each
 * block can be checked. bootargs: cpus=, rounds=, seed=.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bare.h"

#define BLOCKS	  64
#define SETTLE_US 200

static struct vmem vmem;
static volatile bool stop;
static volatile uint64_t stored[CPUS_MAX], aborted[CPUS_MAX], strange[CPUS_MAX];

static uint64_t address_of(unsigned block)
{
	return vmem.addr + block * vmem.block;
}

/* All over all blocks, in an order of each CPU's own; not a loop that the others follow. */
static void hammer(unsigned index, void *opaque)
{
	uint64_t random = index * UINT64_C(0x9e3779b97f4a7c15) + 1;

	while (!stop) {
		struct fault fault;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		access_make(random >> 20 & 1 ? ACCESS_STORE : ACCESS_STORE_PAIR,
			address_of(random % BLOCKS) + (random >> 32) % (vmem.block / 64) * 64,
			~UINT64_C(0), &fault);
		if (!fault.esr)
			stored[index]++;
		else if (ESR_EC(fault.esr) == EC_DABT && ESR_FSC(fault.esr) == FSC_EXTERNAL)
			aborted[index]++;
		else
			strange[index]++;
	}
}

/* A block that stays plugged beside those that come and go, and is nobody else's to store to. */
static uint64_t *own(uint64_t offset)
{
	return (uint64_t *)(address_of(BLOCKS) + offset);
}

static bool own_is_intact(void)
{
	for (uint64_t offset = 0; offset < vmem.block; offset += 512)
		if (*own(offset) != ~offset)
			return false;
	return true;
}

/* A word in each page; where it is unplugged these come from the page of zeros. */
static bool is_zero(unsigned block)
{
	for (uint64_t at = address_of(block); at < address_of(block + 1); at += 64)
		if (*(volatile uint64_t *)at)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	unsigned count = (unsigned)argument("cpus", 4), rounds = (unsigned)argument("rounds", 2000);
	unsigned refused = 0, leaked = 0, busy = 0;
	uint64_t all_stored = 0, all_aborted = 0, all_strange = 0;
	bool plugged[BLOCKS] = { false }, ok = true;

	if (!vmem_open(&vmem) || vmem.region <= BLOCKS * vmem.block) {
		result(false, "a window of more than %u blocks", BLOCKS);
		return 1;
	}
	result(vmem_request(&vmem, VMEM_PLUG, address_of(BLOCKS), 1, NULL) == 0,
		"a block of its own");
	for (uint64_t offset = 0; offset < vmem.block; offset += 512)
		*own(offset) = ~offset;
	srand((unsigned)argument("seed", 1));
	for (unsigned i = 1; i < count; i++)
		ok &= cpu_start(i, hammer, NULL);
	result(ok, "%u CPUs hammer", count - 1);
	for (unsigned round = 0; round < rounds; round++) {
		unsigned block = (unsigned)rand() % BLOCKS;
		int answer = vmem_request(&vmem, plugged[block] ? VMEM_UNPLUG : VMEM_PLUG,
			address_of(block), 1, NULL);

		if (answer == 2) {
			busy++;
			continue;
		}
		refused += answer != 0;
		plugged[block] = !plugged[block];
		if (plugged[block])
			continue;
		leaked += !is_zero(block);
		wait_us(SETTLE_US);
		leaked += !is_zero(block);
	}
	for (unsigned block = 0; block < BLOCKS; block++)
		if (!plugged[block])
			leaked += !is_zero(block);
	checkpoint("after the hammering: plugged %" PRIu64, vmem_plugged(&vmem));
	stop = true;
	for (unsigned i = 1; i < count; i++) {
		ok &= cpu_wait(i, 5000);
		all_stored += stored[i];
		all_aborted += aborted[i];
		all_strange += strange[i];
	}
	result(ok, "they end");
	result(!refused && !busy, "%u requests (seed %" PRIu64 "), %u refused, %u busy", rounds,
		argument("seed", 1), refused, busy);
	result(own_is_intact(), "what was given is as it was");
	result(!leaked, "no store after an unplug was answered (%u seen)", leaked);
	result(all_stored && all_aborted && !all_strange,
		"%" PRIu64 " stores, %" PRIu64 " aborts, %" PRIu64 " of another kind", all_stored,
		all_aborted, all_strange);
	return 0;
}
