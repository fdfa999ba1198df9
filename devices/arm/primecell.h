/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Arm's PrimeCell peripherals have in common: 32-bit registers at word offsets in 4 KiB, identification registers
 * at its end, raw interrupts and a mask that make one level line. A model gives its registers as a table, and
 * implements none of that itself.
 */
#ifndef SLUICE_DEVICES_ARM_PRIMECELL_H
#define SLUICE_DEVICES_ARM_PRIMECELL_H

#include "devices/device.h"

#define PRIMECELL_SIZE	     4096
#define PRIMECELL_INTERRUPTS 0x7ff    /* the most that one has (PL011) */
#define PRIMECELL_CLOCK_HZ   24000000 /* of the clock that all of them have */

struct primecell;
struct state_part;

/*
 * A register: `read` and `write` if an access does something, else the uint32_t at `field`, an offset from the start
 * of struct primecell. `mask` has the writable bits; 0 without a `write` is a read-only register.
 */
struct primecell_register {
	uint16_t offset;
	uint16_t field; /* 0: none, reads as 0 unless there is a `read` */
	uint32_t mask;
	uint16_t last; /* offset of the last word of a register that takes several; else 0 */
	uint32_t (*read)(struct primecell *pl, uint64_t offset);
	/* `value` is masked already. */
	void (*write)(struct primecell *pl, uint64_t offset, uint32_t value);
};

struct primecell_type {
	const struct primecell_register *registers;
	size_t register_count;
	uint32_t periph_id; /* PeriphID0 to 3, first in the low byte */
	/* After each access and each change from outside: updates the bits of `ris` that follow a level. May be NULL. */
	void (*settle)(struct primecell *pl);
};

struct primecell_state {
	uint32_t ris;  /* raw interrupt status */
	uint32_t imsc; /* interrupt mask, set: passes (PL061 calls it GPIOIE) */
};

/* Embedded first in each model. All but `device.lock` is read and written under that lock. */
struct primecell {
	struct device device;
	const struct primecell_type *type;
	struct irq_line *irq;
	struct primecell_state state;
	bool irq_level; /* what the line was last set to */
};

/* For a model's `init`: gives it its region. */
void primecell_init(
	struct primecell *pl, const struct primecell_type *type, const struct device_env *env);

/* The part common to these devices: a model's class lists it after the model's own part. */
extern const struct state_part primecell_state;

/* Clears ris, imsc and the line. The caller holds the lock. */
void primecell_reset(struct primecell *pl);

/* Decides the interrupt line; nothing else sets it. The caller holds the lock. */
void primecell_update(struct primecell *pl);

/* Registers that every model has at some offset: MIS, and a register that clears raw interrupts. */
uint32_t primecell_mis(struct primecell *pl, uint64_t offset);
void primecell_icr(struct primecell *pl, uint64_t offset, uint32_t value);

#endif
