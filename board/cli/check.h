/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice check` and `sluice show`: a machine's description, without running it. Both print to stdout, errors and
 * warnings to stderr, and return the exit status: 0, or 1 after an error. They work on any host. If KVM cannot be used,
 * they assume its usual limits, and print that they do.
 */
#ifndef SLUICE_BOARD_CLI_CHECK_H
#define SLUICE_BOARD_CLI_CHECK_H

struct tree_source;

/* Checks the tree against this host and prints the map of the machine `name`, or (NULL) of its default name. */
int check_command(const struct tree_source *source, const char *name);

/*
 * Prints the guest's tree as source. Seeds are zero, so that the output is the same each time. The initrd's address is
 * left out, since it is chosen when the initrd is loaded. A tree that the host's policy does not let run is shown too.
 */
int show_command(const struct tree_source *source, const char *name);

#endif
