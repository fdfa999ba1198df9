/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that plugs every other block, so that none joins another, until the host answers BUSY; then
 * gives them back, some one by one and the rest at once, and goes on. bootargs: least=, the blocks that
 * it must get.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bare.h"

#define BUSY 2

static struct vmem vmem;

/* Plugs blocks 2 * first, 2 * first + 2, ...; how many, and what the last answer was. */
static uint64_t plug_on(uint64_t first, uint64_t most, int *answer)
{
	uint64_t count;

	for (count = 0; count < most; count++) {
		uint64_t at = vmem.addr + 2 * (first + count) * vmem.block;

		*answer = vmem_request(&vmem, VMEM_PLUG, at, 1, NULL);
		if (*answer)
			break;
		*(volatile uint64_t *)at = at;
	}
	return count;
}

int main(int argc, char **argv)
{
	uint64_t blocks, count, wrong = 0, refused = 0;
	int answer = 0;

	if (!vmem_open(&vmem)) {
		result(false, "a window");
		return 1;
	}
	blocks = vmem.region / vmem.block / 2;
	count = plug_on(0, blocks, &answer);
	result(count >= argument("least", 1) && answer == BUSY,
		"%" PRIu64 " of %" PRIu64 " blocks apart, then BUSY (%d)", count, blocks, answer);
	checkpoint("at the limit: plugged %" PRIu64, vmem_plugged(&vmem));
	for (uint64_t i = 0; i < count; i++)
		wrong += *(uint64_t *)(vmem.addr + 2 * i * vmem.block) !=
			 vmem.addr + 2 * i * vmem.block;
	result(!wrong, "what was plugged holds what was written");
	for (uint64_t i = 0; i < count / 4; i++)
		refused += vmem_request(&vmem, VMEM_UNPLUG, vmem.addr + 2 * i * vmem.block, 1,
				   NULL) != 0;
	result(!refused && vmem_plugged(&vmem) == (count - count / 4) * vmem.block,
		"a quarter is unplugged, block by block (%" PRIu64 " refused)", refused);
	result(vmem_request(&vmem, VMEM_UNPLUG_ALL, 0, 0, NULL) == 0, "all of it is unplugged");
	/* Mappings are counted anew at most once a second. */
	wait_us(1500000);
	result(plug_on(0, 16, &answer) == 16, "and there is room again");
	return 0;
}
