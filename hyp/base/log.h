/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line a message, to a sink that the program sets. Rooms below board/ use it only
 * for what cannot be returned as an error: things a guest caused, and things that happen later.
 * What a guest can cause again and again goes through log_limited().
 */
#ifndef SLUICE_HYP_BASE_LOG_H
#define SLUICE_HYP_BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO };

/* Gets each finished line, without a newline. Called from any thread, one at a time. */
typedef void log_sink(enum log_level level, const char *line);

/* Sets the sink; NULL (as at the start) drops every line. */
void log_set_sink(log_sink *sink);

void log_print(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * A budget of lines: at most `burst` in any ten seconds. Dropped lines are counted, and the next line that passes
 * reports the count. Zero-initialize all but `burst`.
 */
struct log_limit {
	unsigned burst;
	_Atomic uint64_t window_start_ms;
	_Atomic unsigned used;
	_Atomic unsigned dropped;
};

#define LOG_LIMIT(n)                                                                               \
	{                                                                                          \
		.burst = (n)                                                                       \
	}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
