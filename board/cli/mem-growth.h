/* SPDX-License-Identifier: Apache-2.0 */
/* How far a guest can grow, for `sluice mem`, from the machine's answer to x-sluice-query-memory. */
#ifndef SLUICE_BOARD_CLI_MEM_GROWTH_H
#define SLUICE_BOARD_CLI_MEM_GROWTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct client;
struct errors;

/*
 * True if the guest's boot memory carries `bytes` in the device that `data` describes (query-memory-devices), or if
 * that is no more than before. False after an error was added that says what to do.
 */
bool mem_growth_allowed(
	struct client *client, const json_t *data, uint64_t bytes, struct errors *errors);

/* Warns on standard error if the host lacks the memory that the machine needs once device `id` holds `bytes`. */
void mem_growth_warn(struct client *client, const char *id, uint64_t bytes, struct errors *errors);

/* Prints how much of the machine's memory the host has merged (KSM), if it may. */
void mem_growth_print_merged(struct client *client, struct errors *errors);

/*
 * Why a guest with `plugged` bytes in the device does not come to the bytes that it is asked to hold; NULL: not known.
 * malloc'ed.
 */
char *mem_growth_stall(
	struct client *client, uint64_t plugged, uint64_t asked, struct errors *errors);

#endif
