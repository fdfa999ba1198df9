/* SPDX-License-Identifier: Apache-2.0 */
/* The flash, driven as U-Boot and edk2 drive it, on fake-kvm.c and real files. */
#include "tests/unit/helpers/pl0xx.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/arm/cfi-flash.h"
#include "devices/backend/flash-file.h"
#include "devices/state.h"
#include "hyp/base/log.h"
#include "hyp/kvm/vm.h"
#include "tests/unit/helpers/fake-kvm.h"

#define BLOCK  CFI_FLASH_BLOCK_BYTES
#define BUFFER CFI_FLASH_BUFFER_BYTES
#define SLOT   77

enum { ERASED = 0xff, SR7 = 0x80, SR5 = 0x20, SR4 = 0x10, SR1 = 0x02 };

static struct bench b;
static char folder[] = "/tmp/test-cfi-flash.XXXXXX", path[64];
static struct flash_config config = { .path.name = path };
static const struct vm vm = { .fd = FAKE_KVM_FD };
static unsigned log_lines;

static void count_log(enum log_level level, const char *line)
{
	log_lines++;
}

/* ---- The file and the device ---- */

/* Words that differ from each other, and from erased ones. */
static uint32_t word_of(uint64_t offset)
{
	return (uint32_t)(offset / 4 * 2654435761u) & 0x7fffffff;
}

#define FILLED (1 * MiB) /* of a file: the rest is zeros */

static void make_file(uint64_t size)
{
	static uint32_t words[FILLED / 4];
	const uint64_t filled = size < FILLED ? size : FILLED;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (uint64_t at = 0; at < filled; at += 4)
		words[at / 4] = word_of(at);
	assert_int_equal(write(fd, words, filled), filled);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

static uint32_t in_file(uint64_t offset)
{
	int fd = open(path, O_RDONLY);
	uint32_t word = 0;

	assert_int_equal(pread(fd, &word, 4, (off_t)offset), 4);
	close(fd);
	return word;
}

static void start(void)
{
	bench_start_node(&b, &cfi_flash_class, &config, NULL);
}

static void start_sized(uint64_t size)
{
	make_file(size);
	start();
}

static int setup(void **unused)
{
	fake_kvm_install();
	log_set_sink(count_log);
	config.read_only = false;
	b = (struct bench){ 0 };
	return 0;
}

static int teardown(void **unused)
{
	bench_end(&b);
	return 0;
}

/* ---- A driver ---- */

static uint32_t twice(uint16_t value)
{
	return value | (uint32_t)value << 16;
}

static void command(uint64_t offset, uint16_t value)
{
	put(&b, offset, twice(value));
}

#define assert_reads(offset, value) assert_int_equal(get(&b, offset), twice(value))
#define assert_status(bits)	    assert_reads(0, SR7 | (bits))

static void clear_and_read_array(void)
{
	command(0, 0x50);
	command(0, 0xff);
}

/* As U-Boot: the command, the count and the confirmation at the block's base, and the data where it belongs. */
static void buffered(uint64_t at, const uint32_t *words, unsigned count)
{
	const uint64_t base = at / BLOCK * BLOCK;

	command(base, 0xe8);
	assert_reads(base, SR7);
	command(base, (uint16_t)(count - 1));
	for (unsigned i = 0; i < count; i++)
		put(&b, at + i * 4, words[i]);
	command(base, 0xd0);
}

static void erase(uint64_t block)
{
	command(block, 0x20);
	command(block, 0xd0);
}

static const struct fake_slot *slot(void)
{
	return fake_kvm.slots[SLOT].size ? &fake_kvm.slots[SLOT] : NULL;
}

static void attach(const struct vm *to)
{
	cfi_flash_class.attach(b.device, to, SLOT);
}

/* ---- What it says of itself ---- */

static void reads_as_its_file(void **unused)
{
	start_sized(512 * KiB);
	assert_int_equal(b.device->region.size, 512 * KiB);
	for (uint64_t at = 0; at < 512 * KiB; at += 4092)
		assert_int_equal(get(&b, at), word_of(at));
	assert_int_equal(get_sized(&b, 8, 8), word_of(8) | (uint64_t)word_of(12) << 32);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(get_sized(&b, 8 + i, 1), get_sized(&b, 8, 8) >> 8 * i & 0xff);
	assert_int_equal(get_sized(&b, 9, 2), get_sized(&b, 8, 4) >> 8 & 0xffff);
	assert_int_equal(get_sized(&b, 512 * KiB - 1, 1), word_of(512 * KiB - 4) >> 24);
}

static void describes_itself(void **unused)
{
	static const struct {
		uint64_t size;
		unsigned chip, blocks;
	} cases[] = { { 256 * KiB, 17, 1 }, { 512 * KiB, 18, 2 }, { 1 * MiB, 19, 4 },
		{ 64 * MiB, 25, 256 } };

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct {
			unsigned word, value;
		} table[] = { { 0, 0x89 }, { 1, 0x18 }, { 2, 0 }, { 0x10, 'Q' }, { 0x11, 'R' },
			{ 0x12, 'Y' }, { 0x13, 1 }, { 0x14, 0 }, { 0x15, 0x31 }, { 0x16, 0 },
			{ 0x17, 0 }, { 0x26, 0 }, { 0x27, cases[i].chip }, { 0x28, 1 }, { 0x29, 0 },
			{ 0x2a, 0x0b }, { 0x2b, 0 }, { 0x2c, 1 }, { 0x2d, cases[i].blocks - 1 },
			{ 0x2e, 0 }, { 0x2f, 0 }, { 0x30, 2 }, { 0x31, 'P' }, { 0x32, 'R' },
			{ 0x33, 'I' }, { 0x40, 0 }, { 0x41, 0 }, { 0xff, 0 } };

		start_sized(cases[i].size);
		command(0x55 * 4, 0x98);
		for (unsigned t = 0; t < ARRAY_SIZE(table); t++) {
			const uint64_t at = table[t].word * 4, both = twice(table[t].value);

			assert_int_equal(get(&b, at), both);
			assert_int_equal(get_sized(&b, at, 2), table[t].value);
			assert_int_equal(get_sized(&b, at + 2, 2), table[t].value);
			assert_int_equal(get_sized(&b, at + 2, 1), table[t].value);
			assert_int_equal(get_sized(&b, at + 1, 1), 0);
		}
		assert_int_equal(get_sized(&b, 0x40, 8), 0x0052005200510051);
		assert_int_equal(get_sized(&b, 0x41, 4), 0x52005100);
		command(0, 0xff);
		bench_end(&b);
	}
	start();
}

