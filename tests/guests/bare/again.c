/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that checks whether anything is left of the one before it: in RAM and in a block of the window.
 * It leaves a mark everywhere, and resets the machine until the host sends "off". With storm=1 it only resets, at once.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bare.h"

#define RAM_FROM UINT64_C(0x41000000) /* beyond the image, its heap and stacks */
#define RAM_END	 UINT64_C(0x44000000)
#define MARK	 UINT64_C(0x6d61726b6d61726b)

static uint64_t marked(uint64_t from, uint64_t end, bool mark)
{
	uint64_t words = 0;

	for (uint64_t at = from; at < end; at += 512) {
		words += *(volatile uint64_t *)at != 0;
		if (mark)
			*(volatile uint64_t *)at = MARK;
	}
	return words;
}

int main(int argc, char **argv)
{
	struct vmem vmem;
	uint64_t words;
	int c, first = 0;

	if (argument("storm", 0)) {
		printf("again\n");
		fflush(stdout);
		psci(PSCI_SYSTEM_RESET, 0, 0, 0);
	}
	if (!vmem_open(&vmem)) {
		result(false, "a virtio-mem device");
		return 1;
	}
	words = marked(RAM_FROM, RAM_END, true);
	result(!words, "RAM is empty (%" PRIu64 " words are not)", words);
	result(vmem_plugged(&vmem) == 0, "nothing is plugged");
	result(vmem_request(&vmem, VMEM_PLUG, vmem.addr, 1, NULL) == 0, "a block is given");
	words = marked(vmem.addr, vmem.addr + vmem.block, true);
	result(!words, "it is empty (%" PRIu64 " words are not)", words);
	result(marked(RAM_FROM, RAM_END, false) == (RAM_END - RAM_FROM) / 512, "both are marked");
	printf("plugged %" PRIu64 ", off or again?\n", vmem_plugged(&vmem));
	fflush(stdout);
	while ((c = console_get()) != '\n')
		first = c > 0 && !first ? c : first;
	if (first == 'a')
		psci(PSCI_SYSTEM_RESET, 0, 0, 0);
	return 0;
}
