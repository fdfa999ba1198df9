/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest does to a disk that no driver would; after each the disk has to serve as before. With
 * bootargs flush=1 instead: writes numbered blocks for ever, and says each number once the disk has it
 * (through=1: as the answer to the write alone says). With lives=N: resets the machine in the middle of
 * requests so often, and checks for what came too late; a second CPU resets the device meanwhile.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bare.h"

#define SECTOR	512
#define BLOCK	4096
#define SLOTS	16
#define BUFFERS 0x42000000 /* of the machine's RAM, and nowhere near this program */
#define BUFFER	(1 * MiB)
#define UART	0x09000000

enum { OK, IOERR, UNSUPP };
enum {
	DROPPED = VBLK_NONE,
	BROKEN = -1
}; /* returned without a status; not returned, needs a reset */

static struct vblk disk;
static struct vmem vmem;
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;
static uint8_t *const buffers = (uint8_t *)(uint64_t)BUFFERS;

static bool works(void)
{
	static uint64_t round, there[BLOCK / 8], back[BLOCK / 8];

	round++;
	for (unsigned i = 0; i < BLOCK / 8; i++)
		there[i] = round << 32 | i;
	return vblk_request(&disk, VBLK_OUT, 8, there, BLOCK) == OK &&
	       vblk_request(&disk, VBLK_FLUSH, 0, NULL, 0) == OK &&
	       vblk_request(&disk, VBLK_IN, 8, back, BLOCK) == OK && !memcmp(there, back, BLOCK);
}

/* ---- Chains that make no sense ---- */

#define HEADER                                                                                     \
	{                                                                                          \
		(uint64_t) & header, 16, false                                                     \
	}
#define DATA(at, n)                                                                                \
	{                                                                                          \
		(at), (n), true                                                                    \
	}
#define FROM(at, n)                                                                                \
	{                                                                                          \
		(at), (n), false                                                                   \
	}
#define STATUS                                                                                     \
	{                                                                                          \
		BUFFERS, 1, true                                                                   \
	}
#define AT(offset) (BUFFERS + (offset))
#define UNPLUGGED  1 /* means an address in a block that is not plugged */
#define STRADDLES  2 /* half in a block that is, half in one that is not */

