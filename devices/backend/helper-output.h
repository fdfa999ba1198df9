/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs what a child process prints, line by line, each with its name and its device's in front, so that a reader of a
 * shared terminal sees whose lines they are. Reading never blocks.
 */
#ifndef SLUICE_DEVICES_BACKEND_HELPER_OUTPUT_H
#define SLUICE_DEVICES_BACKEND_HELPER_OUTPUT_H

struct helper_output;
struct loop;

/* `id` is the device's, `helper` the program's name; both outlive it. 0, -ENOMEM, or -errno of the pipe or the loop. */
int helper_output_create(
	struct loop *loop, const char *id, const char *helper, struct helper_output **ret);
/* The process's standard output and error; it stays open for the next process. */
int helper_output_fd(const struct helper_output *output);
/* Takes NULL. */
void helper_output_destroy(struct helper_output *output);

#endif