/* In each block. */
static void identifies_itself(void **unused)
{
	start_sized(512 * KiB);
	command(0, 0x90);
	for (unsigned block = 0; block < 2 * BLOCK; block += BLOCK) {
		assert_reads(block, 0x89);
		assert_reads(block + 4, 0x18);
		assert_reads(block + 8, 0);
		assert_reads(block + 12, 0);
		assert_reads(block + 0x40, 0);
		assert_int_equal(get_sized(&b, block, 8), 0x0018001800890089);
	}
}

/* Each way to and from each mode; to clear the status is none, nor is a command that there is not. */
static void modes(void **unused)
{
	static const struct {
		uint8_t command;
		uint32_t at_0x40; /* 0: the array */
	} ways[] = { { 0xff, 0 }, { 0x70, 0x00800080 }, { 0x90, UINT32_MAX }, { 0x98, 0x00510051 },
		{ 0xf0, 0 }, { 0x00, 0 } };

	start_sized(256 * KiB);
	for (unsigned from = 0; from < ARRAY_SIZE(ways); from++)
		for (unsigned to = 0; to < ARRAY_SIZE(ways); to++) {
			const uint32_t expected = !ways[to].at_0x40 ? word_of(0x40)
						  : ways[to].at_0x40 == UINT32_MAX
							  ? 0
							  : ways[to].at_0x40;

			command(0, ways[from].command);
			command(0x1234, ways[to].command);
			assert_int_equal(get(&b, 0x40), expected);
			for (unsigned i = 0; i < 256; i++)
				switch (i) {
				case 0x00:
				case 0x10:
				case 0x20:
				case 0x40:
				case 0x60:
				case 0x70:
				case 0x90:
				case 0x98:
				case 0xe8:
				case 0xf0:
				case 0xff:
					break;
				default:
					command(0, (uint16_t)i);
					assert_int_equal(get(&b, 0x40), expected);
				}
		}
}

/* ---- To program and to erase ---- */

