/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the targets share: their input, read as a program of small steps, and a guest's memory with every
 * kind of edge, which the address sanitizer watches. Each piece is allocated alone, so that nothing is read
 * or written beyond it unseen, and unplugged blocks are poisoned.
 */
#ifndef SLUICE_TESTS_FUZZ_H
#define SLUICE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/memory/guestmem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- The input ---- */

struct input {
	const uint8_t *at, *end;
};

/* The next `bytes`, at most 8, as a number, little-endian; zeros beyond the end. */
uint64_t input_take(struct input *input, unsigned bytes);

/* ---- Memory ---- */

/* RAM of two pieces that touch, and a window; rings and tables are put into the first. */
#define RAM_GPA	     UINT64_C(0x40000000)
#define RAM_BYTES    0x4000
#define MORE_BYTES   0x2000
#define WINDOW_GPA   UINT64_C(0x100000000)
#define BLOCK_BYTES  0x200
#define BLOCKS	     16
#define WINDOW_BYTES (BLOCK_BYTES * BLOCKS)

extern struct guestmem fuzz_mem;
extern uint8_t *fuzz_ram;
extern struct window fuzz_window;

/* As new: zeros, the window's first half plugged. Needs fake-window.c. */
void fuzz_mem_start(void);

/* An address: one of the places where something begins or ends, or is not; and some bytes from there. */
uint64_t input_gpa(struct input *input);
/* A length: small, or one that overflows what it is added to. */
uint32_t input_len(struct input *input);

/* ---- The driver's side of a queue ---- */

#define QUEUES	 4
#define RING_MAX 16
/* Where the parts of queue q lie in RAM from q * QUEUE_AT on; the rest is free, tables first. */
#define QUEUE_AT 0x400
#define AVAIL_AT 0x100
#define USED_AT	 0x200
#define FREE_AT	 (QUEUES * QUEUE_AT)

/* The steps that change memory as a driver does: true if `step` was one of them, and was carried out. */
enum { STEP_POKE, STEP_DESC, STEP_CHAIN, STEP_OFFER, STEPS_OF_MEMORY };
bool fuzz_memory_step(unsigned step, struct input *input);

#endif
