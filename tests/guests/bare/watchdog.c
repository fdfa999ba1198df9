/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with an SP805: when asked, it arms it with stage=MS and feeds it feeds=N times, at a quarter of that; then it
 * stops, with stray=ADDRESS after a store to what it was not given. It checks what the first stage raises,
 * waits for the bite, and where it lives on after that feeds again and ends.
 */
#include <stdio.h>

#include "bare.h"

#define WDT	   ((volatile uint32_t *)0x090d0000)
#define LOAD	   0
#define VALUE	   1
#define CONTROL	   2
#define INTCLR	   3
#define RIS	   4
#define LOCK	   (0xc00 / 4)
#define PERIPH_ID  (0xfe0 / 4)
#define UNLOCK	   0x1acce551
#define COUNTS_MS  24000
#define PATIENCE_S 100

/* Until the raw interrupt is `level`. */
static bool wait_ris(uint32_t level)
{
	for (uint64_t end = now_us() + PATIENCE_S * 1000000; now_us() < end;)
		if (WDT[RIS] == level)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	uint64_t ms = argument("stage", 1000), feeds = argument("feeds", 0);
	uint64_t stray = argument("stray", 0);
	struct fault fault;

	result(WDT[PERIPH_ID] == 5 && (WDT[PERIPH_ID + 1] & 0xff) == 0x18, "an SP805");
	result(!WDT[CONTROL] && WDT[VALUE] == UINT32_MAX, "off at the start");
	checkpoint("arm it?");
	WDT[LOCK] = UNLOCK;
	WDT[LOAD] = ms * COUNTS_MS;
	WDT[CONTROL] = 3;
	for (uint64_t i = 0; i < feeds; i++) {
		wait_us(ms * 250);
		WDT[INTCLR] = 1;
	}
	printf("fed %u times\n", (unsigned)feeds);
	fflush(stdout);
	if (stray)
		access_make(ACCESS_STORE, stray, 1, &fault);
	result(wait_ris(1), "the first stage interrupts");
	checkpoint("bitten?");
	WDT[INTCLR] = 1;
	result(wait_ris(0), "fed again");
	WDT[CONTROL] = 0;
	return 0;
}
