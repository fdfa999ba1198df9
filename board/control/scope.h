/* SPDX-License-Identifier: Apache-2.0 */
/* The state that a control socket's commands use. */
#ifndef SLUICE_BOARD_CONTROL_SCOPE_H
#define SLUICE_BOARD_CONTROL_SCOPE_H

struct loop;
struct machine;
struct map_query;

struct qmp_scope {
	struct loop *loop;	 /* serves the socket */
	struct machine *machine; /* NULL while there is none */
	struct map_query *map;
};

#endif
