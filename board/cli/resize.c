/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice resize`: enlarges a running machine's disk. Its guest sees the new size at once. */
#include <stdio.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/text/exit-codes.h"
#include "board/text/size.h"

static int resize(struct client *client, const struct client_line *line, struct errors *errors)
{
	json_t *arguments = json_pack("{s:s}", "device", line->node), *answer;

	if (line->size)
		json_object_set_new(arguments, "size", json_integer((json_int_t)line->bytes));
	answer = client_call(client, "block_resize", arguments, errors);
	if (!answer)
		return EXIT_WRONG;
	printf("%s: %s (%s before)\n", line->node, SIZE(client_number(answer, "x-sluice-size")),
		SIZE(client_number(answer, "x-sluice-before")));
	json_decref(answer);
	return EXIT_OK;
}

const struct client_command resize_command = {
	.words = " DISK [SIZE]",
	.about =
		"Makes a disk of a running machine SIZE bytes long, and its file with it. Without SIZE\n"
		"the disk gets the size that its file or block device has now. DISK is its node's name;\n"
		"SIZE is " SIZE_FORMS ". A disk does not shrink.",
	.node = NODE_WORD,
	.size = true,
	.run = resize,
};
