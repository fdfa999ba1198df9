/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the control socket: one table. They work on the conversation's scope. */
#ifndef SLUICE_BOARD_CONTROL_COMMANDS_H
#define SLUICE_BOARD_CONTROL_COMMANDS_H

#include "board/control/qmp.h"

extern const struct qmp_command control_commands[];

#endif
