/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that knows no tree and leaves the interrupt as the GIC is reset to, a level, and one that makes it the
 * edge that it is: both hear of all that comes back, by interrupts alone.
 */
#include <stdio.h>

#include "bare.h"

#define INTERRUPT_STATUS (0x60 / 4)
#define INTERRUPT_ACK	 (0x64 / 4)
#define ROUNDS		 400

static struct vblk disk;
static volatile unsigned interrupts;
static volatile uint16_t given_back;

static void handler(void)
{
	volatile uint32_t *regs = disk.virtio.regs;

	regs[INTERRUPT_ACK] = regs[INTERRUPT_STATUS];
	given_back = vblk_given_back();
	interrupts++;
}

static bool hears_of_all(bool edge)
{
	static uint32_t header[4]; /* a read of sector 0 */
	static uint8_t data[VBLK_CHAINS][512], status[VBLK_CHAINS];
	uint64_t place = ((uint64_t)disk.virtio.regs - 0x0a000000) / 0x200;

	vblk_start(&disk, false);
	given_back = 0;
	interrupts = 0;
	gic_enable_spi((unsigned)(16 + place), edge, handler);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t end = now_us() + 20000000;

		/* From one at a time to as many as there may be, which end while others are heard of. */
		for (unsigned i = 0; i <= round % VBLK_CHAINS; i++) {
			const struct virtq_part parts[] = { { (uint64_t)header, 16, false },
				{ (uint64_t)data[i], 512, true },
				{ (uint64_t)&status[i], 1, true } };

			vblk_offer(&disk, parts, 3);
		}
		while (given_back != vblk_offered())
			if (now_us() > end)
				return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	bool heard;

	(void)argc, (void)argv;
	if (!vblk_open(&disk)) {
		result(false, "there is a disk");
		return 1;
	}
	gic_init();
	heard = hears_of_all(false);
	result(heard, "a level: all is heard of (%u of %u, %u interrupts)", given_back,
		vblk_offered(), interrupts);
	heard = hears_of_all(true);
	result(heard, "an edge: all is heard of (%u of %u, %u interrupts)", given_back,
		vblk_offered(), interrupts);
	return 0;
}
