/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the control socket: one table. What they need of the socket's side is here too. */
#ifndef SLUICE_BOARD_QMP_COMMANDS_H
#define SLUICE_BOARD_QMP_COMMANDS_H

#include <stdint.h>

#include "board/control.h"
#include "board/qmp.h"

extern const struct qmp_command control_commands[];

/* The machine of the conversation's control socket; NULL while there is none. */
struct machine *control_machine(struct qmp *qmp);

/* What of a machine's memory a balloon of so many bytes leaves. A guest may say what it likes. */
uint64_t control_balloon_left(const struct machine *machine, uint64_t bytes);

#define PERIPHERAL_PATH "/machine/peripheral/"

#endif
