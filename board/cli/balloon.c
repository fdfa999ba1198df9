/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice balloon`: shows how much memory a machine's balloon leaves to the guest, or requests another size and waits
 * for it. A request is valid until the next one.
 */
#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/cli/follow.h"
#include "board/text/columns.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "board/text/size.h"
#include "hyp/base/util.h"

#define STALL_SEC  30
#define NEAR_BYTES (64 * KiB) /* the largest page of a guest, which inflates by whole pages */

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
	snprintf(ret->id, sizeof(ret->id), "%s", client_text(answer, "x-sluice-id"));
	json_decref(answer);
	return 0;
}

/* Prints the guest's own memory statistics, if it sent any. */
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

	if (updated) {
		printf("\nthe guest said, %" PRId64 " s ago: ",
			(int64_t)time(NULL) - (int64_t)updated);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			json_int_t value = json_integer_value(json_object_get(stats, names[i][0]));

			if (value < 0)
				continue;
			printf("%s%s %s", comma, names[i][1], SIZE((uint64_t)value));
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

	if (query(client, errors, &balloon))
		return EXIT_WRONG;
	columns_add(&columns, "memory\trequested\tleft\tgiven back");
	columns_add(&columns, "%s\t%s\t%s\t%s", SIZE(balloon.memory), SIZE(balloon.requested),
		SIZE(balloon.actual), SIZE(balloon.given));
	columns_print(&columns, "", stdout);
	show_statistics(client, balloon.id, errors);
	return EXIT_OK;
}

struct change {
	struct follow follow;
	uint64_t
		inside; /* the balloon's requested bytes: a change of the machine's memory does not change them */
};

static int query_left(struct follow *follow, struct client *client, uint64_t *ret_has,
	uint64_t *ret_requested, struct errors *errors)
{
	struct change *change = container_of(follow, struct change, follow);
	struct balloon balloon = { 0 };
	int err = query(client, errors, &balloon);

	/* The machine's memory changed meanwhile, but not the balloon's request. */
	if (balloon.memory - balloon.requested == change->inside)
		follow->to = balloon.requested;
	*ret_has = balloon.actual;
	*ret_requested = balloon.requested;
	return err;
}

static void explain_stall(
	struct follow *follow, struct client *client, uint64_t has, struct errors *errors)
{
	error_add(errors, follow->id, NULL,
		"nothing moved for %u s: %s left, %s requested. The request stands. The guest may need that memory, or have no virtio_balloon driver",
		follow->stall_sec, SIZE(has), SIZE(follow->to));
}

static int set(struct client *client, const struct client_line *line, struct errors *errors)
{
	struct change change = { .follow = {
					 .done = "left to the guest",
					 .near = NEAR_BYTES - 1,
					 .stall_sec = line->stall_sec,
					 .query = query_left,
					 .explain = explain_stall,
				 } };
	struct balloon before, asked;
	json_t *answer;

	if (query(client, errors, &before))
		return EXIT_WRONG;
	follow_prepare();
	answer = client_call(
		client, "balloon", json_pack("{s:I}", "value", (json_int_t)line->bytes), errors);
	json_decref(answer);
	/* The machine has rounded the request to whole pages, and limited it to its memory. */
	if (!answer || query(client, errors, &asked))
		return EXIT_WRONG;
	change.follow.id = asked.id;
	change.follow.from = before.actual;
	change.follow.to = asked.requested;
	change.inside = asked.memory - asked.requested;
	return follow_wait(&change.follow, client, errors);
}

static int run(struct client *client, const struct client_line *line, struct errors *errors)
{
	return line->size ? set(client, line, errors) : show(client, errors);
}

const struct client_command balloon_command = {
	.words = " [SIZE]",
	.about =
		"Without SIZE, shows how much memory the guest of a running machine has, how much its\n"
		"balloon leaves it, what of the rest went back to the host, and what the guest says of\n"
		"its memory. With it, asks the balloon to leave the guest that much, and waits until\n"
		"it does; Ctrl-C ends the waiting, the request stands.\nSIZE is " SIZE_FORMS ".",
	.size = true,
	.stall_sec = STALL_SEC,
	.run = run,
};
