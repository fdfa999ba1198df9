/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the control socket: one table. What they need of the socket's side is here too. */
#ifndef SLUICE_BOARD_QMP_COMMANDS_H
#define SLUICE_BOARD_QMP_COMMANDS_H

#include "board/control.h"
#include "board/qmp.h"

extern const struct qmp_command control_commands[];

/* The machine of the conversation's control socket; NULL while there is none. */
struct machine *control_machine(struct qmp *qmp);

#define PERIPHERAL_PATH "/machine/peripheral/"

#endif
