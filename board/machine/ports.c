/* SPDX-License-Identifier: Apache-2.0 */
/* The host's ends of named ports; see ports.h. */
#include "board/machine/ports.h"

#include <errno.h>
#include <stdlib.h>

#include "board/config/config.h"
#include "board/console/console.h"
#include "board/text/errors.h"

struct ports {
	size_t count;
	struct console **consoles;
	struct chardev **chardevs;
};

int ports_create(struct loop *loop, const struct machine_config *config, const char *control,
	bool stdio_taken, const struct console_callbacks *callbacks, struct errors *errors,
	struct ports **ret)
{
	struct ports *ports;
	size_t count = 0;
	int err = 0;

	for (size_t i = 0; i < config->device_count; i++)
		count += config->devices[i].port_count;
	if (!count)
		return 0;
	ports = calloc(1, sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	ports->consoles = calloc(count, sizeof(ports->consoles[0]));
	ports->chardevs = calloc(count, sizeof(ports->chardevs[0]));
	if (!ports->consoles || !ports->chardevs)
		err = -ENOMEM;
	for (size_t i = 0; i < config->device_count && !err; i++) {
		const struct device_config *device = &config->devices[i];

		for (size_t n = 0; n < device->port_count && !err; n++) {
			bool stdio = device->ports[n].backend.kind == CONSOLE_STDIO;
			struct console **console = &ports->consoles[ports->count];

			if (stdio && stdio_taken) {
				error_add(errors, device->path, "ports",
					"%s: another has standard input and output: give that one another back end (the console: --console null)",
					device->ports[n].name);
				err = -EBUSY;
				break;
			}
			stdio_taken |= stdio;
			err = console_open(loop, &device->ports[n].backend, device->path, callbacks,
				control, errors, console);
			if (!err)
				ports->chardevs[ports->count] = console_chardev(*console);
			ports->count++;
		}
	}
	if (err)
		ports_destroy(ports);
	else
		*ret = ports;
	return err;
}

struct chardev *const *ports_chardevs(const struct ports *ports)
{
	return ports ? ports->chardevs : NULL;
}

void ports_destroy(struct ports *ports)
{
	if (!ports)
		return;
	for (size_t i = 0; i < ports->count; i++)
		console_destroy(ports->consoles[i]);
	free(ports->consoles);
	free(ports->chardevs);
	free(ports);
}
