/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a machine's devices (struct device_value), and the commands on them: qom-list, qom-get, qom-set. It
 * knows no class of device.
 */
#ifndef SLUICE_BOARD_CONTROL_VALUES_H
#define SLUICE_BOARD_CONTROL_VALUES_H

#include <stdint.h>

#include "board/control/qmp.h"

struct device;

#define PERIPHERAL_PATH "/machine/peripheral/"

/*
 * The device that the path names, /machine/peripheral/ID or the id alone; not if it lacks `value`, where that is not
 * NULL. NULL after qmp_fail().
 */
struct device *value_device(struct qmp *qmp, const char *path, const char *value);
/* The device must have the value, which must be a number or boolean. */
uint64_t value_number(struct device *device, const char *name);
/* {} after it was set, or NULL after qmp_fail(). The device must have the value, and it must be settable. */
json_t *value_set(struct qmp *qmp, struct device *device, const char *name, uint64_t number);

json_t *values_run_list(struct qmp *qmp, json_t *arguments);
json_t *values_run_get(struct qmp *qmp, json_t *arguments);
json_t *values_run_set(struct qmp *qmp, json_t *arguments);

#endif
