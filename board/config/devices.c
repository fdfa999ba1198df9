/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device nodes: children of the root whose compatible names a class. The class's table says how to read its properties.
 * Once windows have addresses, the class checks its properties and describes its window. Then the slots of all windows
 * are counted against the budget.
 */
#include <inttypes.h>
#include <libfdt.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "board/config/map.h"
#include "board/config/path-rights.h"
#include "board/config/platform.h"
#include "board/config/reader.h"
#include "board/config/tree-file.h"
#include "devices/device.h"
#include "hyp/memory/slots.h"

#define SLOTS_ALL_WINDOWS 2048 /* of windows that do not ask for a slot-size */
#define SLOTS_CHOSEN_MAX  1024
#define GUEST_BLOCK	  (128 * MiB) /* Linux's memory block with 4K and 16K pages */
#define PROPERTIES_MAX	  64

/* ---- Which nodes, and in which order ---- */

static int compare_nodes(const void *a, const void *b, void *opaque)
{
	const struct device_node *x = a, *y = b;
	const struct tree *tree = opaque;
	int order;

	if (x->alias != y->alias)
		return x->alias < y->alias ? -1 : 1;
	order = strverscmp(tree_name(tree, x->node), tree_name(tree, y->node));
	return order ? order : x->node - y->node;
}

