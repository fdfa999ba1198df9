/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of this host's owner: only root writes there, so its files have the owner's rights. */
#ifndef SLUICE_BOARD_HOST_ETC_H
#define SLUICE_BOARD_HOST_ETC_H

#include <stdbool.h>

#define ETC "/etc/sluice/"

/* Whether the file is in ETC, and only root can have written it there. */
bool etc_has(int fd);
/* Whether only root can have written the file, wherever it is. */
bool etc_is_roots(int fd);

#endif