/* Clears bits and sets none. */
static void a_word(void **unused)
{
	static const uint8_t commands[] = { 0x40, 0x10 };
	const uint32_t next = word_of(0x1004);

	start_sized(256 * KiB);
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		const uint32_t before = in_file(0x1000), word = 0x5a5aa5a5 >> i;

		command(0x1000, commands[i]);
		assert_status(0);
		assert_int_equal(in_file(0x1000), before);
		put(&b, 0x1000, word);
		assert_status(0);
		assert_int_equal(in_file(0x1000), before & word);
		command(0, 0xff);
		assert_int_equal(get(&b, 0x1000), before & word);
		assert_int_equal(get(&b, 0xffc), word_of(0xffc));
		assert_int_equal(get(&b, 0x1004), next);
	}
	command(0x1000, 0x40);
	put(&b, 0x1000, UINT32_MAX);
	assert_int_equal(in_file(0x1000), word_of(0x1000) & 0x5a5aa5a5 & 0x5a5aa5a5 >> 1);
}

/* The block of the confirmation, whatever its words were, and no other. */
static void a_block(void **unused)
{
	start_sized(1 * MiB);
	command(BLOCK + 0x100, 0x20);
	assert_status(0);
	assert_int_equal(in_file(BLOCK), word_of(BLOCK));
	command(BLOCK + 0x100, 0xd0);
	assert_status(0);
	command(0, 0xff);
	for (uint64_t at = 0; at < 1 * MiB; at += 4)
		assert_int_equal(get(&b, at), at / BLOCK == 1 ? UINT32_MAX : word_of(at));
	erase(1 * MiB - 4);
	assert_int_equal(in_file(1 * MiB - 4), UINT32_MAX);
	assert_int_equal(in_file(3 * BLOCK), UINT32_MAX);
	assert_int_equal(in_file(3 * BLOCK - 4), word_of(3 * BLOCK - 4));
}

static void another_confirmation(void **unused)
{
	static const uint8_t others[] = { 0xff, 0x20, 0x00, 0x70, 0xd1 };

	start_sized(256 * KiB);
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		command(0, 0x20);
		command(0, others[i]);
		assert_status(SR5 | SR4);
		command(0, 0xd0); /* nothing is left to confirm */
		assert_status(SR5 | SR4);
		command(0, 0x50);
		assert_status(0);
		command(0, 0x60);
		command(0, others[i]);
		assert_status(SR5 | SR4);
		command(0, 0x50);
		command(0, 0xe8);
		command(0, 0);
		put(&b, 0, 0);
		command(0, others[i]);
		assert_status(SR5 | SR4);
		clear_and_read_array();
		assert_int_equal(get(&b, 0), word_of(0));
	}
}

static void locks(void **unused)
{
	static const uint8_t which[] = { 0x01, 0xd0, 0x2f };

	start_sized(256 * KiB);
	for (unsigned i = 0; i < ARRAY_SIZE(which); i++) {
		command(0, 0x60);
		command(0, which[i]);
		assert_status(0);
		erase(0);
		assert_status(0);
	}
	assert_int_equal(in_file(0), UINT32_MAX);
}

static void a_buffer(void **unused)
{
	static const unsigned counts[] = { 1, 2, 3, 32, BUFFER / 4 - 1, BUFFER / 4 };
	uint32_t words[BUFFER / 4];

	start_sized(512 * KiB);
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = ~(i * 0x01010101u);
	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		const uint64_t at = BLOCK + i * 2 * BUFFER + 0x24;

		buffered(at, words, counts[i]);
		assert_status(0);
		command(0, 0xff);
		assert_int_equal(get(&b, at - 4), word_of(at - 4));
		for (unsigned w = 0; w < counts[i]; w++)
			assert_int_equal(get(&b, at + w * 4), word_of(at + w * 4) & words[w]);
		assert_int_equal(get(&b, at + counts[i] * 4), word_of(at + counts[i] * 4));
	}
	assert_int_equal(get(&b, 0), word_of(0)); /* the base of another */
}

/* Loads read the status between any two stores, and the order of words is the driver's; one that comes twice counts twice. */
static void a_buffer_in_disorder(void **unused)
{
	static const unsigned order[] = { 0, 7, 3, 3, 1, 6, 4, 5 };

	start_sized(256 * KiB);
	command(0x400, 0xe8);
	assert_status(0);
	command(0x400, ARRAY_SIZE(order) - 1);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		assert_status(0);
		assert_int_equal(get_sized(&b, 0x400 + i, 1), (0x400 + i) % 2 ? 0 : 0x80);
		put(&b, 0x400 + order[i] * 4, ~(uint32_t)i);
	}
	assert_int_equal(in_file(0x400), word_of(0x400));
	command(0x400, 0xd0);
	assert_status(0);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		assert_int_equal(in_file(0x400 + order[i] * 4),
			word_of(0x400 + order[i] * 4) & ~(order[i] == 3 ? 3 : i));
	assert_int_equal(in_file(0x408), word_of(0x408)); /* never came */
}

