/* SPDX-License-Identifier: Apache-2.0 */
/* How far a guest can grow, for the control socket; see query-memory.h and growth.h. */
#include "board/control/query-memory.h"

#include <string.h>

#include "board/config/growth.h"
#include "board/host/host-memory.h"
#include "board/machine/machine.h"
#include "board/text/size.h"
#include "devices/device.h"
#include "hyp/base/util.h"
#include "hyp/memory/window.h"

/* The larger of a window's requested and plugged bytes. */
static uint64_t held(struct device *device)
{
	struct device_memory info;

	device->class->memory(device, &info);
	return info.requested_bytes > info.plugged_bytes ? info.requested_bytes
							 : info.plugged_bytes;
}

/* The sum over all windows but one. */
static uint64_t held_beside(const struct machine *machine, const struct device *but)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);

		if (device->class->memory && device != but)
			bytes += held(device);
	}
	return bytes;
}

/* machine_growth(), corrected by the guest's own figures if it reported any. */
static void growth_of(const struct machine *machine, struct machine_growth *ret)
{
	machine_growth(machine, ret);
	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);
		const struct device_value *said = device_value(device, "x-sluice-guest-available");
		const struct device_value *then = device_value(device, "x-sluice-guest-plugged");
		uint64_t available, plugged;

		if (!said || !then)
			continue;
		available = said->get(device, said->index);
		plugged = then->get(device, then->index);
		/* A figure above all of its memory is ignored. */
		if (available <= ret->boot_bytes + plugged)
			ret->carried_bytes = growth_by_guest(ret->carried_bytes, &ret->policy,
				ret->page_bytes, plugged, available);
	}
}

json_t *qmp_query_memory(const struct machine *machine, const struct device *grown, uint64_t bytes)
{
	uint64_t need = 0;
	struct machine_growth growth;
	struct host_memory host;
	json_t *answer;

	growth_of(machine, &growth);
	host_memory("", &host);
	answer = json_pack("{s:o,s:o,s:o}", "boot-memory", qmp_integer(growth.boot_bytes), "held",
		qmp_integer(held_beside(machine, NULL)), "guest-page",
		qmp_integer(growth.page_bytes));
	if (growth.carried_bytes != GROWTH_UNBOUND)
		json_object_set_new(answer, "carried", qmp_integer(growth.carried_bytes));
	/* Memory that the host may still have to provide; huge pages come from a pool of their own. */
	for (size_t i = 0; i < machine_device_count(machine); i++) {
		struct device *device = machine_device(machine, i);
		struct device_memory memory;

		if (!device->class->memory)
			continue;
		device->class->memory(device, &memory);
		if (window_config(memory.window)->backing == BACKING_HUGETLB)
			continue;
		need += device == grown && bytes > held(device) ? bytes : held(device);
	}
	need += growth.boot_bytes - growth.pool_bytes;
	json_object_set_new(
		answer, "host-need", qmp_integer(need > host.resident ? need - host.resident : 0));
	if (host.available != HOST_MEMORY_UNKNOWN)
		json_object_set_new(answer, "host-available", qmp_integer(host.available));
	if (growth.mergeable && host.merged != HOST_MEMORY_UNKNOWN)
		json_object_set_new(answer, "merged", qmp_integer(host.merged));
	if (host.limit != HOST_MEMORY_UNKNOWN) {
		json_object_set_new(answer, "cgroup-limit", qmp_integer(host.limit));
		json_object_set_new(answer, "cgroup-room", qmp_integer(host.room));
	}
	return answer;
}

bool qmp_growth_allowed(
	struct qmp *qmp, const struct machine *machine, struct device *device, uint64_t bytes)
{
	uint64_t beside = held_beside(machine, device);
	struct machine_growth growth;

	growth_of(machine, &growth);
	if (growth.carried_bytes == GROWTH_UNBOUND || bytes <= held(device) ||
		(beside <= growth.carried_bytes && bytes <= growth.carried_bytes - beside))
		return true;
	qmp_refuse(qmp,
		"'requested-size': with %s the guest's kernel would run out of memory: its %s of boot memory describe about %s of plugged memory, page array and page tables, and %s are asked for elsewhere. Give /memory more, or have the guest keep a part of plugged memory for its kernel (memory_hotplug.online_policy=auto-movable), or add the argument \"x-sluice-force\": true",
		SIZE(bytes), SIZE(growth.boot_bytes), SIZE(growth.carried_bytes), SIZE(beside));
	return false;
}

uint64_t qmp_balloon_left(const struct machine *machine, uint64_t bytes)
{
	uint64_t memory = machine_memory_bytes(machine);

	return bytes < memory ? memory - bytes : 0;
}
