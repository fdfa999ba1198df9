/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NOR flash: two 16-bit chips side by side on a bus of 32 bits, which describe themselves by the Common Flash Memory
 * Interface (CFI) and take the command set that it numbers 0x0001, that of Intel's StrataFlash. Blocks of 256 KiB and
 * a write buffer of 4 KiB, both chips' together.
 *
 * In read-array mode the guest reads the file without an exit (hyp/kvm/rom.h). A command hides the memory within the
 * store, on the vCPU's thread and under the device's lock, since it must be in force before the next instruction. Then
 * all accesses come here: loads of any width, and stores, of which only aligned ones of 4 bytes reach the chips. If
 * KVM refuses to show the memory, loads of the array come here too. If it refuses to hide it, loads read the array
 * instead of a status, each store tries it again, and nothing is programmed or erased until it is hidden: that fails by
 * its status bit.
 *
 * An operation is done by the time the store that confirms it is, so the chips are always ready, and there is nothing to
 * suspend. Four deviations. The chips are always commanded together, by the low byte of the low half. Unknown commands
 * are ignored. Locks are accepted and do nothing; all blocks of a read-only file are locked. After a command sequence
 * error no operation starts before the status is cleared, so that the words which a driver still sends of a buffer that
 * was refused start nothing, unless one of them is the command that clears it. StrataFlash says so of the buffer's
 * command alone.
 */
#include "devices/arm/cfi-flash.h"

#include <string.h>

#include "devices/backend/flash-file.h"
#include "devices/state.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "hyp/kvm/rom.h"

#define WORD_BYTES   4u /* of both chips */
#define CHIPS	     2
#define BUFFER_WORDS (CFI_FLASH_BUFFER_BYTES / WORD_BYTES)

/* What loads read. */
enum { MODE_ARRAY, MODE_STATUS, MODE_ID, MODE_QUERY, MODES };

/* What the next store is: a command, or what belongs to the one before it, while loads read the status. */
enum {
	CYCLE_COMMAND,
	CYCLE_PROGRAM, /* the word */
	CYCLE_ERASE,   /* the confirmation */
	CYCLE_LOCK,    /* which of the operations on locks */
	CYCLE_COUNT,   /* how many words the buffer takes, less 1 */
	CYCLE_DATA,    /* one of these */
	CYCLE_CONFIRM, /* the confirmation */
	CYCLES
};

#define COMMAND_CLEAR_STATUS 0x50
#define CONFIRM		     0xd0

/* The status register of each chip. */
#define STATUS_READY	0x80				/* SR.7 */
#define STATUS_ERASE	0x20				/* SR.5: not erased */
#define STATUS_PROGRAM	0x10				/* SR.4: not programmed */
#define STATUS_LOCKED	0x02				/* SR.1: since the block is locked */
#define STATUS_SEQUENCE (STATUS_ERASE | STATUS_PROGRAM) /* both: no such sequence of commands */
#define STATUS_ERRORS	(STATUS_SEQUENCE | STATUS_LOCKED)

/* Intel's number, and the device's: a chip of the StrataFlash family, as QEMU's. */
#define ID_MANUFACTURER 0x89
#define ID_DEVICE	0x18

#define QUERY_FIRST 0x10
#define QUERY_WORDS 0x31

struct cfi_state {
	uint32_t bytes;	 /* of the flash; fixed */
	uint32_t base;	 /* of the first word of the buffer, in the flash */
	uint16_t count;	 /* words that the buffer takes, from `base` on ... */
	uint16_t filled; /* ... and that came, in any order */
	uint8_t mode, cycle;
	uint8_t status; /* STATUS_ERRORS of it */
	uint8_t hole;
	uint32_t buffer[BUFFER_WORDS]; /* what did not come: all bits set, which programs nothing */
};

struct cfi_flash {
	struct device device;
	const struct flash_config *config;
	struct flash_file file; /* no `hva`: not open */
	struct rom rom;
	struct log_limit complaints;
	uint8_t query[QUERY_WORDS]; /* from QUERY_FIRST on */

