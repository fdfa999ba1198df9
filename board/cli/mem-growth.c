/* SPDX-License-Identifier: Apache-2.0 */
/* How far a guest can grow, for `sluice mem`; see mem-growth.h. */
#include "board/cli/mem-growth.h"

#include <stdio.h>
#include <string.h>

#include "board/cli/client.h"
#include "board/text/errors.h"
#include "board/text/size.h"
#include "hyp/base/util.h"

#define SECTION_64K  (512 * MiB) /* the least that Linux with 64K pages brings online at a time */
#define AUTO_MOVABLE "memhp_default_state=online memory_hotplug.online_policy=auto-movable"

/* `arguments` NULL: as things are. */
static json_t *query(struct client *client, json_t *arguments, struct errors *errors)
{
	return client_call(client, "x-sluice-query-memory", arguments, errors);
}

bool mem_growth_allowed(
	struct client *client, const json_t *data, uint64_t bytes, struct errors *errors)
{
	uint64_t requested = client_number(data, "requested-size"),
		 plugged = client_number(data, "size"), held, beside, carried, fits;
	json_t *growth = query(client, NULL, errors);
	bool bounded = json_object_get(growth, "carried");

	held = requested > plugged ? requested : plugged;
	carried = client_number(growth, "carried");
	beside = client_number(growth, "held") - held;
	fits = beside < carried ? carried - beside : 0;
	if (bounded && bytes > held && bytes > fits)
		error_add(errors, client_text(data, "id"), NULL,
			"with %s the guest's kernel would run out of memory: the guest's %s of boot memory (/memory) describe about %s of plugged memory, page array and page tables. %s%s is the most that is safe here. For more give /memory more, or have Linux keep a part of plugged memory for its kernel (bootargs \"" AUTO_MOVABLE
			"\"). --force asks for it all the same",
			SIZE(bytes), SIZE(client_number(growth, "boot-memory")), SIZE(carried),
			beside ? "Other windows have of it what they have: " : "", SIZE(fits));
	json_decref(growth);
	return !errors_any(errors);
}

void mem_growth_warn(struct client *client, const char *id, uint64_t bytes, struct errors *errors)
{
	json_t *growth = query(client,
		json_pack("{s:s,s:I}", "path", id, "requested-size", (json_int_t)bytes), errors);
	uint64_t need = client_number(growth, "host-need");
	uint64_t room = client_number(growth, "cgroup-room");
	struct errors warnings = { 0 };

	if (json_object_get(growth, "cgroup-limit") && need > room)
		warning_add(&warnings, id, NULL,
			"the machine may come to use %s more, and its memory cgroup has room for %s below its limit of %s (memory.max): there the host's kernel ends the machine. Raise MemoryMax of its session or unit",
			SIZE(align_down(need, MiB)), SIZE(align_down(room, MiB)),
			SIZE(client_number(growth, "cgroup-limit")));
	else if (json_object_get(growth, "host-available") &&
		 need > client_number(growth, "host-available"))
		warning_add(&warnings, id, NULL,
			"the machine may come to use %s more, and the host has %s left, swap included: when the guest uses more, the host's kernel ends one of its programs",
			SIZE(align_down(need, MiB)),
			SIZE(align_down(client_number(growth, "host-available"), MiB)));
	errors_print(&warnings, stderr);
	errors_finish(&warnings);
	json_decref(growth);
}

void mem_growth_print_merged(struct client *client, struct errors *errors)
{
	json_t *growth = query(client, NULL, errors);

	if (json_object_get(growth, "merged"))
		printf("\nequal pages that the host merged: %s\n",
			SIZE(client_number(growth, "merged")));
	json_decref(growth);
}

char *mem_growth_stall(
	struct client *client, uint64_t plugged, uint64_t asked, struct errors *errors)
{
	json_t *growth = query(client, NULL, errors);
	uint64_t carried = client_number(growth, "carried");
	uint64_t apart = asked > plugged ? asked - plugged : plugged - asked;
	char *why = NULL;
	int len = 0;

	if (client_number(growth, "guest-page") == 64 * KiB && apart < SECTION_64K)
		len = asprintf(&why,
			"the guest's pages are of 64K, and such a Linux takes memory and gives it back in steps of %s: ask for a multiple of it",
			SIZE(SECTION_64K));
	else if (asked > plugged && json_object_get(growth, "carried") &&
		 plugged >= carried - carried / 8)
		len = asprintf(&why,
			"the guest's boot memory, %s, is used up by the page array of what is plugged; its console may tell. Ask for less, and see /memory and bootargs (\"" AUTO_MOVABLE
			"\")",
			SIZE(client_number(growth, "boot-memory")));
	json_decref(growth);
	return len < 0 ? NULL : why;
}