/* A file of up to FILLED bytes. */
static void assert_untouched(void)
{
	static uint32_t words[FILLED / 4];
	int fd = open(path, O_RDONLY);
	ssize_t bytes = read(fd, words, sizeof(words));

	close(fd);
	assert_int_equal(bytes, b.device->region.size);
	for (size_t at = 0; at < (size_t)bytes; at += 4)
		if (words[at / 4] != word_of(at))
			fail_msg("%#zx", at);
}

static void aborted_buffers(void **unused)
{
	static const struct {
		uint32_t count, first, second; /* of words; their addresses */
	} cases[] = {
		{ 4, 0x1000, 0x0ffc },	       /* before the first */
		{ 4, 0x1000, 0x1010 },	       /* behind the last */
		{ 4, 0x1000, BLOCK + 0x1004 }, /* in another block */
		{ 1024, 0x1000, 0x2000 },
		{ 2, BLOCK - 4, 0 },	 /* into the next block: the first aborts */
		{ 2, 2 * BLOCK - 4, 0 }, /* beyond the end */
		{ 1024, 2 * BLOCK - 0xffc, 0 },
		{ 1025, 0, 0 }, /* the count does */
		{ 0x10000, 0, 0 },
	};

	start_sized(512 * KiB);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		command(0, 0xe8);
		command(0, (uint16_t)(cases[i].count - 1));
		assert_status(cases[i].count > 1024 ? SR5 | SR4 : 0);
		if (cases[i].count <= 1024)
			put(&b, cases[i].first, 0);
		if (cases[i].second) {
			assert_status(0);
			put(&b, cases[i].second, 0);
		}
		assert_status(SR5 | SR4);
		/* What the driver still sends is no command that changes anything, whatever it is. */
		erase(0);
		command(0, 0x40);
		put(&b, 0, 0);
		command(0, 0xe8);
		command(0, 0);
		put(&b, 0, 0);
		command(0, 0xd0);
		command(0, 0x70);
		assert_status(SR5 | SR4);
		clear_and_read_array();
		assert_int_equal(get(&b, 0x1000), word_of(0x1000));
	}
	assert_untouched();
	erase(0);
	assert_int_equal(in_file(0), UINT32_MAX);
}

/* Stores that are not of 4 bytes and aligned reach no chip, whatever the next store is. */
static void narrow_stores(void **unused)
{
	static const uint8_t begins[] = { 0xff, 0x40, 0x20, 0x60, 0xe8, 0xe8, 0xe8 };

	start_sized(256 * KiB);
	for (unsigned i = 0; i < ARRAY_SIZE(begins); i++) {
		command(0, begins[i]);
		if (i >= 5)
			command(0, i - 5); /* one word, or two ... */
		if (i == 5)
			put(&b, 0x100, 0); /* ... and that word */
		for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
			for (unsigned off = 0; off < 8; off++)
				if (bytes != 4 || off % 4) {
					put_sized(&b, 0x200 + off, bytes, 0x00d000d000d000d0);
					put_sized(&b, 0x200 + off, bytes, 0x0098009800980098);
				}
		if (i)
			assert_status(0);
		else
			assert_int_equal(get(&b, 0x40), word_of(0x40));
		bench_end(&b);
		start();
	}
	assert_untouched();
}

/* ---- The slot ---- */

static void assert_slot(bool open)
{
	assert_int_equal(!!slot(), open);
	assert_int_equal(fake_kvm.open, open);
	if (open) {
		assert_int_equal(slot()->gpa, BASE);
		assert_int_equal(slot()->size, b.device->region.size);
	}
}

