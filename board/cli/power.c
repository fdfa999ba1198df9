/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice stop`, `reset`, `pause`, `resume`: what the front panel of a machine has. */
#include <stdio.h>
#include <string.h>

#include "board/cli/client-command.h"
#include "board/cli/client.h"
#include "board/cli/follow.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "hyp/base/loop.h"

#define SHUTDOWN_SEC 30 /* as --shutdown-timeout of `sluice run` */
#define QUIT_SEC     10
#define TICK_MS	     200 /* a signal between two waits is seen so late */

/* Calls a command without arguments, whose answer says nothing. */
static int call(struct client *client, const char *command, struct errors *errors)
{
	json_t *answer = client_call(client, command, NULL, errors);

	json_decref(answer);
	return answer ? EXIT_OK : EXIT_WRONG;
}

/* The machine has gone, with its process, which is done with its disks only then. */
static bool has_ended(struct client *client, unsigned sec)
{
	uint64_t now = loop_now_ms(), until = now + sec * UINT64_C(1000);
	int came = 0;

	for (; now < until && came >= 0 && !follow_interrupted(); now = loop_now_ms())
		came = client_wait(client, TICK_MS);
	for (; came < 0 && !client_process_ended(client, TICK_MS); now = loop_now_ms())
		if (now >= until + QUIT_SEC * UINT64_C(1000) || follow_interrupted())
			return false;
	return came < 0;
}

/* Its guest can heed a button. */
static bool may_heed(struct client *client, const struct client_line *line, struct errors *errors)
{
	json_t *answer = client_call(client, "query-status", NULL, errors);
	bool paused = !strcmp(client_text(answer, "status"), "paused");

	if (paused)
		error_add(errors, line->path, NULL,
			"the machine is paused, so its guest cannot power off: let it go on (sluice resume), or end it (--now)");
	json_decref(answer);
	return answer && !paused;
}

static int stop(struct client *client, const struct client_line *line, struct errors *errors)
{
	struct errors ignored = { 0 };

	follow_prepare();
	if (!line->flag) {
		if (!may_heed(client, line, errors) || call(client, "system_powerdown", errors))
			return EXIT_WRONG;
		if (!line->stall_sec || has_ended(client, line->stall_sec))
			return EXIT_OK;
		if (follow_interrupted()) {
			puts("its power button was pressed; the machine goes on until its guest heeds that");
			return EXIT_INTERRUPTED;
		}
	}
	/* If it ends by itself meanwhile, that is no error. */
	json_decref(client_call(client, "quit", NULL, &ignored));
	errors_finish(&ignored);
	if (!has_ended(client, QUIT_SEC)) {
		if (follow_interrupted()) {
			puts("the machine was told to quit");
			return EXIT_INTERRUPTED;
		}
		error_add(errors, line->path, NULL,
			"was told to quit %d s ago and is there still: a disk or file system of the host may not answer",
			QUIT_SEC);
		return EXIT_WRONG;
	}
	if (line->flag)
		return EXIT_OK;
	printf("the guest did not power off in %u s, and the machine was ended\n", line->stall_sec);
	return EXIT_TIMEOUT;
}

static int reset(struct client *client, const struct client_line *line, struct errors *errors)
{
	return call(client, "system_reset", errors);
}

static int pause_machine(
	struct client *client, const struct client_line *line, struct errors *errors)
{
	return call(client, "stop", errors);
}

static int resume(struct client *client, const struct client_line *line, struct errors *errors)
{
	return call(client, "cont", errors);
}

const struct client_command stop_command = {
	.words = "",
	.about =
		"Presses the power button of a running machine, and waits until its guest has powered\n"
		"off. A guest that does not in time is ended, and the exit code is then 124.",
	.stall_sec = SHUTDOWN_SEC,
	.stall_about = "give the guest so long (%u); 0: press the button, and do not wait",
	.flag = "now",
	.flag_about = "end the machine at once: its guest cannot save anything",
	.run = stop,
};

const struct client_command reset_command = {
	.words = "",
	.about = "Resets a running machine, whatever its guest does.",
	.run = reset,
};

const struct client_command pause_command = {
	.words = "",
	.about = "Stops a running machine where it is: its CPUs and its clock stand still until\n"
		 "`sluice resume`.",
	.run = pause_machine,
};

const struct client_command resume_command = {
	.words = "",
	.about = "Lets a paused machine go on.",
	.run = resume,
};
