/* SPDX-License-Identifier: Apache-2.0 */
/* What `sluice mem` says of how far a guest can grow: by what the machine answers to x-sluice-query-memory. */
#ifndef SLUICE_BOARD_CLI_MEM_GROWTH_H
#define SLUICE_BOARD_CLI_MEM_GROWTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct client;
struct errors;

/*
 * Whether the guest's boot memory carries `bytes` in the device that `data` describes (query-memory-devices), or no more
 * than before is asked for. False after an error that says how to go on.
 */
bool mem_growth_allowed(
	struct client *client, const json_t *data, uint64_t bytes, struct errors *errors);

/* Warns, on standard error, where the host has not what the machine is asked to hold by now. */
void mem_growth_warn(struct client *client, const char *id, struct errors *errors);

/* What the host merged of the machine's equal pages, where it may. */
void mem_growth_print_merged(struct client *client, struct errors *errors);

/*
 * Why a guest that was to get `missing` bytes more, and has `plugged` in that device, got none; NULL where nothing is known.
 * malloc'ed.
 */
char *mem_growth_stall(
	struct client *client, uint64_t plugged, uint64_t missing, struct errors *errors);

#endif