	struct cfi_state state;
};

static struct cfi_flash *flash_of(struct device *device)
{
	return container_of(device, struct cfi_flash, device);
}

static void complain(struct cfi_flash *flash, const char *what, int err)
{
	log_limited(&flash->complaints, LOG_ERROR, "%s: %s: %s", flash->device.id, what,
		strerror(-err));
}

/* ---- What the guest reads ---- */

/* Shows the array while the guest is to read it. A refusal is tried again at the next store. */
static void drive_rom(struct cfi_flash *flash)
{
	int err = flash->state.mode == MODE_ARRAY ? rom_show(&flash->rom) : rom_hide(&flash->rom);

	if (err)
		complain(flash, "KVM does not change its memory slot", err);
}

static void fill_query(struct cfi_flash *flash)
{
	const uint64_t last_block = flash->file.bytes / CFI_FLASH_BLOCK_BYTES - 1;
	const uint64_t block_256 = CFI_FLASH_BLOCK_BYTES / CHIPS / 256;
	/* By the offsets that CFI gives them; what is not here is zero. */
	const struct {
		uint8_t at, value;
	} values[] = {
		{ 0x10, 'Q' },
		{ 0x11, 'R' },
		{ 0x12, 'Y' },
		{ 0x13, 0x01 }, /* the command set ... */
		{ 0x15, 0x31 }, /* ... and where its own table is */
		{ 0x1b, 0x45 }, /* Vcc: 4.5 V ... */
		{ 0x1c, 0x55 }, /* ... to 5.5 V, in BCD */
		{ 0x1f, 7 },	/* a word takes 2^7 us, */
		{ 0x20, 7 },	/* a buffer so too, */
		{ 0x21, 10 },	/* and an erase 2^10 ms; */
		{ 0x23, 4 },	/* at most 2^4 times as long each */
		{ 0x24, 4 },
		{ 0x25, 4 },
		{ 0x27, (uint8_t)__builtin_ctzll(flash->file.bytes / CHIPS) },
		{ 0x28, 0x01 }, /* 16 bits only */
		{ 0x2a, (uint8_t)__builtin_ctz(CFI_FLASH_BUFFER_BYTES / CHIPS) },
		{ 0x2c, 1 }, /* all blocks have one size */
		{ 0x2d, (uint8_t)last_block },
		{ 0x2e, (uint8_t)(last_block >> 8) },
		{ 0x2f, (uint8_t)block_256 },
		{ 0x30, (uint8_t)(block_256 >> 8) },
		{ 0x31, 'P' }, /* Intel's table: none of its optional features */
		{ 0x32, 'R' },
		{ 0x33, 'I' },
		{ 0x34, '1' },
		{ 0x35, '0' },
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		flash->query[values[i].at - QUERY_FIRST] = values[i].value;
}

/* Of each block the same, but for its lock. */
static uint16_t read_id(const struct cfi_flash *flash, unsigned word)
{
	const uint16_t ids[] = { ID_MANUFACTURER, ID_DEVICE, flash->file.read_only };

	return word < ARRAY_SIZE(ids) ? ids[word] : 0;
}

/* What each chip answers at the word that holds this offset; not of the array. */
static uint16_t read_chip(const struct cfi_flash *flash, uint64_t offset)
{
	/* A chip decodes 8 bits of the address. */
	const unsigned word = offset / WORD_BYTES & 0xff;

	if (flash->state.mode == MODE_STATUS)
		return STATUS_READY | flash->state.status;
	if (flash->state.mode == MODE_QUERY && word >= QUERY_FIRST)
		return word - QUERY_FIRST < QUERY_WORDS ? flash->query[word - QUERY_FIRST] : 0;
	return read_id(flash, word);
}

static uint64_t load(struct cfi_flash *flash, uint64_t offset, unsigned size)
{
	uint8_t bytes[sizeof(uint64_t)] = { 0 };
	uint64_t data;
	int err;

	if (flash->state.mode == MODE_ARRAY) {
		err = flash_file_read(&flash->file, offset, bytes, size);
		if (err) {
			memset(bytes, 0, sizeof(bytes));
			complain(flash, "its file cannot be read", err);
		}
	}
	for (unsigned i = 0; i < size && flash->state.mode != MODE_ARRAY; i++)
		bytes[i] = (uint8_t)(read_chip(flash, offset + i) >> (offset + i) % 2 * 8);
	memcpy(&data, bytes, sizeof(data));
	return data;
}

/* ---- What changes the array ---- */

/* Ends an operation that came to `err`, with the status bit of its kind. */
static void end_operation(struct cfi_flash *flash, uint8_t failed, int err)
{
	if (err) {
		flash->state.status |= failed;
		complain(flash, "its file cannot be written", err);
	}
}

/* Whether the array may change: it is hidden, and is the guest's to write. Else the operation has failed. */
static bool begin_operation(struct cfi_flash *flash, uint8_t failed)
{
	if (flash->file.read_only)
		flash->state.status |= failed | STATUS_LOCKED;
	else
		end_operation(flash, failed, rom_hide(&flash->rom));
	return !flash->file.read_only && !flash->rom.open;
}

/* Programs words that lie in one block: clears the bits that are clear in them. */
static void program(struct cfi_flash *flash, uint64_t offset, const uint32_t *words, unsigned count)
{
	uint32_t array[BUFFER_WORDS];
	int err;

	if (!begin_operation(flash, STATUS_PROGRAM))
		return;
	err = flash_file_read(&flash->file, offset, array, count * WORD_BYTES);
	for (unsigned i = 0; i < count && !err; i++)
		array[i] &= words[i];
	if (!err)
		err = flash_file_write(&flash->file, offset, array, count * WORD_BYTES);
	end_operation(flash, STATUS_PROGRAM, err);
}

static void erase(struct cfi_flash *flash, uint64_t offset)
{
	const uint64_t block = align_down(offset, CFI_FLASH_BLOCK_BYTES);
	uint8_t erased[CFI_FLASH_BUFFER_BYTES];
	int err = 0;

	if (!begin_operation(flash, STATUS_ERASE))
		return;
	memset(erased, 0xff, sizeof(erased));
	for (uint64_t at = 0; at < CFI_FLASH_BLOCK_BYTES && !err; at += sizeof(erased))
		err = flash_file_write(&flash->file, block + at, erased, sizeof(erased));
	end_operation(flash, STATUS_ERASE, err);
}

/* ---- What the guest stores ---- */

/* Both error bits at once are Intel's sign of a sequence that is none. */
static void refuse_sequence(struct cfi_flash *flash)
{
	flash->state.status |= STATUS_SEQUENCE;
}

/* What the low byte of a command leads to. */
static const struct command {
	bool known;
	bool operation; /* not before a sequence error is cleared */
	uint8_t mode, cycle;
} commands[256] = {
	[0x00] = { .known = true, .mode = MODE_ARRAY },
	[0x10] = { true, true, MODE_STATUS, CYCLE_PROGRAM },
	[0x20] = { true, true, MODE_STATUS, CYCLE_ERASE },
	[0x40] = { true, true, MODE_STATUS, CYCLE_PROGRAM },
	[0x60] = { true, true, MODE_STATUS, CYCLE_LOCK },
	[0x70] = { .known = true, .mode = MODE_STATUS },
	[0x90] = { .known = true, .mode = MODE_ID },
	[0x98] = { .known = true, .mode = MODE_QUERY },
	[0xe8] = { true, true, MODE_STATUS, CYCLE_COUNT },
	[0xf0] = { .known = true,
		.mode = MODE_ARRAY }, /* AMD's reset: drivers that probe send both */
	[0xff] = { .known = true, .mode = MODE_ARRAY },
};

static void store_command(struct cfi_flash *flash, uint64_t offset, uint32_t data)
{
	const struct command *command = &commands[data & 0xff];
	bool refused = command->operation &&
		       (flash->state.status & STATUS_SEQUENCE) == STATUS_SEQUENCE;

	if ((data & 0xff) == COMMAND_CLEAR_STATUS)
		flash->state.status = 0; /* and loads read what they did */
	if (!command->known)
		return;
	flash->state.mode = command->mode;
	flash->state.cycle = refused ? CYCLE_COMMAND : command->cycle;
}

static void store_program(struct cfi_flash *flash, uint64_t offset, uint32_t data)
{
	program(flash, offset, &data, 1);
}

static void store_erase(struct cfi_flash *flash, uint64_t offset, uint32_t data)
{
	if ((data & 0xff) == CONFIRM)
		erase(flash, offset);
	else
		refuse_sequence(flash);
}

/* 0x01 locks a block, 0x2f locks it down, 0xd0 unlocks it. */
static void store_lock(struct cfi_flash *flash, uint64_t offset, uint32_t data)
{
	if ((data & 0xff) != 0x01 && (data & 0xff) != 0x2f && (data & 0xff) != CONFIRM)
		refuse_sequence(flash);
}

static void store_count(struct cfi_flash *flash, uint64_t offset, uint32_t data)
{
	const uint32_t count = (data & 0xffff) + 1;

	if (count > BUFFER_WORDS) {
		refuse_sequence(flash);
		return;
	}
	flash->state.count = (uint16_t)count;
	flash->state.filled = 0;
	memset(flash->state.buffer, 0xff, sizeof(flash->state.buffer));
	flash->state.cycle = CYCLE_DATA;
}

/*
 * The first word's address is where the buffer begins, whatever address its command and count had: U-Boot gives these
 * the block's. The others lie within the count from there, and all in one block.
 */
static void store_data(struct cfi_flash *flash, uint64_t offset, uint32_t data)
{
	struct cfi_state *state = &flash->state;
	const uint32_t bytes = state->count * WORD_BYTES;
	uint64_t last;

	if (!state->filled)
		state->base = (uint32_t)offset;
	last = state->base + bytes - 1;
	if (offset - state->base >= bytes ||
		state->base / CFI_FLASH_BLOCK_BYTES != last / CFI_FLASH_BLOCK_BYTES) {
		refuse_sequence(flash);
		return;
	}
	state->buffer[(offset - state->base) / WORD_BYTES] = data;
	state->filled++;
	state->cycle = state->filled == state->count ? CYCLE_CONFIRM : CYCLE_DATA;
}

static void store_confirm(struct cfi_flash *flash, uint64_t offset, uint32_t data)
{
	if ((data & 0xff) == CONFIRM)
		program(flash, flash->state.base, flash->state.buffer, flash->state.count);
	else
		refuse_sequence(flash);
}

/* A sequence ends with its store, unless that sets another cycle. */
static void store(struct cfi_flash *flash, uint64_t offset, uint32_t data)
{
	static void (*const cycles[CYCLES])(
		struct cfi_flash * flash, uint64_t offset, uint32_t data) = {
		[CYCLE_COMMAND] = store_command,
		[CYCLE_PROGRAM] = store_program,
		[CYCLE_ERASE] = store_erase,
		[CYCLE_LOCK] = store_lock,
		[CYCLE_COUNT] = store_count,
		[CYCLE_DATA] = store_data,
		[CYCLE_CONFIRM] = store_confirm,
	};
	const uint8_t cycle = flash->state.cycle;

	flash->state.cycle = CYCLE_COMMAND;
	cycles[cycle](flash, offset, data);
	drive_rom(flash);
}

static void cfi_access(struct mmio_region *region, struct mmio_access *access)
{
	struct cfi_flash *flash = container_of(region, struct cfi_flash, device.region);

	if (!access->write)
		access->data = load(flash, access->offset, access->size);
	else if (access->size == WORD_BYTES && is_aligned(access->offset, WORD_BYTES))
		store(flash, access->offset, (uint32_t)access->data);
}

/* ---- Its life ---- */

/* As after power is applied: it reads as the array, and what was not confirmed is lost. */
static void cfi_reset(struct device *device)
{
	struct cfi_flash *flash = flash_of(device);

	pthread_mutex_lock(&device->lock);
	flash->state = (struct cfi_state){ .bytes = (uint32_t)flash->file.bytes };
	drive_rom(flash);
	pthread_mutex_unlock(&device->lock);
}

static void cfi_attach(struct device *device, const struct vm *vm, unsigned slot)
{
	struct cfi_flash *flash = flash_of(device);

	pthread_mutex_lock(&device->lock);
	rom_forget(&flash->rom);
	if (vm) {
		rom_attach(&flash->rom, vm, device->region.gpa, slot);
		drive_rom(flash);
	}
	pthread_mutex_unlock(&device->lock);
}

static void cfi_finish(struct device *device)
{
	struct cfi_flash *flash = flash_of(device);

	if (flash->file.hva)
		flash_file_close(&flash->file);
}

static int cfi_init(struct device *device, const void *config, const struct device_env *env)
{
	struct cfi_flash *flash = flash_of(device);
	char why[1];
	int err;

	flash->config = config;
	flash->complaints = (struct log_limit)LOG_LIMIT(5);
	err = flash_file_open(flash->config, &flash->file, why, sizeof(why));
	if (err)
		return err;
	rom_init(&flash->rom, flash->file.hva, flash->file.bytes);
	fill_query(flash);
	device->region = (struct mmio_region){
		.name = device->id,
		.size = flash->file.bytes,
		.access = cfi_access,
		.lock = &device->lock,
	};
	cfi_reset(device);
	return 0;
}

/* ---- Its state ---- */

static int check_state(const struct device *candidate)
{
	const struct cfi_state *state =
		&container_of(candidate, const struct cfi_flash, device)->state;
	const uint64_t bytes = (uint64_t)state->count * WORD_BYTES;
	const bool buffered = state->cycle == CYCLE_DATA || state->cycle == CYCLE_CONFIRM;

	if (state->status & ~STATUS_ERRORS ||
		(state->cycle != CYCLE_COMMAND && state->mode != MODE_STATUS))
		return -EINVAL;
	if (!buffered)
		return 0;
	if (!state->count || state->filled > state->count ||
		(state->cycle == CYCLE_CONFIRM) != (state->filled == state->count))
		return -EINVAL;
	if (!state->filled)
		return 0;
	return !is_aligned(state->base, WORD_BYTES) || state->base >= state->bytes ||
			       state->base / CFI_FLASH_BLOCK_BYTES !=
				       (state->base + bytes - 1) / CFI_FLASH_BLOCK_BYTES
		       ? -EINVAL
		       : 0;
}

static void put_state(struct device *device)
{
	drive_rom(flash_of(device));
}

#define STATE(member) STATE_ONE(struct cfi_flash, state.member)

static const struct state_field state_fields[] = {
	{ "flash-bytes", STATE(bytes), .fixed = true },
	{ "base", STATE(base) },
	{ "count", STATE(count), .max = BUFFER_WORDS },
	{ "filled", STATE(filled), .max = BUFFER_WORDS },
	{ "mode", STATE(mode), .max = MODES - 1 },
	{ "cycle", STATE(cycle), .max = CYCLES - 1 },
	{ "status", STATE(status), .max = STATUS_ERRORS },
	{ STATE_HOLE(struct cfi_flash, state.hole) },
	{ "buffer", STATE_ARRAY(struct cfi_flash, state.buffer) },
	{ 0 },
};

static const struct state_part cfi_flash_state = {
	STATE_PART(struct cfi_flash, state),
	.fields = state_fields,
	.check = check_state,
	.put = put_state,
};

const struct device_class cfi_flash_class = {
	.compatible = "cfi-flash",
	.bytes = sizeof(struct cfi_flash),
	.kind = DEVICE_PLATFORM,
	.single = true,
	.config_bytes = sizeof(struct flash_config),
	.init = cfi_init,
	.attach = cfi_attach,
	.reset = cfi_reset,
	.state = { &cfi_flash_state },
	.finish = cfi_finish,
};