static void the_slot_is_there_in_read_array_mode(void **unused)
{
	unsigned calls;

	start_sized(256 * KiB);
	calls = fake_kvm.calls; /* its file is mapped */
	command(0, 0x70);
	command(0, 0xff);
	assert_int_equal(fake_kvm.calls, calls);
	attach(&vm);
	assert_slot(true);
	assert_int_equal(fake_kvm.calls, calls += 1);
	get(&b, 0);
	command(0, 0xff);
	command(0, 0xf0);
	command(0, 0x50);
	put_sized(&b, 0, 1, 0x98);
	assert_int_equal(fake_kvm.calls, calls);
	command(0, 0x98);
	assert_slot(false);
	assert_int_equal(fake_kvm.calls, calls += 1);
	command(0, 0x90);
	command(0, 0x50);
	erase(0);
	buffered(0x100, (const uint32_t[]){ 1, 2 }, 2);
	command(0x200, 0x40);
	put(&b, 0x200, 3);
	get(&b, 0);
	assert_slot(false);
	assert_int_equal(fake_kvm.calls, calls);
	command(0, 0xff);
	assert_slot(true);
	assert_int_equal(fake_kvm.calls, calls += 1);
	/* What the guest then reads is what was programmed. */
	assert_int_equal(((const uint32_t *)slot()->hva)[0x104 / 4], 2);
	assert_int_equal(((const uint32_t *)slot()->hva)[0x200 / 4], 3);
	assert_int_equal(((const uint32_t *)slot()->hva)[0x204 / 4], UINT32_MAX);
}

static void from_vm_to_vm(void **unused)
{
	start_sized(256 * KiB);
	attach(&vm);
	attach(NULL);
	fake_kvm_install(); /* a VM takes its slots with it */
	command(0, 0x70);
	command(0, 0xff);
	assert_int_equal(fake_kvm.calls, 0);
	command(0, 0xe8);
	attach(&vm); /* in the midst of a command */
	assert_slot(false);
	cfi_flash_class.reset(b.device);
	assert_slot(true);
	assert_int_equal(fake_kvm.calls, 1);
	attach(NULL);
	fake_kvm_install();
	cfi_flash_class.reset(b.device);
	assert_int_equal(fake_kvm.calls, 0);
	attach(&vm);
	assert_slot(true);
	fake_kvm_install(); /* the next one without a word of the end of the last */
	attach(&vm);
	assert_slot(true);
}

/* Then all accesses exit, and are answered; the next time that the array is asked for it is tried again. */
static void a_slot_that_is_refused(void **unused)
{
	start_sized(256 * KiB);
	fake_kvm.fail_at = fake_kvm.calls + 1;
	log_lines = 0;
	attach(&vm);
	assert_slot(false);
	assert_int_equal(log_lines, 1);
	assert_int_equal(get(&b, 0x40), word_of(0x40));
	assert_slot(false);
	command(0, 0x70);
	fake_kvm.fail_at = fake_kvm.calls + 1;
	command(0, 0xff);
	assert_slot(false);
	assert_int_equal(get(&b, 0x40), word_of(0x40));
	command(0, 0xff);
	assert_slot(true);
}

/* Then the guest goes on reading the array, and nothing that it reads may change under it. */
static void a_slot_that_stays(void **unused)
{
	start_sized(256 * KiB);
	attach(&vm);
	fake_kvm.fail_closing = true;
	erase(0);
	assert_slot(true);
	assert_status(SR5);
	command(0, 0x50);
	command(0x1000, 0x40);
	put(&b, 0x1000, 0);
	assert_status(SR4);
	command(0, 0x50);
	buffered(0x1000, (const uint32_t[]){ 0 }, 1);
	assert_status(SR4);
	assert_untouched();
	command(0, 0x50);
	command(0, 0x20);
	fake_kvm.fail_closing = false; /* in time for the confirmation */
	command(0, 0xd0);
	assert_status(0);
	assert_slot(false);
	assert_int_equal(in_file(0), UINT32_MAX);
	command(0, 0xff);
	assert_slot(true);
	fake_kvm.fail_closing = true;
	command(0, 0x70);
	command(0, 0xff);
	assert_slot(true);
}

/* ---- Firmware ---- */

/*
 * It tries narrow ports and chips first, and must not find them. Then it asks each block for its lock, with two changes
 * of the slot each time.
 */
