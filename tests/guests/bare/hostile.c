/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that tries every kind of access on every block that it was not given, half of a window at
 * random, and checks whether it gets exactly what hyp/vcpu/stray-table.h says, and whether what it was
 * given stays as it was. bootargs: seed=, slot= (bytes), abort= (1: stray reads abort).
 *
 * With measure=1 it expects nothing, and counts what is exposed: on any monitor. first= takes so many
 * blocks from the start instead of the random half.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bare.h"

#define BLOCKS_MAX 4096

static const char *const names[ACCESS_KINDS] = {
	[ACCESS_LOAD] = "load",
	[ACCESS_STORE] = "store",
	[ACCESS_LOAD_PAIR] = "load pair",
	[ACCESS_STORE_PAIR] = "store pair",
	[ACCESS_STORE_WRITEBACK] = "store with writeback",
	[ACCESS_EXCLUSIVE] = "exclusive",
	[ACCESS_ATOMIC] = "atomic",
	[ACCESS_ZERO] = "dc zva",
	[ACCESS_FETCH] = "fetch",
	[ACCESS_WALK] = "table walk",
	[ACCESS_CLEAN] = "dc civac",
	[ACCESS_ACROSS_IN] = "load across into",
	[ACCESS_ACROSS_OUT] = "load across out of",
};

static struct vmem vmem;
static bool plugged[BLOCKS_MAX];
static unsigned blocks, slot_blocks, reported;
static enum stray_place open_place;

static uint64_t address_of(unsigned block)
{
	return vmem.addr + block * vmem.block;
}

