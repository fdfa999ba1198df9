/* SPDX-License-Identifier: Apache-2.0 */
/* Values of devices over QMP, by their classes' tables; see values.h. Names and errors are QEMU's if it has them. */
#include "board/control/values.h"

#include <string.h>

#include "board/control/query-memory.h"
#include "board/machine/machine.h"
#include "devices/device.h"
#include "hyp/base/util.h"

static bool is_bool(const struct device_value *value)
{
	return !strcmp(value->type, "bool");
}

/* The id in a path: /machine/peripheral/ID or, as QEMU allows, a partial path that is the id alone. */
static const char *id_of(const char *path)
{
	size_t len = strlen(PERIPHERAL_PATH);

	return strncmp(path, PERIPHERAL_PATH, len) ? path : path + len;
}

struct device *value_device(struct qmp *qmp, const char *path, const char *value)
{
	struct machine *machine = qmp->scope->machine;

	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);

		if (!strcmp(device->id, id_of(path)) && (!value || device_value(device, value)))
			return device;
	}
	qmp_fail(qmp, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", path);
	return NULL;
}

/* The device that "path" names, or NULL with the failure set. */
static struct device *find_device(struct qmp *qmp, json_t *arguments)
{
	return value_device(qmp, json_string_value(json_object_get(arguments, "path")), NULL);
}

/* The value that "property" names, or NULL with the failure set. */
static const struct device_value *find_value(
	struct qmp *qmp, const struct device *device, json_t *arguments)
{
	const char *name = json_string_value(json_object_get(arguments, "property"));
	const struct device_value *value = device ? device_value(device, name) : NULL;

	if (device && !value)
		qmp_refuse(qmp, "Property '%s.%s' not found", device->class->compatible, name);
	return value;
}

static json_t *value_json(struct device *device, const struct device_value *value)
{
	json_t *members;

	if (!value->members)
		return is_bool(value)
			       ? (value->get(device, value->index) ? json_true() : json_false())
			       : json_integer((json_int_t)value->get(device, value->index));
	members = json_object();
	for (const struct device_value *m = value->members; m->name; m++)
		json_object_set_new(members, m->name, value_json(device, m));
	return members;
}

uint64_t value_number(struct device *device, const char *name)
{
	const struct device_value *value = device_value(device, name);

	return value->get(device, value->index);
}

static json_t *set(
	struct qmp *qmp, struct device *device, const struct device_value *value, uint64_t number)
{
	char why[2048];

	if (value->set(device, number, why, sizeof(why)))
		return qmp_refuse(qmp, "'%s' %s", value->name, why);
	return json_object();
}

json_t *value_set(struct qmp *qmp, struct device *device, const char *name, uint64_t number)
{
	return set(qmp, device, device_value(device, name), number);
}

static void append(json_t *list, const char *name, const char *type)
{
	json_array_append_new(list, json_pack("{s:s,s:s}", "name", name, "type", type));
}

/* Lists a device's values, or for /machine/peripheral the devices. */
json_t *values_run_list(struct qmp *qmp, json_t *arguments)
{
	const char *path = json_string_value(json_object_get(arguments, "path"));
	size_t len = strlen(PERIPHERAL_PATH) - 1;
	struct machine *machine = qmp->scope->machine;
	struct device *device;
	json_t *list;

	if (!strncmp(path, PERIPHERAL_PATH, len) && !path[len + (path[len] == '/')]) {
		list = json_array();
		for (size_t i = 0; i < machine_device_count(machine); i++) {
			char type[128];

			device = machine_device(machine, i);
			snprintf(type, sizeof(type), "child<%s>", device->class->compatible);
			append(list, device->id, type);
		}
		return list;
	}
	device = find_device(qmp, arguments);
	if (!device)
		return NULL;
	list = json_array();
	append(list, "type", "string");
	for (const struct device_value *v = device->class->values; v && v->name; v++)
		append(list, v->name, v->type);
	return list;
}

json_t *values_run_get(struct qmp *qmp, json_t *arguments)
{
	struct device *device = find_device(qmp, arguments);
	const struct device_value *value;

	if (device && !strcmp(json_string_value(json_object_get(arguments, "property")), "type"))
		return json_pack("s", device->class->compatible);
	value = find_value(qmp, device, arguments);
	return value ? value_json(device, value) : NULL;
}

json_t *values_run_set(struct qmp *qmp, json_t *arguments)
{
	json_t *json = json_object_get(arguments, "value");
	struct device *device = find_device(qmp, arguments);
	const struct device_value *value = find_value(qmp, device, arguments);
	json_int_t number = json_is_true(json) ? 1 : json_integer_value(json);

	if (!value)
		return NULL;
	if (!value->set)
		return qmp_refuse(qmp, "Property '%s.%s' is not writable",
			device->class->compatible, value->name);
	if (is_bool(value) ? !json_is_boolean(json) : !json_is_integer(json))
		return qmp_refuse(qmp, "Invalid parameter type for '%s', expected: %s", value->name,
			is_bool(value) ? "boolean" : "integer");
	if (number < 0 || (value->max && (uint64_t)number > value->max))
		return qmp_refuse(qmp, "Parameter '%s' expects %s", value->name, value->expects);
	if (value->guest_memory && !json_is_true(json_object_get(arguments, "x-sluice-force")) &&
		!qmp_growth_allowed(qmp, qmp->scope->machine, device, (uint64_t)number))
		return NULL;
	return set(qmp, device, value, (uint64_t)number);
}
