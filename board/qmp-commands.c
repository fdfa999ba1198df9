/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine can be asked over its control socket. Names, arguments and answers are QEMU's
 * where QEMU has the command; what is Sluice's own begins with x-sluice-. The table stands last.
 */
#include "board/qmp-commands.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "board/machine.h"
#include "devices/device.h"
#include "devices/virtio-balloon.h"
#include "devices/virtio-mem.h"
#include "devices/virtio-net.h"
#include "hyp/slots.h"
#include "hyp/stray.h"
#include "hyp/util.h"
#include "hyp/window.h"

/* Cells of the little map of a slot: at most this many, of whole blocks. */
#define SLOT_CELLS 32

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static struct machine *ready_machine(struct qmp *qmp)
{
	struct machine *machine = control_machine(qmp);

	if (!machine)
		qmp_fail(qmp, QMP_GENERIC_ERROR, "The machine is not ready yet");
	return machine;
}

static json_t *run_capabilities(struct qmp *qmp, json_t *arguments)
{
	json_t *enable = json_object_get(arguments, "enable");

	if (json_array_size(enable)) {
		const char *name = json_string_value(json_array_get(enable, 0));

		return qmp_fail(qmp, QMP_GENERIC_ERROR, "Capability %s is not available",
			name ? name : "(not a string)");
	}
	qmp->negotiated = true;
	return json_object();
}

static json_t *run_query_commands(struct qmp *qmp, json_t *arguments)
{
	json_t *list = json_array();

	for (const struct qmp_command *c = qmp->commands; c->name; c++)
		json_array_append_new(list, json_pack("{s:s}", "name", c->name));
	return list;
}

static json_t *run_query_version(struct qmp *qmp, json_t *arguments)
{
	return qmp_version();
}

static json_t *run_query_status(struct qmp *qmp, json_t *arguments)
{
	static const char *const names[] = {
		[MACHINE_RUNNING] = "running",
		[MACHINE_RESETTING] = "running",
		[MACHINE_PAUSED] = "paused",
		[MACHINE_OFF] = "shutdown",
		[MACHINE_STOPPED] = "internal-error",
		[MACHINE_FAILED] = "internal-error",
	};
	struct machine *machine = control_machine(qmp);
	const char *status = machine ? names[machine_state(machine)] : "prelaunch";

	return json_pack("{s:b,s:s}", "running", !strcmp(status, "running"), "status", status);
}

static json_t *run_query_memory_devices(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = ready_machine(qmp);
	json_t *list;

	if (!machine)
		return NULL;
	list = json_array();
	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);
		struct virtio_mem_info info;

		if (device->class != &virtio_mem_class)
			continue;
		virtio_mem_info(device, &info);
		json_array_append_new(list,
			json_pack("{s:s,s:{s:s,s:o,s:o,s:o,s:o,s:o,s:i,s:s+}}", "type",
				"virtio-mem", "data", "id", device->id, "memaddr",
				integer(info.gpa), "requested-size", integer(info.requested_bytes),
				"size", integer(info.plugged_bytes), "max-size",
				integer(info.region_bytes), "block-size", integer(info.block_bytes),
				"node", info.node, "memdev", "/objects/", device->id));
	}
	return list;
}

/* Properties of a virtio-mem device that qom-get knows. */
static const struct mem_property {
	const char *name;
	size_t offset; /* into struct virtio_mem_info */
} mem_properties[] = {
	{ "requested-size", offsetof(struct virtio_mem_info, requested_bytes) },
	{ "size", offsetof(struct virtio_mem_info, plugged_bytes) },
	{ "block-size", offsetof(struct virtio_mem_info, block_bytes) },
	{ "region-size", offsetof(struct virtio_mem_info, region_bytes) },
	{ "usable-region-size", offsetof(struct virtio_mem_info, usable_bytes) },
	{ "memaddr", offsetof(struct virtio_mem_info, gpa) },
};

