/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice mem`: shows and sets how much memory a machine's virtio-mem devices are asked to hold, and waits for the
 * guest to plug or unplug it. A request is valid until the next one, even when the waiting ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/cli/follow.h"
#include "board/cli/mem-growth.h"
#include "board/text/columns.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "board/text/size.h"
#include "hyp/base/util.h"

#define STALL_SEC 30

/* All devices, at least one, or NULL after an error was added. */
static json_t *query(struct client *client, const struct client_line *line, struct errors *errors)
{
	json_t *devices = client_call(client, "query-memory-devices", NULL, errors);

	if (devices && !json_array_size(devices)) {
		error_add(errors, line->path, NULL, "the machine has no virtio-mem device");
		json_decref(devices);
		return NULL;
	}
	return devices;
}

static json_t *data_at(json_t *devices, size_t index)
{
	return json_object_get(json_array_get(devices, index), "data");
}

static const char *id_of(const json_t *data)
{
	return client_text(data, "id");
}

/* Why the host refused the guest's last request, borrowed; "": it did not. */
static const char *refused_of(const json_t *data)
{
	return client_text(data, "x-sluice-refused");
}

static json_t *arguments_for(const char *id, const char *property)
{
	return json_pack("{s:s+,s:s}", "path", "/machine/peripheral/", id, "property", property);
}

static int show(struct client *client, json_t *devices, struct errors *errors)
{
	struct columns columns = { .align = "lrrrrr" };

	columns_add(&columns, "device\trequested\tplugged\tusable\twindow\tblock");
	for (size_t i = 0; i < json_array_size(devices); i++) {
		static const char *const names[] = { "requested-size", "size", NULL, "max-size",
			"block-size" };
		json_t *data = data_at(devices, i);
		char sizes[ARRAY_SIZE(names)][SIZE_TEXT];

		for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
			json_t *usable = NULL;

			if (!names[n])
				usable = client_call(client, "qom-get",
					arguments_for(id_of(data), "usable-region-size"), errors);
			size_print(sizes[n], names[n] ? client_number(data, names[n])
						      : (uint64_t)json_integer_value(usable));
			json_decref(usable);
		}
		columns_add(&columns, "%s\t%s\t%s\t%s\t%s\t%s", id_of(data), sizes[0], sizes[1],
			sizes[2], sizes[3], sizes[4]);
	}
	columns_print(&columns, "", stdout);
	mem_growth_print_merged(client, errors);
	for (size_t i = 0; i < json_array_size(devices); i++)
		if (*refused_of(data_at(devices, i)))
			printf("%s: this host did not do what the guest asked for last: %s\n",
				id_of(data_at(devices, i)), refused_of(data_at(devices, i)));
	return errors_any(errors);
}

/* The line's device, a borrowed reference; NULL after an error was added that lists all devices. */
static json_t *choose(json_t *devices, const struct client_line *line, struct errors *errors)
{
	char *list = NULL;

	for (size_t i = 0; i < json_array_size(devices); i++) {
		const char *id = id_of(data_at(devices, i));

		if (line->node ? !strcmp(id, line->node) : json_array_size(devices) == 1) {
			free(list);
			return data_at(devices, i);
		}
		list_add(&list, "%s", id);
	}
	if (line->node)
		error_add(errors, line->node, NULL, "no such device; the machine has: %s",
			list ? list : "");
	else
		error_add(errors, line->path, NULL,
			"several devices: say which, as NAME/NODE; the machine has: %s",
			list ? list : "");
	free(list);
	return NULL;
}

/* Checked before the machine does: these errors name the sizes that are allowed. */
static bool size_fits(const json_t *data, uint64_t bytes, struct errors *errors)
{
	uint64_t block = client_number(data, "block-size"),
		 window = client_number(data, "max-size");

	if (bytes > window) {
		error_add(errors, id_of(data), NULL, "%s is more than its window holds, %s",
			SIZE(bytes), SIZE(window));
		return false;
	}
	if (block && bytes % block) {
		uint64_t below = bytes - bytes % block;

		error_add(errors, id_of(data), NULL,
			"%s is no multiple of its block, %s; the nearest are %s and %s",
			SIZE(bytes), SIZE(block), SIZE(below), SIZE(below + block));
		return false;
	}
	return true;
}

struct growth {
	struct follow follow;
	const struct client_line *line;
	char refused[200]; /* why the host refused the guest's last request; "": it did not */
};

static int query_size(struct follow *follow, struct client *client, uint64_t *ret_has,
	uint64_t *ret_requested, struct errors *errors)
{
	struct growth *growth = container_of(follow, struct growth, follow);
	json_t *devices = query(client, growth->line, errors), *data = NULL;

	for (size_t i = 0; i < json_array_size(devices) && !data; i++)
		if (!strcmp(id_of(data_at(devices, i)), follow->id))
			data = data_at(devices, i);
	*ret_has = client_number(data, "size");
	*ret_requested = client_number(data, "requested-size");
	snprintf(growth->refused, sizeof(growth->refused), "%s", refused_of(data));
	json_decref(devices);
	return data ? 0 : -EINVAL;
}

static void explain_stall(
	struct follow *follow, struct client *client, uint64_t has, struct errors *errors)
{
	const char *refused = container_of(follow, struct growth, follow)->refused;
	char *known = mem_growth_stall(client, has, follow->to, errors);
	char host[256];
	const char *why =
		has > follow->to
			? "the guest uses that memory in ways that cannot be moved (boot it with memhp_default_state=online_movable, so that plugged memory stays free of the kernel's own)"
		: has == follow->from
			? "the guest may be still booting, may have no virtio_mem driver (module virtio_mem), or may leave new memory offline (boot it with memhp_default_state=online_movable)"
			: "the guest may leave new memory offline: boot it with memhp_default_state=online_movable";

	/* A known reason replaces a guess. */
	if (known)
		why = known;
	if (*refused) {
		snprintf(host, sizeof(host), "this host did not do what the guest asked for: %s",
			refused);
		why = host;
	}
	error_add(errors, follow->id, NULL,
		"nothing moved for %u s: %s plugged, %s requested. The request stands. Why%s: %s",
		follow->stall_sec, SIZE(has), SIZE(follow->to),
		known || *refused ? "" : " it might be", why);
	free(known);
}

static int set(struct client *client, json_t *devices, const struct client_line *line,
	struct errors *errors)
{
	json_t *data = choose(devices, line, errors), *arguments, *result;
	struct growth growth = { .line = line };

	if (!data || !size_fits(data, line->bytes, errors) ||
		(!line->flag && !mem_growth_allowed(client, data, line->bytes, errors)))
		return EXIT_WRONG;
	growth.follow = (struct follow){
		.id = id_of(data),
		.done = "plugged",
		.from = client_number(data, "size"),
		.to = line->bytes,
		.stall_sec = line->stall_sec,
		.query = query_size,
		.explain = explain_stall,
	};
	if (line->bytes > growth.follow.from)
		mem_growth_warn(client, id_of(data), line->bytes, errors);
	follow_prepare();
	arguments = arguments_for(id_of(data), "requested-size");
	json_object_set_new(arguments, "value", json_integer((json_int_t)line->bytes));
	json_object_set_new(arguments, "x-sluice-force", json_boolean(line->flag));
	result = client_call(client, "qom-set", arguments, errors);
	if (!result)
		return EXIT_WRONG;
	json_decref(result);
	return follow_wait(&growth.follow, client, errors);
}

static int run(struct client *client, const struct client_line *line, struct errors *errors)
{
	json_t *devices = query(client, line, errors);
	int result = EXIT_WRONG;

	if (devices && line->size)
		result = set(client, devices, line, errors);
	else if (devices && (!line->node || choose(devices, line, errors)))
		result = show(client, devices, errors);
	json_decref(devices);
	return result;
}

const struct client_command mem_command = {
	.words = " [SIZE]",
	.about =
		"Without SIZE, shows the virtio-mem devices of a running machine. With it, asks the guest to\n"
		"hold that much memory in the device NODE, and waits until it does; Ctrl-C ends the waiting,\n"
		"the request stands. NAME is the machine's name, or the path of its socket (FOLDER/X.sock);\n"
		"NODE may be left out where there is one device.\nSIZE is " SIZE_FORMS ".\n"
		"\n"
		"A device's window is all that it can hold; usable is the part of it in which the guest may\n"
		"plug now, and grows with what is requested; block is the unit.",
	.node = NODE_SLASH,
	.size = true,
	.stall_sec = STALL_SEC,
	.flag = "force",
	.flag_about = "ask for it even where the guest's boot memory does not carry so much",
	.run = run,
};
