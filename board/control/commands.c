/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of a machine's control socket. Names, arguments and answers are QEMU's if QEMU has the command. Sluice's
 * own begin with x-sluice-. The table is last.
 */
#include "board/control/commands.h"

#include <string.h>

#include "board/control/query-map.h"
#include "board/control/query-memory.h"
#include "board/control/values.h"
#include "board/machine/machine.h"
#include "devices/device.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"
#include "hyp/vcpu/stray.h"

static json_t *run_capabilities(struct qmp *qmp, json_t *arguments)
{
	json_t *enable = json_object_get(arguments, "enable");

	if (json_array_size(enable)) {
		const char *name = json_string_value(json_array_get(enable, 0));

		return qmp_refuse(
			qmp, "Capability %s is not available", name ? name : "(not a string)");
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
	struct machine *machine = qmp->scope->machine;
	const char *status = machine ? names[machine_state(machine)] : "prelaunch";

	return json_pack("{s:b,s:s}", "running", !strcmp(status, "running"), "status", status);
}

static json_t *run_query_memory_devices(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = qmp->scope->machine;
	json_t *list = json_array();

	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);
		struct device_memory info;

		if (!device->class->memory)
			continue;
		device->class->memory(device, &info);
		json_array_append_new(
			list, json_pack("{s:s,s:{s:s,s:o,s:o,s:o,s:o,s:o,s:i,s:s+,s:s*}}", "type",
				      "virtio-mem", "data", "id", device->id, "memaddr",
				      qmp_integer(info.gpa), "requested-size",
				      qmp_integer(info.requested_bytes), "size",
				      qmp_integer(info.plugged_bytes), "max-size",
				      qmp_integer(info.region_bytes), "block-size",
				      qmp_integer(info.block_bytes), "node", info.node, "memdev",
				      "/objects/", device->id, "x-sluice-refused", info.refused));
	}
	return list;
}

/* The machine's first balloon, or NULL with the failure set. */
static struct device *find_balloon(struct qmp *qmp, struct machine *machine)
{
	for (size_t i = 0; i < machine_device_count(machine); i++)
		if (machine_device(machine, i)->class->event.kind == EVENT_LEFT)
			return machine_device(machine, i);
	qmp_fail(qmp, QMP_DEVICE_NOT_ACTIVE,
		"No balloon device has been activated: the tree of this machine has no sluice,virtio-balloon node");
	return NULL;
}

static json_t *run_query_balloon(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = qmp->scope->machine;
	struct device *device = find_balloon(qmp, machine);

	if (!device)
		return NULL;
	return json_pack("{s:s,s:o,s:o,s:o,s:o}", "x-sluice-id", device->id, "actual",
		qmp_integer(qmp_balloon_left(machine, value_number(device, "x-sluice-actual"))),
		"x-sluice-given-back", qmp_integer(value_number(device, "x-sluice-given-back")),
		"x-sluice-requested",
		qmp_integer(qmp_balloon_left(machine, value_number(device, "x-sluice-requested"))),
		"x-sluice-memory", qmp_integer(machine_memory_bytes(machine)));
}

/* `value` is the memory that the balloon is to leave to the guest. */
static json_t *run_balloon(struct qmp *qmp, json_t *arguments)
{
	json_int_t value = json_integer_value(json_object_get(arguments, "value"));
	struct machine *machine = qmp->scope->machine;
	struct device *device = find_balloon(qmp, machine);

	if (!device)
		return NULL;
	if (value <= 0)
		return qmp_refuse(qmp, "Parameter 'target' expects a size");
	return value_set(
		qmp, device, "x-sluice-requested", qmp_balloon_left(machine, (uint64_t)value));
}

static json_t *run_set_link(struct qmp *qmp, json_t *arguments)
{
	struct device *device = value_device(
		qmp, json_string_value(json_object_get(arguments, "name")), "x-sluice-link");

	return device ? value_set(qmp, device, "x-sluice-link",
				json_is_true(json_object_get(arguments, "up")))
		      : NULL;
}