/* The device and property that "path" and "property" name, or NULL with the failure set. */
static struct device *find_property(
	struct qmp *qmp, json_t *arguments, const struct mem_property **ret)
{
	const char *path = json_string_value(json_object_get(arguments, "path"));
	const char *name = json_string_value(json_object_get(arguments, "property"));
	const char *id = path;
	struct machine *machine = ready_machine(qmp);
	struct device *device = NULL;

	if (!machine)
		return NULL;
	if (!strncmp(path, PERIPHERAL_PATH, strlen(PERIPHERAL_PATH)))
		id += strlen(
			PERIPHERAL_PATH); /* else a partial path, as QEMU allows: the id alone */
	for (size_t i = 0; i < machine_device_count(machine) && !device; i++)
		if (!strcmp(machine_device(machine, i)->id, id))
			device = machine_device(machine, i);
	if (!device) {
		qmp_fail(qmp, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", path);
		return NULL;
	}
	for (size_t i = 0; device->class == &virtio_mem_class && i < ARRAY_SIZE(mem_properties);
		i++)
		if (!strcmp(mem_properties[i].name, name)) {
			*ret = &mem_properties[i];
			return device;
		}
	qmp_fail(qmp, QMP_GENERIC_ERROR, "Property '%s.%s' not found", device->class->compatible,
		name);
	return NULL;
}

static json_t *run_qom_get(struct qmp *qmp, json_t *arguments)
{
	const struct mem_property *property;
	struct device *device = find_property(qmp, arguments, &property);
	struct virtio_mem_info info;
	uint64_t value;

	if (!device)
		return NULL;
	virtio_mem_info(device, &info);
	memcpy(&value, (const char *)&info + property->offset, sizeof(value));
	return integer(value);
}

static json_t *run_qom_set(struct qmp *qmp, json_t *arguments)
{
	json_t *value = json_object_get(arguments, "value");
	const struct mem_property *property;
	struct device *device = find_property(qmp, arguments, &property);
	struct virtio_mem_info info;
	json_int_t bytes = json_integer_value(value);
	int err;

	if (!device)
		return NULL;
	if (property != &mem_properties[0])
		return qmp_fail(qmp, QMP_GENERIC_ERROR, "Property '%s.%s' is not writable",
			device->class->compatible, property->name);
	if (!json_is_integer(value))
		return qmp_fail(qmp, QMP_GENERIC_ERROR,
			"Invalid parameter type for 'requested-size', expected: integer");
	if (bytes < 0)
		return qmp_fail(qmp, QMP_GENERIC_ERROR,
			"Parameter 'requested-size' expects a size of 0 or more");
	err = virtio_mem_request(device, (uint64_t)bytes);
	virtio_mem_info(device, &info);
	if (err == -EINVAL)
		return qmp_fail(qmp, QMP_GENERIC_ERROR,
			"'requested-size' has to be multiples of 'block-size' (0x%" PRIx64 ")",
			info.block_bytes);
	if (err == -ERANGE)
		return qmp_fail(qmp, QMP_GENERIC_ERROR,
			"'requested-size' cannot exceed the memory backend size (0x%" PRIx64 ")",
			info.region_bytes);
	if (err)
		return qmp_fail(qmp, QMP_GENERIC_ERROR, "'requested-size': %s", strerror(-err));
	return json_object();
}

uint64_t control_balloon_left(const struct machine *machine, uint64_t bytes)
{
	uint64_t memory = machine_memory_bytes(machine);

	return bytes < memory ? memory - bytes : 0;
}

/* The machine's first, or NULL with the failure set. */
static struct device *find_balloon(struct qmp *qmp, struct machine *machine)
{
	for (size_t i = 0; machine && i < machine_device_count(machine); i++)
		if (machine_device(machine, i)->class == &virtio_balloon_class)
			return machine_device(machine, i);
	if (machine)
		qmp_fail(qmp, QMP_DEVICE_NOT_ACTIVE, "No balloon device has been activated");
	return NULL;
}

static json_t *run_query_balloon(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = ready_machine(qmp);
	struct device *device = find_balloon(qmp, machine);

	if (!device)
		return NULL;
	return json_pack("{s:o,s:o,s:o}", "actual",
		integer(control_balloon_left(machine, virtio_balloon_actual(device))),
		"x-sluice-requested",
		integer(control_balloon_left(machine, virtio_balloon_requested(device))),
		"x-sluice-memory", integer(machine_memory_bytes(machine)));
}

/* The value is what is to be left to the guest. */
static json_t *run_balloon(struct qmp *qmp, json_t *arguments)
{
	json_int_t value = json_integer_value(json_object_get(arguments, "value"));
	struct machine *machine = ready_machine(qmp);
	struct device *device = find_balloon(qmp, machine);

	if (!device)
		return NULL;
	if (value <= 0)
		return qmp_fail(qmp, QMP_GENERIC_ERROR, "Parameter 'target' expects a size");
	virtio_balloon_request(device, control_balloon_left(machine, (uint64_t)value));
	return json_object();
}

static json_t *run_set_link(struct qmp *qmp, json_t *arguments)
{
	const char *name = json_string_value(json_object_get(arguments, "name"));
	struct machine *machine = ready_machine(qmp);

	for (size_t i = 0; machine && i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);

		if (device->class != &virtio_net_class || strcmp(device->id, name))
			continue;
		virtio_net_set_link(device, json_is_true(json_object_get(arguments, "up")));
		return json_object();
	}
	return machine ? qmp_fail(qmp, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", name) : NULL;
}

static json_t *run_system_powerdown(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = ready_machine(qmp);

	if (!machine)
		return NULL;
	machine_power_button(machine);
	return json_object();
}

static json_t *run_system_reset(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = ready_machine(qmp);

	if (!machine)
		return NULL;
	machine_reset(machine, "host-qmp-system-reset");
	return json_object();
}

static json_t *run_quit(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = ready_machine(qmp);

	if (!machine)
		return NULL;
	machine_quit(machine, "host-qmp-quit");
	return json_object();
}

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

static json_t *open_slots(const struct window *window)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < window_slot_count(window); i++) {
		char cells[SLOT_CELLS + 1];
		struct window_slot slot;

		window_slot(window, i, &slot);
		if (!slot.open)
			continue;
		slot_cells(window, &slot, cells);
		json_array_append_new(
			list, json_pack("{s:i,s:o,s:o,s:o,s:o,s:s}", "index", (int)slot.index,
				      "gpa", integer(window_config(window)->gpa + slot.offset),
				      "offset", integer(slot.offset), "size", integer(slot.size),
				      "plugged", integer(slot.plugged_bytes), "cells", cells));
	}
	return list;
}