/* xorshift64 (Marsaglia): the same blocks for the same seed. */
static uint64_t next_random(void)
{
	static uint64_t state;

	if (!state)
		state = argument("seed", 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

/* Words of a plugged block that are written and checked: its ends, and some in between. */
static uint64_t *word_of(unsigned block, unsigned i)
{
	static const unsigned eighths[] = { 0, 1, 3, 4, 6, 8 };
	uint64_t offset = vmem.block * eighths[i] / 8;

	if (i == sizeof(eighths) / sizeof(*eighths))
		return NULL;
	return (uint64_t *)(address_of(block) + (offset == vmem.block ? offset - 8 : offset));
}

static void fill(unsigned block)
{
	for (unsigned i = 0; i < 6; i++)
		*word_of(block, i) = (uint64_t)word_of(block, i) * 3 + block;
}

static bool is_intact(void)
{
	for (unsigned block = 0; block < blocks; block++)
		for (unsigned i = 0; i < 6 && plugged[block]; i++)
			if (*word_of(block, i) != (uint64_t)word_of(block, i) * 3 + block)
				return false;
	return true;
}

static bool plug_half(void)
{
	unsigned count = 0, refused = 0, first = (unsigned)argument("first", 0);

	for (unsigned block = 0; block < blocks; block++)
		count += plugged[block] = first ? block < first : next_random() >> 40 & 1;
	for (unsigned block = 0, run; block < blocks; block += run) {
		for (run = 1; block + run < blocks && plugged[block + run] == plugged[block];)
			run++;
		if (plugged[block] &&
			vmem_request(&vmem, VMEM_PLUG, address_of(block), run, NULL) != 0)
			refused++;
	}
	for (unsigned block = 0; block < blocks && !refused && !argument("measure", 0); block++)
		if (plugged[block])
			fill(block);
	return !refused && vmem_plugged(&vmem) == count * vmem.block;
}

static enum stray_place place_of(unsigned block)
{
	unsigned first = block / slot_blocks * slot_blocks;

	for (unsigned i = first; i < first + slot_blocks && i < blocks; i++)
		if (plugged[i])
			return open_place;
	return PLACE_CLOSED;
}

/* Where in an unplugged block a kind tries, or 0: a load across needs memory on its other side. */
static uint64_t target_of(enum access_kind kind, unsigned block)
{
	if (kind == ACCESS_ACROSS_IN)
		return block && plugged[block - 1] ? address_of(block) - 4 : 0;
	if (kind == ACCESS_ACROSS_OUT)
		return block + 1 < blocks && plugged[block + 1] ? address_of(block + 1) - 4 : 0;
	return address_of(block) + (next_random() % (vmem.block / 4096)) * 4096;
}

/* The value that a load across sees: the half that is memory is what fill() wrote. */
static void forget_memory(enum access_kind kind, struct seen *seen)
{
	if (kind == ACCESS_ACROSS_IN)
		seen->value >>= 32;
	else if (kind == ACCESS_ACROSS_OUT)
		seen->value &= UINT32_MAX;
}

static void try_kind(enum access_kind kind)
{
	unsigned tried = 0, wrong = 0, first_wrong = 0;
	struct seen first = { 0 };

	for (unsigned block = 0; block < blocks; block++) {
		uint64_t at = plugged[block] ? 0 : target_of(kind, block), va = at;
		enum stray_outcome outcome = stray_table[kind][place_of(block)];
		struct fault fault;
		struct seen seen;

		if (!at)
			continue;
		if (kind == ACCESS_WALK)
			va = mmu_walk_through(at);
		seen.value = access_make(kind, va, 0x5555, &fault);
		/* An emulated CPU does no cache maintenance; a real one may fault for it, and have it reported. */
		if (kind == ACCESS_CLEAN && fault.esr && open_place == PLACE_OPEN_ABORT)
			outcome = STRAY_REPORTED;
		seen.esr = fault.esr;
		seen.far = fault.far;
		forget_memory(kind, &seen);
		tried++;
		reported += outcome == STRAY_REPORTED;
		if (outcome_is(outcome, kind, va, &seen))
			continue;
		if (!wrong++) {
			first_wrong = block;
			first = seen;
		}
	}
	result(tried && !wrong && is_intact(), "%s: %u blocks, %u wrong", names[kind], tried,
		wrong);
	if (wrong)
		printf("# block %u: esr 0x%" PRIx64 " far 0x%" PRIx64 " value 0x%" PRIx64 "\n",
			first_wrong, first.esr, first.far, first.value);
}

/* A request, and the place for an answer, where nothing is: the device refuses, and writes nothing. */
static void through_the_device(void)
{
	static uint64_t request[3] = { VMEM_STATE, 0, 1 };
	static uint8_t response[16];
	unsigned tried = 0, taken = 0;

	request[1] = vmem.addr;
	for (unsigned block = 0; block < blocks; block++) {
		if (plugged[block])
			continue;
		tried++;
		taken += vmem_request_at(&vmem, address_of(block), (uint64_t)response) == 0;
		taken += vmem_request_at(&vmem, (uint64_t)request, address_of(block)) == 0;
		if (block && plugged[block - 1]) /* the last bytes are beyond the border */
			taken += vmem_request_at(&vmem, (uint64_t)request, address_of(block) - 4) ==
				 0;
	}
	result(tried && !taken && is_intact(), "descriptors to %u blocks, %u taken", tried, taken);
	result(vmem_request_at(&vmem, (uint64_t)request, (uint64_t)response) == 0,
		"the device goes on");
}

/* Stores to a page of each block that was not given, and loads again: the bytes of those that let it. */
static void measure(void)
{
	uint64_t read = 0, stuck = 0;

	for (unsigned block = 0; block < blocks; block++) {
		uint64_t at = plugged[block] ? 0 : target_of(ACCESS_STORE, block), value;
		struct fault fault;

		if (!at)
			continue;
		access_make(ACCESS_STORE, at, at, &fault);
		value = access_make(ACCESS_LOAD, at, 0, &fault);
		read += fault.esr ? 0 : vmem.block;
		stuck += !fault.esr && value == at ? vmem.block : 0;
	}
	checkpoint("after the accesses: plugged %" PRIu64 " read %" PRIu64 " stuck %" PRIu64,
		vmem_plugged(&vmem), read, stuck);
}

int main(int argc, char **argv)
{
	if (!vmem_open(&vmem) || vmem.region / vmem.block > BLOCKS_MAX) {
		result(false, "a window of at most %u blocks", BLOCKS_MAX);
		return 1;
	}
	blocks = (unsigned)(vmem.region / vmem.block);
	slot_blocks = (unsigned)(argument("slot", vmem.region) / vmem.block);
	open_place = argument("abort", 0) ? PLACE_OPEN_ABORT : PLACE_OPEN_ZERO;
	result(plug_half(), "a random half of %u blocks (seed %" PRIu64 ")", blocks,
		argument("seed", 1));
	checkpoint("before the accesses: plugged %" PRIu64, vmem_plugged(&vmem));
	if (argument("measure", 0)) {
		measure();
		return 0;
	}
	for (unsigned kind = 0; kind < ACCESS_KINDS; kind++) {
		if (kind == ACCESS_ATOMIC && !has_atomics())
			continue;
		try_kind((enum access_kind)kind);
	}
	through_the_device();
	result(is_intact(), "what was given is as it was");
	checkpoint("after the accesses: plugged %" PRIu64 " reported %u", vmem_plugged(&vmem),
		reported);
	return 0;
}
