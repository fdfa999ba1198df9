/* SPDX-License-Identifier: Apache-2.0 */
/* What every room needs: container_of, checks of our own invariants, sizes, alignment. */
#ifndef SLUICE_HYP_BASE_UTIL_H
#define SLUICE_HYP_BASE_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ARRAY_SIZE(a)			(sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)
#define TiB (UINT64_C(1) << 40)

/* For our own invariants only, never for what a guest, a file or a client sent. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "sluice: bug: %s:%d: %s\n", __FILE__, __LINE__,            \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* A system call, repeated while a signal interrupts it before it has done anything (-1, EINTR). */
#define RETRY_EINTR(call)                                                                          \
	({                                                                                         \
		__typeof__(call) result_;                                                          \
		do                                                                                 \
			result_ = (call);                                                          \
		while (result_ == -1 && errno == EINTR);                                           \
		result_;                                                                           \
	})

static inline bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* `align` is a power of two. align_up() wraps to 0 beyond the last multiple. */
static inline uint64_t align_down(uint64_t value, uint64_t align)
{
	return value & ~(align - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t align)
{
	return align_down(value + align - 1, align);
}

static inline bool is_aligned(uint64_t value, uint64_t align)
{
	return !(value & (align - 1));
}

/* True when [a, a+a_size) and [b, b+b_size) share a byte; neither may wrap. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

#endif
