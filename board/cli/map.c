/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice map`: which parts of each window the guest can access now, slot by slot. */
#include <inttypes.h>
#include <string.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/text/columns.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "board/text/size.h"
#include "hyp/base/util.h"

#define SIZE_OF(object, name) SIZE(client_number(object, name))

static void print_range(char *buf, size_t len, uint64_t start, uint64_t size)
{
	snprintf(buf, len, "0x%" PRIx64 "-0x%" PRIx64, start, start + size - 1);
}

static void print_slots(json_t *slots)
{
	struct columns columns = { .align = "rlllll" };
	json_t *slot;
	size_t i;

	columns_add(&columns, "slot\tguest range\twindow range\tplugged\tblocks");
	json_array_foreach(slots, i, slot)
	{
		char guest[64], window[64];

		print_range(guest, sizeof(guest), client_number(slot, "gpa"),
			client_number(slot, "size"));
		print_range(window, sizeof(window), client_number(slot, "offset"),
			client_number(slot, "size"));
		columns_add(&columns, "%" PRIu64 "\t%s\t%s\t%s of %s\t[%s]",
			client_number(slot, "index"), guest, window, SIZE_OF(slot, "plugged"),
			SIZE_OF(slot, "size"), client_text(slot, "cells"));
	}
	columns_print(&columns, "  ", stdout);
}

/* False if the guest can access more than is plugged. */
static bool print_window(json_t *window)
{
	static const char *const sizes[] = { "usable", "requested", "plugged", "exposed",
		"resident" };
	uint64_t plugged = client_number(window, "plugged");
	uint64_t exposed = client_number(window, "exposed");
	json_t *slots = json_object_get(window, "open-slots");
	uint64_t open = client_number(window, "open"), shown = json_array_size(slots);
	struct columns columns = { .align = "ll" };
	char range[64];

	print_range(
		range, sizeof(range), client_number(window, "gpa"), client_number(window, "size"));
	printf("%s\n", client_text(window, "id"));
	columns_add(&columns, "window\t%s, %s", range, SIZE_OF(window, "size"));
	columns_add(&columns, "block\t%s", SIZE_OF(window, "block-size"));
	columns_add(&columns, "slots\t%" PRIu64 " x %s", client_number(window, "slots"),
		SIZE_OF(window, "slot-size"));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		columns_add(&columns, "%s\t%s", sizes[i], SIZE_OF(window, sizes[i]));
	columns_print(&columns, "  ", stdout);
	putchar('\n');
	if (shown) {
		print_slots(slots);
		putchar('\n');
	}
	if (open > shown)
		printf("  %" PRIu64 " more are open: too many to describe\n\n", open - shown);
	printf("  %" PRIu64 " of %" PRIu64 " slots open; ", open, client_number(window, "slots"));
	if (exposed == plugged) {
		printf("exposed = plugged = %s\n", SIZE(plugged));
		return true;
	}
	if (exposed < plugged) {
		printf("exposed = %s of %s plugged: the rest is being unplugged, or the machine is being reset\n",
			SIZE(exposed), SIZE(plugged));
		return true;
	}
	printf("EXPOSED IS NOT PLUGGED\n  The guest can reach %s more than it has plugged: this is a fault of Sluice's. Please report it.\n",
		SIZE(exposed - plugged));
	return false;
}

/* Prints the guest's accesses to unassigned addresses: their kind and place. */
static void print_strays(struct client *client, struct errors *errors)
{
	json_t *strays = client_call(client, "x-sluice-query-strays", NULL, errors), *entry;
	size_t i;

	if (!strays)
		return;
	printf("\nstray accesses: %" PRIu64 "\n", client_number(strays, "total"));
	json_array_foreach(json_object_get(strays, "counts"), i, entry)
	{
		if (client_number(entry, "count"))
			printf("  %" PRIu64 " of kind %s, %s\n", client_number(entry, "count"),
				client_text(entry, "access"), client_text(entry, "place"));
	}
	json_decref(strays);
}

static int show(struct client *client, const struct client_line *line, struct errors *errors)
{
	json_t *map = client_call(client, "x-sluice-query-map", NULL, errors), *window;
	size_t i, shown = 0;
	int result = EXIT_OK;

	json_array_foreach(map, i, window)
	{
		if (line->node && strcmp(line->node, client_text(window, "id")))
			continue;
		if (shown++)
			putchar('\n');
		if (!print_window(window))
			result = EXIT_WRONG;
	}
	if (map && !shown)
		error_add(errors, line->path, line->node, "%s",
			line->node ? "no virtio-mem device of that name"
				   : "the machine has no virtio-mem device");
	if (shown && !line->node)
		print_strays(client, errors);
	json_decref(map);
	return result;
}

const struct client_command map_command = {
	.words = "",
	.about =
		"Shows each virtio-mem window of a running machine: what is requested, plugged and exposed,\n"
		"and its open slots. NAME is the machine's name, or the path of its socket (FOLDER/X.sock).\n"
		"In a slot's bar '#' is plugged, '+' partly plugged, '.' not plugged.",
	.node = NODE_SLASH,
	.run = show,
};
