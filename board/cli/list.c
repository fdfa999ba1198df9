/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice list`: this user's machines, in what state they are, and their memory. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "board/cli/client.h"
#include "board/cli/commandline.h"
#include "board/host/socket.h"
#include "board/text/columns.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "board/text/size.h"

/* What a machine has now, and has at most: its boot memory and its windows. A machine that is being made has neither. */
static int read_memory(
	struct client *client, struct errors *errors, uint64_t *ret_now, uint64_t *ret_most)
{
	json_t *memory = client_call(client, "x-sluice-query-memory", NULL, errors),
	       *devices = NULL, *device;
	uint64_t now = client_number(memory, "boot-memory"), most = now;
	size_t i;

	if (memory)
		devices = client_call(client, "query-memory-devices", NULL, errors);
	json_array_foreach(devices, i, device)
	{
		const json_t *data = json_object_get(device, "data");

		now += client_number(data, "size");
		most += client_number(data, "max-size");
	}
	json_decref(memory);
	json_decref(devices);
	*ret_now = now;
	*ret_most = most;
	return devices ? 0 : -EIO;
}

/* Adds an error where the machine does not answer. */
static void add_machine(struct columns *columns, const char *name, struct errors *errors)
{
	struct errors unused = { 0 }; /* of a machine that is being made */
	char *path = control_path(name, false, errors);
	struct client *client = NULL;
	json_t *status = NULL;
	uint64_t now, most;

	if (path && !client_open(path, errors, &client))
		status = client_call(client, "query-status", NULL, errors);
	if (status && !read_memory(client, &unused, &now, &most))
		columns_add(columns, "%s\t%s\t%s\t%s", name, client_text(status, "status"),
			SIZE(now), SIZE(most));
	else
		columns_add(columns, "%s\t%s\t-\t-", name,
			status ? client_text(status, "status") : "does not answer");
	json_decref(status);
	client_close(client);
	free(path);
	errors_finish(&unused);
}

int list_command(int argc, char **argv)
{
	struct columns columns = { .align = "llrr" };
	struct errors errors = { 0 };
	char **names;
	size_t count;
	int code = options_read(argc, argv, "",
		"Lists the machines of this user whose control socket is in the usual folder: their state,\n"
		"the memory that their guests have now (what is in a balloon too), and at most.",
		&(struct option_row){ 0 });

	if (code >= 0)
		return code;
	if (optind < argc)
		return misused(argv[0], "takes no argument: %s", argv[optind]);
	columns_add(&columns, "machine\tstate\tmemory\tat most");
	count = client_machines(&errors, &names);
	for (size_t i = 0; i < count; i++) {
		add_machine(&columns, names[i], &errors);
		free(names[i]);
	}
	free(names);
	columns_print(&columns, "", stdout);
	code = errors_any(&errors) ? EXIT_WRONG : EXIT_OK;
	errors_print(&errors, stderr);
	errors_finish(&errors);
	return code;
}
