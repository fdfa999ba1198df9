/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice mem`: shows and sets how much memory a machine's virtio-mem devices are asked to hold,
 * and waits for the guest to follow. A request stands until the next one; only the waiting ends.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/cli/commandline.h"
#include "board/cli/mem-growth.h"
#include "board/text/columns.h"
#include "board/text/errors.h"
#include "board/text/size.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

#define STALL_SEC 30
#define TICK_MS	  100 /* between looks, on a terminal */
#define QUIET_MS  1000
#define BAR_CELLS 24

static const char usage[] =
	"Usage: sluice mem NAME[/NODE] [SIZE]\n"
	"       sluice mem --control PATH [/NODE] [SIZE]\n"
	"\n"
	"Without SIZE, shows the virtio-mem devices of a running machine. With it, asks the guest to\n"
	"hold that much memory in the device NODE, and waits until it does; Ctrl-C ends the waiting,\n"
	"the request stands. NAME is the machine's name, or the path of its socket (FOLDER/X.sock);\n"
	"NODE may be left out where there is one device. SIZE is " SIZE_FORMS ".\n"
	"\n"
	"A device's window is all that it can hold; usable is the part of it in which the guest may\n"
	"plug now, and grows with what is requested; block is the unit.\n"
	"\n"
	"  --force         ask for it even where the guest's boot memory does not carry so much\n"
	"  --timeout SEC   give up waiting when nothing has moved for so long (30); 0: do not wait\n"
	"  --control PATH  the machine's control socket\n"
	"  -h, --help      this text\n";

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	interrupted = 1;
}

/* All devices, or NULL after an error; there is at least one. */
static json_t *query(
	struct client *client, const struct client_target *target, struct errors *errors)
{
	json_t *devices = client_call(client, "query-memory-devices", NULL, errors);

	if (devices && !json_array_size(devices)) {
		error_add(errors, target->path, NULL, "the machine has no virtio-mem device");
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
	const char *id = json_string_value(json_object_get(data, "id"));

	return id ? id : "?";
}

/* Why the host did not do what the guest asked for last, borrowed; "": it did. */
static const char *refused_of(const json_t *data)
{
	const char *why = json_string_value(json_object_get(data, "x-sluice-refused"));

	return why ? why : "";
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

/* The device that is meant, a borrowed reference; NULL after an error that lists what there is. */
static json_t *choose(json_t *devices, const struct client_target *target, struct errors *errors)
{
	char *list = strdup("");

	for (size_t i = 0; i < json_array_size(devices); i++) {
		const char *id = id_of(data_at(devices, i));
		char *longer;

		if (target->node ? !strcmp(id, target->node) : json_array_size(devices) == 1) {
			free(list);
			return data_at(devices, i);
		}
		if (list && asprintf(&longer, "%s%s%s", list, i ? ", " : "", id) >= 0) {
			free(list);
			list = longer;
		}
	}
	if (target->node)
		error_add(errors, target->node, NULL, "no such device; the machine has: %s", list);
	else
		error_add(errors, target->path, NULL,
			"several devices: say which, as NAME/NODE; the machine has: %s", list);
	free(list);
	return NULL;
}

/* Our own words before the machine's: they can name the sizes that would do. */
static bool size_fits(const json_t *data, uint64_t bytes, struct errors *errors)
{
	uint64_t block = client_number(data, "block-size"),
		 window = client_number(data, "max-size");
	char text[4][SIZE_TEXT];

	if (bytes > window) {
		error_add(errors, id_of(data), NULL, "%s is more than its window holds, %s",
			size_print(text[0], bytes), size_print(text[1], window));
		return false;
	}
	if (block && bytes % block) {
		uint64_t below = bytes - bytes % block;

		error_add(errors, id_of(data), NULL,
			"%s is no multiple of its block, %s; the nearest are %s and %s",
			size_print(text[0], bytes), size_print(text[1], block),
			size_print(text[2], below), size_print(text[3], below + block));
		return false;
	}
	return true;
}

struct progress {
	const char *id;
	bool terminal, drawn;
	uint64_t from, to, plugged;
	uint64_t start_ms, moved_ms;
	char refused[200]; /* why the host did not do what the guest asked for last; "": it did */
};

static void draw(struct progress *progress)
{
	uint64_t whole = progress->from > progress->to ? progress->from : progress->to;
	char bar[BAR_CELLS + 1] = "", plugged[SIZE_TEXT], to[SIZE_TEXT];
	unsigned full;

	size_print(plugged, progress->plugged);
	size_print(to, progress->to);
	if (!progress->terminal) {
		printf("%s: %s plugged, %s requested\n", progress->id, plugged, to);
	} else {
		/* In MiB, so that the product does not overflow. */
		full = whole ? (unsigned)((progress->plugged >> 10) * BAR_CELLS / (whole >> 10))
			     : 0;
		full = full > BAR_CELLS ? BAR_CELLS : full;
		memset(bar, '.', BAR_CELLS);
		memset(bar, '#', full);
		printf("\r\033[K%s  [%s]  %s plugged, %s requested  %" PRIu64 " s", progress->id,
			bar, plugged, to, (loop_now_ms() - progress->start_ms) / 1000);
		progress->drawn = true;
	}
	fflush(stdout);
}

static void end_drawing(struct progress *progress)
{
	if (progress->drawn)
		printf("\r\033[K");
	progress->drawn = false;
}

static void explain_stall(struct client *client, const struct progress *progress,
	unsigned stall_sec, struct errors *errors)
{
	char *known = progress->plugged < progress->to
			      ? mem_growth_stall(client, progress->plugged,
					progress->to - progress->plugged, errors)
			      : NULL;
	char plugged[SIZE_TEXT], to[SIZE_TEXT], host[256];
	const char *why =
		progress->plugged > progress->to
			? "the guest uses that memory in ways that cannot be moved (boot it with memhp_default_state=online_movable, so that plugged memory stays free of the kernel's own)"
		: progress->plugged == progress->from
			? "the guest may be still booting, may have no virtio_mem driver (module virtio_mem), or may leave new memory offline (boot it with memhp_default_state=online_movable)"
			: "the guest may leave new memory offline: boot it with memhp_default_state=online_movable";

	/* What is known goes before what may be. */
	if (known)
		why = known;
	if (*progress->refused) {
		snprintf(host, sizeof(host), "this host did not do what the guest asked for: %s",
			progress->refused);
		why = host;
	}
	error_add(errors, progress->id, NULL,
		"nothing moved for %u s: %s plugged, %s requested. The request stands. Why%s: %s",
		stall_sec, size_print(plugged, progress->plugged), size_print(to, progress->to),
		known || *progress->refused ? "" : " it might be", why);
	free(known);
}

static int wait_for(struct client *client, struct progress *progress, unsigned stall_sec,
	const struct client_target *target, struct errors *errors)
{
	char text[2][SIZE_TEXT];
	bool first = true;

	for (;;) {
		json_t *devices, *data = NULL;
		uint64_t requested, plugged, now = loop_now_ms();

		if (interrupted) {
			end_drawing(progress);
			printf("%s: %s plugged; the request of %s stands, and the guest goes on\n",
				progress->id, size_print(text[0], progress->plugged),
				size_print(text[1], progress->to));
			return 130;
		}
		devices = query(client, target, errors);
		if (devices)
			for (size_t i = 0; i < json_array_size(devices) && !data; i++)
				if (!strcmp(id_of(data_at(devices, i)), progress->id))
					data = data_at(devices, i);
		requested = client_number(data, "requested-size");
		plugged = client_number(data, "size");
		snprintf(progress->refused, sizeof(progress->refused), "%s", refused_of(data));
		json_decref(devices);
		if (!data)
			break;
		if (first || plugged != progress->plugged)
			progress->moved_ms = now;
		if (progress->terminal || first || plugged != progress->plugged) {
			progress->plugged = plugged;
			if (plugged != progress->to)
				draw(progress);
		}
		first = false;
		if (requested != progress->to) {
			error_add(errors, progress->id, NULL,
				"somebody else has asked for %s meanwhile; that request stands",
				size_print(text[0], requested));
			break;
		}
		if (plugged == progress->to) {
			end_drawing(progress);
			printf("%s: %s plugged (%s before), %" PRIu64 ".%" PRIu64 " s\n",
				progress->id, size_print(text[0], plugged),
				size_print(text[1], progress->from),
				(now - progress->start_ms) / 1000,
				(now - progress->start_ms) / 100 % 10);
			return 0;
		}
		if (now - progress->moved_ms >= stall_sec * UINT64_C(1000)) {
			explain_stall(client, progress, stall_sec, errors);
			break;
		}
		if (client_wait(client, progress->terminal ? TICK_MS : QUIET_MS) < 0) {
			error_add(errors, progress->id, NULL, "the machine ended");
			break;
		}
	}
	end_drawing(progress);
	return 1;
}

static int set(struct client *client, json_t *devices, const struct client_target *target,
	uint64_t bytes, const struct client_size *size, struct errors *errors)
{
	json_t *data = choose(devices, target, errors), *arguments, *result;
	struct sigaction action = { .sa_handler = interrupt };
	struct progress progress = { .terminal = isatty(STDOUT_FILENO), .to = bytes };
	char text[2][SIZE_TEXT];

	if (!data || !size_fits(data, bytes, errors) ||
		(!size->force && !mem_growth_allowed(client, data, bytes, errors)))
		return 1;
	progress.id = id_of(data);
	progress.from = progress.plugged = client_number(data, "size");
	progress.start_ms = loop_now_ms();
	/* From here on Ctrl-C must say what stands. */
	interrupted = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	arguments = arguments_for(progress.id, "requested-size");
	json_object_set_new(arguments, "value", json_integer((json_int_t)bytes));
	json_object_set_new(arguments, "x-sluice-force", json_boolean(size->force));
	result = client_call(client, "qom-set", arguments, errors);
	if (!result)
		return 1;
	json_decref(result);
	if (bytes > progress.plugged)
		mem_growth_warn(client, progress.id, errors);
	if (!size->stall_sec) {
		printf("%s: %s requested, %s plugged\n", progress.id, size_print(text[0], bytes),
			size_print(text[1], progress.plugged));
		return 0;
	}
	return wait_for(client, &progress, size->stall_sec, target, errors);
}

static int run(
	const struct client_target *target, const struct client_size *size, struct errors *errors)
{
	struct client *client;
	json_t *devices;
	uint64_t bytes = 0;
	int result = 1;

	if (size->text && size_parse(size->text, &bytes)) {
		error_add(errors, size->text, NULL, "is no size: " SIZE_FORMS);
		return 2;
	}
	if (client_open(target->path, errors, &client))
		return 1;
	devices = query(client, target, errors);
	if (devices && size->text)
		result = set(client, devices, target, bytes, size, errors);
	else if (devices && (!target->node || choose(devices, target, errors)))
		result = show(client, devices, errors);
	json_decref(devices);
	client_close(client);
	return result;
}

int mem_command(int argc, char **argv)
{
	return client_sized_command(argc, argv, usage, STALL_SEC, true, run);
}
