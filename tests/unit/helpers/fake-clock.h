/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's clocks as fake-loop.c has time pass; a program that uses them wraps clock_gettime()
 * (meson.build).
 */
#ifndef SLUICE_TESTS_UNIT_FAKE_CLOCK_H
#define SLUICE_TESTS_UNIT_FAKE_CLOCK_H

#include <stdint.h>

/* What the wall's clock is ahead of the other, and what both are ahead of the loop's milliseconds. */
extern uint64_t fake_clock_epoch_ms, fake_clock_ns;

/* The seconds of the wall's clock. */
uint64_t fake_clock_s(void);

#endif