static void uboot_looks_for_it(void **unused)
{
	unsigned calls;

	start_sized(64 * MiB);
	attach(&vm);
	for (unsigned port = 1; port <= 4; port *= 2)
		for (unsigned chip = 1; chip <= port; chip *= 2)
			for (unsigned at = 0x55; at <= 0x555; at += 0x500) {
				const uint32_t one = 0x98, all = chip == 1   ? one * 0x01010101
								 : chip == 2 ? one * 0x00010001
									     : one;
				const uint64_t q = 0x10 * port;
				uint64_t qry;

				put_sized(&b, 0, port, UINT32_MAX);
				put_sized(&b, 0, port, 0xf0f0f0f0);
				put_sized(&b, at * port, port, all);
				qry = get_sized(&b, q, port);
				if (port == 4)
					assert_int_equal(qry, 0x00510051);
				else
					assert_int_equal(
						qry, word_of(q) & ((1ull << 8 * port) - 1));
			}
	assert_reads(0x11 * 4, 'R');
	assert_reads(0x12 * 4, 'Y');
	command(0, 0xff);
	calls = fake_kvm.calls;
	for (uint64_t block = 0; block < 64 * MiB; block += BLOCK) {
		command(block, 0x90);
		assert_reads(block + 8, 0);
		command(block, 0xff);
		assert_slot(true);
	}
	assert_int_equal(fake_kvm.calls - calls, 2 * 256);
}

/* saveenv: an erase, and a whole block by full buffers. The last lies behind the first three's places. */
static void uboot_saves_its_environment(void **unused)
{
	uint32_t words[BUFFER / 4];

	start_sized(64 * MiB);
	attach(&vm);
	command(0, 0x50);
	erase(0);
	command(0, 0x70);
	assert_status(0);
	command(0, 0xff);
	for (uint64_t at = 0; at < BLOCK; at += BUFFER) {
		for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
			words[i] = (uint32_t)((at + i * 4) * 2246822519u);
		command(0, 0x50);
		buffered(at, words, ARRAY_SIZE(words));
		command(0, 0x70);
		assert_status(0);
		command(0, 0xff);
	}
	for (uint64_t at = 0; at < BLOCK; at += 4)
		assert_int_equal(
			((const uint32_t *)slot()->hva)[at / 4], (uint32_t)(at * 2246822519u));
	assert_int_equal(in_file(BLOCK), word_of(BLOCK));
}

/* A variable, by buffers of 128 bytes at their own addresses, then a single word that marks it valid. */
static void edk2_writes_a_variable(void **unused)
{
	static const uint32_t zeros[32];
	const uint64_t at = 2 * BLOCK + 0x80;

	start_sized(1 * MiB);
	attach(&vm);
	command(2 * BLOCK, 0x60);
	command(2 * BLOCK, 0xd0);
	command(2 * BLOCK, 0x90);
	assert_reads(2 * BLOCK + 8, 0);
	erase(2 * BLOCK);
	assert_reads(2 * BLOCK, SR7);
	command(2 * BLOCK, 0xff);
	for (unsigned i = 0; i < 3; i++) {
		command(at + i * 128, 0xe8);
		assert_reads(at + i * 128, SR7);
		command(at + i * 128, 31);
		for (unsigned w = 0; w < 32; w++)
			put(&b, at + i * 128 + w * 4, zeros[w]);
		command(at + i * 128, 0xd0);
		assert_reads(at + i * 128, SR7);
		command(at + i * 128, 0xff);
	}
	command(2 * BLOCK, 0x40);
	put(&b, 2 * BLOCK, 0xfffffffe);
	assert_status(0);
	command(0, 0xff);
	assert_int_equal(in_file(2 * BLOCK), 0xfffffffe);
	assert_int_equal(in_file(at - 4), UINT32_MAX);
	assert_int_equal(in_file(at) | in_file(at + 380), 0);
	assert_int_equal(in_file(at + 384), UINT32_MAX);
}

/* ---- A host that does not let it write ---- */

static void read_only(void **unused)
{
	struct bench second;

	make_file(256 * KiB);
	chmod(path, 0400);
	config.read_only = true;
	start();
	attach(&vm);
	command(0, 0x90);
	assert_reads(8, 1);
	erase(0);
	assert_status(SR5 | SR1);
	command(0, 0x50);
	command(0, 0x40);
	put(&b, 0, 0);
	assert_status(SR4 | SR1);
	command(0, 0x50);
	buffered(0, (const uint32_t[]){ 0 }, 1);
	assert_status(SR4 | SR1);
	clear_and_read_array();
	assert_slot(true);
	assert_int_equal(get(&b, 0), word_of(0));
	assert_untouched();
	bench_start_node(&second, &cfi_flash_class, &config, NULL); /* another reader */
	bench_end(&second);
	chmod(path, 0600);
}