/* Names are ids in paths of the control protocol, in the log and on command lines. */
static bool name_is_id(const char *name)
{
	return name[strspn(name,
		       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

static void add_node(
	struct reader *reader, size_t *count, int node, const struct device_class *class)
{
	const char *name = tree_name(&reader->tree, node);

	if (*count == CONFIG_DEVICES) {
		tree_error(&reader->tree, node, NULL, "more than %d devices", CONFIG_DEVICES);
		return;
	}
	if (!name_is_id(name))
		tree_error(&reader->tree, node, NULL,
			"a device's id is its node's name: letters, digits, _ and - only, without a unit address");
	for (size_t i = 0; i < *count; i++)
		if (!strcmp(tree_name(&reader->tree, reader->device_nodes[i].node), name))
			tree_error(&reader->tree, node, NULL, "there are two devices of this name");
	reader->device_nodes[(*count)++] = (struct device_node){
		.class = class,
		.node = node,
		.region = -1,
		.alias = UINT_MAX,
	};
}

/* A bound, since each alias is searched for in the whole tree, more than once. Boards have less than a hundred. */
#define ALIASES_MAX 1024u

/* The N of "virtioN", or false. */
static bool alias_number(const char *name, unsigned *ret)
{
	const char *digits = name + strlen("virtio");
	size_t len;

	if (strncmp(name, "virtio", strlen("virtio")))
		return false;
	len = strlen(digits);
	if (!len || len > 6 || digits[strspn(digits, "0123456789")] || (len > 1 && *digits == '0'))
		return false;
	*ret = strtoul(digits, NULL, 10);
	return true;
}

static void read_aliases(struct reader *reader, size_t count)
{
	const struct tree *tree = &reader->tree;
	int aliases = fdt_subnode_offset(tree->fdt, 0, "aliases"), property;
	unsigned seen = 0;

	if (aliases < 0)
		return;
	fdt_for_each_property_offset(property, tree->fdt, aliases)
	{
		const char *name, *path, *compatible;
		bool found = false;
		unsigned number;
		int node;

		if (++seen > ALIASES_MAX) {
			tree_error(tree, aliases, NULL,
				"has more than %u aliases; leave out what the guest does not use",
				ALIASES_MAX);
			return;
		}
		fdt_getprop_by_offset(tree->fdt, property, &name, NULL);
		if (!alias_number(name, &number) || tree_string(tree, aliases, name, &path) != 1)
			continue;
		node = tree_node(tree, path);
		for (size_t i = 0; i < count && !found; i++) {
			struct device_node *entry = &reader->device_nodes[i];

			found = entry->node == node && entry->class->kind == DEVICE_VIRTIO;
			if (found && number < entry->alias)
				entry->alias = number;
		}
		/* An alias of a disabled device has no effect, and is no error. */
		compatible = node < 0 ? NULL : tree_sluice_compatible(tree, node);
		if (!found &&
			!(compatible && device_class_of(compatible) && tree_disabled(tree, node)))
			tree_error(tree, aliases, name,
				"\"%s\" is not a virtio device of this machine", path);
	}
}

/* ---- Properties, by the class's table ---- */

static void read_region(
	struct reader *reader, size_t index, const char *property, struct property_region *ret)
{
	struct device_config *device = &reader->config->devices[index];
	struct device_node *entry = &reader->device_nodes[index];
	struct reserved_node *region = NULL;
	uint32_t phandle;

	if (tree_u32(&reader->tree, entry->node, property, &phandle) != 1)
		return;
	for (size_t i = 0; i < reader->reserved_count && !region; i++)
		if (phandle && reader->reserved[i].phandle == phandle)
			region = &reader->reserved[i];
	if (!region) {
		tree_error(&reader->tree, entry->node, property,
			"names no enabled child of /reserved-memory: write <&LABEL> of one");
		return;
	}
	if (region->user && device->class->window) {
		char *path = tree_path(&reader->tree, region->node);

		tree_error(&reader->tree, entry->node, property,
			"%s is the window of %s already: each window has a node of its own",
			path ? path : "it", region->user->path);
		free(path);
		return;
	}
	if (device->class->window) {
		region->user = device;
		entry->region = region - reader->reserved;
	}
	/* If Sluice places the window, the address is set later. */
	ret->gpa = region->range.gpa;
	ret->size = region->broken ? 0 : region->range.size;
}

static void check_number(
	const struct tree *tree, int node, const struct property *property, uint64_t value)
{
	if ((!property->min && !property->max) ||
		(value >= property->min && value <= property->max))
		return;
	tree_error(tree, node, property->name,
		"%" PRIu64 " (0x%" PRIx64 ") is out of range: %" PRIu64 " to %" PRIu64, value,
		value, property->min, property->max);
}

static void read_choice(
	const struct tree *tree, int node, const struct property *property, uint32_t *ret)
{
	char hint[DID_YOU_MEAN], *list = NULL;
	const char *value;

	if (tree_string(tree, node, property->name, &value) != 1)
		return;
	for (uint32_t i = 0; property->choices[i]; i++)
		if (!strcmp(value, property->choices[i])) {
			*ret = i;
			return;
		}
	for (uint32_t i = 0; property->choices[i]; i++)
		list_add(&list, "\"%s\"", property->choices[i]);
	tree_error(tree, node, property->name, "\"%s\" is none of %s%s", value, list ? list : "",
		did_you_mean(hint, value, property->choices));
	free(list);
}

static void read_bytes(
	const struct tree *tree, int node, const struct property *property, void *ret)
{
	int len;
	const void *value = fdt_getprop(tree->fdt, node, property->name, &len);

	if ((uint64_t)len < property->min || (uint64_t)len > property->max)
		tree_error(tree, node, property->name,
			"takes %" PRIu64 " to %" PRIu64 " bytes, written [02 34 ...], and has %d",
			property->min, property->max, len);
	else
		memcpy(ret, value, (size_t)len);
}

static void read_property(struct reader *reader, size_t index, const struct property *property)
{
	struct device_config *device = &reader->config->devices[index];
	void *field = (char *)device->config + property->offset;
	const struct tree *tree = &reader->tree;
	int node = reader->device_nodes[index].node, len;
	const char *text;

	if (!fdt_getprop(tree->fdt, node, property->name, &len)) {
		if (property->required)
			tree_error(tree, node, property->name, "missing: a %s needs it",
				device->class->compatible);
		return;
	}
	if (property->host)
		path_rights_refuse(reader->config->rights, tree, node, property->name);
	switch (property->type) {
	case PROPERTY_FLAG:
		if (len)
			tree_error(
				tree, node, property->name, "takes no value: write the name alone");
		*(bool *)field = true;
		break;
	case PROPERTY_U32:
		if (tree_u32(tree, node, property->name, field) == 1)
			check_number(tree, node, property, *(uint32_t *)field);
		break;
	case PROPERTY_U64:
		if (tree_u64(tree, node, property->name, field) == 1)
			check_number(tree, node, property, *(uint64_t *)field);
		break;
	case PROPERTY_STRING:
		/* A copy, since the tree still changes. config_destroy() frees it. */
		if (tree_string(tree, node, property->name, &text) == 1)
			*(char **)field = strdup(text);
		break;
	case PROPERTY_BYTES:
		read_bytes(tree, node, property, field);
		break;
	case PROPERTY_FILE:
		read_path(reader, node, property->name, field);
		break;
	case PROPERTY_CHOICE:
		read_choice(tree, node, property, field);
		break;
	case PROPERTY_REGION:
		read_region(reader, index, property->name, field);
		break;
	case PROPERTY_PORTS:
		read_ports(reader, index, property->name, field);
		break;
	}
}

static void read_device(struct reader *reader, size_t index)
{
	struct device_config *device = &reader->config->devices[index];
	const struct device_node *entry = &reader->device_nodes[index];
	const char *known[PROPERTIES_MAX + 1] = { NULL };
	const struct property *property = entry->class->properties;
	size_t count = 0, before = errors_count(reader->tree.errors);

	device->class = entry->class;
	device->id = strdup(tree_name(&reader->tree, entry->node));
	device->path = tree_path(&reader->tree, entry->node);
	device->config = calloc(1, entry->class->config_bytes ? entry->class->config_bytes : 1);
	reader->config->device_count++;
	if (!device->id || !device->path || !device->config) {
		tree_error(&reader->tree, entry->node, NULL, "out of memory");
		device->broken = true;
		return;
	}
	if (entry->class->defaults)
		entry->class->defaults(device->config);
	for (; property && property->name; property++) {
		CHECK(count < PROPERTIES_MAX);
		known[count++] = property->name;
		read_property(reader, index, property);
	}
	check_properties(&reader->tree, entry->node, known);
	if (fdt_first_subnode(reader->tree.fdt, entry->node) >= 0)
		tree_error(&reader->tree, fdt_first_subnode(reader->tree.fdt, entry->node), NULL,
			"unknown: a %s has no subnodes", entry->class->compatible);
	device->broken = before != errors_count(reader->tree.errors);
}

static void place_platform(struct device_config *device)
{
	const struct platform *platform = platform_of(device->class);

	CHECK(platform);
	device->gpa = platform->gpa;
	device->spi = platform->spi;
}

static void check_single(const struct reader *reader, size_t index)
{
	const struct device_config *device = &reader->config->devices[index];

	for (size_t i = 0; device->class->single && i < index; i++)
		if (reader->config->devices[i].class == device->class)
			tree_error(&reader->tree, reader->device_nodes[index].node, NULL,
				"a machine has one %s, and %s is it", device->class->compatible,
				reader->config->devices[i].path);
}

static void place_virtio(struct device_config *device, unsigned place)
{
	device->place = place;
	device->gpa = VIRTIO_MMIO_BASE + place * VIRTIO_MMIO_SIZE;
	device->spi = VIRTIO_MMIO_SPI + place;
}

void devices_read(struct reader *reader)
{
	unsigned place = 0;
	size_t count = 0;
	int node;

	fdt_for_each_subnode(node, reader->tree.fdt, 0)
	{
		const char *compatible = tree_sluice_compatible(&reader->tree, node);
		const struct device_class *class = compatible ? device_class_of(compatible) : NULL;

		/* passthrough_check() reports unknown ones. */
		if (class && !tree_disabled(&reader->tree, node))
			add_node(reader, &count, node, class);
	}
	read_aliases(reader, count);
	qsort_r(reader->device_nodes, count, sizeof(reader->device_nodes[0]), compare_nodes,
		&reader->tree);
	for (size_t i = 0; i < count; i++) {
		read_device(reader, i);
		check_single(reader, i);
		if (reader->device_nodes[i].class->kind == DEVICE_VIRTIO)
			place_virtio(&reader->config->devices[i], place++);
		else
			place_platform(&reader->config->devices[i]);
	}
	CHECK(place <= VIRTIO_MMIO_PLACES);
}

/* ---- Rules between properties, and slots ---- */

struct checker {
	struct device_check check;
	struct errors *errors;
	const char *path;
	const struct machine_config *config; /* of a probe */
};

static void checker_error(struct device_check *check, const char *property, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void checker_error(struct device_check *check, const char *property, const char *format, ...)
{
	struct checker *checker = container_of(check, struct checker, check);
	char *text, *begin = check->missing ? config_paths_begin(checker->config) : NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	error_add(checker->errors, checker->path, property, "%s%s%s", text ? text : "wrong",
		begin ? ". " : "", begin ? begin : "");
	free(begin);
	free(text);
}

void device_probe(const struct machine_config *config, const struct device_config *device,
	bool running, struct errors *errors)
{
	struct checker checker = {
		.check = { .error = checker_error, .running = running },
		.errors = errors,
		.path = device->path,
		.config = config,
	};

	if (device->class->probe)
		device->class->probe(device->config, &checker.check);
}

static uint64_t slot_count(const struct window_config *window)
{
	return window->size / window->slot_bytes + (window->size % window->slot_bytes != 0);
}

/* Describes every window, which may choose up to `max_slots` slots. Returns the number of all slots. */
static uint64_t describe_windows(struct reader *reader, unsigned max_slots, uint64_t *ret_unsized)
{
	const struct window_limits limits = {
		.host_page_bytes = reader->host->page_bytes,
		.max_slots = max_slots,
	};
	uint64_t all = 0;

	*ret_unsized = 0;
	for (size_t i = 0; i < reader->config->device_count; i++) {
		struct device_config *device = &reader->config->devices[i];
		uint64_t count;

		if (!device->has_window)
			continue;
		device->window.name = device->id;
		device->class->window(device->config, &limits, &device->window);
		CHECK(device->window.slot_bytes && device->window.block_bytes);
		count = slot_count(&device->window);
		all += count;
		if (!tree_has(&reader->tree, reader->device_nodes[i].node, "slot-size"))
			*ret_unsized += count;
	}
	return all;
}

static void slots_error(
	struct reader *reader, uint64_t asked, uint64_t limit, const char *whose, const char *cure)
{
	const char *first = NULL;
	char *holders = NULL;

	for (size_t i = 0; i < reader->config->device_count; i++) {
		const struct device_config *device = &reader->config->devices[i];

		if (!device->has_window)
			continue;
		list_add(&holders, "%s %" PRIu64 " of %s", device->path,
			slot_count(&device->window), SIZE(device->window.slot_bytes));
		if (!first)
			first = device->path;
	}
	error_add(reader->tree.errors, first ? first : "/", "memslots",
		"the windows ask for %" PRIu64 " memory slots, and %s %" PRIu64
		": %s. Lower memslots, or raise slot-size%s",
		asked, whose, limit, holders ? holders : "", cure);
	free(holders);
}

static unsigned vhost_workers(const struct device_config *device)
{
	return device->class->vhost_workers ? device->class->vhost_workers(device->config) : 0;
}

/* The first device that vhost serves, or NULL. */
static const struct device_config *vhost_user(const struct reader *reader)
{
	for (size_t i = 0; i < reader->config->device_count; i++) {
		const struct device_config *device = &reader->config->devices[i];

		if (vhost_workers(device))
			return device;
	}
	return NULL;
}

/* How many slots are left for windows. *ret_vhost: a device of vhost's, if vhost has the least; else NULL. */
static uint64_t slots_for_windows(
	const struct reader *reader, const struct device_config **ret_vhost)
{
	unsigned limit = reader->host->memslots;
	/* RAM's, and one for stolen time. */
	unsigned held = (unsigned)reader->config->memory_count +
			!!(reader->config->cpu_features & reader->host->cpu_features &
				1u << CPU_STOLEN_TIME);

	*ret_vhost = vhost_user(reader);
	if (*ret_vhost && reader->host->vhost_regions < limit)
		limit = reader->host->vhost_regions;
	else
		*ret_vhost = NULL;
	return limit > held ? limit - held : 0;
}

/* Each vhost worker is a listener for slots, and so is KVM. */
static void check_workers(struct reader *reader)
{
	unsigned workers = 0;

	for (size_t i = 0; i < reader->config->device_count; i++) {
		const struct device_config *device = &reader->config->devices[i];
		unsigned more = vhost_workers(device);

		workers += more;
		if (more && workers >= SLOTS_LISTENERS && workers - more < SLOTS_LISTENERS)
			tree_error(&reader->tree, reader->device_nodes[i].node, NULL,
				"this machine would have more than %d workers of vhost's, of which each pair of queues is one: take fewer queue-pairs",
				SLOTS_LISTENERS - 1);
	}
}

static void check_slots(struct reader *reader)
{
	const struct device_config *vhost;
	uint64_t limit = slots_for_windows(reader, &vhost), unsized, all;
	unsigned max_slots = SLOTS_CHOSEN_MAX;

	/* Windows without a slot-size get fewer slots until all fit. */
	do {
		all = describe_windows(reader, max_slots, &unsized);
		max_slots /= 2;
	} while ((all > limit || unsized > SLOTS_ALL_WINDOWS) && max_slots);
	if (all > limit && vhost) {
		char whose[320];

		snprintf(whose, sizeof(whose),
			"vhost on this host, which serves %s, takes, besides those of RAM,",
			vhost->path);
		slots_error(reader, all, limit, whose,
			", or raise vhost's limit (\"options vhost max_mem_regions=N\" in /etc/modprobe.d/vhost.conf)");
	} else if (all > limit)
		slots_error(reader, all, limit, "KVM on this host has, besides those of RAM,", "");
	else if (unsized > SLOTS_ALL_WINDOWS)
		slots_error(reader, unsized, SLOTS_ALL_WINDOWS,
			"all windows without a slot-size may have", "");
	for (size_t i = 0; i < reader->config->device_count; i++) {
		const struct device_config *device = &reader->config->devices[i];

		if (device->has_window && device->window.slot_bytes < GUEST_BLOCK &&
			device->window.slot_bytes < device->window.size)
			tree_warning(&reader->tree, reader->device_nodes[i].node, "slot-size",
				"slots of %s are smaller than Linux's memory block, 128 MiB (512 MiB with 64K pages): one block opens several",
				SIZE(device->window.slot_bytes));
	}
}

void devices_check(struct reader *reader)
{
	for (size_t i = 0; i < reader->config->device_count; i++) {
		struct device_config *device = &reader->config->devices[i];
		const struct property *property = device->class->properties;
		const struct device_node *entry = &reader->device_nodes[i];
		struct checker checker = {
			.check = { .error = checker_error,
				.host_page_bytes = reader->host->page_bytes },
			.errors = reader->tree.errors,
			.path = device->path,
		};
		struct reserved_node *region = entry->region < 0 ? NULL
								 : &reader->reserved[entry->region];
		size_t before = errors_count(reader->tree.errors);

		for (; property && property->name; property++) {
			struct property_region *field = (void *)((char *)device->config +
								 property->offset);

			if (region && property->type == PROPERTY_REGION) {
				field->gpa = region->range.gpa;
				field->size = region->broken ? 0 : region->range.size;
			}
		}
		if (device->class->not_nested && reader->config->cpu_features & 1u << CPU_NESTED)
			tree_error(&reader->tree, entry->node, NULL,
				"not in a machine with sluice,nested: %s",
				device->class->not_nested);
		if (device->class->check)
			device->class->check(device->config, &checker.check);
		device->broken |= before != errors_count(reader->tree.errors);
		device->has_window = device->class->window && region && !region->broken &&
				     before == errors_count(reader->tree.errors);
	}
	check_workers(reader);
	check_slots(reader);
}
