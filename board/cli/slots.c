/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice slots`: the budget of memory slots, the limits that determine it, and its holders. */
#include <inttypes.h>
#include <string.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/text/columns.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"

static int show(struct client *client, const struct client_line *line, struct errors *errors)
{
	json_t *answer = client_call(client, "x-sluice-query-slots", NULL, errors), *entry;
	struct columns columns = { .align = "lrr" };
	size_t i;

	if (!answer)
		return EXIT_WRONG;
	columns_add(&columns, "holder\treserved\topen");
	json_array_foreach(json_object_get(answer, "holders"), i, entry)
		columns_add(&columns, "%s\t%" PRIu64 "\t%" PRIu64, client_text(entry, "name"),
			client_number(entry, "reserved"), client_number(entry, "open"));
	columns_add(&columns, "in all\t%" PRIu64 "\t%" PRIu64, client_number(answer, "reserved"),
		client_number(answer, "open"));
	columns_print(&columns, "", stdout);
	putchar('\n');
	json_array_foreach(json_object_get(answer, "limits"), i, entry)
		printf("%s can hold %" PRIu64 "; ", client_text(entry, "name"),
			client_number(entry, "slots"));
	printf("%" PRIu64 " are free\n", client_number(answer, "free"));
	json_decref(answer);
	return EXIT_OK;
}

const struct client_command slots_command = {
	.words = "",
	.about =
		"Shows the memory slots of a running machine: how many KVM and each other user of guest\n"
		"memory can hold, how many each holder has reserved, and how many are open now. What a\n"
		"window may ever open is reserved when the machine starts. NAME is the machine's name, or\n"
		"the path of its socket (FOLDER/X.sock).",
	.run = show,
};