static const struct {
	const char *name;
	uint32_t type;
	uint64_t sector;
	struct virtq_part parts[VIRTQ_PARTS];
	int status;
} chains[] = {
	{ "no-status", VBLK_OUT, 0, { HEADER, FROM(AT(BLOCK), SECTOR) }, DROPPED },
	{ "nothing-but-a-status", VBLK_IN, 0, { STATUS }, IOERR },
	{ "half-a-header", VBLK_IN, 0, { { (uint64_t)&header, 8, false }, STATUS }, IOERR },
	{ "no-data", VBLK_IN, 0, { HEADER, STATUS }, IOERR },
	{ "half-a-sector", VBLK_IN, 0, { HEADER, DATA(AT(BLOCK), 256), STATUS }, IOERR },
	{ "a-sector-and-a-byte", VBLK_OUT, 0, { HEADER, FROM(AT(BLOCK), 513), STATUS }, IOERR },
	{ "empty-part", VBLK_IN, 0, { HEADER, DATA(AT(BLOCK), 0), STATUS }, IOERR },
	{ "4-gib-of-it", VBLK_IN, 0, { HEADER, DATA(AT(BLOCK), UINT32_MAX), STATUS }, BROKEN },
	{ "2-gib-of-it", VBLK_IN, 0, { HEADER, DATA(AT(BLOCK), 1u << 31), STATUS }, IOERR },
	{ "readable-last", VBLK_IN, 0, { HEADER, DATA(AT(BLOCK), SECTOR), FROM(BUFFERS, 1) },
		BROKEN },
	{ "beyond-the-end", VBLK_IN, UINT64_MAX / SECTOR,
		{ HEADER, DATA(AT(BLOCK), SECTOR), STATUS }, IOERR },
	{ "sector-past-2^64", VBLK_OUT, UINT64_MAX, { HEADER, FROM(AT(BLOCK), SECTOR), STATUS },
		IOERR },
	{ "unknown-type", 77, 0, { HEADER, STATUS }, UNSUPP },
	{ "discard-not-taken", 11, 0, { HEADER, FROM(AT(BLOCK), 16), STATUS }, UNSUPP },
	{ "into-nothing", VBLK_IN, 0, { HEADER, DATA(0, SECTOR), STATUS }, IOERR },
	{ "from-nothing", VBLK_OUT, 0, { HEADER, FROM(0x30000000, SECTOR), STATUS }, IOERR },
	{ "into-the-uart", VBLK_IN, 0, { HEADER, DATA(UART, SECTOR), STATUS }, IOERR },
	{ "from-the-uart", VBLK_OUT, 0, { HEADER, FROM(UART, SECTOR), STATUS }, IOERR },
	{ "across-into-ram", VBLK_IN, 0, { HEADER, DATA(0x3fffff00, SECTOR), STATUS }, IOERR },
	{ "past-2^64", VBLK_IN, 0, { HEADER, DATA(UINT64_MAX - 255, SECTOR), STATUS }, IOERR },
	{ "a-header-past-2^64", VBLK_IN, 0,
		{ { UINT64_MAX - 7, 16, false }, DATA(AT(BLOCK), SECTOR), STATUS }, IOERR },
	{ "a-header-in-the-uart", VBLK_IN, 0,
		{ { UART, 16, false }, DATA(AT(BLOCK), SECTOR), STATUS }, IOERR },
	{ "a-status-in-the-uart", VBLK_IN, 0,
		{ HEADER, DATA(AT(BLOCK), SECTOR), { UART, 1, true } }, DROPPED },
	{ "a-status-past-2^64", VBLK_IN, 0,
		{ HEADER, DATA(UINT64_MAX - 511, BUFFERS + SECTOR + 1) }, DROPPED },
	{ "into-an-unplugged-block", VBLK_IN, 0, { HEADER, DATA(UNPLUGGED, SECTOR), STATUS },
		IOERR },
	{ "from-an-unplugged-block", VBLK_OUT, 0, { HEADER, FROM(UNPLUGGED, SECTOR), STATUS },
		IOERR },
	{ "across-into-an-unplugged-block", VBLK_IN, 0, { HEADER, DATA(STRADDLES, BLOCK), STATUS },
		IOERR },
	{ "one-good-part-one-bad", VBLK_IN, 0,
		{ HEADER, DATA(AT(BLOCK), SECTOR), DATA(0, SECTOR), STATUS }, IOERR },
	{ "data-over-the-status", VBLK_IN, 0, { HEADER, DATA(BUFFERS, SECTOR), STATUS }, OK },
	{ "data-over-data", VBLK_IN, 0,
		{ HEADER, DATA(AT(BLOCK), SECTOR), DATA(AT(BLOCK + 8), SECTOR), STATUS }, OK },
	{ "data-over-the-header", VBLK_IN, 0,
		{ HEADER, DATA((uint64_t)&header, 16), DATA(AT(BLOCK), 496), STATUS }, OK },
};

static void try_chains(void)
{
	for (unsigned i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		struct virtq_part parts[VIRTQ_PARTS];
		unsigned count = 0;
		int status;

		header.type = chains[i].type;
		header.sector = chains[i].sector;
		for (; count < VIRTQ_PARTS &&
			(chains[i].parts[count].addr || chains[i].parts[count].len);
			count++) {
			parts[count] = chains[i].parts[count];
			if (parts[count].addr == UNPLUGGED)
				parts[count].addr = vmem.addr + vmem.block;
			else if (parts[count].addr == STRADDLES)
				parts[count].addr = vmem.addr + vmem.block - BLOCK / 2;
		}
		buffers[0] = VBLK_NONE;
		memset(buffers + BLOCK, 0x77, BLOCK);
		vblk_offer(&disk, parts, count);
		status = vblk_wait(&disk) ? buffers[0] : BROKEN;
		/* What fails leaves the guest's memory alone. */
		result(status == chains[i].status && (status == OK || buffers[BLOCK] == 0x77),
			"%s: status %d, the buffer begins with %#x", chains[i].name, status,
			buffers[BLOCK]);
		if (vblk_needs_reset(&disk))
			vblk_start(&disk, true);
		if (!works())
			result(false, "%s: it does not work any more", chains[i].name);
	}
}

