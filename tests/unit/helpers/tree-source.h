/* SPDX-License-Identifier: Apache-2.0 */
/* Trees written in the test: a good machine, what is changed in it, and a host to read it for. */
#ifndef SLUICE_TESTS_TREE_SOURCE_H
#define SLUICE_TESTS_TREE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "board/config/config.h"
#include "board/text/errors.h"

/* One CPU, 512 MiB, a window of 4 GiB at 4 GiB; labels cpu0, memory, reserved, growth, vmem0. */
extern const char good_machine[];

/* 48 bits of guest addresses and of the process's, 32767 slots, GICv3. */
extern const struct host_limits big_host;

/*
 * Writes `base` and `change` into a new file in a folder of its own; both are static buffers.
 * A change that begins with /memreserve/ goes before the root.
 */
const char *tree_source_file(const char *name, const char *base, const char *change);
/* Removes what was written. */
void tree_source_finish(void);

/* config_read() of such a file. */
int tree_source_read(const char *base, const char *change, const struct host_limits *host,
	struct errors *errors, struct machine_config **ret);
/* tree_file_open() with an overlay, or without one (NULL). */
int tree_source_open(const char *file, const char *overlay, struct errors *errors, void **ret);
/* The good machine with this change, which is good too: else the test fails. */
struct machine_config *tree_source_good(const char *change, const struct host_limits *host);

/* Prints the errors. */
void errors_show(const struct errors *errors);
/* One of them has this part. */
bool errors_say(const struct errors *errors, const char *part);
/*
 * One of them begins with it, where it begins with a path or "warning: ": so "/vmem0: ..." is not
 * found inside another. Else as errors_say().
 */
bool errors_lead(const struct errors *errors, const char *part);

#endif
