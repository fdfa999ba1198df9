/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a machine's windows; see query-map.h. */
#include "board/control/query-map.h"

#include <string.h>

#include "board/machine/machine.h"
#include "devices/device.h"
#include "hyp/base/util.h"

/* The most cells of a slot's map; each is of whole blocks. */
#define SLOT_CELLS 32
/* A guest opens as many slots as its windows have, up to KVM's 32,764. An answer, made in one turn, describes so many. */
#define SLOTS_SHOWN 1024

/* The slot as a line of cells: '#' plugged, '+' partly, '.' unplugged. */
static void slot_cells(
	const struct window *window, const struct window_slot *slot, char ret[SLOT_CELLS + 1])
{
	static const char marks[] = {
		[WINDOW_PLUGGED] = '#', [WINDOW_MIXED] = '+', [WINDOW_UNPLUGGED] = '.'
	};
	uint64_t block = window_config(window)->block_bytes, blocks = slot->size / block;
	unsigned cells = blocks < SLOT_CELLS ? (unsigned)blocks : SLOT_CELLS;

	for (unsigned i = 0; i < cells; i++) {
		uint64_t from = blocks * i / cells, to = blocks * (i + 1) / cells;

		ret[i] = marks[window_state(
			window, slot->offset + from * block, (to - from) * block)];
	}
	ret[cells] = '\0';
}

/* Describes the first open slots. */
static json_t *open_slots(const struct window *window, unsigned most)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < window_slot_count(window) && most; i++) {
		char cells[SLOT_CELLS + 1];
		struct window_slot slot;

		window_slot(window, i, &slot);
		if (!slot.open)
			continue;
		most--;
		slot_cells(window, &slot, cells);
		json_array_append_new(list,
			json_pack("{s:i,s:o,s:o,s:o,s:o,s:s}", "index", (int)slot.index, "gpa",
				qmp_integer(window_config(window)->gpa + slot.offset), "offset",
				qmp_integer(slot.offset), "size", qmp_integer(slot.size), "plugged",
				qmp_integer(slot.plugged_bytes), "cells", cells));
	}
	return list;
}

static json_t *window_map(
	struct device *device, const struct window_usage *usage, unsigned slots_most)
{
	const struct window_config *config = window_config(usage->window);
	struct device_memory info;

	device->class->memory(device, &info);
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:i,s:o,s:o,s:o,s:o,s:o,s:i,s:o}", "id", device->id,
		"gpa", qmp_integer(info.gpa), "size", qmp_integer(info.region_bytes), "block-size",
		qmp_integer(info.block_bytes), "slot-size", qmp_integer(config->slot_bytes),
		"slots", (int)window_slot_count(usage->window), "usable",
		qmp_integer(info.usable_bytes), "requested", qmp_integer(info.requested_bytes),
		"plugged", qmp_integer(info.plugged_bytes), "exposed",
		qmp_integer(usage->exposed_bytes), "resident", qmp_integer(usage->resident_bytes),
		"open", (int)window_open_slots(usage->window), "open-slots",
		open_slots(usage->window, slots_most));
}

/* The next device with a window from *index on; moves *index behind it. NULL: none is left. */
static struct device *next_window(const struct machine *machine, size_t *index)
{
	while (*index < machine_device_count(machine)) {
		struct device *device = machine_device(machine, (*index)++);

		if (device->class->memory)
			return device;
	}
	return NULL;
}

static json_t *whole_map(const struct map_query *query)
{
	json_t *list = json_array();
	struct device *device;
	size_t index = 0;

	for (size_t i = 0; (device = next_window(query->machine, &index)); i++)
		json_array_append_new(list,
			window_map(device, &query->usage[i], SLOTS_SHOWN / (unsigned)query->count));
	return list;
}

static void end(struct map_query *query)
{
	loop_timer_cancel(&query->timer);
	window_walk_end(query->walk);
	query->walk = NULL;
	json_decref(query->answer);
	query->answer = NULL;
}

/* One turn of the walk. True at its end. */
static bool go_on(struct map_query *query)
{
	if (window_walk_go_on(query->walk, loop_now_ms() + LOOP_TURN_MS))
		return true;
	loop_timer_arm(query->loop, &query->timer, 0);
	return false;
}

static void go_on_later(struct loop_timer *timer)
{
	struct map_query *query = container_of(timer, struct map_query, timer);

	if (!go_on(query))
		return;
	query->ended(query);
	end(query);
}

json_t *map_query_run(struct qmp *qmp, json_t *arguments)
{
	struct map_query *query = qmp->scope->map;
	struct machine *machine = qmp->scope->machine;
	struct device *device;
	size_t index = 0;
	json_t *list;
	int err;

	if (query->walk)
		return qmp_later(qmp);
	for (query->count = 0; (device = next_window(machine, &index)); query->count++) {
		struct device_memory memory;

		device->class->memory(device, &memory);
		query->usage[query->count].window = memory.window;
	}
	err = window_walk_begin(query->usage, query->count, &query->walk);
	if (err)
		return qmp_refuse(
			qmp, "The mappings of the process cannot be read: %s", strerror(-err));
	query->machine = machine;
	query->timer = (struct loop_timer){ .fired = go_on_later, .name = "x-sluice-query-map" };
	if (!go_on(query))
		return qmp_later(qmp);
	list = whole_map(query);
	end(query);
	return list;
}

void map_query_answer(struct map_query *query, struct qmp *qmp)
{
	if (query->machine && !query->answer)
		query->answer = whole_map(query);
	if (query->machine)
		qmp_answer(qmp, json_incref(query->answer));
	else
		qmp_answer(qmp, qmp_refuse(qmp, "The machine is gone"));
}

void map_query_cancel(struct map_query *query)
{
	query->machine = NULL;
	if (query->walk)
		query->ended(query);
	end(query);
}