/* ---- Registers ---- */

/* Each width at each offset where it is aligned (device memory takes no others). */
static void every_register(bool write)
{
	uint64_t base = (uint64_t)disk.virtio.regs;

	for (uint64_t at = base; at < base + 0x200; at++) {
		if (write) {
			*(volatile uint8_t *)at = 0xff;
			if (!(at & 1))
				*(volatile uint16_t *)at = 0xffff;
			if (!(at & 3))
				*(volatile uint32_t *)at = 0xffffffff;
			if (!(at & 7))
				*(volatile uint64_t *)at = UINT64_MAX;
		} else {
			(void)*(volatile uint8_t *)at;
			if (!(at & 1))
				(void)*(volatile uint16_t *)at;
			if (!(at & 3))
				(void)*(volatile uint32_t *)at;
			if (!(at & 7))
				(void)*(volatile uint64_t *)at;
		}
	}
}

static void registers(void)
{
	volatile uint32_t *regs = disk.virtio.regs;

	every_register(false);
	result(works(), "registers-read");
	every_register(true);
	vblk_start(&disk, true);
	result(works(), "registers-written");
	/* 4.2.2.2: of a queue that is ready nothing changes. */
	regs[0x038 / 4] = 4;
	regs[0x080 / 4] = 0;
	result(works(), "resized-while-ready");
	/* Not ready and ready again, of another size and elsewhere, while requests are in flight. */
	for (unsigned i = 0; i < VBLK_CHAINS; i++) {
		const struct virtq_part parts[] = { HEADER, DATA(AT(i * BUFFER), BUFFER), STATUS };

		header.type = VBLK_IN;
		header.sector = 0;
		vblk_offer(&disk, parts, 3);
	}
	regs[0x044 / 4] = 0;
	regs[0x038 / 4] = 4;
	regs[0x080 / 4] = UART;
	regs[0x090 / 4] = BUFFERS;
	regs[0x0a0 / 4] = UART;
	regs[0x044 / 4] = 1;
	vblk_start(&disk, true);
	result(works(), "another-queue-while-in-flight");
}

/* ---- In the middle of requests ---- */

static void read_everywhere(void)
{
	static struct {
		uint32_t type, reserved;
		uint64_t sector;
	} headers[VBLK_CHAINS];

	for (unsigned i = 0; i < VBLK_CHAINS; i++) {
		const struct virtq_part parts[] = { FROM((uint64_t)&headers[i], 16),
			DATA(AT(i * BUFFER), BUFFER), DATA((uint64_t)(buffers - 8 + i), 1) };

		headers[i].type = VBLK_IN;
		headers[i].sector = i * BUFFER / SECTOR;
		vblk_offer(&disk, parts, 3);
	}
}

/* 2.4.1: after the status reads 0 nothing of it touches memory. */
static void resets(void)
{
	volatile uint32_t *status = (volatile uint32_t *)disk.virtio.regs + 0x070 / 4;
	unsigned late = 0, unfinished = 0, running = 0;

	for (unsigned round = 0; round < 20; round++) {
		vblk_start(&disk, true);
		read_everywhere();
		*status = 0;
		running += *status != 0;
		unfinished += vblk_given_back() != vblk_offered();
		memset(buffers, 0x99, VBLK_CHAINS * BUFFER);
		wait_us(3000);
		for (unsigned i = 0; i < VBLK_CHAINS * BUFFER; i += BLOCK)
			late += buffers[i] != 0x99;
	}
	result(!late && !running,
		"reset-in-the-middle: %u pages touched after it, %u times not reset", late,
		running);
	printf("# %u of 20 resets came while requests were in flight\n", unfinished);
	vblk_start(&disk, true);
	result(works(), "works-after-resets");
}

