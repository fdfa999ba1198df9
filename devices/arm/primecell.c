/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common part of the PrimeCell models; see primecell.h. Accesses of 1, 2 and 4 bytes reach a
 * register at its own offset; anything else reads as zero and writes nothing.
 */
#include "devices/arm/primecell.h"

#include "devices/state.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"

#define PERIPH_ID 0xfe0
#define PCELL_ID  0xff0

static const uint32_t pcell_id = 0xb105f00d;

static const struct primecell_register *find(const struct primecell_type *type, uint64_t offset)
{
	for (size_t i = 0; i < type->register_count; i++) {
		const struct primecell_register *reg = &type->registers[i];

		if (offset == reg->offset || (offset > reg->offset && offset <= reg->last))
			return reg;
	}
	return NULL;
}

static uint32_t *field(struct primecell *pl, const struct primecell_register *reg)
{
	return reg->field ? (uint32_t *)((char *)pl + reg->field) : NULL;
}

static uint32_t read_register(struct primecell *pl, uint64_t offset)
{
	const struct primecell_register *reg;
	unsigned byte = (offset & 0xf) / 4 * 8; /* each holds one byte of the id */

	if (offset >= PCELL_ID)
		return pcell_id >> byte & 0xff;
	if (offset >= PERIPH_ID)
		return pl->type->periph_id >> byte & 0xff;
	reg = find(pl->type, offset);
	if (!reg)
		return 0;
	if (reg->read)
		return reg->read(pl, offset);
	return reg->field ? *field(pl, reg) : 0;
}

static void write_register(struct primecell *pl, uint64_t offset, uint32_t value)
{
	const struct primecell_register *reg = find(pl->type, offset);

	if (!reg)
		return;
	if (reg->write)
		reg->write(pl, offset, value & reg->mask);
	else if (reg->field && reg->mask)
		*field(pl, reg) = value & reg->mask;
}

static void primecell_access(struct mmio_region *region, struct mmio_access *access)
{
	struct primecell *pl = container_of(region, struct primecell, device.region);
	uint32_t mask;

	if (access->size > 4 || !is_aligned(access->offset, 4))
		return;
	mask = UINT32_MAX >> (32 - 8 * access->size);
	if (access->write)
		write_register(pl, access->offset, access->data & mask);
	else
		access->data = read_register(pl, access->offset) & mask;
	primecell_update(pl);
}

static bool level(struct primecell *pl)
{
	if (pl->type->settle)
		pl->type->settle(pl);
	return pl->state.ris & pl->state.imsc;
}

static void set_line(struct primecell *pl, bool level)
{
	pl->irq_level = level;
	irq_line_set(pl->irq, level);
}

void primecell_update(struct primecell *pl)
{
	if (level(pl) != pl->irq_level)
		set_line(pl, !pl->irq_level);
}

/* Sets the line even if it has not changed: its other end may be new. */
static void put_state(struct device *device)
{
	struct primecell *pl = container_of(device, struct primecell, device);

	set_line(pl, level(pl));
}

#define FIELD(member) STATE_ONE(struct primecell, state.member)

static const struct state_field fields[] = {
	{ "ris", FIELD(ris), .max = PRIMECELL_INTERRUPTS },
	{ "imsc", FIELD(imsc), .max = PRIMECELL_INTERRUPTS },
	{ 0 },
};

const struct state_part primecell_state = {
	STATE_PART(struct primecell, state),
	.fields = fields,
	.put = put_state,
};

uint32_t primecell_mis(struct primecell *pl, uint64_t offset)
{
	return pl->state.ris & pl->state.imsc;
}

void primecell_icr(struct primecell *pl, uint64_t offset, uint32_t value)
{
	pl->state.ris &= ~value;
}

void primecell_reset(struct primecell *pl)
{
	pl->state.ris = 0;
	pl->state.imsc = 0;
	pl->irq_level = false;
	irq_line_set(pl->irq, false);
}

void primecell_init(
	struct primecell *pl, const struct primecell_type *type, const struct device_env *env)
{
	pl->device.region = (struct mmio_region){
		.name = env->id,
		.size = PRIMECELL_SIZE,
		.access = primecell_access,
		.lock = &pl->device.lock,
	};
	pl->type = type;
	pl->irq = env->irq;
}