/* Unlike QEMU's, the size is optional: without it the disk gets the size of its file or device. */
static json_t *run_block_resize(struct qmp *qmp, json_t *arguments)
{
	const json_t *size = json_object_get(arguments, "size");
	struct device *device;
	char why[2048];
	uint64_t before;

	if (size && json_integer_value(size) <= 0)
		return qmp_refuse(qmp, "Parameter 'size' expects a size");
	device = value_device(
		qmp, json_string_value(json_object_get(arguments, "device")), "x-sluice-size");
	if (!device)
		return NULL;
	before = value_number(device, "x-sluice-size");
	if (device_value(device, "x-sluice-size")
			->set(device, size ? (uint64_t)json_integer_value(size) : 0, why,
				sizeof(why)))
		return qmp_refuse(qmp, "%s", why);
	return json_pack("{s:o,s:o}", "x-sluice-before", qmp_integer(before), "x-sluice-size",
		qmp_integer(value_number(device, "x-sluice-size")));
}

/* Sets the size of the terminal that is attached to a port. */
static json_t *run_console_size(struct qmp *qmp, json_t *arguments)
{
	const char *port = json_string_value(json_object_get(arguments, "port"));
	json_int_t columns = json_integer_value(json_object_get(arguments, "columns"));
	json_int_t rows = json_integer_value(json_object_get(arguments, "rows"));
	struct machine *machine = qmp->scope->machine;

	if (columns < 0 || columns > UINT16_MAX || rows < 0 || rows > UINT16_MAX)
		return qmp_refuse(
			qmp, "Parameters 'columns' and 'rows' expect numbers below 65536");
	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);

		if (device->class->ports && device->class->ports->set_size(device, port,
						    (uint16_t)columns, (uint16_t)rows))
			return json_object();
	}
	return qmp_fail(qmp, QMP_DEVICE_NOT_FOUND, "Port '%s' not found", port);
}

static json_t *run_system_powerdown(struct qmp *qmp, json_t *arguments)
{
	machine_power_button(qmp->scope->machine);
	return json_object();
}

static json_t *run_system_reset(struct qmp *qmp, json_t *arguments)
{
	machine_reset(qmp->scope->machine, "host-qmp-system-reset");
	return json_object();
}

static json_t *run_stop(struct qmp *qmp, json_t *arguments)
{
	machine_pause(qmp->scope->machine);
	return json_object();
}

static json_t *run_cont(struct qmp *qmp, json_t *arguments)
{
	machine_resume(qmp->scope->machine);
	return json_object();
}

static json_t *run_quit(struct qmp *qmp, json_t *arguments)
{
	machine_quit(qmp->scope->machine, "host-qmp-quit");
	return json_object();
}

static json_t *run_query_loop(struct qmp *qmp, json_t *arguments)
{
	struct loop_report report;

	loop_report(qmp->scope->loop, json_is_true(json_object_get(arguments, "restart")), &report);
	return json_pack("{s:o,s:s,s:o,s:o}", "longest-us", qmp_integer(report.longest_us),
		"longest", report.longest, "turns", qmp_integer(report.turns), "long-turns",
		qmp_integer(report.long_turns));
}

/* How many of a holder's slots are open: all of RAM's; of a window's, as its device says. */
static unsigned open_of(const struct machine *machine, const struct slot_holder *holder)
{
	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);
		struct device_memory memory;

		if (!device->class->memory || strcmp(device->id, holder->name))
			continue;
		device->class->memory(device, &memory);
		return window_open_slots(memory.window);
	}
	return holder->count;
}

