/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that plugs one block after the other, and stores to each page of each, as far as its host lets
 * it. Whatever an access raises is an exception that nothing expects (exceptions.c): said, and a failure.
 * bootargs: apart=, how many blocks apart, so that each needs tables of its own; most=, the blocks to plug.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bare.h"

#define BUSY 2
#define STEP 4096

static struct vmem vmem;

int main(int argc, char **argv)
{
	uint64_t apart = argument("apart", 1), most = argument("most", UINT64_MAX), i, wrong = 0;
	int answer = 0;

	if (!vmem_open(&vmem)) {
		result(false, "a window");
		return 1;
	}
	for (i = 0; i < most && i * apart < vmem.region / vmem.block; i++) {
		uint64_t at = vmem.addr + i * apart * vmem.block;

		answer = vmem_request(&vmem, VMEM_PLUG, at, 1, NULL);
		if (answer)
			break;
		for (uint64_t page = at; page < at + vmem.block; page += STEP)
			*(volatile uint64_t *)page = page;
		printf("has %" PRIu64 " MiB\n", (i + 1) * vmem.block / MiB);
	}
	for (uint64_t n = 0; n < i; n++) {
		uint64_t at = vmem.addr + n * apart * vmem.block;

		for (uint64_t page = at; page < at + vmem.block; page += STEP)
			wrong += *(volatile uint64_t *)page != page;
	}
	result(!wrong, "what was plugged holds what was written");
	checkpoint("at the limit: plugged %" PRIu64 " (%d)", vmem_plugged(&vmem), answer);
	return 0;
}
