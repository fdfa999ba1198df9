/* SPDX-License-Identifier: Apache-2.0 */
/* The log; see log.h. One lock keeps lines whole. */
#include "hyp/base/log.h"

#include <pthread.h>
#include <stdio.h>

#include "hyp/base/loop.h"

#define LINE_MAX_BYTES	512
#define LIMIT_WINDOW_MS 10000

static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static log_sink *current_sink;

void log_set_sink(log_sink *sink)
{
	pthread_mutex_lock(&sink_lock);
	current_sink = sink;
	pthread_mutex_unlock(&sink_lock);
}

static void print_list(enum log_level level, const char *format, va_list args)
{
	char line[LINE_MAX_BYTES];

	vsnprintf(line, sizeof(line), format, args);
	pthread_mutex_lock(&sink_lock);
	if (current_sink)
		current_sink(level, line);
	pthread_mutex_unlock(&sink_lock);
}

void log_print(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_list(level, format, args);
	va_end(args);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	uint64_t now = loop_now_ms(), start = atomic_load(&limit->window_start_ms);
	va_list args;

	if (!start || now - start >= LIMIT_WINDOW_MS) {
		if (atomic_compare_exchange_strong(&limit->window_start_ms, &start, now)) {
			unsigned dropped = atomic_exchange(&limit->dropped, 0);

			atomic_store(&limit->used, 0);
			if (dropped)
				log_print(level, "%u more such lines were dropped", dropped);
		}
	}
	if (atomic_fetch_add(&limit->used, 1) >= limit->burst) {
		atomic_fetch_add(&limit->dropped, 1);
		return;
	}
	va_start(args, format);
	print_list(level, format, args);
	va_end(args);
}
