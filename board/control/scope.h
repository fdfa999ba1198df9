/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of a control socket work on. */
#ifndef SLUICE_BOARD_CONTROL_SCOPE_H
#define SLUICE_BOARD_CONTROL_SCOPE_H

struct loop;
struct machine;
struct map_query;

struct qmp_scope {
	struct loop *loop;	 /* that serves the socket */
	struct machine *machine; /* NULL while there is none */
	struct map_query *map;
};

#endif