static json_t *run_query_slots(struct qmp *qmp, json_t *arguments)
{
	struct machine *machine = qmp->scope->machine;
	const struct slots *slots = machine_slots(machine);
	json_t *limits = json_array(), *holders = json_array();

	for (unsigned i = 0; i < slots->listener_count; i++)
		json_array_append_new(
			limits, json_pack("{s:s,s:i}", "name", slots->listeners[i]->name, "slots",
					(int)slots->listeners[i]->limit));
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
	const struct strays *strays = machine_strays(qmp->scope->machine);
	json_t *counts = json_array();

	for (unsigned kind = 0; kind < STRAY_KINDS; kind++)
		for (unsigned where = 0; where < STRAY_WHERES; where++)
			json_array_append_new(
				counts, json_pack("{s:s,s:s,s:o}", "access", stray_kind_names[kind],
						"place", stray_where_names[where], "count",
						qmp_integer(strays->count[kind][where])));
	return json_pack("{s:s,s:o,s:o}", "policy", stray_policy_names[strays->policy], "total",
		qmp_integer(strays_total(strays)), "counts", counts);
}

static json_t *run_query_memory(struct qmp *qmp, json_t *arguments)
{
	json_int_t bytes = json_integer_value(json_object_get(arguments, "requested-size"));
	const char *path = json_string_value(json_object_get(arguments, "path"));
	struct device *grown = path ? value_device(qmp, path, NULL) : NULL;

	if (path && !grown)
		return NULL;
	return qmp_query_memory(qmp->scope->machine, grown, bytes > 0 ? (uint64_t)bytes : 0);
}

static const struct qmp_argument capabilities_arguments[] = { { "enable", "array", true }, { 0 } };
static const struct qmp_argument get_arguments[] = {
	{ "path", "string" },
	{ "property", "string" },
	{ 0 },
};
static const struct qmp_argument list_arguments[] = { { "path", "string" }, { 0 } };
static const struct qmp_argument set_arguments[] = {
	{ "path", "string" },
	{ "property", "string" },
	{ "value", "any" },
	{ "x-sluice-force", "boolean", true },
	{ 0 },
};

static const struct qmp_argument memory_arguments[] = {
	{ "path", "string", true },
	{ "requested-size", "integer", true },
	{ 0 },
};
static const struct qmp_argument balloon_arguments[] = { { "value", "integer" }, { 0 } };
static const struct qmp_argument size_arguments[] = {
	{ "port", "string" },
	{ "columns", "integer" },
	{ "rows", "integer" },
	{ 0 },
};
static const struct qmp_argument resize_arguments[] = {
	{ "device", "string" },
	{ "size", "integer", true },
	{ 0 },
};
static const struct qmp_argument link_arguments[] = {
	{ "name", "string" },
	{ "up", "boolean" },
	{ 0 },
};
static const struct qmp_argument loop_arguments[] = { { "restart", "boolean", true }, { 0 } };

const struct qmp_command control_commands[] = {
	{ "balloon", run_balloon, balloon_arguments, .machine = true },
	{ "block_resize", run_block_resize, resize_arguments, .machine = true },
	{ "cont", run_cont, .machine = true },
	{ "qmp_capabilities", run_capabilities, capabilities_arguments },
	{ "qom-get", values_run_get, get_arguments, .machine = true },
	{ "qom-list", values_run_list, list_arguments, .machine = true },
	{ "qom-set", values_run_set, set_arguments, .machine = true },
	{ "query-balloon", run_query_balloon, .machine = true },
	{ "query-commands", run_query_commands },
	{ "query-memory-devices", run_query_memory_devices, .machine = true },
	{ "query-status", run_query_status },
	{ "query-version", run_query_version },
	{ "quit", run_quit, .machine = true },
	{ "set_link", run_set_link, link_arguments, .machine = true },
	{ "stop", run_stop, .machine = true },
	{ "system_powerdown", run_system_powerdown, .machine = true },
	{ "system_reset", run_system_reset, .machine = true },
	{ "x-sluice-console-size", run_console_size, size_arguments, .machine = true },
	{ "x-sluice-query-loop", run_query_loop, loop_arguments },
	{ "x-sluice-query-map", map_query_run, .machine = true },
	{ "x-sluice-query-memory", run_query_memory, memory_arguments, .machine = true },
	{ "x-sluice-query-slots", run_query_slots, .machine = true },
	{ "x-sluice-query-strays", run_query_strays, .machine = true },
	{ 0 },
};