static json_t *run_query_map(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = ready_machine(qmp);
	json_t *list;

	if (!machine)
		return NULL;
	list = json_array();
	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);
		const struct window_config *config;
		struct virtio_mem_info info;
		struct window *window;
		uint64_t exposed, resident;
		int err;

		if (device->class != &virtio_mem_class)
			continue;
		virtio_mem_info(device, &info);
		window = virtio_mem_window(device);
		config = window_config(window);
		err = window_exposed_bytes(window, &exposed);
		if (!err)
			err = window_resident_bytes(window, &resident);
		if (err) {
			json_decref(list);
			return qmp_fail(qmp, QMP_GENERIC_ERROR,
				"The mappings of '%s' cannot be read: %s", device->id,
				strerror(-err));
		}
		json_array_append_new(list,
			json_pack("{s:s,s:o,s:o,s:o,s:o,s:i,s:o,s:o,s:o,s:o,s:o,s:o}", "id",
				device->id, "gpa", integer(info.gpa), "size",
				integer(info.region_bytes), "block-size", integer(info.block_bytes),
				"slot-size", integer(config->slot_bytes), "slots",
				(int)window_slot_count(window), "usable",
				integer(info.usable_bytes), "requested",
				integer(info.requested_bytes), "plugged",
				integer(info.plugged_bytes), "exposed", integer(exposed),
				"resident", integer(resident), "open-slots", open_slots(window)));
	}
	return list;
}

