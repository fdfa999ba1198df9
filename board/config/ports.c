/* SPDX-License-Identifier: Apache-2.0 */
/* A device's named ports: strings NAME or NAME=BACKEND. Without a back end, only clients that attach use the port. */
#include <libfdt.h>
#include <string.h>

#include "board/config/reader.h"
#include "devices/device.h"

static bool name_is_good(const char *name, size_t len)
{
	return len && len <= PORT_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") >=
		       len &&
	       *name != '.';
}

static bool name_is_taken(const struct machine_config *config, const char *name)
{
	for (size_t i = 0; i < config->device_count; i++)
		for (size_t n = 0; n < config->devices[i].port_count; n++)
			if (!strcmp(config->devices[i].ports[n].name, name))
				return true;
	return false;
}

static void read_port(struct reader *reader, size_t index, const char *property, const char *text)
{
	struct device_config *device = &reader->config->devices[index];
	int node = reader->device_nodes[index].node;
	struct port_config port = { .backend.kind = CONSOLE_NULL };
	size_t len = strcspn(text, "=");

	if (!name_is_good(text, len)) {
		tree_error(&reader->tree, node, property,
			"\"%s\": a name is up to %d letters, digits, '_', '-' and '.', no '.' first",
			text, PORT_NAME_MAX);
		return;
	}
	if (text[len] &&
		!read_console_spec(reader, node, property, text + len + 1, &port.backend)) {
		tree_error(&reader->tree, node, property,
			"\"%s\": after = comes none of " CONSOLE_SPECS, text);
		return;
	}
	port.name = strndup(text, len);
	if (!port.name || name_is_taken(reader->config, port.name)) {
		tree_error(&reader->tree, node, property, "\"%s\": there is a port of this name",
			text);
		free(port.name);
		free((char *)port.backend.path.name);
		return;
	}
	port.backend.port = port.name;
	device->ports[device->port_count++] = port;
}

void read_ports(
	struct reader *reader, size_t index, const char *property, struct property_ports *ret)
{
	struct device_config *device = &reader->config->devices[index];
	int node = reader->device_nodes[index].node;
	int count = fdt_stringlist_count(reader->tree.fdt, node, property);

	if (count < 1 || count > DEVICE_PORTS_MAX) {
		tree_error(&reader->tree, node, property,
			"takes 1 to %d strings, each a port's name or NAME=BACKEND",
			DEVICE_PORTS_MAX);
		return;
	}
	device->ports = calloc((size_t)count, sizeof(device->ports[0]));
	for (int i = 0; device->ports && i < count; i++)
		read_port(reader, index, property,
			fdt_stringlist_get(reader->tree.fdt, node, property, i, NULL));
	ret->count = (unsigned)device->port_count;
	for (unsigned i = 0; i < ret->count; i++)
		ret->names[i] = device->ports[i].name;
}