/* Blocks that the disk reads into go only once it has: no answer but these, and what was read is whole. */
static void unplugs(void)
{
	unsigned busy = 0, wrong = 0;

	for (unsigned round = 0; round < 20; round++) {
		uint64_t block = vmem.addr + vmem.block;
		const struct virtq_part parts[] = { HEADER, DATA(block, (uint32_t)vmem.block),
			STATUS };
		int answer;

		wrong += vmem_request(&vmem, VMEM_PLUG, block, 1, NULL) != 0;
		header.type = VBLK_IN;
		header.sector = 0;
		vblk_offer(&disk, parts, 3);
		while ((answer = vmem_request(&vmem, VMEM_UNPLUG, block, 1, NULL)) == 2)
			busy++;
		wrong += answer != 0 || !vblk_wait(&disk) || buffers[0] > IOERR;
	}
	result(!wrong, "unplug-in-the-middle: %u times wrong", wrong);
	printf("# unplug was busy %u times\n", busy);
	result(works(), "works-after-unplugs");
}

/* ---- The other jobs ---- */

static int write_for_ever(bool through)
{
	static uint64_t words[BLOCK / 8];

	vblk_start(&disk, !through);
	for (uint64_t number = 1;; number++) {
		for (unsigned i = 0; i < BLOCK / 8; i++)
			words[i] = number;
		if (vblk_request(&disk, VBLK_OUT, number % SLOTS * (BLOCK / SECTOR), words,
			    BLOCK) != OK ||
			(!through && vblk_request(&disk, VBLK_FLUSH, 0, NULL, 0) != OK)) {
			result(false, "flushes");
			return 1;
		}
		printf("flushed %" PRIu64 "\n", number);
	}
}

static volatile unsigned resets_made;

static void reset_for_ever(unsigned index, void *opaque)
{
	volatile uint32_t *status = (volatile uint32_t *)disk.virtio.regs + 0x070 / 4;

	(void)index, (void)opaque;
	for (;; resets_made++) {
		vblk_start(&disk, true);
		read_everywhere();
		*status = 0;
	}
}

static int live_again(uint64_t lives)
{
	static uint64_t words[SECTOR / 8];
	const uint64_t *ram = (const uint64_t *)(uint64_t)BUFFERS;
	bool empty = true;

	for (unsigned i = 0; i < VBLK_CHAINS * BUFFER / 8; i++)
		empty &= !ram[i];
	if (vblk_request(&disk, VBLK_IN, 0, words, SECTOR) != OK)
		return 1;
	result(empty, "life %" PRIu64 " finds nothing", words[0]);
	if (++words[0] > lives)
		return 0;
	if (vblk_request(&disk, VBLK_OUT, 0, words, SECTOR) != OK)
		return 1;
	if (!cpu_start(1, reset_for_ever, NULL))
		return 1;
	while (resets_made < 3)
		;
	wait_us(500 * words[0]); /* somewhere in the next */
	psci(PSCI_SYSTEM_RESET, 0, 0, 0);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t lives = argument("lives", 0);

	(void)argc, (void)argv;
	if (!vblk_open(&disk)) {
		result(false, "there is a disk");
		return 1;
	}
	vblk_start(&disk, true);
	if (argument("flush", 0) || argument("through", 0))
		return write_for_ever(argument("through", 0));
	if (lives)
		return live_again(lives);
	if (!vmem_open(&vmem) || vmem_request(&vmem, VMEM_PLUG, vmem.addr, 1, NULL)) {
		result(false, "there is a window");
		return 1;
	}
	result(works(), "works");
	try_chains();
	registers();
	resets();
	unplugs();
	return 0;
}
