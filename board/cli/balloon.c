/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice balloon`: shows how much memory a machine's balloon leaves to the guest, or asks for another size and
 * waits for it. The request stands until the next one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/cli/commandline.h"
#include "board/text/columns.h"
#include "board/text/errors.h"
#include "board/text/size.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

#define STALL_SEC  30
#define QUIET_MS   1000
#define NEAR_BYTES (64 * KiB) /* the largest page of a guest: it inflates by whole ones */

static const char usage[] =
	"Usage: sluice balloon NAME [SIZE]\n"
	"       sluice balloon --control PATH [SIZE]\n"
	"\n"
	"Without SIZE, shows how much memory the guest of a running machine has, how much its\n"
	"balloon leaves it, what of the rest went back to the host, and what the guest says of\n"
	"its memory. With it, asks the balloon to leave the guest that much, and waits until\n"
	"it does; the request stands. SIZE is " SIZE_FORMS ".\n"
	"\n"
	"  --timeout SEC   give up waiting when nothing has moved for so long (30); 0: do not wait\n"
	"  --control PATH  the machine's control socket\n"
	"  -h, --help      this text\n";

struct balloon {
	uint64_t memory, requested, actual, given;
	char id[64];
};

static int query(struct client *client, struct errors *errors, struct balloon *ret)
{
	json_t *answer = client_call(client, "query-balloon", NULL, errors);

	if (!answer)
		return -EINVAL;
	*ret = (struct balloon){
		.memory = client_number(answer, "x-sluice-memory"),
		.requested = client_number(answer, "x-sluice-requested"),
		.actual = client_number(answer, "actual"),
		.given = client_number(answer, "x-sluice-given-back"),
	};
	snprintf(ret->id, sizeof(ret->id), "%s",
		json_string_value(json_object_get(answer, "x-sluice-id")));
	json_decref(answer);
	return 0;
}

static bool is_there(const struct balloon *balloon)
{
	uint64_t least = balloon->actual < balloon->requested ? balloon->actual
							      : balloon->requested;

	return balloon->actual + balloon->requested - 2 * least < NEAR_BYTES;
}

/* What the guest says of its memory, if it did. */
static void show_statistics(struct client *client, const char *id, struct errors *errors)
{
	static const char *const names[][2] = { { "stat-total-memory", "total" },
		{ "stat-available-memory", "available" }, { "stat-free-memory", "free" },
		{ "stat-disk-caches", "caches" } };
	json_t *answer = client_call(client, "qom-get",
		json_pack("{s:s,s:s}", "path", id, "property", "guest-stats"), errors);
	uint64_t updated = client_number(answer, "last-update");
	json_t *stats = json_object_get(answer, "stats");
	const char *comma = "";
	char text[SIZE_TEXT];

	if (updated) {
		printf("\nthe guest said, %" PRId64 " s ago: ",
			(int64_t)time(NULL) - (int64_t)updated);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			json_int_t value = json_integer_value(json_object_get(stats, names[i][0]));

			if (value < 0)
				continue;
			printf("%s%s %s", comma, names[i][1], size_print(text, (uint64_t)value));
			comma = ", ";
		}
		putchar('\n');
	}
	json_decref(answer);
}

static int show(struct client *client, struct errors *errors)
{
	struct columns columns = { .align = "rrrr" };
	struct balloon balloon;
	char sizes[4][SIZE_TEXT];

	if (query(client, errors, &balloon))
		return 1;
	columns_add(&columns, "memory\trequested\tleft\tgiven back");
	columns_add(&columns, "%s\t%s\t%s\t%s", size_print(sizes[0], balloon.memory),
		size_print(sizes[1], balloon.requested), size_print(sizes[2], balloon.actual),
		size_print(sizes[3], balloon.given));
	columns_print(&columns, "", stdout);
	show_statistics(client, balloon.id, errors);
	return 0;
}

static int set(struct client *client, const char *name, uint64_t bytes, unsigned stall_sec,
	struct errors *errors)
{
	uint64_t start = loop_now_ms(), moved = start, before;
	char sizes[2][SIZE_TEXT];
	struct balloon balloon;
	json_t *answer;

	if (query(client, errors, &balloon))
		return 1;
	before = balloon.actual;
	answer = client_call(
		client, "balloon", json_pack("{s:I}", "value", (json_int_t)bytes), errors);
	json_decref(answer);
	for (uint64_t last = before; answer; last = balloon.actual) {
		uint64_t now = loop_now_ms();

		if (query(client, errors, &balloon))
			return 1;
		if (balloon.actual != last)
			moved = now;
		if (is_there(&balloon) || !stall_sec) {
			printf("%s left to the guest (%s before), %" PRIu64 ".%" PRIu64 " s\n",
				size_print(sizes[0], balloon.actual), size_print(sizes[1], before),
				(now - start) / 1000, (now - start) / 100 % 10);
			return 0;
		}
		if (now - moved >= stall_sec * UINT64_C(1000)) {
			error_add(errors, name, NULL,
				"nothing moved for %u s: %s left, %s requested. The request stands. The guest may need that memory, or have no virtio_balloon driver",
				stall_sec, size_print(sizes[0], balloon.actual),
				size_print(sizes[1], balloon.requested));
			return 1;
		}
		if (client_wait(client, QUIET_MS) < 0) {
			error_add(errors, name, NULL, "the machine ended");
			return 1;
		}
	}
	return 1;
}

static int run(
	const struct client_target *target, const struct client_size *size, struct errors *errors)
{
	struct client *client;
	uint64_t bytes = 0;
	int result;

	if (target->node) {
		error_add(errors, target->path, target->node,
			"a machine is meant, which has one balloon: leave out /%s", target->node);
		return 1;
	}
	if (size->text && size_parse(size->text, &bytes)) {
		error_add(errors, size->text, NULL, "is no size: " SIZE_FORMS);
		return 2;
	}
	if (client_open(target->path, errors, &client))
		return 1;
	result = size->text ? set(client, target->path, bytes, size->stall_sec, errors)
			    : show(client, errors);
	client_close(client);
	return result;
}

int balloon_command(int argc, char **argv)
{
	return client_sized_command(argc, argv, usage, STALL_SEC, false, run);
}
