/* SPDX-License-Identifier: Apache-2.0 */
/* A window that is only a list of blocks; see fake-window.h. */
#include "tests/unit/helpers/fake-window.h"

#include <errno.h>
#include <string.h>

#include "hyp/base/util.h"

const struct window_config *window_config(const struct window *window)
{
	return &window->config;
}

uint64_t window_plugged_bytes(const struct window *window)
{
	uint64_t blocks = 0;

	for (uint64_t i = 0; i < window->config.size / window->config.block_bytes; i++)
		blocks += window->plugged[i];
	return blocks * window->config.block_bytes;
}

enum window_state window_state(const struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t block = window->config.block_bytes;
	uint64_t first = offset / block, last = (offset + size - 1) / block;

	CHECK(size && offset < window->config.size && size <= window->config.size - offset);
	for (uint64_t i = first; i <= last; i++)
		if (window->plugged[i] != window->plugged[first])
			return WINDOW_MIXED;
	return window->plugged[first] ? WINDOW_PLUGGED : WINDOW_UNPLUGGED;
}

static int change(struct window *window, uint64_t offset, uint64_t size, bool plug)
{
	uint64_t block = window->config.block_bytes;

	CHECK(is_aligned(offset, block) && is_aligned(size, block));
	CHECK(window_state(window, offset, size) == (plug ? WINDOW_UNPLUGGED : WINDOW_PLUGGED));
	window->refused = window->busy ? "the test says so" : NULL;
	if (window->busy)
		return -EBUSY;
	memset(window->plugged + offset / block, plug, size / block);
	window->changes++;
	if (window->changed)
		window->changed(window, offset, size, plug);
	return 0;
}

const char *window_refused(const struct window *window)
{
	return window->refused;
}

void window_forget_refused(struct window *window)
{
	window->refused = NULL;
}

int window_plug(struct window *window, uint64_t offset, uint64_t size)
{
	if (!window->busy && window->turns && window->turns--)
		return -EAGAIN;
	return change(window, offset, size, true);
}

static int slow_or(struct window *window, int err)
{
	window->going = !err && window->slow && window->ended;
	return window->going ? -EINPROGRESS : err;
}

int window_unplug(struct window *window, uint64_t offset, uint64_t size)
{
	CHECK(!window->going);
	return slow_or(window, change(window, offset, size, false));
}

void window_unplug_in_turns(struct window *window, void (*ended)(void *opaque), void *opaque)
{
	window->ended = ended;
	window->ended_opaque = opaque;
}

void fake_window_end(struct window *window)
{
	CHECK(window->going);
	window->going = false;
	window->ended(window->ended_opaque);
}

void window_finish_unplug(struct window *window)
{
	if (window->going)
		fake_window_end(window);
}

int window_discard(struct window *window, uint64_t offset, uint64_t size)
{
	CHECK(window_state(window, offset, size) == WINDOW_PLUGGED);
	window->discarded += size;
	window->largest = size > window->largest ? size : window->largest;
	return 0;
}

int window_unplug_all(struct window *window)
{
	if (window->busy)
		return -EBUSY;
	memset(window->plugged, 0, sizeof(window->plugged));
	window->changes++;
	if (window->changed)
		window->changed(window, 0, window->config.size, false);
	return slow_or(window, 0);
}
