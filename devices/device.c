/* SPDX-License-Identifier: Apache-2.0 */
/* What all devices have in common; see device.h. */
#include "devices/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int device_create(const struct device_class *class, const void *config,
	const struct device_env *env, struct device **ret)
{
	struct device *device = calloc(1, class->bytes);
	int err;

	if (!device)
		return -ENOMEM;
	device->class = class;
	device->id = env->id;
	pthread_mutex_init(&device->lock, NULL);
	err = class->init(device, config, env);
	if (err)
		device_destroy(device);
	else
		*ret = device;
	return err;
}

void device_destroy(struct device *device)
{
	if (!device)
		return;
	device->class->finish(device);
	pthread_mutex_destroy(&device->lock);
	free(device);
}

const struct device_value *device_value(const struct device *device, const char *name)
{
	const struct device_value *value = device->class->values;

	while (value && value->name && strcmp(value->name, name))
		value++;
	return value && value->name ? value : NULL;
}