/* Its owner cuts the file: neither a signal nor a file that grows again, and each command says that it failed. */
static void a_file_cut_short(void **unused)
{
	struct stat stat;

	start_sized(512 * KiB);
	assert_int_equal(truncate(path, BLOCK + 100), 0);
	log_lines = 0;
	assert_int_equal(get(&b, BLOCK), word_of(BLOCK));
	assert_int_equal(get(&b, BLOCK + 0x1000), 0);
	assert_int_equal(get_sized(&b, BLOCK + 98, 8), 0);
	assert_int_equal(log_lines, 2);
	erase(BLOCK);
	assert_status(SR5);
	command(0, 0x50);
	command(0, 0x40);
	put(&b, BLOCK + 0x1000, 0);
	assert_status(SR4);
	command(0, 0x50);
	buffered(BLOCK + 0x1000, (const uint32_t[]){ 0 }, 1);
	assert_status(SR4);
	command(0, 0x50);
	erase(0); /* what is still there does not change either */
	assert_status(SR5);
	assert_int_equal(in_file(0), word_of(0));
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_size, BLOCK + 100);
}

/* ---- Its state ---- */

static uint8_t records[8192];

static void move(void)
{
	const size_t bytes = device_state_bytes(&cfi_flash_class);

	assert_true(bytes <= sizeof(records));
	device_take_state(b.device, records);
	bench_end(&b);
	start();
	attach(&vm);
	assert_int_equal(device_put_state(b.device, records, bytes), 0);
}