/* How many of a holder's slots are open: those of RAM always are, a window's by its device. */
static unsigned open_of(const struct machine *machine, const struct slot_holder *holder)
{
	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);

		if (device->class == &virtio_mem_class && !strcmp(device->id, holder->name))
			return window_open_slots(virtio_mem_window(device));
	}
	return holder->count;
}

static json_t *run_query_slots(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = ready_machine(qmp);
	json_t *limits, *holders;
	const struct slots *slots;

	if (!machine)
		return NULL;
	slots = machine_slots(machine);
	limits = json_array();
	for (unsigned i = 0; i < slots->listener_count; i++)
		json_array_append_new(
			limits, json_pack("{s:s,s:i}", "name", slots->listeners[i]->name, "slots",
					(int)slots->listeners[i]->limit));
	holders = json_array();
	for (unsigned i = 0; i < slots->holder_count; i++)
		json_array_append_new(
			holders, json_pack("{s:s,s:i,s:i}", "name", slots->holders[i].name,
					 "reserved", (int)slots->holders[i].count, "open",
					 (int)open_of(machine, &slots->holders[i])));
	return json_pack("{s:o,s:o,s:i,s:i,s:i}", "limits", limits, "holders", holders, "reserved",
		(int)slots->reserved, "open", (int)slots->open, "free", (int)slots_free(slots));
}

static json_t *run_query_strays(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = ready_machine(qmp);
	const struct strays *strays;
	json_t *counts;

	if (!machine)
		return NULL;
	strays = machine_strays(machine);
	counts = json_array();
	for (unsigned kind = 0; kind < STRAY_KINDS; kind++)
		for (unsigned where = 0; where < STRAY_WHERES; where++)
			json_array_append_new(
				counts, json_pack("{s:s,s:s,s:o}", "access", stray_kind_names[kind],
						"place", stray_where_names[where], "count",
						integer(strays->count[kind][where])));
	return json_pack("{s:s,s:o,s:o}", "policy", stray_policy_names[strays->policy], "total",
		integer(strays_total(strays)), "counts", counts);
}

static const struct qmp_argument capabilities_arguments[] = { { "enable", "array", true }, { 0 } };
static const struct qmp_argument get_arguments[] = {
	{ "path", "string" },
	{ "property", "string" },
	{ 0 },
};
static const struct qmp_argument set_arguments[] = {
	{ "path", "string" },
	{ "property", "string" },
	{ "value", "any" },
	{ 0 },
};

static const struct qmp_argument balloon_arguments[] = { { "value", "integer" }, { 0 } };
static const struct qmp_argument link_arguments[] = {
	{ "name", "string" },
	{ "up", "boolean" },
	{ 0 },
};

const struct qmp_command control_commands[] = {
	{ "balloon", run_balloon, balloon_arguments },
	{ "qmp_capabilities", run_capabilities, capabilities_arguments },
	{ "qom-get", run_qom_get, get_arguments },
	{ "qom-set", run_qom_set, set_arguments },
	{ "query-balloon", run_query_balloon },
	{ "query-commands", run_query_commands },
	{ "query-memory-devices", run_query_memory_devices },
	{ "query-status", run_query_status },
	{ "query-version", run_query_version },
	{ "quit", run_quit },
	{ "set_link", run_set_link, link_arguments },
	{ "system_powerdown", run_system_powerdown },
	{ "system_reset", run_system_reset },
	{ "x-sluice-query-map", run_query_map },
	{ "x-sluice-query-slots", run_query_slots },
	{ "x-sluice-query-strays", run_query_strays },
	{ 0 },
};
