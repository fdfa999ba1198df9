/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice resize`: gives a running machine's disk more room. Its guest sees it at once. */
#include <stdio.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/cli/commandline.h"
#include "board/text/errors.h"
#include "board/text/size.h"

static const char usage[] =
	"Usage: sluice resize NAME DISK [SIZE]\n"
	"       sluice resize --control PATH DISK [SIZE]\n"
	"\n"
	"Makes a disk of a running machine SIZE bytes long, and its file with it. Without SIZE\n"
	"the disk gets the size that its file or block device has now. DISK is its node's name;\n"
	"SIZE is " SIZE_FORMS ". A disk does not shrink.\n"
	"\n"
	"  --control PATH  the machine's control socket\n"
	"  -h, --help      this text\n";

static int resize(
	struct client *client, const char *disk, uint64_t bytes, bool sized, struct errors *errors)
{
	json_t *arguments = json_pack("{s:s}", "device", disk), *answer;
	char sizes[2][SIZE_TEXT];

	if (sized)
		json_object_set_new(arguments, "size", json_integer((json_int_t)bytes));
	answer = client_call(client, "block_resize", arguments, errors);
	if (!answer)
		return 1;
	printf("%s: %s (%s before)\n", disk,
		size_print(sizes[0], client_number(answer, "x-sluice-size")),
		size_print(sizes[1], client_number(answer, "x-sluice-before")));
	json_decref(answer);
	return 0;
}

static int run(const struct client_target *target, const char *const *words, struct errors *errors)
{
	/* NAME/DISK does as well. */
	const char *disk = target->node ? target->node : words[0];
	const char *size = target->node ? words[0] : words[1];
	struct client *client;
	uint64_t bytes = 0;
	int result;

	if (!disk)
		return misused("resize", "which DISK?");
	if (target->node && words[1])
		return misused("resize", "nothing can follow here, as %s does", words[1]);
	if (size && (size_parse(size, &bytes) || bytes > INT64_MAX)) {
		error_add(errors, size, NULL, "is no size: " SIZE_FORMS);
		return 2;
	}
	if (client_open(target->path, errors, &client))
		return 1;
	result = resize(client, disk, bytes, size, errors);
	client_close(client);
	return result;
}

int resize_command(int argc, char **argv)
{
	return client_words_command(argc, argv, usage, run);
}