static void moved_within_a_buffer(void **unused)
{
	static const uint32_t words[] = { 0x11111111, 0x22222222, 0x33333333 };

	start_sized(256 * KiB);
	command(0, 0x20);
	command(0, 0); /* an error to be kept */
	command(0, 0xff);
	move();
	assert_slot(true);
	command(0, 0x70);
	assert_slot(false);
	assert_status(SR5 | SR4);
	fake_kvm_install();
	move();
	assert_slot(false);
	assert_status(SR5 | SR4);
	command(0, 0x50);
	for (unsigned i = 0; i < 3 + ARRAY_SIZE(words); i++) {
		if (!i)
			command(0, 0xe8);
		else if (i == 1)
			command(0, ARRAY_SIZE(words) - 1);
		else if (i < 2 + ARRAY_SIZE(words))
			put(&b, 0x100 + (i - 2) * 4, words[i - 2]);
		else
			command(0, 0xd0);
		fake_kvm_install();
		move();
		assert_slot(false);
		assert_status(0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		assert_int_equal(in_file(0x100 + i * 4), word_of(0x100 + i * 4) & words[i]);
	command(0, 0x40);
	fake_kvm_install();
	move();
	put(&b, 0x200, 0);
	command(0, 0x20);
	fake_kvm_install();
	move();
	assert_int_equal(in_file(0x200), 0);
	command(0, 0xd0);
	assert_int_equal(in_file(0x200), UINT32_MAX);
}

static uint8_t *record(const char *name)
{
	uint8_t *at = records;
	uint32_t count;

	while (at[0] != strlen(name) || memcmp(at + 8, name, at[0])) {
		memcpy(&count, at + 4, sizeof(count));
		at += 8 + at[0] + at[1] * count;
	}
	return at + 8 + at[0];
}

/* That of no flash, or of one of another size. */
static void states_that_are_none(void **unused)
{
	static const struct {
		const char *name;
		uint32_t value;
		int err;
	} cases[] = {
		{ "mode", 0, -EINVAL }, /* a buffer is filled, and loads read the array */
		{ "mode", 4, -ERANGE },
		{ "cycle", 6, -EINVAL }, /* one of three words came */
		{ "cycle", 7, -ERANGE },
		{ "status", 0x01, -EINVAL },
		{ "status", 0x33, -ERANGE },
		{ "count", 0, -EINVAL },
		{ "count", 1, -EINVAL },
		{ "count", 1025, -ERANGE },
		{ "filled", 3, -EINVAL },
		{ "filled", 4, -EINVAL },
		{ "base", 0x102, -EINVAL },
		{ "base", BLOCK - 8, -EINVAL },
		{ "base", 2 * BLOCK, -EINVAL },
		{ "base", 0xfffffffc, -EINVAL },
		{ "flash-bytes", 256 * KiB, -ERANGE },
		{ "base", 2 * BLOCK - 12, 0 },
	};
	static uint8_t sound[sizeof(records)];
	const size_t bytes = device_state_bytes(&cfi_flash_class);

	start_sized(512 * KiB);
	command(0, 0xe8);
	command(0, 2);
	put(&b, 0x100, 0);
	device_take_state(b.device, sound);
	cfi_flash_class.reset(b.device);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t *at;

		memcpy(records, sound, bytes);
		at = record(cases[i].name);
		memcpy(at, &cases[i].value, at[-8 - (int)strlen(cases[i].name) + 1]);
		assert_int_equal(device_put_state(b.device, records, bytes), cases[i].err);
		if (cases[i].err)
			assert_int_equal(get(&b, 0x40), word_of(0x40));
	}
	assert_status(0);
}

static void reset_in_the_midst(void **unused)
{
	start_sized(256 * KiB);
	command(0, 0xe8);
	command(0, 1);
	put(&b, 0x100, 0);
	cfi_flash_class.reset(b.device);
	assert_int_equal(get(&b, 0x40), word_of(0x40));
	command(0, 0xd0);
	put(&b, 0x104, 0);
	assert_untouched();
	command(0, 0x20);
	command(0, 0);
	cfi_flash_class.reset(b.device);
	command(0, 0x70);
	assert_status(0);
	erase(0);
	cfi_flash_class.reset(b.device);
	assert_int_equal(get(&b, 0x40), UINT32_MAX);
}

/* ---- Kills ---- */

#define KILLS	   25
#define OPERATIONS 5 /* of a round: an erase, and four buffers */

static uint32_t programmed(unsigned round, unsigned word)
{
	return word_of(word * 4) ^ round << 8;
}

/* Carries out operation number `op`: after the erase, buffers in the block's first words. */
static void operate(unsigned op)
{
	const unsigned round = op / OPERATIONS, part = op % OPERATIONS;
	uint32_t words[BUFFER / 4];

	if (!part) {
		erase(0);
		return;
	}
	for (unsigned i = 0; i < BUFFER / 4; i++)
		words[i] = programmed(round, (part - 1) * (BUFFER / 4) + i);
	buffered((part - 1) * BUFFER, words, BUFFER / 4);
}

/* Word number `word`, once `ops` operations are done. */
static uint32_t expected(unsigned ops, unsigned word)
{
	const unsigned round = ops / OPERATIONS, part = ops % OPERATIONS;

	if (!ops)
		return word_of(word * 4);
	if (!part)
		return word < 4 * BUFFER / 4 ? programmed(round - 1, word) : UINT32_MAX;
	return word < (part - 1) * (BUFFER / 4) ? programmed(round, word) : UINT32_MAX;
}

/* What was done is there, and of what was not, each word is old or new: an erase goes before what is programmed. */
static void killed_at_any_moment(void **unused)
{
	volatile unsigned *done = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned most = 0;

	srand(1);
	for (unsigned kill_no = 0; kill_no < KILLS; kill_no++) {
		uint32_t words[BLOCK / 4];
		pid_t child;
		int fd;

		make_file(256 * KiB);
		*done = 0;
		child = fork();
		if (!child) {
			start();
			for (;; *done += 1)
				operate(*done);
		}
		while (!*done && !waitpid(child, NULL, WNOHANG))
			usleep(100);
		usleep((unsigned)rand() % 3000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		fd = open(path, O_RDONLY);
		assert_int_equal(read(fd, words, sizeof(words)), sizeof(words));
		close(fd);
		for (unsigned i = 0; i < BLOCK / 4; i++)
			if (words[i] != expected(*done, i) && words[i] != expected(*done + 1, i))
				fail_msg("after %u operations word %u is %#x", *done, i, words[i]);
		most = *done > most ? *done : most;
	}
	assert_true(most > 0);
	munmap((void *)done, 4096);
	start();
}

static int group_setup(void **unused)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/flash", folder);
	return 0;
}

static int group_teardown(void **unused)
{
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(reads_as_its_file),
		T(describes_itself),
		T(identifies_itself),
		T(modes),
		T(a_word),
		T(a_block),
		T(another_confirmation),
		T(locks),
		T(a_buffer),
		T(a_buffer_in_disorder),
		T(aborted_buffers),
		T(narrow_stores),
		T(the_slot_is_there_in_read_array_mode),
		T(from_vm_to_vm),
		T(a_slot_that_is_refused),
		T(a_slot_that_stays),
		T(uboot_looks_for_it),
		T(uboot_saves_its_environment),
		T(edk2_writes_a_variable),
		T(read_only),
		T(a_file_cut_short),
		T(moved_within_a_buffer),
		T(states_that_are_none),
		T(reset_in_the_midst),
		T(killed_at_any_moment),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
